"""Models that write text but whose weights this process does not hold: behind a server, or in a GGUF file."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from evaluation.generation_settings import GenerationSettings

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

StopRule = Callable[[str, str], str | None]
"""From a prompt and the text generated so far to the completion, cut at its end; None while it is not complete."""

SENT = frozenset({"temperature", "top_p", "max_new_tokens", "num_samples", "seed", "batch_size"})
"""Settings of generation that every served model has; others, such as the depth of a LoopLM, are refused."""


class SuiteDoesNotFit(ValueError):
    """A suite cannot measure a model: a served one does not give its weights, or its context is too short."""


@dataclass(frozen=True)
class Completion:
    """
    Text that a served model wrote.

    Attributes:
        text: Cut at its end by the stop rule, or whole where the rule found none.
        finished: Whether the stop rule found the end; of an answer, whether the model ended it.
        reached_limit: Whether the token limit or the context ended the text.
        tokens: Number of generated tokens, before the cut.
    """

    text: str
    finished: bool
    reached_limit: bool
    tokens: int


class ServedModel(ABC):
    """
    A model that completes text and answers questions.

    Attributes:
        name: As `--model` names it; the path in results.
        digest: SHA-256 of its weights; None if they are not known.
        digest_of: Data that the digest was computed over, or the reason why there is none.
        chat_template: Jinja template by which it is asked; empty if it has none, None if that is not known.
    """

    name: str
    digest: str | None
    digest_of: str
    chat_template: str | None = None

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return what results record beside name and digest, such as the kind of the model."""

    @abstractmethod
    def complete(
        self, texts: Sequence[str], settings: GenerationSettings, seed: int, stop: StopRule
    ) -> list[Completion]:
        """
        Continue texts, `settings.batch_size` at the same time.

        Args:
            texts: Prompts to continue.
            settings: How to sample.
            seed: Of the first text; each further text has the next number.
            stop: Finds the end of a completion.

        Raises:
            ValueError: The model cannot be reached, or refuses a text or a setting.
        """

    @abstractmethod
    def answer(self, questions: Sequence[str], settings: GenerationSettings, seed: int) -> list[Completion]:
        """Answer questions, each a conversation of one message; see `complete`."""

    def in_memory(self) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
        """
        Return the model and its tokenizer, loaded into this process, for suites that measure probabilities.

        Raises:
            SuiteDoesNotFit: There is no way to load it.
        """
        raise SuiteDoesNotFit(
            f"{self.name} does not give the probabilities of its tokens: give the folder of a saved model, a Hub name "
            "or a GGUF file"
        )

    def check(self, settings: GenerationSettings) -> None:
        """Raise `ValueError` for settings that this model does not have, before any long work."""
        for field in fields(settings):
            value = getattr(settings, field.name)
            if field.name not in SENT and value != field.default:
                raise ValueError(
                    f"{field.name} needs the folder of a saved model or a Hub name, got {value} for {self.name}: "
                    "leave the option out"
                )
