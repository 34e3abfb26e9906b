"""Completions of a LoopLM by the native engine."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from evaluation.chat_mode import begun_answer
from evaluation.generation_settings import GenerationSettings
from evaluation.healed_batch import HealedBatch
from evaluation.models.served_model import StopRule
from evaluation.samples import Prompt, Sample, end_tokens, plain_text
from evaluation.token_healing import HealedPrompt, TokenHealing
from evaluation.token_loops import token_loops
from runtime.engine import Engine
from runtime.settings import Completion, Constraint, SamplingSettings


class NativeModel:
    """
    A LoopLM in the native engine.

    Args:
        model: The model, whose weights are copied.
        tokenizer: The model's.
        longest: Number of tokens that fit into the model's context; None if it has no limit.
        healing: Of the tokenizer, for prompts that are continued; None for none.

    Raises:
        ValueError: The model is no LoopLM, or there is no Rust compiler.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        longest: int | None,
        healing: TokenHealing | None,
    ):
        self.engine = Engine.from_model(model)
        self.tokenizer = tokenizer
        self.ends = end_tokens(model, tokenizer)
        self.longest = longest
        self.healing = healing

    def complete(
        self, batch: Sequence[tuple[Prompt, int]], settings: GenerationSettings, seed: int, rule: StopRule | None
    ) -> list[Sample]:
        """Complete one batch. Without a rule the prompts are rendered chats, and the model ends its answers."""
        if rule is None:
            return self._answer(batch, settings, seed)
        return self._continue(batch, settings, seed, rule)

    def _continue(
        self, batch: Sequence[tuple[Prompt, int]], settings: GenerationSettings, seed: int, rule: StopRule
    ) -> list[Sample]:
        healed = HealedBatch(self.tokenizer, self.healing, batch, rule)
        constraints = None
        if self.healing is not None:
            prompts = self.healing.weighed(healed.prompts, partial(self.next_log_probabilities, settings=settings))
            constraints = [constraint_of(self.healing, prompt) for prompt in prompts]
        ids = [prompt.ids for prompt in healed.prompts]
        room = self._room(ids, settings)
        stopping = Stopping(self.tokenizer, healed.texts, room, rule, healed.text)
        found = self.engine.generate(ids, self._sampling(settings, max(room), seed), stopping, constraints)
        return [
            healed.sample(row, each.token_ids, len(each.token_ids), self.ends, each.loops_used, each.mean_loops)
            for row, each in enumerate(found)
        ]

    def _answer(self, batch: Sequence[tuple[Prompt, int]], settings: GenerationSettings, seed: int) -> list[Sample]:
        texts = [prompt.text for prompt, _ in batch]
        ids = self.tokenizer(texts, add_special_tokens=False)["input_ids"]
        room = self._room(ids, settings)
        stopping = Stopping(self.tokenizer, texts, room, None)
        found = self.engine.generate(ids, self._sampling(settings, max(room), seed), stopping)
        return [self._answered(prompt, number, each) for (prompt, number), each in zip(batch, found, strict=True)]

    def _room(self, ids: Sequence[Sequence[int]], settings: GenerationSettings) -> list[int]:
        """Return the maximum number of new tokens of each prompt."""
        if self.longest is None:
            return [settings.max_new_tokens] * len(ids)
        return [min(settings.max_new_tokens, self.longest - len(each)) for each in ids]

    def _sampling(self, settings: GenerationSettings, max_new_tokens: int, seed: int) -> SamplingSettings:
        return SamplingSettings(
            max_new_tokens=max_new_tokens,
            temperature=settings.temperature,
            top_p=1.0 if settings.temperature == 0 else settings.top_p,
            repetition_penalty=settings.repetition_penalty,
            seed=seed,
            batch_size=settings.batch_size,
            eos_token_id=tuple(sorted(self.ends)),
            num_loops=settings.num_loops,
            exit_threshold=settings.exit_threshold,
            exit_at_loop=settings.exit_at_loop,
        )

    def next_log_probabilities(self, texts: list[list[int]], settings: GenerationSettings) -> torch.Tensor:
        """Return the log-probabilities, in nats, of the token after each text, (texts, vocab)."""
        found = [
            self.engine.logits(
                text,
                num_loops=settings.num_loops,
                exit_threshold=settings.exit_threshold,
                exit_at_loop=settings.exit_at_loop,
                only_last=True,
            )
            for text in texts
        ]
        return torch.cat([logits for logits, _ in found]).log_softmax(1)

    def _answered(self, prompt: Prompt, number: int, found: Completion) -> Sample:
        tokens = found.token_ids
        ended = tokens[-1] in self.ends
        begun = begun_answer(prompt.text)
        # Special tokens are kept: the tags of a thought may be some.
        answer = self.tokenizer.decode(tokens[:-1] if ended else tokens)
        assert isinstance(answer, str), "the tokens are one text"
        text = begun + answer
        # A begun answer is text without tokens, so that the tokens would not join to the text.
        loops = found.loops_used
        known = None if begun else token_loops(self.tokenizer, tokens, loops, text, skip_special_tokens=False)
        return Sample(prompt.name, number, text, ended, len(tokens), found.mean_loops, not ended, known)


def constraint_of(healing: TokenHealing, prompt: HealedPrompt) -> Constraint | None:
    """
    Return the tokens that a prompt's removed text allows, for the native engine; None if nothing was removed.

    Args:
        healing: Of the tokenizer.
        prompt: From `TokenHealing.weighed`.
    """
    if prompt.start is None:
        return None
    starts, tokens, additions, following = [0], list[int](), list[float](), list[int]()
    places = [(tuple[int, ...](), prompt.start)]
    for path, place in places:  # grows by the places after each, which are therefore later nodes
        allowed = healing.allowed(place).tolist()
        tokens += allowed
        # The tokens that end within the removed text come first.
        for token, after in place.next.items():
            additions.append(prompt.weights.get((*path, token), 0.0))
            following.append(len(places))
            places.append(((*path, token), after))
        beyond = len(allowed) - len(place.next)
        additions += [0.0] * beyond
        following += [-1] * beyond
        starts.append(len(tokens))
    return Constraint(starts=starts, tokens=tokens, additions=additions, following=following)


class Stopping:
    """
    End a completion when its context is full, or when the rule finds the end of its text.

    Args:
        tokenizer: The model's.
        prompts: Text of each row.
        room: Maximum number of new tokens of each row.
        rule: Finds where a completion ends; None for nowhere.
        decode: Returns the text of a row's new tokens; None for the tokenizer's.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        prompts: Sequence[str],
        room: Sequence[int],
        rule: StopRule | None,
        decode: Callable[[int, list[int]], str] | None = None,
    ):
        self.tokenizer = tokenizer
        self.prompts = prompts
        self.room = room
        self.rule = rule
        self.decode = decode or (lambda row, ids: plain_text(tokenizer, ids))
        self.tokens: list[list[int]] = [[] for _ in prompts]

    def __call__(self, completion: int, token: int) -> bool:
        tokens = self.tokens[completion]
        tokens.append(token)
        if len(tokens) >= self.room[completion]:
            return True
        # The rule is asked only after a token that may end a function, which saves decoding the others.
        if self.rule is None or "}" not in self.tokenizer.decode([token]):
            return False
        return self.rule(self.prompts[completion], self.decode(completion, tokens)) is not None
