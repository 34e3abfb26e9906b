"""Hole tasks: a function of a real crate without its body, judged by the crate's own unit tests."""
