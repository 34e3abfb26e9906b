"""The suite `rustc`: programs of the Rust compiler's own tests, to be completed and to be repaired."""
