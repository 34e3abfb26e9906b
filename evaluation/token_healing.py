"""
Prompts that end inside a token, and completions that begin where the tokenizer would begin them.

The text that a model is trained on is tokenized as a whole: in `{\\n    let`, a line break and the spaces after it may
be one token. A prompt that is cut after the line break ends with a token that this text does not have there, and the
model continues something it has never seen. Token healing takes the last tokens of the prompt away, and lets the model
generate them again: only tokens that agree with the text that was taken away are allowed until that text is used up.
A token that ends before the end of that text counts with the probability that the rest of it follows, for which the
model is asked beforehand: otherwise `{` and two line breaks would begin with the likely token of a single one, after
which the second is not.

`generate(token_healing=True)` of Transformers is no replacement: it removes white space at the end of the prompt
instead of reproducing it, and decides for the new token before sampling, for one prompt at a time.
"""

import json
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from string import printable
from typing import Any

import torch
from transformers import LogitsProcessor, PreTrainedModel, PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import bytes_to_unicode

BYTE_LEVEL = {character: byte for byte, character in bytes_to_unicode().items()}
"""Byte of each character in the tokens of byte-level BPE."""
SPACE_MARK = "\N{LOWER ONE EIGHTH BLOCK}"
"""Space in the tokens of SentencePiece."""
CONTINUATIONS = ("", *(character for character in printable if character not in "\r\x0b\x0c"), "    ", "\n    ")
"""Texts that may follow a prompt, by which the possible tokens of its end are found."""
ANCHOR_TOKENS = 2
"""Tokens before the removed ones with which it is tokenized, because tokens depend on what is before them."""
NextLogProbabilities = Callable[[list[list[int]]], torch.Tensor]
"""From token sequences to the log-probabilities, in nats, of the token after each, (sequences, vocab)."""


class TokenBytes:
    """
    The bytes that each token of a vocabulary stands for; none for special tokens.

    Args:
        tokenizer: With byte-level BPE or SentencePiece, see `can_heal`.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self.tokenizer = tokenizer
        byte_level = _token_alphabet(tokenizer) == "ByteLevel"
        added = {place: str(token) for place, token in tokenizer.added_tokens_decoder.items()}
        self.special = frozenset(tokenizer.all_special_ids)
        vocabulary = tokenizer.get_vocab()
        self.pieces: list[bytes] = [b""] * (max(vocabulary.values()) + 1)
        for token, place in vocabulary.items():
            if place in self.special:
                continue
            if place in added:
                self.pieces[place] = added[place].encode()
            elif byte_level:
                self.pieces[place] = bytes(BYTE_LEVEL[character] for character in token)
            else:
                self.pieces[place] = _sentencepiece_bytes(token)
        self._sorted = sorted((piece, place) for place, piece in enumerate(self.pieces) if piece)
        self._keys = [piece for piece, _ in self._sorted]

    def starting_with(self, text: bytes) -> list[int]:
        """Return the tokens whose bytes begin with a text that is not empty."""
        start = bisect_left(self._keys, text)
        end = start
        while end < len(self._keys) and self._keys[end].startswith(text):
            end += 1
        return [place for _, place in self._sorted[start:end]]

    def join(self, ids: Sequence[int]) -> bytes:
        """Return the bytes of a sequence of tokens."""
        # A model may have more tokens than its tokenizer.
        return b"".join(self.pieces[each] for each in ids if each < len(self.pieces))


def can_heal(tokenizer: PreTrainedTokenizerBase | None) -> bool:
    """Whether the bytes of the tokenizer's tokens are known: byte-level BPE and SentencePiece."""
    return tokenizer is not None and _token_alphabet(tokenizer) is not None


def _token_alphabet(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """Return "ByteLevel" or "SentencePiece" by how the tokenizer decodes, or None."""
    if not tokenizer.is_fast:
        return None
    decoder = json.loads(tokenizer.backend_tokenizer.to_str())["decoder"]
    if decoder is None:
        return None
    steps: list[dict[str, Any]] = decoder["decoders"] if decoder["type"] == "Sequence" else [decoder]
    kinds = {step["type"] for step in steps}
    if "ByteLevel" in kinds:
        return "ByteLevel"
    replaces = any(step["type"] == "Replace" and step["pattern"] == {"String": SPACE_MARK} for step in steps)
    return "SentencePiece" if replaces or "Metaspace" in kinds else None


def _sentencepiece_bytes(token: str) -> bytes:
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        return bytes([int(token[3:5], 16)])
    return token.replace(SPACE_MARK, " ").encode()


@dataclass
class _Place:
    """
    A place within the removed text.

    Attributes:
        rest: What is left of it, in bytes; not empty.
        next: Tokens that end before its end, with the places after them.
        allowed: Ids of all tokens that may come here; None until it is asked for.
    """

    rest: bytes
    next: dict[int, "_Place"] = field(default_factory=dict)
    allowed: torch.Tensor | None = None


@dataclass(frozen=True)
class HealedPrompt:
    """
    A prompt without its last tokens.

    Attributes:
        ids: Tokens that are left, at least one.
        removed: Text of the others, in bytes.
        start: Place before the first removed byte; None if nothing was removed.
        weights: By the tokens from the start to a place within the removed text, the logarithm of the probability
            that the rest of it follows; only for places to which there is an alternative.
    """

    ids: list[int]
    removed: bytes
    start: _Place | None
    weights: dict[tuple[int, ...], float] = field(default_factory=dict)


class TokenHealing:
    """
    Token healing for a tokenizer.

    Removed are all tokens of white space at the end, and the one before them: `{` and a line break may be one token,
    too. Special tokens are kept, and so is the first token. Of the tokens that end within the removed text, those are
    allowed that the tokenizer makes of this text and some continuation.

    With the weights of `weighed`, completions at temperature 1 have exactly the model's distribution over the texts
    that begin with the prompt, in these tokens. At other temperatures, and with top-p, each token is chosen by that
    setting among the allowed ones.

    Args:
        tokenizer: See `can_heal`.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self.tokenizer = tokenizer
        self.bytes = TokenBytes(tokenizer)
        self._starts: dict[tuple[bytes, bytes], _Place] = {}

    def heal(self, ids: Sequence[int]) -> HealedPrompt:
        """Return a tokenized prompt without its last tokens."""
        first = 1 if ids and ids[0] not in self.bytes.special else 0
        cut = len(ids)
        while cut > first and self._is_white(ids[cut - 1]):
            cut -= 1
        if cut > first and ids[cut - 1] not in self.bytes.special:
            cut -= 1
        # A token may be a part of a character, which cannot be tokenized by itself.
        while cut > first and not _is_text(self.bytes.join(ids[cut:])) and ids[cut - 1] not in self.bytes.special:
            cut -= 1
        removed = self.bytes.join(ids[cut:])
        if not removed or not _is_text(removed):
            return HealedPrompt(list(ids), b"", None)
        anchor = self.bytes.join(ids[max(0, cut - ANCHOR_TOKENS) : cut])
        if (anchor, removed) not in self._starts:
            self._starts[anchor, removed] = self._places(anchor, removed)
        return HealedPrompt(list(ids[:cut]), removed, self._starts[anchor, removed])

    def _is_white(self, token: int) -> bool:
        piece = self.bytes.pieces[token]
        return bool(piece) and not piece.strip()

    def _places(self, anchor: bytes, removed: bytes) -> _Place:
        """Return the places within a removed text that the tokens of some continuation of it reach."""
        before, text = anchor.decode(errors="ignore"), removed.decode()
        start = _Place(removed)
        continued = [before + text + continuation for continuation in CONTINUATIONS]
        for ids, continuation in zip(
            self.tokenizer(continued, add_special_tokens=False)["input_ids"], CONTINUATIONS, strict=True
        ):
            # SentencePiece may add a space at the beginning, so tokens are counted from the end.
            size, count = len(removed) + len(continuation.encode()), 0
            while size > 0 and count < len(ids):
                count += 1
                size -= len(self.bytes.pieces[ids[-count]])
            if size != 0:
                continue  # a token is partly in the anchor
            place = start
            for token in ids[len(ids) - count :]:
                piece = self.bytes.pieces[token]
                if len(piece) >= len(place.rest) or not place.rest.startswith(piece):
                    break
                place = place.next.setdefault(token, _Place(place.rest[len(piece) :]))
        return start

    def allowed(self, place: _Place) -> torch.Tensor:
        """Return the ids of the tokens that may come at a place, (tokens,)."""
        if place.allowed is None:
            place.allowed = torch.tensor([*place.next, *self.bytes.starting_with(place.rest)], dtype=torch.long)
        return place.allowed

    def weighed(
        self, prompts: Sequence[HealedPrompt], next_log_probabilities: NextLogProbabilities
    ) -> list[HealedPrompt]:
        """
        Return prompts with their weights, which need a forward pass for each token that ends within a removed text.

        Args:
            prompts: Equal ones are computed once.
            next_log_probabilities: Of the model; called with at most as many sequences as there are prompts.
        """
        distinct = {(*prompt.ids, -1, *prompt.removed): prompt for prompt in prompts}
        asked = [(key, path) for key, prompt in distinct.items() for path in self._weighed_paths(prompt.start)]
        weights: dict[tuple[int, ...], dict[tuple[int, ...], float]] = {key: {} for key in distinct}
        sequences = [distinct[key].ids + list(path) for key, path in asked]
        logarithms: list[torch.Tensor] = []
        for start in range(0, len(sequences), len(prompts)):
            logarithms += next_log_probabilities(sequences[start : start + len(prompts)])
        # Longer paths first: the weight of a path contains those of the paths that continue it.
        for (key, path), each in sorted(
            zip(asked, logarithms, strict=True), key=lambda found: len(found[0][1]), reverse=True
        ):
            place = distinct[key].start
            assert place is not None, "only removed text has weights"
            for token in path:
                place = place.next[token]
            within = [float(each[token]) + weights[key][*path, token] for token in place.next]
            beyond = each[torch.tensor(self.bytes.starting_with(place.rest), dtype=torch.long, device=each.device)]
            weights[key][path] = float(torch.cat([beyond, beyond.new_tensor(within)]).logsumexp(0))
        return [replace(prompt, weights=weights[*prompt.ids, -1, *prompt.removed]) for prompt in prompts]

    def _weighed_paths(
        self, place: _Place | None, path: tuple[int, ...] = (), weighed: bool = False
    ) -> Iterator[tuple[int, ...]]:
        """Yield the tokens up to each place that needs a weight: it, or one before it, has an alternative."""
        if place is None:
            return
        if weighed:
            yield path
        weighed = weighed or len(place.next) + len(self.bytes.starting_with(place.rest)) > 1
        for token, following in place.next.items():
            yield from self._weighed_paths(following, (*path, token), weighed)

    def text(self, ids: Sequence[int], prompt: HealedPrompt) -> str:
        """Return the text of generated tokens after the end of the prompt, without special tokens."""
        return self.bytes.join(ids)[len(prompt.removed) :].decode(errors="replace")


def log_probabilities_of(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, **arguments: Any
) -> NextLogProbabilities:
    """
    Return the function for `TokenHealing.weighed` that asks a model of transformers.

    Args:
        model: In evaluation mode.
        tokenizer: The model's.
        arguments: Further arguments of `model.generate`, such as the depth of a LoopLM.
    """

    def next_log_probabilities(sequences: list[list[int]]) -> torch.Tensor:
        inputs = tokenizer.pad({"input_ids": sequences}, padding=True, padding_side="left", return_tensors="pt")
        output = model.generate(
            **inputs.to(model.device),
            **arguments,
            do_sample=False,
            max_new_tokens=1,
            output_logits=True,
            return_dict_in_generate=True,
            pad_token_id=tokenizer.pad_token_id,
        )
        return output.logits[0].float().log_softmax(1)

    return next_log_probabilities


class HealedTokens(LogitsProcessor):
    """
    Allow only tokens that agree with the removed text of each row, until it is used up.

    Args:
        healing: Of the tokenizer.
        prompts: The prompt of each row, from `weighed`.
    """

    def __init__(self, healing: TokenHealing, prompts: Sequence[HealedPrompt]):
        self._healing = healing
        self._prompts = prompts
        self._places = [prompt.start for prompt in prompts]
        self._paths: list[tuple[int, ...]] | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if self._paths is None:
            self._paths = [() for _ in self._prompts]
        else:
            self._advance(input_ids, self._paths)
        rows = [(row, place) for row, place in enumerate(self._places) if place is not None]
        if not rows:
            return scores
        healed = scores.clone()
        for row, place in rows:
            allowed = self._healing.allowed(place).to(scores.device)
            healed[row] = float("-inf")
            healed[row, allowed] = scores[row, allowed]
            for token in place.next:
                healed[row, token] += self._prompts[row].weights.get((*self._paths[row], token), 0.0)
        return healed

    def _advance(self, input_ids: torch.Tensor, paths: list[tuple[int, ...]]) -> None:
        for row, place in enumerate(self._places):
            if place is not None:
                token = int(input_ids[row, -1])
                self._places[row] = place.next.get(token)
                paths[row] = (*paths[row], token)


def _is_text(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
