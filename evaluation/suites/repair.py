"""
Repair: one attempt, then the compiler's message, then a second attempt, as people use such models.

The problems are those of HumanEval-Rust or of the compile rate. Every failed attempt is asked again once: a base model
sees the attempt and the message in a comment before the prompt, a chat model as the next turn of its conversation. If
tests failed, the model is told only that. Both turns keep their samples in files, and what is asked in the second turn
as well, so that a killed run goes on with the same questions.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Self

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from evaluation.chat_mode import ChatMode
from evaluation.complete_files import complete_file
from evaluation.generate import Prompt, Sample, positions
from evaluation.models.served_model import ServedModel
from evaluation.results import Results, share_interval
from evaluation.rust import RustVerifier, Verdict
from evaluation.settings import EvaluationSettings
from evaluation.suites.program_suite import Problem, ProgramSuite, write_verdicts
from evaluation.suites.registry import suite_class
from evaluation.suites.repair_format import MAX_ATTEMPT, correction, message_of, second_prompt
from evaluation.suites.suite import Log, Suite, SuiteRun

REPAIRED = ("humaneval-rust", "compile-rate")


@dataclass(frozen=True)
class SecondTurn(ChatMode):
    """Chat mode for conversations of three messages: the problem, the attempt and what is wrong with it."""

    @staticmethod
    def conversation(question: str, attempt: str, message: str) -> str:
        """Return the text that stands for a conversation as a problem of this mode."""
        return json.dumps([question, attempt, correction(message)])

    def messages(self, problem: str) -> list[dict[str, str]]:
        """Return the messages of a conversation; of a text that is none, the first message alone."""
        if not problem:
            return super().messages(problem)
        question, attempt, said = json.loads(problem)
        return [
            *super().messages(question),
            {"role": "assistant", "content": attempt},
            {"role": "user", "content": said},
        ]

    def question(self, problem: str) -> str:
        """Return the conversation as one message, for models behind a server that take a single one."""
        if not problem.startswith("["):
            return super().question(problem)
        question, attempt, said = json.loads(problem)
        return f"{super().question(question)}\n\nYou have answered:\n\n{attempt}\n\n{said}"


@dataclass(frozen=True)
class Repair(Suite):
    """
    Success after one turn and after two, and the share of failures that the second turn mends.

    Attributes:
        inner: The suite whose problems are asked.
    """

    inner: ProgramSuite

    name = "repair"
    benchmark = "repair"
    title = "Two turns, with the compiler's message between them"
    edition = "2021"
    runs_programs = True
    takes_chat = True

    @property
    def results_name(self) -> str:
        return f"{self.benchmark}_{self.inner.results_name}"

    @classmethod
    def wrote(cls, benchmark: str) -> bool:
        return benchmark == cls.benchmark or benchmark.startswith(f"{cls.benchmark}_")

    @classmethod
    def load(cls, settings: EvaluationSettings) -> Self:
        if settings.repair_of not in REPAIRED:
            raise ValueError(f"repair_of must be one of {', '.join(REPAIRED)}, got {settings.repair_of!r}")
        inner = suite_class(settings.repair_of)
        assert issubclass(inner, ProgramSuite), "both are suites of programs"
        problems = dict(settings.problems)
        if cls.name in problems:
            problems[settings.repair_of] = problems[cls.name]
        return cls(inner.load(replace(settings, problems=problems)))

    def check_model(self, model: PreTrainedModel | ServedModel, tokenizer: PreTrainedTokenizerBase | None) -> None:
        self.inner.check_model(model, tokenizer)

    def checked(self, run: SuiteRun, log: Log) -> Self:
        return replace(self, inner=self.inner.checked(run, log))

    def run(self, run: SuiteRun) -> Results:
        inner, verifier = self.inner, run.verifier
        assert verifier is not None, "the suite has an edition"
        path = run.output_dir / f"{self.results_name}.samples.jsonl"
        first = inner.sample(run, inner.prompts(), path)
        by_problem: dict[str, list[Sample]] = {name: [] for name in inner.names}
        for sample in first:
            by_problem[sample.prompt].append(sample)
        completions = [[inner.finished_completion(sample) for sample in each] for each in by_problem.values()]
        verdicts = inner.verify(completions, verifier, progress=run.progress)
        programs = inner.programs([[sample.completion for sample in each] for each in by_problem.values()])
        write_verdicts(inner.names, verdicts, run.output_dir / f"{self.results_name}.verdicts.jsonl", programs)
        attempts = {
            name_of(sample): (problem, sample, verdict)
            for problem, samples, each in zip(inner.problems, by_problem.values(), verdicts, strict=True)
            for sample, verdict in zip(samples, each, strict=True)
        }
        asked = self._asked_again(run, attempts)
        second = self._second(run, verifier, asked)
        again = {prompt.name: verdict for prompt, verdict in zip(asked, second, strict=True)}
        failures = sum(not verdict.ok for _, _, verdict in attempts.values())
        details = {
            **inner.details(first),
            "first_turn": dict(Counter(verdict.status for _, _, verdict in attempts.values()).most_common()),
            "failures": failures,
            "asked_again": len(asked),
            "mended": sum(verdict.ok for name, verdict in again.items() if not attempts[name][2].ok),
        }
        return replace(
            _results(self.results_name, inner, by_problem, attempts, again),
            details=details,
            settings={**inner.settings(run), "repair_of": inner.name},
            versions=inner.versions(run),
        )

    def _asked_again(self, run: SuiteRun, attempts: dict[str, tuple[Problem, Sample, Verdict]]) -> list[Prompt]:
        """Return what is asked in the second turn, as an interrupted run has written it, if there was one."""
        texts = json.dumps([asdict(sample) for _, sample, _ in attempts.values()])
        header = {"first_turn": hashlib.sha256(texts.encode()).hexdigest(), "chat": self.inner.chat is not None}
        path = run.output_dir / f"{self.results_name}.second_turn.prompts.jsonl"
        if path.is_file():
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            if lines[0] == header:
                return [Prompt(**line) for line in lines[1:]]
        asked = list(self._second_prompts(run, attempts))
        with complete_file(path) as file:
            file.write_text("".join(json.dumps(line) + "\n" for line in (header, *map(asdict, asked))))
        return asked

    def _second_prompts(self, run: SuiteRun, attempts: dict[str, tuple[Problem, Sample, Verdict]]) -> Iterator[Prompt]:
        """Yield what is asked about each failed attempt, without those that do not fit into the model's context."""
        longest = positions(run.model) if isinstance(run.model, PreTrainedModel) else None
        questions = dict(zip(self.inner.names, self.inner.prompts(), strict=True))
        for name, (problem, sample, verdict) in attempts.items():
            if verdict.ok:
                continue
            message = message_of(verdict)
            if self.inner.chat is None:
                text = second_prompt(problem.prompt, problem.program(sample.completion), message)
                rendered = text
            else:
                attempt = sample.completion[:MAX_ATTEMPT]
                text = SecondTurn.conversation(questions[problem.name].text, attempt, message)
                rendered = self._second_chat().asked(run.model, run.tokenizer, text)
            if longest is not None:
                assert run.tokenizer is not None, "a model in memory has a tokenizer"
                if len(run.tokenizer(rendered)["input_ids"]) >= longest:
                    continue
            yield Prompt(name, text)

    def _second_chat(self) -> SecondTurn:
        chat = self.inner.chat
        assert chat is not None, "the model is asked in chat mode"
        return SecondTurn(chat.instruction, chat.template)

    def _second(self, run: SuiteRun, verifier: RustVerifier, asked: Sequence[Prompt]) -> list[Verdict]:
        """Sample the second turn and return the verdict on each of its prompts."""
        if not asked:
            return []
        inner = self.inner
        once = replace(run.settings.generation, num_samples=1, seed=run.settings.generation.seed + 1)
        turn = replace(run, settings=replace(run.settings, generation=once, k=(1,)))
        asking = inner if inner.chat is None else replace(inner, chat=self._second_chat())
        path = run.output_dir / f"{self.results_name}.second_turn.samples.jsonl"
        samples = asking.sample(turn, asked, path)
        problems = dict(zip(inner.names, inner.problems, strict=True))
        judged = replace(inner, problems=[problems[prompt.name.rpartition("#")[0]] for prompt in asked])
        completions = [[inner.finished_completion(sample)] for sample in samples]
        verdicts = judged.verify(completions, verifier, progress=run.progress)
        names = [prompt.name for prompt in asked]
        programs = judged.programs([[sample.completion] for sample in samples])
        path = run.output_dir / f"{self.results_name}.second_turn.verdicts.jsonl"
        write_verdicts(names, verdicts, path, programs)
        return [verdict for (verdict,) in verdicts]

    @classmethod
    def extra_rows(cls, results: Results) -> Iterator[tuple[str, str, str]]:
        details = results.details
        yield "asked again", f"{details['asked_again']:,}", f"of {details['failures']:,} failures of the first turn"
        yield "mended", f"{details['mended']:,}", "by the second turn"

    @classmethod
    def how_measured(cls, results: Results) -> str:
        inner = suite_class(results.settings["repair_of"])
        return f"problems of {inner.title}, {inner.how_measured(results)}, failures asked again once"


def name_of(sample: Sample) -> str:
    """Return the name of a sample in the second turn, such as "Rust/0#3"."""
    return f"{sample.prompt}#{sample.index}"


def _results(
    name: str,
    inner: ProgramSuite,
    by_problem: dict[str, list[Sample]],
    attempts: dict[str, tuple[Problem, Sample, Verdict]],
    again: dict[str, Verdict],
) -> Results:
    """Return the metrics, and the statuses after the last turn of each sample."""
    one, two, mended = f"{inner.metric}@1, first turn", f"{inner.metric}@1, two turns", "mended"
    per_problem: dict[str, dict[str, float]] = {one: {}, two: {}, mended: {}}
    last: Counter[str] = Counter()
    for problem, samples in by_problem.items():
        names = [name_of(sample) for sample in samples]
        passed = [name for name in names if attempts[name][2].ok]
        failed = [name for name in names if not attempts[name][2].ok]
        repaired = [name for name in failed if name in again and again[name].ok]
        per_problem[one][problem] = len(passed) / len(names)
        per_problem[two][problem] = (len(passed) + len(repaired)) / len(names)
        if failed:
            per_problem[mended][problem] = len(repaired) / len(failed)
        verdicts = [attempts[name][2] if name in passed else again.get(name, attempts[name][2]) for name in names]
        last.update(verdict.status for verdict in verdicts)
    per_problem = {metric: values for metric, values in per_problem.items() if values}
    metrics = {metric: share_interval(list(values.values())) for metric, values in per_problem.items()}
    return Results(name, {}, metrics, per_problem, dict(last.most_common()))
