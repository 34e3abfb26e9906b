"""Further tries of completions that fail, with the compiler's message between them; all tries are one row."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from evaluation.generate import positions
from evaluation.rust import Verdict
from evaluation.suites.repair_format import SAID, correction, message_of, second_prompt
from trainers.reinforcement.policy_trainer import PolicyTrainer
from trainers.reinforcement.rewards import RustReward, Text, program_of

ANY_QUESTION = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]


@dataclass
class Row:
    """
    The tries of one completion.

    Attributes:
        prompt: Text or messages of the data set.
        prompt_ids: Its tokens.
        last_ids: Tokens of the last try.
        finished: Whether the last try came to its end.
        tries: Number of tries.
        completion_ids: Tokens of all tries and of the messages between them.
        mask: 1 for each token of a try, 0 for each of a message.
    """

    prompt: Text
    prompt_ids: list[int]
    last_ids: list[int]
    finished: bool
    tries: int = 1
    completion_ids: list[int] = field(default_factory=list)
    mask: list[int] = field(default_factory=list)

    def __post_init__(self):
        self.completion_ids, self.mask = list(self.last_ids), [1] * len(self.last_ids)

    def add(self, message_ids: list[int], try_ids: list[int], finished: bool) -> None:
        """Append a message and the try after it."""
        self.completion_ids += message_ids + try_ids
        self.mask += [0] * len(message_ids) + [1] * len(try_ids)
        self.last_ids, self.finished = try_ids, finished
        self.tries += 1

    @property
    def last_mask(self) -> list[int]:
        """1 for each token of the last try, 0 for the tokens before it."""
        return [0] * (len(self.mask) - len(self.last_ids)) + [1] * len(self.last_ids)


class RepairTurns:
    """
    Samples completions and, as long as they fail, further tries. It is a `rollout_func` of TRL, which masks the tokens
    of messages out of the loss (`env_mask`).

    A try is followed by another one if it came to its end, the reward's judge has decided that it fails, and the
    message fits with as many tokens after it as the failed try had, within `max_completion_length` and the model's
    positions. The message and the question have the format of the suite `repair`.

    Args:
        reward: Decides which tries fail.
        turns: Maximum number of further tries.

    Attributes:
        rows: Those of the last call.
    """

    def __init__(self, reward: RustReward, turns: int):
        self.reward = reward
        self.turns = turns
        self.rows: list[Row] = []

    def __call__(self, prompts: list[Text], trainer: PolicyTrainer) -> dict[str, Any]:
        """Return the tokens of all tries, as TRL asks for them."""
        start = time.perf_counter()
        prompt_ids, *_ = trainer._tokenize_prompts(prompts)
        drawn = zip(prompts, prompt_ids, *trainer.draw(prompt_ids), strict=True)
        self.rows = [Row(*each) for each in drawn]
        seconds = time.perf_counter() - start
        waiting = list(range(len(self.rows)))
        for _ in range(self.turns):
            questions = self._questions(waiting, trainer)
            if not questions:
                break
            start = time.perf_counter()
            self._try_again(questions, trainer)
            seconds += time.perf_counter() - start
            waiting = list(questions)
        trainer._metrics[trainer.mode]["rollout_seconds"].append(seconds)
        return {
            "prompt_ids": prompt_ids,
            "completion_ids": [row.completion_ids for row in self.rows],
            "logprobs": None,
            "env_mask": [row.mask for row in self.rows],
        }

    def completions(self, tokenizer: PreTrainedTokenizerBase) -> list[Text]:
        """Return the last try of each row, as text or as a conversation's next messages."""
        texts = tokenizer.batch_decode([row.last_ids for row in self.rows], skip_special_tokens=True)
        return [
            text if isinstance(row.prompt, str) else [{"role": "assistant", "content": text}]
            for row, text in zip(self.rows, texts, strict=True)
        ]

    def _questions(self, waiting: Sequence[int], trainer: PolicyTrainer) -> dict[int, list[int]]:
        """Return the tokens of the message to each of the rows that are asked again."""
        judged = [number for number in waiting if self.rows[number].finished]
        if not judged:
            return {}
        completions = self.completions(trainer._tokenizer)
        prompts, tries = [self.rows[number].prompt for number in judged], [completions[number] for number in judged]
        given = [trainer.rows[number] for number in judged]
        columns = {name: [row[name] for row in given] for name in given[0] if name != "prompt"}
        found = {}
        for number, verdict in zip(judged, self.reward.judged(prompts, tries, columns), strict=True):
            success = self.reward.success(verdict)
            if success is None or success == 1:
                continue
            message_ids = self._message_ids(self.rows[number], completions[number], verdict, trainer)
            if room_after(self.rows[number], message_ids, trainer) >= len(self.rows[number].last_ids):
                found[number] = message_ids
        return found

    def _message_ids(self, row: Row, completion: Text, verdict: Verdict | None, trainer: PolicyTrainer) -> list[int]:
        message = SAID["unfinished"] if verdict is None else message_of(verdict)
        if not isinstance(row.prompt, str):
            return turn_ids(trainer, correction(message))
        assert isinstance(completion, str), "a text is continued by a text"
        attempt = program_of(row.prompt, completion)
        shown = row.prompt + completion if attempt is None else attempt
        # A text that was ended by a token is followed by the beginning of another one.
        gap = "" if row.last_ids[-1] in trainer.eos_token_ids else "\n\n"
        text = gap + second_prompt(row.prompt, shown, message)
        return trainer._tokenizer(text, add_special_tokens=False)["input_ids"]

    def _try_again(self, questions: dict[int, list[int]], trainer: PolicyTrainer) -> None:
        rows = [self.rows[number] for number in questions]
        asked = list(zip(rows, questions.values(), strict=True))
        prompt_ids = [[*row.prompt_ids, *row.completion_ids, *message_ids] for row, message_ids in asked]
        room = [room_after(row, message_ids, trainer) for row, message_ids in asked]
        longest = positions(trainer.policy)
        if longest is not None:
            # PyTorch pads all rows to the longest one.
            room = [min(each, longest - max(map(len, prompt_ids))) for each in room]
        functions = [row.prompt for row in rows if isinstance(row.prompt, str)]
        drawn = trainer.draw(prompt_ids, functions or None, room)
        for (row, message_ids), try_ids, finished in zip(asked, *drawn, strict=True):
            row.add(message_ids, try_ids, finished)


def room_after(row: Row, message_ids: list[int], trainer: PolicyTrainer) -> int:
    """Return the maximum number of tokens of a try after a message; below 1 where it does not fit."""
    used = len(row.completion_ids) + len(message_ids)
    longest = positions(trainer.policy)
    left = trainer.max_completion_length - used
    return left if longest is None else min(left, longest - len(row.prompt_ids) - used)


def turn_ids(trainer: PolicyTrainer, content: str) -> list[int]:
    """
    Return the tokens that follow an answer, with its end token, up to the beginning of the next answer.

    Raises:
        ValueError: The chat template writes the messages before a user's message in another way because of it.
    """

    def rendered(messages: list[dict[str, str]], add_generation_prompt: bool) -> list[int]:
        text = trainer._tokenizer.apply_chat_template(
            messages,
            add_generation_prompt=add_generation_prompt,
            tokenize=False,
            chat_template=trainer.chat_template,
            **trainer.chat_template_kwargs,
        )
        return trainer._tokenizer(text, add_special_tokens=False)["input_ids"]

    before = rendered(ANY_QUESTION, False)
    after = rendered([*ANY_QUESTION, {"role": "user", "content": content}], True)
    ends = [place for place, token in enumerate(before) if token in trainer.eos_token_ids]
    if ends:
        # Templates may write a line break after the token that ends an answer.
        before = before[: ends[-1] + 1]
    if after[: len(before)] != before:
        raise ValueError(
            "repair_turns must be 0 with this chat template: it writes a question and its answer in another way if a "
            "message follows, so that the tokens of a further turn are not known"
        )
    return after[len(before) :]


def repair_metrics(success: torch.Tensor, tries: torch.Tensor, turns: int) -> dict[str, float]:
    """
    Return the share of completions that succeed by each turn, and of those asked again that succeed in the end.

    Args:
        success: (completions,), 1 for a success, below 1 for others, NaN without a verdict.
        tries: (completions,), number of tries.
        turns: Maximum number of further tries.
    """
    judged, solved = (~success.isnan()).sum().item(), success == 1
    metrics = {
        f"success_at_turn/{turn}": (solved & (tries <= turn)).sum().item() / judged if judged else float("nan")
        for turn in range(1, turns + 2)
    }
    again = tries > 1
    metrics["repair/asked_again"] = again.float().mean().item()
    metrics["repair/repaired"] = solved[again].float().mean().item() if again.any() else float("nan")
    return metrics
