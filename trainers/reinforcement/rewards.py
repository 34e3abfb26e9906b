"""The compiler as judge of completions: a reward function for every trainer of TRL that takes one."""

import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Literal

from evaluation.rust import HiddenTests, RustVerifier, Verdict
from evaluation.rust.judge.harness import publish
from evaluation.rust.judge.refusals import refusals
from evaluation.rust.sandbox.runner import require_consent
from evaluation.rust.syntax.analysis import analyze
from evaluation.rust.syntax.answers import extract_rust, text_of
from evaluation.rust.syntax.completion import completed_function, opened_function
from evaluation.rust.verdict import STATUSES

Text = str | list[dict[str, Any]]
"""A plain text, or the messages of a conversation."""
UNFINISHED = "unfinished"


class RewardUnavailable(RuntimeError):
    """The tool fails: to go on would train on nothing, or on a lie."""


@dataclass(frozen=True)
class SeedReward:
    """
    The graded reward of the project's first design. It is logged; only success is rewarded, because a graded reward
    pays for what is not asked (dead branches raise the complexity, an unclosed brace is a single error).

    Attributes:
        compile_success_reward: For code that compiles.
        complexity_bonus: More for each point of cyclomatic complexity.
        lifetime_bonus: More for code that names lifetimes.
        max_unsafe_blocks: More `unsafe` than this is fined.
        unsafe_penalty: The fine.
        partial_reward: For code that does not compile, divided by one more than its errors.
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
        """Of a verdict; None is code that was not finished."""
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
        """What the bonuses add for code that compiles, in [0, 1] of `compile_success_reward`."""
        if verdict is None or not compiles(verdict) or not self.compile_success_reward:
            return 0.0
        return min(1.0, max(0.0, self(verdict) / self.compile_success_reward - 1))


def compiles(verdict: Verdict) -> bool:
    """Whether the compiler accepts the code, whatever its tests say."""
    return all(answer == "ok" for answer in verdict.checks.values())


class RustReward:
    """
    1 for a completion that passes every gate, 0 for one that does not, None where the tool failed.

    The gates, under the judge's rules for rewards: it is finished, parses, holds nothing that is refused
    (`evaluation/rust/judge/refusals.py`; `unsafe` code among it, which could forge the outcome of its tests),
    compiles, defines what the signature demands, and passes the hidden tests in another crate.

        trainer = GRPOTrainer(model, reward_funcs=[RustReward()], train_dataset=dataset, ...)

    It is called and returns at once with the rewards, as MaxRL, GRPO, RLOO, Online DPO and other trainers call it;
    the compilers share the cores while it is called.

    The data set has for each prompt `signature` and `checker`, as `HiddenTests` has them, or `tests`, both in one
    text; with `mode="compile"` only `signature`. A prompt that is a text leaves one function open, as one that ends
    with its opening brace, and the completion counts up to the brace that closes it: everything else that the
    signature demands stands in the prompt. A prompt that is a conversation is answered by a whole program, which
    `extract_rust` finds in the answer's last message.

    Besides the success it logs, through TRL, `compile_success_rate`, `avg_reward` (of `seed_reward`),
    `reward_seconds`, `forged_reports` (how many completions tried to forge the outcome of their tests), the share of
    each verdict and, beside each completion, `verdict`, `message`, `seed_reward` and `quality`.

    Args:
        mode: `"tests"`, or `"compile"`, where code that compiles with the demanded signature is a success. It says
            nothing about what the code does: say so where the model is described.
        reward_threshold: Share of the hidden tests that must hold.
        seed_reward: Weights of the graded reward.
        workers: Compilers at the same time; None for one per core, divided among the processes of this machine.
        cache_dir: Keeps verdicts between runs; None for memory only.
        deadline: Seconds for all completions of a call together. Those without a verdict by then get None.
        run_timeout: Seconds of processor time a completion gets for its tests.
        edition: Of the language, that of the completions.
        timeout, compiler_memory_gib: Seconds of processor time and GiB of address space of the compiler.
        run_memory_gib, run_threads: GiB of address space, and number of threads, of a completion with its tests.

    Raises:
        ValueError: For a setting outside its rule; when called, for a row without what the mode needs, or whose
            prompt nothing can complete.
        CodeExecutionNotAllowed: Without `HF_ALLOW_CODE_EVAL=1`, in mode "tests".
        RewardUnavailable: When called, if the compiler or the sandbox fails.
    """

    def __init__(
        self,
        mode: Literal["tests", "compile"] = "tests",
        reward_threshold: float = 1.0,
        seed_reward: SeedReward | None = None,
        workers: int | None = None,
        cache_dir: str | None = None,
        deadline: float = 300.0,
        run_timeout: float = 1.0,
        edition: str = "2021",
        timeout: float = 10.0,
        compiler_memory_gib: float = 4.0,
        run_memory_gib: float = 2.0,
        run_threads: int = 64,
    ):
        if mode not in ("tests", "compile"):
            raise ValueError(f"mode must be tests or compile, got {mode!r}")
        if not 0 < reward_threshold <= 1:
            raise ValueError(
                f"reward_threshold must be above 0 and at most 1, a share of tests, got {reward_threshold}"
            )
        if not deadline > 0:
            raise ValueError(f"deadline must be a positive number of seconds, got {deadline}")
        if mode == "tests":
            require_consent()
        if workers is None:
            workers = max(1, len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))
        self.mode = mode
        self.reward_threshold = reward_threshold
        self.seed_reward = seed_reward or SeedReward()
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
        # TRL names what it logs after it.
        self.__name__ = "rust_success" if mode == "tests" else "rust_compiles"

    @property
    def success_means(self) -> str:
        """The condition for a completion to be a success, in words."""
        if self.mode == "compile":
            return "compiles with the demanded signature"
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
        """The reward of each completion; `columns` are those of the data set."""
        started = time.perf_counter()
        tests = self.demands(prompts, columns)
        programs = [program_of(prompt, answer) for prompt, answer in zip(prompts, completions, strict=True)]
        finished = [index for index, program in enumerate(programs) if program is not None]
        found = self.verifier.verify(
            [programs[index] for index in finished],
            [tests[index] for index in finished],
            rules="reward",
            deadline=self.deadline,
        )
        verdicts: list[Verdict | None] = [None] * len(programs)
        for index, verdict in zip(finished, found, strict=True):
            verdicts[index] = verdict
        if any(verdict.status == "unavailable" for verdict in found):
            self.check_compiler()
        if log_metric is not None:
            self._log(verdicts, time.perf_counter() - started, log_metric)
        if log_extra is not None:
            log_extra("verdict", [UNFINISHED if verdict is None else verdict.status for verdict in verdicts])
            log_extra("message", [message_of(verdict) for verdict in verdicts])
            log_extra("seed_reward", [self.seed_reward(verdict) for verdict in verdicts])
            log_extra("quality", [self.seed_reward.quality(verdict) for verdict in verdicts])
        return [self.success(verdict) for verdict in verdicts]

    def check_compiler(self) -> None:
        """Raises `RewardUnavailable` unless the compiler still accepts what is right."""
        code = f"pub const PROBE: u128 = {secrets.randbits(120)};"
        (verdict,) = self.verifier.verify([code])
        if not verdict.ok:
            reason = verdict.diagnostics[0].message if verdict.diagnostics else verdict.status
            raise RewardUnavailable(
                f"completions can no longer be judged: {reason}. The last checkpoint is intact; mend the compiler or "
                "the sandbox (python -m evaluation doctor tells more) and resume."
            )

    def success(self, verdict: Verdict | None) -> float | None:
        """1 or 0, or None when the verdict says nothing about the code; no verdict is code that was not finished."""
        if verdict is None:
            return 0.0
        if verdict.status == "unavailable":
            return None
        enough = verdict.ok
        if verdict.status == "tests_failed" and verdict.tests_total:
            enough = verdict.tests_passed / verdict.tests_total >= self.reward_threshold
        return float(enough)

    def demands(self, prompts: Sequence[Text], columns: dict[str, Any]) -> list[HiddenTests]:
        """
        What each row demands.

        Raises:
            ValueError: A row lacks what the mode needs, or nothing that completes its prompt can be a success.
        """
        texts = {name: columns.get(name) or [None] * len(prompts) for name in ("signature", "checker", "tests")}
        rows = zip(*texts.values(), strict=True)
        found = [self._demand(number, *row) for number, row in enumerate(rows)]
        doubted = {}
        for number, (prompt, demanded) in enumerate(zip(prompts, found, strict=True)):
            if not isinstance(prompt, str):
                continue
            program, fault = with_empty_body(prompt, demanded)
            if fault is not None:
                raise ValueError(f"row {number} must have a prompt {fault}; got {shortened(prompt)}")
            if program is not None:
                doubted.setdefault(program, number)
        # The grammar of trees does not know all of Rust; the compiler does.
        verdicts = self.verifier.verify(list(doubted)) if doubted else []
        for program, verdict in zip(doubted, verdicts, strict=True):
            if verdict.status == "invalid_syntax":
                number = doubted[program]
                raise ValueError(
                    f"row {number} must have a prompt that is Rust up to the function it leaves open, or a "
                    f"conversation: {message_of(verdict)}"
                )
        return found

    def check_demands(self, prompts: Sequence[Text], columns: dict[str, Any]) -> None:
        """
        Looks at rows before anything is trained on them.

        Raises:
            ValueError: As `demands` does, or a row's checker does not compile where the demanded functions are there.
        """
        self.verifier.check_tests(self.demands(prompts, columns), progress=True)

    def _demand(self, number: int, signature: str | None, checker: str | None, tests: str | None) -> HiddenTests:
        try:
            demanded = read_tests(tests) if tests else read_tests(signature or "", checker or "")
        except ValueError as error:
            raise ValueError(
                f"row {number} must say what is demanded, in signature and checker or tests: {error}"
            ) from None
        if self.mode == "compile":
            return HiddenTests(demanded.signature, "")
        if demanded.blank:
            raise ValueError(
                f'row {number} must have hidden tests, in checker or tests; where there are none, mode="compile" '
                "rewards what compiles"
            )
        return demanded

    def _log(
        self, verdicts: Sequence[Verdict | None], seconds: float, log_metric: Callable[[str, float], None]
    ) -> None:
        counts = Counter(UNFINISHED if verdict is None else verdict.status for verdict in verdicts)
        for status in (*STATUSES, UNFINISHED):
            log_metric(f"verdict/{status}", counts[status] / len(verdicts))
        compiled = sum(verdict is not None and compiles(verdict) for verdict in verdicts)
        forged = sum(is_forgery(verdict) for verdict in verdicts)
        log_metric("forged_reports", forged)
        log_metric("compile_success_rate", compiled / len(verdicts))
        log_metric("avg_reward", sum(map(self.seed_reward, verdicts)) / len(verdicts))
        log_metric("reward_seconds", seconds)

    def close(self) -> None:
        """Ends the sandbox's server; called again, the reward starts it anew."""
        self.verifier.close()


@lru_cache(maxsize=100_000)
def read_tests(text: str, checker: str | None = None) -> HiddenTests:
    """Hidden tests from one text or from two. Raises `ValueError`."""
    return HiddenTests.parse(text) if checker is None else HiddenTests(text, checker)


@lru_cache(maxsize=100_000)
def with_empty_body(prompt: str, demanded: HiddenTests) -> tuple[str | None, str | None]:
    """
    Looks whether a text prompt can become a program that succeeds.

    Returns:
        The shortest program it can become, if only the compiler can say whether that is Rust, and what is wrong with
        the prompt, as the end of "must have a prompt ..."; None where there is nothing to say.
    """
    head = opened_function(prompt)
    if head is None:
        return None, (
            "that leaves one function open, as one does that ends with `fn add(a: i32, b: i32) -> i32 {`, or a "
            "conversation: a completion counts up to the brace that closes this function"
        )
    program = head + "}"
    missing = publish(program.encode(), demanded)[1]
    if missing:
        return None, f"that has all of what its signature demands, and no body adds {', '.join(missing)}"
    if analyze(program).has_error:
        return program, None
    refused = refusals(program.encode(), demanded, continued=True)
    return None, f"that is not refused whatever completes it: it {refused[0].reason}" if refused else None


def shortened(prompt: str) -> str:
    """The end of a prompt, for a message."""
    return repr(prompt if len(prompt) <= 80 else "..." + prompt[-77:])


def program_of(prompt: Text, completion: Text) -> str | None:
    """The code that a completion makes of its prompt; None when it is not finished."""
    if not isinstance(prompt, str):
        return extract_rust(completion)
    text = text_of(completion)
    function = None if text is None else completed_function(prompt, text)
    return None if function is None else prompt + function


def is_forgery(verdict: Verdict | None) -> bool:
    """Whether the code tried to forge the report of its tests."""
    return verdict is not None and any(diagnostic.category == "forgery" for diagnostic in verdict.diagnostics)


def message_of(verdict: Verdict | None) -> str:
    """The first reason of a verdict, as rustc prints it; empty when there is none."""
    if verdict is None:
        return "the completion did not come to its end"
    if not verdict.diagnostics:
        return ""
    first = verdict.diagnostics[0]
    return first.rendered or first.message
