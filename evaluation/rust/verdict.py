"""The verdict on one code snippet: a frozen record for data filters, rewards and benchmarks."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, get_args

Status = Literal[
    "valid",  # it compiles and passes its tests
    "invalid_syntax",  # it does not parse
    "compilation_failed",  # errors in names, macros, attributes, constants, visibility, ...
    "semantic_error",  # errors in types, traits, ownership, borrows, lifetimes
    "tests_failed",  # it compiles, but does not match the tests' signature or does not pass them
    "timeout",  # the compiler or the program reached its time limit
    "resource_limit",  # the compiler or the program reached a limit on memory, file size or output
    "compiler_crash",  # the compiler crashed
    "refused",  # too large, nested too deeply, or against the reward rules
    "unfinished",  # a model's completion reached its token limit before its end; given by suites, not by the verifier
    "unavailable",  # the compiler, the sandbox or the machine failed: says nothing about the code
]
STATUSES: tuple[str, ...] = get_args(Status)
Check = Literal["ok", "error", "not_reached"]
CHECKS = ("types", "ownership", "lifetimes")
NOT_REACHED: dict[str, Check] = dict.fromkeys(CHECKS, "not_reached")


@dataclass(frozen=True)
class Diagnostic:
    """One error of the compiler or the judge, with its place in the code."""

    code: str | None
    """rustc's error code, such as `E0382`; None for errors without one (syntax, most macro errors)."""
    category: str
    """One of `rustc.semantics.CATEGORIES` for errors of the compiler; `refusal`, `signature`, `tests` or `forgery` for
    errors of the judge.
    """
    message: str
    """rustc's message, one line."""
    line: int | None = None
    """Line of the primary span, counted from 1; inside a macro, that of the macro's invocation. None if the error has
    no place.
    """
    column: int | None = None
    """Column in characters, counted from 1."""
    rendered: str = ""
    """The message as rustc prints it, with the code it points at."""
    replacements: tuple[tuple[int, int, str], ...] = ()
    """The compiler's suggestion, if it is sure of it (`MachineApplicable`): first and last byte in the code, and the
    text between them.
    """


@dataclass(frozen=True)
class CodeMetadata:
    """Measures of a code snippet, counted on its syntax tree (`evaluation.rust.syntax.analysis` defines each)."""

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
    """Result of verifying one code snippet. `status` and `checks` come from rustc, never from a heuristic."""

    status: Status
    checks: dict[str, Check]
    """`types`, `ownership` and `lifetimes`: `ok`, `error`, or `not_reached` when an earlier phase failed."""
    diagnostics: tuple[Diagnostic, ...] = ()
    metadata: CodeMetadata | None = None
    """None if the code was not parsed because it is too large or not UTF-8."""
    tests_passed: int = 0
    tests_total: int = 0
    external: bool = False
    """Whether all errors are about other crates or files that the code uses."""
    edition: str = "2021"
    rustc: str = ""
    """Version of the compiler, such as `1.95.0`."""
    sandbox_level: int = 0
    """`Sandbox.level` that the compiler ran under."""
    seconds: float = 0.0
    """Wall time; in a batch, the snippet's share of it."""
    cached: bool = False
    """Whether the verdict was read from the cache, or copied from an equal snippet of the same call."""
    notes: tuple[str, ...] = ()
    """Changes that the judge made to the code before it was compiled with its tests."""

    def __post_init__(self):
        if self.status not in STATUSES:
            raise ValueError(f"status must be one of {', '.join(STATUSES)}, got {self.status!r}")
        if tuple(sorted(self.checks)) != tuple(sorted(CHECKS)):
            raise ValueError(f"checks must have the keys {', '.join(CHECKS)}, got {sorted(self.checks)}")

    @property
    def ok(self) -> bool:
        """Whether the code compiles and passes its tests, if it has any."""
        return self.status == "valid"

    @property
    def error_codes(self) -> tuple[str, ...]:
        """Distinct error codes of rustc, sorted; `NOCODE` stands for errors without one."""
        return tuple(sorted({diagnostic.code or "NOCODE" for diagnostic in self.diagnostics}))

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary of JSON values; `from_dict` turns it back into an equal verdict."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values["notes"] = list(self.notes)
        values["diagnostics"] = [vars(diagnostic).copy() for diagnostic in self.diagnostics]
        values["metadata"] = None if self.metadata is None else vars(self.metadata).copy()
        values["checks"] = dict(self.checks)
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Verdict":
        """
        Return the verdict that `to_dict` wrote.

        Raises:
            KeyError, TypeError, ValueError: The values are not those of a verdict.
        """
        fields = dict(values)
        fields["diagnostics"] = tuple(
            Diagnostic(**diagnostic | {"replacements": tuple(map(tuple, diagnostic["replacements"]))})
            for diagnostic in values["diagnostics"]
        )
        fields["metadata"] = None if values["metadata"] is None else CodeMetadata(**values["metadata"])
        fields["notes"] = tuple(values["notes"])
        return cls(**fields)
