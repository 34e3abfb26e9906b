"""Training of the exit gate alone."""

from typing import TYPE_CHECKING, ClassVar

from recipes.pipeline.fields import setting, settings
from recipes.pipeline.stages.stage import OptimizerName
from recipes.pipeline.stages.text import TextStage

if TYPE_CHECKING:
    from modeling_nanochat import LoopLMConfig
    from recipes.pipeline.schema import TrainingSettings
    from trainers.pretraining import LoopLMTrainer


@settings
class TrainGate(TextStage):
    """
    Train the exit gate where another loop no longer helps, with everything else frozen (Ouro, arXiv 2510.25741,
    Stage II).
    """

    section: ClassVar[str] = "gate"
    recomputes: ClassVar[bool] = False  # frozen blocks keep no activations

    name: str = setting("Name of the stage and of its folder.", default="gate", min_length=1)
    peak_lr: float = setting("AdamW's learning rate, constant.", default=1e-3, gt=0)

    def trainer_class(self) -> "type[LoopLMTrainer]":
        from trainers.gate import GateTrainer

        return GateTrainer

    def optimizer_of(self, training: "TrainingSettings") -> OptimizerName:
        return "adamw"

    def planned_config(self, config: "LoopLMConfig") -> "LoopLMConfig":
        # The gate compares the predictions of all loops.
        return type(config).from_dict(self.model_config(config).to_dict() | {"loop_loss": "expected"})
