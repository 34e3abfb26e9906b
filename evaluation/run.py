"""What `python -m evaluation run` and `compare` do."""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from rich.console import Console
from rich.table import Table
from transformers import PreTrainedModel

from evaluation.generate import Sampling, generate, load_model
from evaluation.results import Results, compare
from evaluation.rust import RustVerifier, Verdict
from evaluation.rust.sandbox import require_consent
from evaluation.scoring import results_of
from evaluation.suites import compile_rate, humaneval_rust
from evaluation.suites.compile_rate import CompileRate
from evaluation.suites.humaneval_rust import HumanEvalRust
from modeling_nanochat import LoopLMConfig


def run(options: argparse.Namespace) -> int:
    """Runs the chosen benchmarks; prints a table for each."""
    require_consent()
    sampling = Sampling(
        options.n, options.temperature, options.top_p, options.max_new_tokens, options.seed, options.batch_size,
        options.num_loops, options.exit_at_loop,
    )  # fmt: skip
    for size in options.k:
        if not 1 <= size <= options.n:
            raise ValueError(f"--k must be from 1 to --n {options.n}, the samples per problem, got {size}")
    if options.limit is not None and options.limit < 1:
        raise ValueError(f"--limit must be at least 1, got {options.limit}")
    suites = _suites(options)
    model, tokenizer = load_model(options.model, options.trust_remote_code, options.dtype, options.device)
    console, shown = Console(highlight=False), sys.stderr.isatty()
    with RustVerifier(options.edition, options.workers, run_timeout=options.run_timeout) as verifier:
        for suite in suites:
            console.print(f"{suite.name}: checking the {len(suite.problems)} known solutions")
            suite.check_gold(verifier, shown)
        context = {
            "versions": {
                "rustc": verifier.resources.toolchain.version, "torch": torch.__version__,
                "transformers": transformers.__version__,
            },
            "command": shlex.join(["python", "-m", "evaluation", *sys.argv[1:]]),
        }  # fmt: skip
        for suite in suites:
            started = time.perf_counter()
            path = options.out / f"{suite.name}.samples.jsonl"
            samples = generate(model, tokenizer, suite.prompts(), sampling, path, shown)
            by_name: dict[str, list[str]] = {name: [] for name in suite.names}
            for sample in samples:
                by_name[sample.prompt].append(sample.completion)
            verdicts = suite.verify(list(by_name.values()), verifier, progress=shown)
            _write_verdicts(suite.names, verdicts, options.out / f"{suite.name}.verdicts.jsonl")
            loops = [sample.mean_loops for sample in samples if sample.mean_loops is not None]
            results = replace(
                results_of(suite.name, suite.metric, suite.names, verdicts, options.k),
                model=describe(model, options.model) | {"mean_loops": sum(loops) / len(loops) if loops else None},
                settings=asdict(sampling) | {"edition": options.edition, "run_timeout": options.run_timeout},
                seconds=time.perf_counter() - started,
                **context,
            )
            written = results.write(options.out)
            _print_results(console, results)
            finished = sum(sample.finished for sample in samples)
            console.print(f"{finished} of {len(samples)} completions end their function. Written to {written}")
    return 0


def _suites(options: argparse.Namespace) -> list[HumanEvalRust | CompileRate]:
    suites: list[HumanEvalRust | CompileRate] = []
    if options.suite in ("humaneval-rust", "all"):
        suites.append(HumanEvalRust(humaneval_rust.read_problems(options.problems)[: options.limit]))
    if options.suite in ("compile-rate", "all"):
        suites.append(CompileRate(compile_rate.read_problems()[: options.limit]))
    return suites


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


def _print_results(console: Console, results: Results) -> None:
    table = Table(title=f"{results.benchmark}, {results.num_problems} problems, {results.model['path']}")
    for column in ("metric", "value", "95 % interval over the problems"):
        table.add_column(column, justify="left" if column == "metric" else "right")
    for name, interval in results.metrics.items():
        table.add_row(name, f"{interval.value:.2%}", f"{interval.low:.2%} to {interval.high:.2%}")
    table.add_section()
    total = sum(results.verdicts.values())
    for status, count in results.verdicts.items():
        table.add_row(status, f"{count:,}", f"{count / total:.1%} of the samples")
    console.print(table)


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
