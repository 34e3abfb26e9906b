"""What `python -m evaluation run` and `compare` do."""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import transformers
from rich.console import Console
from rich.table import Table
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from evaluation.generate import Sampling, generate, load_model, positions
from evaluation.results import Results, compare
from evaluation.rust import RustVerifier, Verdict
from evaluation.rust.sandbox import require_consent
from evaluation.scoring import results_of
from evaluation.suites import compile_rate, humaneval_rust, multipl_e_rust, perplexity
from evaluation.suites.compile_rate import CompileRate
from evaluation.suites.humaneval_rust import HumanEvalRust
from evaluation.suites.multipl_e_rust import MultiplERust
from modeling_nanochat import LoopLMConfig

Suite = HumanEvalRust | MultiplERust | CompileRate


def run(options: argparse.Namespace) -> int:
    """Runs the chosen benchmarks; prints a table for each."""
    sampling = Sampling(
        options.n, options.temperature, options.top_p, options.max_new_tokens, options.seed, options.batch_size,
        options.num_loops, options.exit_at_loop,
    )  # fmt: skip
    for size in options.k:
        if not 1 <= size <= options.n:
            raise ValueError(f"--k must be from 1 to --n {options.n}, the samples per problem, got {size}")
    if options.limit is not None and options.limit < 1:
        raise ValueError(f"--limit must be at least 1, got {options.limit}")
    suites, texts = _suites(options), _texts(options)
    if any(isinstance(suite, HumanEvalRust | MultiplERust) for suite in suites):
        require_consent()
    model, tokenizer = load_model(options.model, options.trust_remote_code, options.dtype, options.device)
    command = shlex.join(["python", "-m", "evaluation", *sys.argv[1:]])
    report = Report(options.out, describe(model, options.model), command)
    console, progress = Console(highlight=False), sys.stderr.isatty()
    with ExitStack() as stack:
        editions = {options.edition or suite.edition for suite in suites}
        verifiers = {
            edition: stack.enter_context(RustVerifier(edition, options.workers, run_timeout=options.run_timeout))
            for edition in sorted(editions)
        }
        for suite in suites:
            console.print(
                f"{suite.name}: checking {len(suite.problems)} problems by what is known to pass and to fail"
            )
            suite.check_gold(verifiers[options.edition or suite.edition], progress)
        for suite in suites:
            verifier = verifiers[options.edition or suite.edition]
            results = run_programs(suite, model, tokenizer, sampling, verifier, report, options.k, progress)
            _print_results(console, results, options.out)
    if texts:
        started = time.perf_counter()
        window = min(options.window, positions(model) or options.window)
        found = perplexity.score_texts(
            model, tokenizer, texts, window, options.num_loops, options.batch_size, progress
        )
        results = report.write(found, {"window": window, "text": str(options.text)}, started)
        _print_results(console, results, options.out)
    return 0


def _suites(options: argparse.Namespace) -> list[Suite]:
    suites: list[Suite] = []
    if options.suite in ("multipl-e-rust", "all"):
        suites.append(MultiplERust(multipl_e_rust.read_problems(options.multipl_e)[: options.limit]))
    if options.suite in ("humaneval-rust", "all"):
        suites.append(HumanEvalRust(humaneval_rust.read_problems(options.problems)[: options.limit]))
    if options.suite in ("compile-rate", "all"):
        suites.append(CompileRate(compile_rate.read_problems()[: options.limit]))
    return suites


def _texts(options: argparse.Namespace) -> dict[str, str]:
    if options.suite not in ("perplexity", "all"):
        return {}
    if options.text is None:
        raise ValueError(
            "the perplexity needs text: give .rs files or JSON lines by --text, or choose another --suite"
        )
    return dict(islice(perplexity.read_texts(options.text).items(), options.limit))


def run_programs(
    suite: Suite,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sampling: Sampling,
    verifier: RustVerifier,
    report: "Report",
    k: Sequence[int] = (1,),
    progress: bool = False,
) -> Results:
    """Samples, verifies and writes one benchmark of programs."""
    started = time.perf_counter()
    path = report.folder / f"{suite.name}.samples.jsonl"
    samples = generate(model, tokenizer, suite.prompts(), sampling, path, progress, suite.stop)
    completions: dict[str, list[str]] = {name: [] for name in suite.names}
    for sample in samples:
        completions[sample.prompt].append(sample.completion)
    verdicts = suite.verify(list(completions.values()), verifier, progress=progress)
    _write_verdicts(suite.names, verdicts, report.folder / f"{suite.name}.verdicts.jsonl")
    loops = [sample.mean_loops for sample in samples if sample.mean_loops is not None]
    settings = asdict(sampling) | {"edition": verifier.edition, "run_timeout": verifier.run_timeout}
    details = {
        "completions": len(samples),
        "completions_that_end_their_function": sum(sample.finished for sample in samples),
        "mean_loops": sum(loops) / len(loops) if loops else None,
    }
    found = replace(results_of(suite.name, suite.metric, suite.names, verdicts, k), details=details)
    return report.write(found, settings, started, {"rustc": verifier.resources.toolchain.version})


@dataclass(frozen=True)
class Report:
    """
    What all results of one call share.

    Attributes:
        folder: For the files.
        model: What `describe` says of it.
        command: That makes the results again.
    """

    folder: Path
    model: Mapping[str, Any]
    command: str

    def write(
        self, found: Results, settings: dict[str, Any], started: float, versions: Mapping[str, str] | None = None
    ) -> Results:
        """The results with their context, written."""
        libraries = {"torch": torch.__version__, "transformers": transformers.__version__}
        results = replace(
            found, model=self.model, settings=settings, versions=libraries | dict(versions or {}),
            command=self.command, seconds=time.perf_counter() - started,
        )  # fmt: skip
        results.write(self.folder)
        return results


def describe(model: PreTrainedModel, path: str) -> dict[str, Any]:
    """Of a model what a reader of results needs to know; the parameters are counted."""
    found: dict[str, Any] = {
        "path": path,
        "model_type": model.config.model_type,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    if isinstance(model.config, LoopLMConfig):
        found |= {"num_loops": model.config.num_loops, "num_shared_layers": model.config.num_shared_layers}
    return found


def _write_verdicts(names: Sequence[str], verdicts: Sequence[Sequence[Verdict]], path: Path) -> None:
    with path.open("w") as file:
        for name, each in zip(names, verdicts, strict=True):
            for index, verdict in enumerate(each):
                line = {
                    "prompt": name, "index": index, "status": verdict.status, "errors": verdict.error_codes,
                    "tests_passed": verdict.tests_passed, "tests_total": verdict.tests_total,
                }  # fmt: skip
                file.write(json.dumps(line) + "\n")


def _print_results(console: Console, results: Results, folder: Path) -> None:
    table = Table(title=f"{results.benchmark}, {results.num_problems} problems, {results.model['path']}")
    for column in ("metric", "value", "95 % interval over the problems"):
        table.add_column(column, justify="left" if column == "metric" else "right")
    shape = ".2%" if results.verdicts else ".4f"
    for name, interval in results.metrics.items():
        table.add_row(name, f"{interval.value:{shape}}", f"{interval.low:{shape}} to {interval.high:{shape}}")
    table.add_section()
    total = sum(results.verdicts.values())
    for status, count in results.verdicts.items():
        table.add_row(status, f"{count:,}", f"{count / total:.1%} of the samples")
    for loop, value in enumerate(results.details.get("perplexity_by_loop", ()), start=1):
        table.add_row(f"perplexity, loop {loop}", f"{value:.3f}", "per token")
    if "completions" in results.details:
        finished, total = results.details["completions_that_end_their_function"], results.details["completions"]
        table.add_row("end their function", f"{finished:,}", f"of {total:,} completions")
    console.print(table)
    console.print(f"Written to {folder / results.benchmark}.json")


def compare_files(options: argparse.Namespace) -> int:
    """Prints the differences of two results files."""
    first, second = Results.read(options.first), Results.read(options.second)
    table = Table(title=f"{first.benchmark}: {options.first} and {options.second}")
    for column in ("metric", "problems", "first", "second", "second - first", "95 % interval", "p"):
        table.add_column(column, justify="left" if column == "metric" else "right")
    for found in compare(first, second):
        table.add_row(
            found.metric, str(found.num_problems), f"{found.first:.4f}", f"{found.second:.4f}",
            f"{found.difference.value:+.4f}", f"{found.difference.low:+.4f} to {found.difference.high:+.4f}",
            f"{found.p_value:.4f}",
        )  # fmt: skip
    Console(highlight=False).print(table)
    return 0
