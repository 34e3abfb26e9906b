"""What a conversion must know about a family of models: its configuration and the names of its tensors."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Family:
    """
    Models of one `model_type`.

    Attributes:
        model_type: Its value in config.json.
        fields: Maps the content of config.json to fields of LoopLMConfig; raises `ValueError` for what LoopLM lacks.
        has_gate: Whether its checkpoints have an exit gate; where they have none, zeros are written.
        renamed: Parts of the names of tensors, each with the part that LoopLM has instead; other names are equal.
        ignored: Ends of the names of tensors that have no effect.
    """

    model_type: str
    fields: Callable[[dict[str, Any]], dict[str, Any]]
    has_gate: bool = False
    renamed: tuple[tuple[str, str], ...] = ()
    ignored: tuple[str, ...] = ()

    def looplm_name(self, name: str) -> str:
        """Return the name in LoopLM of one of the family's tensors."""
        for theirs, ours in self.renamed:
            name = name.replace(theirs, ours)
        return name

    def own_name(self, name: str) -> str:
        """Return the family's name of a tensor of LoopLM."""
        for theirs, ours in self.renamed:
            name = name.replace(ours, theirs)
        return name


def needed(config: dict[str, Any], names: tuple[str, ...]) -> None:
    """Raise `ValueError` unless the configuration has all of these fields."""
    missing = [name for name in names if config.get(name) is None]
    if missing:
        raise ValueError(f"config.json lacks {', '.join(missing)}")


def refuse(name: str, rule: str, found: object, reason: str) -> None:
    """Raise `ValueError` for a field of config.json."""
    raise ValueError(f"config.json: {name} must be {rule}: {reason}, got {found!r}")
