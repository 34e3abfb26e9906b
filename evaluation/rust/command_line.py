"""The commands `verify`, for Rust files, and `doctor`, for the machine's compiler and sandbox."""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from evaluation.options import add_command, add_former_name
from evaluation.rust.cache import FILE_NAME, VerdictCache
from evaluation.rust.judge.appended import AppendedTests
from evaluation.rust.judge.harness import HiddenTests
from evaluation.rust.rustc.compiler import ROOT
from evaluation.rust.rustc.self_test import self_test
from evaluation.rust.rustc.toolchain import find_toolchain
from evaluation.rust.sandbox.runner import (
    LEVELS,
    OPT_IN,
    Command,
    Sandbox,
)
from evaluation.rust.verdict import CHECKS, Verdict
from evaluation.rust.verifier_options import add_sandbox, add_verifier_options, verifier_of
from evaluation.tables import plain_console, print_table
from evaluation.text_files import read_text

GATES = ("signature", "tests")  # categories shown before the message; others need no explanation
LEVEL_MEANING = {
    "limits": "limits on time, memory and output only; files and network are open. Against accidents, not malice.",
    "files": "programs read only the toolchain and system libraries, and write only their own directory.",
    "isolated": "programs see no other files, no network and no other processes, and are not root.",
}
NOT_COVERED = (
    "Not covered at any level: kernel bugs, side channels of the processor, and the total memory of a program's "
    "processes (the limit holds per process). Against an adversary rather than a model, add a virtual machine."
)


def add_verify(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `verify`."""
    parser = add_command(
        subcommands,
        "verify",
        _run_verify,
        help="compile Rust files in the sandbox, and run their tests",
        description="Compile each file in the sandbox; without --tests nothing is run.\n"
        "Exit status: 0 if all files are valid, 1 if some are not, 3 if the compiler or the sandbox failed.",
    )
    parser.add_argument("files", nargs="+", metavar="FILES", help="Rust source files; - reads standard input")
    parser.add_argument("--json", action="store_true", help="print one JSON object per file instead of a table")
    num_workers = add_verifier_options(parser, run_timeout=3.0)
    add_former_name(parser, "--workers", num_workers)
    parser.add_argument(
        "--crate-type",
        default="auto",
        choices=("auto", "bin", "lib"),
        help="kind of crate; auto is bin for files with a fn main, else lib",
    )
    parser.add_argument(
        "--tests",
        type=Path,
        metavar="CHECKER.rs",
        help="tests to run for each file: either declarations of what it must define, such as "
        "`fn add(a: i32, b: i32) -> i32;`, and then statements with cases, such as `check!(add(1, 2) == 3);`, which "
        "are compiled separately; or #[test] functions or a fn main, which are appended to the file. "
        f"Requires the environment variable {OPT_IN}=1 (default: no tests)",
    )
    parser.add_argument(
        "--rules",
        default="data",
        choices=("data", "reward"),
        help="reward: refuse, with its place, code that honest solutions do not need and reward hacks use; "
        "data: refuse nothing",
    )
    parser.add_argument("--exact", action="store_true", help="list all errors of each failing file (slower)")


def _run_verify(options: argparse.Namespace) -> int:
    codes = [_read(name) for name in options.files]
    tests = None if options.tests is None else _read_tests(options.tests)
    with verifier_of(options) as verifier:
        verdicts = verifier.verify(
            codes,
            tests,
            crate_type=options.crate_type,
            exact=options.exact,
            rules=options.rules,
            progress=not options.json,
        )
    if options.json:
        for name, verdict in zip(options.files, verdicts, strict=True):
            print(json.dumps({"file": name, **verdict.to_dict()}))
    else:
        _print_verdicts(plain_console(), options.files, verdicts)
    if any(verdict.status == "unavailable" for verdict in verdicts):
        return 3
    return 0 if all(verdict.ok for verdict in verdicts) else 1


def _read(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise ValueError(f"FILES must be files that can be read, got {name}: {error.strerror}") from error


def _read_tests(path: Path) -> str | HiddenTests:
    """Return the text if it can be appended tests, else hidden tests."""
    text = read_text(path)
    try:
        AppendedTests.read(text)
        return text
    except ValueError:
        return HiddenTests.parse(text)


def _print_verdicts(console: Console, names: Sequence[str], verdicts: Sequence[Verdict]):
    for name, verdict in zip(names, verdicts, strict=True):
        for diagnostic in verdict.diagnostics:
            gate = f"{diagnostic.category}: " if diagnostic.category in GATES else ""
            text = diagnostic.rendered or f"{name}: {gate}{diagnostic.message}"
            text = text.rstrip().replace(f" {ROOT}:", f" {name}:")
            console.print(Text(text))
            console.print()
        for note in verdict.notes:
            console.print(Text(f"{name}: note: {note}"))
    table = Table("file", "verdict", "errors", "failed check")
    if any(verdict.tests_total for verdict in verdicts):
        table.add_column("tests", justify="right")
    table.add_column("difficulty", justify="right")
    for name, verdict in zip(names, verdicts, strict=True):
        status = Text(verdict.status, style="green" if verdict.ok else "red")
        codes = " ".join(code for code in verdict.error_codes if code != "NOCODE")
        if verdict.external:
            codes += " (needs other crates or files)"
        difficulty = "" if verdict.metadata is None else f"{verdict.metadata.difficulty:.2f}"
        failed = " ".join(check for check in CHECKS if verdict.checks[check] == "error")
        cells = [Text(name), status, Text(codes), failed]
        if any(verdict.tests_total for verdict in verdicts):
            cells.append(f"{verdict.tests_passed} of {verdict.tests_total}")
        table.add_row(*cells, difficulty)
    print_table(console, table, prose=["errors", "failed check"])
    counts = Counter(verdict.status for verdict in verdicts)
    level = LEVELS[verdicts[0].sandbox_level]
    console.print(
        ", ".join(f"{count} {status}" for status, count in counts.most_common())
        + f"; rustc {verdicts[0].rustc}, edition {verdicts[0].edition}, sandbox level {level}"
    )


def add_doctor(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `doctor`."""
    parser = add_command(
        subcommands,
        "doctor",
        _run_doctor,
        help="show the compiler and the sandbox, and test the sandbox",
        description="Show the compiler and the sandbox of this machine, then attempt everything that the sandbox\n"
        "promises to prevent. Exit status: 0 if every promise holds, 1 if not.",
    )
    parser.add_argument("--cache-dir", type=Path, help="show the size of the cache in this directory (default: none)")
    add_sandbox(parser)
    parser.add_argument(
        "--highest",
        default=LEVELS[-1],
        choices=LEVELS,
        help="highest level of protection to use, to test a lower one",
    )


def _run_doctor(options: argparse.Namespace) -> int:
    return doctor(options.cache_dir, options.sandbox, options.highest)


def doctor(cache_dir: Path | None, lowest: str, highest: str) -> int:
    """
    Print the toolchain, the sandbox, the cache and the result of the self-test.

    Args:
        cache_dir: Directory whose cache is measured.
        lowest: Lowest level of protection to accept.
        highest: Highest level of protection to use.

    Returns:
        The exit status: 0 if every promise of the sandbox holds.
    """
    console = plain_console()
    toolchain = find_toolchain()
    probe = Command([toolchain.rustc, "-V"], toolchain.environment)
    sandbox = Sandbox([toolchain.sysroot], probe, lowest, LEVELS.index(highest))
    facts = Table("fact", "value", show_header=False, title="What the verifier uses")
    facts.add_row("compiler", toolchain.rustc)
    facts.add_row("version", toolchain.identity.splitlines()[0])
    facts.add_row("workers", f"{len(os.sched_getaffinity(0))}, one per processor")
    facts.add_row("sandbox", f"level {sandbox.level} of {len(LEVELS) - 1}, {LEVELS[sandbox.level]}")
    facts.add_row("", LEVEL_MEANING[LEVELS[sandbox.level]])
    for level, reason in sandbox.reasons.items():
        if LEVELS.index(level) > sandbox.level:
            facts.add_row(f"not {level}", Text(reason))
    facts.add_row("Landlock", f"version {sandbox.landlock}" if sandbox.landlock else "not used")
    consent = os.environ.get(OPT_IN) == "1"
    generated = f"allowed, {OPT_IN}=1 is set" if consent else f"refused; set {OPT_IN}=1 to allow it"
    facts.add_row("running generated programs", generated)
    facts.add_row("cache", _cache_size(cache_dir))
    print_table(console, facts, prose=["value"])

    table = Table("protection", "result", "what happened", title="Attempts to break out")
    broken, open_ = [], []
    with self_test(toolchain, sandbox) as protections, console.status("trying to break out"):
        for protection in protections:
            if protection.held:
                result = Text("holds", style="green")
            elif protection.promised:
                result = Text("BROKEN", style="bold red")
                broken.append(protection.name)
            else:
                result = Text("not at this level", style="yellow")
                open_.append(protection.name)
            table.add_row(protection.name, result, Text(protection.observed))
    sandbox.close()
    print_table(console, table, prose=["protection", "what happened"])
    if open_:
        console.print(Text(f"Not protected at this level: {'; '.join(open_)}.", style="yellow"))
    console.print(NOT_COVERED)
    if broken:
        console.print(Text(f"BROKEN: {'; '.join(broken)}. Do not run generated code here.", style="bold red"))
        return 1
    console.print("Every protection that this level promises held.")
    return 0


def _cache_size(directory: Path | None) -> str:
    if directory is None:
        return "in memory only; --cache-dir names a directory"
    path = directory / FILE_NAME
    if not path.exists():
        return f"{path}: none yet"
    cache = VerdictCache(directory)
    size = f"{path}: {len(cache):,} verdicts, {path.stat().st_size / 1e6:.1f} MB"
    cache.close()
    return size
