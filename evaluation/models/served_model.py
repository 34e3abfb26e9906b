"""Models that write text but whose weights this process does not hold: behind a server, or in a GGUF file."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evaluation.generation_settings import GenerationSettings

if TYPE_CHECKING:
    from transformers import PreTrainedModel

StopRule = Callable[[str, str], str | None]
"""From a prompt and the text generated so far to the completion, cut at its end; None while it is not complete."""


class NeedsWeights(ValueError):
    """A suite reads the weights or probabilities of a model, which a served model does not give."""


@dataclass(frozen=True)
class Completion:
    """
    Text that a served model wrote.

    Attributes:
        text: Cut at its end by the stop rule, or whole where the rule found none.
        finished: Whether the stop rule found the end; of an answer, whether the model ended it.
        truncated: Whether the token limit or the context ended the text.
        tokens: Number of generated tokens, before the cut.
    """

    text: str
    finished: bool
    truncated: bool
    tokens: int


class ServedModel(ABC):
    """
    A model that completes text and answers questions.

    Attributes:
        name: As `--model` names it; the path in results.
        digest: SHA-256 of its weights; None if they are not known.
        digest_of: Data that the digest was computed over, or the reason why there is none.
        chat_template: Jinja template by which it is asked; None if it is not known.
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

    def check(self, settings: GenerationSettings) -> None:
        """Raise `ValueError` for settings that this model does not have, before any long work."""
        if settings.depth:
            raise ValueError(
                f"{', '.join(settings.depth)} need the folder of a LoopLM, got the model {self.name}, which runs at "
                "a depth of its own"
            )


def require_weights(model: "PreTrainedModel | ServedModel", suite: str) -> "PreTrainedModel":
    """Return a model in memory; raise `NeedsWeights` for a served one. `suite` is the suite that measures it."""
    if isinstance(model, ServedModel):
        raise NeedsWeights(
            f"{suite} measures the weights or probabilities of a model, which {model.name} does not give: it needs "
            "the folder of a saved model or a Hub name"
        )
    return model
