"""Byte-level BPE tokenizer and its special tokens."""

from collections.abc import Iterable, Iterator
from itertools import chain

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from trainers.data.special_tokens import (
    BOS_TOKEN,
    EOS_TOKEN,
    FIM_TOKENS,
    PAD_TOKEN,
    SMALLEST_VOCABULARY,
    SPECIAL_TOKENS,
)


def train_tokenizer(
    texts: Iterable[str], vocab_size: int, max_length: int, fill_in_the_middle: bool = False
) -> PreTrainedTokenizerFast:
    """
    Train a byte-level BPE with the pre-tokenization of GPT-2. Any text is unchanged by encoding and decoding
    (if it spells a special token, only with `split_special_tokens=True`).

    Every encoded text begins with the bos token. The special tokens have the ids 0 (pad), 1 (bos) and 2 (eos).

    Args:
        texts: Texts to learn the merges from. They are read once and not kept in memory.
        vocab_size: Maximum number of tokens, including the special tokens and the 256 bytes.
        max_length: Maximum sequence length of the model in tokens.
        fill_in_the_middle: Whether the tokenizer also gets the special tokens `FIM_TOKENS`, with the ids 3 to 5.

    Raises:
        ValueError: `vocab_size` is too small for the bytes, or there is no text.
    """
    special_tokens = SPECIAL_TOKENS + (FIM_TOKENS if fill_in_the_middle else [])
    smallest = SMALLEST_VOCABULARY + len(special_tokens) - len(SPECIAL_TOKENS)
    if vocab_size < smallest:
        raise ValueError(
            f"vocab_size must be at least {smallest} (256 bytes and {len(special_tokens)} special tokens), "
            f"got {vocab_size}"
        )
    remaining = _without_empty(texts)
    first = next(remaining, None)
    if first is None:
        raise ValueError("texts must hold some text to train a tokenizer on, got none")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=special_tokens,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(chain([first], remaining), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS_TOKEN} $A",
        pair=f"{BOS_TOKEN} $A $B",
        special_tokens=[(BOS_TOKEN, tokenizer.token_to_id(BOS_TOKEN))],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD_TOKEN,
        bos_token=BOS_TOKEN,
        eos_token=EOS_TOKEN,
        model_max_length=max_length,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def _without_empty(texts: Iterable[str]) -> Iterator[str]:
    return (text for text in texts if text)


def special_token_ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    """Return the tokenizer's special token ids under the names of model and generation configurations."""
    return {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }


def check_special_tokens(tokenizer: PreTrainedTokenizerFast, model: PreTrainedModel) -> None:
    """
    Check that tokenizer, model configuration and generation configuration agree on bos, eos and pad, and that the
    model has a row for every token.

    Raises:
        ValueError: Names the field and the three values.
    """
    for name, token_id in special_token_ids(tokenizer).items():
        model_id, generation_id = getattr(model.config, name), getattr(model.generation_config, name)
        if not token_id == model_id == generation_id:
            raise ValueError(
                f"{name} must agree everywhere, got {token_id} in the tokenizer, {model_id} in the model's "
                f"configuration and {generation_id} in its generation configuration"
            )
    if len(tokenizer) > model.config.vocab_size:
        raise ValueError(
            f"vocab_size must be at least the tokenizer's {len(tokenizer)} tokens, got {model.config.vocab_size}"
        )
