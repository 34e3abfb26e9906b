"""Subcommands `synth`, `augment` and `report`: each turns its options into the call of one typed function."""

import argparse
import os
import time
from pathlib import Path

from evaluation.options import add_command, add_former_name, add_seed
from evaluation.tables import plain_console, print_table
from trainers.data.augment import KINDS, Augmentation, augment_file
from trainers.data.sources import RUST_DOCS_HINT, toolchain_docs
from trainers.data.synthetic.report import comparison, measure_files
from trainers.data.synthetic.verified import synthesize

console = plain_console()


def add_synth(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Add the subcommand `synth`."""
    parser = add_command(
        subcommands,
        "synth",
        synth,
        help="generate verified synthetic Rust: samples with tests, or tasks for reinforcement learning",
        description="Generates Rust from families of templates and keeps what compiles and passes its tests, as JSON "
        "lines. The generated programs run in the sandbox. If the command is interrupted, run it again to continue; "
        "the finished file is the same.",
    )
    num_samples = parser.add_argument("--num-samples", type=int, required=True, help="number of rows to write")
    add_former_name(parser, "--n", num_samples)
    output = parser.add_argument(
        "--output", type=Path, required=True, metavar="FILE.jsonl", help="file of JSON lines to write or to continue"
    )
    add_former_name(parser, "--out", output)
    parser.add_argument(
        "--tasks", action="store_true", help="generate tasks for reinforcement learning instead of samples with tests"
    )
    parser.add_argument("--tier", type=int, help="only families of this tier, from 0 (one line) to 4 (default: all)")
    families = parser.add_argument(
        "--families", nargs="+", action="extend", metavar="NAME", help="only these families (default: all)"
    )
    add_former_name(parser, "--family", families)
    add_seed(parser, "seed of the generation; equal seeds give equal files")
    _add_num_workers(parser)
    return parser


def synth(options: argparse.Namespace) -> int:
    """Generate samples or tasks, and print how many and how fast."""
    started = time.perf_counter()
    count = synthesize(
        options.output,
        options.num_samples,
        seed=options.seed,
        tasks=options.tasks,
        families=options.families,
        tier=options.tier,
        num_workers=options.num_workers,
        progress=True,
    )
    seconds = time.perf_counter() - started
    what = "tasks" if options.tasks else "samples"
    console.print(
        f"{count:,} verified {what} in {options.output}: {seconds:.1f} s, {count / seconds:.0f} per second on "
        f"{len(os.sched_getaffinity(0))} processors",
        markup=False,
    )
    # Fewer if some failed verification and the families have no more.
    return 0 if count == options.num_samples else 1


def add_augment(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Add the subcommand `augment`."""
    parser = add_command(
        subcommands,
        "augment",
        augment,
        help="write variants of Rust code that have the same meaning",
        description="Reads Rust code and writes variants of it that compile like the original and pass its tests, if "
        "it has any. Set HF_ALLOW_CODE_EVAL=1 for code with tests, which are run. If the command is interrupted, run "
        "it again to continue.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="JSON lines with a column `code`, or a .rs file")
    output = parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE.jsonl",
        help="file of JSON lines to write or to continue (default: FILE with the ending .augmented.jsonl)",
    )
    add_former_name(parser, "--out", output)
    parser.add_argument(
        "--kinds",
        nargs="+",
        default=list(KINDS),
        metavar="KIND[=SHARE]",
        help=f"kinds of variants: {', '.join(KINDS)}; each with the share of the code to vary in this way (1 if not "
        "given)",
    )
    add_seed(parser, "seed of the variants; equal seeds give equal files")
    _add_num_workers(parser)
    return parser


def augment(options: argparse.Namespace) -> int:
    """Write variants, and print how many of each kind apply and pass."""
    augmentation = Augmentation(parse_shares(options.kinds), options.seed)
    output = options.output or options.file.with_name(f"{options.file.stem}.augmented.jsonl")
    tally = augment_file(options.file, output, augmentation, num_workers=options.num_workers, progress=True)
    print_table(console, tally.table())
    console.print(f"{tally.kept:,} variants in {output}", markup=False)
    return 0


def add_report(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Add the subcommand `report`."""
    parser = add_command(
        subcommands,
        "report",
        report,
        help="compare data files with Rust by Example",
        description="Compares the variety, the names and the difficulty of the code in data files, side by side, and "
        "with Rust by Example if the documentation of the Rust toolchain is installed.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.jsonl", help="JSON lines with a column `code`")
    return parser


def report(options: argparse.Namespace) -> int:
    """Print statistics of data files."""
    if toolchain_docs() is None:
        console.print(f"Rust by Example is not installed: {RUST_DOCS_HINT}")
    print_table(console, comparison(measure_files(options.files)))
    return 0


def parse_shares(kinds: list[str]) -> dict[str, float]:
    """
    Parse `["alpha", "forms=0.5"]` into shares by kind.

    Raises:
        ValueError: A share is not a number.
    """
    shares = {}
    for each in kinds:
        name, _, share = each.partition("=")
        try:
            shares[name] = float(share or 1)
        except ValueError:
            raise ValueError(f"--kinds must be names or NAME=SHARE, got {each!r}") from None
    return shares


def _add_num_workers(parser: argparse.ArgumentParser) -> None:
    workers = parser.add_argument(
        "--num-workers", type=int, help="compilers at the same time (default: one per processor)"
    )
    add_former_name(parser, "--workers", workers)
