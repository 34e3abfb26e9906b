"""
The judge of a suite for other evaluation harnesses: what `nanochat-ternary eval run` asks, and how it judges, while
the harness runs the model.
"""

import atexit
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from evaluation.chat_mode import ChatMode
from evaluation.models.prompt_space import after_space, without_space
from evaluation.rust import RustVerifier, Verdict
from evaluation.rust.sandbox.runner import require_consent
from evaluation.settings import EvaluationSettings
from evaluation.suites.program_suite import Problem, ProgramSuite
from evaluation.suites.registry import suite_class

MAX_NEW_TOKENS = 512
"""Tokens of a completion, as by default in `nanochat-ternary eval run`."""


@dataclass(frozen=True)
class Judge:
    """
    The problems of a suite and the verifier of their programs. Its functions may be called from several threads.

    Attributes:
        suite: The suite; with `chat`, completions are answers to questions.
        verifier: Compiles and runs the programs.
    """

    suite: ProgramSuite
    verifier: RustVerifier
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _checked: set[str] = field(default_factory=set)

    @property
    def problems(self) -> Mapping[str, Problem]:
        """The problems by name."""
        return {problem.name: problem for problem in self.suite.problems}

    def prompt(self, name: str) -> str:
        """Return what the model is sent: the prompt without white space at its end, or the question."""
        problem = self.problems[name]
        if self.suite.chat is not None:
            return self.suite.chat.question(problem.prompt)
        return without_space(problem.prompt)[0]

    def completion(self, name: str, written: str) -> str:
        """Return the completion as the suite samples it, from the text that a model wrote after `prompt(name)`."""
        if self.suite.chat is not None:
            return written
        prompt = self.problems[name].prompt
        text = after_space(written, without_space(prompt)[1])
        ended = type(self.suite).stop(prompt, text)
        return text if ended is None else ended

    def verdicts(self, completions: Mapping[str, Sequence[str]]) -> dict[str, list[Verdict]]:
        """
        Return the verdicts on completions by the problem's name. The reference solutions of problems that were not
        judged before are checked first.

        Raises:
            GoldFailed: A reference solution fails on this machine.
            ScoringUnavailable: The compiler or the sandbox failed.
        """
        with self._lock:
            self._check_gold(completions)
            asked = replace(self.suite, problems=[self.problems[name] for name in completions])
            verdicts = asked.verify(list(completions.values()), self.verifier)
        return dict(zip(completions, verdicts, strict=True))

    def _check_gold(self, names: Iterable[str]) -> None:
        unchecked = [self.problems[name] for name in names if name not in self._checked]
        if unchecked:
            replace(self.suite, problems=unchecked).check_gold(self.verifier)
            self._checked.update(problem.name for problem in unchecked)


@cache
def judge_of(suite: str, chat: bool = False) -> Judge:
    """
    Return the judge of a suite; it lives as long as the process.

    Args:
        suite: Name of a suite of programs, such as "humaneval-rust".
        chat: Ask by an instruction, and take the program out of the answer.

    Raises:
        ValueError: There is no suite of programs of this name, or its problems are missing.
        CodeExecutionNotAllowed: It runs programs, and `HF_ALLOW_CODE_EVAL=1` is not set.
    """
    found = suite_class(suite)
    if not issubclass(found, ProgramSuite):
        raise ValueError(f"suite must be one of programs, got {suite}")
    if found.runs_programs:
        require_consent()
    loaded = found.load(EvaluationSettings(chat=ChatMode() if chat else None))
    assert loaded.edition is not None, "a suite of programs has an edition"
    verifier = RustVerifier(loaded.edition)
    atexit.register(verifier.close)
    return Judge(loaded, verifier)
