"""Synthetic Rust from families: functions, structs, traits and macros with tests."""
