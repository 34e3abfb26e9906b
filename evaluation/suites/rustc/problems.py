"""Problems of the suite `rustc`: a program to complete from a cut in a function, or to repair after one edit."""

from dataclasses import dataclass
from typing import Any, Literal

from evaluation.rust.syntax.answers import extract_rust
from evaluation.rust.syntax.completion import completed_function
from evaluation.suites.problem_files import text_in
from evaluation.suites.program_suite import Problem
from evaluation.suites.rustc.kept import contents_of, lost
from evaluation.suites.whole_programs import as_comment, completed_file, program_block, shown_program

Category = Literal["borrow_check", "lifetime_errors", "trait_resolution", "macro_expansion"]
CATEGORIES: tuple[Category, ...] = Category.__args__
ERRORS_OF: dict[str, frozenset[str]] = {
    "borrow_check": frozenset({"borrows", "ownership"}),
    "lifetime_errors": frozenset({"lifetimes"}),
    "trait_resolution": frozenset({"traits"}),
    "macro_expansion": frozenset({"macro"}),
}
"""Categories of errors (`evaluation.rust.rustc.semantics.CATEGORIES`) that a broken program of each category has."""
SAYS = "//\n// rustc says:\n"
TASKS = ("completion", "repair")


@dataclass(frozen=True)
class RustcProblem(Problem):
    """
    A program of the compiler's tests to complete or repair.

    Attributes:
        category: One of `CATEGORIES`.
        reference: The original program.
        source: Path of the test in the compiler's repository.
    """

    category: str
    reference: str
    source: str

    task = ""

    @property
    def given(self) -> str:
        """The program as it is shown to the model, with its hole or its error."""
        raise NotImplementedError

    @property
    def chat_prompt(self) -> str:
        """The question for an instruction-tuned model."""
        raise NotImplementedError

    @property
    def solution(self) -> str:
        """The completion that makes the original program."""
        raise NotImplementedError

    def program_of_answer(self, answer: str) -> str:
        """Return the program of a chat model's answer, which is empty if the answer has none."""
        return extract_rust(answer) or ""

    def objection(self, program: str) -> str | None:
        """Return why a program that compiles is no solution; None if it is one."""
        return lost(program, self.given, self.reference)


@dataclass(frozen=True)
class CompletionProblem(RustcProblem):
    """
    The rest of a function's body is to be written.

    Attributes:
        rest: The program behind the function's closing brace.
    """

    rest: str

    task = "completion"

    @property
    def given(self) -> str:
        return f"{self.prompt}}}{self.rest}"

    @property
    def chat_prompt(self) -> str:
        code = f"{self.prompt}    // complete this function\n}}{self.rest}"
        return f"Complete the function with the comment `complete this function` in this program.\n\n{_fenced(code)}"

    @property
    def solution(self) -> str:
        return self.reference[len(self.prompt) : len(self.reference) - len(self.rest)]

    def program(self, completion: str) -> str:
        return self.prompt + completion + self.rest

    def objection(self, program: str) -> str | None:
        """Return why it is no solution; it must also add statements that use a name of the original's rest."""
        loss = super().objection(program)
        if loss is not None:
            return loss
        found, hole, known = contents_of(program), contents_of(self.given), contents_of(self.reference)
        grown = [path for path, size in known.sizes.items() if size > hole.sizes[path]]
        if any(found.sizes[path] <= hole.sizes[path] for path in grown):
            return "adds no statement to the function"
        names = used_names(self.given, self.reference)
        if not any(found.words[name] > hole.words[name] for name in names):
            return f"uses none of the names {', '.join(sorted(names)[:5])}"
        return None


@dataclass(frozen=True)
class RepairProblem(RustcProblem):
    """
    A program that one edit has broken is to be repaired.

    Attributes:
        broken: The program with its error.
        message: The compiler's message.
        operator: The kind of the edit.
    """

    broken: str
    message: str
    operator: str

    task = "repair"

    @property
    def given(self) -> str:
        return self.broken

    @property
    def chat_prompt(self) -> str:
        message = f"```text\n{self.message.rstrip()}\n```"
        return f"Repair this program, and keep all that it does.\n\n{_fenced(self.broken)}\n\nrustc says:\n\n{message}"

    @property
    def solution(self) -> str:
        return self.reference

    def program(self, completion: str) -> str:
        return completion


def _fenced(code: str) -> str:
    return f"```rust\n{code.rstrip()}\n```"


def used_names(given: str, reference: str) -> set[str]:
    """Return the names of a program that the rest of its original uses once more, without one-letter keywords."""
    hole, known = contents_of(given).words, contents_of(reference).words
    return {name for name in known - hole if hole[name] and name not in KEYWORDS}


KEYWORDS = frozenset(
    "as async await break const continue crate dyn else enum extern false fn for if impl in let loop match mod move "
    "mut pub ref return self Self static struct super trait true type unsafe use where while _".split()
)


def repair_prompt(broken: str, message: str) -> str:
    """Return the text that a base model continues with the repaired program."""
    said = as_comment(message.rstrip())
    return f"// This program does not compile.\n{program_block(broken)}{SAYS}{said}//\n// The repaired program:\n\n"


def end_of_answer(prompt: str, completion: str) -> str | None:
    """Return the completion up to the end of the function, or of the file where the prompt shows a whole program."""
    return (completed_file if shown_program(prompt) else completed_function)(prompt, completion)


def problem_of(row: dict[str, Any]) -> CompletionProblem | RepairProblem:
    """Convert a row of a file of problems. Raises `ValueError` for a bad row."""
    name, category, task, reference, source = (
        text_in(row, column) for column in ("name", "category", "task", "reference", "source")
    )
    if category not in CATEGORIES:
        raise ValueError(f"category must be one of {', '.join(CATEGORIES)}, got {category!r}")
    if task == "completion":
        prompt, rest = text_in(row, "prompt"), text_in(row, "rest")
        if not (reference.startswith(prompt) and reference.endswith(rest)) or len(prompt + rest) >= len(reference):
            raise ValueError("reference must begin with prompt, end with rest, and have a text between them")
        problem = CompletionProblem(name, prompt, None, category, reference, source, rest)
        if not used_names(problem.given, reference):
            raise ValueError("the text between prompt and rest must use a name of the program")
        return problem
    if task != "repair":
        raise ValueError(f"task must be one of {', '.join(TASKS)}, got {task!r}")
    broken, message, operator = (text_in(row, column) for column in ("broken", "message", "operator"))
    if broken.strip() == reference.strip():
        raise ValueError("broken must differ from reference")
    return RepairProblem(
        name, repair_prompt(broken, message), None, category, reference, source, broken, message, operator
    )
