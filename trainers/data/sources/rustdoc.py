"""
Documentation examples in doc comments, as rustdoc finds, completes and compiles them.

The rules are those of https://doc.rust-lang.org/rustdoc/write-documentation/documentation-tests.html and of rustdoc's
`src/librustdoc/html/markdown.rs`: every code block that names no other language is Rust, flags say how it is tested,
and lines that begin with `# ` are compiled but not shown.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from markdown_it import MarkdownIt
from tree_sitter import Node, Parser, Query, QueryCursor

from evaluation.rust.syntax.analysis import RUST

_COMMENTS = Query(RUST, "[(line_comment) (block_comment) (attribute_item) (inner_attribute_item) (token_tree)] @piece")
_DOC_ATTRIBUTE = re.compile(r"#!?\[\s*doc\s*=\s*(.*?)\s*,?\s*\]", re.DOTALL)
_PLAIN_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_RAW_STRING = re.compile(r'r(#*)"(.*)"\1', re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u\{([0-9a-fA-F_]{1,8})\}|x([0-7][0-9a-fA-F])|\n\s*|(.))", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}
_MAY_HAVE_CODE = re.compile(r"```|~~~|^(?: {4,}|\t)\S", re.MULTILINE)
_MARKDOWN = MarkdownIt("commonmark")
# Stands for a part of the documentation that only the compiler knows, such as `#[doc = concat!(...)]`.
_UNKNOWN = "\N{OBJECT REPLACEMENT CHARACTER}"

_EDITION = re.compile(r"edition(\d{4})")
_ERROR_CODE = re.compile(r"E\d{4}")
_RUST_FLAGS = {"rust", "should_panic", "no_run", "compile_fail", "test_harness", "standalone_crate", "standalone"}
_MAIN = re.compile(r"\bfn\s+main\s*\(")
_CRATE_ATTRIBUTES = re.compile(r"\A(?:\s*(?:#!\[[^\n]*\]|//[^\n]*)\n)*")


@dataclass(frozen=True)
class DocExample:
    """
    A code block of documentation.

    Attributes:
        code: With the hidden lines.
        edition: Of a flag such as "edition2021", or None.
        is_rust: False for another language or text.
        is_ignored: Has the flag "ignore", or one such as "ignore-wasm".
        must_fail: Has the flag "compile_fail".
        is_incomplete: Parts of it are made by macros, and not in the source.
    """

    code: str
    edition: str | None = None
    is_rust: bool = True
    is_ignored: bool = False
    must_fail: bool = False
    is_incomplete: bool = False


def doc_examples(code: str) -> Iterator[DocExample]:
    """Yield the code blocks in the doc comments of a Rust file, in order."""
    for documentation in doc_comments(code):
        if _MAY_HAVE_CODE.search(documentation):
            yield from markdown_examples(documentation)


def doc_comments(code: str) -> Iterator[str]:
    """
    Yield the documentation of each item in a Rust file, as Markdown: its `///`, `/** */` and `#[doc = "..."]`, or the
    inner ones of a module, put together.
    """
    source = code.encode()
    found = QueryCursor(_COMMENTS).captures(Parser(RUST).parse(source).root_node).get("piece", [])
    # In macros, which are not parsed, the brackets of an attribute are a tree of tokens.
    pieces = [
        node for node in found if node.type != "token_tree" or source[node.start_byte - 1 : node.start_byte] == b"#"
    ]
    pieces.sort(key=lambda node: node.start_byte)
    fragments: list[tuple[bool, str]] = []
    end, was_inner = 0, False
    for piece in pieces:
        if piece.start_byte < end:
            continue
        part = _documentation(piece)
        is_inner = part is not None and part[0]
        if source[end : piece.start_byte].strip(b" \t\r\n#!") or (part and fragments and is_inner != was_inner):
            yield from _joined(fragments)
            fragments = []
        end = piece.end_byte
        if part:
            was_inner = is_inner
            fragments.append(part[1:])
    yield from _joined(fragments)


def markdown_examples(text: str) -> Iterator[DocExample]:
    """Yield the code blocks of documentation in Markdown; those that are only indented are Rust, too."""
    for token in _MARKDOWN.parse(text):
        if token.type in ("fence", "code_block"):
            yield read_example(_unhidden(token.content), token.info)


def read_example(code: str, flags: str) -> DocExample:
    """
    Return an example with the meaning of its flags.

    Args:
        code: With hidden lines as they are compiled.
        flags: Text behind the opening fence, such as "should_panic,edition2021".
    """
    names = [name for name in re.split(r"[\s,]+", flags) if name]
    edition, is_rust_for_sure, is_other = None, False, False
    is_ignored = must_fail = False
    for name in names:
        found = _EDITION.fullmatch(name)
        if found:
            edition = found[1]
        elif name == "ignore" or name.startswith("ignore-"):
            is_ignored = True
            is_rust_for_sure |= not is_other
        elif name in _RUST_FLAGS:
            must_fail |= name == "compile_fail"
            is_rust_for_sure |= name == "rust" or not is_other
        elif not _ERROR_CODE.fullmatch(name):
            is_other = True
    return DocExample(
        code=code,
        edition=edition,
        is_rust=is_rust_for_sure or not is_other,
        is_ignored=is_ignored,
        must_fail=must_fail,
        is_incomplete=_UNKNOWN in code,
    )


def rustdoc_program(code: str) -> str:
    """
    Return the program that rustdoc compiles for an example: one without `fn main` is wrapped in it. If it ends with a
    result such as `Ok::<(), Error>(())`, it may use `?`.
    """
    if _MAIN.search(code):
        return code
    attributes = _CRATE_ATTRIBUTES.match(code)
    assert attributes is not None, "the pattern matches an empty text"
    head, body = attributes.group(), code[attributes.end() :]
    if body.rstrip().endswith("(())"):
        inner = f"fn main() {{ fn _inner() -> Result<(), impl core::fmt::Debug> {{\n{body}\n}} _inner().unwrap() }}\n"
        return head + inner
    return f"{head}fn main() {{\n{body}\n}}\n"


def _unhidden(content: str) -> str:
    """Return the lines of a code block as they are compiled: those that begin with "# " are hidden in the page."""
    return "".join(_unhidden_line(line) + "\n" for line in content.splitlines())


def _unhidden_line(line: str) -> str:
    stripped = line.strip()
    if stripped.startswith("##"):
        return line.replace("##", "#", 1)
    if stripped == "#":
        return ""
    return stripped[2:] if stripped.startswith("# ") else line


def _documentation(node: Node) -> tuple[bool, bool, str] | None:
    """Return whether a comment or attribute documents the item around it, whether it is a comment, and its text."""
    assert node.text is not None, "the source is at hand"
    text = node.text.decode()
    if node.type in ("attribute_item", "inner_attribute_item", "token_tree"):
        found = _DOC_ATTRIBUTE.fullmatch(text if node.type != "token_tree" else f"#{text}")
        return found and (text.startswith("#!"), False, _string(found[1]))
    if node.type == "line_comment":
        # Four slashes begin an ordinary comment.
        if text.startswith("//!") or (text.startswith("///") and not text.startswith("////")):
            return text[2] == "!", True, text[3:].rstrip("\n")
    elif text.startswith("/*!") or (text.startswith("/**") and not text.startswith(("/***", "/**/"))):
        return text[2] == "!", True, _block(text[3:].removesuffix("*/"))
    return None


def _block(text: str) -> str:
    """Return the text of a block comment without the column of stars."""
    first, *lines = text.split("\n")
    if lines and all(not line.strip() or line.lstrip().startswith("*") for line in lines):
        lines = [line.lstrip().removeprefix("*") for line in lines]
    return "\n".join([first, *lines])


def _string(literal: str) -> str:
    raw = _RAW_STRING.fullmatch(literal)
    if raw:
        return raw[2]
    plain = _PLAIN_STRING.fullmatch(literal)
    return _ESCAPE.sub(_character, plain[1]) if plain else _UNKNOWN


def _character(found: re.Match[str]) -> str:
    digits = found[1] or found[2]
    if digits:
        number = int(digits.replace("_", "") or "0", 16)
        return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else _UNKNOWN
    return _ESCAPES.get(found[3], found[3]) if found[3] else ""


def _joined(fragments: list[tuple[bool, str]]) -> Iterator[str]:
    """Yield the fragments without their common indentation; only that of comments counts."""
    if not fragments:
        return
    lines = [(is_comment, line) for is_comment, text in fragments for line in text.split("\n")]
    indents = [len(line) - len(line.lstrip()) for is_comment, line in lines if is_comment and line.strip()]
    indent = min(indents, default=0)
    yield "\n".join((line[indent:] if line.strip() else "") if is_comment else line for is_comment, line in lines)
