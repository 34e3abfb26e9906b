"""Results files for a model card: only results of this model, each number with the settings it was measured with."""

import functools
import shlex
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult

from evaluation.models.digest import OF_FILES, files_digest, weight_files
from evaluation.public_paths import without_folders
from evaluation.results import Results
from evaluation.suites.registry import SUITES, suite_classes, suite_of
from model_cards.model_statistics import ModelStatistics

NOT_MEASURED = "not measured"
BY_LOOP = "_loop_"
"""Part of the names of metrics that are measured after each loop."""


@dataclass(frozen=True)
class BenchmarkRow:
    """A row of the table of benchmark results, as text."""

    benchmark: str
    metric: str
    value: str
    interval: str
    measured_on: str
    settings: str


PUBLISHED_NAMES = {"humaneval_rust": "humaneval_rust_results"}
"""Names of published results files that are not the benchmark's."""


def published_name(results: Results) -> str:
    """Return the name of a results file in a repository, such as "humaneval_rust_results.json"."""
    return f"{PUBLISHED_NAMES.get(results.benchmark, results.benchmark)}.json"


def read_results(places: Sequence[Path], model: ModelStatistics, folder: Path) -> list[Results]:
    """
    Read results files, and sort them by benchmark.

    Args:
        places: Files, or folders whose .json files are read.
        model: The model that the results must be of.
        folder: Where the model is saved.

    Raises:
        ValueError: A file is not a results file, a folder has none, or the results are of another model.
        FileNotFoundError: A folder or file does not exist.
    """
    found: list[Results] = []
    # Packed weights are other files than those of the same model that was evaluated.
    digest = (
        None
        if model.config.weight_format == "packed"
        else functools.cache(lambda: files_digest(weight_files(str(folder))))
    )
    for place in places:
        if not place.exists():
            raise FileNotFoundError(f"results must be folders of results files, got {place}, which does not exist")
        files = Results.files(place) if place.is_dir() else [place]
        if not files:
            raise ValueError(f"results must be folders of results files, got {place}, which has none")
        for path in files:
            results = Results.read(path)
            _check_model(results, model, path)
            _check_weights(results, digest, path)
            found.append(results)
    # By the suite that wrote them: some suites write results under several names.
    return [each for suite in suite_classes() for each in found if suite.wrote(each.benchmark)]


def _check_weights(results: Results, digest: Callable[[], str] | None, path: Path) -> None:
    measured = results.model.get("digest")
    if digest is None or measured is None or results.model.get("digest_of") != OF_FILES:
        return
    if measured != digest():
        raise ValueError(
            f"{path} must be results of this model: they are of weights with the SHA-256 {measured[:12]}..., and this "
            f"model's have {digest()[:12]}...; evaluate this model, or give its own results"
        )


def _check_model(results: Results, model: ModelStatistics, path: Path) -> None:
    own = {
        "model_type": model.config.model_type,
        "parameters": model.parameters,
        "num_loops": model.config.num_loops,
        "num_shared_layers": model.config.num_shared_layers,
    }
    for name, value in own.items():
        if results.model.get(name) != value:
            raise ValueError(
                f"{path} must be results of this model: they are of one with {name}={results.model.get(name)!r}, and "
                f"this model has {value!r}"
            )


def benchmark_rows(results: Sequence[Results]) -> list[BenchmarkRow]:
    """
    Return the rows of every suite of quality: its headline metrics, and those by number of loops. A suite without
    results has a row that says so. `BENCHMARK_RESULTS.md` has all metrics.
    """
    found = []
    for suite in suite_classes():
        if not suite.in_quality_table:
            continue
        measured = [each for each in results if suite.wrote(each.benchmark)]
        if not measured:
            found.append(BenchmarkRow(suite.title, "", NOT_MEASURED, "", "", ""))
        for each in measured:
            number_format = ".1%" if suite.has_shares(each) else ".4f"
            found += [
                BenchmarkRow(
                    suite.title,
                    name.replace("_", " "),
                    f"{interval.value:{number_format}}",
                    interval.limits(number_format),
                    f"{len(each.per_problem[name]):,} {each.unit}",
                    suite.how_measured(each),
                )
                for name, interval in each.metrics.items()
                if name in suite.index_metrics(each) or BY_LOOP in name
            ]
    return found


def verdicts(results: Sequence[Results]) -> list[str]:
    """Summarize the verdicts on all samples, a sentence for each benchmark that compiles programs."""
    found = []
    for each in results:
        if each.verdicts:
            counts = ", ".join(f"{count:,} {status}" for status, count in each.verdicts.items())
            found.append(f"{suite_of(each.benchmark).title}, {sum(each.verdicts.values()):,} samples: {counts}")
    return found


def commands(results: Sequence[Results], repo: str) -> list[str]:
    """Return the commands that made the results, with the model's name on the Hub and without absolute paths."""
    found = (_public_command(each, repo) for each in results)
    return list(dict.fromkeys(command for command in found if command))


def as_published(results: Results, repo: str) -> Results:
    """Return results as they are published: with the model's name on the Hub, and without absolute paths."""
    model = dict(results.model) | {"path": repo}
    settings, command = without_folders(results.settings), _public_command(results, repo)
    return replace(results, model=model, settings=settings, command=command)


def _public_command(results: Results, repo: str) -> str:
    return shlex.join(_public(word, results.model["path"], repo) for word in shlex.split(results.command))


def _public(word: str, model: str, repo: str) -> str:
    """An argument of a command, or the value in it (`--output-dir=FOLDER`, `SUITE=FILE`), as it may be published."""
    option, equals, value = word.partition("=")
    if not equals or (not option.startswith("-") and option not in SUITES):
        option, equals, value = "", "", word
    if value == model:
        value = repo
    elif Path(value).is_absolute():
        value = Path(value).name
    return f"{option}{equals}{value}"


def versions(results: Sequence[Results]) -> str:
    """List the versions of compiler and libraries; all of them where the results differ."""
    found: dict[str, list[str]] = {}
    for each in results:
        for name, version in each.versions.items():
            if version not in found.setdefault(name, []):
                found[name].append(version)
    return ", ".join(f"{name} {' and '.join(each)}" for name, each in found.items())


def speeds(results: Sequence[Results]) -> list[dict[str, Any]]:
    """Return the rows of the card's table of speeds: medians over the rounds, as text."""
    found = []
    for each in results:
        for speed in each.details.get("speeds", ()):
            peak = speed["peak_memory_bytes"]
            threshold = speed.get("exit_threshold")
            threads = each.details["threads"]
            words = f"{threads} thread{'' if threads == 1 else 's'}"
            machine = (each.details["device"], each.details["dtype"], words)
            found.append(
                {
                    "device": ", ".join(machine),
                    "batch": speed["batch_size"],
                    "loops": speed["num_loops"]
                    if threshold is None
                    else f"{speed['mean_loops']:.2f} (exit at {threshold:g})",
                    "prompt": f"{statistics.median(speed['prompt_tokens_per_second']):,.1f}",
                    "decode": f"{statistics.median(speed['decode_tokens_per_second']):,.1f}",
                    "rounds": len(speed["decode_tokens_per_second"]),
                    "memory": NOT_MEASURED if peak is None else f"{peak / 2**20:,.0f} MiB",
                }
            )
    return found


def eval_results(results: Sequence[Results]) -> list[EvalResult]:
    """Return the entries of the Hub's `model-index`: of each suite its `index_metrics`."""
    found = []
    for each in results:
        suite = suite_of(each.benchmark)
        dataset = suite.hub_dataset
        for name, interval in suite.index_metrics(each).items():
            found.append(
                EvalResult(
                    task_type="text-generation",
                    dataset_type=each.benchmark if dataset is None else dataset.repo,
                    dataset_name=f"{suite.title}, {len(each.per_problem[name])} {each.unit}",
                    dataset_config=None if dataset is None else dataset.config,
                    dataset_split=None if dataset is None else dataset.split,
                    dataset_revision=None if dataset is None else dataset.revision,
                    metric_type=name,
                    metric_name=f"{name} ({suite.how_measured(each)})",
                    metric_value=round(interval.value, 6),
                )
            )
    return found
