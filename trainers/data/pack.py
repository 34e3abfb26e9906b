"""Packing of texts into blocks of token ids of equal length."""

from collections.abc import Sequence

import numpy as np
from datasets import Dataset
from transformers import PreTrainedTokenizerFast


def pack_blocks(texts: Sequence[str], tokenizer: PreTrainedTokenizerFast, seq_len: int) -> Dataset:
    """
    Join the texts, each between a bos and an eos token, and cut the result into blocks.

    Args:
        texts: Documents, in the order in which they are joined.
        tokenizer: Tokenizer that adds the bos token itself.
        seq_len: Tokens per block. An incomplete block at the end is dropped.

    Returns:
        Dataset with the column `input_ids`, `(seq_len,)` per row.

    Raises:
        ValueError: The texts do not fill one block.
    """
    stream: list[int] = []
    # `verbose` would warn about texts longer than the context, but they are cut into blocks. Text that spells a
    # special token stays text.
    settings = {"verbose": False, "return_attention_mask": False, "split_special_tokens": True}
    for token_ids in tokenizer(list(texts), **settings)["input_ids"] if texts else []:
        stream.extend(token_ids)
        stream.append(tokenizer.eos_token_id)
    num_blocks = len(stream) // seq_len
    if num_blocks == 0:
        raise ValueError(
            f"the data must fill at least one block of seq_len={seq_len} tokens, got {len(stream)} tokens in "
            f"{len(texts)} texts; give more data or a shorter seq_len"
        )
    blocks = np.asarray(stream[: num_blocks * seq_len], dtype=np.int32).reshape(num_blocks, seq_len)
    return Dataset.from_dict({"input_ids": blocks})


def regroup_blocks(blocks: Dataset, seq_len: int) -> Dataset:
    """
    Return the same tokens in the same order as blocks of another length. An incomplete block at the end is dropped.

    Raises:
        ValueError: The tokens do not fill one block.
    """
    if len(blocks) and len(blocks[0]["input_ids"]) == seq_len:
        return blocks
    stream = np.concatenate(blocks.with_format("numpy")["input_ids"][:]) if len(blocks) else np.zeros(0)
    num_blocks = len(stream) // seq_len
    if num_blocks == 0:
        raise ValueError(
            f"the data must fill at least one block of seq_len={seq_len} tokens, got {len(stream)} tokens"
        )
    return Dataset.from_dict({"input_ids": stream[: num_blocks * seq_len].reshape(num_blocks, seq_len)})
