"""Distillation: training on the predictions of a teacher."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from recipes.pipeline.fields import check, setting, settings, values_of
from recipes.pipeline.file_names import SOURCE
from recipes.pipeline.source_settings import DENSE
from recipes.pipeline.stages.pretrain import Pretrain
from recipes.pipeline.stages.stage import FINISHED, uses_fsdp

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from modeling_nanochat import LoopLMConfig
    from recipes.pipeline.plan.teacher import TeacherSize
    from recipes.pipeline.prepare import Prepared
    from recipes.pipeline.schema import Recipe, TrainingSettings
    from trainers.distillation.attention import AttentionRelations
    from trainers.distillation.loss import DistillationWeights
    from trainers.pretraining import LoopLMTrainer


@settings
class Distill(Pretrain):
    """Train the model of the stage before on the predictions of a teacher with the same tokenizer."""

    section: ClassVar[str] = "distill"
    builds_model: ClassVar[bool] = False

    name: str = setting("Name of the stage and of its folder.", default="distill", min_length=1)
    teacher: str = setting(
        "Folder or Hub name of the teacher, a causal language model of transformers or of this project, with the "
        "student's tokenizer. 'source' is the model that the run adapts, as it was converted.",
        min_length=1,
    )
    temperature: float = setting("Divisor of the logits of teacher and student.", default=1.0, gt=0)
    kl_weight: float = setting(
        "Weight of the divergence of the last loop from the teacher, times the squared temperature.", default=1.0, ge=0
    )
    hard_weight: float = setting("Weight of the last loop's cross-entropy of the text.", default=0.0, ge=0)
    self_distillation_weight: float = setting(
        "Weight of the divergence of the earlier loops from the last one, times the squared temperature.",
        default=0.0,
        ge=0,
    )
    attention_relation_weight: float = setting(
        "Weight of the divergence of one layer's attention relations from the teacher's; 0 leaves them out.",
        default=0.0,
        ge=0,
    )
    attention_relation_layer: int | None = setting(
        "The student's layer, counted from 0, whose relations are compared, in the last loop; None is the last layer "
        "of the core.",
        default=None,
        ge=0,
    )
    attention_relation_teacher_layer: int | None = setting(
        "The teacher's layer, counted from 0; None is the one at the same relative depth.", default=None, ge=0
    )
    attention_relation_heads: int = setting(
        "Number of relation heads, which divides the widths of queries and keys of teacher and student.",
        default=8,
        ge=1,
    )
    teacher_top_k: int | None = setting(
        "Number of the teacher's likeliest tokens that are kept on disk for every token of the text, computed once "
        "before the training; None computes all of the teacher's predictions as they are needed.",
        default=None,
        ge=1,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        rule = "above 0 where hard_weight is 0, or the last loop would not learn"
        check(self.name, "kl_weight", self.kl_weight, rule, self.kl_weight > 0 or self.hard_weight > 0)
        rule = f"None with attention_relation_weight={self.attention_relation_weight:g}: kept predictions have none"
        fits = self.teacher_top_k is None or not self.attention_relation_weight
        check(self.name, "teacher_top_k", self.teacher_top_k, rule, fits)

    def weights(self) -> "DistillationWeights":
        """Weights of the loss."""
        from trainers.distillation.loss import DistillationWeights

        return DistillationWeights(self.temperature, self.kl_weight, self.hard_weight, self.self_distillation_weight)

    def relations(self) -> "AttentionRelations | None":
        """Settings of the attention relations in the loss; None where they have no weight."""
        from trainers.distillation.attention import AttentionRelations

        if not self.attention_relation_weight:
            return None
        return AttentionRelations(
            self.attention_relation_weight,
            self.attention_relation_layer,
            self.attention_relation_teacher_layer,
            self.attention_relation_heads,
        )

    def trainer_class(self) -> "type[LoopLMTrainer]":
        from trainers.distillation.trainer import DistillationTrainer

        return DistillationTrainer

    def training_arguments(self, training: "TrainingSettings") -> dict[str, Any]:
        # All parameters are used, the head's after the forward pass.
        return super().training_arguments(training) | {"ddp_find_unused_parameters": False}

    def trainer_settings(self, recipe: "Recipe", prepared: "Prepared", micro_batch_size: int) -> dict[str, Any]:
        from recipes.pipeline.distill import teacher_or_kept_targets

        found = teacher_or_kept_targets(recipe, self, prepared, micro_batch_size)
        return {"weights": self.weights(), "relations": self.relations(), **found}

    def objective(self) -> str:
        squared = f"{self.temperature**2:g}"
        parts = [
            (self.kl_weight, f"{self.kl_weight:g} x {squared} x KL(teacher || last loop)"),
            (self.hard_weight, f"{self.hard_weight:g} x the last loop's loss"),
            (
                self.self_distillation_weight,
                f"{self.self_distillation_weight:g} x {squared} x the mean KL(last loop || earlier loop)",
            ),
            (
                self.attention_relation_weight,
                f"{self.attention_relation_weight:g} x KL(teacher || last loop) of the attention relations of a layer",
            ),
        ]
        terms = " + ".join(words for weight, words in parts if weight)
        return f"The objective is {terms}, at temperature {self.temperature:g}. Losses are in nats per token."

    def planned_config(self, config: "LoopLMConfig") -> "LoopLMConfig":
        return type(config).from_dict(self.model_config(config).to_dict() | {"loop_loss": self.weights().loop_loss})

    def teacher_size(self, recipe: "Recipe") -> "TeacherSize":
        from recipes.pipeline.plan.teacher import named_teacher_size, teacher_size

        bf16 = recipe.hardware.mixed_precision != "no"
        if self.teacher == SOURCE and recipe.source is not None:
            return teacher_size(recipe.source.dense_config(), bf16, self.teacher_top_k)
        return named_teacher_size(self.teacher, bf16, self.teacher_top_k)

    def validate(self, recipe: "Recipe") -> None:
        super().validate(recipe)
        vocab_size, k = recipe.model.vocab_size, self.teacher_top_k
        rule = f"None or at most model.vocab_size={vocab_size}"
        check(self.name, "teacher_top_k", k, rule, k is None or k <= vocab_size)
        if self.teacher == SOURCE:
            rule = "a folder or a name on the Hub: only a recipe that adapts a model has a source"
            check(self.name, "teacher", self.teacher, rule, recipe.source is not None)

    def check_machine(self, recipe: "Recipe", num_processes: int) -> None:
        super().check_machine(recipe, num_processes)
        if uses_fsdp():
            raise ValueError(
                f"stage {self.name} needs the whole student in every process, and FSDP shards it: use "
                "recipes/launch/ddp_2.yaml"
            )
        if self.is_finished(recipe):
            return
        if self.teacher != SOURCE:
            self.check_teacher(recipe)
        elif recipe.source is not None:
            self.check_relations(recipe, recipe.source.dense_config())

    def check_initial(self, recipe: "Recipe") -> None:
        # The tokenizer of a source is known only now.
        if recipe.source is not None and not self.is_finished(recipe) and self.teacher != SOURCE:
            self.check_teacher(recipe)

    def check_teacher(self, recipe: "Recipe") -> None:
        """Check what is known of the teacher before the data is prepared. Raises `ValueError`."""
        from recipes.pipeline.distill import check_teacher

        check_teacher(recipe, self)

    def check_relations(self, recipe: "Recipe", teacher: "PreTrainedConfig") -> None:
        """Check the attention relations against the configuration of the teacher. Raises `ValueError`."""
        from recipes.pipeline.distill import check_relations

        check_relations(recipe, self, teacher)

    def check_prepared(self, recipe: "Recipe", prepared: "Prepared", folder: Path) -> None:
        super().check_prepared(recipe, prepared, folder)
        if not (folder / self.name / FINISHED).exists():
            self.check_teacher_of(recipe, prepared, folder / self.name)

    def check_teacher_of(self, recipe: "Recipe", prepared: "Prepared", folder: Path) -> None:
        """Check the teacher against the student's tokenizer, and against that of the stage's folder."""
        from recipes.pipeline.distill import check_prepared_teacher

        check_prepared_teacher(self.with_teacher(folder.parent), prepared, folder)

    def with_teacher(self, run: Path) -> "Distill":
        """The stage with the folder of its teacher, which for the model that a run adapts is in the run's folder."""
        return replace(self, teacher=str(run / SOURCE / DENSE)) if self.teacher == SOURCE else self

    def run(self, recipe: "Recipe", prepared: "Prepared", previous: Path | None) -> None:
        super(Distill, self.with_teacher(recipe.run_dir)).run(recipe, prepared, previous)

    def reads(self, recipe: "Recipe", prepared: "Prepared") -> Iterator[str]:
        from trainers.distillation.kept_targets import bytes_of

        yield from super().reads(recipe, prepared)
        if self.teacher_top_k is not None:
            tokens = len(prepared.training[self.name]) * recipe.data.seq_len
            size = bytes_of(tokens, self.teacher_top_k) / 1e9
            yield (
                f"Stage {self.name} keeps {self.teacher_top_k} predictions of the teacher for each of {tokens:,} "
                f"tokens: {size:,.2f} GB of disk"
            )

    def toy(self, recipe: "Recipe", num_processes: int, **changes: Any) -> Self:
        # A layer or a number of heads that the small models have.
        relations = dict(attention_relation_layer=None, attention_relation_teacher_layer=None)
        small = super().toy(recipe, num_processes, attention_relation_heads=1, **relations, **changes)
        if self.teacher == SOURCE:
            # A dry run has a small source.
            return small
        return cast(Self, StandInDistill(**values_of(small)))


@settings
class StandInDistill(Distill):
    """
    The stage in a dry run, whose tokenizer is trained on a few texts: an untrained model of the student's size takes
    the place of the teacher.
    """

    def check_teacher(self, recipe: "Recipe") -> None:
        """The stand-in is made when the stage runs."""

    def check_teacher_of(self, recipe: "Recipe", prepared: "Prepared", folder: Path) -> None:
        """Likewise."""

    def run(self, recipe: "Recipe", prepared: "Prepared", previous: Path | None) -> None:
        from recipes.pipeline.initial_model import write_stand_in
        from recipes.pipeline.processes import on_main_process

        folder = recipe.run_dir / f"{self.name}-teacher"
        on_main_process(lambda: write_stand_in(self.model_config(recipe.model), prepared.tokenizer, folder))
        super(StandInDistill, replace(self, teacher=str(folder))).run(recipe, prepared, previous)
