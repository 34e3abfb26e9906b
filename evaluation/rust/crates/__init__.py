"""Whole crates and their dependencies, checked with cargo in the sandbox against a folder of crate sources."""
