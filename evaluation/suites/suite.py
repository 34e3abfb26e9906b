"""
The interface of a benchmark.

A suite loads its problems from `EvaluationSettings`, runs on a model and returns `Results`. It also knows how its
results are shown: as a table, as plots and in a model card. Suites of programs derive from `ProgramSuite`, which
samples and verifies; others, such as a comparison of likelihoods, implement `load` and `run`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from rich.table import Table
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from evaluation.models.served_model import ServedModel
from evaluation.results import Interval, Results
from evaluation.rust import RustVerifier
from evaluation.settings import EvaluationSettings
from evaluation.suites.problem_files import HubDataset

Log = Callable[[str], None]
"""Function that writes one line for the user."""


@dataclass(frozen=True)
class SuiteRun:
    """
    Everything a suite runs with.

    Attributes:
        model: In evaluation mode, or a served one.
        tokenizer: The model's, with a padding token; None for a served model.
        settings: Of the evaluation.
        output_dir: Folder for files beside the results, such as samples.
        verifier: Compiles and runs programs; None where the suite has no edition.
        progress: Show progress bars.
    """

    model: PreTrainedModel | ServedModel
    tokenizer: PreTrainedTokenizerBase | None
    settings: EvaluationSettings
    output_dir: Path
    verifier: RustVerifier | None = None
    progress: bool = False

    @property
    def loaded(self) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """Model and tokenizer in memory, for suites that measure probabilities; see `in_memory`."""
        return in_memory(self.model, self.tokenizer)


def in_memory(
    model: PreTrainedModel | ServedModel, tokenizer: PreTrainedTokenizerBase | None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a model in memory with its tokenizer; raise `SuiteDoesNotFit` for a served one that cannot be loaded."""
    if isinstance(model, ServedModel):
        return model.in_memory()
    assert tokenizer is not None, "a model in memory has a tokenizer"
    return model, tokenizer


class Suite(ABC):
    """
    A benchmark with its problems.

    Class attributes:
        name: What `--suite` takes, such as "humaneval-rust".
        benchmark: Name of its results and of their file, such as "humaneval_rust"; see `results_name`.
        title: Name in a model card.
        unit: What the values are measured over.
        edition: Rust edition of the compiler that it needs; None for a suite without a compiler.
        least_run_timeout: Seconds of processor time that its slowest reference solution needs; a shorter `run_timeout`
            has no effect.
        runs_programs: Whether it runs programs that a model wrote, which needs HF_ALLOW_CODE_EVAL=1.
        takes_chat: Whether `EvaluationSettings.chat` changes how it asks the model.
        samples_completions: Whether it samples completions of a model, so that temperature and penalty change it.
        training_metric: Name of its number in continuous evaluation; None if it takes no part in that.
        hub_dataset: Where its problems are published, if they are.
        in_quality_table: Whether a model card lists its metrics, or says that they were not measured.
    """

    name: ClassVar[str]
    benchmark: ClassVar[str]
    title: ClassVar[str]
    unit: ClassVar[str] = "problems"
    edition: ClassVar[str | None] = None
    least_run_timeout: ClassVar[float] = 0.0
    runs_programs: ClassVar[bool] = False
    takes_chat: ClassVar[bool] = False
    samples_completions: ClassVar[bool] = False
    training_metric: ClassVar[str | None] = None
    hub_dataset: ClassVar[HubDataset | None] = None
    in_quality_table: ClassVar[bool] = True

    @property
    def results_name(self) -> str:
        """Name of the results: `benchmark`, unless the problems that were loaded are another benchmark's."""
        return self.benchmark

    # Running

    @classmethod
    @abstractmethod
    def load(cls, settings: EvaluationSettings) -> Self:
        """
        Return the suite with its problems.

        Raises:
            ProblemsMissing: There is nothing to read the problems from.
            ValueError: What is there cannot be read, or a setting does not fit.
        """

    def check_model(self, model: PreTrainedModel | ServedModel, tokenizer: PreTrainedTokenizerBase | None) -> None:
        """
        Raise `ValueError` if the suite cannot run on this model; called before any long work. A suite that needs
        probabilities calls `in_memory` here; it is skipped where all suites run on a server.
        """
        return None

    def checked(self, run: SuiteRun, log: Log) -> Self:
        """
        Check the suite's own solutions on this machine; return it without the problems that were left out.

        Raises:
            GoldFailed: A reference solution fails, or one that must fail passes.
        """
        return self

    @abstractmethod
    def run(self, run: SuiteRun) -> Results:
        """
        Measure a model. The results need neither the description of the model nor command and time.

        Raises:
            ValueError: The suite cannot run on this model.
        """

    # Continuous evaluation

    def fitting(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Self:
        """Return the suite without the problems that are longer than the model's context."""
        return self

    def measure_in_training(self, run: SuiteRun, deadline: float) -> Mapping[str, float]:
        """
        Measure as many problems as can be begun until `deadline`, in seconds of `time.monotonic`.

        Returns:
            Numbers by name: `training_metric`, and with the suffix "_of" the number of samples it is a mean of. Empty
            if the time was too short for any.
        """
        raise NotImplementedError(f"{self.name} has a training_metric and must measure it")

    # Showing results

    @classmethod
    def wrote(cls, benchmark: str) -> bool:
        """Whether results of this name are the suite's."""
        return benchmark == cls.benchmark

    @classmethod
    def has_shares(cls, results: Results) -> bool:
        """Whether the metrics are shares from 0 to 1, which have Wilson's intervals."""
        return bool(results.verdicts)

    @classmethod
    def table(cls, results: Results) -> Table:
        """Return the metrics with their intervals, the verdicts and the suite's own rows."""
        table = Table(title=cls.table_title(results))
        for column in ("metric", "value", f"95 % interval over the {results.unit}"):
            table.add_column(column, justify="left" if column == "metric" else "right")
        number_format = ".2%" if cls.has_shares(results) else ".4f"
        for name, interval in results.metrics.items():
            table.add_row(name, f"{interval.value:{number_format}}", interval.limits(number_format))
        table.add_section()
        total = sum(results.verdicts.values())
        for status, count in results.verdicts.items():
            table.add_row(status, f"{count:,}", f"{count / total:.1%} of the samples")
        for row in cls.extra_rows(results):
            table.add_row(*row)
        return table

    @classmethod
    def table_title(cls, results: Results) -> str:
        """Return the line above the table."""
        return f"{results.benchmark}, {results.num_problems} {results.unit}, {results.model['path']}"

    @classmethod
    def extra_rows(cls, results: Results) -> Iterator[tuple[str, str, str]]:
        """Yield rows of the table (name, value, explanation) below metrics and verdicts."""
        yield from ()

    @classmethod
    def plots(cls, results: Results, folder: Path) -> list[Path]:
        """Draw the results into `folder`; return the files."""
        return []

    @classmethod
    def how_measured(cls, results: Results) -> str:
        """Return the settings that the numbers depend on, in words, for a model card."""
        return ", ".join(f"{name} {value}" for name, value in results.settings.items() if value is not None)

    @classmethod
    def index_metrics(cls, results: Results) -> Mapping[str, Interval]:
        """Return the metrics for the `model-index` of a model card."""
        return results.metrics
