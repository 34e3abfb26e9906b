"""The text and the loops of each token that a LoopLM generated with early exit."""

from collections.abc import Sequence

from tokenizers.decoders import DecodeStream
from transformers import PreTrainedTokenizerBase

TokenLoops = list[list[int]]
"""For each token its number of characters and the loop after which it left."""


def token_loops(
    tokenizer: PreTrainedTokenizerBase,
    ids: Sequence[int],
    loops: Sequence[int],
    text: str,
    skip_special_tokens: bool = True,
) -> TokenLoops | None:
    """
    Return the number of characters and the loop of each token of a text, in order.

    A character of several tokens counts for its last token; the others have 0 characters.

    Args:
        tokenizer: The model's.
        ids: Generated tokens.
        loops: Loops that each token took; 0 after the end of the text.
        text: Text of the tokens. It may lack the beginning of their text, such as the end of the prompt that token
            healing generates again; tokens without a character of `text` at the beginning are left out.

    Returns:
        None if all tokens took equally many loops, which `Sample.mean_loops` says as well, or if the tokens do not
        join to the text, as with a tokenizer that is not a fast one.
    """
    taken = [loop for loop in loops if loop > 0]
    if len(set(taken)) < 2 or not tokenizer.is_fast:
        return None
    stream = DecodeStream(skip_special_tokens=skip_special_tokens)
    pieces = [stream.step(tokenizer.backend_tokenizer, token) or "" for token in ids[: len(taken)]]
    whole = "".join(pieces)
    # An unfinished character at the end is no piece of the stream, but a replacement character in the text.
    known = text.removesuffix("\N{REPLACEMENT CHARACTER}")
    if not whole.endswith(known):
        return None
    before, found = len(whole) - len(known), []
    for piece, loop in zip(pieces, taken, strict=True):
        skipped = min(before, len(piece))
        before -= skipped
        if before == 0 and not (skipped and skipped == len(piece)):
            found.append([len(piece) - skipped, loop])
    return found


def within(found: TokenLoops | None, characters: int) -> TokenLoops | None:
    """Return the tokens of the first `characters` of a text; the last one is cut there."""
    if found is None:
        return None
    kept, left = [], characters
    for length, loop in found:
        if left <= 0:
            break
        kept.append([min(length, left), loop])
        left -= length
    return kept
