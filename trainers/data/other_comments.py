"""
Other forms for the doc comments of generated programs, each time that a mix repeats one of them.

Every generated program describes its function in the same form. With others a model also reads descriptions in line
and block comments, and such without an example.
"""

import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Literal, get_args

from trainers.data.mix import MixedDocument
from trainers.data.mix_names import GENERATED_SOURCES

CommentForm = Literal["doc", "line", "block"]
"""`/// text`, `// text`, and `/* text */`."""
FORMS: tuple[CommentForm, ...] = get_args(CommentForm)
SHORTENED = 0.5
"""Share of the repetitions of which only the first paragraph of each comment is kept."""
_COMMENT = re.compile(r"^(?P<indent>[ \t]*)///.*\n(?:(?P=indent)///.*\n)*", re.MULTILINE)


def with_other_comments(documents: Iterable[MixedDocument], seed: int = 0) -> Iterator[MixedDocument]:
    """
    Yield the documents of a mix; repetitions of generated programs have other forms of comments.

    Args:
        documents: Documents of the mix, in order.
        seed: Equal seeds give equal programs.
    """
    for mixed in documents:
        document = mixed.document
        if mixed.repetition and document.source in GENERATED_SOURCES:
            draw = random.Random(f"{seed} comments {document.id} {mixed.repetition}")
            code = rewrite_comments(document.code, draw.choice(FORMS), draw.random() < SHORTENED)
            mixed = replace(mixed, document=replace(document, code=code))
        yield mixed


def rewrite_comments(code: str, form: CommentForm, shorten: bool = False) -> str:
    """
    Return code whose doc comments have another form.

    Args:
        code: Rust code in which no string has a line that begins with `///`.
        form: Form of the comments.
        shorten: Keep only the first paragraph of each comment.
    """

    def rewritten(found: re.Match[str]) -> str:
        indent = found["indent"]
        lines = [line.strip().removeprefix("///").removeprefix(" ") for line in found[0].splitlines()]
        if shorten and "" in lines:
            lines = lines[: lines.index("")]
        if form == "block" and not any("*/" in line for line in lines):
            text = "".join(f"{indent}{line}".rstrip() + "\n" for line in lines)
            return f"{indent}/*\n{text}{indent}*/\n"
        mark = "///" if form == "doc" else "//"
        return "".join(f"{indent}{mark} {line}".rstrip() + "\n" for line in lines)

    return _COMMENT.sub(rewritten, code)
