"""The export of the last trained model: packed, and as a GGUF file for llama.cpp."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from model_cards.gguf.blocks import FORMATS
from recipes.pipeline.fields import check, setting, settings
from recipes.pipeline.stages.exported import AUTO, Exported
from recipes.pipeline.stages.stage import FINISHED, Stage

if TYPE_CHECKING:
    from recipes.pipeline.prepare import Prepared
    from recipes.pipeline.schema import Recipe


@settings
class Export(Stage):
    """Export the last trained model to the run's folder `export`."""

    section: ClassVar[str] = "export"
    closes_run: ClassVar[bool] = True
    shapes_training: ClassVar[bool] = False

    name: str = setting("Name of the stage and of its folder.", default="export", min_length=1)
    gguf: str | None = setting(
        "Type of the ternary matrices in a GGUF file for llama.cpp, such as q4_0 or tq2_0. 'auto' takes q4_0, or f16 "
        "where the model needs it, and exports no file where llama.cpp cannot run the model. None exports no file.",
        default=None,
    )

    def __post_init__(self) -> None:
        choices = (*FORMATS, AUTO)
        check(self.name, "gguf", self.gguf, f"one of {', '.join(choices)}, or None", self.gguf in (*choices, None))

    def check_machine(self, recipe: "Recipe", num_processes: int) -> None:
        from recipes.pipeline.export import check_export

        check_export(recipe.model, self)

    def plan(self, recipe: "Recipe") -> str:
        from recipes.pipeline.export import export_plan

        return export_plan(recipe.model, self)

    def summary(self) -> str:
        if self.gguf is None:
            return "packed weights"
        if self.gguf == AUTO:
            return "packed weights, and a GGUF file if llama.cpp can run the model"
        return f"packed weights and a GGUF file of type {self.gguf}"

    def toy(self, recipe: "Recipe", num_processes: int) -> Self:
        # A type that fits the narrow model.
        return self if self.gguf in (AUTO, None) else replace(self, gguf="q4_0")

    def run(self, recipe: "Recipe", prepared: "Prepared", previous: Path | None) -> None:
        from recipes.pipeline.export import export

        assert previous is not None, "a recipe checks that its first stage builds the model"
        export(recipe, self, previous, prepared.tokenizer)

    def model_folder(self, recipe: "Recipe") -> Path | None:
        return None

    def result(self, recipe: "Recipe") -> Exported | None:
        path = recipe.stage_dir(self) / FINISHED
        return Exported.read(path) if path.exists() else None
