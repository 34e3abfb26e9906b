"""Find, call and interpret the Rust compiler. Imports `verdict`, `sandbox` and `syntax`."""
