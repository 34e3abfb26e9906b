"""
Extraction of the Rust program from a chat model's answer.

Answers are Markdown, parsed by the rules of CommonMark. Two rules are added for what models write: a fence may be
closed at the end of its last line of code (```` }``` ````), and text in `<think>` tags is not part of the answer.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

Answer = str | Sequence[Mapping[str, Any]] | None
"""A text, or the messages that a model has written."""

# Only blocks are parsed. Without HTML, `<answer>` on the line before a fence does not hide the fence.
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).disable("inline")
_LANGUAGE = re.compile(r"[{.\s]*([^\s,;:={}]*)")
_RUST = re.compile(r"(?:rust|rs)(?:20\d\d)?", re.IGNORECASE)
_CLOSED_BEHIND_CODE = re.compile(r"(?P<code>\s*(?!//|/\*|\*).*[};])[^\S\n]*(?P<fence>`{3,}|~{3,})\s*")
MOST_REPAIRS = 20  # each parses the answer again, and real answers need fewer
# A tag in backticks is mentioned, not used.
_THOUGHTS_FIRST = re.compile(r"\A(?:\s*<think>(?:(?!<think>).)*?</think>)+", re.DOTALL)
_THINK = re.compile(r"(?<!`)<(?P<close>/?)think>")


def extract_rust(answer: Answer) -> str | None:
    """
    Return the program in an answer, or None if the answer is incomplete or has none.

    The program is the last code block labeled as Rust or, without one, the last block without a label. If that block
    is not closed, the answer is incomplete. A text without any block is a program as a whole. Text up to `</think>` is
    not searched, and an answer that ends before `</think>` is incomplete.
    """
    text = text_of(answer)
    text = None if text is None else _without_thoughts(re.sub("\r\n?", "\n", text))
    if text is None or not text.strip():
        return None
    fences = _fences(text)
    if not fences:
        return text
    labeled = [fence for fence in fences if _RUST.fullmatch(_language(fence))]
    candidates = labeled or [fence for fence in fences if not _language(fence)]
    return candidates[-1].content if candidates and _is_closed(candidates[-1]) else None


def has_whole_block(answer: str) -> bool:
    """Whether the program that `extract_rust` finds in an answer is a closed code block, not just text."""
    text = _without_thoughts(re.sub("\r\n?", "\n", answer))
    return text is not None and bool(_fences(text)) and extract_rust(answer) is not None


def text_of(answer: Answer) -> str | None:
    """Return the text of the last message, or None if it has none, calls a tool, or has other content than text."""
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
    """Return the text without thoughts, or None if the last thought is not closed."""
    text = _THOUGHTS_FIRST.sub("", text)
    for _ in range(MOST_REPAIRS):
        tag = _think_tag(text)
        if tag is None:
            return text
        # The opening tag may be part of the chat template.
        start = 0 if tag["close"] else tag.start()
        tags = [tag] if tag["close"] else _THINK.finditer(text, tag.end())
        end = next((each.end() for each in tags if each["close"]), None)
        if end is None:
            return None
        text = text[:start] + text[end:]
    return None


def _think_tag(text: str) -> re.Match[str] | None:
    """Return the first tag that is not part of code: one that begins a line, or is outside of every fence."""
    if not _THINK.search(text):
        return None
    fenced = {line for fence in _fences(text) for line in range(*_lines(fence))}
    for tag in _THINK.finditer(text):
        before = text[: tag.start()]
        if not before.rpartition("\n")[2].strip() or before.count("\n") not in fenced:
            return tag
    return None


def _fences(text: str) -> list[Token]:
    """Return the fenced code blocks in source order."""
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
    """Yield number, code and closing fence of lines that end with code and a fence."""
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
    """Whether a block has a line for its closing fence; the parser closes all open blocks at the end."""
    lines = fence.content.count("\n") + bool(fence.content and not fence.content.endswith("\n"))
    first, end = _lines(fence)
    return end - first == lines + 2
