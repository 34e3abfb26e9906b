"""Answers to requests for completions, in the forms of OpenAI's API."""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Usage:
    """Numbers of tokens of the prompts, each counted once, and of all completions."""

    prompt_tokens: int
    completion_tokens: int

    def to_json(self) -> dict[str, int]:
        """Return the object `usage`."""
        total = self.prompt_tokens + self.completion_tokens
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": total,
        }


@dataclass(frozen=True)
class AnswerForm:
    """
    Form of the answer to one request.

    Attributes:
        model: Name of the model.
        chat: Whether it is that of `/v1/chat/completions`.
        stream: Whether the answer is sent in chunks.
        include_usage: Whether a stream ends with the numbers of tokens.
    """

    model: str
    chat: bool
    stream: bool = False
    include_usage: bool = False
    _id: str = field(default_factory=lambda: secrets.token_hex(12))
    _created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, texts: Sequence[str], reasons: Sequence[str], usage: Usage) -> dict[str, Any]:
        """Return the answer with all completions, each with the reason for its end."""
        choices = [
            self._choice(index, {"message": {"role": "assistant", "content": text}} if self.chat else {"text": text})
            | {"finish_reason": reason}
            for index, (text, reason) in enumerate(zip(texts, reasons, strict=True))
        ]
        return self._answer(choices) | {"usage": usage.to_json()}

    def first(self, index: int) -> dict[str, Any] | None:
        """Return the chunk that begins a completion, None if the form has none."""
        return self._chunk(index, {"delta": {"role": "assistant", "content": ""}}, None) if self.chat else None

    def piece(self, index: int, text: str) -> dict[str, Any]:
        """Return a chunk with text."""
        return self._chunk(index, {"delta": {"content": text}} if self.chat else {"text": text}, None)

    def last(self, index: int, reason: str) -> dict[str, Any]:
        """Return the chunk that ends a completion."""
        return self._chunk(index, {"delta": {}} if self.chat else {"text": ""}, reason)

    def usage(self, usage: Usage) -> dict[str, Any]:
        """Return the chunk with the numbers of tokens."""
        return self._answer([]) | {"usage": usage.to_json()}

    def _chunk(self, index: int, content: dict[str, Any], reason: str | None) -> dict[str, Any]:
        answer = self._answer([self._choice(index, content) | {"finish_reason": reason}])
        return answer | {"usage": None} if self.include_usage else answer

    def _choice(self, index: int, content: dict[str, Any]) -> dict[str, Any]:
        return {"index": index, **content, "logprobs": None}

    def _answer(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        kind = "chat.completion" if self.chat else "text_completion"
        return {
            "id": f"{'chatcmpl' if self.chat else 'cmpl'}-{self._id}",
            "object": f"{kind}.chunk" if self.chat and self.stream else kind,
            "created": self._created,
            "model": self.model,
            "choices": choices,
        }
