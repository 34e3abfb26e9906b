"""Rust made from families: functions, structs, traits and macros with tests, as many as are asked for."""
