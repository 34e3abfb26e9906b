"""The kinds of stages by name, as a run's folder remembers them."""

from recipes.pipeline.stages.distill import Distill
from recipes.pipeline.stages.evaluate import Evaluate
from recipes.pipeline.stages.export import Export
from recipes.pipeline.stages.gate import TrainGate
from recipes.pipeline.stages.maxrl import MaxRL
from recipes.pipeline.stages.pretrain import Pretrain, Sft
from recipes.pipeline.stages.stage import Stage

KINDS: dict[str, type[Stage]] = {
    kind.section: kind for kind in (Pretrain, Sft, Distill, MaxRL, TrainGate, Evaluate, Export)
}
