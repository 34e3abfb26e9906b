"""Results files for a model card: only results of this model, each number with the settings it was measured with."""

import shlex
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult

from evaluation.results import Results
from evaluation.suites import compile_rate, humaneval_rust, multipl_e_rust, performance, perplexity
from model_cards.card.model_statistics import ModelStatistics

NOT_MEASURED = "not measured"
# Titles, and the data set on the Hub with its configuration, split and revision where there is one.
TITLES = {
    humaneval_rust.NAME: "HumanEval-Rust (HumanEvalPack)",
    multipl_e_rust.NAME: "HumanEval-Rust (MultiPL-E)",
    compile_rate.NAME: "Functions that compile",
    perplexity.NAME: "Bits per byte of text",
}
HUB_DATASETS = {
    humaneval_rust.NAME: (humaneval_rust.HUB_DATASET, "rust", humaneval_rust.HUB_REVISION),
    multipl_e_rust.NAME: (multipl_e_rust.HUB_DATASET, multipl_e_rust.HUB_CONFIG, None),
}


@dataclass(frozen=True)
class BenchmarkRow:
    """A row of the table of benchmark results, as text."""

    benchmark: str
    metric: str
    value: str
    interval: str
    measured_on: str
    settings: str


def read_results(places: Sequence[Path], model: ModelStatistics) -> list[Results]:
    """
    Read results files, and sort them by benchmark.

    Args:
        places: Files, or folders whose .json files are read.
        model: The model that the results must be of.

    Raises:
        ValueError: A file is not a results file, a folder has none, or the results are of another model.
        FileNotFoundError: A folder or file does not exist.
    """
    found = []
    for place in places:
        if not place.exists():
            raise FileNotFoundError(f"results must be folders of results files, got {place}, which does not exist")
        files = sorted(place.glob("*.json")) if place.is_dir() else [place]
        if not files:
            raise ValueError(f"results must be folders of results files, got {place}, which has no .json file")
        for path in files:
            results = Results.read(path)
            _check_model(results, model, path)
            found.append(results)
    order = [*TITLES, performance.NAME]
    known = [each for each in found if each.benchmark in order]
    return sorted(known, key=lambda each: order.index(each.benchmark))


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
    """Return the rows of all benchmarks but those of speed; a benchmark without results has a row that says so."""
    found = []
    for benchmark, title in TITLES.items():
        measured = [each for each in results if each.benchmark == benchmark]
        if not measured:
            found.append(BenchmarkRow(title, "", NOT_MEASURED, "", "", ""))
        for each in measured:
            found += [
                BenchmarkRow(
                    title,
                    name.replace("_", " "),
                    _number(each, interval.value),
                    interval.limits(".1%" if each.verdicts else ".4f"),
                    f"{len(each.per_problem[name]):,} {each.unit}",
                    describe_settings(each),
                )
                for name, interval in each.metrics.items()
            ]
    return found


def _number(results: Results, value: float) -> str:
    return f"{value:.1%}" if results.verdicts else f"{value:.4f}"


def describe_settings(results: Results) -> str:
    """Describe the settings that the numbers depend on."""
    settings = results.settings
    if results.benchmark == perplexity.NAME:
        loops = len(results.details["perplexity_by_loop"])
        words = f"windows of {settings['window']} tokens of {Path(settings['text']).name}, {loops} loops"
        decoded = results.details.get("decoded")
        if decoded is None:
            return words
        exits = _early_exit(decoded["threshold"], decoded["mean_loops"])
        return f"{words}; metrics without a loop in their name with early exit, {exits}{_cache(results)}"
    sampling = (
        "greedy"
        if settings["temperature"] == 0
        else (f"temperature {settings['temperature']}, top-p {settings['top_p']}")
    )
    count = settings["num_samples"]
    words = [
        f"{count} sample{'s' if count > 1 else ''} per problem",
        sampling,
        f"at most {settings['max_new_tokens']} tokens",
        f"seed {settings['seed']}",
        describe_depth(results),
        f"edition {settings['edition']}",
    ]
    if settings.get("mode") == "chat":
        words.insert(0, "asked with an instruction, in the chat template")
    return ", ".join(words)


def describe_depth(results: Results) -> str:
    """Describe how many loops were run: those of the settings, or else those of the model's configuration."""
    settings, model = results.settings, results.model
    exit_at_loop, threshold = settings["exit_at_loop"], settings["exit_threshold"]
    if exit_at_loop is None and threshold is None:
        threshold = model.get("exit_threshold")
    if exit_at_loop is None and (threshold is None or threshold >= 1):
        exit_at_loop = model.get("exit_at_loop")
    if exit_at_loop is not None:
        words = f"exit after loop {exit_at_loop}"
    else:
        words = f"{settings['num_loops'] or model['num_loops']} loops"
        if threshold is not None and threshold < 1:
            words += f", {_early_exit(threshold, results.details['mean_loops'])}"
    return words + _cache(results)


def _cache(results: Results) -> str:
    return ", key-value cache of the last loop only" if results.model.get("kv_reuse") == "last" else ""


def _early_exit(threshold: float, mean_loops: float) -> str:
    return f"exit threshold {threshold}: {mean_loops:.2f} loops per token"


def verdicts(results: Sequence[Results]) -> list[str]:
    """Summarize the verdicts on all samples, a sentence for each benchmark that compiles programs."""
    found = []
    for each in results:
        if each.verdicts:
            counts = ", ".join(f"{count:,} {status}" for status, count in each.verdicts.items())
            found.append(f"{TITLES[each.benchmark]}, {sum(each.verdicts.values()):,} samples: {counts}")
    return found


def commands(results: Sequence[Results], repo: str) -> list[str]:
    """Return the commands that made the results, with the model's name on the Hub and without absolute paths."""
    found: list[str] = []
    for each in results:
        command = shlex.join(_public(word, each.model["path"], repo) for word in shlex.split(each.command))
        if command and command not in found:
            found.append(command)
    return found


def _public(word: str, model: str, repo: str) -> str:
    """An argument of a command, or the value in it (`--output-dir=FOLDER`), as it may be published."""
    option, equals, value = word.rpartition("=") if word.startswith("-") else ("", "", word)
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
        for speed in each.details.get("speeds", ()) if each.benchmark == performance.NAME else ():
            peak = speed["peak_memory_bytes"]
            threshold = speed.get("exit_threshold")
            machine = (each.details["device"], each.details["dtype"], f"{each.details['threads']} thread(s)")
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
                    "memory": NOT_MEASURED if peak is None else f"{peak / 1e6:,.0f} MB",
                }
            )
    return found


def eval_results(results: Sequence[Results]) -> list[EvalResult]:
    """Return the entries of the Hub's `model-index`: benchmarks of programs, and bits per byte after the last loop."""
    found = []
    for each in results:
        if each.benchmark not in TITLES:
            continue
        dataset, config, revision = HUB_DATASETS.get(each.benchmark, (each.benchmark, None, None))
        for name, interval in each.metrics.items():
            if each.benchmark == perplexity.NAME and name != "bits_per_byte":
                continue
            found.append(
                EvalResult(
                    task_type="text-generation",
                    dataset_type=dataset,
                    dataset_name=f"{TITLES[each.benchmark]}, {len(each.per_problem[name])} {each.unit}",
                    dataset_config=config,
                    dataset_split=None if config is None else "test",
                    dataset_revision=revision,
                    metric_type=name,
                    metric_name=f"{name} ({describe_settings(each)})",
                    metric_value=round(interval.value, 6),
                )
            )
    return found
