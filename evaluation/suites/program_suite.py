"""Suites whose problems ask for a program: sampled from the model, compiled and tested by the verifier."""

import json
import shutil
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from evaluation.chat_mode import ChatMode
from evaluation.generate import Prompt, Sample, StopRule, generate, positions, too_long_for
from evaluation.models.served_model import ServedModel
from evaluation.repetition import is_repeating
from evaluation.results import Results, share_interval
from evaluation.rust import Diagnostic, RustVerifier, Verdict
from evaluation.rust.judge.batching import Tests
from evaluation.rust.syntax.answers import extract_rust, has_whole_block
from evaluation.rust.syntax.completion import completed_function
from evaluation.rust.syntax.merging import merged_program
from evaluation.scoring import GoldFailed, results_of, verify_samples
from evaluation.settings import EvaluationSettings
from evaluation.suites.depth_descriptions import describe_depth
from evaluation.suites.problem_files import HINT
from evaluation.suites.suite import Log, Suite, SuiteRun
from evaluation.token_healing import can_heal

TRAINING_BATCH = 8
"""Prompts generated together in continuous evaluation, between two looks at the clock."""
MAX_DIAGNOSTICS, MAX_MESSAGE, MAX_RENDERED, MAX_PROGRAM = 10, 500, 8_000, 40_000
"""Limits of the file of verdicts for each sample: number of diagnostics, and characters of each message, of all
rendered diagnostics together, and of the program."""


@dataclass(frozen=True)
class Problem:
    """
    A function to write.

    Attributes:
        name: Unique in its suite.
        prompt: Text that the model continues; ends with the open function.
        tests: Text that is appended to the program, the functions it must define with their hidden test cases, or
            runs of its `main`; None if it only has to compile.
    """

    name: str
    prompt: str
    tests: Tests

    @property
    def chat_prompt(self) -> str:
        """The question for an instruction-tuned model, which the instruction surrounds."""
        return self.prompt

    @property
    def opening(self) -> str:
        """Beginning of the program, up to the open function; the prompt, unless that has more than the program."""
        return self.prompt

    def program(self, completion: str) -> str:
        """Return the program, without its tests, of a completion of the prompt."""
        return self.opening + completion

    def program_of_answer(self, answer: str) -> str:
        """Return the program of a chat model's answer; without a finished program the function stays open."""
        code = extract_rust(answer)
        if code is None:
            return self.opening
        return merged_program(self.opening, code, self.tests if isinstance(self.tests, str) else "")


@dataclass(frozen=True)
class ProgramSuite(Suite):
    """
    A suite of programs. A subclass says where its problems come from (`read`) and how they are checked (`check_gold`);
    one that asks the model twice overrides `run`, with `sample` and `verify` as its parts.

    Class attributes:
        metric: Name of the metric without its "@k".
        stop: Rule that ends a completion.
        rules: Rules of the verifier, see `RustVerifier.verify`.
        instruction: How a chat model is asked unless the user says otherwise; None for that of `ChatMode`.
        may_leave_out: Whether problems that fail their own check can be left out, because they are the user's.

    Attributes:
        problems: What is asked.
        chat: How an instruction-tuned model is asked; None for a base model.
        left_out: Rows and problems that were left out, with the reason.
        source: File of the problems, if one was given.
    """

    problems: Sequence[Problem]
    chat: ChatMode | None = None
    left_out: tuple[str, ...] = ()
    source: Path | None = None

    metric: ClassVar[str]
    stop: ClassVar[StopRule] = staticmethod(completed_function)
    rules: ClassVar[Literal["data", "reward"]] = "data"
    instruction: ClassVar[str | None] = None
    may_leave_out: ClassVar[bool] = True
    edition = "2021"
    runs_programs = True
    takes_chat = True
    samples_completions = True

    @classmethod
    @abstractmethod
    def read(cls, path: Path | None = None, skip_bad_rows: bool = False) -> Self:
        """
        Return the suite with the problems of a file, or with those it has without one.

        Raises:
            ProblemsMissing: There is nothing to read the problems from.
            ValueError: The file cannot be read or, unless `skip_bad_rows`, a row holds no valid problem.
        """

    @abstractmethod
    def check_gold(self, verifier: RustVerifier, progress: bool = False) -> None:
        """
        Check that known solutions pass and that others fail.

        Raises:
            GoldFailed: Names the problems where that is not so.
        """

    @classmethod
    def load(cls, settings: EvaluationSettings) -> Self:
        suite = cls.read(settings.problems.get(cls.name), settings.skip_bad_rows)
        chat = settings.chat
        if chat is not None and cls.instruction is not None:
            chat = chat.asking_by_default(cls.instruction)
        return replace(suite, problems=suite.problems[: settings.limit], chat=chat)

    @property
    def names(self) -> list[str]:
        """Names of the problems."""
        return [problem.name for problem in self.problems]

    def prompts(self) -> list[Prompt]:
        """Return what the model continues."""
        return [Prompt(each.name, each.chat_prompt if self.chat else each.prompt) for each in self.problems]

    def programs(self, completions: Sequence[Sequence[str | None]]) -> list[list[str | None]]:
        """
        Return the programs, without their tests, of each problem's completions, or answers with `chat`; None stays.
        """
        return [
            [None if text is None else self.program_of(problem, text) for text in each]
            for problem, each in zip(self.problems, completions, strict=True)
        ]

    def program_of(self, problem: Problem, text: str) -> str:
        """Return the program of a completion, or of an answer with `chat`."""
        return problem.program_of_answer(text) if self.chat else problem.program(text)

    def verify(
        self,
        completions: Sequence[Sequence[str | None]],
        verifier: RustVerifier,
        trusted: bool = False,
        progress: bool = False,
    ) -> list[list[Verdict]]:
        """
        Return the verdicts on each problem's completions, or answers with `chat`; None stands for an unfinished one.
        See `verify_samples`.
        """
        programs, tests = self.programs(completions), [problem.tests for problem in self.problems]
        return verify_samples(verifier, programs, tests, rules=self.rules, trusted=trusted, progress=progress)

    def finished_completion(self, sample: Sample) -> str | None:
        """
        Return the completion of a sample, or None if it is unfinished: it reached its maximum number of tokens, or the
        end of the context, before the end of its function. In a chat, where an answer goes on after its program, it
        is unfinished if it holds no whole code block either.
        """
        if not sample.reached_limit:
            return sample.completion
        holds_program = self.chat is not None and has_whole_block(sample.completion)
        return sample.completion if holds_program else None

    def check_model(self, model: PreTrainedModel | ServedModel, tokenizer: PreTrainedTokenizerBase | None) -> None:
        prompts = self.prompts()
        if self.chat:
            prompts = [Prompt(each.name, self.chat.asked(model, tokenizer, each.text)) for each in prompts]
        if not isinstance(model, ServedModel):
            assert tokenizer is not None, "a model in memory has a tokenizer"
            too_long_for(model, tokenizer, prompts, special_tokens=not self.chat)

    def checked(self, run: SuiteRun, log: Log) -> Self:
        log(f"{self.results_name}: checking the reference solutions of {len(self.problems)} problems")
        suite = self
        while True:
            try:
                suite.check_gold(run.verifier, run.progress)
                break
            except GoldFailed as error:
                if not self.may_leave_out:
                    raise
                problems = [problem for problem in suite.problems if problem.name not in error.problems]
                if not run.settings.skip_bad_rows or not problems:
                    hint = f" ({HINT})" if problems else ""
                    raise GoldFailed(error.reason + hint, error.verdicts) from error
                failed = tuple(f"{name}: {reason}" for name, reason in error.problems.items())
                suite = replace(suite, problems=problems, left_out=suite.left_out + failed)
        for line in suite.left_out:
            log(f"{self.results_name}: left out {line}")
        return suite

    def sample(self, run: SuiteRun, prompts: Sequence[Prompt], path: Path) -> list[Sample]:
        """Sample completions, or answers with `chat`, of prompts; kept in `path`, see `generate`."""
        return generate(
            run.model, run.tokenizer, prompts, run.settings.generation, path, run.progress, type(self).stop, self.chat
        )

    def run(self, run: SuiteRun) -> Results:
        samples = self.sample(run, self.prompts(), run.output_dir / f"{self.results_name}.samples.jsonl")
        completions = by_problem(self.names, samples, self.finished_completion)
        verdicts = self.verify(completions, run.verifier, progress=run.progress)
        programs = self.programs(by_problem(self.names, samples, lambda sample: sample.completion))
        write_verdicts(self.names, verdicts, run.output_dir / f"{self.results_name}.verdicts.jsonl", programs)
        found = results_of(self.results_name, self.metric, self.names, verdicts, run.settings.ks)
        more = self.further_shares(found, verdicts)
        return replace(
            found,
            metrics={
                **found.metrics,
                **{name: share_interval(list(values.values())) for name, values in more.items()},
            },
            per_problem={**found.per_problem, **more},
            details=self.details(samples),
            settings=self.settings(run),
            versions=self.versions(run),
        )

    def further_shares(
        self, results: Results, verdicts: Sequence[Sequence[Verdict]]
    ) -> Mapping[str, Mapping[str, float]]:
        """Return further metrics that are shares: by name their values by problem, of all problems or some."""
        return {}

    def versions(self, run: SuiteRun) -> dict[str, str]:
        """Return the version of the compiler."""
        assert run.verifier is not None, "the suite has an edition"
        return {"rustc": run.verifier.resources.toolchain.version}

    def settings(self, run: SuiteRun) -> dict[str, Any]:
        """Return the settings that the results record."""
        settings: dict[str, Any] = asdict(run.settings.generation)
        settings["token_healing"] = self.chat is None and can_heal(run.tokenizer)
        if run.verifier is not None:
            settings |= {"edition": run.verifier.edition, "run_timeout": run.verifier.run_timeout}
        settings["problems"] = None if self.source is None else str(self.source)
        if self.chat is None:
            return settings | {"mode": "base"}
        return settings | {"mode": "chat"} | self.chat.record(run.model, run.tokenizer)

    def details(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """Return the details of the results."""
        loops = [sample.mean_loops for sample in samples if sample.mean_loops is not None]
        details = {
            "completions": len(samples),
            "mean_loops": sum(loops) / len(loops) if loops else None,
            "repeating_completions": sum(is_repeating(sample.completion) for sample in samples),
            "rows_left_out": len(self.left_out),
            "left_out": list(self.left_out),
        }
        beyond = sum(sample.reached_limit and sample.tokens == 0 for sample in samples)
        if beyond:
            details["prompts_beyond_context"] = beyond
        finished = sum(sample.finished for sample in samples)
        if self.chat is None:
            return details | {"completions_that_end_their_function": finished}
        programs = sum(extract_rust(sample.completion) is not None for sample in samples)
        return details | {"answers_that_end": finished, "answers_with_a_program": programs}

    def fitting(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Self:
        longest = positions(model)
        if longest is None:
            return self
        problems = [each for each in self.problems if len(tokenizer(each.prompt)["input_ids"]) < longest]
        return replace(self, problems=problems)

    def measure_in_training(self, run: SuiteRun, deadline: float) -> Mapping[str, float]:
        prompts, completions = self.prompts(), []
        folder = run.output_dir / self.benchmark
        shutil.rmtree(folder, ignore_errors=True)
        for start in range(0, len(prompts), TRAINING_BATCH):
            if time.monotonic() >= deadline:
                break
            samples = self.sample(run, prompts[start : start + TRAINING_BATCH], folder / f"from_{start}.jsonl")
            completions += [[self.finished_completion(sample)] for sample in samples]
        if not completions:
            return {}
        reached = replace(self, problems=self.problems[: len(completions)])
        assert self.edition is not None, "a suite that is measured in training has an edition"
        with RustVerifier(self.edition) as verifier:
            verdicts = [verdict for (verdict,) in reached.verify(completions, verifier)]
        name = self.training_metric
        assert name is not None, "a suite that is measured in training has a name for its number"
        found = {name: sum(verdict.ok for verdict in verdicts) / len(verdicts), f"{name}_of": len(verdicts)}
        return found | self.extra_training_metrics(verdicts)

    def extra_training_metrics(self, verdicts: Sequence[Verdict]) -> dict[str, float]:
        """Return numbers for continuous evaluation beside `training_metric`."""
        return {}

    @classmethod
    def table_title(cls, results: Results) -> str:
        title = super().table_title(results)
        return f"{title}, asked in its chat template" if results.settings.get("mode") == "chat" else title

    @classmethod
    def extra_rows(cls, results: Results) -> Iterator[tuple[str, str, str]]:
        details = results.details
        if details.get("mean_loops") is not None:
            yield "loops", f"{details['mean_loops']:.3f}", "per token, mean of the completions"
        for name, words in (
            ("completions_that_end_their_function", "end their function"),
            ("answers_that_end", "finished answers"),
            ("answers_with_a_program", "contain a whole program"),
            ("repeating_completions", "repeat themselves at their end"),
            ("prompts_beyond_context", "prompts do not fit into the context"),
        ):
            if name in details:
                share = f" ({details[name] / details['completions']:.1%})" if details["completions"] else ""
                yield words, f"{details[name]:,}", f"of {details['completions']:,} completions{share}"
        if details.get("rows_left_out"):
            yield "left out", f"{details['rows_left_out']:,}", "rows without a valid problem"

    @classmethod
    def how_measured(cls, results: Results) -> str:
        settings = results.settings
        sampling = f"temperature {settings['temperature']}, top-p {settings['top_p']}"
        count, penalty = settings["num_samples"], settings.get("repetition_penalty", 1.0)
        words = [
            f"{count} sample{'s' if count > 1 else ''} per problem",
            "greedy" if settings["temperature"] == 0 else sampling,
            f"at most {settings['max_new_tokens']} tokens",
            *([f"repetition penalty {penalty}"] if penalty != 1 else []),
            f"seed {settings['seed']}",
            describe_depth(results),
            f"edition {settings['edition']}",
        ]
        if settings.get("mode") == "chat":
            words.insert(0, "asked by an instruction in the chat template")
        return ", ".join(filter(None, words))


def by_problem(
    names: Sequence[str], samples: Sequence[Sample], text: Callable[[Sample], str | None]
) -> list[list[str | None]]:
    """Return a text of each sample, by problem."""
    found: dict[str, list[str | None]] = {name: [] for name in names}
    for sample in samples:
        found[sample.prompt].append(text(sample))
    return list(found.values())


def write_verdicts(
    names: Sequence[str],
    verdicts: Sequence[Sequence[Verdict]],
    path: Path,
    programs: Sequence[Sequence[str | None]] | None = None,
) -> None:
    """
    Write one JSON line per sample: problem, index of the sample, status, error codes, counts of tests, and the first
    diagnostics. Texts are cut, so that no line has more than about `MAX_PROGRAM + MAX_RENDERED` characters.

    Args:
        names: Names of the problems.
        verdicts: For each problem the verdicts on its samples.
        path: File to write.
        programs: The programs that were verified, in the form of `verdicts`, without appended tests; lines of
            diagnostics are those of the program. None leaves them out.
    """
    with path.open("w") as file:
        for number, (name, each) in enumerate(zip(names, verdicts, strict=True)):
            for index, verdict in enumerate(each):
                line = {
                    "prompt": name,
                    "index": index,
                    "status": verdict.status,
                    "errors": verdict.error_codes,
                    "tests_passed": verdict.tests_passed,
                    "tests_total": verdict.tests_total,
                    "diagnostics": list(_shortened(verdict.diagnostics)),
                }
                program = None if programs is None else programs[number][index]
                if program is not None:
                    line["program"] = program[:MAX_PROGRAM]
                file.write(json.dumps(line) + "\n")


def _shortened(diagnostics: Sequence[Diagnostic]) -> Iterator[dict]:
    """Yield the first diagnostics, without the texts beyond `MAX_RENDERED` characters."""
    left = MAX_RENDERED
    for each in diagnostics[:MAX_DIAGNOSTICS]:
        message, rendered = each.message[:MAX_MESSAGE], each.rendered[:left]
        left -= len(rendered)
        yield {
            "code": each.code,
            "message": message,
            "line": each.line,
            "column": each.column,
            "rendered": rendered,
        }
