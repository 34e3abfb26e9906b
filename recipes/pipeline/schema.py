"""A recipe: everything a run depends on, as one typed value."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from recipes.pipeline.data_settings import DataSettings
from recipes.pipeline.design.hints import hint
from recipes.pipeline.fields import Settings, changed, check, names, setting, settings
from recipes.pipeline.hardware_settings import HardwareSettings
from recipes.pipeline.source_settings import COMPARED, FROM_SOURCE, SourceSettings, changes_from
from recipes.pipeline.stages.stage import OWN_TEXT, OptimizerName, Stage
from trainers.data.mix_names import MIX_NAMES
from trainers.data.sources import BUILTIN_RUST

if TYPE_CHECKING:
    from modeling_nanochat import LoopLMConfig
    from recipes.pipeline.initial_model import InitialModel
    from trainers.stopping import TimeLimit

SHORTEST_TOY_BLOCK, LONGEST_TOY_BLOCK = 32, 512
# Texts of each source that a dry run reads.
TOY_TEXTS = 32
TOY_MODEL = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_shared_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": LONGEST_TOY_BLOCK,
    "vocab_size": 512,
    "ternary_group_size": 64,
}


@settings
class TrainingSettings(Settings):
    """Settings that all training stages share."""

    section: ClassVar[str] = "training"

    micro_batch_size: int = setting(
        "Maximum number of blocks of data.seq_len tokens per forward pass; gradients are accumulated.", ge=1
    )
    optimizer: OptimizerName = setting(
        '"adamw", or "muon_lion": Muon on the hidden matrices, Lion on the rest.', default="adamw"
    )
    muon_lr: float = setting(
        "Muon's peak learning rate in the first stage; later stages scale it by their peak_lr.", default=0.02, gt=0
    )
    lion_lr: float = setting("Lion's, likewise.", default=1e-4, gt=0)
    loop_scale_lr_multiplier: float = setting(
        'Factor of the learning rate of loop_scale, of a model with loop_update="scaled".', default=1.0, gt=0
    )
    lion_impl: Literal["bitsandbytes", "bitsandbytes_8bit", "torch"] = setting(
        "Implementation of Lion.", default="bitsandbytes"
    )
    adam_beta2: float = setting("AdamW's decay rate of the second moment.", default=0.95, ge=0, lt=1)
    weight_decay: float = setting("Weight decay of the matrices.", default=0.0, ge=0)
    grad_clip: float = setting("Maximum norm of the gradient.", default=1.0, gt=0)
    logging_steps: int = setting("Steps between two log lines.", default=10, ge=1)
    save_steps: int = setting("Steps between two checkpoints.", default=100, ge=1)
    max_shard_size: str | None = setting(
        "Maximum size of a file of weights, such as 14MB, in saved models and checkpoints; None for transformers' "
        "own, 50GB. The optimizer's state stays one file.",
        default=None,
    )
    eval_steps: int = setting(
        "Steps between two measurements of the held-out loss, each after the checkpoint of its step; 0 measures it "
        "only at the end of a stage.",
        default=0,
        ge=0,
    )
    eval_seconds: float = setting(
        "Seconds in each of these evaluations for completing prompts: compile rate, and HumanEval-Rust where "
        "generated programs may run; 0 for none.",
        default=0.0,
        ge=0,
    )
    eval_prompts: int = setting(
        "Number of compile-rate prompts that the finished model completes for the report; 0 for none.",
        default=0,
        ge=0,
    )
    report_to: Literal["none", "tensorboard", "trackio"] = setting(
        "Additional logging integration; metrics.jsonl is always written.", default="none"
    )
    checkpointing: Literal["auto", "none", "selective", "layer", "loop", "group"] = setting(
        'Activations kept for the backward pass: "none" keeps all, "selective" the input of every block and the '
        'outputs of its matrix products and attention, "layer" the input of every block, "loop" the state at the '
        "start of every loop; the others are computed again. "
        '"group" is "loop" for long texts: the inputs of the '
        'blocks are held for one group of blocks at a time. "auto" takes the first of these that fits the GPU by the '
        'plan, with fewer blocks at a time where that saves recomputation; without a GPU it is "none", and in '
        'reinforcement learning "layer".',
        default="none",
    )
    compile_blocks: bool = setting("Compile the shared block with torch.compile.", default=False)
    seed: int = setting("Seed of the weights and of the order of the data.", default=0, ge=0, lt=2**32)

    def __post_init__(self) -> None:
        rule = f"a multiple of logging_steps={self.logging_steps}, so that a resumed run logs the same means"
        check("training", "save_steps", self.save_steps, rule, self.save_steps % self.logging_steps == 0)
        size = self.max_shard_size
        is_size = size is None or re.fullmatch(r"[1-9]\d*(KB|MB|GB)", size) is not None
        check("training", "max_shard_size", size, "a number with KB, MB or GB, such as 14MB, or None", is_size)
        rule = f"a multiple of save_steps={self.save_steps}: every evaluation has its checkpoint"
        check("training", "eval_steps", self.eval_steps, rule, self.eval_steps % self.save_steps == 0)

    def for_total_steps(self, total_steps: int) -> "TrainingSettings":
        """Intervals that fit a first stage of another length."""
        logging_steps = max(1, min(self.logging_steps, total_steps // 4))
        save_steps = logging_steps * (self.save_steps // self.logging_steps)
        eval_steps = save_steps * (self.eval_steps // self.save_steps)
        return replace(self, logging_steps=logging_steps, save_steps=save_steps, eval_steps=eval_steps)


def _check_names(section: str, values: Mapping[str, Any], fields: Collection[str]) -> None:
    """Raise `ValueError` for a name that another setting has elsewhere, with that setting."""
    for name, value in values.items():
        instead = None if name in fields else hint(section, name, [f"{section}.{field}" for field in fields])
        if instead is not None:
            raise ValueError(f"{section}.{name} does not exist, got {name}={value!r}: {instead}")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """
    A whole run.

    Attributes:
        name: Name of the run's folder.
        description: One sentence for the reader.
        model: The model's configuration; vocabulary and special tokens are those of the tokenizer.
        data: Data that the model is trained on.
        training: Settings that all stages share.
        stages: Stages in their order, each continuing from the model of the one before. Their settings have the
            stage's name: `--set pretrain.total_steps=100`.
        hardware: How the machine is used.
        source: The model that is converted, looped and made ternary, and that the first stage starts from; `model` is
            its configuration, with some fields changed. None for a recipe that adapts none.
        init_from: The saved model that the first stage starts from, whose configuration `model` is and whose tokenizer
            encodes the data; None for a new model and tokenizer.
        output_dir: Parent of the run's folder.
        prompt: Prompt that the finished model continues in the report.
        time_limit: Time after which a training ends at a checkpoint; None for no limit.
        gpu: GPU that the recipe was made for, for `--plan`; None for this machine's.
        num_gpus: Number of these GPUs.
    """

    name: str
    description: str
    model: "LoopLMConfig"
    data: DataSettings
    training: TrainingSettings
    stages: tuple[Stage, ...]
    hardware: HardwareSettings = HardwareSettings()
    source: SourceSettings | None = None
    init_from: "InitialModel | None" = None
    output_dir: Path = Path("runs")
    prompt: str = "fn "
    time_limit: "TimeLimit | None" = None
    gpu: str | None = None
    num_gpus: int = 1

    def __post_init__(self) -> None:
        longest = self.model.max_position_embeddings
        rule = f"at most model.max_position_embeddings={longest}"
        check("data", "seq_len", self.data.seq_len, rule, self.data.seq_len <= longest)
        vocab_size = self.model.vocab_size
        rule = f"at least data.vocab_size={self.data.vocab_size}"
        check("model", "vocab_size", vocab_size, rule, vocab_size >= self.data.vocab_size)
        weights = self.model.weight_format
        check("model", "weight_format", weights, "latent: packed weights cannot be trained", weights == "latent")
        names = [stage.name for stage in self.stages]
        check("recipe", "stages", names, "of different names", len(set(names)) == len(names))
        sections = {"model", "init_from"}
        sections |= {part.section for part in (DataSettings, TrainingSettings, HardwareSettings, SourceSettings)}
        taken = (sections | {"prepare", "evaluation", "next"}) & set(names)
        check("recipe", "stages", names, "of names other than those of sections and folders", not taken)
        on_text = bool(self.active_stages) and self.active_stages[0].longest_block > 0
        check("recipe", "stages", names, "such that the first one with steps trains on text", on_text)
        if self.source is not None:
            self._check_source(self.source)
        for stage in self.active_stages:
            stage.validate(self)

    def _check_source(self, source: SourceSettings) -> None:
        """Raise `ValueError` if the model has another shape than the source makes."""
        planned, found = source.model_config().to_dict(), self.model.to_dict()
        # The place of the core may be known only when the source is made.
        for name in FROM_SOURCE if self.init_from is None else COMPARED:
            rule = f"{planned[name]}, which the settings of source decide"
            check("model", name, found[name], rule, found[name] == planned[name])

    @property
    def active_stages(self) -> tuple[Stage, ...]:
        """Stages that have something to do: a stage with `total_steps=0` is left out."""
        return tuple(stage for stage in self.stages if stage.is_active)

    @property
    def peak_lr(self) -> float:
        """Peak learning rate of the first stage, to which Muon's and Lion's belong."""
        return self.active_stages[0].reference_lr

    @property
    def run_dir(self) -> Path:
        """`output_dir/name`."""
        return self.output_dir / self.name

    def stage_dir(self, stage: Stage) -> Path:
        """Folder of a stage's checkpoints, logs and model."""
        return self.run_dir / stage.name

    def stage(self, name: str) -> Stage:
        """The stage of this name; raises `ValueError` without one."""
        return self._named(name, self.stages)

    def _named(self, name: str, stages: tuple[Stage, ...]) -> Stage:
        for stage in stages:
            if stage.name == name:
                return stage
        raise ValueError(f"recipe {self.name} has no stage {name}, only {', '.join(s.name for s in stages)}")

    def active_stage(self, name: str) -> Stage:
        """The active stage of this name; raises `ValueError` without one."""
        stage = self.stage(name)
        if not stage.is_active:
            raise ValueError(f"stage {name} has nothing to do: --set {name}.total_steps=N gives it steps")
        return stage

    def before(self, stage: Stage) -> tuple[Stage, ...]:
        """The active stages before one of them, without those that close every run."""
        before = self.active_stages[: self.active_stages.index(stage)]
        return tuple(each for each in before if not each.closes_run)

    def changed(self, **changes: Any) -> "Recipe":
        """
        A recipe with other values: a mapping changes settings of a section (`model={"num_loops": 2}`), anything else
        replaces a field of the recipe.

        Args:
            changes: By the names of the recipe's fields and stages.

        Raises:
            ValueError: A section, a setting or a value does not exist or breaks its rule.
        """
        fields: dict[str, Any] = {}
        model = self.model
        if self.source is not None and isinstance(changes.get(SourceSettings.section), Mapping):
            values = changes.pop(SourceSettings.section)
            _check_names(SourceSettings.section, values, names(SourceSettings))
            source = changed(self.source, **values)
            model = source.model_config(**changes_from(self.source.model_config(), model))
            fields = {"source": source, "model": model}
        parts: dict[str, Settings] = {part.section: part for part in (self.data, self.training, self.hardware)}
        # Other stages come first: sections change those.
        stages = changes.pop("stages", self.stages)
        other: dict[str, Stage] = {}
        for section, values in changes.items():
            if not isinstance(values, Mapping):
                if section not in self.__dataclass_fields__:
                    instead = hint("", section) or f"it has {', '.join(self.__dataclass_fields__)}"
                    raise ValueError(f"recipe {self.name} has no field {section}: {instead}")
                fields[section] = values
            elif section == "model":
                _check_names(section, values, model.to_dict())
                fields[section] = type(model).from_dict(model.to_dict() | dict(values))
            elif section in parts:
                _check_names(section, values, names(type(parts[section])))
                fields[section] = changed(parts[section], **values)
            else:
                stage = self._named(section, stages)
                _check_names(section, values, names(type(stage)))
                other[section] = changed(stage, **values)
        return replace(self, stages=tuple(other.get(stage.name, stage) for stage in stages), **fields)

    def with_total_steps(self, total_steps: int) -> "Recipe":
        """The recipe with its first stage stretched to another length."""
        first, *later = self.stages
        training = self.training.for_total_steps(total_steps)
        return replace(self, training=training, stages=(first.with_total_steps(total_steps), *later))

    def up_to(self, name: str) -> "Recipe":
        """The recipe that ends with the named stage, and with those that close every run."""
        last = self.stages.index(self.stage(name))
        kept = (stage for index, stage in enumerate(self.stages) if index <= last or stage.closes_run)
        return replace(self, stages=tuple(kept))

    def toy_length(self, seq_len: int) -> int:
        """Length of a block in a dry run: blocks keep the ratios of their lengths, up to the longest one."""
        shortest = min({self.data.seq_len, *(stage.longest_block for stage in self.active_stages)} - {0})
        return min(LONGEST_TOY_BLOCK, SHORTEST_TOY_BLOCK * seq_len // shortest)

    def toy_mix(self, mix: Mapping[str, float] | None) -> Mapping[str, float] | None:
        """A mix in a dry run, which may lack sources that the mix names: real text takes their shares."""
        if mix is None:
            return None
        made = {
            "synthetic": self.data.synthetic_samples,
            "tasks": self.data.tasks,
            "functions": self.data.functions,
            "augmented": self.data.variants,
        }
        known = {*MIX_NAMES, *(name for name, amount in made.items() if amount), OWN_TEXT, "text", "all"}
        shares: dict[str, float] = {}
        for name, share in mix.items():
            kept = name if name in known else "text"
            shares[kept] = shares.get(kept, 0) + share
        return shares

    def toy(self, num_processes: int = 1) -> "Recipe":
        """
        The same pipeline at a size that takes seconds: two steps of every stage, a tiny model, and short blocks of a
        few texts of each source, where built-in texts stand in for the toolchain's documentation. Mixes, ratios of
        block lengths, accumulation, streams and recomputation stay. Nothing is compiled, which would take minutes, and
        texts are not selected by difficulty. A saved model to start from must be replaced by a small one.

        Args:
            num_processes: Number of processes of the dry run, which share the batches evenly.
        """
        data = {
            "data_dir": self.data.data_dir or BUILTIN_RUST,
            "seq_len": self.toy_length(self.data.seq_len),
            "vocab_size": 512,
            "verified_sample": 4,
            "synthetic_samples": min(8, self.data.synthetic_samples),
            # Made tasks stand in for those of a file, whose prompts may be too long for the toy model.
            "tasks": min(96, self.data.tasks) if self.data.task_file is None else 96,
            "compile_tasks": min(8, self.data.compile_tasks),
            "compile_functions": min(8, self.data.compile_functions),
            "functions": min(8, self.data.functions),
            "task_file": None,
            "task_crates": None,
            "mix": self.toy_mix(self.data.mix),
            "limit": min(TOY_TEXTS, self.data.limit or TOY_TEXTS),
            "decontaminate": False,
            "difficulty": None,
        }
        outside = {name: min(1, getattr(self.model, name)) for name in ("num_prelude_layers", "num_coda_layers")}
        model, source = TOY_MODEL | outside, {}
        if self.source is not None:
            model, source = {}, {"source": self.source.toy()}
        if self.init_from is not None:
            # The tokenizer is that of the saved model.
            data["vocab_size"] = self.data.vocab_size
            model["vocab_size"] = self.model.vocab_size
        training = {
            "micro_batch_size": min(2, self.training.micro_batch_size),
            "logging_steps": 1,
            "save_steps": 1,
            "eval_prompts": 2,
            "compile_blocks": False,
        }
        return self.changed(
            name=f"{self.name}-dry-run",
            model=model,
            data=data,
            training=training,
            hardware={"dataloader_num_workers": min(2, self.hardware.dataloader_num_workers)},
            **source,
            stages=tuple(stage.toy(self, num_processes) for stage in self.active_stages),
        )
