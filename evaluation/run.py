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
from evaluation.suites import humaneval_rust
from modeling_nanochat import LoopLMConfig


def run(options: argparse.Namespace) -> int:
    """Runs one benchmark; prints its table."""
    started = time.perf_counter()
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
    problems = humaneval_rust.read_problems(options.problems)[: options.limit]
    model, tokenizer = load_model(options.model, options.trust_remote_code, options.dtype, options.device)
    console, shown = Console(highlight=False), sys.stderr.isatty()
    verifier = RustVerifier(options.edition, options.workers, run_timeout=options.run_timeout)
    with verifier:
        console.print(f"Checking {len(problems)} published solutions")
        humaneval_rust.check_gold(problems, verifier, shown)
        path = options.out / f"{humaneval_rust.NAME}.samples.jsonl"
        samples = generate(model, tokenizer, humaneval_rust.prompts(problems), sampling, path, shown)
        completions = [[sample.completion for sample in samples if sample.prompt == each.name] for each in problems]
        found, verdicts = humaneval_rust.score(problems, completions, options.k, verifier, shown)
        rustc = verifier.resources.toolchain.version
    _write_verdicts(problems, verdicts, options.out / f"{humaneval_rust.NAME}.verdicts.jsonl")
    loops = [sample.mean_loops for sample in samples if sample.mean_loops is not None]
    results = replace(
        found,
        model=describe(model, options.model) | {"mean_loops": sum(loops) / len(loops) if loops else None},
        settings=asdict(sampling) | {"edition": options.edition, "run_timeout": options.run_timeout},
        versions={"rustc": rustc, "torch": torch.__version__, "transformers": transformers.__version__},
        command=shlex.join(["python", "-m", "evaluation", *sys.argv[1:]]),
        seconds=time.perf_counter() - started,
    )
    written = results.write(options.out)
    finished = sum(sample.finished for sample in samples)
    _print_results(console, results)
    console.print(f"{finished} of {len(samples)} completions end their function")
    console.print(f"Written to {written}")
    return 0


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


def _write_verdicts(
    problems: Sequence[humaneval_rust.Problem], verdicts: Sequence[Sequence[Verdict]], path: Path
) -> None:
    with path.open("w") as file:
        for problem, each in zip(problems, verdicts, strict=True):
            for index, verdict in enumerate(each):
                line = {
                    "prompt": problem.name, "index": index, "status": verdict.status, "errors": verdict.error_codes,
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
