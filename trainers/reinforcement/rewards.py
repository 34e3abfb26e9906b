"""Reward by the Rust compiler and hidden tests, for every TRL trainer that takes a reward function."""

import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any, Literal

from evaluation.rust import HiddenTests, RustVerifier, StdinTests, Verdict
from evaluation.rust.crates.holes.hole_tests import HoleTests
from evaluation.rust.crates.holes.hole_verifier import HoleVerifier
from evaluation.rust.judge.harness import publish
from evaluation.rust.judge.refusals import refusals
from evaluation.rust.sandbox.runner import require_consent
from evaluation.rust.syntax.analysis import analyze
from evaluation.rust.syntax.answers import extract_rust, text_of
from evaluation.rust.syntax.completion import completed_function, opened_function
from evaluation.rust.verdict import STATUSES

Text = str | list[dict[str, Any]]
"""A text, or the messages of a conversation."""
Tests = HiddenTests | HoleTests | StdinTests
UNFINISHED = "unfinished"


class RewardUnavailable(RuntimeError):
    """The compiler or the sandbox fails, so completions cannot be judged."""


@dataclass(frozen=True)
class GradedReward:
    """
    Graded reward, which is logged but not trained on: it can be raised without doing the task (dead branches raise the
    complexity, and an unclosed brace is a single error).

    Attributes:
        compile_success_reward: Reward for code that compiles.
        complexity_bonus: Bonus for each point of cyclomatic complexity.
        lifetime_bonus: Bonus for code that names lifetimes.
        max_unsafe_blocks: Number of `unsafe` blocks without a penalty.
        unsafe_penalty: Penalty for more `unsafe` blocks.
        partial_reward: Reward for code that does not compile, divided by one plus the number of errors.
    """

    compile_success_reward: float = 1.0
    complexity_bonus: float = 0.01
    lifetime_bonus: float = 0.1
    max_unsafe_blocks: int = 0
    unsafe_penalty: float = 0.5
    partial_reward: float = 0.2

    def __post_init__(self):
        for field in fields(self):
            if not 0 <= getattr(self, field.name) < float("inf"):
                raise ValueError(f"{field.name} must be at least 0 and finite, got {getattr(self, field.name)}")

    def __call__(self, verdict: Verdict | None) -> float:
        """Return the reward for a verdict, or 0 for None, an unfinished completion."""
        if verdict is None:
            return 0.0
        metadata = verdict.metadata
        if compiles(verdict) and metadata is not None:
            reward = self.compile_success_reward + self.complexity_bonus * metadata.complexity
            reward += self.lifetime_bonus * (metadata.lifetime_complexity > 0)
            return reward - self.unsafe_penalty * (metadata.unsafe_blocks > self.max_unsafe_blocks)
        if verdict.status in ("compilation_failed", "semantic_error"):
            return self.partial_reward / (1 + len(verdict.diagnostics))
        return 0.0

    def quality(self, verdict: Verdict | None) -> float:
        """Return the bonuses of code that compiles as a fraction of `compile_success_reward`, clipped to [0, 1]."""
        if verdict is None or not compiles(verdict) or not self.compile_success_reward:
            return 0.0
        return min(1.0, max(0.0, self(verdict) / self.compile_success_reward - 1))


def compiles(verdict: Verdict) -> bool:
    """Whether the compiler accepts the code, whether or not its tests pass."""
    return all(answer == "ok" for answer in verdict.checks.values())


class RustReward:
    """
    Reward function: 1 for a completion that passes all checks, 0 for one that does not, None if the tool failed.

    The checks: the completion is finished; it parses; it contains nothing that the verifier's rules for rewards refuse
    (`evaluation/rust/judge/refusals.py`), such as `unsafe` code, which could forge test results; it compiles; it
    defines the items of the signature; and it passes the hidden tests, which are in another crate.

        trainer = GRPOTrainer(model, reward_funcs=[RustReward()], train_dataset=dataset, ...)

    It works with MaxRL, GRPO, RLOO, Online DPO and other trainers that call a reward function synchronously.

    The data set has the columns `signature` and `checker`, as in `HiddenTests`, or `tests`, both in one text; with
    `mode="compile"` only `signature`. A text prompt ends within a function, usually after its opening brace, and the
    completion counts up to the brace that closes the function; all other items of the signature must be in the prompt.
    The answer to a conversation is a whole program, which `extract_rust` finds in the last message.

    `tests` may also be the text of `HoleTests`: the completion is then the body of a function of a real crate, which
    is judged by the crate's own unit tests. The prompt is a text that ends with the function's opening brace. And it
    may be the text of `StdinTests`: the completion then ends a program with a `fn main`, or is one.

    Through TRL it logs `compile_success_rate`, `avg_reward` (the mean `graded_reward`), `reward_seconds`,
    `forged_reports` (number of completions that tried to forge their test results), the share of each verdict and, for
    each completion, `verdict`, `message`, `graded_reward` and `quality`.

    Args:
        mode: "tests", or "compile": then code that compiles with the given signature is a success. That says nothing
            about what the code does, which a description of the model should mention.
        reward_threshold: Share of the hidden tests that must pass.
        graded_reward: Weights of the graded reward.
        workers: Number of compilers at the same time; None for one per core, divided among the processes of this
            machine.
        cache_dir: Folder that keeps verdicts between runs; None to keep them in memory only.
        deadline: Seconds for all completions of a call. Completions without a verdict by then get None.
        run_timeout: Seconds of CPU time of a completion with its tests.
        edition: Rust edition of the completions.
        timeout, compiler_memory_gib: Seconds of CPU time and GiB of address space of the compiler.
        run_memory_gib, run_threads: GiB of address space and number of threads of a completion with its tests.
        crates: Folder of crate sources, which hole tests need.
        warm_dir: Folder that keeps their compiled dependencies between runs; None for a temporary one.
        pass_fraction: Give a program that fails some of its hidden tests the share that it passes, instead of 0. For
            the estimator `grpo`: those of MaxRL are about success alone.

    Raises:
        ValueError: A setting is out of range. When called: a row lacks a column that the mode needs, or no completion
            of its prompt can be a success.
        CodeExecutionNotAllowed: `HF_ALLOW_CODE_EVAL` is not 1, in mode "tests".
        RewardUnavailable: When called, if the compiler or the sandbox fails.
    """

    def __init__(
        self,
        mode: Literal["tests", "compile"] = "tests",
        reward_threshold: float = 1.0,
        graded_reward: GradedReward | None = None,
        workers: int | None = None,
        cache_dir: str | None = None,
        deadline: float = 300.0,
        run_timeout: float = 1.0,
        edition: str = "2021",
        timeout: float = 10.0,
        compiler_memory_gib: float = 4.0,
        run_memory_gib: float = 2.0,
        run_threads: int = 64,
        crates: str | Path | None = None,
        warm_dir: str | Path | None = None,
        pass_fraction: bool = False,
    ):
        if mode not in ("tests", "compile"):
            raise ValueError(f"mode must be tests or compile, got {mode!r}")
        if not 0 < reward_threshold <= 1:
            raise ValueError(
                f"reward_threshold must be above 0 and at most 1, a share of tests, got {reward_threshold}"
            )
        if pass_fraction and (mode != "tests" or reward_threshold < 1):
            raise ValueError(
                'pass_fraction must be False with mode="compile", which runs no tests, and with a reward_threshold '
                f"below 1, got mode={mode!r} and reward_threshold={reward_threshold}"
            )
        if not deadline > 0:
            raise ValueError(f"deadline must be a positive number of seconds, got {deadline}")
        if mode == "tests":
            require_consent()
        if workers is None:
            workers = max(1, len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))
        self.mode = mode
        self.reward_threshold = reward_threshold
        self.pass_fraction = pass_fraction
        self.graded_reward = graded_reward or GradedReward()
        self.deadline = deadline
        self.verifier = RustVerifier(
            edition,
            workers,
            cache_dir,
            timeout=timeout,
            run_timeout=run_timeout,
            compiler_memory_gib=compiler_memory_gib,
            run_memory_gib=run_memory_gib,
            run_threads=run_threads,
        )
        self.crates = crates
        self._start_hole_verifier = partial(
            HoleVerifier, warm_dir=warm_dir, workers=workers, cache_dir=cache_dir, run_memory_gib=run_memory_gib
        )
        # TRL uses this name in its logs.
        self.__name__ = "rust_success" if mode == "tests" else "rust_compiles"

    @property
    def success_means(self) -> str:
        """Condition for a completion to be a success, in words."""
        if self.mode == "compile":
            return "compiles with the given signature"
        if self.reward_threshold < 1:
            return f"at least {self.reward_threshold:.0%} of the hidden tests hold"
        return "all hidden tests hold"

    def __call__(
        self,
        prompts: Sequence[Text],
        completions: Sequence[Text],
        log_extra: Callable[[str, list], None] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """Return the reward of each completion; `columns` are the columns of the data set."""
        started = time.perf_counter()
        verdicts = self.judged(prompts, completions, columns)
        if any(verdict is not None and verdict.status == "unavailable" for verdict in verdicts):
            self.check_compiler()
        if log_metric is not None:
            self._log(verdicts, time.perf_counter() - started, log_metric)
        if log_extra is not None:
            log_extra("verdict", [UNFINISHED if verdict is None else verdict.status for verdict in verdicts])
            log_extra("message", [message_of(verdict) for verdict in verdicts])
            log_extra("graded_reward", [self.graded_reward(verdict) for verdict in verdicts])
            log_extra("quality", [self.graded_reward.quality(verdict) for verdict in verdicts])
        return [self.success(verdict) for verdict in verdicts]

    def judged(
        self, prompts: Sequence[Text], completions: Sequence[Text], columns: dict[str, Any]
    ) -> list[Verdict | None]:
        """Return the verdict on each completion, None for an unfinished one; `columns` are those of the data set."""
        started = time.perf_counter()
        tests = self.hidden_tests(prompts, columns)
        programs = [program_of(prompt, answer) for prompt, answer in zip(prompts, completions, strict=True)]
        return self.verdicts(prompts, programs, tests, started + self.deadline)

    def verdicts(
        self,
        prompts: Sequence[Text],
        programs: Sequence[str | None],
        tests: Sequence[Tests],
        end: float,
    ) -> list[Verdict | None]:
        """Return the verdicts reached until `end`, a time of `time.perf_counter`; None for unfinished code."""
        hidden: dict[int, tuple[str, HiddenTests | StdinTests]] = {}
        holes: dict[int, tuple[str, HoleTests]] = {}
        for index, (prompt, program, test) in enumerate(zip(prompts, programs, tests, strict=True)):
            if program is not None and isinstance(test, HoleTests):
                holes[index] = "{" + program[len(prompt) :], test
            elif program is not None and not isinstance(test, HoleTests):
                hidden[index] = program, test
        verdicts: list[Verdict | None] = [None] * len(programs)
        for found, verify in ((hidden, self.verifier.verify), (holes, self._verify_holes)):
            if found:
                codes, each = zip(*found.values(), strict=True)
                left = max(0.001, end - time.perf_counter())
                for index, verdict in zip(found, verify(codes, each, rules="reward", deadline=left), strict=True):
                    verdicts[index] = verdict
        return verdicts

    @cached_property
    def hole_verifier(self) -> HoleVerifier:
        """The verifier of hole tests, which is started on first use."""
        if self.crates is None:
            raise ValueError("crates must be a folder of crate sources, because the rows have hole tests, got None")
        return self._start_hole_verifier(self.crates)

    def _verify_holes(self, bodies: Sequence[str], tests: Sequence[HoleTests], **options: Any) -> list[Verdict]:
        return self.hole_verifier.verify(bodies, tests, **options)

    def check_compiler(self) -> None:
        """Raise `RewardUnavailable` unless the compiler accepts a valid program."""
        code = f"pub const PROBE: u128 = {secrets.randbits(120)};"
        (verdict,) = self.verifier.verify([code])
        if not verdict.ok:
            reason = verdict.diagnostics[0].message if verdict.diagnostics else verdict.status
            raise RewardUnavailable(
                f"completions can no longer be judged: {reason}. The last checkpoint is intact; repair the compiler "
                "or the sandbox (`nanochat-ternary doctor` checks both) and resume."
            )

    def success(self, verdict: Verdict | None) -> float | None:
        """
        Return 1 or 0, or None for a verdict that is unavailable; without a verdict the code is unfinished, so 0. With
        `pass_fraction` a program that fails some of its tests gets the share that it passes.
        """
        if verdict is None:
            return 0.0
        if verdict.status == "unavailable":
            return None
        if verdict.status != "tests_failed" or not verdict.tests_total:
            return float(verdict.ok)
        share = verdict.tests_passed / verdict.tests_total
        return share if self.pass_fraction else float(share >= self.reward_threshold)

    def hidden_tests(self, prompts: Sequence[Text], columns: dict[str, Any]) -> list[Tests]:
        """
        Return the hidden tests, the hole tests or the stdin tests of each row.

        Raises:
            ValueError: A row lacks a column that the mode needs, or no completion of its prompt can be a success.
        """
        texts = {name: columns.get(name) or [None] * len(prompts) for name in ("signature", "checker", "tests")}
        rows = zip(*texts.values(), strict=True)
        found = [self._hidden_tests(number, *row) for number, row in enumerate(rows)]
        uncertain = {}
        for number, (prompt, required) in enumerate(zip(prompts, found, strict=True)):
            if isinstance(required, HoleTests):
                if not isinstance(prompt, str) or not prompt.endswith("{"):
                    raise ValueError(
                        f"row {number} must have a prompt that ends with an opening brace; its tests are hole tests"
                    )
                continue
            if not isinstance(prompt, str):
                continue
            program, fault = with_empty_body(prompt, required)
            if fault is not None:
                raise ValueError(f"row {number} must have a prompt {fault}; got {shortened(prompt)}")
            if program is not None:
                uncertain.setdefault(program, number)
        # The grammar of tree-sitter lacks parts of Rust; the compiler decides.
        verdicts = self.verifier.verify(list(uncertain)) if uncertain else []
        for program, verdict in zip(uncertain, verdicts, strict=True):
            if verdict.status == "invalid_syntax":
                number = uncertain[program]
                raise ValueError(
                    f"row {number} must have a prompt that is Rust up to the function to complete, or a "
                    f"conversation: {message_of(verdict)}"
                )
        return found

    def check_rows(self, prompts: Sequence[Text], columns: dict[str, Any]) -> None:
        """
        Check rows before training on them.

        Raises:
            ValueError: As in `hidden_tests`, a row's checker does not compile against its signature, or the crate of a
                row is not in the folder or has no such function.
        """
        tests = self.hidden_tests(prompts, columns)
        holes = [test for test in tests if isinstance(test, HoleTests)]
        self.verifier.check_tests([test for test in tests if isinstance(test, HiddenTests)], progress=True)
        if holes:
            self.hole_verifier.check_tests(holes, progress=True)

    def _hidden_tests(self, number: int, signature: str | None, checker: str | None, tests: str | None) -> Tests:
        try:
            required = read_tests(tests) if tests else read_tests(signature or "", checker or "")
        except ValueError as error:
            raise ValueError(
                f"row {number} must have a signature and hidden tests, in signature and checker or in tests: {error}"
            ) from None
        if not isinstance(required, HiddenTests):
            if self.mode == "compile":
                raise ValueError(f'row {number} must have a signature; hole tests and stdin tests need mode="tests"')
            return required
        if self.mode == "compile":
            return HiddenTests(required.signature, "")
        if required.blank:
            raise ValueError(
                f'row {number} must have hidden tests, in checker or tests; without them, use mode="compile", '
                "which rewards code that compiles"
            )
        return required

    def _log(
        self, verdicts: Sequence[Verdict | None], seconds: float, log_metric: Callable[[str, float], None]
    ) -> None:
        counts: Counter[str] = Counter(UNFINISHED if verdict is None else verdict.status for verdict in verdicts)
        for status in STATUSES:
            log_metric(f"verdict/{status}", counts[status] / len(verdicts))
        compiled = sum(verdict is not None and compiles(verdict) for verdict in verdicts)
        forged = sum(is_forgery(verdict) for verdict in verdicts)
        log_metric("forged_reports", forged)
        log_metric("compile_success_rate", compiled / len(verdicts))
        log_metric("avg_reward", sum(map(self.graded_reward, verdicts)) / len(verdicts))
        log_metric("reward_seconds", seconds)

    def close(self) -> None:
        """Stop the sandbox's server; the next call of the reward starts it again."""
        self.verifier.close()
        if "hole_verifier" in vars(self):
            self.hole_verifier.close()
            del self.hole_verifier


@lru_cache(maxsize=100_000)
def read_tests(text: str, checker: str | None = None) -> Tests:
    """Parse tests from one text, or hidden tests from signature and checker. Raises `ValueError`."""
    if checker is None and StdinTests.is_text(text):
        return StdinTests.from_text(text)
    if checker is None and HoleTests.is_text(text):
        return HoleTests.parse(text)
    return HiddenTests.parse(text) if checker is None else HiddenTests(text, checker)


@lru_cache(maxsize=100_000)
def with_empty_body(prompt: str, required: HiddenTests | StdinTests) -> tuple[str | None, str | None]:
    """
    Check whether some completion of a text prompt can be a success, by completing it with an empty body.

    Returns:
        The program with an empty body, if only the compiler can decide whether it is Rust, else None; and the fault of
        the prompt, as the end of "must have a prompt ...", or None.
    """
    head = opened_function(prompt)
    if head is None:
        return None, (
            "that ends within a function, such as `fn add(a: i32, b: i32) -> i32 {`, or a conversation: a completion "
            "counts up to the brace that closes the function"
        )
    program = head + "}"
    if isinstance(required, StdinTests):
        missing = ["fn main"] if analyze(program).main == "none" else []
    else:
        missing = publish(program.encode(), required)[1]
    if missing:
        return None, f"that has all items of its signature; no function body can add {', '.join(missing)}"
    if analyze(program).has_error:
        return program, None
    refused = refusals(program.encode(), required, continued=True)
    return None, f"that is not refused with every completion: it {refused[0].reason}" if refused else None


def shortened(prompt: str) -> str:
    """End of a prompt, for a message."""
    return repr(prompt if len(prompt) <= 80 else "..." + prompt[-77:])


def program_of(prompt: Text, completion: Text) -> str | None:
    """Program of a prompt and its completion; None when the completion is not finished."""
    if not isinstance(prompt, str):
        return extract_rust(completion)
    text = text_of(completion)
    function = None if text is None else completed_function(prompt, text)
    return None if function is None else prompt + function


def is_forgery(verdict: Verdict | None) -> bool:
    """Whether the code tried to forge its test results."""
    return verdict is not None and any(diagnostic.category == "forgery" for diagnostic in verdict.diagnostics)


def message_of(verdict: Verdict | None) -> str:
    """First diagnostic of a verdict, as rustc prints it; empty when there is none."""
    if verdict is None:
        return "the completion was truncated"
    if not verdict.diagnostics:
        return ""
    first = verdict.diagnostics[0]
    return first.rendered or first.message
