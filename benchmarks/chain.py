"""
Measure the model of every stage of a run, and the one it started from, and write a report about the whole run.

    HF_ALLOW_CODE_EVAL=1 python benchmarks/chain.py --run runs/finetune --report docs/report/finetune.md

Every stage's model is evaluated on the same problems: greedily on the suites, and both greedily and with several
samples on HumanEval-Rust and on the held-out tasks of the run. The last model is timed in every engine, and its
publication is made up without an upload. Each step is a command of its own, which is printed and stands in the report;
a step that was interrupted goes on when the script is started again, and a finished one is not repeated.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

from reporting import add_report, documented_command, machine, new_parser

from evaluation.options import add_output_dir
from evaluation.suites.registry import SUITES

GREEDY = ("compile-rate", "humaneval-rust", "multipl-e-rust", "semantic", "exercism", "rustc", "repair", "perplexity")

if __name__ == "__main__":
    # `--help` needs no PyTorch.
    parser = new_parser(__doc__)
    parser.add_argument("--run", type=Path, required=True, help="folder of a finished run of a recipe")
    parser.add_argument(
        "--suites", nargs="+", choices=SUITES, default=list(GREEDY), help="suites that decode greedily"
    )
    parser.add_argument(
        "--limit", type=int, default=32, help="maximum number of problems of each suite but compile-rate"
    )
    parser.add_argument("--text", type=Path, help="held-out text for the perplexity (default: that of the run)")
    parser.add_argument("--samples", type=int, default=8, help="samples of each held-out task")
    parser.add_argument(
        "--humaneval-samples",
        type=int,
        default=20,
        help="samples of each problem of HumanEval-Rust, besides the greedy one",
    )
    parser.add_argument("--tasks", type=int, default=160, help="maximum number of held-out tasks")
    parser.add_argument("--repo", default="you/small-rust", help="name of the repository that would be published")
    add_output_dir(parser, "folder of the results, one folder for each stage", Path("results/chain"))
    add_report(parser, "docs/report/finetune.md")
    options = parser.parse_args()
    if options.humaneval_samples < 2:
        parser.error(f"--humaneval-samples must be at least 2, got {options.humaneval_samples}")

from chain_report import GREEDY_FOLDER, HUMANEVAL_TEMPERATURE, SAMPLED_FOLDER, Chain, Step, write_page

from evaluation.rust.sandbox.runner import require_consent
from evaluation.tables import plain_console, print_table

PROGRAM = "nanochat-ternary"


def steps_of(options: argparse.Namespace, chain: Chain) -> list[Step]:
    """Commands in their order, each with the file that shows that it has finished."""
    steps = []
    for stage in (stage for stage in chain.stages if stage.is_evaluated):
        folder = chain.folder / stage.folder
        common = ["--model", str(stage.model), "--num-loops", str(chain.num_loops), "--output-dir", str(folder)]
        limited = [name for name in options.suites if name not in ("compile-rate", "perplexity")]
        greedy = ["--temperature", "0", "--max-new-tokens", "256", "--batch-size", "16", "--engine", "native"]
        if "compile-rate" in options.suites:
            steps.append(
                Step("compile_rate", stage, [PROGRAM, "eval", "run", "--suite", "compile-rate", *common, *greedy])
            )
        if limited:
            limit = ["--limit", str(options.limit)]
            steps.append(
                Step("suites", stage, [PROGRAM, "eval", "run", "--suite", *limited, *common, *greedy, *limit])
            )
        if "humaneval-rust" in options.suites:
            count = str(options.humaneval_samples)
            drawn = ["--num-samples", count, "--k", "1", count, "--temperature", str(HUMANEVAL_TEMPERATURE)]
            drawn += ["--max-new-tokens", "128", "--batch-size", "64", "--engine", "native"]
            suite = [PROGRAM, "eval", "run", "--suite", "humaneval-rust", *common[:-1], str(folder / SAMPLED_FOLDER)]
            steps.append(Step("humaneval_sampled", stage, [*suite, *drawn, "--limit", str(options.limit)]))
        if "perplexity" in options.suites:
            text = ["--text", str(options.text or chain.held_out_text), "--limit", "64"]
            steps.append(Step("perplexity", stage, [PROGRAM, "eval", "run", "--suite", "perplexity", *common, *text]))
        if chain.tasks.exists():
            tasks = ["--problems", f"tasks={chain.tasks}", "--limit", str(options.tasks)]
            drawn = ["--num-samples", str(options.samples), "--k", "1", str(options.samples), "--temperature", "1"]
            drawn += ["--top-p", "1", "--max-new-tokens", "96", "--batch-size", "64", "--engine", "native"]
            suite = [PROGRAM, "eval", "run", "--suite", "tasks"]
            steps.append(Step("tasks", stage, [*suite, *common, *tasks, *drawn]))
            below = [*common[:-1], str(folder / GREEDY_FOLDER)]
            once = ["--temperature", "0", "--max-new-tokens", "96", "--batch-size", "64", "--engine", "native"]
            steps.append(Step("tasks_greedy", stage, [*suite, *below, *tasks, *once]))
    last = chain.stages[-1]
    speed = ["--rounds", "3", "--output", str(chain.folder / "inference.json")]
    steps.append(Step("speed", None, ["python", "benchmarks/inference.py", "--model", str(last.model), *speed]))
    publish = [PROGRAM, "publish", "--model", str(last.model)]
    if chain.last_results.is_dir():
        publish += ["--results", str(chain.last_results)]
    # Its status is 1 while something is missing.
    steps.append(Step("checklist", None, [*publish, "--check"], (0, 1)))
    steps.append(Step("publication", None, [*publish, "--repo", options.repo]))
    return steps


def run_step(step: Step, folder: Path) -> None:
    """Run a command unless it has finished; its output goes to the terminal and to a file."""
    done = folder / f"{step.file_name}.finished.json"
    if done.exists() and json.loads(done.read_text()) == step.command:
        return
    print(f"$ {shlex.join(step.command)}", flush=True)
    programs = {PROGRAM: [sys.executable, "-m", "nanochat_ternary"], "python": [sys.executable]}
    command = [*programs[step.command[0]], *step.command[1:]]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{step.file_name}.txt").open("w") as output:
        process = subprocess.Popen(
            command, cwd=Path.cwd(), env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout is not None, "the output is a pipe"
        for line in process.stdout:
            print(line, end="", flush=True)
            output.write(line)
    if process.wait() not in step.statuses:
        raise SystemExit(f"{shlex.join(step.command)} ended with status {process.returncode}")
    done.write_text(json.dumps(step.command) + "\n")


def main(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Run what is missing, print the table, and write the page."""
    if not (options.run / "report.json").is_file():
        parser.error(f"--run must be the folder of a run that is complete, got {options.run} without report.json")
    require_consent()
    chain = Chain.of(options.run, options.output_dir / options.run.name)
    steps = steps_of(options, chain)
    for step in steps:
        run_step(step, chain.folder / "steps")
    print_table(plain_console(), chain.overview().rich(f"{options.run.name}, by stage"))
    if options.report is not None:
        write_page(chain, steps, options.report, documented_command("chain.py"), machine())


if __name__ == "__main__":
    main(parser, options)
