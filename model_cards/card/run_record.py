"""Files that a training run left: its settings, and of each stage the result and the metrics."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.machine import Machine
from evaluation.public_paths import without_folders
from evaluation.training_curves import Logs, read_metrics
from model_cards.checkpoint import read_json

RECIPE, FINISHED, METRICS = "recipe.json", "finished.json", "metrics.jsonl"
FIRST_STAGE, GATE_STAGE, EXPORT, PREPARE = "pretrain", "gate", "export", "prepare"
MODEL_SIZES = ("vocab_size", "hidden_size", "intermediate_size", "num_shared_layers")

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class StageRecord:
    """
    A stage that trained.

    Attributes:
        name: Name of the stage.
        settings: Its settings in the recipe.
        finished: Its result; empty when it was not recorded.
        logs: Training logs, in order.
        evaluations: Evaluations during the training, in order.
    """

    name: str
    settings: Settings
    finished: Settings
    logs: Logs
    evaluations: Logs

    @property
    def is_reinforcement(self) -> bool:
        """Whether it is a stage of reinforcement learning."""
        return "num_generations" in self.settings

    @property
    def tokens(self) -> int | None:
        """Tokens of text that it trained on; None for reinforcement learning, or when they were not recorded."""
        if self.is_reinforcement:
            return None
        logged = self.logs[-1].get("tokens_seen") if self.logs else None
        return self.finished.get("tokens") or logged

    @property
    def seconds(self) -> float | None:
        """Duration of the training; None when it was not recorded."""
        return self.finished.get("seconds")

    @property
    def machines(self) -> tuple[Machine, ...]:
        """Machines that it trained on; empty when they were not recorded."""
        return tuple(Machine.from_json(each) for each in self.finished.get("machines", ()))


@dataclass(frozen=True)
class RunRecord:
    """
    The run that trained a model, up to the stage that the model is of.

    Attributes:
        recipe: Settings of the run, by section.
        stages: Its stages, in order.
        prepared: Folder of the prepared data, which may be missing.
    """

    recipe: Mapping[str, Any]
    stages: tuple[StageRecord, ...]
    prepared: Path

    @property
    def public_recipe(self) -> dict[str, Any]:
        """Settings as they may be published: of folders the last part, and nothing of that of the user's texts."""
        data = self.recipe.get("data", {})
        if data.get("data_dir") is not None:
            data = data | {"data_dir": "not published"}
        return without_folders({**self.recipe, "data": data})

    @classmethod
    def of_model(cls, folder: Path) -> "RunRecord | None":
        """
        Read the run of a model that a recipe saved in `RUN/STAGE/model` or `RUN/export/packed`, or that has the recipe
        and the metrics of its training beside its weights. None for any other model.

        Raises:
            ValueError: A file of the run is damaged.
        """
        stage_folder = folder.absolute().parent
        run = stage_folder.parent
        if stage_folder.name == EXPORT and (stage_folder / FINISHED).is_file():
            stage_folder = run / read_json(stage_folder / FINISHED)["stage"]
        if (run / RECIPE).is_file() and (stage_folder / FINISHED).is_file():
            recipe = read_json(run / RECIPE)
            stages = _stages(recipe)
            if stage_folder.name not in stages:
                return None
            names = list(stages)[: list(stages).index(stage_folder.name) + 1]
            records = (_stage(name, stages[name], run / name) for name in names)
            return cls(recipe, tuple(records), run / PREPARE)
        return cls._beside_weights(folder)

    @classmethod
    def _beside_weights(cls, folder: Path) -> "RunRecord | None":
        if not (folder / RECIPE).is_file():
            return None
        recipe, config = read_json(folder / RECIPE), read_json(folder / "config.json")
        if not {"model", "data", "training"} <= recipe.keys():
            return None
        if any(recipe["model"].get(name) != config.get(name) for name in MODEL_SIZES):
            return None
        stages = _stages(recipe)
        # The metrics of several stages in one file could not be told apart.
        records = [_stage(name, values, folder) for name, values in stages.items()] if len(stages) == 1 else []
        return cls(recipe, tuple(records), folder / PREPARE)


def _stages(recipe: Mapping[str, Any]) -> dict[str, Settings]:
    """The settings of the stages that trained, by name and in their order, from either form of `recipe.json`."""
    stages = {name: values for name, values in recipe.items() if "kind" in values}
    if not stages:
        # An earlier version kept the first stage and the gate's in "training", and the others in "stages.NAME".
        training = recipe["training"]
        stages = {FIRST_STAGE: training | {"seq_len": recipe["data"]["seq_len"]}}
        stages |= {key.removeprefix("stages."): values for key, values in recipe.items() if key.startswith("stages.")}
        stages[GATE_STAGE] = {"total_steps": training.get("gate_steps", 0)}
    return {name: values for name, values in stages.items() if values.get("total_steps")}


def _stage(name: str, settings: Settings, folder: Path) -> StageRecord:
    finished = read_json(folder / FINISHED) if (folder / FINISHED).is_file() else {}
    return StageRecord(name, settings, finished, *read_metrics(folder))
