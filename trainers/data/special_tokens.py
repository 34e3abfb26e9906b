"""The tokenizer's special tokens; without PyTorch, so that settings can be checked at once."""

PAD_TOKEN, BOS_TOKEN, EOS_TOKEN = "<|pad|>", "<|bos|>", "<|eos|>"
SPECIAL_TOKENS = [PAD_TOKEN, BOS_TOKEN, EOS_TOKEN]
SMALLEST_VOCABULARY = len(SPECIAL_TOKENS) + 256
"""Size of a vocabulary of the special tokens and every byte."""
