"""
Build the problems of the suite `rustc` from the compiler's own tests, each verified on this machine.

    python -m evaluation.suites.rustc.build rust_tests_ui.jsonl.gz problems.jsonl.gz

The first file has the tests as rows with `path`, `category`, `code` and `rustc_195` ("pass" for programs that
compile). Programs that do not compile in edition 2021 are left out. Equal inputs and compilers make equal files.
"""

import argparse
import gzip
import hashlib
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tree_sitter import Node, Parser

from evaluation.complete_files import complete_file
from evaluation.exit_status import exit_status
from evaluation.options import CommandParser
from evaluation.rust import RustVerifier, Verdict
from evaluation.rust.rustc.compiler import ROOT
from evaluation.rust.syntax.analysis import RUST
from evaluation.rust.syntax.completion import completed_function
from evaluation.rust.syntax.nodes import walk
from evaluation.suites.problem_files import read_lines, text_in
from evaluation.suites.rustc.edits import ProgramEdit, edits_of
from evaluation.suites.rustc.kept import ITEMS, NO_STATEMENTS
from evaluation.suites.rustc.problems import CATEGORIES, ERRORS_OF, TASKS, end_of_answer, problem_of

EDITION = "2021"
ORIGIN = "rust-lang/rust 1.63.0"
LICENSE = "MIT OR Apache-2.0"
MAX_BYTES = 3000  # of a program
MAX_MESSAGE = 1500  # characters of a message of the compiler
MAX_ERRORS = 2
CUTS_PER_PROGRAM = 3
REPAIRS_PER_PROGRAM = 2  # of each category
SHARE_OF_OPERATOR = 0.2  # of the repairs of a category
PROBLEMS = 60  # of each category and task
# Instructions for the compiler's test runner, and the errors that it expects.
DIRECTIVE = re.compile(
    r"^\s*//\s*(?:\[\w+\]|(?:run|check|build)-(?:pass|rustfix)|check-run-results|edition|pretty-expanded|ignore|only|"
    r"compile-flags|needs|no-prefer-dynamic|min-|stderr|normalize|revisions|known-bug)[^\n]*\n",
    re.MULTILINE,
)
EXPECTED = re.compile(r"[ \t]*//(?:\[\w+\])?~[^\n]*")


@dataclass(frozen=True)
class Program:
    """A test of the compiler that compiles."""

    path: str
    category: str
    code: str

    @property
    def short_path(self) -> str:
        """The path below the folder of the tests."""
        return re.sub(r"^(?:src/test|tests)/ui/", "", self.path)


def read_programs(path: Path) -> list[Program]:
    """Return the programs of a file that should compile, without test directives. Raises `ValueError`."""
    found: dict[str, Program] = {}
    for number, line in enumerate(read_lines(path), 1):
        try:
            row = json.loads(line)
            test, category, code, result = (text_in(row, name) for name in ("path", "category", "code", "rustc_195"))
            if category not in CATEGORIES:
                raise ValueError(f"category must be one of {', '.join(CATEGORIES)}, got {category!r}")
        except ValueError as error:
            raise ValueError(f"{path} must hold tests of the compiler, row {number} does not: {error}") from error
        code = EXPECTED.sub("", DIRECTIVE.sub("", code)).strip("\n") + "\n"
        if result == "pass" and len(code.encode()) <= MAX_BYTES:
            found.setdefault(code, Program(test, category, code))
    return list(found.values())


def cuts_of(program: str) -> Iterator[tuple[str, str]]:
    """
    Yield prompt and rest of each function with two statements or more, longest first: cut behind half of its
    statements, then, when all functions had their turn, behind the others.
    """
    code = program.encode()
    found = []
    for node in walk(Parser(RUST).parse(code).root_node, skipped=lambda node: node.type == "macro_definition"):
        body = node.child_by_field_name("body") if node.type == "function_item" else None
        if body is None or body.has_error:
            continue
        statements = [child for child in body.named_children if child.type not in NO_STATEMENTS | ITEMS.keys()]
        middle = len(statements) // 2
        for index, (before, after) in enumerate(zip(statements, statements[1:], strict=False), 1):
            end = _end_of_line(code, before, after)
            order = (index != middle, abs(index - middle), -len(statements), end)
            found.append((order, code[:end].decode(), code[body.end_byte :].decode()))
    for _, prompt, rest in sorted(found):
        yield prompt, rest


def _end_of_line(code: bytes, statement: Node, following: Node) -> int:
    """Return the offset behind a statement, and behind its line if the next statement is on another one."""
    line = code.find(b"\n", statement.end_byte) + 1
    return line if 0 < line <= following.start_byte else statement.end_byte


def completions(programs: Iterable[Program]) -> Iterator[dict[str, Any]]:
    """Yield rows of the task `completion`."""
    for program in programs:
        chosen = 0
        for prompt, rest in cuts_of(program.code):
            between = program.code[len(prompt) : len(program.code) - len(rest)]
            row = _row("completion", program, prompt.count("\n") + 1) | {"prompt": prompt, "rest": rest}
            if chosen < CUTS_PER_PROGRAM and completed_function(prompt, between + rest) == between and _valid(row):
                chosen += 1
                yield row | {"rank": chosen}


def repairs(programs: Sequence[Program], verifier: RustVerifier, progress: bool) -> Iterator[dict[str, Any]]:
    """Yield rows of the task `repair`: all edits whose errors are of one category."""
    edits = [(program, edit, edit.applied(program.code)) for program in programs for edit in edits_of(program.code)]
    # In a batch errors of a later phase can be missing, but a program that fails does fail.
    first = verifier.verify([broken for _, _, broken in edits], progress=progress)
    likely = [each for each, verdict in zip(edits, first, strict=True) if category_of(verdict) is not None]
    alone = verifier.verify([broken for _, _, broken in likely], exact=True, progress=progress)
    for (program, edit, broken), verdict in zip(likely, alone, strict=True):
        category = category_of(verdict)
        message = "\n".join(error.rendered.rstrip() + "\n" for error in verdict.diagnostics).replace(ROOT, "main.rs")
        if category is not None and len(verdict.diagnostics) <= MAX_ERRORS and len(message) <= MAX_MESSAGE:
            row = _row("repair", program, program.code.encode()[: edit.start].count(b"\n") + 1, edit)
            errors = list(verdict.error_codes)
            row |= {"category": category, "broken": broken, "message": message, "errors": errors}
            if _valid(row):
                yield row | {"of": program.category}


def category_of(verdict: Verdict) -> str | None:
    """Return the category that all errors of a program are of; None if there is no such category."""
    if verdict.status not in ("compilation_failed", "semantic_error", "invalid_syntax"):
        return None
    found = {error.category for error in verdict.diagnostics}
    return next((name for name, errors in ERRORS_OF.items() if found <= errors), None)


def _row(task: str, program: Program, line: int, edit: ProgramEdit | None = None) -> dict[str, Any]:
    name = f"{task}/{program.short_path}:{line}" + (f": {edit.operator}, {edit.start}" if edit else "")
    row = {"name": name, "task": task, "category": program.category, "reference": program.code}
    row |= {"source": program.path, "origin": ORIGIN, "license": LICENSE}
    return row if edit is None else row | {"operator": edit.operator}


def _valid(row: dict[str, Any]) -> bool:
    """Whether the reference is a solution by the guard, and a model that writes it would be stopped at its end."""
    try:
        problem = problem_of(row)
    except ValueError:
        return False
    completion = end_of_answer(problem.prompt, problem.solution)
    ends = completion is not None and completion.strip() == problem.solution.strip()
    return ends and problem.objection(row["reference"]) is None


def chosen_completions(rows: Iterable[dict[str, Any]], category: str) -> list[dict[str, Any]]:
    """Return the rows of a category, first the first cut of every program."""
    own = [row for row in rows if row["category"] == category]
    return sorted(own, key=lambda row: (row["rank"], _hash(row)))[:PROBLEMS]


def chosen_repairs(rows: Iterable[dict[str, Any]], category: str) -> list[dict[str, Any]]:
    """
    Return rows of a category: first of its own tests, at most two of a program, operators taking turns and none with
    more than a fifth.
    """
    by_operator: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row["of"] != category, _hash(row))):
        if row["category"] == category:
            by_operator[row["operator"]].append(row)
    chosen: list[dict[str, Any]] = []
    programs: Counter[str] = Counter()
    operators: Counter[str] = Counter()
    waiting = {name: iter(each) for name, each in sorted(by_operator.items())}
    while waiting and len(chosen) < PROBLEMS:
        for name in list(waiting):
            row = next((row for row in waiting[name] if programs[row["source"]] < REPAIRS_PER_PROGRAM), None)
            if row is None or operators[name] >= SHARE_OF_OPERATOR * PROBLEMS:
                del waiting[name]
            elif len(chosen) < PROBLEMS:
                chosen.append(row)
                programs[row["source"]] += 1
                operators[name] += 1
    return chosen


def _hash(row: dict[str, Any]) -> str:
    return hashlib.sha256(row["name"].encode()).hexdigest()


def build(tests: Path, verifier: RustVerifier, progress: bool = False) -> list[dict[str, Any]]:
    """Return the rows of all problems; categories and tasks take turns, so that any first rows have all of them."""
    programs = read_programs(tests)
    verdicts = verifier.verify([program.code for program in programs], exact=True, progress=progress)
    programs = [program for program, verdict in zip(programs, verdicts, strict=True) if verdict.ok]
    written, broken = list(completions(programs)), list(repairs(programs, verifier, progress))
    choose = {"completion": (chosen_completions, written), "repair": (chosen_repairs, broken)}
    parts = [choose[task][0](choose[task][1], category) for task in TASKS for category in CATEGORIES]
    rows = [part[index] for index in range(PROBLEMS) for part in parts if index < len(part)]
    return [{name: value for name, value in row.items() if name not in ("rank", "of")} for row in rows]


def write(rows: Iterable[dict[str, Any]], path: Path) -> None:
    """Write rows as JSON lines, compressed without a time, so that equal rows make equal files."""
    with complete_file(path) as partial, partial.open("wb") as raw:
        with gzip.GzipFile("", "wb", mtime=0, fileobj=raw) as file:
            file.writelines(json.dumps(row, sort_keys=True).encode() + b"\n" for row in rows)


def main(arguments: list[str] | None = None) -> int:
    """Build a file of problems; return the exit status."""
    parser = CommandParser(prog="python -m evaluation.suites.rustc.build", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("tests", type=Path, help="file of the compiler's tests, such as rust_tests_ui.jsonl.gz")
    parser.add_argument("out", type=Path, help="file to write, .jsonl.gz")
    parser.add_argument("--cache-dir", type=Path, help="folder that keeps verdicts, so that a killed run goes on")
    options = parser.parse_args(arguments)

    def run() -> int:
        with RustVerifier(EDITION, cache_dir=options.cache_dir) as verifier:
            rows = build(options.tests, verifier, progress=True)
        write(rows, options.out)
        counts = Counter((row["task"], row["category"]) for row in rows)
        for (task, category), count in sorted(counts.items()):
            print(f"{task}, {category}: {count} problems")
        return 0

    return exit_status(parser.prog, run)


if __name__ == "__main__":
    sys.exit(main())
