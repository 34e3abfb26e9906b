"""Samples from a language model: batched, cut where the function ends, kept in a file, and resumable."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
    set_seed,
)

from evaluation.chat_mode import ChatMode, begun_answer
from evaluation.progress import show_progress
from evaluation.rust.syntax.completion import completed_function
from evaluation.token_sampling import TokenSampling
from modeling_nanochat import is_looplm

DEPTH = ("num_loops", "exit_at_loop", "exit_threshold")

StopRule = Callable[[str, str], str | None]
"""From a prompt and what was drawn so far to the completion, cut; None while it goes on."""


@dataclass(frozen=True)
class Sampling:
    """
    How completions are drawn.

    Attributes:
        num_samples: Completions per prompt.
        temperature: 0 always takes the likeliest token.
        top_p: Smallest share of the probability that is kept.
        max_new_tokens: Tokens after which a completion ends at the latest.
        seed: Of the drawing.
        batch_size: Completions at a time; other sizes draw other completions.
        num_loops, exit_at_loop, exit_threshold: For a LoopLM, instead of what its configuration says.
    """

    num_samples: int = 1
    temperature: float = 0.2
    top_p: float = 0.95
    max_new_tokens: int = 512
    seed: int = 0
    batch_size: int = 8
    num_loops: int | None = None
    exit_at_loop: int | None = None
    exit_threshold: float | None = None

    def __post_init__(self):
        for name in ("num_samples", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        TokenSampling(self.temperature, self.top_p, self.max_new_tokens)  # checks these
        if self.temperature == 0 and self.num_samples > 1:
            raise ValueError(f"num_samples must be 1 at temperature 0, all would be equal, got {self.num_samples}")

    def arguments(self, config: Any) -> dict[str, Any]:
        """For `generate`. Raises `ValueError` when depth is asked of a model that has none."""
        # Models come with defaults of their own, which would make them draw differently.
        found: dict[str, Any] = {"max_new_tokens": self.max_new_tokens, "repetition_penalty": 1.0}
        found |= {"do_sample": False}
        if self.temperature > 0:
            found |= {"do_sample": True, "temperature": self.temperature, "top_p": self.top_p, "top_k": 0}
        return found | self.depth(config)

    def depth(self, config: Any) -> dict[str, Any]:
        """What is asked of a LoopLM's depth. Raises `ValueError` when depth is asked of a model that has none."""
        depth = {name: getattr(self, name) for name in DEPTH if getattr(self, name) is not None}
        if depth and not is_looplm(config):
            raise ValueError(f"{', '.join(depth)} need a LoopLM, got a model of type {config.model_type}")
        return depth


@dataclass(frozen=True)
class Prompt:
    """A problem's name and the text to continue."""

    name: str
    text: str


@dataclass(frozen=True)
class Sample:
    """
    One completion.

    Attributes:
        prompt: The problem's name.
        index: Which of the problem's samples, from 0.
        completion: Cut where the function ends, whole if it does not; of a chat the whole answer.
        finished: Whether the function ends; of a chat, whether the model ended its answer.
        tokens: Generated, also those that were cut.
        mean_loops: Loops per token of a LoopLM, None for other models.
    """

    prompt: str
    index: int
    completion: str
    finished: bool
    tokens: int
    mean_loops: float | None


@torch.no_grad()
def fingerprint(model: PreTrainedModel) -> str:
    """A hash of a model's weights, its configuration and the depth it generates at, wherever they are saved."""
    digest = hashlib.sha256()
    settings = {name: value for name, value in model.config.to_dict().items() if not name.startswith("_")}
    settings.pop("transformers_version", None)
    settings.pop("use_cache", None)  # trainers turn it off
    depth = {name: value for name, value in model.generation_config.to_dict().items() if name in DEPTH}
    settings |= {"generation": depth} if depth else {}
    digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    for name, value in model.state_dict().items():
        # The sum of the weights times their place changes when any of them does, or when two change places.
        value = value.detach().double().flatten()
        place = torch.arange(1, value.numel() + 1, device=value.device, dtype=torch.float64)
        digest.update(f"{name} {value.numel()} {float(value.sum())!r} {float((value * place).sum())!r}".encode())
    return digest.hexdigest()[:16]


@torch.no_grad()
def check_depth(model: PreTrainedModel, sampling: Sampling) -> None:
    """
    Asks the model for one token at the depth that is wanted, before any long work.

    Raises:
        ValueError: The model has no depth, or not this one.
    """
    depth = sampling.depth(model.config)
    if depth:
        model(torch.zeros(1, 1, dtype=torch.long, device=model.device), **depth)


class FunctionEnd(StoppingCriteria):
    """
    Stop each row when the rule finds the end of its completion.

    Args:
        rule: Finds where a completion ends.
        tokenizer: The model's.
        prompts: Text of each row.
        prompt_length: Tokens of the padded prompts.
        end_characters: The rule is asked only after a token with one of these, which saves decoding the others.
    """

    def __init__(
        self,
        rule: StopRule,
        tokenizer: PreTrainedTokenizerBase,
        prompts: Sequence[str],
        prompt_length: int,
        end_characters: str = "}",
    ):
        self.rule = rule
        self.end_characters = set(end_characters)
        self.tokenizer = tokenizer
        self.prompts = prompts
        self.prompt_length = prompt_length
        self.lengths: list[int | None] = [None] * len(prompts)
        """Tokens of each row's completion up to its end; None while it goes on."""

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **kwargs) -> torch.BoolTensor:
        last = self.tokenizer.batch_decode(input_ids[:, -1:])
        for row, token in enumerate(last):
            if self.lengths[row] is None and not self.end_characters.isdisjoint(token):
                text = self.tokenizer.decode(input_ids[row, self.prompt_length :], skip_special_tokens=True)
                if self.rule(self.prompts[row], text) is not None:
                    self.lengths[row] = input_ids.shape[1] - self.prompt_length
        return torch.tensor([length is not None for length in self.lengths], device=input_ids.device)


def _end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Ids that end an answer: chat models name more than one."""
    ends = model.generation_config.eos_token_id
    ends = set(ends) if isinstance(ends, list) else {ends}
    return (ends | {tokenizer.eos_token_id}) - {None}


@torch.no_grad()
def _complete(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    batch: Sequence[tuple[Prompt, int]],
    sampling: Sampling,
    rule: StopRule | None,
) -> list[Sample]:
    """Where there is no rule, the prompts are rendered chats, and the model ends its answers."""
    texts = [prompt.text for prompt, _ in batch]
    # Some tokenizers give token types, which few decoders take.
    settings = {"padding": True, "padding_side": "left", "return_token_type_ids": False}
    settings["add_special_tokens"] = rule is not None
    inputs = tokenizer(texts, return_tensors="pt", **settings).to(model.device)
    length = inputs["input_ids"].shape[1]
    ends = _end_tokens(model, tokenizer)
    settings = sampling.arguments(model.config) | {"pad_token_id": tokenizer.pad_token_id}
    if rule is None:
        settings["eos_token_id"] = sorted(ends)
    else:
        settings["stopping_criteria"] = StoppingCriteriaList([FunctionEnd(rule, tokenizer, texts, length)])
    longest = positions(model)
    if longest is not None:
        settings["max_new_tokens"] = min(sampling.max_new_tokens, longest - length)
    output = model.generate(**inputs, **settings, return_dict_in_generate=True)
    loops = [None] * len(batch)
    if is_looplm(model.config):
        loops = output.mean_loops.tolist()
    samples = []
    for (prompt, index), row, mean_loops in zip(batch, output.sequences[:, length:].tolist(), loops, strict=True):
        tokens = next((place for place, token in enumerate(row) if token == tokenizer.pad_token_id), len(row))
        if rule is None:
            end = next((place for place, token in enumerate(row) if token in ends), None)
            # The tags of a thought may be special tokens.
            text = begun_answer(prompt.text) + tokenizer.decode(row[: tokens if end is None else end])
            tokens = tokens if end is None else end + 1
            samples.append(Sample(prompt.name, index, text, end is not None, tokens, mean_loops))
            continue
        text = tokenizer.decode(row, skip_special_tokens=True)
        function = rule(prompt.text, text)
        completion = text if function is None else function
        samples.append(Sample(prompt.name, index, completion, function is not None, tokens, mean_loops))
    return samples


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Prompt],
    sampling: Sampling,
    path: Path,
    progress: bool = True,
    rule: StopRule = completed_function,
    chat: ChatMode | None = None,
) -> list[Sample]:
    """
    All samples of all prompts, problem by problem, also written to `path` as JSON lines after each batch. What an
    earlier call with the same model, prompts and sampling left there is used, so that a killed one continues to the
    same samples. `rule` says where a completion ends. With `chat` the prompts are asked by its instruction in its
    template, and an answer ends where the model ends it.

    Raises:
        ValueError: `path` holds samples of another model, other prompts, another sampling or another mode, a prompt is
            longer than the model's positions allow, or there is no chat template.
    """
    check_depth(model, sampling)
    if chat is not None:
        prompts = [Prompt(prompt.name, chat.render(tokenizer, prompt.text)) for prompt in prompts]
    rows = [(prompt, index) for prompt in prompts for index in range(sampling.num_samples)]
    _check_lengths(model, tokenizer, prompts, special_tokens=chat is None)
    texts = json.dumps([asdict(prompt) for prompt in prompts])
    prompts_hash = hashlib.sha256(texts.encode()).hexdigest()
    header: dict[str, Any] = {"model": fingerprint(model), "sampling": asdict(sampling)}
    header["stop"] = "end_of_answer" if chat else rule.__name__
    # Files from before there was a chat mode lack it, and hold completions.
    header["chat"] = None if chat is None else chat.record(tokenizer)
    header["prompts"] = prompts_hash
    samples = _read_samples(path, header, sampling.batch_size, len(rows))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        # A batch that was not written to its end is drawn again.
        file.writelines(json.dumps(line) + "\n" for line in (header, *map(asdict, samples)))
        file.flush()
        starts = range(len(samples), len(rows), sampling.batch_size)
        with show_progress("Sampling", len(rows), "completions", len(samples), progress) as advance:
            for start in starts:
                # Each batch has a seed of its own: it is the same whatever was drawn before.
                set_seed((sampling.seed * 1_000_003 + start) % 2**32)
                drawn = _complete(
                    model, tokenizer, rows[start : start + sampling.batch_size], sampling, None if chat else rule
                )
                file.writelines(json.dumps(asdict(sample)) + "\n" for sample in drawn)
                file.flush()
                samples += drawn
                advance(len(drawn))
    return samples


def positions(model: PreTrainedModel) -> int | None:
    """Tokens the model has positions for; None when it has no bound."""
    return model.config.to_dict().get("max_position_embeddings") or model.config.to_dict().get("n_positions")


def _check_lengths(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Prompt], special_tokens: bool
) -> None:
    longest = positions(model)
    if longest is None:
        return
    for prompt in prompts:
        length = len(tokenizer(prompt.text, add_special_tokens=special_tokens)["input_ids"])
        if length + 1 > longest:
            raise ValueError(
                f"prompt {prompt.name} must leave room within the model's {longest} positions, got {length} tokens"
            )


def _read_samples(path: Path, header: dict[str, Any], batch_size: int, total: int) -> list[Sample]:
    """The samples of whole batches that are there; raises `ValueError` when they are others."""
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    complete = [json.loads(line) for line in lines if line.endswith("\n")]
    if not complete:
        return []
    for name, value in header.items():
        if complete[0].get(name) != value:
            raise ValueError(
                f"{path} holds samples with another {name}; delete it, or choose another place, to draw new ones"
            )
    samples = [Sample(**line) for line in complete[1:]]
    whole = len(samples) if len(samples) == total else len(samples) // batch_size * batch_size
    return samples[:whole]
