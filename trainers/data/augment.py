"""Variants of verified Rust that mean the same: other names, another order, another form, other annotations.

A variant is kept when the compiler accepts it and it passes the tests of the original, if it has any; only originals
that do so themselves are varied. Tests are never varied.
"""

import hashlib
import json
import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rich.table import Table

from evaluation.progress import show_progress
from evaluation.rust import HiddenTests, RustVerifier, Verdict
from evaluation.rust.judge.appended import AppendedTests
from trainers.data.kept import keep_verified, read_kept
from trainers.data.rewriting.annotations import Probe, probe_types, vary_types
from trainers.data.rewriting.bindings import parse, text
from trainers.data.rewriting.forms import alternative_forms
from trainers.data.rewriting.renaming import plausible_names, rename
from trainers.data.rewriting.reordering import reorder
from trainers.data.rows import verified_row
from trainers.data.sources import Document
from trainers.data.verify import decided

KINDS = ("alpha", "reorder", "forms", "annotations")
SOURCE = "augmented"


@dataclass(frozen=True)
class Augmentation:
    """
    Which variants to make.

    Attributes:
        shares: Of the originals that are varied, by kind; a kind that is not named is off.
        seed: Another seed gives other variants.
    """

    shares: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(KINDS, 1.0))
    seed: int = 0

    def __post_init__(self):
        for kind, share in self.shares.items():
            if kind not in KINDS:
                raise ValueError(f"a kind of variant must be one of {', '.join(KINDS)}, got {kind!r}")
            if not (isinstance(share, int | float) and math.isfinite(share) and 0 <= share <= 1):
                raise ValueError(f"the share of {kind} must be from 0 to 1, got {share!r}")

    def takes(self, key: str, kind: str) -> bool:
        """Whether the original of this key is varied so."""
        return self.pick(key, kind, "taken").random() < self.shares.get(kind, 0.0)

    def pick(self, key: str, kind: str, what: str = "varied") -> random.Random:
        """Decides about one variant, independently of all others."""
        return random.Random(f"{self.seed} {key} {kind} {what}")


@dataclass(frozen=True)
class Original:
    """A text to vary, and the tests that its variants must pass."""

    key: str
    code: str
    tests: str | HiddenTests | None = None

    @classmethod
    def of(cls, code: str, key: str | None = None) -> "Original":
        """
        Takes test modules out of the code. Tests that only a macro makes cannot be told apart and stay in it, unused.

        Raises:
            ValueError: The code does not parse.
        """
        encoded, parts, start = code.encode(), [], None
        for node in parse(code).named_children:
            if node.type == "attribute_item":
                start = node.start_byte if start is None and "cfg(test)" in text(node) else start
                continue
            if start is not None and node.type == "mod_item" and "#[test]" in text(node):
                parts.append((start, node.end_byte))
            start = None
        tests = b"\n".join(encoded[first:last] for first, last in parts).decode() + "\n"
        key = key or hashlib.sha256(code.encode()).hexdigest()[:16]
        try:
            AppendedTests.read(tests)
        except ValueError:
            return cls(key, code)
        for first, last in reversed(parts):
            encoded = encoded[:first] + encoded[last:]
        return cls(key, encoded.decode().rstrip() + "\n", tests)

    def with_tests(self, code: str) -> str:
        """A variant of the code with the tests behind it."""
        return f"{code}\n{self.tests}" if isinstance(self.tests, str) else code


@dataclass(frozen=True)
class Variant:
    """What came of one original and one kind; without a code, the kind does not apply."""

    original: Original
    kind: str
    code: str | None = None
    verdict: Verdict | None = None

    @property
    def kept(self) -> bool:
        """Whether it compiles and passes the tests."""
        return self.verdict is not None and self.verdict.ok


def make_variants(
    wanted: Sequence[tuple[Original, str]], augmentation: Augmentation, verifier: RustVerifier
) -> list[Variant]:
    """
    A variant for each original and kind; those whose original is not valid have no code.

    Raises:
        ValueError: A code does not parse.
        CodeExecutionNotAllowed: For originals with tests, without `HF_ALLOW_CODE_EVAL=1`.
    """
    originals = list({original.key: original for original, _ in wanted}.values())
    tests = [each.tests for each in originals]
    verdicts = decided(verifier.verify([each.code for each in originals], tests, trusted=True))
    valid = {each.key for each, verdict in zip(originals, verdicts, strict=True) if verdict.ok}
    codes: dict[int, str] = {}
    probes: dict[int, Probe] = {}
    for index, (original, kind) in enumerate(wanted):
        if original.key not in valid:
            continue
        if kind == "annotations":
            probe = probe_types(original.code)
            if probe is not None:
                probes[index] = probe
            continue
        made = _VARY[kind](original.code, augmentation.pick(original.key, kind))
        if made is not None and made != original.code:
            codes[index] = made
    answers = decided(verifier.verify([probe.code for probe in probes.values()]))
    for (index, probe), answer in zip(probes.items(), answers, strict=True):
        original, kind = wanted[index]
        made = vary_types(original.code, probe, answer, augmentation.pick(original.key, kind))
        if made is not None:
            codes[index] = made
    tests = [wanted[index][0].tests for index in codes]
    reached = dict(zip(codes, decided(verifier.verify(list(codes.values()), tests, trusted=True)), strict=True))
    return [Variant(*pair, codes.get(index), reached.get(index)) for index, pair in enumerate(wanted)]


def _alpha(code: str, pick: random.Random) -> str:
    return rename(code, plausible_names(pick))


_VARY: dict[str, Callable[[str, random.Random], str | None]] = {
    "alpha": _alpha,
    "reorder": reorder,
    "forms": alternative_forms,
}


@dataclass
class Tally:
    """What was tried and what came of it."""

    originals: int = 0
    wanted: Counter = field(default_factory=Counter)
    applied: Counter = field(default_factory=Counter)
    passed: Counter = field(default_factory=Counter)
    kept: int = 0

    def count(self, variants: Sequence[Variant]) -> None:
        """Adds these."""
        for variant in variants:
            self.wanted[variant.kind] += 1
            self.applied[variant.kind] += variant.code is not None
            self.passed[variant.kind] += variant.kept

    def table(self) -> Table:
        """A line for each kind."""
        table = Table(title=f"Variants of {self.originals:,} texts", title_justify="left")
        for column in ("kind", "tried", "applies", "of them pass", "not kept"):
            table.add_column(column, justify="left" if column == "kind" else "right")
        for kind in self.wanted:
            wanted, applied, passed = self.wanted[kind], self.applied[kind], self.passed[kind]
            shares = f"{applied / wanted:.1%}", f"{passed / applied:.1%}" if applied else "-"
            table.add_row(kind, f"{wanted:,}", *shares, f"{applied - passed:,}")
        return table


def read_originals(path: Path) -> list[tuple[Original, dict[str, Any]]]:
    """
    The texts of a file with their rows: JSON lines with a column `code`, or one file of Rust. The hidden tests of
    tasks, in the columns `signature` and `checker`, are their tests.

    Raises:
        ValueError: A row has no code, or one that does not parse; says which.
    """
    if path.suffix == ".rs":
        rows = [{"code": path.read_text(encoding="utf-8")}]
    else:
        lines = path.read_text(encoding="utf-8").splitlines()
        rows = []
        for number, line in enumerate(lines, 1):
            try:
                rows.append(json.loads(line))
            except ValueError:
                rows.append(None)
            if not isinstance(rows[-1], dict) or not isinstance(rows[-1].get("code"), str):
                raise ValueError(f"{path} must hold rows with a column code; line {number} has none")
    found = []
    for number, row in enumerate(rows, 1):
        try:
            original = Original.of(row["code"], row.get("id"))
            if original.tests is None and "checker" in row and "signature" in row:
                original = Original(original.key, original.code, HiddenTests(row["signature"], row["checker"]))
        except ValueError as error:
            raise ValueError(f"{path} must hold Rust that can be varied; line {number}: {error}") from None
        found.append((original, row))
    if not found:
        raise ValueError(f"{path} must hold rows with a column code, got none")
    return found


def augment_file(
    path: Path,
    out: Path,
    augmentation: Augmentation,
    verifier: RustVerifier,
    shown: bool = False,
) -> Tally:
    """
    Writes the variants that pass; continues what an interrupted, equal call left.

    Args:
        path: What `read_originals` reads.
        out: A file of JSON lines.
        augmentation: Which variants.
        verifier: Compiles and runs.
        shown: Show how far it is.

    Returns:
        What came of those that this call tried, and how many rows the file has.

    Raises:
        ValueError: Something is wrong with the file, or `out` holds variants of other settings.
    """
    originals = read_originals(path)
    read_kept(out)
    wanted = [
        (original, row, kind)
        for original, row in originals
        for kind in KINDS
        if augmentation.takes(original.key, kind)
    ]
    tally = Tally(originals=len(originals))

    def identify(candidate: tuple[Original, dict[str, Any], str]) -> str:
        original, _, kind = candidate
        return hashlib.sha256(f"{augmentation.seed} {original.key} {kind}".encode()).hexdigest()[:16]

    def verify(batch: Sequence[tuple[Original, dict[str, Any], str]]) -> list[dict[str, Any] | None]:
        variants = make_variants([(original, kind) for original, _, kind in batch], augmentation, verifier)
        tally.count(variants)
        return [
            _row_of(identify(candidate), candidate[1], variant) if variant.kept else None
            for candidate, variant in zip(batch, variants, strict=True)
        ]

    with show_progress("Varying", len(wanted), "variants", shown=shown) as advance:
        tally.kept = keep_verified(out, iter(wanted), identify, verify, advance=advance)
    return tally


def _row_of(identity: str, row: Mapping[str, Any], variant: Variant) -> dict[str, Any]:
    """The variant as a row that says what it was made from."""
    code = variant.original.with_tests(variant.code)
    license = str(row.get("license", "unknown"))
    made = Document(identity, SOURCE, f"{row.get('source', 'file')}/{variant.original.key}", "file", license, code)
    return verified_row(made, variant.verdict, mix=str(row.get("mix", "")), variant=variant.kind)


def augment_documents(
    rows: Sequence[Document], augmentation: Augmentation, verifier: RustVerifier, largest: int = 20_000
) -> list[Document]:
    """
    Verified variants of rows that parse, as rows of the source "augmented".

    Args:
        rows: To vary.
        augmentation: Which variants.
        verifier: Compiles and runs.
        largest: Texts of more bytes are left alone.
    """
    wanted = []
    for row in rows:
        kinds = [kind for kind in KINDS if augmentation.takes(row.id, kind)]
        if not kinds or len(row.code.encode()) > largest:
            continue
        try:
            original = Original.of(row.code, row.id)
        except ValueError:
            continue
        wanted += [(row, original, kind) for kind in kinds]
    variants = make_variants([pair for _, *pair in wanted], augmentation, verifier)
    make = partial(Document.of, SOURCE)
    return [
        make(f"{row.source}/{row.path}", row.kind, row.license, variant.original.with_tests(variant.code))
        for (row, _, _), variant in zip(wanted, variants, strict=True)
        if variant.kept
    ]
