"""The subcommand `holes`: tasks from the functions of real crates."""

import argparse
import time
from pathlib import Path

from evaluation.options import add_command
from evaluation.tables import plain_console, print_table
from trainers.data.tasks.hole_files import MAX_PER_CRATE, write_holes


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
