"""
What a model is told about a failed attempt, and the text or message in which it is asked to correct it.

Evaluation (the suite `repair`), reinforcement learning with further tries and the pairs of supervised training share
this format.
"""

import re
from collections.abc import Sequence

from evaluation.rust import Verdict
from evaluation.rust.rustc.compiler import ROOT
from evaluation.suites.whole_programs import as_comment, program_block

MAX_ATTEMPT = 4000  # characters of an attempt that are shown again
MAX_MESSAGE = 2000  # characters of the compiler's message
SAID = {
    "unfinished": "It does not end.",
    "tests_failed": "It compiles, but does not pass its tests.",
    "timeout": "It runs too long.",
    "resource_limit": "It needs too much memory.",
}
"""What a model is told of attempts that the compiler has no message for. The judge's words may differ between runs."""
PLACE = re.compile(r"^ *(?:-->|:::) (.+?):\d+:\d+$", re.MULTILINE)
"""Place in a message of the compiler: ` --> candidate.rs:3:5`."""


def compiler_message(rendered: Sequence[str]) -> str:
    """
    Return the errors of an attempt as the model is told them; empty if there is none.

    An error that shows another file than the attempt is left out: it might be one with tests.

    Args:
        rendered: Each error as rustc prints it.
    """
    texts = [text.rstrip() for text in rendered if text and not set(PLACE.findall(text)) - {ROOT}]
    return "\n\n".join(texts)[:MAX_MESSAGE]


def message_of(verdict: Verdict) -> str:
    """Return what the model is told about a failed attempt: the compiler's errors, or the kind of failure."""
    errors = compiler_message([each.rendered for each in verdict.diagnostics])
    if verdict.status in SAID or not errors:
        refusals = [each.message for each in verdict.diagnostics if each.category in ("refusal", "signature")]
        return SAID.get(verdict.status) or "; ".join(refusals)[:MAX_MESSAGE] or "It does not compile."
    return errors


def second_prompt(prompt: str, attempt: str, message: str) -> str:
    """
    Return the text that a base model continues in the second turn.

    Args:
        prompt: Text of the problem, which ends within a function.
        attempt: The failed program.
        message: Result of `message_of`.
    """
    shown = program_block(attempt[:MAX_ATTEMPT])
    return f"// This attempt fails:\n{shown}//\n{as_comment(message)}//\n// The corrected function:\n\n{prompt}"


def correction(message: str) -> str:
    """Return the user's message that asks a chat model for the second turn."""
    return f"This fails:\n\n```text\n{message}\n```\n\nCorrect it, and answer with all of it in one block of Rust."
