"""Settings of a recipe that adapts a model that exists: which model, and what becomes of it before the training."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from recipes.pipeline.fields import Settings, check, setting, settings

if TYPE_CHECKING:
    from modeling_nanochat import LoopLMConfig

DENSE, LOOPED, TERNARY = "dense", "looped", "ternary"
"""Folders of the steps, in their order."""
PUBLISHED_NAMES = {"num_shared_layers": "num_hidden_layers", "num_loops": "total_ut_steps"}
"""Fields of LoopLMConfig that have another name in a published config.json."""
COMPARED = (
    "hidden_size",
    "intermediate_size",
    "num_shared_layers",
    "num_loops",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "max_position_embeddings",
    "tie_word_embeddings",
    "attention_bias",
    "qk_norm",
    "sandwich_norm",
)
"""Fields that a plan depends on, in which the model and its published configuration must agree."""
FROM_SOURCE = (*COMPARED, "num_prelude_layers", "num_coda_layers", "loop_update", "ternary", "ternary_group_size")
"""Fields of the recipe's model that the source decides."""
TOY_LAYERS, TOY_CORE = 4, (1, 3)
TOY_SIZES = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": TOY_LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "vocab_size": 512,
    # Those of the tokenizer that a dry run trains.
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


@settings
class SourceSettings(Settings):
    """A model that is converted, looped and made ternary, and that the first stage starts from."""

    section: ClassVar[str] = "source"

    model: str = setting(
        "Folder of a checkpoint, GGUF file or name on the Hub, of a family that `nanochat-ternary convert` reads.",
        min_length=1,
    )
    published: Mapping[str, Any] = setting(
        "Fields of the model's config.json, by which a run is planned before the weights are there. The model must "
        "have the same shape."
    )
    num_loops: int | None = setting(
        "Number of times that the core is applied; None leaves the loops that the model has.", default=None, ge=2
    )
    core: str | None = setting(
        "With num_loops, layers of the core as START:END, counted from 0, without END.", default=None
    )
    core_layers: int | None = setting(
        "With num_loops, number of layers of a core that is chosen by similarity; None for half of the layers.",
        default=None,
        ge=1,
    )
    whole_stack: bool = setting("With num_loops, apply all layers several times.", default=False)
    ternary: bool = setting("Make the weights the latent weights of ternary layers.", default=True)
    group_size: int | None = setting(
        "With ternary, weights that share a scale, -1 for all of a matrix; None for 128.", default=None
    )
    rotate: bool = setting(
        "With ternary, rotate the weights first, which makes outliers smaller and gives a tied head its own weights.",
        default=False,
    )

    def __post_init__(self) -> None:
        loops = {"core": self.core, "core_layers": self.core_layers, "whole_stack": self.whole_stack or None}
        rule = "left out with num_loops=None, which leaves the model's loops"
        for name, value in loops.items():
            check(self.section, name, value, rule, value is None or self.num_loops is not None)
        for name, value in {"group_size": self.group_size, "rotate": self.rotate or None}.items():
            check(self.section, name, value, "left out with ternary=False", value is None or self.ternary)

    @property
    def steps(self) -> tuple[str, ...]:
        """Folders that are made one after the other; training starts from the last one."""
        made = {DENSE: True, LOOPED: self.num_loops is not None, TERNARY: self.ternary}
        return tuple(name for name, is_made in made.items() if is_made)

    def core_range(self) -> tuple[int, int] | None:
        """Layers of the core that is given; None without one. Raises `ValueError` for other texts than START:END."""
        if self.core is None:
            return None
        from trainers.conversion.loop_command import parse_core

        return parse_core(self.core)

    def dense_config(self) -> "LoopLMConfig":
        """
        Configuration of the model as it is converted, from the published fields.

        Raises:
            ValueError: The family is unknown, or a field is missing or not supported.
        """
        from trainers.conversion.families import looplm_config

        return looplm_config(dict(self.published))

    def model_config(self, **changes: Any) -> "LoopLMConfig":
        """
        Configuration of the model that the first stage trains. A core that is yet to be chosen counts as the middle
        layers.

        Args:
            changes: Fields to set differently.

        Raises:
            ValueError: The settings do not fit the model.
        """
        config = self._planned
        return type(config).from_dict(config.to_dict() | changes)

    @cached_property
    def _planned(self) -> "LoopLMConfig":
        # A recipe asks for it whenever one of its settings changes.
        from trainers.conversion.looping import check_one_loop, core_length, looped_config
        from trainers.conversion.rounding import check_group_size

        config = self.dense_config()
        if self.num_loops is not None:
            check_one_loop(config)
            given, layers = self.core_range(), config.num_shared_layers
            if [given is not None, self.core_layers is not None, self.whole_stack].count(True) > 1:
                raise ValueError("source.core, core_layers and whole_stack exclude each other, got more than one")
            given = (0, layers) if self.whole_stack else given
            length = core_length(layers, given, self.core_layers)
            start = (layers - length) // 2
            config = looped_config(config, self.num_loops, given or (start, start + length))
        values = config.to_dict()
        if self.group_size is not None:
            values["ternary_group_size"] = self.group_size
        if self.ternary:
            check_group_size(type(config).from_dict(values))
            values["ternary"] = True
        if self.rotate:
            values["tie_word_embeddings"] = False
        return type(config).from_dict(values)

    def toy(self) -> dict[str, Any]:
        """Settings of the source of a dry run, whose model is written there."""
        sizes = {name: value for name, value in TOY_SIZES.items() if name != "head_dim" or name in self.published}
        changes: dict[str, Any] = {"published": dict(self.published) | sizes}
        if self.core is not None:
            changes["core"] = ":".join(map(str, TOY_CORE))
        if self.core_layers is not None:
            changes["core_layers"] = TOY_CORE[1] - TOY_CORE[0]
        if self.group_size is not None or self.ternary:
            changes["group_size"] = TOY_SIZES["hidden_size"]
        return changes


def changes_from(planned: "LoopLMConfig", model: "LoopLMConfig") -> dict[str, Any]:
    """Fields in which a recipe's model differs from the one that its source makes."""
    before = planned.to_dict()
    return {name: value for name, value in model.to_dict().items() if before.get(name) != value}
