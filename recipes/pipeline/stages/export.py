"""The export of the last trained model: packed, and as a GGUF file for llama.cpp."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from model_cards.gguf.blocks import FORMATS
from recipes.pipeline.fields import check, setting, settings
from recipes.pipeline.stages.stage import FINISHED, Stage, StageResult

if TYPE_CHECKING:
    from recipes.pipeline.prepare import Prepared
    from recipes.pipeline.schema import Recipe


@dataclass(frozen=True, kw_only=True)
class Exported(StageResult):
    """
    Exported files.

    Attributes:
        stage: Stage whose model was exported.
        file_sizes: Bytes by name; packed weights only of a model with ternary layers, a GGUF file only when asked for.
        agreement: Comparison of llama.cpp, running the GGUF file, with the model; None without a file.
        problem: Reason why something could not be exported; the training is done and saved all the same.
    """

    stage: str
    file_sizes: Mapping[str, int] = field(default_factory=dict)
    agreement: Mapping[str, Any] | None = None
    problem: str | None = None

    def rows(self, stage: Stage) -> Iterator[tuple[str, str]]:
        for name, size in self.file_sizes.items():
            yield f"exported: {name}", f"{size / 1e6:,.3f} MB"
        if self.problem is not None:
            yield "not exported", self.problem
        if self.agreement is not None:
            yield "llama.cpp and the model", _agreement_words(self.agreement)

    def add_to(self, report: dict[str, Any], stage: Stage) -> None:
        report["export"] = {
            "file_sizes": dict(self.file_sizes),
            "agreement": self.agreement,
            "problem": self.problem,
        }


@settings
class Export(Stage):
    """Export the last trained model to the run's folder `export`."""

    section: ClassVar[str] = "export"
    closes_run: ClassVar[bool] = True
    shapes_training: ClassVar[bool] = False

    name: str = setting("Name of the stage and of its folder.", default="export", min_length=1)
    gguf: str | None = setting(
        "Type of the ternary matrices in a GGUF file for llama.cpp, such as q4_0 or tq2_0; None exports no file.",
        default=None,
    )

    def __post_init__(self) -> None:
        rule = f"one of {', '.join(FORMATS)}, or None"
        check(self.name, "gguf", self.gguf, rule, self.gguf is None or self.gguf in FORMATS)

    def check_machine(self, recipe: "Recipe", num_processes: int) -> None:
        from recipes.pipeline.export import check_export

        check_export(recipe.model, self)

    def plan(self, recipe: "Recipe") -> str:
        from recipes.pipeline.export import export_plan

        return export_plan(recipe.model, self)

    def summary(self) -> str:
        return "packed weights" + ("" if self.gguf is None else f" and a GGUF file of type {self.gguf}")

    def toy(self, recipe: "Recipe") -> Self:
        # A type that fits the narrow model.
        return replace(self, gguf=self.gguf and "q4_0")

    def run(self, recipe: "Recipe", prepared: "Prepared", previous: Path | None) -> None:
        from recipes.pipeline.export import export

        assert previous is not None, "a recipe checks that its first stage builds the model"
        export(recipe, self, previous, prepared.tokenizer)

    def model_folder(self, recipe: "Recipe") -> Path | None:
        return None

    def result(self, recipe: "Recipe") -> Exported | None:
        path = recipe.stage_dir(self) / FINISHED
        return Exported.read(path) if path.exists() else None


def _agreement_words(agreement: Mapping[str, Any]) -> str:
    texts = f"{agreement['texts'] - len(agreement['wrong_texts'])} of {agreement['texts']} texts have equal token ids"
    top1 = f"likeliest token equal at {agreement['top1']:.1%} of {agreement['positions']}"
    return "\n".join([*(agreement["problems"] or ["agree"]), f"KL {agreement['kl']:.1e} nats, {top1}", texts])
