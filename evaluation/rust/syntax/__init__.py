"""Parse, tokenize and measure Rust source without the compiler. Imports only `verdict`."""
