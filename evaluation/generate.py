"""Sampling of completions: in batches, cut at the end of the function, kept in a file, and resumable."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import (
    BatchEncoding,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
    set_seed,
)

from evaluation.chat_mode import ChatMode, begun_answer
from evaluation.generation_settings import GenerationSettings
from evaluation.healed_batch import HealedBatch
from evaluation.models.served_model import ServedModel, StopRule, SuiteDoesNotFit
from evaluation.native_generation import NativeModel
from evaluation.progress import show_progress
from evaluation.rust.syntax.completion import completed_function
from evaluation.samples import Prompt, Sample, end_tokens, plain_text
from evaluation.token_healing import HealedTokens, TokenHealing, can_heal, log_probabilities_of
from evaluation.token_loops import token_loops
from modeling_nanochat import is_looplm


def depth_arguments(settings: GenerationSettings, config: Any) -> dict[str, Any]:
    """Return the depth settings as arguments of a LoopLM. Raises `ValueError` for a model without loops."""
    if settings.depth and not is_looplm(config):
        raise ValueError(f"{', '.join(settings.depth)} need a LoopLM, got a model of type {config.model_type}")
    return settings.depth


def generation_arguments(settings: GenerationSettings, config: Any) -> dict[str, Any]:
    """Return the arguments of `model.generate`. Raises `ValueError` if depth is set for a model without loops."""
    # Set explicitly: a model's own generation configuration would change what is measured.
    names = ("max_new_tokens", "repetition_penalty")
    found: dict[str, Any] = {name: getattr(settings, name) for name in names} | {"do_sample": False}
    if settings.temperature > 0:
        found |= {"do_sample": True, "temperature": settings.temperature, "top_p": settings.top_p, "top_k": 0}
    return found | depth_arguments(settings, config)


@torch.no_grad()
def fingerprint(model: PreTrainedModel) -> str:
    """Return a hash of a model's weights, its configuration and the depth it generates at."""
    digest = hashlib.sha256()
    settings = {name: value for name, value in model.config.to_dict().items() if not name.startswith("_")}
    settings.pop("transformers_version", None)
    settings.pop("use_cache", None)  # trainers turn it off
    names = ("num_loops", "exit_at_loop", "exit_threshold")
    depth = {name: value for name, value in model.generation_config.to_dict().items() if name in names}
    settings |= {"generation": depth} if depth else {}
    digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    for name, value in model.state_dict().items():
        # The sum weighted by position also changes when two weights are swapped.
        value = value.detach().double().flatten()
        place = torch.arange(1, value.numel() + 1, device=value.device, dtype=torch.float64)
        digest.update(f"{name} {value.numel()} {float(value.sum())!r} {float((value * place).sum())!r}".encode())
    return digest.hexdigest()[:16]


@torch.no_grad()
def check_depth(model: PreTrainedModel, settings: GenerationSettings) -> None:
    """
    Run the model on one token at the depth of the settings, before any long work.

    Raises:
        ValueError: The model has no loops, or cannot run at this depth.
    """
    depth = depth_arguments(settings, model.config)
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
        decode: Returns the text of a row's new tokens; None for the tokenizer's.
        on_end: Called with a row and its new tokens when it has stopped.
    """

    def __init__(
        self,
        rule: StopRule,
        tokenizer: PreTrainedTokenizerBase,
        prompts: Sequence[str],
        prompt_length: int,
        end_characters: str = "}",
        decode: Callable[[int, list[int]], str] | None = None,
        on_end: Callable[[int, list[int]], None] | None = None,
    ):
        self.rule = rule
        self.on_end = on_end
        self.end_characters = set(end_characters)
        self.tokenizer = tokenizer
        self.prompts = prompts
        self.prompt_length = prompt_length
        self.decode = decode or (lambda row, ids: plain_text(tokenizer, ids))
        self.lengths: list[int | None] = [None] * len(prompts)
        """Number of tokens of each row's completion; None while it is not complete."""

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **kwargs) -> torch.BoolTensor:
        last = self.tokenizer.batch_decode(input_ids[:, -1:])
        for row, token in enumerate(last):
            if self.lengths[row] is None and not self.end_characters.isdisjoint(token):
                ids = input_ids[row, self.prompt_length :].tolist()
                if self.rule(self.prompts[row], self.decode(row, ids)) is not None:
                    self.lengths[row] = len(ids)
                    if self.on_end is not None:
                        self.on_end(row, ids)
        return torch.tensor([length is not None for length in self.lengths], device=input_ids.device)


@torch.no_grad()
def _continue(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    batch: Sequence[tuple[Prompt, int]],
    settings: GenerationSettings,
    rule: StopRule,
    healing: TokenHealing | None,
) -> list[Sample]:
    """Continue the prompts of one batch, each up to where the rule ends it."""
    healed = HealedBatch(tokenizer, healing, batch, rule)
    inputs = _padded(model, tokenizer, [prompt.ids for prompt in healed.prompts])
    end = FunctionEnd(rule, tokenizer, healed.texts, inputs["input_ids"].shape[1], decode=healed.text)
    arguments: dict[str, Any] = {"stopping_criteria": StoppingCriteriaList([end])}
    if healing is not None:
        asked = log_probabilities_of(model, tokenizer, **depth_arguments(settings, model.config))
        prompts = healing.weighed(healed.prompts, asked)
        arguments["logits_processor"] = LogitsProcessorList([HealedTokens(healing, prompts)])
    rows, loops, used = _generate(model, tokenizer, inputs, settings, arguments)
    pad_token = tokenizer.pad_token_id
    ends, samples = {*end_tokens(model, tokenizer), pad_token}, []
    for index, (row, mean_loops, by_token) in enumerate(zip(rows, loops, used, strict=True)):
        count = row.index(pad_token) if pad_token in row else len(row)
        samples.append(healed.sample(index, row, count, ends, by_token, mean_loops))
    return samples


@torch.no_grad()
def _answer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    batch: Sequence[tuple[Prompt, int]],
    settings: GenerationSettings,
) -> list[Sample]:
    """Answer the rendered chats of one batch; the model ends its answers."""
    ids = tokenizer([prompt.text for prompt, _ in batch], add_special_tokens=False)["input_ids"]
    ends = end_tokens(model, tokenizer)
    inputs = _padded(model, tokenizer, ids)
    rows, loops, used = _generate(model, tokenizer, inputs, settings, {"eos_token_id": sorted(ends)})
    samples = []
    for (prompt, number), row, mean_loops, by_token in zip(batch, rows, loops, used, strict=True):
        end = next((place for place, token in enumerate(row) if token in ends), None)
        # Special tokens are kept: the tags of a thought may be some.
        begun = begun_answer(prompt.text)
        text = begun + tokenizer.decode(row if end is None else row[:end])
        tokens = len(row) if end is None else end + 1
        # A begun answer is text without tokens, so that the tokens would not join to the text.
        known = None if begun else token_loops(tokenizer, row, by_token, text, skip_special_tokens=False)
        samples.append(Sample(prompt.name, number, text, end is not None, tokens, mean_loops, end is None, known))
    return samples


def _padded(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, ids: list[list[int]]) -> BatchEncoding:
    """Return tokenized prompts as tensors on the model's device, padded on the left."""
    return tokenizer.pad({"input_ids": ids}, padding=True, padding_side="left", return_tensors="pt").to(model.device)


def _generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    inputs: BatchEncoding,
    settings: GenerationSettings,
    arguments: dict[str, Any],
) -> tuple[list[list[int]], list[float | None], list[list[int]]]:
    """
    Return the new tokens of each row, padded on the right, its mean loops, and the loops of each of its tokens; the
    last is empty for a model without loops.
    """
    length = inputs["input_ids"].shape[1]
    arguments = generation_arguments(settings, model.config) | arguments | {"pad_token_id": tokenizer.pad_token_id}
    longest = positions(model)
    if longest is not None:
        arguments["max_new_tokens"] = min(settings.max_new_tokens, longest - length)
    output = model.generate(**inputs, **arguments, return_dict_in_generate=True)
    rows = output.sequences[:, length:].tolist()
    if not is_looplm(model.config):
        return rows, [None] * len(rows), [[] for _ in rows]
    return rows, output.mean_loops.tolist(), output.loops_used.tolist()


def _complete(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    healing: TokenHealing | None,
    batch: Sequence[tuple[Prompt, int]],
    settings: GenerationSettings,
    seed: int,
    rule: StopRule | None,
) -> list[Sample]:
    """Complete one batch. Without a rule the prompts are rendered chats, and the model ends its answers."""
    set_seed(seed % 2**32)
    found: dict[int, Sample] = {}
    for places in _with_equal_room(model, tokenizer, batch, settings, special_tokens=rule is not None):
        rows = [batch[place] for place in places]
        if rule is None:
            samples = _answer(model, tokenizer, rows, settings)
        else:
            samples = _continue(model, tokenizer, rows, settings, rule, healing)
        found |= zip(places, samples, strict=True)
    return [found[place] for place in range(len(batch))]


def _with_equal_room(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    batch: Sequence[tuple[Prompt, int]],
    settings: GenerationSettings,
    special_tokens: bool,
) -> list[list[int]]:
    """
    Divide a batch into the rows whose completions may have all their tokens, and single ones whose context ends
    before: padded to the length of these, the others would end early, too.
    """
    longest, everything = positions(model), list(range(len(batch)))
    if longest is None:
        return [everything]
    ids = tokenizer([prompt.text for prompt, _ in batch], add_special_tokens=special_tokens)["input_ids"]
    short = [place for place in everything if len(ids[place]) + settings.max_new_tokens > longest]
    whole = [place for place in everything if place not in short]
    return [each for each in (whole, *([place] for place in short)) if each]


def _complete_served(
    model: ServedModel,
    batch: Sequence[tuple[Prompt, int]],
    settings: GenerationSettings,
    seed: int,
    rule: StopRule | None,
) -> list[Sample]:
    """Complete one batch by a served model. Without a rule the prompts are questions."""
    texts = [prompt.text for prompt, _ in batch]
    if rule is None:
        completions = model.answer(texts, settings, seed)
    else:
        completions = model.complete(texts, settings, seed, rule)
    return [
        Sample(prompt.name, index, found.text, found.finished, found.tokens, None, found.reached_limit)
        for (prompt, index), found in zip(batch, completions, strict=True)
    ]


def generate(
    model: PreTrainedModel | ServedModel,
    tokenizer: PreTrainedTokenizerBase | None,
    prompts: Sequence[Prompt],
    settings: GenerationSettings,
    path: Path,
    progress: bool = True,
    rule: StopRule = completed_function,
    chat: ChatMode | None = None,
) -> list[Sample]:
    """
    Sample completions of all prompts, problem by problem. They are written to `path` as JSON lines after each batch;
    an interrupted call continues from there and ends with the same samples.

    A prompt that does not fit into the model's context has an empty completion that has reached its limit.

    The end of a prompt is generated again with the tokens that fit its continuation, see `TokenHealing`; a chat, whose
    template ends before the answer, is not. Completions begin after the prompt in all cases.

    Args:
        model: In evaluation mode, or a served one.
        tokenizer: The model's, with a padding token; None for a served model.
        prompts: What to complete.
        settings: How to sample, and by which engine.
        path: File of the samples.
        progress: Show a progress bar.
        rule: Finds the end of a completion.
        chat: Ask by its instruction in its template; an answer ends where the model ends it, without a rule.

    Returns:
        `settings.num_samples` samples for each prompt, in order.

    Raises:
        ValueError: `path` holds samples of another model, of other prompts, or with other settings or another mode;
            no prompt fits into the model's context; or there is no chat template.
    """
    if chat is not None:
        prompts = [Prompt(prompt.name, chat.asked(model, tokenizer, prompt.text)) for prompt in prompts]
    healing, too_long = None, set()
    if isinstance(model, ServedModel):
        model.check(settings)
        identity, complete = model.digest or model.name, partial(_complete_served, model)
    else:
        assert tokenizer is not None, "a model in memory has a tokenizer"
        check_depth(model, settings)
        too_long = too_long_for(model, tokenizer, prompts, special_tokens=chat is None)
        identity = fingerprint(model)
        healing = TokenHealing(tokenizer) if chat is None and can_heal(tokenizer) else None
        if settings.engine == "native":
            complete = NativeModel(model, tokenizer, positions(model), healing).complete
        else:
            complete = partial(_complete, model, tokenizer, healing)
    rows = [(prompt, index) for prompt in prompts for index in range(settings.num_samples)]
    texts = json.dumps([asdict(prompt) for prompt in prompts])
    prompts_hash = hashlib.sha256(texts.encode()).hexdigest()
    header: dict[str, Any] = {"model": identity, "sampling": asdict(settings)}
    if settings.engine == "torch":
        del header["sampling"]["engine"]  # files from before there was another engine have no such field
    header["stop"] = "end_of_answer" if chat else rule.__name__
    # Files from before there was a chat mode have no such field.
    header["chat"] = None if chat is None else chat.record(model, tokenizer)
    header["prompts"] = prompts_hash
    header["token_healing"] = healing is not None
    samples = _read_samples(path, header, settings.batch_size, len(rows))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        # A batch that was not completely written is sampled again.
        file.writelines(json.dumps(line) + "\n" for line in (header, *map(asdict, samples)))
        file.flush()
        starts = range(len(samples), len(rows), settings.batch_size)
        with show_progress("Sampling", len(rows), "completions", len(samples), progress) as advance:
            for start in starts:
                # Each batch has a seed of its own, so that it does not depend on where an earlier call stopped.
                seed = settings.seed * 1_000_003 + start
                batch = rows[start : start + settings.batch_size]
                fitting = [row for row in batch if row[0].name not in too_long]
                made = iter(complete(fitting, settings, seed, None if chat else rule) if fitting else ())
                completed = [
                    Sample(prompt.name, index, "", False, 0, None, True) if prompt.name in too_long else next(made)
                    for prompt, index in batch
                ]
                file.writelines(json.dumps(asdict(sample)) + "\n" for sample in completed)
                file.flush()
                samples += completed
                advance(len(completed))
    return samples


def positions(model: PreTrainedModel) -> int | None:
    """Return the number of tokens that fit into the model's context; None if it has no limit."""
    return model.config.to_dict().get("max_position_embeddings") or model.config.to_dict().get("n_positions")


def too_long_for(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Prompt], special_tokens: bool
) -> set[str]:
    """Return the names of the prompts that fill the model's context. Raises `SuiteDoesNotFit` if all of them do."""
    longest = positions(model)
    if longest is None:
        return set()
    lengths = {
        prompt.name: len(tokenizer(prompt.text, add_special_tokens=special_tokens)["input_ids"]) for prompt in prompts
    }
    too_long = {name for name, length in lengths.items() if length + 1 > longest}
    if too_long and len(too_long) == len(lengths):
        name = min(lengths, key=lambda each: lengths[each])
        raise SuiteDoesNotFit(
            f"prompts must leave room within the model's {longest} positions, got {lengths[name]} tokens in the "
            f"shortest, {name}"
        )
    return too_long


def _read_samples(path: Path, header: dict[str, Any], batch_size: int, total: int) -> list[Sample]:
    """Return the samples of complete batches in a file. Raises `ValueError` if its header is another."""
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    complete = [json.loads(line) for line in lines if line.endswith("\n")]
    if not complete:
        return []
    for name, value in header.items():
        if complete[0].get(name) != value:
            raise ValueError(
                f"{path} holds samples with another {name}: delete it, or choose another folder, to sample anew"
            )
    samples = [Sample(**line) for line in complete[1:]]
    whole = len(samples) if len(samples) == total else len(samples) // batch_size * batch_size
    return samples[:whole]
