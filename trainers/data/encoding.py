"""Fast encoding of Rust text: each distinct word is encoded once and looked up from then on."""

import json
import re
from collections.abc import Sequence
from hashlib import sha256
from itertools import islice
from typing import Any

import numpy as np
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
_DIGITS = {"type": "Digits", "individual_digits": True}
_WORDS = {
    # GPT-2's pattern for text in ASCII, where \p{L} and \p{N} are letters and digits.
    "gpt-2": re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+", re.ASCII),
    # The same between digits, which are words of their own.
    "smollm": re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?[A-Za-z]+|[0-9]| ?[^\sA-Za-z0-9]+|\s+(?![^\s0-9])|\s+", re.ASCII),
}
# No word of these patterns goes past the end of a line that does not end in white space.
_LINE_END = re.compile(r"(?<=\S)(?=\n)")
MAX_CACHE_BYTES = 2**26
"""Memory for words that are remembered, in bytes. Beyond that, all are forgotten."""
BYTES_PER_WORD = 200  # of a word in the cache, besides its characters and token ids


class TextEncoder:
    """
    Encoder with the token ids of a tokenizer, several times as fast, because most words of a program are repeated.

    This holds for byte-level BPE with the pre-tokenization of GPT-2, as of [`train_tokenizer`], or of SmolLM. Text in
    ASCII is split into words in Python, and the tokenizer encodes new words and lines with other characters. Any other
    tokenizer encodes whole texts.

    Args:
        tokenizer: Tokenizer with a bos and an eos token.

    Raises:
        ValueError: The tokenizer lacks one of these tokens.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast):
        for name in ("bos_token", "eos_token"):
            if tokenizer.special_tokens_map.get(name) is None:
                raise ValueError(f"the tokenizer must have a {name}, got none")
        self._backend = copy_backend(tokenizer)
        # Text that spells a special token stays text.
        self._backend.encode_special_tokens = True
        self._pattern = _pattern_of_words(json.loads(self._backend.to_str()))
        self._cache: dict[str, bytes] = {}
        self._cache_bytes = 0
        self.dtype = np.dtype("<u2" if len(tokenizer) <= 2**16 else "<u4")

    def encode(self, texts: Sequence[str]) -> list[bytes]:
        """Return the token ids of each text, without special tokens, as the bytes of an array of `dtype`."""
        if self._pattern is None:
            return self._encode(list(texts))
        if self._cache_bytes > MAX_CACHE_BYTES:
            self._cache.clear()
            self._cache_bytes = 0
        words_of_texts = [_words(text, self._pattern) for text in texts]
        unknown = list({word: None for words in words_of_texts for word in words if word not in self._cache})
        for word, tokens in zip(unknown, self._encode(unknown), strict=True):
            self._cache[word] = tokens
            self._cache_bytes += BYTES_PER_WORD + len(word) + len(tokens)
        return [b"".join(map(self._cache.__getitem__, words)) for words in words_of_texts]

    def _encode(self, texts: list[str]) -> list[bytes]:
        found = []
        remaining = iter(texts)
        # An encoding takes about 100 bytes per token until it is dropped.
        while part := list(islice(remaining, 1024)):
            encodings = self._backend.encode_batch_fast(part, add_special_tokens=False)
            found += [np.array(encoding.ids, dtype=self.dtype).tobytes() for encoding in encodings]
        return found


def copy_backend(tokenizer: PreTrainedTokenizerFast) -> Tokenizer:
    """Return a copy of the tokenizer of the library tokenizers, without truncation and padding."""
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_truncation()
    backend.no_padding()
    return backend


def tokenizer_sha256(tokenizer: PreTrainedTokenizerFast) -> str:
    """SHA-256 of everything that decides a tokenizer's token ids."""
    special = json.dumps({name: str(token) for name, token in tokenizer.special_tokens_map.items()}, sort_keys=True)
    return sha256(f"{special}\n{copy_backend(tokenizer).to_str()}".encode()).hexdigest()


def _word_kind(settings: dict[str, Any]) -> str | None:
    """
    Return how a byte-level pre-tokenizer splits text into words, by its name in llama.cpp: "gpt-2", or "smollm" with
    each digit for itself; None for any other.

    Args:
        settings: JSON of the tokenizer.
    """
    found = settings["pre_tokenizer"] or {}
    parts = found["pretokenizers"] if found.get("type") == "Sequence" else [found]
    for name, needed in (("gpt-2", [_BYTE_LEVEL]), ("smollm", [_DIGITS, _BYTE_LEVEL])):
        if len(parts) == len(needed) and all(a.items() <= b.items() for a, b in zip(needed, parts, strict=True)):
            return name
    return None


def _pattern_of_words(settings: dict[str, Any]) -> re.Pattern[str] | None:
    """Return the pattern of the words that a tokenizer encodes each for itself, and always alike; None without one."""
    kind, model = _word_kind(settings), settings["model"]
    is_regular = (
        settings["normalizer"] is None
        and model["type"] == "BPE"
        and not model["dropout"]
        and all(token["special"] for token in settings["added_tokens"])
    )
    return _WORDS[kind] if kind is not None and is_regular else None


def _words(text: str, pattern: re.Pattern[str]) -> list[str]:
    """Split a text into words in ASCII, and whole lines with other characters."""
    if text.isascii():
        return pattern.findall(text)
    words = []
    for line in _LINE_END.split(text):
        if line.isascii():
            words += pattern.findall(line)
        else:
            words.append(line)
    return words
