"""Results files as a model card shows them: only of the model itself, each number with how it was measured."""

import shlex
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult

from evaluation.results import Results
from evaluation.suites import compile_rate, humaneval_rust, multipl_e_rust, performance, perplexity
from model_cards.card.counted import Counted

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
class Row:
    """A line of the card's table of results."""

    benchmark: str
    metric: str
    value: str
    interval: str
    measured_on: str
    how: str


def read_results(places: Sequence[Path], counted: Counted) -> list[Results]:
    """
    All results files of these folders (or these files), in the order of the benchmarks.

    Raises:
        ValueError: A file holds no results, a folder none of them, or a file's results are another model's.
        FileNotFoundError: There is no such folder or file.
    """
    found = []
    for place in places:
        if not place.exists():
            raise FileNotFoundError(f"--results must be folders of results files, got {place}, which does not exist")
        files = sorted(place.glob("*.json")) if place.is_dir() else [place]
        if not files:
            raise ValueError(f"--results must be folders of results files, got {place}, which has no .json file")
        for path in files:
            results = Results.read(path)
            _check_model(results, counted, path)
            found.append(results)
    order = [*TITLES, performance.NAME]
    known = [each for each in found if each.benchmark in order]
    return sorted(known, key=lambda each: order.index(each.benchmark))


def _check_model(results: Results, counted: Counted, path: Path) -> None:
    own = {
        "model_type": counted.config.model_type,
        "parameters": counted.parameters,
        "num_loops": counted.config.num_loops,
        "num_shared_layers": counted.config.num_shared_layers,
    }
    for name, value in own.items():
        if results.model.get(name) != value:
            raise ValueError(
                f"{path} must be results of this model: it was made with {name}={results.model.get(name)!r}, and this "
                f"model has {value!r}"
            )


def rows(results: Sequence[Results]) -> list[Row]:
    """Of every benchmark of quality; those without results say so."""
    found = []
    for benchmark, title in TITLES.items():
        measured = [each for each in results if each.benchmark == benchmark]
        if not measured:
            found.append(Row(title, "", NOT_MEASURED, "", "", ""))
        for each in measured:
            found += [
                Row(
                    title,
                    name.replace("_", " "),
                    _number(each, interval.value),
                    interval.limits(".1%" if each.verdicts else ".4f"),
                    f"{len(each.per_problem[name]):,} {each.unit}",
                    how(each),
                )
                for name, interval in each.metrics.items()
            ]
    return found


def _number(results: Results, value: float) -> str:
    return f"{value:.1%}" if results.verdicts else f"{value:.4f}"


def how(results: Results) -> str:
    """The settings that a number depends on, in words."""
    settings = results.settings
    if results.benchmark == perplexity.NAME:
        loops = len(results.details["perplexity_by_loop"])
        words = f"windows of {settings['window']} tokens of {Path(settings['text']).name}, {loops} loops"
        decoded = results.details.get("decoded")
        if decoded is None:
            return words
        leaving = _leaving(decoded["threshold"], decoded["mean_loops"])
        return f"{words}; without a loop in its name decoded, {leaving}{_keys(results)}"
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
        depth(results),
        f"edition {settings['edition']}",
    ]
    if settings.get("mode") == "chat":
        words.insert(0, "asked by an instruction in the chat template")
    return ", ".join(words)


def depth(results: Results) -> str:
    """How many loops were run, as asked for or else as the model's configuration says."""
    settings, model = results.settings, results.model
    exit_at_loop, threshold = settings["exit_at_loop"], settings["exit_threshold"]
    if exit_at_loop is None and threshold is None:
        threshold = model.get("exit_threshold")
    if exit_at_loop is None and (threshold is None or threshold >= 1):
        exit_at_loop = model.get("exit_at_loop")
    if exit_at_loop is not None:
        words = f"read after loop {exit_at_loop}"
    else:
        words = f"{settings['num_loops'] or model['num_loops']} loops"
        if threshold is not None and threshold < 1:
            words += f", {_leaving(threshold, results.details['mean_loops'])}"
    return words + _keys(results)


def _keys(results: Results) -> str:
    return ", keys and values of the last loop alone" if results.model.get("kv_reuse") == "last" else ""


def _leaving(threshold: float, mean_loops: float) -> str:
    return f"exit threshold {threshold}: {mean_loops:.2f} loops per token"


def verdicts(results: Sequence[Results]) -> list[str]:
    """What the verifier said of all samples, a sentence for each benchmark of programs."""
    found = []
    for each in results:
        if each.verdicts:
            counts = ", ".join(f"{count:,} {status}" for status, count in each.verdicts.items())
            found.append(f"{TITLES[each.benchmark]}, {sum(each.verdicts.values()):,} samples: {counts}")
    return found


def commands(results: Sequence[Results], repo: str) -> list[str]:
    """What made the results, with the model's name on the Hub and without the folders of the machine."""
    found: list[str] = []
    for each in results:
        command = shlex.join(_public(word, each.model["path"], repo) for word in shlex.split(each.command))
        if command and command not in found:
            found.append(command)
    return found


def _public(word: str, model: str, repo: str) -> str:
    """A word of a command, or what it gives an option (`--out=FOLDER`), as it may be read by others."""
    option, equals, value = word.rpartition("=") if word.startswith("-") else ("", "", word)
    if value == model:
        value = repo
    elif Path(value).is_absolute():
        value = Path(value).name
    return f"{option}{equals}{value}"


def versions(results: Sequence[Results]) -> str:
    """Of compiler and libraries, where the results agree on them or not."""
    found: dict[str, list[str]] = {}
    for each in results:
        for name, version in each.versions.items():
            if version not in found.setdefault(name, []):
                found[name].append(version)
    return ", ".join(f"{name} {' and '.join(each)}" for name, each in found.items())


def speeds(results: Sequence[Results]) -> list[dict[str, Any]]:
    """Medians of the measured settings, as the card's table of speeds shows them."""
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
    """For the Hub's `model-index`: the benchmarks of programs, and the bits per byte after the last loop."""
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
                    metric_name=f"{name} ({how(each)})",
                    metric_value=round(interval.value, 6),
                )
            )
    return found
