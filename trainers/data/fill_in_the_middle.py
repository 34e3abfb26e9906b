"""
Fill-in-the-middle: documents whose middle is moved to the end, so that a model learns to fill gaps (Bavarian et al.
2022, arXiv 2207.14255).

A document is cut at two random characters. In the form PSM its prefix and suffix come before the middle; in the form
SPM the suffix comes first, and prefix and middle follow each other (the paper's variant that shares its beginning with
PSM):

    PSM: <|fim_prefix|> prefix <|fim_suffix|> suffix <|fim_middle|> middle
    SPM: <|fim_prefix|> <|fim_suffix|> suffix <|fim_middle|> prefix middle
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from transformers import PreTrainedTokenizerBase

from trainers.data.special_tokens import FIM_MIDDLE_TOKEN, FIM_PREFIX_TOKEN, FIM_SUFFIX_TOKEN, FIM_TOKENS

Form = Literal["psm", "spm"]


@dataclass(frozen=True)
class FimTokens:
    """Ids of the special tokens."""

    prefix: int
    middle: int
    suffix: int

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> "FimTokens":
        """
        Return the ids of a tokenizer.

        Raises:
            ValueError: It lacks one of the tokens.
        """
        vocabulary = tokenizer.get_vocab()
        missing = [token for token in FIM_TOKENS if token not in vocabulary]
        if missing:
            raise ValueError(
                f"the tokenizer must have {', '.join(FIM_TOKENS)} to fill in the middle, got one without "
                f"{', '.join(missing)}; train one with fill_in_the_middle=True, or set fim_rate to 0"
            )
        return cls(*(vocabulary[token] for token in (FIM_PREFIX_TOKEN, FIM_MIDDLE_TOKEN, FIM_SUFFIX_TOKEN)))


@dataclass(frozen=True)
class Split:
    """
    A document in three parts, which joined are the document.

    Attributes:
        form: Order of the parts.
    """

    form: Form
    prefix: str
    middle: str
    suffix: str

    def pieces(self, tokens: FimTokens) -> list[int | str]:
        """Return the special tokens and the texts between them, in the order of the form."""
        return [*prompt_pieces(self.prefix, self.suffix, tokens, self.form), self.middle]


def split_document(text: str, key: str, rate: float) -> Split | None:
    """
    Split a document at two random characters, in one of the two forms with equal probability.

    Args:
        text: The document.
        key: Equal keys and texts give equal splits; for example the seed and the document's id.
        rate: Probability that the document is split, from 0 to 1.

    Returns:
        The split, or None if the document stays as it is.
    """
    generator = random.Random(key)
    if generator.random() >= rate:
        return None
    form: Form = "psm" if generator.random() < 0.5 else "spm"
    start, end = sorted((generator.randint(0, len(text)), generator.randint(0, len(text))))
    return Split(form, text[:start], text[start:end], text[end:])


def prompt_pieces(prefix: str, suffix: str, tokens: FimTokens, form: Form = "psm") -> list[int | str]:
    """Return the special tokens and texts after which a model writes the middle."""
    if form == "psm":
        return [tokens.prefix, prefix, tokens.suffix, suffix, tokens.middle]
    return [tokens.prefix, tokens.suffix, suffix, tokens.middle, prefix]


def infill_prompt(prefix: str, suffix: str, tokenizer: PreTrainedTokenizerBase, form: Form = "psm") -> list[int]:
    """
    Return the token ids after which a model writes the text between a prefix and a suffix, ending it with eos.

    Raises:
        ValueError: The tokenizer lacks a token for filling in the middle.
    """
    settings = {"add_special_tokens": False, "split_special_tokens": True, "verbose": False}
    token_ids: list[int] = [tokenizer.bos_token_id]
    for piece in prompt_pieces(prefix, suffix, FimTokens.of(tokenizer), form):
        token_ids += [piece] if isinstance(piece, int) else tokenizer(piece, **settings)["input_ids"]
    return token_ids


def restore_document(token_ids: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> str:
    """
    Return the text of a document in its original order.

    Args:
        token_ids: One document, in any of the forms or without a split, with or without bos and eos around it; or a
            prompt of [`infill_prompt`] and a completion.
        tokenizer: The tokenizer of the ids.

    Raises:
        ValueError: The special tokens are not in the order of a form.
    """
    ids = list(token_ids)
    if ids[:1] == [tokenizer.bos_token_id]:
        ids = ids[1:]
    if tokenizer.eos_token_id in ids:
        ids = ids[: ids.index(tokenizer.eos_token_id)]
    vocabulary = tokenizer.get_vocab()
    if not {vocabulary.get(token) for token in FIM_TOKENS} & set(ids):
        return _decode(ids, tokenizer)
    tokens = FimTokens.of(tokenizer)
    order = [token for token in ids if token in (tokens.prefix, tokens.middle, tokens.suffix)]
    if order != [tokens.prefix, tokens.suffix, tokens.middle] or ids[0] != tokens.prefix:
        raise ValueError(
            f"a document must begin with {FIM_PREFIX_TOKEN} and have {FIM_SUFFIX_TOKEN} and {FIM_MIDDLE_TOKEN} after "
            f"it, each once, got {' '.join(tokenizer.convert_ids_to_tokens(order))}"
        )
    suffix_start, middle_start = ids.index(tokens.suffix), ids.index(tokens.middle)
    # The prefix is in front of the suffix in the form PSM, and directly before the middle in the form SPM.
    parts = ids[1:suffix_start] + ids[middle_start + 1 :], ids[suffix_start + 1 : middle_start]
    return "".join(_decode(part, tokenizer) for part in parts)


def _decode(token_ids: list[int], tokenizer: PreTrainedTokenizerBase) -> str:
    text = tokenizer.decode(token_ids)
    assert isinstance(text, str), "these are the ids of one text"
    return text
