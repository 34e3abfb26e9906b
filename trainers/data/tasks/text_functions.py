"""
Tasks from text whose completions only have to compile: its documented functions that need nothing but the standard
library to be declared.
"""

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice

from tree_sitter import Node, Parser

from evaluation.rust import RustVerifier
from evaluation.rust.judge.refusals import refusals
from evaluation.rust.syntax.analysis import RUST
from evaluation.rust.syntax.declarations import read_declarations
from evaluation.rust.syntax.nodes import field, name_of, node_bytes, node_text
from trainers.data.benchmark_problems import Benchmark
from trainers.data.code_tokens import without_tests
from trainers.data.function_signatures import FUNCTION
from trainers.data.sources.document import COMPILE_FAIL, Document
from trainers.data.tasks.task import Task
from trainers.data.verify import decided

FAMILY = "text"
MAX_CHARACTERS = 800
"""Of a prompt, about 200 tokens."""
BATCH = 512
_PATH_OF_STD = re.compile(r"(?:std|core)\b")


def text_functions(documents: Iterable[Document], excluded: Collection[str] = ()) -> Iterator[Task]:
    """
    Yield a task for each function with a doc comment, a parameter and a return type that is no method and not unsafe,
    async or external. The prompt has the comment's first paragraph, and the imports from the standard library that the
    signature names. The solution is the function's own body, which may need other items of its file.

    Args:
        documents: The text. Tests in it are left out.
        excluded: Names of functions to leave out.
    """
    parser, seen = Parser(RUST), set()
    for document in documents:
        if document.kind == COMPILE_FAIL or "///" not in document.code:
            continue
        root = parser.parse(without_tests(document.code).encode()).root_node
        for container, comment, function in _documented(root):
            name = name_of(function)
            if name in excluded or (task := _task(container, comment, function)) is None:
                continue
            # Copies of a function differ in spaces and comments.
            key = (name, "".join(task.signature.split()))
            if key not in seen:
                seen.add(key)
                yield task


def compilable(
    tasks: Iterable[Task], count: int, verifier: RustVerifier, advance: Callable[[int], None] = lambda done: None
) -> list[Task]:
    """
    Return the first tasks whose declarations compile without the rest of their files, and that a body can complete.

    Args:
        tasks: Tasks in any number; no more are read than needed.
        count: Maximum number of tasks.
        verifier: Compiles the declarations with the body `todo!()`.
        advance: Called with the number of tasks that were just found.
    """
    found: list[Task] = []
    remaining = iter(tasks)
    while len(found) < count and (some := list(islice(remaining, BATCH))):
        verdicts = decided(verifier.verify([task.prompt + "    todo!()\n}\n" for task in some]))
        declared = [task for task, verdict in zip(some, verdicts, strict=True) if verdict.ok]
        possible = [
            task for task in declared if not refusals((task.prompt + "}").encode(), task.tests, continued=True)
        ]
        new = possible[: count - len(found)]
        found += new
        advance(len(new))
    return found


def functions_asked(benchmarks: Iterable[Benchmark]) -> set[str]:
    """Return the names of all functions that the problems of benchmarks ask for, if scores are reported for these."""
    problems = (problem for benchmark in benchmarks if benchmark.scored for problem in benchmark.problems)
    return {name for problem in problems for name in FUNCTION.findall(problem.asked)}


def _documented(root: Node) -> Iterator[tuple[Node, list[Node], Node]]:
    """Yield the functions of a file and its modules, each with the file or module and the lines of the doc comment."""
    containers = [root]
    while containers:
        container = containers.pop()
        comment: list[Node] = []
        for node in container.named_children:
            if node.type == "line_comment":
                # Four slashes begin an ordinary comment.
                if re.match(rb"///(?!/)", node_bytes(node)):
                    comment.append(node)
                continue
            if node.type == "attribute_item":
                continue
            if node.type == "function_item" and comment:
                yield container, comment, node
            elif node.type == "mod_item" and (body := node.child_by_field_name("body")) is not None:
                containers.append(body)
            comment = []


def _task(container: Node, comment: Sequence[Node], function: Node) -> Task | None:
    parameters, result = field(function, "parameters"), function.child_by_field_name("return_type")
    if result is None or not any(child.type == "parameter" for child in parameters.named_children):
        return None
    if any(child.type == "function_modifiers" and node_bytes(child) != b"const" for child in function.children):
        return None
    description = _first_paragraph(comment)
    if not description or function.has_error:
        return None
    body = field(function, "body")
    start = next(child.start_byte for child in function.children if child.type == "fn")
    head = node_bytes(function)[start - function.start_byte : body.start_byte - function.start_byte].decode().strip()
    imports = _imports(container, head)
    prompt = "\n".join([*imports, *([""] if imports else []), *description, head.rstrip(",") + " {"]) + "\n"
    if len(prompt) > MAX_CHARACTERS:
        return None
    return Task(
        id=hashlib.sha256(prompt.encode()).hexdigest()[:16],
        prompt=prompt,
        solution=node_text(body).removeprefix("{").lstrip("\n") + "\n",
        signature="\n".join([*imports, head.rstrip(",") + ";"]),
        checker="",
        tier=0,
        family=FAMILY,
    )


def _first_paragraph(comment: Sequence[Node]) -> list[str]:
    """Return the lines of a doc comment before the first empty one, heading or block of code."""
    lines: list[str] = []
    for text in (node_text(node).removeprefix("///").strip() for node in comment):
        if not text or text.startswith(("#", "```")):
            break
        lines.append(f"/// {text}")
    return lines


def _imports(container: Node, head: str) -> list[str]:
    """Return the imports from the standard library of those names that occur in the head of a function."""
    words = set(re.findall(r"\w+", head))
    lines = []
    for node in container.named_children:
        if node.type != "use_declaration":
            continue
        for name, path in read_declarations(node_text(node)).imported.items():
            if name in words and _PATH_OF_STD.match(path):
                lines.append(f"use {path};" if path.rpartition("::")[2] == name else f"use {path} as {name};")
    return sorted(lines)
