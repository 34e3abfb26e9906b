"""Bodies of the requests to the judge: what they must have, and what they ask."""

import json
import math
from dataclasses import dataclass
from typing import Any, cast

from evaluation.rust.judge.batching import Rules
from evaluation.rust.service.queue import Question

LONGEST_DEADLINE = 600.0
DEFAULT_DEADLINE = 60.0
REQUEST_FIELDS = {"items", "rules", "deadline"}
ITEM_FIELDS = {"code", "tests"}


class BadRequest(ValueError):
    """
    A request that cannot be answered.

    Attributes:
        index: Item that is at fault; None: the whole request.
    """

    def __init__(self, message: str, index: int | None = None):
        super().__init__(message)
        self.index = index


@dataclass(frozen=True)
class JudgeRequest:
    """Questions, and the seconds until the client wants an answer."""

    questions: list[Question]
    deadline: float


def read_judge_request(body: bytes, most: int) -> JudgeRequest:
    """
    Read the body of `POST /judge`.

    Args:
        body: JSON: `items`, each with `code` and `tests` (a text, or null); `rules`; `deadline` in seconds.
        most: Maximum number of items.

    Raises:
        BadRequest: It is not of this form.
    """
    values = _object(body, REQUEST_FIELDS)
    items = values.get("items")
    if not isinstance(items, list) or len(items) > most:
        got = f"{len(items)} items" if isinstance(items, list) else type(items).__name__
        raise BadRequest(f"items must be a list of at most {most} codes, got {got}")
    rules = values.get("rules", "reward")
    if rules not in ("data", "reward"):
        raise BadRequest(f"rules must be data or reward, got {rules!r}")
    deadline = values.get("deadline", DEFAULT_DEADLINE)
    number = isinstance(deadline, int | float) and not isinstance(deadline, bool)
    if not number or not math.isfinite(deadline) or deadline <= 0:
        raise BadRequest(f"deadline must be a positive number of seconds, got {deadline!r}")
    questions = [_question(index, item, cast(Rules, rules)) for index, item in enumerate(items)]
    return JudgeRequest(questions, min(deadline, LONGEST_DEADLINE))


def read_tests_request(body: bytes, most: int) -> list[str]:
    """Read the body of `POST /check-tests`: `tests`, a list of at most `most` texts. Raises `BadRequest`."""
    tests = _object(body, {"tests"}).get("tests")
    if not isinstance(tests, list) or len(tests) > most or not all(isinstance(each, str) for each in tests):
        raise BadRequest(f"tests must be a list of at most {most} texts")
    return tests


def _question(index: int, item: object, rules: Rules) -> Question:
    if not isinstance(item, dict) or item.keys() - ITEM_FIELDS:
        raise BadRequest("an item must be an object with code and tests, and no other field", index)
    code, tests = item.get("code"), item.get("tests")
    if not isinstance(code, str):
        raise BadRequest(f"code must be Rust as text, got {type(code).__name__}", index)
    if tests is not None and not isinstance(tests, str):
        raise BadRequest(f"tests must be a text or null, got {type(tests).__name__}", index)
    return Question(code, tests, rules)


def _object(body: bytes, known: set[str]) -> dict[str, Any]:
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body must be JSON: {error}") from error
    if not isinstance(values, dict):
        raise BadRequest(f"the body must be a JSON object, got {type(values).__name__}")
    unknown = sorted(values.keys() - known)
    if unknown:
        raise BadRequest(f"the body must have no fields other than {', '.join(sorted(known))}, got {unknown[0]}")
    return values
