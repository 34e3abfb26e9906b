"""The tokenizer's special tokens; without PyTorch, so that settings can be checked at once."""

PAD_TOKEN, BOS_TOKEN, EOS_TOKEN = "<|pad|>", "<|bos|>", "<|eos|>"
SPECIAL_TOKENS = [PAD_TOKEN, BOS_TOKEN, EOS_TOKEN]
FIM_PREFIX_TOKEN, FIM_MIDDLE_TOKEN, FIM_SUFFIX_TOKEN = "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"
FIM_TOKENS = [FIM_PREFIX_TOKEN, FIM_MIDDLE_TOKEN, FIM_SUFFIX_TOKEN]
"""Tokens for filling in the middle. Only tokenizers that are trained for it have them."""
SMALLEST_VOCABULARY = len(SPECIAL_TOKENS) + 256
"""Size of a vocabulary of the special tokens and every byte."""
