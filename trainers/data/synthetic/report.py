"""Statistics of sets of Rust code that can be compared: variety, names and difficulty."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from evaluation.rust.syntax.analysis import analyze, level
from evaluation.rust.syntax.nodes import walk
from trainers.data.rewriting.bindings import parse, text
from trainers.data.rewriting.renaming import canonical
from trainers.data.sources import read_rust_by_example, toolchain_docs

LITERALS = re.compile(r"\d[\w.]*|[\"'].*", re.DOTALL)
COMPLEXITIES = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True)
class Figures:
    """
    Statistics of a set of programs.

    Attributes:
        texts: Number of programs.
        unparsed: Number of programs with syntax errors, which are ignored in all other statistics.
        bytes: Total size of the other programs.
        distinct: Number of distinct canonical token sequences.
        distinct_masked: Number of distinct sequences if all literals are treated as equal.
        identifiers: Number of distinct names.
        methods: Number of distinct names of called methods, most of them from the standard library.
        paths: Number of distinct paths, such as `Vec::new`.
        complexity: Number of programs by cyclomatic complexity of all their functions: at most 1, 2, 4 ...
        levels: Number of programs by difficulty.
    """

    texts: int
    unparsed: int
    bytes: int
    distinct: int
    distinct_masked: int
    identifiers: int
    methods: int
    paths: int
    complexity: dict[str, int]
    levels: dict[str, int]


def measure(codes: Iterable[str]) -> Figures:
    """Compute the statistics of these programs."""
    texts = unparsed = size = 0
    whole, masked = set(), set()
    identifiers, methods, paths = set(), set(), set()
    complexity, levels = Counter(), Counter()
    for code in codes:
        texts += 1
        try:
            root = parse(code)
        except ValueError:
            unparsed += 1
            continue
        size += len(code.encode())
        tokens = canonical(code)
        whole.add(tokens)
        masked.add(tuple("0" if LITERALS.fullmatch(token) else token for token in tokens))
        for node in walk(root):
            if node.type in ("identifier", "type_identifier", "field_identifier", "shorthand_field_identifier"):
                identifiers.add(text(node))
            function = node.child_by_field_name("function")
            if function is not None and function.type == "field_expression":
                methods.add(text(function.child_by_field_name("field")))
            if node.type == "scoped_identifier":
                paths.add(re.sub(r"\s|::<.*?>", "", text(node)))
        metadata = analyze(code).metadata
        bound = next((each for each in COMPLEXITIES if metadata.complexity <= each), None)
        complexity[f"at most {bound}" if bound else f"above {COMPLEXITIES[-1]}"] += 1
        levels[level(metadata.difficulty)] += 1
    return Figures(
        texts,
        unparsed,
        size,
        len(whole),
        len(masked),
        len(identifiers),
        len(methods),
        len(paths),
        dict(complexity),
        dict(levels),
    )


def read_codes(path: Path) -> list[str]:
    """
    Read the column `code` of a file of JSON lines.

    Raises:
        ValueError: A line does not have it.
    """
    codes = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            codes.append(str(json.loads(line)["code"]))
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{path} must hold rows with a column code; line {number} has none") from None
    return codes


def measure_files(paths: Sequence[Path]) -> list[tuple[str, Figures]]:
    """
    Measure data files, and Rust by Example if the documentation of the Rust toolchain is installed.

    Returns:
        Name and statistics of each.

    Raises:
        ValueError: A line of a file has no column `code`.
    """
    measured = [(path.stem, measure(read_codes(path))) for path in paths]
    docs = toolchain_docs()
    if docs is not None:
        measured.append(("Rust by Example", measure(each.code for each in read_rust_by_example(docs))))
    return measured


def comparison(sets: Sequence[tuple[str, Figures]]) -> Table:
    """Return a table of the sets side by side, with shares of the programs that parse."""
    table = Table(title="Statistics", title_justify="left")
    table.add_column("statistic", no_wrap=True)
    for name, _ in sets:
        table.add_column(name, justify="right", overflow="fold")

    def row(title: str, values: Iterable[str]) -> None:
        table.add_row(title, *values)

    parsed = [(figures, max(1, figures.texts - figures.unparsed)) for _, figures in sets]
    row("programs", (f"{figures.texts:,}" for figures, _ in parsed))
    row("with syntax errors", (f"{figures.unparsed:,}" for figures, _ in parsed))
    row("bytes per program", (f"{figures.bytes / count:,.0f}" for figures, count in parsed))
    row("distinct", (f"{figures.distinct / count:.1%}" for figures, count in parsed))
    row("distinct, literals masked", (f"{figures.distinct_masked / count:.1%}" for figures, count in parsed))
    row("identifiers", (f"{figures.identifiers:,}" for figures, _ in parsed))
    row("called methods", (f"{figures.methods:,}" for figures, _ in parsed))
    row("paths", (f"{figures.paths:,}" for figures, _ in parsed))
    for title, column, names in (
        ("complexity", "complexity", [*(f"at most {bound}" for bound in COMPLEXITIES), f"above {COMPLEXITIES[-1]}"]),
        ("difficulty", "levels", ["easy", "medium", "hard"]),
    ):
        for name in names:
            shares = ((getattr(figures, column).get(name, 0) / count, count) for figures, count in parsed)
            row(f"{title} {name}", (f"{share:6.1%} {'█' * round(10 * share):<10}" for share, _ in shares))
    return table
