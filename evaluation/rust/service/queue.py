"""
The queue of a judge that serves many clients: equal questions are judged once, and what waits is judged in batches.

All functions are called in the event loop's thread; the judge runs in threads of its own.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial

from evaluation.rust.judge.batching import Rules
from evaluation.rust.judge.checkers import CheckersUnavailable
from evaluation.rust.judging import Judge
from evaluation.rust.rustc.toolchain import ToolchainUnavailable
from evaluation.rust.sandbox.runner import SandboxFailure, SandboxUnavailable
from evaluation.rust.tests_text import AnyTests, tests_from_text
from evaluation.rust.verdict import Verdict

BATCHES = 4
"""Batches that are judged at the same time, so that one with slow code does not delay all others."""
BATCH_CODES = 256
BATCH_SECONDS = 600.0
"""Limit for a batch. Code has limits of its own, far below it."""
SECONDS_TO_FINISH = 10.0
"""Time for the batches that are being judged when the queue stops."""
FAILURES = (SandboxFailure, SandboxUnavailable, ToolchainUnavailable, CheckersUnavailable, OSError)
"""What a judge raises when it fails itself, which says nothing about the code."""

Outcome = Verdict | BaseException
"""A verdict, a `ValueError` about the tests, or why there is no verdict."""


class QueueFull(Exception):
    """More code waits than the queue takes."""


class QueueStopped(Exception):
    """The queue judges nothing more."""


@dataclass(frozen=True)
class Question:
    """A code snippet, the text of its tests (None: none), and the rules."""

    code: str
    tests: str | None
    rules: Rules


class Waiting:
    """A question in the queue; `outcome` is done when it is answered."""

    def __init__(self, question: Question):
        self.question = question
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.clients = 0
        self.started = False


class JudgeQueue:
    """
    Questions of many clients, answered by one judge.

    Args:
        judge: Answers the questions; called from several threads.
        capacity: Maximum number of different questions that wait or are judged.

    Attributes:
        judged: Number of questions answered with a verdict.
        cached: Number of these whose verdict the judge had in its cache.
        running: Number of questions that are being judged.
    """

    def __init__(self, judge: Judge, capacity: int):
        self.judged = self.cached = self.running = 0
        self._judge = judge
        self._capacity = capacity
        self._asked: dict[Question, Waiting] = {}
        self._batches: set[asyncio.Future[list[Outcome]]] = set()
        self._threads = ThreadPoolExecutor(BATCHES, "judge")
        self._stopped = False

    @property
    def waiting(self) -> int:
        """Number of questions that are not being judged yet."""
        return len(self._asked) - self.running

    def ask(self, questions: Sequence[Question]) -> list[Waiting]:
        """
        Add questions for one client; one that is already there is shared.

        Raises:
            QueueFull: Too many wait.
            QueueStopped: The server ends.
        """
        if self._stopped:
            raise QueueStopped
        new = [question for question in dict.fromkeys(questions) if question not in self._asked]
        if len(self._asked) + len(new) > self._capacity:
            raise QueueFull
        self._asked |= {question: Waiting(question) for question in new}
        found = [self._asked[question] for question in questions]
        for each in set(found):
            each.clients += 1
        self._start_batches()
        return found

    def leave(self, questions: Sequence[Waiting]) -> None:
        """Tell that a client has disconnected: what nobody else asked is dropped unless it is being judged."""
        for each in set(questions):
            each.clients -= 1
            if not each.clients and not each.started and not each.outcome.done():
                del self._asked[each.question]

    async def check_tests(self, texts: Sequence[str | None]) -> None:
        """Check tests, as `Judge.check_tests` does. Raises what it raises."""

        def check() -> None:
            self._judge.check_tests([parsed(text) for text in texts])

        await asyncio.get_running_loop().run_in_executor(self._threads, check)

    async def stop(self) -> None:
        """Answer what waits with `QueueStopped`, and give what is being judged `SECONDS_TO_FINISH` to end."""
        self._stopped = True
        for each in [each for each in self._asked.values() if not each.started]:
            self._answer(each, QueueStopped())
        if self._batches:
            await asyncio.wait(self._batches, timeout=SECONDS_TO_FINISH)
        for each in list(self._asked.values()):
            self._answer(each, QueueStopped())
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _start_batches(self) -> None:
        while len(self._batches) < BATCHES and not self._stopped:
            ready = [each for each in self._asked.values() if not each.started]
            batch = [each for each in ready if each.question.rules == ready[0].question.rules][:BATCH_CODES]
            if not batch:
                return
            self.running += len(batch)
            for each in batch:
                each.started = True
            questions = [each.question for each in batch]
            done = asyncio.get_running_loop().run_in_executor(self._threads, outcomes, self._judge, questions)
            self._batches.add(done)
            done.add_done_callback(partial(self._finished, batch))

    def _finished(self, batch: Sequence[Waiting], done: asyncio.Future[list[Outcome]]) -> None:
        self._batches.discard(done)
        if done.cancelled():  # codespell:ignore cancelled
            return  # by `stop`, which answers for it
        error = done.exception()
        found: Sequence[Outcome] = [error] * len(batch) if error is not None else done.result()
        for each, outcome in zip(batch, found, strict=True):
            self._answer(each, outcome)
        self._start_batches()

    def _answer(self, waiting: Waiting, outcome: Outcome) -> None:
        if waiting.outcome.done():
            return
        del self._asked[waiting.question]
        self.running -= waiting.started
        waiting.outcome.set_result(outcome)
        if isinstance(outcome, Verdict):
            self.judged += 1
            self.cached += outcome.cached


@lru_cache(maxsize=10_000)
def parsed(text: str | None) -> AnyTests:
    """Return the tests of a text. Raises `ValueError`."""
    return tests_from_text(text)


def outcomes(judge: Judge, questions: Sequence[Question]) -> list[Outcome]:
    """Return the verdict on each question of one batch, or the error about its tests."""
    found: dict[int, Outcome] = {}
    tests: dict[int, AnyTests] = {}
    for index, question in enumerate(questions):
        try:
            tests[index] = parsed(question.tests)
        except ValueError as error:
            found[index] = error
    parts = [list(tests)] if tests else []
    while parts:
        part = parts.pop()
        codes = [questions[index].code for index in part]
        try:
            verdicts = judge.judge(codes, [tests[index] for index in part], questions[0].rules, BATCH_SECONDS)
            found |= zip(part, verdicts, strict=True)
        except ValueError as error:
            # The faulty tests of one client must not cost the others their verdicts.
            middle = len(part) // 2
            if middle:
                parts += [part[:middle], part[middle:]]
            else:
                found[part[0]] = error
        except FAILURES as error:
            found |= dict.fromkeys(part, error)
    return [found[index] for index in range(len(questions))]
