"""Judging of completions in the background while others of their batch are still sampled."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self

from transformers import PreTrainedTokenizerBase

from trainers.reinforcement.rewards import RustReward, Text


class JudgingAhead:
    """
    Context in which completions are judged as they end. The verdicts stay in the judge's cache, where the reward finds
    them after the sampling. Rewards are therefore those of judging all completions then.

    Leaving the context waits for the judge, and raises what it has raised.

    Args:
        reward: Its judge is asked.
        rows: Row of the data set of each completion.
        tokenizer: The policy's.
        size: Number of completions that are judged together. Fewer are left for the reward.
    """

    def __init__(
        self, reward: RustReward, rows: Sequence[dict[str, Any]], tokenizer: PreTrainedTokenizerBase, size: int
    ):
        self.reward = reward
        self.rows = rows
        self.tokenizer = tokenizer
        self.size = size
        self._ended: list[tuple[int, list[int]]] = []
        self._judging: list[Future] = []
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="judge")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind, error, traceback) -> None:
        self._thread.shutdown(wait=True, cancel_futures=error is not None)
        if error is None:
            for each in self._judging:
                each.result()

    def ended(self, row: int, token_ids: list[int]) -> None:
        """Take the completion of a row, which has come to its end."""
        self._ended.append((row, list(token_ids)))
        if len(self._ended) == self.size:
            self._judging.append(self._thread.submit(self._judge, self._ended))
            self._ended = []

    def _judge(self, ended: Sequence[tuple[int, list[int]]]) -> None:
        rows = [self.rows[number] for number, _ in ended]
        texts = self.tokenizer.batch_decode([ids for _, ids in ended], skip_special_tokens=True)
        prompts = [row["prompt"] for row in rows]
        completions: list[Text] = [
            text if isinstance(prompt, str) else [{"role": "assistant", "content": text}]
            for prompt, text in zip(prompts, texts, strict=True)
        ]
        self.reward.judged(
            prompts, completions, {name: [row[name] for row in rows] for name in rows[0] if name != "prompt"}
        )
