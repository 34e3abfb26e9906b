"""The evaluation of the last trained model on benchmarks."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from evaluation.suites.registry import SUITES
from recipes.pipeline.fields import check, setting, settings
from recipes.pipeline.stages.evaluated import Evaluated
from recipes.pipeline.stages.stage import FINISHED, Stage

if TYPE_CHECKING:
    from recipes.pipeline.prepare import Prepared
    from recipes.pipeline.schema import Recipe


@settings
class Evaluate(Stage):
    """Measure the last trained model with suites of the evaluation, in the run's folder `evaluate`."""

    section: ClassVar[str] = "evaluate"
    closes_run: ClassVar[bool] = True
    shapes_training: ClassVar[bool] = False

    name: str = setting("Name of the stage and of its folder.", default="evaluate", min_length=1)
    suites: tuple[str, ...] = setting(
        f"Suites, of {', '.join(SUITES)}, with commas between them; () leaves the stage out. A suite that cannot run, "
        "for example without HF_ALLOW_CODE_EVAL=1, is named with the reason. The perplexity is that of the held-out "
        "text.",
        default=(),
    )
    samples: int = setting(
        "Completions of each problem; a single one is decoded greedily, several are sampled at temperature 0.2.",
        default=1,
        ge=1,
    )
    limit: int | None = setting(
        "Maximum number of problems, or texts, of each suite; None for all.", default=None, ge=1
    )
    max_new_tokens: int = setting("Maximum number of tokens of a completion.", default=512, ge=1)
    engine: Literal["torch", "native"] = setting(
        "Program that generates the completions; native runs on the CPU many times faster than torch does.",
        default="torch",
    )

    def __post_init__(self) -> None:
        unknown = next((name for name in self.suites if name not in SUITES), None)
        check(self.name, "suites", unknown, f"some of {', '.join(SUITES)}", unknown is None)

    @property
    def is_active(self) -> bool:
        return bool(self.suites)

    def plan(self, recipe: "Recipe") -> str:
        from recipes.pipeline.evaluate import evaluation_plan

        return evaluation_plan(self)

    def summary(self) -> str:
        limit = "" if self.limit is None else f", at most {self.limit:,} problems or texts of each"
        return f"{', '.join(self.suites)}{limit}"

    def toy(self, recipe: "Recipe", num_processes: int) -> Self:
        return replace(self, samples=1, limit=1, max_new_tokens=8)

    def run(self, recipe: "Recipe", prepared: "Prepared", previous: Path | None) -> None:
        from recipes.pipeline.evaluate import evaluate

        assert previous is not None, "a recipe checks that its first stage builds the model"
        evaluate(recipe, self, prepared, previous)

    def model_folder(self, recipe: "Recipe") -> Path | None:
        return None

    def result(self, recipe: "Recipe") -> Evaluated | None:
        path = recipe.stage_dir(self) / FINISHED
        return Evaluated.read(path) if path.exists() else None
