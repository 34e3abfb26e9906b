"""Completions of the policy by the native engine, which gets the weights anew after every step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerBase

from evaluation.native_generation import Stopping
from evaluation.rust.syntax.completion import completed_function
from modeling_nanochat import LoopLMForCausalLM
from runtime.engine import Engine
from runtime.settings import MOST_TOGETHER, Completion, SamplingSettings

COMPARED = 4
"""Maximum number of completions of a step whose log-probabilities are compared with the trainer's."""
LARGEST_GAP = 0.1
"""
Largest gap, in nats, of the first step. Rounding to int8 and bf16 in another order explains a smaller one. With a
larger one the samples are those of another model, and the update, which takes them as the policy's, is wrong.
"""


@dataclass(frozen=True)
class Rollouts:
    """
    Completions of prompts.

    Attributes:
        token_ids: Of each completion, with its end token if it has one.
        log_probabilities: Of each token in nats, as the engine computed them.
        finished: Whether each completion has its end: that of its function, or an end token.
    """

    token_ids: list[list[int]]
    log_probabilities: list[list[float]]
    finished: list[bool]


class NativeRollouts:
    """
    A policy in the native engine.

    Args:
        tokenizer: The policy's.
        temperature: Of the sampling.
        max_completion_length: Maximum number of tokens of a completion.
        ends: Tokens that end a text.
        stop_at_function_end: Whether a completion ends with the function that its prompt begins, instead of with an
            end token.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        temperature: float,
        max_completion_length: int,
        ends: Sequence[int],
        stop_at_function_end: bool,
    ):
        self.tokenizer = tokenizer
        self.temperature = temperature
        self.max_completion_length = max_completion_length
        self.ends = tuple(sorted(ends))
        self.stop_at_function_end = stop_at_function_end
        self._engine: Engine | None = None
        self._step: int | None = None

    def draw(
        self,
        policy: LoopLMForCausalLM,
        step: int,
        prompt_ids: Sequence[Sequence[int]],
        functions: Sequence[str] | None = None,
        room: Sequence[int] | None = None,
        on_end: Callable[[int, list[int]], None] | None = None,
    ) -> Rollouts:
        """
        Draw one completion for each prompt.

        Args:
            policy: The model, whose weights are copied if `step` is not that of the call before.
            step: Number of optimizer steps that were made.
            prompt_ids: Tokens of each prompt; equal ones that are next to each other are computed once.
            functions: Text that ends within the function which each completion continues; None for the prompt's.
            room: Maximum number of tokens of each completion; None for `max_completion_length`.
            on_end: Called with the index of a completion and its tokens when it has ended.
        """
        room = [self.max_completion_length] * len(prompt_ids) if room is None else room
        if self._engine is None or step != self._step:
            self._engine, self._step = Engine.from_model(policy, threads=torch.get_num_threads()), step
        settings = SamplingSettings(
            max_new_tokens=max(room),
            temperature=self.temperature,
            # From PyTorch's random numbers, whose state is in every checkpoint: a resumed run draws the same.
            seed=int(torch.randint(2**31, ())),
            batch_size=min(len(prompt_ids), MOST_TOGETHER),
            eos_token_id=self.ends,
        )
        texts = functions or self.tokenizer.batch_decode(list(prompt_ids), skip_special_tokens=True)
        rule = completed_function if self.stop_at_function_end else None
        stopping = Stopping(self.tokenizer, texts, room, rule)

        def stops(completion: int, token: int) -> bool:
            ends = stopping(completion, token)
            if on_end is not None and (ends or token in self.ends):
                on_end(completion, stopping.tokens[completion])
            return ends

        found = self._engine.generate(prompt_ids, settings, stops)
        if rule is None:
            return _rollouts(found, [each.token_ids[-1] in self.ends for each in found])
        answers = [self._text(each.token_ids, True) for each in found]
        finished = [completed_function(text, answer) is not None for text, answer in zip(texts, answers, strict=True)]
        return _rollouts(found, finished)

    def _text(self, tokens: list[int], skip_special_tokens: bool) -> str:
        text = self.tokenizer.decode(tokens, skip_special_tokens=skip_special_tokens)
        assert isinstance(text, str), "the tokens are one text"
        return text


@torch.no_grad()
def rollout_gap(
    policy: LoopLMForCausalLM, prompt_ids: Sequence[Sequence[int]], drawn: Rollouts, temperature: float
) -> float:
    """
    Return the mean difference, in nats, between the log-probabilities of tokens in the engine and in the policy as it
    is trained.

    Args:
        policy: The model.
        prompt_ids: Tokens of each prompt.
        drawn: Their completions, of which `COMPARED` are used, at equal distances.
        temperature: Of the sampling.
    """
    count = len(prompt_ids)
    compared = sorted({number * count // COMPARED for number in range(COMPARED)})
    differences = []
    for prompt, tokens, engines in ((prompt_ids[i], drawn.token_ids[i], drawn.log_probabilities[i]) for i in compared):
        ids = torch.tensor([[*prompt, *tokens]], device=policy.device)
        logits = policy(input_ids=ids, use_cache=False, return_logits=True).logits[0, len(prompt) - 1 : -1]
        own = (logits.float() / temperature).log_softmax(dim=-1).cpu().gather(1, torch.tensor(tokens)[:, None])
        differences.append((own.squeeze(1) - torch.tensor(engines)).abs())
    return torch.cat(differences).mean().item()


def check_gap(gap: float) -> None:
    """
    Raise `ValueError` if the engine computes another model than the policy.

    Args:
        gap: Result of [`rollout_gap`], in nats.
    """
    # A gap that is NaN is refused, too.
    if not gap <= LARGEST_GAP:
        raise ValueError(
            "the native engine must compute the policy: the mean difference of the log-probabilities of tokens must "
            f"be at most {LARGEST_GAP} nats, got {gap:.3g}. Train with rollout_engine=torch, and report this with the "
            "model's config.json"
        )


def _rollouts(found: Sequence[Completion], finished: list[bool]) -> Rollouts:
    return Rollouts([each.token_ids for each in found], [each.log_probabilities for each in found], finished)
