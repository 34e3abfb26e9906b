"""A stage of a recipe: settings with what they check, how they run, and what a finished run of them left."""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from evaluation.machine import Machine
from recipes.pipeline.fields import Settings

if TYPE_CHECKING:
    from recipes.pipeline.prepare import Prepared
    from recipes.pipeline.schema import Recipe

Mix = Mapping[str, float] | None
OptimizerName = Literal["muon_lion", "adamw"]
FINISHED = "finished.json"
OWN_TEXT = "data_dir"
"""Name in a mix for the user's folder."""


def uses_fsdp() -> bool:
    """Whether accelerate's launcher asks for FSDP."""
    return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


@dataclass(frozen=True)
class StageResult:
    """
    Result of a finished stage, kept as JSON in its folder.

    Attributes:
        tokens: Tokens that the stage trained on.
        tokens_per_second: Of its last uninterrupted part; None when no step was left to do.
        held_out_loss: After each loop, in nats per token, over all held-out blocks; empty where nothing was trained.
        seconds: Wall-clock time of the training, over all calls that continued it; None when it was not recorded.
        machines: Where it trained, each machine once; empty when it was not recorded.
    """

    tokens: int = 0
    tokens_per_second: float | None = None
    held_out_loss: Sequence[float] = ()
    seconds: float | None = None
    machines: Sequence[Machine] = ()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the result of a finished stage."""
        values = json.loads(path.read_text())
        machines = tuple(Machine.from_json(each) for each in values.pop("machines", ()))
        return cls(machines=machines, **values)

    def write(self, path: Path) -> None:
        """Write the result: the stage is finished."""
        path.write_text(json.dumps(asdict(self)) + "\n")

    def rows(self, stage: "Stage") -> Iterator[tuple[str, str]]:
        """Rows of the closing table."""
        yield from ()

    def add_to(self, report: dict[str, Any], stage: "Stage") -> None:
        """Add what only this kind of result has to `report.json`."""


class Stage(Settings, ABC):
    """
    Base of all kinds of stages. Subclasses are made by `recipes.pipeline.fields.settings`.

    Attributes:
        builds_model: Whether it builds a new model where a run has none to continue from.
        closes_run: Whether it runs at the end of every call, on the last model that was trained.
        shapes_training: Whether its settings shape what is trained, so that a continued run must not change them.
    """

    builds_model: ClassVar[bool] = False
    closes_run: ClassVar[bool] = False
    shapes_training: ClassVar[bool] = True
    name: str

    @property
    def is_active(self) -> bool:
        """Whether there is anything to do."""
        return True

    @property
    def longest_block(self) -> int:
        """Tokens per block of text; 0 for a stage that trains on none."""
        return 0

    @property
    def reference_lr(self) -> float:
        """Peak learning rate, by which those of other optimizers are scaled in later stages."""
        return 1.0

    @property
    def runs_compiler(self) -> bool:
        """Whether it needs rustc."""
        return False

    def needs_consent(self) -> bool:
        """Whether it runs programs that the model wrote and the user has not allowed it."""
        return False

    def mixes(self, recipe: "Recipe") -> Iterator[Mix]:
        """Mixes of text that have to be prepared; None is all text once."""
        yield from ()

    def validate(self, recipe: "Recipe") -> None:
        """Check the settings against the rest of the recipe. Raises `ValueError`."""

    def check_machine(self, recipe: "Recipe", num_processes: int) -> None:
        """Check what it needs of the machine and the launcher. Raises `ValueError`."""

    def check_initial(self, recipe: "Recipe") -> None:
        """Check against the model that the run starts from, before the data is prepared. Raises `ValueError`."""

    def check_prepared(self, recipe: "Recipe", prepared: "Prepared", folder: Path) -> None:
        """
        Check the prepared data. Raises `ValueError`.

        Args:
            recipe: Of the run.
            prepared: Tokenizer and blocks.
            folder: Of the run, or the one in which a new run is prepared.
        """

    def reads(self, recipe: "Recipe", prepared: "Prepared") -> Iterator[str]:
        """Sentences about how often the stage reads the prepared data."""
        yield from ()

    def warnings(self, recipe: "Recipe", prepared: "Prepared") -> Iterator[str]:
        """Sentences about the prepared data that a user wants to know before the run."""
        yield from ()

    def plan(self, recipe: "Recipe") -> str:
        """A sentence for the beginning of a run; "" for none."""
        return ""

    @abstractmethod
    def summary(self) -> str:
        """Size of the stage in words."""

    @abstractmethod
    def toy(self, recipe: "Recipe", num_processes: int) -> Self:
        """The stage at a size that takes seconds, whose batches that many processes share evenly."""

    def with_total_steps(self, total_steps: int) -> Self:
        """The stage stretched to another length. Raises `ValueError` where it has none."""
        raise ValueError(f"stage {self.name} has no total_steps")

    @abstractmethod
    def run(self, recipe: "Recipe", prepared: "Prepared", previous: Path | None) -> None:
        """
        Do the stage's work; continue what an interrupted call left, and do nothing when it is finished.

        Args:
            recipe: Of the run.
            prepared: Tokenizer and blocks.
            previous: Folder of the model to continue from; None in the first stage.
        """

    def is_finished(self, recipe: "Recipe") -> bool:
        """Whether an earlier call finished it."""
        return (recipe.stage_dir(self) / FINISHED).exists()

    def model_folder(self, recipe: "Recipe") -> Path | None:
        """Folder of the model that it leaves for the next stage; None when it trains none."""
        return recipe.stage_dir(self) / "model"

    @abstractmethod
    def result(self, recipe: "Recipe") -> StageResult | None:
        """Result of the finished stage; None before."""
