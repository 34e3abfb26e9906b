"""The options of commands that start a verifier."""

import argparse
from pathlib import Path

from evaluation.rust.rustc.toolchain import EDITIONS
from evaluation.rust.sandbox.runner import LEVELS
from evaluation.rust.verifier import RustVerifier


def add_sandbox(parser: argparse.ArgumentParser) -> None:
    """Add the option `--sandbox`."""
    parser.add_argument(
        "--sandbox",
        default="auto",
        choices=("auto", *LEVELS),
        help="lowest level of protection to accept; the highest available one is used",
    )


def add_verifier_options(parser: argparse.ArgumentParser, run_timeout: float) -> argparse.Action:
    """
    Add the options of `verifier_of`.

    Args:
        parser: Of the command.
        run_timeout: Default of `--run-timeout`.

    Returns:
        The option `--num-workers`.
    """
    parser.add_argument("--edition", default="2021", choices=EDITIONS, help="Rust edition")
    num_workers = parser.add_argument(
        "--num-workers", type=int, help="maximum number of compilers at the same time (default: one per processor)"
    )
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds of processor time for the compiler")
    parser.add_argument(
        "--run-timeout", type=float, default=run_timeout, help="seconds of processor time for the tests"
    )
    parser.add_argument("--compiler-memory-gib", type=float, default=4.0, help="GiB of address space for the compiler")
    parser.add_argument("--run-memory-gib", type=float, default=2.0, help="GiB of address space for the tests")
    parser.add_argument("--run-threads", type=int, default=64, help="number of processes and threads of the tests")
    parser.add_argument("--cache-dir", type=Path, help="directory that keeps verdicts (default: none)")
    add_sandbox(parser)
    return num_workers


def verifier_of(options: argparse.Namespace) -> RustVerifier:
    """Start the verifier of the options. Raises what `RustVerifier` does."""
    return RustVerifier(
        options.edition,
        options.num_workers,
        cache_dir=options.cache_dir,
        sandbox=options.sandbox,
        timeout=options.timeout,
        run_timeout=options.run_timeout,
        compiler_memory_gib=options.compiler_memory_gib,
        run_memory_gib=options.run_memory_gib,
        run_threads=options.run_threads,
    )
