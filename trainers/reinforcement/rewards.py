"""Reward by the Rust compiler and hidden tests, for every TRL trainer that takes a reward function."""

import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from evaluation.rust import HiddenTests, Verdict
from evaluation.rust.judging import SHORTEST_DEADLINE, Judge, JudgeSettings, JudgeUnavailable, LocalJudge
from evaluation.rust.rustc.toolchain import find_toolchain
from evaluation.rust.sandbox.runner import require_consent
from evaluation.rust.service.client import RemoteJudge
from evaluation.rust.verdict import STATUSES
from trainers.reinforcement.graded_reward import GradedReward, compiles
from trainers.reinforcement.reward_rows import Mode, RewardTests, Text, program_of, submitted, tests_of_rows

UNFINISHED = "unfinished"


class RewardUnavailable(JudgeUnavailable):
    """The compiler, the sandbox or the judge of another machine fails, so completions cannot be judged."""


class RustReward:
    """
    Reward function: 1 for a completion that passes all checks, 0 for one that does not, None if the tool failed.

    The checks: the completion is finished; it parses; it contains nothing that the verifier's rules for rewards refuse
    (`evaluation/rust/judge/refusals.py`), such as `unsafe` code, which could forge test results; it compiles; it
    defines the items of the signature; and it passes the hidden tests, which are in another crate.

        trainer = GRPOTrainer(model, reward_funcs=[RustReward()], train_dataset=dataset, ...)

    It works with MaxRL, GRPO, RLOO, Online DPO and other trainers that call a reward function synchronously.

    The data set has the columns `signature` and `checker`, as in `HiddenTests`, or `tests`, both in one text; with
    `mode="compile"` only `signature`, and with `mode="mixed"` the hidden tests of a row may be empty. A text prompt
    ends within a function, usually after its opening brace, and the completion counts up to the brace that closes the
    function; all other items of the signature must be in the prompt.
    The answer to a conversation is a whole program, which `extract_rust` finds in the last message.

    `tests` may also be the text of `HoleTests`: the completion is then the body of a function of a real crate, which
    is judged by the crate's own unit tests. The prompt is a text that ends with the function's opening brace. And it
    may be the text of `StdinTests`: the completion then ends a program with a `fn main`, or is one.

    Through TRL it logs `compile_success_rate`, `avg_reward` (the mean `graded_reward`), `reward_seconds`,
    `forged_reports` (number of completions that tried to forge their test results), the share of each verdict and, for
    each completion, `verdict`, `message`, `graded_reward` and `quality`.

    Args:
        mode: "tests", or "compile": then code that compiles with the given signature is a success. That says nothing
            about what the code does, which a description of the model should mention. With "mixed" this is so in the
            rows without hidden tests, and in the others the tests decide.
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
        url: Address of a judge (`nanochat-ternary serve-judge`) that compiles and runs the completions instead of this
            machine. It must have the same edition, limits and crates.
        judge_token: Its bearer token; None reads it from `NANOCHAT_JUDGE_TOKEN`.
        on_judge_failure: What happens when that judge gives no answer: "stop" asks until the deadline and then ends
            the run, "local" lets this machine judge, which needs the same version of rustc.

    Raises:
        ValueError: A setting is out of range, or the judge at `url` cannot be used. When called: a row lacks a column
            that the mode needs, or no completion of its prompt can be a success.
        CodeExecutionNotAllowed: `HF_ALLOW_CODE_EVAL` is not 1, in mode "tests".
        JudgeUnavailable: When called, if the compiler or the sandbox fails (`RewardUnavailable`), or the judge at
            `url` came back with other settings.
    """

    def __init__(
        self,
        mode: Mode = "tests",
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
        url: str | None = None,
        judge_token: str | None = None,
        on_judge_failure: Literal["stop", "local"] = "stop",
    ):
        if mode not in get_args(Mode):
            raise ValueError(f"mode must be tests, compile or mixed, got {mode!r}")
        if not 0 < reward_threshold <= 1:
            raise ValueError(
                f"reward_threshold must be above 0 and at most 1, a share of tests, got {reward_threshold}"
            )
        if pass_fraction and (mode != "tests" or reward_threshold < 1):
            raise ValueError(
                'pass_fraction must be False unless mode="tests", where every row has tests, and with a '
                f"reward_threshold below 1, got mode={mode!r} and reward_threshold={reward_threshold}"
            )
        if not deadline > 0:
            raise ValueError(f"deadline must be a positive number of seconds, got {deadline}")
        if on_judge_failure not in ("stop", "local"):
            raise ValueError(f"on_judge_failure must be stop or local, got {on_judge_failure!r}")
        if mode != "compile" and (url is None or on_judge_failure == "local"):
            require_consent()
        if workers is None:
            workers = max(1, len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))
        self.mode = mode
        self.reward_threshold = reward_threshold
        self.pass_fraction = pass_fraction
        self.graded_reward = graded_reward or GradedReward()
        self.deadline = deadline
        settings = JudgeSettings(edition, timeout, run_timeout, compiler_memory_gib, run_memory_gib, run_threads)
        start_here = partial(LocalJudge.start, settings, workers, cache_dir, crates, warm_dir)
        self.judge: Judge
        if url is None:
            self.judge = start_here()
        elif on_judge_failure == "local":
            # Verdicts of both machines count in one run.
            expected = replace(settings, rustc=find_toolchain().version)
            self.judge = RemoteJudge(url, judge_token, expected=expected, fallback=start_here)
        else:
            self.judge = RemoteJudge(url, judge_token, expected=settings)
        # TRL uses this name in its logs.
        self.__name__ = "rust_compiles" if mode == "compile" else "rust_success"

    @property
    def success_means(self) -> str:
        """Condition for a completion to be a success, in words."""
        if self.mode == "compile":
            return "compiles with the given signature"
        share = "all" if self.reward_threshold == 1 else f"at least {self.reward_threshold:.0%} of the"
        tested = f"{share} hidden tests hold"
        return tested if self.mode == "tests" else f"{tested}; without tests, compiles with the given signature"

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
            self.check_judge()
        if log_metric is not None:
            self._log(verdicts, time.perf_counter() - started, log_metric)
            if self.mode == "mixed":
                self._log_kinds(verdicts, self.only_compile(prompts, columns), log_metric)
        if log_extra is not None:
            log_extra("verdict", [UNFINISHED if verdict is None else verdict.status for verdict in verdicts])
            log_extra("message", [message_of(verdict) for verdict in verdicts])
            log_extra("graded_reward", [self.graded_reward(verdict) for verdict in verdicts])
            log_extra("quality", [self.graded_reward.quality(verdict) for verdict in verdicts])
        return [self.success(verdict) for verdict in verdicts]

    def only_compile(self, prompts: Sequence[Text], columns: dict[str, Any]) -> list[bool]:
        """Return whether each row has no hidden tests; `columns` are those of the data set."""
        return [isinstance(each, HiddenTests) and each.blank for each in self.hidden_tests(prompts, columns)]

    def judged(
        self, prompts: Sequence[Text], completions: Sequence[Text], columns: dict[str, Any]
    ) -> list[Verdict | None]:
        """Return the verdict on each completion, None for an unfinished one; `columns` are those of the data set."""
        started = time.perf_counter()
        if len(completions) != len(prompts):
            raise ValueError(f"completions must be as many as prompts, got {len(completions)} and {len(prompts)}")
        tests = self.hidden_tests(prompts, columns)
        programs = [program_of(prompt, answer) for prompt, answer in zip(prompts, completions, strict=True)]
        return self.verdicts(prompts, programs, tests, started + self.deadline)

    def verdicts(
        self,
        prompts: Sequence[Text],
        programs: Sequence[str | None],
        tests: Sequence[RewardTests],
        end: float,
    ) -> list[Verdict | None]:
        """Return the verdicts reached until `end`, a time of `time.perf_counter`; None for unfinished code."""
        finished = {
            index: (submitted(prompt, program, test), test)
            for index, (prompt, program, test) in enumerate(zip(prompts, programs, tests, strict=True))
            if program is not None
        }
        verdicts: list[Verdict | None] = [None] * len(programs)
        if finished:
            codes, each = zip(*finished.values(), strict=True)
            left = max(SHORTEST_DEADLINE, end - time.perf_counter())
            for index, verdict in zip(finished, self.judge.judge(codes, each, "reward", left), strict=True):
                verdicts[index] = verdict
        return verdicts

    def check_judge(self) -> None:
        """Raise `RewardUnavailable` unless the judge accepts a valid program."""
        code = f"pub const PROBE: u128 = {secrets.randbits(120)};"
        (verdict,) = self.judge.judge([code], [None], "data", self.deadline)
        if not verdict.ok:
            reason = verdict.diagnostics[0].message if verdict.diagnostics else verdict.status
            raise RewardUnavailable(
                f"completions can no longer be judged: {reason}. The last checkpoint is intact; repair the compiler "
                "or the sandbox (`nanochat-ternary doctor` checks both), or the judge at the given url, and resume."
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

    def hidden_tests(self, prompts: Sequence[Text], columns: dict[str, Any]) -> list[RewardTests]:
        """
        Return the hidden tests, the hole tests or the stdin tests of each row.

        Raises:
            ValueError: A row lacks a column that the mode needs, or no completion of its prompt can be a success.
        """
        found, uncertain = tests_of_rows(prompts, columns, self.mode)
        # The grammar of tree-sitter lacks parts of Rust; the compiler decides.
        programs = list(uncertain)
        verdicts = self.judge.judge(programs, [None] * len(programs), "data", self.deadline) if programs else []
        for program, verdict in zip(programs, verdicts, strict=True):
            if verdict.status == "invalid_syntax":
                raise ValueError(
                    f"row {uncertain[program]} must have a prompt that is Rust up to the function to complete, or a "
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
        self.judge.check_tests(self.hidden_tests(prompts, columns), progress=True)

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

    def _log_kinds(
        self,
        verdicts: Sequence[Verdict | None],
        only_compile: Sequence[bool],
        log_metric: Callable[[str, float], None],
    ) -> None:
        """Log the success rates of the rows with hidden tests, and of those without; a batch may lack either."""
        by_kind: dict[str, list[float]] = {"tests": [], "compile": []}
        for verdict, is_blank in zip(verdicts, only_compile, strict=True):
            success = self.success(verdict)
            if success is not None:
                by_kind["compile" if is_blank else "tests"].append(success)
        for kind, successes in by_kind.items():
            if successes:
                log_metric(f"success_rate/{kind}", sum(successes) / len(successes))

    def close(self) -> None:
        """Stop the sandbox's server; the next call of the reward starts it again."""
        self.judge.close()


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
