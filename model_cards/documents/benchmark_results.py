"""BENCHMARK_RESULTS.md: every results file of a model as tables and plots, with settings, versions and commands."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from evaluation.public_paths import without_folders
from evaluation.results import Results
from evaluation.suites.registry import suite_classes, suite_of
from evaluation.suites.suite import Suite
from evaluation.tables import markdown_rows, markdown_table
from model_cards.card.results import NOT_MEASURED, as_published, published_name

IMAGES = "images"
INTERVALS = (
    "The 95 % intervals are for other problems, or texts, of the same kind: Wilson intervals for shares, bootstrap "
    "intervals for other means. An interval over few problems is wide. Two models differ only if the difference, "
    "measured on the same problems, has an interval without zero (`nanochat-ternary eval compare`)."
)
METRICS = {
    "pass@k": "a problem is solved by at least one of k samples: all its hidden tests pass; estimated without bias "
    "from all samples",
    "solved@k": "as pass@k, for whole exercises",
    "test_pass_rate": "share of an exercise's tests that pass",
    "compiles@k": "at least one of k samples compiles",
    "mended": "programs that failed at first and compile after the model saw the compiler's message",
    "accuracy": "of two programs that differ in a few tokens, the one that compiles has the larger probability per "
    "token; a chance of one half without any knowledge",
    "accuracy_total": "the same, by the probability of the whole program",
    "accuracy_loop_k": "accuracy after k loops",
    "bits_per_byte": "how well the model predicts a text: smaller is better, and independent of the tokenizer",
    "bits_per_byte_loop_k": "bits per byte after k loops",
}
"""Meaning of metrics by their shape, in which k is a number."""
VERDICTS = {
    "valid": "it compiles, and passes its tests if it has any",
    "invalid_syntax": "it does not parse",
    "compilation_failed": "it has errors in names, macros, attributes, constants or visibility",
    "semantic_error": "it has errors in types, traits, ownership, borrows or lifetimes",
    "tests_failed": "it compiles, and does not pass its tests or match their signatures",
    "timeout": "the compiler or the program reached its time limit",
    "resource_limit": "the compiler or the program reached a limit of memory, file size or output",
    "compiler_crash": "the compiler crashed",
    "refused": "it is too large, nested too deeply, or breaks a rule of the verifier",
    "unfinished": "the completion reached its token limit before its end",
    "unavailable": "the compiler or the sandbox failed; this says nothing about the program",
}
"""Meaning of each status of `evaluation.rust.verdict`."""


def benchmark_results(name: str, repo: str, results: Sequence[Results], target: Path) -> str:
    """
    Return BENCHMARK_RESULTS.md, and plot into the folder of its images.

    Args:
        name: Name of the model.
        repo: Its repository on the Hub, for the commands.
        results: Results of the model, in the order of the suites.
        target: Folder that the document is for; its subfolder `images` must exist.
    """
    return "\n\n".join(_parts(name, [as_published(each, repo) for each in results], target)) + "\n"


def _parts(name: str, results: Sequence[Results], target: Path) -> Iterator[str]:
    yield f"# Benchmark results of {name}"
    yield (
        "Generated from the results files in this repository, which also hold the value of every single problem. "
        "Each section names its file and the command that measures it again."
    )
    measured = {each.benchmark for each in results}
    missing = [each for each in suite_classes() if not any(each.wrote(benchmark) for benchmark in measured)]
    if results:
        yield INTERVALS
        yield markdown_rows(list(_overview(results)), right=(2, 4))
    if missing:
        yield f"Benchmarks without results ({NOT_MEASURED}): {'; '.join(each.title for each in missing)}."
    named = {metric for each in results for metric in each.metrics}
    explained = [
        [shape, words] for shape, words in METRICS.items() if any(_has_shape(metric, shape) for metric in named)
    ]
    if explained:
        yield "## Metrics"
        yield markdown_rows([["metric", "meaning"], *explained])
    verdicts = [status for each in results for status in each.verdicts]
    if verdicts:
        yield "## Verdicts on programs"
        yield "The compiler, the tests and the rules of the benchmark put every generated program into one class."
        known = [[f"`{status}`", VERDICTS[status]] for status in VERDICTS if status in verdicts]
        yield markdown_rows([["verdict", "meaning"], *known])
    for each in results:
        yield from _section(each, target)


def _overview(results: Sequence[Results]) -> Iterator[list[str]]:
    yield ["benchmark", "metric", "value", "95 % interval", "number", "measured over"]
    for each in results:
        suite = suite_of(each.benchmark)
        for metric in suite.index_metrics(each):
            yield [suite.title, *_metric_row(suite, each, metric), each.unit]


def _metric_row(suite: type[Suite], results: Results, metric: str) -> list[str]:
    """Metric, value, interval and number of problems."""
    number_format = ".2%" if suite.has_shares(results) else ".4f"
    interval = results.metrics[metric]
    count = len(results.per_problem.get(metric, ())) or results.num_problems
    return [metric, f"{interval.value:{number_format}}", interval.limits(number_format), f"{count:,}"]


def _has_shape(metric: str, shape: str) -> bool:
    """Whether a metric, or one of its categories ("compiles@1, repair"), has the shape of a name."""
    return re.sub(r"\d+$", "k", metric.partition(",")[0]) == shape


def _section(results: Results, target: Path) -> Iterator[str]:
    suite = suite_of(results.benchmark)
    yield f"## {suite.title}"
    name = published_name(results)
    how = f" Measured with: {suite.how_measured(results)}." if suite.in_quality_table else ""
    yield f"File: [`{name}`]({name}).{how}"
    if suite.in_quality_table:
        rows = [_metric_row(suite, results, metric) for metric in results.metrics]
        yield markdown_rows([["metric", "value", "95 % interval", results.unit], *rows], right=(1, 3))
        if results.verdicts:
            total = sum(results.verdicts.values())
            counts = [[f"`{status}`", f"{n:,}", f"{n / total:.1%}"] for status, n in results.verdicts.items()]
            yield markdown_rows([["verdict", "programs", "share"], *counts], right=(1, 2))
        extra = [list(row) for row in suite.extra_rows(results)]
        if extra:
            yield markdown_rows([["further", "value", ""], *extra], right=(1,))
    else:
        table = suite.table(results)
        yield f"{str(table.title).replace(chr(10), ', ')}:"
        table.title = None
        yield markdown_table(table)
        rows = [_metric_row(suite, results, metric) for metric in results.metrics]
        folded = markdown_rows([["metric", "mean", "95 % interval", results.unit], *rows], right=(1, 3))
        yield f"<details><summary>Means with intervals over the {results.unit}</summary>\n\n{folded}\n\n</details>"
    for path in suite.plots(results, target / IMAGES):
        yield f"![Plot of the results of {suite.title}: {path.stem.replace('_', ' ')}]({IMAGES}/{path.name})"
    yield from _circumstances(results)


def _circumstances(results: Results) -> Iterator[str]:
    rows = [["setting", "value"]]
    rows += [[name.replace("_", " "), _words(value)] for name, value in without_folders(results.settings).items()]
    rows += [[f"version of {name}", str(version)] for name, version in results.versions.items()]
    digest = results.model.get("digest")
    rows.append(["SHA-256 of the weights", digest or "not recorded"])
    rows.append(["duration", f"{results.seconds:,.0f} seconds"])
    yield f"<details><summary>Settings and versions</summary>\n\n{markdown_rows(rows)}\n\n</details>"
    if results.command:
        yield f"```bash\n{results.command}\n```"


def _words(value: object) -> str:
    if value is None:
        return "the default"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_words(each)}" for name, each in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
