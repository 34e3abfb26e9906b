"""
Measure what a looped ternary model keeps of a dense one, at equal tokens.

    python benchmarks/retrofit.py --corpus rust_corpus.jsonl.gz --jobs 2 --report docs/warm_start.md

Trains a Llama on Rust with the classes of transformers, converts, loops and ternarizes it, and trains every rung of
that ladder on the same blocks of text: with the cross-entropy of the text, or distilled from the parent; and the same
shape from scratch. A stopped run goes on where it was, and a finished one is not repeated. With --adapted, the page
also has the results of a larger model before and after, which `nanochat-ternary eval run` wrote.
"""

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

from reporting import add_report, documented_command, machine, new_parser

from evaluation.options import add_output_dir

if __name__ == "__main__":
    # `--help` needs no PyTorch.
    parser = new_parser(__doc__)
    parser.add_argument(
        "--corpus",
        type=Path,
        required=True,
        help="compressed JSON lines with a column text, of Rust files",
    )
    parser.add_argument("--parent-steps", type=int, default=3000, help="training steps of the Llama")
    parser.add_argument("--steps", type=int, default=200, help="training steps of every rung")
    parser.add_argument("--points", type=int, default=5, help="number of measurements of the held-out loss of a rung")
    parser.add_argument("--num-loops", type=int, default=2, help="number of loops")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds of the order of the text")
    parser.add_argument("--jobs", type=int, default=1, help="number of rungs at the same time, which share the cores")
    add_output_dir(parser, "folder of the runs", Path("results/retrofit"))
    parser.add_argument(
        "--adapted",
        type=Path,
        metavar="RESULTS",
        help="folder of `eval run` with one folder for each state of SmolLM2: dense, rounded, distilled",
    )
    parser.add_argument(
        "--adapted-run", type=Path, metavar="RUN", help="folder of the run of adapt_smollm2 that trained it"
    )
    add_report(parser, "docs/warm_start.md")
    options = parser.parse_args()

import psutil
import torch
from retrofit_report import Ladder, write_page
from retrofit_training import ARMS, Arm, corpus, make_starts, run_arm, train_parent


def run_one(arm: Arm, seed: int, options: argparse.Namespace) -> dict:
    """Run one rung in a process of its own."""
    torch.set_num_threads(max(1, len(psutil.Process().cpu_affinity()) // options.jobs))
    texts = corpus(options.corpus, options.output_dir / "corpus")
    return run_arm(arm, seed, texts, options.output_dir, options.output_dir, options.steps, options.points)


def main(options: argparse.Namespace) -> None:
    """Run the ladder and write the page."""
    for name in ("parent_steps", "steps", "points", "num_loops", "jobs"):
        if getattr(options, name) < 1:
            raise SystemExit(f"--{name.replace('_', '-')} must be at least 1, got {getattr(options, name)}")
    if options.steps % options.points:
        raise SystemExit(f"--steps must be a multiple of --points={options.points}, got {options.steps}")
    if (options.adapted is None) != (options.adapted_run is None):
        raise SystemExit("--adapted and --adapted-run need each other")
    if not options.corpus.is_file():
        raise SystemExit(f"--corpus must be a file, got {options.corpus}")
    texts = corpus(options.corpus, options.output_dir / "corpus")
    train_parent(texts, options.output_dir / "parent", options.parent_steps)
    make_starts(options.output_dir / "parent" / "model", options.output_dir, options.num_loops)
    pairs = [(arm, seed) for seed in options.seeds for arm in ARMS]
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(run_one, arm, seed, options) for arm, seed in pairs]
        results = {(arm.name, seed): future.result() for (arm, seed), future in zip(pairs, futures, strict=True)}
    ladder = Ladder.of(results, options.seeds)
    print(ladder.table().markdown())
    if options.report is not None:
        header = f"{machine()}, torch {torch.__version__}, {options.jobs} at a time"
        write_page(ladder, options, documented_command("retrofit.py"), header)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main(options)
