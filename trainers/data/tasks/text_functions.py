"""
Tasks from text whose completions only have to compile: its documented functions and methods that need nothing but the
standard library and a few types of their file to be declared.
"""

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

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
from trainers.data.tasks.methods import method_as_function
from trainers.data.tasks.task import Task
from trainers.data.tasks.type_definitions import declared, needed_definitions, written
from trainers.data.verify import first_compiling

FAMILY = "text"
MAX_CHARACTERS = 800
"""Of a prompt, about 200 tokens."""
_CODE = re.compile(r"`[^`]*`")
_PATH_OF_STD = re.compile(r"(?:std|core)\b")


def text_functions(documents: Iterable[Document], excluded: Collection[str] = ()) -> Iterator[Task]:
    """
    Yield a task for each function with a doc comment, a parameter and a return type that is not unsafe, async or
    external. Methods become functions whose first parameter is the value. The prompt has the first paragraph of the
    comment, the imports from the standard library and the types that the signature names. The solution is the
    function's own body, which may need other items of its file, or `self`. The tier is 1 with types, and otherwise 0.

    Args:
        documents: The text. Tests in it are left out.
        excluded: Names of functions to leave out.
    """
    parser, seen = Parser(RUST), set()
    for document in documents:
        if document.kind == COMPILE_FAIL or "///" not in document.code:
            continue
        root = parser.parse(without_tests(document.code).encode()).root_node
        for container, impl, comment, function in functions_of(root):
            name = name_of(function)
            if not comment or name in excluded or (task := _task(container, impl, comment, function)) is None:
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

    def is_possible(task: Task) -> bool:
        return not refusals((task.prompt + "}").encode(), task.tests, continued=True)

    return first_compiling(
        tasks, count, verifier, lambda task: task.prompt + "    todo!()\n}\n", advance, accepts=is_possible
    )


def head_of_signature(signature: str) -> str:
    """Return the head of the function that a task of [`text_functions`] asks for, without spaces."""
    head = f"\n{signature}".rpartition("\nfn ")[2].removesuffix(";")
    return "fn" + "".join(head.split())


def functions_asked(benchmarks: Iterable[Benchmark]) -> set[str]:
    """Return the names of all functions that the problems of benchmarks ask for, if scores are reported for these."""
    problems = (problem for benchmark in benchmarks if benchmark.scored for problem in benchmark.problems)
    return {name for problem in problems for name in FUNCTION.findall(problem.asked)}


def functions_of(root: Node) -> Iterator[tuple[Node, Node | None, list[Node], Node]]:
    """
    Yield the functions of a file and its modules, each with the file or module, the `impl` of a method, and the lines
    of its doc comment.
    """
    containers: list[tuple[Node, Node | None, Node]] = [(root, None, root)]
    while containers:
        container, impl, body = containers.pop()
        comment: list[Node] = []
        for node in body.named_children:
            if node.type == "line_comment":
                # Four slashes begin an ordinary comment.
                if re.match(rb"///(?!/)", node_bytes(node)):
                    comment.append(node)
                continue
            if node.type == "attribute_item":
                continue
            inner = node.child_by_field_name("body")
            if node.type == "function_item":
                yield container, impl, comment, node
            elif node.type == "mod_item" and inner is not None:
                containers.append((inner, None, inner))
            elif node.type == "impl_item" and inner is not None and node.child_by_field_name("trait") is None:
                containers.append((container, node, inner))
            comment = []


def _task(container: Node, impl: Node | None, comment: Sequence[Node], function: Node) -> Task | None:
    declaration = head_of(impl, function)
    if declaration is None:
        return None
    head, noun = declaration
    description = first_paragraph(comment, noun)
    if not description:
        return None
    types = needed_definitions(container, head)
    definitions = [written(each) for each in types]
    imports = imports_of(container, "\n".join([*definitions, head]))
    begin = [*imports, *([""] if imports else []), *(f"{each}\n" for each in definitions)]
    prompt = "\n".join([*begin, *description, f"{head} {{"]) + "\n"
    signature = "\n".join([*imports, *map(declared, types), f"{head};"])
    if len(prompt) > MAX_CHARACTERS or not _is_signature(signature):
        return None
    return Task(
        id=hashlib.sha256(prompt.encode()).hexdigest()[:16],
        prompt=prompt,
        solution=node_text(field(function, "body")).removeprefix("{").lstrip("\n") + "\n",
        signature=signature,
        checker="",
        tier=1 if types else 0,
        family=FAMILY,
    )


def head_of(impl: Node | None, function: Node) -> tuple[str, str] | None:
    """
    Return the head of a function up to its body, and the name for `self` in a method.

    Args:
        impl: The `impl` around a method.
        function: The function or method.

    Returns:
        None if it has no parameter or no return type, is unsafe, async or external, or cannot be parsed.
    """
    if any(child.type == "function_modifiers" and node_bytes(child) != b"const" for child in function.children):
        return None
    if function.has_error or (impl is not None and impl.has_error):
        return None
    parameters, result = field(function, "parameters"), function.child_by_field_name("return_type")
    if result is None or not parameters.named_child_count:
        return None
    if impl is not None:
        return method_as_function(function, impl)
    start = next(child.start_byte for child in function.children if child.type == "fn") - function.start_byte
    end = field(function, "body").start_byte - function.start_byte
    return node_bytes(function)[start:end].decode().strip().rstrip(","), ""


def _is_signature(text: str) -> bool:
    try:
        read_declarations(text)
    except ValueError:
        return False
    return True


def first_paragraph(comment: Sequence[Node], noun: str = "") -> list[str]:
    """
    Return the lines of a doc comment before the first empty one, heading or block of code.

    Args:
        comment: Lines of the comment.
        noun: Name for `self` in its code; empty to leave it.
    """
    lines: list[str] = []
    for text in (node_text(node).removeprefix("///").strip() for node in comment):
        if not text or text.startswith(("#", "```")):
            break
        lines.append(_CODE.sub(lambda code: re.sub(r"\bself\b", noun or "self", code[0]), f"/// {text}"))
    return lines


def imports_of(container: Node, code: str) -> list[str]:
    """Return the imports of a file from the standard library of those names that occur in a part of it."""
    words = set(re.findall(r"\w+", code))
    lines = []
    for node in container.named_children:
        if node.type != "use_declaration":
            continue
        for name, path in read_declarations(node_text(node)).imported.items():
            if name in words and _PATH_OF_STD.match(path):
                lines.append(f"use {path};" if path.rpartition("::")[2] == name else f"use {path} as {name};")
    return sorted(lines)
