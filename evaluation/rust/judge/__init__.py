"""Decide verdicts: batches, tests and refusals. Imports `verdict`, `sandbox`, `syntax` and `rustc`."""
