"""
Prompts that ask a base model for a whole file, and the end of the file that it writes.

The prompt shows code in a comment: a stub to fill in, or a program to repair. The model writes the file behind it, and
its completion ends where every item of the shown code is defined and all braces are closed.
"""

import re
from collections import Counter
from collections.abc import Iterator

from evaluation.rust.syntax.tokens import Token, tokens

ASK_FOR_PROGRAM = "{prompt}\n\nAnswer with the whole program, in one block of Rust."
"""Instruction for chat models."""
OPENED, CLOSED = "```rust", "```"
BLOCK = re.compile(r"^(//[/!]?) ?```rust\n(.*?)^\1 ?```$", re.DOTALL | re.MULTILINE)
NAMED = {"fn", "struct", "enum", "union", "trait", "type", "const", "static", "mod"}


def as_comment(text: str, mark: str = "//") -> str:
    """Return a text as lines of a comment, each ended by a line break."""
    return "".join(f"{mark} {line}".rstrip() + "\n" for line in text.rstrip("\n").split("\n"))


def program_block(code: str, mark: str = "//") -> str:
    """Return code as a fenced block in a comment, in which `shown_program` finds it."""
    return as_comment(f"{OPENED}\n{code.rstrip()}\n{CLOSED}", mark)


def shown_program(prompt: str) -> str:
    """Return the code that a prompt shows in its last block; empty if it has none."""
    blocks = BLOCK.findall(prompt)
    if not blocks:
        return ""
    mark, lines = blocks[-1]
    return "".join(line.removeprefix(mark).removeprefix(" ") for line in lines.splitlines(keepends=True))


def completed_file(prompt: str, completion: str) -> str | None:
    """
    Return the completion up to the closing brace, or the semicolon at the top level, behind which every item of the
    shown program is defined and no brace is open; None while there is none. The time is linear in the text.

    Items are counted by kind and name, such as `fn next`, wherever they are: two impls with `fn fmt` need two.
    """
    for end, _ in _ends(prompt, completion):
        return completion[:end]
    return None


def longest_completed_file(prompt: str, completion: str) -> str | None:
    """Return the completion up to the last place where `completed_file` could end it; None while there is none."""
    ends = [end for end, _ in _ends(prompt, completion)]
    return completion[: ends[-1]] if ends else None


def completed_file_with_helpers(prompt: str, completion: str) -> str | None:
    """
    Return the completion up to where `completed_file` ends it, or with the helpers after that: up to the next item at
    the top level that begins something else, which is a module, `main`, an item that is defined already, or a public
    one that the code before does not use. None while there is no such item: then the model ends the file.
    """
    for end, following in _ends(prompt, completion):
        if following is not None:
            return completion[:end]
    return None


def _ends(prompt: str, completion: str) -> Iterator[tuple[int, str | None]]:
    """
    Yield the offsets in a completion behind which all items of the shown program are defined and no brace is open,
    each with the item after it that the code does not need.
    """
    missing = Counter(name for name, _ in _items(list(tokens(shown_program(prompt)))))
    # The file may begin in the prompt, behind the comment with the shown program.
    blocks = list(BLOCK.finditer(prompt))
    opening = prompt[blocks[-1].end() :] if blocks else prompt
    found = list(tokens(opening + completion))
    names = {index: name for name, index in _items(found)}
    words: set[str] = set()
    defined: set[str] = set()
    depth, start, end = 0, 0, None
    for index, token in enumerate(found):
        name = names.get(index)
        if name is not None:
            public = "pub" in (each.text for each in found[max(0, index - 6) : index] if each.start >= start)
            if depth == 0 and end is not None and _is_foreign(name, public, words, defined):
                yield end, name
                return
            missing[name] -= missing[name] > 0
            if depth == 0:
                defined.add(name)
        words.add(token.text)
        if token.kind == "sign" and token.text in ("{", "}", ";"):
            depth += (token.text == "{") - (token.text == "}")
            start = token.end
            if token.text != "{" and depth <= 0 and token.end > len(opening) and not missing.total():
                end = token.end - len(opening)
                yield end, None


def _is_foreign(name: str, public: bool, words: set[str], defined: set[str]) -> bool:
    kind, _, word = name.partition(" ")
    if kind in ("impl", "macro"):
        return False
    return kind == "mod" or word == "main" or name in defined or (public and word not in words)


def _items(found: list[Token]) -> Iterator[tuple[str, int]]:
    """Yield kind and name of each item, with the index of the token that is its name."""
    for index, (token, after) in enumerate(zip(found, found[1:], strict=False)):
        if token.kind == "word" and after.kind == "word" and token.text in NAMED:
            if not (token.text == "const" and after.text in ("fn", "unsafe", "async", "extern")):
                yield f"{token.text} {after.text}", index + 1
        elif token.text == "macro_rules" and index + 2 < len(found) and after.text == "!":
            yield f"macro {found[index + 2].text}", index + 2
        elif token.text == "impl" and token.kind == "word":
            yield "impl", index
