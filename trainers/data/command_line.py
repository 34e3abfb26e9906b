"""The data on the command line: `synth`, `report` and `augment`."""

import argparse
import os
import time
from pathlib import Path

from evaluation.progress import show_progress
from evaluation.rust import RustVerifier
from evaluation.tables import plain_console, print_table
from trainers.data.augment import KINDS, Augmentation, augment_file
from trainers.data.sources import RUST_DOCS_HINT, read_rust_by_example, toolchain_docs
from trainers.data.synthetic.report import comparison, measure, read_codes
from trainers.data.synthetic.stream import choose_families
from trainers.data.synthetic.verified import write_synthetic

console = plain_console()


def add_synth(subcommands):
    """Adds the subcommand `synth`."""
    parser = subcommands.add_parser(
        "synth",
        help="make verified samples, or tasks",
        description="Draws Rust from families and keeps what compiles and passes its tests, one JSON object in a "
        "line. The programs it makes are run in the sandbox. After an interruption the same command continues; the "
        "file is the same then.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--n", type=int, required=True, help="rows wanted")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other samples")
    parser.add_argument("--tasks", action="store_true", help="tasks for reinforcement learning instead of samples")
    parser.add_argument("--tier", type=int, help="only families of this tier: 0 (one line) to 4; None takes all")
    parser.add_argument("--family", action="append", metavar="NAME", help="only this family; may be repeated")
    parser.add_argument("--workers", type=int, help="compilers at the same time; None takes one per processor")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.jsonl", help="where the rows go")
    parser.set_defaults(run=synth)


def synth(options: argparse.Namespace) -> int:
    """Writes verified samples or tasks; prints how many and how fast."""
    if options.n < 1:
        raise ValueError(f"--n must be at least 1, got {options.n}")
    check_output(options.out)
    families = choose_families(options.family, options.tier)
    started = time.perf_counter()
    with (
        RustVerifier(workers=options.workers, run_timeout=1.0, own_programs=True) as verifier,
        show_progress("Drawing", options.n, "rows") as drawn,
        show_progress("Verifying", options.n, "rows") as verified,
    ):
        count = write_synthetic(
            options.out,
            families,
            options.n,
            options.seed,
            verifier,
            options.tasks,
            advance=verified,
            drawn=drawn,
        )
    seconds = time.perf_counter() - started
    what = "tasks" if options.tasks else "samples"
    console.print(
        f"{count:,} verified {what} of {len(families)} families in {options.out}: {seconds:.1f} s, "
        f"{count / seconds:.0f} per second on {len(os.sched_getaffinity(0))} processors",
        markup=False,
    )
    return 0 if count == options.n else 1


def check_output(path: Path) -> None:
    """Raises `ValueError` unless a file can be written there."""
    if path.is_dir() or (path.parent.exists() and not path.parent.is_dir()):
        raise ValueError(f"--out must be a file that can be written, got {path}")


def add_report(subcommands):
    """Adds the subcommand `report`."""
    parser = subcommands.add_parser(
        "report",
        help="compare files of rows with Rust by Example",
        description="How varied, how named, how difficult: files of rows side by side, and Rust by Example beside "
        "them where the toolchain's documentation is installed.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.jsonl", help="rows with a column code")
    parser.set_defaults(run=report)


def report(options: argparse.Namespace) -> int:
    """Prints the figures."""
    sets = [(path.stem, measure(read_codes(path))) for path in options.files]
    docs = toolchain_docs()
    if docs is None:
        console.print(f"Rust by Example is not installed: {RUST_DOCS_HINT}")
    else:
        sets.append(("Rust by Example", measure(row.code for row in read_rust_by_example(docs))))
    print_table(console, comparison(sets))
    return 0


def add_augment(subcommands):
    """Adds the subcommand `augment`."""
    parser = subcommands.add_parser(
        "augment",
        help="vary rows without changing what they mean",
        description="Reads rows with a column code and writes variants of them that compile as the original does and "
        "pass its tests, if it has some. Needs HF_ALLOW_CODE_EVAL=1 for rows with tests. After an interruption the "
        "same command continues.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="JSON lines with a column code, or a .rs file")
    parser.add_argument(
        "--kinds",
        nargs="+",
        default=list(KINDS),
        metavar="KIND[=SHARE]",
        help=f"of {', '.join(KINDS)}; with the share of the rows that are varied so, 1 without it",
    )
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other variants")
    parser.add_argument("--workers", type=int, help="compilers at the same time; None takes one per processor")
    parser.add_argument("--out", type=Path, metavar="FILE.jsonl", help="where variants go; None: beside FILE")
    parser.set_defaults(run=augment)


def augment(options: argparse.Namespace) -> int:
    """Writes variants; prints a table of what came of each kind."""
    augmentation = Augmentation(parse_shares(options.kinds), options.seed)
    out = options.out or options.file.with_name(f"{options.file.stem}.augmented.jsonl")
    check_output(out)
    with RustVerifier(workers=options.workers, run_timeout=1.0) as verifier:
        tallies = augment_file(options.file, out, augmentation, verifier, shown=True)
    print_table(console, tallies.table())
    console.print(f"{tallies.kept:,} variants in {out}", markup=False)
    return 0


def parse_shares(kinds: list[str]) -> dict[str, float]:
    """`["alpha", "forms=0.5"]` as shares by kind. Raises `ValueError`."""
    shares = {}
    for each in kinds:
        name, _, share = each.partition("=")
        try:
            shares[name] = float(share or 1)
        except ValueError:
            raise ValueError(f"--kinds must be names or NAME=SHARE, got {each!r}") from None
    return shares
