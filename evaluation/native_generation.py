"""Completions of a LoopLM by the native engine."""

from collections.abc import Callable, Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from evaluation.chat_mode import begun_answer
from evaluation.generation_settings import GenerationSettings
from evaluation.models.served_model import StopRule
from evaluation.samples import Prompt, Sample, end_tokens
from evaluation.token_loops import token_loops, within
from runtime.engine import Engine
from runtime.settings import Completion, SamplingSettings


class NativeModel:
    """
    A LoopLM in the native engine.

    Args:
        model: The model, whose weights are copied.
        tokenizer: The model's.
        longest: Number of tokens that fit into the model's context; None if it has no limit.

    Raises:
        ValueError: The model is no LoopLM, or there is no Rust compiler.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, longest: int | None):
        self.engine = Engine.from_model(model)
        self.tokenizer = tokenizer
        self.ends = end_tokens(model, tokenizer)
        self.longest = longest

    def complete(
        self, batch: Sequence[tuple[Prompt, int]], settings: GenerationSettings, seed: int, rule: StopRule | None
    ) -> list[Sample]:
        """Complete one batch. Without a rule the prompts are rendered chats, and the model ends its answers."""
        texts = [prompt.text for prompt, _ in batch]
        ids = self.tokenizer(texts, add_special_tokens=rule is not None)["input_ids"]
        room = [settings.max_new_tokens if self.longest is None else self.longest - len(each) for each in ids]
        room = [min(settings.max_new_tokens, each) for each in room]
        has_ended = Stopping(self._text, texts, room, rule)
        sampling = SamplingSettings(
            max_new_tokens=max(room),
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
        found = self.engine.generate(ids, sampling, has_ended)
        rows = zip(batch, found, strict=True)
        if rule is None:
            return [self._answer(prompt, number, each) for (prompt, number), each in rows]
        return [self._completion(prompt, number, each, rule) for (prompt, number), each in rows]

    def _text(self, tokens: list[int], skip_special_tokens: bool) -> str:
        text = self.tokenizer.decode(tokens, skip_special_tokens=skip_special_tokens)
        assert isinstance(text, str), "the tokens are one text"
        return text

    def _completion(self, prompt: Prompt, number: int, found: Completion, rule: StopRule) -> Sample:
        tokens = found.token_ids
        text = self._text(tokens, skip_special_tokens=True)
        function = rule(prompt.text, text)
        completion = text if function is None else function
        known = within(token_loops(self.tokenizer, tokens, found.loops_used, text), len(completion))
        reached_limit = function is None and self.ends.isdisjoint(tokens)
        finished = function is not None
        return Sample(prompt.name, number, completion, finished, len(tokens), found.mean_loops, reached_limit, known)

    def _answer(self, prompt: Prompt, number: int, found: Completion) -> Sample:
        tokens = found.token_ids
        ended = tokens[-1] in self.ends
        begun = begun_answer(prompt.text)
        # Special tokens are kept: the tags of a thought may be some.
        text = begun + self._text(tokens[:-1] if ended else tokens, skip_special_tokens=False)
        # A begun answer is text without tokens, so that the tokens would not join to the text.
        loops = found.loops_used
        known = None if begun else token_loops(self.tokenizer, tokens, loops, text, skip_special_tokens=False)
        return Sample(prompt.name, number, text, ended, len(tokens), found.mean_loops, not ended, known)


class Stopping:
    """End a completion when its context is full, or when the rule finds the end of its text."""

    def __init__(
        self,
        decode: Callable[[list[int], bool], str],
        prompts: Sequence[str],
        room: Sequence[int],
        rule: StopRule | None,
    ):
        self.decode = decode
        self.prompts = prompts
        self.room = room
        self.rule = rule
        self.tokens: list[list[int]] = [[] for _ in prompts]

    def __call__(self, completion: int, token: int) -> bool:
        tokens = self.tokens[completion]
        tokens.append(token)
        if len(tokens) >= self.room[completion]:
            return True
        # The rule is asked only after a token that may end a function, which saves decoding the others.
        if self.rule is None or "}" not in self.decode([token], False):
            return False
        text = self.decode(tokens, True)
        return self.rule(self.prompts[completion], text) is not None
