"""Run compilers and untrusted programs under limits and isolation. Imports nothing else of `evaluation.rust`."""
