"""The vocabulary of a teacher, which must be the student's: token ids are compared one by one."""

import json
from typing import Any

from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

PROBE = (
    "/// Größe: `résumé` — 数\n#[derive(Debug, Clone)]\npub fn fold<T: Into<u64>>(items: &[T]) -> Option<u64> {\n"
    "\tlet mut total = 0_u64;\r\n    for (i, x) in items.iter().enumerate() { total += 0xFF * i as u64; }\n"
    "    Some(total) // don't 'panic'\n}\n"
)
"""Text with the characters on which tokenizers differ: letters beyond ASCII, spaces, tabs, numbers, apostrophes."""


def check_vocabulary(teacher: PreTrainedTokenizerBase, student: PreTrainedTokenizerBase, name: str) -> None:
    """
    Check that every token id means the same to the teacher and to the student. The embedding of the teacher may have
    more rows than there are tokens.

    Args:
        teacher: Tokenizer of the teacher.
        student: Tokenizer of the student.
        name: Name of the teacher in the message.

    Raises:
        ValueError: The tokens, their ids, the merges or the ids of a probe text differ; says where.
    """
    difference = _difference(teacher, student)
    if difference is not None:
        raise ValueError(
            f"teacher {name!r} must have the student's tokenizer, whose token ids its logits are about, but "
            f"{difference}: take a teacher with this tokenizer, or start the student from a model with the teacher's "
            "(--init-from)"
        )


def _difference(teacher: PreTrainedTokenizerBase, student: PreTrainedTokenizerBase) -> str | None:
    theirs, ours = teacher.get_vocab(), student.get_vocab()
    if theirs != ours:
        tokens = sorted(theirs.keys() | ours.keys(), key=lambda token: ours.get(token, theirs.get(token, 0)))
        token = next(token for token in tokens if theirs.get(token) != ours.get(token))
        places = (f"id {ids[token]}" if token in ids else "missing" for ids in (theirs, ours))
        return (
            f"it has {len(theirs)} tokens and the student {len(ours)}, and the token {token!r} is "
            f"{' there and '.join(places)} here"
        )
    if _merges(teacher) != _merges(student):
        return "its merges are other ones"
    theirs, ours = (each(PROBE, add_special_tokens=False)["input_ids"] for each in (teacher, student))
    return None if theirs == ours else "it encodes a probe text into other ids"


def _merges(tokenizer: PreTrainedTokenizerBase) -> Any:
    """Merges of a BPE of the library tokenizers; None for other tokenizers, which the probe text compares."""
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        return None
    return json.loads(tokenizer.backend_tokenizer.to_str())["model"].get("merges")
