"""The families of models that are converted, and their recognition by `model_type`."""

from typing import Any

from modeling_nanochat import LoopLMConfig
from trainers.conversion.family import Family
from trainers.conversion.llama import LLAMAS
from trainers.conversion.ouro import OURO
from trainers.conversion.rounding import check_group_size

FAMILIES = {family.model_type: family for family in (OURO, *LLAMAS)}


def find_family(config: dict[str, Any]) -> Family:
    """Return the family of a config.json. Raises `ValueError` for another `model_type`."""
    found = config.get("model_type")
    if found == LoopLMConfig.model_type:
        raise ValueError("config.json: model_type is that of a LoopLM, which needs no conversion")
    if not isinstance(found, str) or found not in FAMILIES:
        raise ValueError(f"config.json: model_type must be one of {', '.join(FAMILIES)}, got {found!r}")
    return FAMILIES[found]


def looplm_config(config: dict[str, Any], **changes: Any) -> LoopLMConfig:
    """
    Return the configuration of the LoopLM with the outputs of a model.

    Args:
        config: Content of the model's config.json.
        changes: Fields of LoopLMConfig to set differently.

    Raises:
        ValueError: The family is another one, a field is missing, the model needs something that LoopLM lacks, or its
            widths do not have the group size of ternary weights.
    """
    settings: dict[str, Any] = find_family(config).fields(config) | changes
    unrounded: dict[str, Any] = settings | {"ternary": False}
    try:
        found = LoopLMConfig(**unrounded)
        if settings.get("ternary"):
            check_group_size(found)
            found.ternary = True
        return found
    except KeyError as error:
        # transformers names a missing parameter of the rotary embedding in this way.
        raise ValueError(f"config.json: {error.args[0]}") from error
