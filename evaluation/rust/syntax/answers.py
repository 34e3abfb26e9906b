"""
The Rust program in a chat model's answer.

Answers are Markdown, read by a CommonMark parser: what is a fence, what closes it, and how a fence in a list or a
quotation is dedented are its rules. Two are added, because models write so: a fence may be closed behind the last line
of its code (```` }``` ````), and `<think>` tags enclose what is no part of the answer.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

Answer = str | Sequence[Mapping[str, Any]] | None
"""A plain text, or the messages that a model has written."""

# Blocks are all that is asked. Without HTML, `<answer>` in the line before a fence does not swallow it.
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).disable("inline")
_LANGUAGE = re.compile(r"[{.\s]*([^\s,;:={}]*)")
_RUST = re.compile(r"(?:rust|rs)(?:20\d\d)?", re.IGNORECASE)
_CLOSED_BEHIND_CODE = re.compile(r"(?P<code>\s*(?!//|/\*|\*).*[};])[^\S\n]*(?P<fence>`{3,}|~{3,})\s*")
MOST_REPAIRS = 20  # each reads the answer once more; no honest one needs so many
# Between backticks it is spoken of, not used.
_THOUGHTS_FIRST = re.compile(r"\A(?:\s*<think>(?:(?!<think>).)*?</think>)+", re.DOTALL)
_THINK = re.compile(r"(?<!`)<(?P<close>/?)think>")


def extract_rust(answer: Answer) -> str | None:
    """
    The program that an answer gives; None when the answer is not finished or gives none.

    The program is the last block that is labelled as Rust or, where none is, the last without a label. If this block
    is not closed, the answer is not finished. A text without any block is a program as a whole. What a model thinks,
    up to `</think>`, is not searched, and a text that ends inside a thought is not finished.
    """
    text = text_of(answer)
    text = None if text is None else _without_thoughts(re.sub("\r\n?", "\n", text))
    if text is None or not text.strip():
        return None
    fences = _fences(text)
    if not fences:
        return text
    labelled = [fence for fence in fences if _RUST.fullmatch(_language(fence))]
    candidates = labelled or [fence for fence in fences if not _language(fence)]
    return candidates[-1].content if candidates and _is_closed(candidates[-1]) else None


def text_of(answer: Answer) -> str | None:
    """What the last message says; None when it has no text, calls a tool, or says something else than text."""
    if answer is None or isinstance(answer, str):
        return answer
    if not answer or answer[-1].get("tool_calls") or answer[-1].get("role") == "tool":
        return None
    content = answer[-1].get("content")
    if content is None or isinstance(content, str):
        return content
    texts = [part.get("text") for part in content if part.get("type") == "text"]
    given = [text for text in texts if text is not None]
    return "".join(given) if len(given) == len(content) else None


def _without_thoughts(text: str) -> str | None:
    """The text around the thoughts; None when the last thought is not finished."""
    text = _THOUGHTS_FIRST.sub("", text)
    for _ in range(MOST_REPAIRS):
        tag = _think_tag(text)
        if tag is None:
            return text
        # A chat template may have opened the thought.
        start = 0 if tag["close"] else tag.start()
        tags = [tag] if tag["close"] else _THINK.finditer(text, tag.end())
        end = next((each.end() for each in tags if each["close"]), None)
        if end is None:
            return None
        text = text[:start] + text[end:]
    return None


def _think_tag(text: str) -> re.Match[str] | None:
    """The first tag that is no part of code: one that begins a line, or lies outside of every fence."""
    if not _THINK.search(text):
        return None
    fenced = {line for fence in _fences(text) for line in range(*_lines(fence))}
    for tag in _THINK.finditer(text):
        before = text[: tag.start()]
        if not before.rpartition("\n")[2].strip() or before.count("\n") not in fenced:
            return tag
    return None


def _fences(text: str) -> list[Token]:
    """The fenced blocks of code, in their order."""
    lines, fences = text.split("\n"), []
    for _ in range(MOST_REPAIRS):
        fences = [token for token in _MARKDOWN.parse("\n".join(lines)) if token.type == "fence"]
        behind = next((found for fence in fences for found in _closed_behind_code(fence)), None)
        if behind is None:
            break
        line, code, mark = behind
        container = lines[line][: lines[line].index(code)] if code in lines[line] else ""
        lines[line : line + 1] = [container + code, container + mark]
    return fences


def _closed_behind_code(fence: Token) -> Iterator[tuple[int, str, str]]:
    """The number, the code and the closing fence of lines that end with both."""
    for line, content in enumerate(fence.content.split("\n"), start=_lines(fence)[0] + 1):
        found = _CLOSED_BEHIND_CODE.fullmatch(content)
        if found and found["fence"].startswith(fence.markup):
            yield line, found["code"], found["fence"]


def _lines(fence: Token) -> tuple[int, int]:
    """Return the first line of a fenced block and the line after its last, counted from 0."""
    assert fence.map is not None, "block tokens have a place"
    first, end = fence.map
    return first, end


def _language(fence: Token) -> str:
    found = _LANGUAGE.match(fence.info)
    assert found is not None, "the pattern matches an empty text"
    return found[1]


def _is_closed(fence: Token) -> bool:
    """Whether its lines are one more than those of its opening and its code; the parser closes all at the end."""
    lines = fence.content.count("\n") + bool(fence.content and not fence.content.endswith("\n"))
    first, end = _lines(fence)
    return end - first == lines + 2
