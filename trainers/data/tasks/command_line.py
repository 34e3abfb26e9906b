"""The subcommands `holes`, tasks from the functions of real crates, and `check-tasks`, for files of own tasks."""

import argparse
import time
from pathlib import Path

from evaluation.options import add_command
from evaluation.rust import RustVerifier
from evaluation.rust.sandbox.runner import require_consent
from evaluation.tables import plain_console, print_table
from trainers.data.benchmark_problems import load_benchmarks
from trainers.data.decontamination import Contamination
from trainers.data.tasks.hole_files import MAX_PER_CRATE, RUN_SECONDS, write_holes
from trainers.data.tasks.own_checks import TaskChecker
from trainers.data.tasks.own_files import read_rows


def add_holes(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Add the subcommand `holes`."""
    parser = add_command(
        subcommands,
        "holes",
        holes,
        help="make tasks from functions of real crates, judged by the crates' own unit tests",
        description="Takes functions of real crates whose unit tests notice wrong bodies, and writes a task for each: "
        "the code up to the function's opening brace, its body, and the tests. Compiles the crates and runs their "
        "build scripts and tests in the sandbox, which needs HF_ALLOW_CODE_EVAL=1. If the command is interrupted, run "
        "it again to continue.",
    )
    parser.add_argument(
        "--crates", type=Path, required=True, metavar="FOLDER", help="crate sources with all of their dependencies"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.jsonl", help="file of JSON lines to write")
    parser.add_argument(
        "--names", nargs="+", action="extend", metavar="CRATE", help="only these crates, such as serde (default: all)"
    )
    parser.add_argument("--max-per-crate", type=int, default=MAX_PER_CRATE, help="maximum number of tasks of a crate")
    parser.add_argument(
        "--num-workers", type=int, help="number of crates at the same time (default: one per processor)"
    )
    return parser


def holes(options: argparse.Namespace) -> int:
    """Write the tasks, and print how many functions and crates were left out for which reason."""
    console = plain_console()
    started = time.perf_counter()
    made = write_holes(
        options.crates,
        options.output,
        options.names,
        options.max_per_crate,
        num_workers=options.num_workers,
        progress=True,
    )
    for table in made.tables():
        print_table(console, table)
    seconds = time.perf_counter() - started
    console.print(
        f"{made.tasks:,} tasks from {made.crates:,} crates in {options.output}: {seconds:.0f} s", markup=False
    )
    for name, reason in sorted(made.failures.items()):
        console.print(f"{name} was not judged, run the command again: {reason}", markup=False)
    return 1 if made.failures or not made.tasks else 0


def add_check_tasks(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Add the subcommand `check-tasks`."""
    parser = add_command(
        subcommands,
        "check-tasks",
        check_tasks,
        help="check a file of tasks for reinforcement learning: solutions pass, wrong answers do not",
        description="Reads the tasks of a file of JSON lines or of a data set, as data.task_file of a recipe does, "
        "and checks each of them: its form, that its solution passes every time, that an empty answer and mutants of "
        "the solution fail, and that it contains no problem of the project's benchmarks. The programs run in the "
        "sandbox, which needs HF_ALLOW_CODE_EVAL=1. Prints which rows are accepted, and why the others are not. The "
        "exit status is 1 if none is accepted.",
    )
    parser.add_argument("file", metavar="FILE", help="file of JSON lines, or hub:NAME with options")
    parser.add_argument("--crates", type=Path, metavar="FOLDER", help="crate sources, which hole tests need")
    return parser


def check_tasks(options: argparse.Namespace) -> int:
    """Check the tasks of a file, and print the result."""
    console = plain_console()
    require_consent()
    rows = read_rows(options.file)
    with RustVerifier(run_timeout=RUN_SECONDS) as verifier:
        contamination = Contamination(load_benchmarks().benchmarks) if rows.tasks else None
        checker = TaskChecker(verifier, options.crates, contamination, progress=console.is_terminal)
        checked = checker.check(rows.tasks, rows.faulty)
    print_table(console, checked.table())
    console.print(checked.summary(), markup=False)
    return 0 if checked.accepted else 1
