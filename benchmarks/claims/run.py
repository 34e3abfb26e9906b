"""
Test claims about looped ternary models by training small ones.

    python benchmarks/claims/run.py --corpus rust_corpus.jsonl.gz \\
        --programs std_doc_examples.jsonl.gz rustc_ui.jsonl.gz --jobs 2 --report docs/claims.md

Every training takes a few minutes. A finished one is not repeated, and claims share trainings: `--claims` may name a
part of them, and later calls the others. Beside the page stands a file with all results; on another machine the
trainings in it are not repeated.
"""

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:1] = [str(ROOT), str(ROOT / "benchmarks")]

from reporting import add_report, documented_command, keep_results, machine, new_parser, restore_results

from claims.definitions import CLAIMS
from claims.settings import CORPUS, SETTINGS
from evaluation.options import add_output_dir

if __name__ == "__main__":
    # `--help` needs no PyTorch.
    parser = new_parser(__doc__)
    parser.add_argument(
        "--corpus", type=Path, required=True, help="compressed JSON lines with a column text, of Rust files"
    )
    parser.add_argument(
        "--programs",
        type=Path,
        nargs="+",
        default=[],
        help="compressed JSON lines with the columns code and edition, for the claims about programs",
    )
    parser.add_argument("--claims", nargs="+", choices=CLAIMS, default=list(CLAIMS), help="claims to test")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds of weights and order of text")
    parser.add_argument("--steps", type=int, default=400, help="training steps")
    parser.add_argument("--jobs", type=int, default=1, help="number of trainings at the same time")
    parser.add_argument("--list", action="store_true", help="print the trainings that are missing, and do nothing")
    add_output_dir(parser, "folder of the results", Path("results/claims"))
    add_report(parser, "docs/claims.md")
    options = parser.parse_args()

import psutil
import torch
from retrofit_training import corpus
from rich.progress import track

from claims.programs import program_corpora
from claims.report import Results, summary, write_page
from claims.training import finished, train, train_alone


def main(options: argparse.Namespace) -> None:
    """Train what is missing, and write the page."""
    for name in ("steps", "jobs"):
        if getattr(options, name) < 1:
            raise SystemExit(f"--{name} must be at least 1, got {getattr(options, name)}")
    for file in (options.corpus, *options.programs):
        if not file.is_file():
            raise SystemExit(f"--corpus and --programs must be files, got {file}")
    claims = [CLAIMS[name] for name in options.claims]
    names = list(dict.fromkeys(name for claim in claims for name in claim.names))
    runs = [(name, seed) for seed in options.seeds for name in names]
    folder: Path = options.output_dir
    if options.report is not None:
        restore_results(options.report.with_suffix(".json"), folder)
    missing = [(name, seed) for name, seed in runs if finished(SETTINGS[name], seed, folder, options.steps) is None]
    if options.list:
        print("\n".join(f"{name}, seed {seed}" for name, seed in missing) or "all trainings are finished")
        return
    needs_programs = any(SETTINGS[name].data != CORPUS for name, _ in missing)
    if needs_programs and not options.programs:
        raise SystemExit("--programs must name files for the claims verified and variants; or name other --claims")
    texts = {CORPUS: corpus(options.corpus, folder / "corpus")}
    if needs_programs:
        texts |= program_corpora(options.programs, texts[CORPUS].tokenizer, folder / "programs")
    threads = max(1, len(psutil.Process().cpu_affinity()) // options.jobs)
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        futures = [
            pool.submit(train_alone, SETTINGS[name], seed, texts, folder, options.steps, threads)
            for name, seed in missing
        ]
        for future in track(futures, "training"):
            future.result()
    found = {(name, seed): train(SETTINGS[name], seed, texts, folder, options.steps) for name, seed in runs}
    results = Results(found, options.seeds)
    print(summary(results, claims).markdown())
    if options.report is not None:
        header = f"{machine()}, torch {torch.__version__}, {options.jobs} at a time"
        write_page(results, claims, options.report, documented_command("claims/run.py"), header, options.steps)
        keep_results(folder, ["*_seed_*.json"], options.report.with_suffix(".json"))


if __name__ == "__main__":
    main(options)
