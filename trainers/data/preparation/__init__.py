"""From sources of Rust code to verified rows, in steps that continue after an interruption."""
