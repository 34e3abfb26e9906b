"""Inference of LoopLM on CPUs in Rust: one call runs all loops of all texts of a batch."""
