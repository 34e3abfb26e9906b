"""
The share of completions that compile, on prompts with a required signature.

The problems are in `compile_rate.rs` beside this file: each gives a description and a signature, and has a reference
that compiles. A completion counts when the function has this signature, the compiler accepts it, and its body is not
empty: the rules of the reward refuse `todo!()`, bodies that only end the program, and whatever else an honest solution
does not need. Whether it does what the description says is not tested.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from tree_sitter import Node, Parser

from evaluation.rust import HiddenTests, RustVerifier, Verdict
from evaluation.rust.syntax.analysis import RUST
from evaluation.rust.verdict import CHECKS
from evaluation.scoring import check_solutions
from evaluation.suites.program_suite import Problem, ProgramSuite

FILE = Path(__file__).with_suffix(".rs")
TYPES = {"struct_item": "struct {};", "enum_item": "enum {} {{}}", "trait_item": "trait {} {{}}"}


@dataclass(frozen=True)
class CompileRateProblem(Problem):
    """
    A function with a signature to keep.

    Attributes:
        name: Of the function.
        prompt: Imports, types, description and the open function.
        tests: What must be defined; without test cases.
        reference: A body that compiles.
    """

    tests: HiddenTests
    reference: str


def _problems_in(code: bytes) -> list[CompileRateProblem]:
    problems, start, items = [], 0, []
    for node in Parser(RUST).parse(code).root_node.named_children:
        if not problems and node.type == "line_comment" and not node.text.startswith(b"///"):
            start = node.end_byte
            continue
        items.append(node)
        if node.type == "function_item":
            body = node.child_by_field_name("body")
            prompt = code[start : body.start_byte + 1].decode().strip() + "\n"
            name = node.child_by_field_name("name").text.decode()
            reference = code[body.start_byte + 1 : node.end_byte].decode()
            problems.append(CompileRateProblem(name, prompt, _required(items), reference))
            start, items = node.end_byte, []
    return problems


def _required(items: Sequence[Node]) -> HiddenTests:
    """Return the declarations of a problem: its imports, the names of its types, its function without a body."""
    declarations = [item.text.decode() for item in items if item.type == "use_declaration"]
    for item in items:
        if item.type in TYPES:
            declarations.append(TYPES[item.type].format(item.child_by_field_name("name").text.decode()))
    function = items[-1]
    body = function.child_by_field_name("body")
    head = function.text[: body.start_byte - function.start_byte].decode().strip().rstrip(",")
    return HiddenTests("\n".join([*declarations, f"{head};"]), "")


class CompileRate(ProgramSuite):
    """Share of completions that compile: compiles@k over 104 problems."""

    problems: Sequence[CompileRateProblem]

    name = "compile-rate"
    benchmark = "compilation_success_rate"
    title = "Functions that compile"
    metric = "compiles"
    rules = "reward"
    training_metric = "compiles"
    runs_programs = False
    may_leave_out = False

    @classmethod
    def read(cls, path: Path | None = None, skip_bad_rows: bool = False) -> Self:
        """Return the suite with its own problems, or with those of another file in the form of `compile_rate.rs`."""
        problems = _problems_in((path or FILE).read_bytes())
        if not problems:
            raise ValueError(f"the problems of {cls.name} must be functions in a Rust file, got none in {path}")
        return cls(problems, source=path)

    def check_gold(self, verifier: RustVerifier, progress: bool = False) -> None:
        """
        Check that every reference compiles, and that the body `todo!()` does not count.

        Raises:
            GoldFailed: Names the problems where that is not so.
        """
        suite = replace(self, chat=None)
        references = [[problem.reference] for problem in self.problems]
        check_solutions(self.names, suite.verify(references, verifier, trusted=True, progress=progress))
        stubs = [["    todo!()\n}\n"] for _ in self.problems]
        check_solutions(self.names, suite.verify(stubs, verifier, progress=progress), passes=False)

    def extra_training_metrics(self, verdicts: Sequence[Verdict]) -> dict[str, float]:
        """Return `compiler_checks`, the share of the compiler's checks (types, ownership, lifetimes) that hold."""
        held = [verdict.checks[check] == "ok" for verdict in verdicts for check in CHECKS]
        return {"compiler_checks": sum(held) / len(held)}
