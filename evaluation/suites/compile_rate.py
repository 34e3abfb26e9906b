"""
The share of completions that compile, on prompts with a required signature.

The problems are `compile_rate.rs` beside this file: each gives a description and a signature, and has a reference that
compiles. A completion counts when the function is there with this signature, the compiler accepts it, and it is no
empty success: the rules of the reward refuse `todo!()`, bodies that only end the program, and what else an honest
solution does not need. Whether it does what the description says is not asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tree_sitter import Node, Parser

from evaluation.generate import Prompt
from evaluation.rust import HiddenTests, RustVerifier, Verdict
from evaluation.rust.syntax.analysis import RUST
from evaluation.rust.syntax.answers import extract_rust
from evaluation.rust.syntax.completion import completed_function
from evaluation.rust.syntax.merging import merged_program
from evaluation.scoring import check_solutions, verify_samples

NAME = "compilation_success_rate"
FILE = Path(__file__).with_suffix(".rs")
TYPES = {"struct_item": "struct {};", "enum_item": "enum {} {{}}", "trait_item": "trait {} {{}}"}


@dataclass(frozen=True)
class Problem:
    """
    One function to write.

    Attributes:
        name: Of the function.
        prompt: Imports, types, description and the open function.
        required: What must be defined.
        reference: A body that compiles.
    """

    name: str
    prompt: str
    required: HiddenTests
    reference: str

    def answered(self, answer: str) -> str:
        """The program of a chat model's answer; one that is not finished leaves the function open."""
        code = extract_rust(answer)
        return self.prompt if code is None else merged_program(self.prompt, code)


def read_problems() -> list[Problem]:
    """The committed problems, in their order."""
    code = FILE.read_bytes()
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
            problems.append(Problem(name, prompt, _required(items), reference))
            start, items = node.end_byte, []
    return problems


def _required(items: Sequence[Node]) -> HiddenTests:
    """The declarations of a problem: its imports, the names of its types, its function without a body."""
    declarations = [item.text.decode() for item in items if item.type == "use_declaration"]
    for item in items:
        if item.type in TYPES:
            declarations.append(TYPES[item.type].format(item.child_by_field_name("name").text.decode()))
    function = items[-1]
    body = function.child_by_field_name("body")
    head = function.text[: body.start_byte - function.start_byte].decode().strip().rstrip(",")
    return HiddenTests("\n".join([*declarations, f"{head};"]), "")


class CompileRate:
    """The benchmark: what a model continues, what must hold before, and what the completions are worth."""

    name = NAME
    metric = "compiles"
    edition = "2021"
    stop = staticmethod(completed_function)

    def __init__(self, problems: Sequence[Problem], chat: bool = False):
        self.chat = chat
        self.problems = problems
        self.names = [problem.name for problem in problems]

    def prompts(self) -> list[Prompt]:
        """What a model continues."""
        return [Prompt(problem.name, problem.prompt) for problem in self.problems]

    def verify(
        self,
        completions: Sequence[Sequence[str]],
        verifier: RustVerifier,
        trusted: bool = False,
        progress: bool = False,
    ) -> list[list[Verdict]]:
        """By the rules of the reward, of each problem's completions, or answers if `chat`; see `verify_samples`."""
        pairs = zip(self.problems, completions, strict=True)
        programs = [
            [problem.answered(text) if self.chat else problem.prompt + text for text in each]
            for problem, each in pairs
        ]
        required = [problem.required for problem in self.problems]
        return verify_samples(verifier, programs, required, rules="reward", trusted=trusted, progress=progress)

    def check_gold(self, verifier: RustVerifier, progress: bool = False) -> None:
        """
        Raises:
            GoldFailed: A reference does not compile, or a body that does nothing counts.
        """
        completing = CompileRate(self.problems)
        references = [[problem.reference] for problem in self.problems]
        check_solutions(self.names, completing.verify(references, verifier, trusted=True, progress=progress))
        stubs = [["    todo!()\n}\n"] for _ in self.problems]
        check_solutions(self.names, completing.verify(stubs, verifier, progress=progress), passes=False)
