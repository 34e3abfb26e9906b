"""
Functions of text with all that they need of their file, if they compile alone: real code in the form in which a model
is asked for a function.
"""

from collections.abc import Collection, Iterable, Iterator

from tree_sitter import Node, Parser

from evaluation.rust.syntax.analysis import RUST
from evaluation.rust.syntax.nodes import field, name_of, node_text
from trainers.data.code_tokens import without_tests
from trainers.data.sources.document import COMPILE_FAIL, FILE, Document
from trainers.data.tasks.methods import receiver_renamed
from trainers.data.tasks.text_functions import first_paragraph, functions_of, head_of, imports_of
from trainers.data.tasks.type_definitions import needed_items, unindented, written

SOURCE = "functions"
MAX_CHARACTERS = 1200
"""Of a function with what it needs, about 300 tokens."""
MAX_ITEMS = 6


def standalone_functions(
    documents: Iterable[Document], excluded: Collection[str] = (), excluded_heads: Collection[str] = ()
) -> Iterator[Document]:
    """
    Yield a document for each function of the text: imports from the standard library, the types, constants and
    functions of its file that it needs, the first paragraph of its comment, and the function. Methods become functions
    whose first parameter is the value. It may still need what is not in the document.

    Args:
        documents: The text. Tests in it are left out.
        excluded: Names of functions to leave out.
        excluded_heads: Heads of functions to leave out, without spaces.
    """
    parser, seen = Parser(RUST), set()
    for document in documents:
        if document.kind == COMPILE_FAIL:
            continue
        root = parser.parse(without_tests(document.code).encode()).root_node
        for container, impl, comment, function in functions_of(root):
            if name_of(function) in {*excluded, "main"}:
                continue
            declaration = head_of(impl, function)
            if declaration is None or "".join(declaration[0].split()) in excluded_heads:
                continue
            code = _code(container, impl, function, first_paragraph(comment, declaration[1]), *declaration)
            if code is not None and (key := "".join(code.split())) not in seen:
                seen.add(key)
                path = f"{document.source}/{document.path}"
                yield Document.of(SOURCE, path, FILE, document.license, code, edition=document.edition)


def _code(container: Node, impl: Node | None, function: Node, comment: list[str], head: str, noun: str) -> str | None:
    body = field(function, "body")
    if not body.named_child_count or body.end_byte - body.start_byte > MAX_CHARACTERS:
        return None
    text = node_text(body) if impl is None else receiver_renamed(node_text(body), impl, noun)
    if text is None:
        return None
    items = needed_items(container, head + text, name_of(function))
    if len(items) > MAX_ITEMS:
        return None
    between = "\n" if "\nwhere\n" in head else " "
    text = "\n".join(unindented(text.split("\n")))
    code = "\n".join([*(f"{written(item)}\n" for item in items), *comment, f"{head}{between}{text}"])
    imports = imports_of(container, code)
    code = "\n".join([*imports, *([""] if imports else []), code]) + "\n"
    return code if len(code) <= MAX_CHARACTERS else None
