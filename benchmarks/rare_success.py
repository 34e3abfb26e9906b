"""
Compare estimators of the policy gradient on tasks that the start rarely solves.

    HF_ALLOW_CODE_EVAL=1 python benchmarks/rare_success.py --model nano_h100 --jobs 2 --report docs/maxrl.md

Generates verified tasks of tiers 0 to 2, fine-tunes the model on the solutions of half of them, measures which
families of tasks it then solves in 0.5 to 5 % of its samples, and trains it on the prompts of some of these families
with every method and seed, at equal numbers of samples. pass@1 to pass@64 and the number of distinct solutions are
measured on held-out tasks. One more method trains on the tasks of all families. A run that was stopped goes on where
it was, and a finished one is not repeated: `--methods` and `--seeds` may name a part of the runs, and later calls the
others.
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

from rare_success_methods import METHODS
from reporting import add_report, documented_command, keep_results, machine, new_parser, replace_json

from evaluation.options import add_output_dir

if __name__ == "__main__":
    # `--help` needs no PyTorch.
    parser = new_parser(__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder of a LoopLM with its tokenizer")
    parser.add_argument("--num-loops", type=int, default=2, help="number of loops to train and to measure with")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="methods to compare")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds; each is a run of every method")
    parser.add_argument("--tasks", type=int, default=6000, help="number of verified tasks to generate")
    parser.add_argument("--sft-steps", type=int, default=60, help="steps of supervised fine-tuning before")
    parser.add_argument("--steps", type=int, default=24, help="steps of reinforcement learning")
    parser.add_argument("--samples-per-step", type=int, default=128, help="completions per step, of all its prompts")
    parser.add_argument("--learning-rate", type=float, default=3e-5, help="learning rate of reinforcement learning")
    parser.add_argument("--held-out", type=int, default=48, help="number of held-out tasks to measure on")
    parser.add_argument("--rates", type=float, nargs=2, default=[0.005, 0.05], help="range of a rare family's pass@1")
    parser.add_argument("--families", type=int, default=8, help="number of rare families, those with the most tasks")
    parser.add_argument("--jobs", type=int, default=1, help="number of runs at the same time, one core each")
    parser.add_argument("--finished", action="store_true", help="show the finished runs, and start no others")
    parser.add_argument("--only", metavar="METHOD:SEED", help="do this run alone, in this process, without a report")
    add_output_dir(parser, "folder of the runs", Path("results/rare_success"))
    parser.add_argument("--title", default="Learning from rare success", help="title of the page")
    add_report(parser, "docs/maxrl.md")
    options = parser.parse_args()

from processes import run_all
from rare_success_report import Study, write_page
from rare_success_runs import (
    MEASUREMENTS,
    MICRO_BATCH,
    RESULTS,
    at_start,
    make_tasks,
    rare_families,
    restore,
    run_name,
    train,
)

from evaluation.rust.sandbox.runner import require_consent


def main(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Prepare, run what is missing, and write the page."""
    if options.steps % MEASUREMENTS:
        parser.error(f"--steps must be a multiple of {MEASUREMENTS}, got {options.steps}")
    largest = max(METHODS[name].num_generations for name in options.methods)
    if options.samples_per_step % largest or options.samples_per_step % MICRO_BATCH:
        parser.error(
            f"--samples-per-step must be a multiple of {largest} and of {MICRO_BATCH}, got {options.samples_per_step}"
        )
    if not 0 <= options.rates[0] < options.rates[1] <= 1:
        parser.error(f"--rates must be two rates from 0 to 1, the lower one first, got {options.rates}")
    if not (options.model / "config.json").is_file():
        parser.error(f"--model must be the folder of a model, got {options.model}")
    require_consent()
    if options.only:
        method, _, seed = options.only.partition(":")
        return train(METHODS[method], int(seed), options)
    make_tasks(options)
    restore(options)
    rare_families(options)
    missing: list[tuple[Path, list[str]]] = []
    for method, seed in ((method, seed) for seed in options.seeds for method in options.methods):
        folder = options.output_dir / run_name(method, seed)
        replace_json(folder / "held_out_0.json", at_start(METHODS[method], options))
        if not options.finished and not (folder / "finished.json").exists():
            missing.append((folder, [sys.executable, *sys.argv, "--only", f"{method}:{seed}"]))
    run_all(missing, options.jobs)
    study = Study.read(options)
    if not study.methods:
        parser.error(f"--finished needs a finished run of {', '.join(options.methods)} in {options.output_dir}")
    print(study.table().markdown())
    if options.report is not None:
        write_page(study, options, documented_command("rare_success.py"), machine())
        keep_results(options.output_dir, RESULTS, options.report.with_suffix(".json"))


if __name__ == "__main__":
    main(parser, options)
