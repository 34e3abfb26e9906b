"""Everything that a published model should have, each item with the check that tells whether it is there."""

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from transformers import GenerationConfig

from evaluation.exit_status import hint
from evaluation.results import Results
from evaluation.rust.sandbox.runner import OPT_IN
from evaluation.suites.registry import SUITES, suite_class
from model_cards.card.results import PUBLISHED_NAMES, read_results
from model_cards.card.run_record import RunRecord
from model_cards.checkpoint import LoopLMCheckpoint, read_json, read_tokenizer
from model_cards.documents.write import BENCHMARK_RESULTS, MODEL_CARD, TRAINING_REPORT
from model_cards.gguf.limits import choose_types
from model_cards.model_folder import check_special_tokens, code_files
from model_cards.model_statistics import ModelStatistics
from model_cards.snapshot.requirements import NOT_INSTALLED, pinned_requirements
from model_cards.snapshot.source import REQUIREMENTS
from model_cards.snapshot.write import (
    DATA_PREPROCESSING,
    DOCKERFILE,
    EVALUATION_SCRIPTS,
    RUNTIME,
    TRAINING_CODE,
    examples_folder,
    trained_code,
)

DONE, MISSING, WRONG, NOT_POSSIBLE = "done", "missing", "wrong", "not possible"
BENCHMARKS = ("humaneval_rust", "compilation_success_rate", "semantic_correctness", "performance_benchmarks")

BY_PUBLISHED_NAME = {published: name for name, published in PUBLISHED_NAMES.items()}
GGUF_PACKAGES = ("gguf", "xllamacpp")


@dataclass(frozen=True)
class Finding:
    """
    Result of a check.

    Attributes:
        status: "done", "missing", "wrong", or "not possible" for this kind of model.
        note: Details, or the reason.
        command: Command, or other step, that fills a gap.
    """

    status: str
    note: str = ""
    command: str = ""


@dataclass(frozen=True)
class Subject:
    """
    A model that is about to be published.

    Attributes:
        folder: Where it is saved.
        results: Results files, or folders with results files.
        gguf: Whether GGUF files are to be published.
    """

    folder: Path
    results: tuple[Path, ...] = ()
    gguf: bool = True

    @cached_property
    def checkpoint(self) -> LoopLMCheckpoint:
        """The weights and the configuration. Raises `ValueError` or `FileNotFoundError`."""
        return LoopLMCheckpoint.from_folder(self.folder)

    @cached_property
    def run(self) -> RunRecord | None:
        """The run that trained it; None if it is not known."""
        return RunRecord.of_model(self.folder)

    @cached_property
    def measured(self) -> dict[str, Results | str]:
        """Results by benchmark; in place of a file that cannot be used, the reason."""
        statistics = ModelStatistics.from_checkpoint(self.checkpoint)
        found: dict[str, Results | str] = {}
        for path in self._results_files():
            try:
                read = read_results([path], statistics, self.folder)
                if not read:
                    raise ValueError(f"{path} has results of a benchmark that no suite of this project writes")
                (results,) = read
            except (ValueError, OSError) as error:
                # A file of a repository has the name under which its results are published.
                found[BY_PUBLISHED_NAME.get(path.stem, path.stem)] = str(error)
            else:
                found[results.benchmark] = results
        return found

    def _results_files(self) -> Iterator[Path]:
        for place in self.results:
            yield from Results.files(place) if place.is_dir() else [place]


@dataclass(frozen=True)
class Item:
    """
    Something that a published model should have.

    Attributes:
        group: Part of the checklist.
        name: Name of the file or folder in the model's repository.
        check: Finds out whether `publish` would upload it.
    """

    group: str
    name: str
    check: Callable[[Subject], Finding]


def check_items(subject: Subject) -> list[tuple[Item, Finding]]:
    """Check all items; what a check raises is a finding, too."""
    found = []
    for item in ITEMS:
        try:
            finding = item.check(subject)
        except FileNotFoundError as error:
            finding = Finding(MISSING, str(error), "save the model again with save_pretrained")
        except (ValueError, OSError) as error:
            finding = Finding(WRONG, str(error))
        found.append((item, finding))
    return found


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _weights(subject: Subject) -> Finding:
    subject.checkpoint.check_names()
    config = subject.checkpoint.config
    statistics = ModelStatistics.from_checkpoint(subject.checkpoint)
    return Finding(DONE, f"{statistics.parameters:,} parameters, {config.weight_format} weights")


def _json_file(name: str) -> Callable[[Subject], Finding]:
    def check(subject: Subject) -> Finding:
        if not (subject.folder / name).is_file():
            return Finding(MISSING, "", "save the model and its tokenizer again with save_pretrained")
        read_json(subject.folder / name)
        return Finding(DONE)

    return check


def _tokens(subject: Subject) -> Finding:
    tokenizer = read_tokenizer(subject.folder)
    generation = GenerationConfig.from_pretrained(subject.folder)
    check_special_tokens(tokenizer, subject.checkpoint.config, generation)
    return Finding(DONE, f"{len(tokenizer):,} tokens; special tokens agree everywhere")


def _code(subject: Subject) -> Finding:
    return Finding(DONE, f"{len(code_files(subject.folder))} files")


def _gguf(subject: Subject) -> Finding:
    if not subject.gguf:
        return Finding(MISSING, "left out", "leave out --no-gguf")
    lacking = [package for package in GGUF_PACKAGES if find_spec(package) is None]
    if lacking:
        return Finding(MISSING, f"needs {' and '.join(lacking)}", hint(lacking[0]))
    try:
        types = choose_types(subject.checkpoint)
    except ValueError as error:
        return Finding(NOT_POSSIBLE, f"llama.cpp cannot run this model. {error}")
    return Finding(DONE, f"{', '.join(types)}, in a repository of their own")


def _always(subject: Subject) -> Finding:
    return Finding(DONE)


def _training_report(subject: Subject) -> Finding:
    if subject.run is None:
        step = "publish it from runs/RECIPE/STAGE/model, where its training is recorded"
        return Finding(MISSING, "nothing is known of the training", step)
    return Finding(DONE, _count(len(subject.run.stages), "stage"))


def _benchmark_results(subject: Subject) -> Finding:
    good = [each for each in subject.measured.values() if isinstance(each, Results)]
    others = {name: each for name, each in subject.measured.items() if name not in BENCHMARKS}
    faults = [each for each in others.values() if isinstance(each, str)]
    if faults:
        return Finding(WRONG, "; ".join(faults), "remove the file from --results, or make it again")
    if not good:
        return Finding(MISSING, "no results", _evaluation(subject, "all"))
    return Finding(DONE, _count(len(good), "suite"))


def _evaluation(subject: Subject, suite: str) -> str:
    folders = (place for place in subject.results if place.is_dir() and place != subject.folder)
    folder = next(folders, Path("results") / subject.folder.name)
    words = ["nanochat-ternary", "eval", "run", "--model", str(subject.folder), "--suite", suite]
    consent = f"{OPT_IN}=1 " if suite == "all" or suite_class(suite).runs_programs else ""
    return consent + shlex.join([*words, "--output-dir", str(folder)])


def _results_of(benchmark: str) -> Callable[[Subject], Finding]:
    def check(subject: Subject) -> Finding:
        found = subject.measured.get(benchmark)
        suite = next(name for name in SUITES if suite_class(name).benchmark == benchmark)
        if found is None:
            return Finding(MISSING, "not measured", _evaluation(subject, suite))
        if isinstance(found, str):
            return Finding(WRONG, found, _evaluation(subject, suite))
        return Finding(DONE, f"{found.num_problems:,} {found.unit}")

    return check


def _training_code(subject: Subject) -> Finding:
    if trained_code(subject.run) is None:
        step = "train with this version, which records its code; otherwise the installed code is published"
        return Finding(MISSING, "the run did not record its code", step)
    return Finding(DONE, "as recorded by the run")


def _data_preprocessing(subject: Subject) -> Finding:
    if subject.run is None or not (subject.run.prepared / "finished.json").is_file():
        step = "publish it from the folder of its run, with its folder prepare"
        return Finding(MISSING, "the preparation of the data was not recorded", step)
    return Finding(DONE)


def _evaluation_scripts(subject: Subject) -> Finding:
    good = [each for each in subject.measured.values() if isinstance(each, Results) and each.command]
    if not good:
        return Finding(MISSING, "no results", _evaluation(subject, "all"))
    return Finding(DONE, _count(len(good), "command"))


def _requirements(subject: Subject) -> Finding:
    pinned = pinned_requirements()
    if pinned == [NOT_INSTALLED]:
        return Finding(MISSING, "this project is not installed", "pip install nanochat-ternary")
    return Finding(DONE, f"{len(pinned)} distributions")


def _example(name: str) -> Callable[[Subject], Finding]:
    def check(subject: Subject) -> Finding:
        there = (examples_folder() / name).is_file()
        return Finding(DONE) if there else Finding(MISSING, "", "install this project again: its files are incomplete")

    return check


MODEL, DOCUMENTS, EVALUATION = "model", "documents", "evaluation"
REPRODUCIBILITY, DEMO = "reproducibility", "demo and examples"
ITEMS = (
    Item(MODEL, "model.safetensors", _weights),
    Item(MODEL, "config.json", _json_file("config.json")),
    Item(MODEL, "generation_config.json", _json_file("generation_config.json")),
    Item(MODEL, "tokenizer.json", _tokens),
    Item(MODEL, "*.py", _code),
    Item(MODEL, "*.gguf", _gguf),
    Item(DOCUMENTS, "README.md", _always),
    Item(DOCUMENTS, MODEL_CARD, _always),
    Item(DOCUMENTS, TRAINING_REPORT, _training_report),
    Item(DOCUMENTS, BENCHMARK_RESULTS, _benchmark_results),
    *(Item(EVALUATION, f"{PUBLISHED_NAMES.get(name, name)}.json", _results_of(name)) for name in BENCHMARKS),
    Item(REPRODUCIBILITY, f"{TRAINING_CODE}/", _training_code),
    Item(REPRODUCIBILITY, f"{DATA_PREPROCESSING}/", _data_preprocessing),
    Item(REPRODUCIBILITY, f"{EVALUATION_SCRIPTS}/", _evaluation_scripts),
    Item(REPRODUCIBILITY, DOCKERFILE, _always),
    Item(REPRODUCIBILITY, REQUIREMENTS, _requirements),
    *(
        Item(DEMO, name, _example(name))
        for name in (
            "demo.ipynb",
            "examples/basic_usage.rs",
            "examples/server_usage.rs",
            "examples/semantic_verification.rs",
            "examples/compiler_integration.rs",
        )
    ),
    Item(DEMO, f"{RUNTIME}/", _always),
)
