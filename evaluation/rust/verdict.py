"""What the verifier says about one piece of Rust: one frozen record for data filters, rewards and benchmarks."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal[
    "valid",  # the compiler accepts it
    "invalid_syntax",  # it does not parse
    "compilation_failed",  # names, macros, attributes, constants, visibility, ...
    "semantic_error",  # types, traits, ownership, borrows, lifetimes
    "tests_failed",  # it compiles; the tests do not fit it, or do not pass
    "timeout",  # the compiler or the program used up its time
    "resource_limit",  # memory, file size or output
    "compiler_crash",  # the compiler died of it
    "refused",  # not compiled: too large, nested too deeply, or against the rules for rewards
    "unavailable",  # the tool failed; says nothing about the code
]
STATUSES: tuple[str, ...] = Status.__args__
Check = Literal["ok", "error", "not_reached"]
CHECKS = ("types", "ownership", "lifetimes")
NOT_REACHED: dict[str, Check] = dict.fromkeys(CHECKS, "not_reached")


@dataclass(frozen=True)
class Diagnostic:
    """One error of the compiler, at its place in the code."""

    code: str | None
    """rustc's error code, such as `E0382`; None for errors without one (syntax, most macro errors)."""
    category: str
    """One of `semantics.CATEGORIES`; `refusal`, `signature`, `tests` or `forgery` for what the judge says beyond the
    compiler.
    """
    message: str
    """rustc's message, one line."""
    line: int | None = None
    """1-based line of the primary span; for an error inside a macro, of the macro's call. None without a place."""
    column: int | None = None
    """1-based column, counted in characters."""
    rendered: str = ""
    """The message as rustc prints it, with the code it points at."""


@dataclass(frozen=True)
class CodeMetadata:
    """Sizes of a piece of code, counted on its syntax tree (`evaluation.rust.syntax.analysis` defines each)."""

    complexity: int
    unsafe_blocks: int
    lifetime_complexity: int
    trait_bounds: int
    functions: int
    nesting: int
    bytes: int
    difficulty: float
    """In [0, 1]."""


@dataclass(frozen=True)
class Verdict:
    """The outcome for one code. `status` and `checks` are rustc's answer; nothing here is a guess of ours."""

    status: Status
    checks: dict[str, Check]
    """`types`, `ownership` and `lifetimes`: `ok`, `error`, or `not_reached` when an earlier phase failed."""
    diagnostics: tuple[Diagnostic, ...] = ()
    metadata: CodeMetadata | None = None
    """None when the code was not parsed: too large, or not UTF-8."""
    tests_passed: int = 0
    tests_total: int = 0
    external: bool = False
    """The only errors are crates or files that the code uses and does not bring."""
    edition: str = "2021"
    rustc: str = ""
    """Version of the compiler, such as `1.95.0`."""
    sandbox_level: int = 0
    """`Sandbox.level` the compiler ran under."""
    seconds: float = 0.0
    """Wall time; for a code verified in a batch, its share of the batch."""
    cached: bool = False
    """Read from the cache or decided by an equal code of the same call."""
    notes: tuple[str, ...] = ()
    """What the judge changed in the code before it was compiled with its tests."""

    def __post_init__(self):
        if self.status not in STATUSES:
            raise ValueError(f"status must be one of {', '.join(STATUSES)}, got {self.status!r}")
        if tuple(sorted(self.checks)) != tuple(sorted(CHECKS)):
            raise ValueError(f"checks must have the keys {', '.join(CHECKS)}, got {sorted(self.checks)}")

    @property
    def ok(self) -> bool:
        """The code compiles, and passes all its tests when it has some."""
        return self.status == "valid"

    @property
    def error_codes(self) -> tuple[str, ...]:
        """rustc's error codes, sorted, each once; `NOCODE` stands for errors without one."""
        return tuple(sorted({diagnostic.code or "NOCODE" for diagnostic in self.diagnostics}))

    def to_dict(self) -> dict[str, Any]:
        """A dictionary of JSON values; `from_dict` turns it back into an equal verdict."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values["notes"] = list(self.notes)
        values["diagnostics"] = [vars(diagnostic).copy() for diagnostic in self.diagnostics]
        values["metadata"] = None if self.metadata is None else vars(self.metadata).copy()
        values["checks"] = dict(self.checks)
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Verdict":
        """Raises `ValueError` or `TypeError` when `values` is not what `to_dict` writes."""
        diagnostics = tuple(Diagnostic(**diagnostic) for diagnostic in values["diagnostics"])
        metadata = None if values["metadata"] is None else CodeMetadata(**values["metadata"])
        return cls(**{**values, "diagnostics": diagnostics, "notes": tuple(values["notes"]), "metadata": metadata})
