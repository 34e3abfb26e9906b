"""
Measure how often each kind of variant applies, and how often it passes, on functions with tests.

    HF_ALLOW_CODE_EVAL=1 NANOCHAT_DATA=... python benchmarks/augmentation.py

The sets are HumanEval-Rust's solutions with its tests; the files of TheAlgorithms/Rust that compile alone and pass
their own tests; and synthetic samples. Only valid programs are varied.
"""

import argparse
import gzip
import json
import os
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from reporting import add_output, new_parser, write_json
from rich.console import Console

if __name__ == "__main__":
    # `--help` needs no PyTorch.
    parser = new_parser(__doc__)
    parser.add_argument("--samples", type=int, default=400, help="number of synthetic samples")
    parser.add_argument("--seed", type=int, default=0, help="seed of the samples and their variants")
    parser.add_argument("--failures", action="store_true", help="print the variants that fail")
    add_output(parser, "results/augmentation.json")
    options = parser.parse_args()

from evaluation.rust import RustVerifier
from evaluation.suites.humaneval_rust import HumanEvalRust
from trainers.data.augment import KINDS, Augmentation, Original, Tally, make_variants
from trainers.data.synthetic.stream import choose_families, draw_samples

console = Console(highlight=False)


def humaneval() -> Iterator[Original]:
    """Yield the published solutions with their tests."""
    for problem in HumanEvalRust.read().problems:
        yield Original(problem.name, problem.program(problem.solution), problem.tests)


def the_algorithms(folder: Path) -> Iterator[Original]:
    """Files with tests of the repository TheAlgorithms/Rust."""
    with gzip.open(folder / "rust_corpus.jsonl.gz", "rt") as file:
        for line in file:
            row = json.loads(line)
            if row["repo"] == "TheAlgorithms/Rust" and "#[test]" in row["text"]:
                try:
                    original = Original.of(row["text"], row["path"])
                except ValueError:
                    continue
                if original.tests is not None:
                    yield original


def synthetic(count: int, seed: int) -> Iterator[Original]:
    """Synthetic samples of all families in turn."""
    for sample in islice(draw_samples(choose_families(), seed), count):
        yield Original(f"{sample.family} {' '.join(sample.parameters)}", sample.code, sample.tests)


def main(options: argparse.Namespace) -> None:
    folder = os.environ.get("NANOCHAT_DATA")
    if folder is None:
        raise SystemExit("NANOCHAT_DATA must name the folder with humaneval_rust.jsonl.gz and rust_corpus.jsonl.gz")
    sets = {
        "humaneval_rust": list(humaneval()),
        "the_algorithms": list(the_algorithms(Path(folder))),
        "synthetic": list(synthetic(options.samples, options.seed)),
    }
    figures = {}
    with RustVerifier(run_timeout=3.0) as verifier:
        for name, originals in sets.items():
            started = time.perf_counter()
            verdicts = verifier.verify([each.code for each in originals], [each.tests for each in originals])
            valid = [each for each, verdict in zip(originals, verdicts, strict=True) if verdict.ok]
            wanted = [(original, kind) for original in valid for kind in KINDS]
            variants = make_variants(wanted, Augmentation(seed=options.seed), verifier)
            tally = Tally(originals=len(valid))
            tally.count(variants)
            console.print(f"{name}: {len(valid)} of {len(originals)} compile alone and pass their tests")
            console.print(tally.table())
            figures[name] = {
                "originals": len(originals),
                "valid": len(valid),
                "seconds": time.perf_counter() - started,
                "applied": dict(tally.applied),
                "passed": dict(tally.passed),
            }
            for variant in variants:
                if options.failures and variant.code is not None and not variant.kept:
                    console.rule(f"{variant.original.key} {variant.kind} {variant.verdict.status}")
                    print(variant.code)
                    for diagnostic in variant.verdict.diagnostics[:2]:
                        print(diagnostic.rendered or diagnostic.message)
    write_json(options.output, figures)


if __name__ == "__main__":
    main(options)
