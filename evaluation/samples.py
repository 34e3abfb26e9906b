"""Prompts and samples of completions."""

from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from evaluation.token_loops import TokenLoops


@dataclass(frozen=True)
class Prompt:
    """A problem's name and the text that the model continues."""

    name: str
    text: str


@dataclass(frozen=True)
class Sample:
    """
    One completion.

    Attributes:
        prompt: The problem's name.
        index: Index among the problem's samples, from 0.
        completion: Cut at the end of the function, or whole if it has none; in a chat the whole answer.
        finished: Whether the function ends; in a chat, whether the model ended its answer.
        tokens: Number of generated tokens, before the cut; includes those of the prompt's end that token healing
            generates again.
        mean_loops: Loops per token of a LoopLM; None for other models.
        reached_limit: Whether the completion stopped at its maximum number of tokens or at the end of the context,
            neither finished nor ended by the model.
        token_loops: For each token of the completion its number of characters and the loop after which it left. None
            if all tokens took equally many loops, for other models, and in files of earlier versions.
    """

    prompt: str
    index: int
    completion: str
    finished: bool
    tokens: int
    mean_loops: float | None
    reached_limit: bool = False
    token_loops: TokenLoops | None = None


def plain_text(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    """Return the text of tokens without special tokens."""
    text = tokenizer.decode(ids, skip_special_tokens=True)
    assert isinstance(text, str), "the tokens are one text"
    return text


def end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Return the ids that end an answer; chat models have more than one."""
    ends = model.generation_config.eos_token_id
    ends = set(ends) if isinstance(ends, list) else {ends}
    return (ends | {tokenizer.eos_token_id}) - {None}
