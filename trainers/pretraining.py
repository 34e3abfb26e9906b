"""Pretraining with the Hugging Face Trainer, with the optimizers, logs and checks of a looped ternary model."""

import errno
import json
import shutil
import time
from collections.abc import Iterable, Mapping, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors import safe_open
from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.optim import Optimizer
from transformers import PreTrainedModel, Trainer, TrainingArguments

from modeling_nanochat import LoopLMCausalLMOutput, LoopLMConfig, is_looplm
from modeling_nanochat.loss_nanochat import IGNORE_INDEX, next_labels
from modeling_nanochat.recomputation_nanochat import GRANULARITIES
from trainers.hardware import has_fast_bf16, has_no_accelerator, peak_flops, use_tf32
from trainers.optimizers import give_own_lr, muon_and_lion
from trainers.stopping import OutOfTime, TimeLimitCallback
from trainers.ternary_schedule import TernarySchedule, TernaryScheduleCallback
from trainers.training_statistics import LoopStatistics, TernaryStatistics, TokenCounter, training_flops_per_token
from trainers.versions import warn_of_untested_torch

LOOP_SCALE = "loop_scale"
SAVED_BYTES_PER_TRAINED_PARAMETER = 16  # weight, two moments and a margin, in fp32


@dataclass
class LoopLMTrainingArguments(TrainingArguments):
    """
    [`transformers.TrainingArguments`] with the further settings of a looped ternary model.

    [`pretraining_arguments`] fills in this project's defaults.
    """

    optimizer: str = field(
        default="adamw",
        metadata={"help": "muon_lion (Muon for the hidden matrices, Lion for the others) or adamw (the Trainer's)"},
    )
    muon_lr: float = field(default=0.02, metadata={"help": "peak learning rate of Muon, with optimizer=muon_lion"})
    lion_lr: float = field(default=1e-4, metadata={"help": "peak learning rate of Lion, with optimizer=muon_lion"})
    lion_impl: str = field(
        default="bitsandbytes",
        metadata={"help": "Lion by bitsandbytes, bitsandbytes_8bit or torch; always torch for sharded parameters"},
    )
    loop_scale_lr_multiplier: float = field(
        default=1.0,
        metadata={"help": "factor of the learning rate of loop_scale, of a model with loop_update=scaled"},
    )
    min_lr_ratio: float = field(
        default=0.0, metadata={"help": "learning rate at the end of the schedule, as a fraction of each group's peak"}
    )
    exit_entropy_weight: float | None = field(
        default=None, metadata={"help": "weight of the exit distribution's entropy in the loss (default: the model's)"}
    )
    checkpoint_granularity: str = field(
        default="layer",
        metadata={
            "help": "with activation_checkpointing: keep the input of every block in every loop (layer), also the "
            "outputs of its matrix products and attention, so that only the rest is recomputed (selective), or only "
            "the input of every loop, at the cost of recomputing the blocks twice (loop), or three times, with the "
            "inputs of one group of blocks in memory at once (group)"
        },
    )
    compile_blocks: bool = field(default=False, metadata={"help": "compile the shared block once for all loops"})
    ternary_warmup: float = field(
        default=0.0, metadata={"help": "share of the steps in which float weights become ternary, from 0 (none) to 1"}
    )
    ternary_schedule: str = field(
        default="blend",
        metadata={"help": "with ternary_warmup: all blocks together (blend) or one after another (layers)"},
    )
    dead_zone_residual: float = field(
        default=0.0,
        metadata={"help": "share of the latent weight beside the ternary one in the first step, 0 in the last one"},
    )

    def __post_init__(self):
        for name, choices in (
            ("optimizer", ("muon_lion", "adamw")),
            ("lion_impl", ("bitsandbytes", "bitsandbytes_8bit", "torch")),
            ("checkpoint_granularity", GRANULARITIES),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}")
        for name in ("muon_lr", "lion_lr", "learning_rate", "loop_scale_lr_multiplier"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be above 0 and finite, got {getattr(self, name)!r}")
        if not 0 <= self.min_lr_ratio <= 1:
            raise ValueError(f"min_lr_ratio must be from 0 to 1, got {self.min_lr_ratio!r}")
        if self.exit_entropy_weight is not None and not 0 <= self.exit_entropy_weight < float("inf"):
            raise ValueError(f"exit_entropy_weight must be at least 0, got {self.exit_entropy_weight!r}")
        self.ternary_weights()
        super().__post_init__()
        if self.activation_checkpointing:
            given = dict(self.activation_checkpointing_kwargs or {})
            self.activation_checkpointing_kwargs = given | {"granularity": self.checkpoint_granularity}

    def ternary_weights(self) -> TernarySchedule:
        """Return the schedule of the ternary weights. Raises `ValueError` for values that break their rules."""
        return TernarySchedule(self.ternary_warmup, self.ternary_schedule, self.dead_zone_residual)


class LoopLMTrainer(Trainer):
    """
    [`transformers.Trainer`] for a LoopLM. The loss is the model's own.

    Its logs also hold, for each loop, the loss (`loop_1_loss`, ...) and the share of tokens that exit (`exit_1`, ...),
    the mean exit loop and the entropy of the exit distribution, the learning rate of every parameter group, the shares
    of ternary weights that are zero and that changed, with a schedule from float to ternary weights the shares of both
    (`ternary_share`, `latent_share`), the divergence of the residual streams, tokens seen and per second, and the
    model's throughput (`model_tflops`; `mfu` where the GPU's peak is known).

    Losses and exits are means over the predicted tokens; padding counts nowhere.

    Before it writes a checkpoint it checks that there is enough disk space.

    Raises:
        ValueError: The model is not a LoopLM, the arguments ask for another loss than the model's or for a schedule
            from float to ternary weights that the model does not have, or the data set is empty or has rows longer
            than the model's positions.
        OSError: When saving, if the disk lacks the space for a checkpoint.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if not isinstance(self.args, LoopLMTrainingArguments):
            raise ValueError(f"args must be LoopLMTrainingArguments, got {type(self.args).__name__}")
        warn_of_untested_torch()
        config = self.model.config
        if not is_looplm(config):
            raise ValueError(f"model must be a LoopLM, got a model of type {config.model_type}")
        for name, value in (
            ("label_smoothing_factor", self.args.label_smoothing_factor),
            ("compute_loss_func", self.compute_loss_func),
        ):
            if value:
                raise ValueError(
                    f"{name} must be left out, because it replaces the model's loss over all loops; got {value!r}"
                )
        if self.args.fsdp and not self.is_fsdp_enabled:
            raise ValueError(
                "fsdp needs GPUs and accelerate's FSDP launch (recipes/launch/fsdp2_2.yaml): without them nothing is "
                "sharded"
            )
        if self.args.loop_scale_lr_multiplier != 1 and config.loop_update != "scaled":
            raise ValueError(
                'loop_scale_lr_multiplier must be 1 for a model without a loop scale (loop_update="scaled"), got '
                f"{self.args.loop_scale_lr_multiplier}"
            )
        schedule = self.args.ternary_weights()
        schedule.check(config)
        _check_rows(self.train_dataset, config.max_position_embeddings)
        if self.args.exit_entropy_weight is not None:
            config.exit_entropy_weight = self.args.exit_entropy_weight
        if self.args.compile_blocks:
            self.model.compile_blocks()
        if self.args.tf32 is None:
            use_tf32()
        if schedule.is_active:
            self.add_callback(TernaryScheduleCallback(schedule))
        self._loop_statistics = LoopStatistics()
        self._ternary_statistics = TernaryStatistics(schedule)
        self._tokens_seen = TokenCounter()
        self._tokens_since_log = TokenCounter()
        self._last_log: float | None = None

    def create_optimizer(self, model=None) -> Optimizer:
        if self.optimizer is None and self.args.optimizer == "muon_lion":
            model = self.model if model is None else model
            arguments = self.args.muon_lr, self.args.lion_lr, self.args.weight_decay, self.args.lion_impl
            self.optimizer = muon_and_lion(model, *arguments)
        optimizer = super().create_optimizer(model)
        multiplier, trained = self.args.loop_scale_lr_multiplier, self.model if model is None else model
        scales = [each for name, each in trained.named_parameters() if name.endswith(LOOP_SCALE)]
        if multiplier != 1 and scales and scales[0].requires_grad:
            give_own_lr(optimizer, scales[0], LOOP_SCALE, multiplier)
        return optimizer

    def get_decay_parameter_names(self, model) -> list[str]:
        """Names of the parameters with weight decay in AdamW: neither norms nor biases, nor the scale of the loops."""
        return [name for name in super().get_decay_parameter_names(model) if not name.endswith(LOOP_SCALE)]

    def _prepare_inputs(self, inputs):
        _check_length("a batch", inputs["input_ids"].shape[1], self.model.config.max_position_embeddings)
        return super()._prepare_inputs(inputs)

    def _get_num_items_in_batch(self, batch_samples: list, device: torch.device) -> torch.Tensor | int | None:
        """Count the labels in the loss; the Trainer would also count those that the attention mask excludes."""
        shifted = [
            {**batch, "shift_labels": labels_of(batch)} if "labels" in batch else batch for batch in batch_samples
        ]
        return super()._get_num_items_in_batch(shifted, device)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, num_items_in_batch=num_items_in_batch)
        if model.training:
            self.record(outputs, inputs)
        return (loss, outputs) if return_outputs else loss

    def record(
        self,
        outputs: LoopLMCausalLMOutput,
        inputs: dict[str, torch.Tensor],
        further: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        """Add a batch to the statistics of the next log, with further means over its labels by their names."""
        self._loop_statistics.add(outputs, labels_of(inputs) != IGNORE_INDEX, further)
        tokens = inputs["input_ids"], inputs.get("attention_mask")
        self._tokens_seen.add(*tokens)
        if self._last_log is None:
            self._last_log = time.perf_counter()
        else:
            self._tokens_since_log.add(*tokens)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            logs = logs | self._loop_statistics.take(self.accelerator)  # every process logs
            logs |= self._learning_rates(logs["learning_rate"])
            logs |= self._ternary_statistics.measure(self.model, self.state.global_step, self.state.max_steps)
            logs |= self._speed()
        super().log(logs, start_time)

    def _learning_rates(self, logged: float) -> dict[str, float]:
        """
        Learning rates at the logged step of every kind of group in Muon and Lion, and of a loop scale with one of its
        own; `logged` is that of the first group.
        """
        groups = self.optimizer.param_groups
        names = [group["name"] if "name" in group else group.get("kind") for group in groups]
        shape = logged / groups[0]["initial_lr"]
        named = zip(names, groups, strict=True)
        return {f"{name}_lr": shape * group["initial_lr"] for name, group in named if name is not None}

    def _speed(self) -> dict[str, float]:
        self._count_tokens()
        found = {"tokens_seen": self.state.num_input_tokens_seen}
        tokens, row_length = self._tokens_since_log.take(self.accelerator)
        now = time.perf_counter()
        if tokens and self._last_log is not None:
            speed = tokens / (now - self._last_log)
            flops = speed * training_flops_per_token(self.counted_config(), row_length)
            found |= {"tokens_per_second": speed, "model_tflops": flops / 1e12}
            peak = peak_flops()
            if peak is not None:
                found["mfu"] = flops / (peak * self.args.world_size)
        self._last_log = now
        return found

    def counted_config(self) -> LoopLMConfig:
        """Configuration whose own objective needs the predictions that this training computes, to count FLOPs."""
        return self.model.config

    def _count_tokens(self) -> None:
        """Add the new tokens to the state, which checkpoints save. The Trainer's own count synchronizes every step."""
        tokens, _ = self._tokens_seen.take(self.accelerator)
        if self.args.include_num_input_tokens_seen == "no":
            self.state.num_input_tokens_seen += tokens

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        _check_shapes(Path(resume_from_checkpoint), self.model)
        super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        own_class = type(self.model)
        if isinstance(self.model, FSDPModule):
            # transformers saves the source file of the model's class; sharding replaced that by a class of PyTorch.
            self.model.__class__ = own_class.__bases__[1]
        try:
            super()._save(output_dir, state_dict)
        finally:
            self.model.__class__ = own_class

    def _save_checkpoint(self, *args, **kwargs):
        self._count_tokens()
        needed = checkpoint_bytes(self.model)
        free = shutil.disk_usage(self.args.output_dir).free
        if free < needed:
            raise OSError(
                errno.ENOSPC,
                f"no checkpoint was written at step {self.state.global_step}: it needs about {needed / 1e9:.2f} GB in "
                f"{self.args.output_dir}, where {free / 1e9:.2f} GB are free",
            )
        super()._save_checkpoint(*args, **kwargs)
        self._last_log = None  # the time of saving is not training time
        self._tokens_since_log.forget()


def labels_of(inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Label that each position of a batch predicts, (batch, seq), as in the model's loss; -100 for none."""
    return next_labels(inputs.get("labels"), inputs.get("shift_labels"), inputs.get("attention_mask"))


def checkpoint_bytes(model: nn.Module) -> int:
    """Approximate bytes of a checkpoint; of a model with adapters, only these are saved."""
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    saves_adapters = isinstance(model, PeftModel) or model._hf_peft_config_loaded
    frozen = 0 if saves_adapters else sum(each.nbytes for each in model.parameters() if not each.requires_grad)
    return SAVED_BYTES_PER_TRAINED_PARAMETER * trained + frozen


def _check_rows(rows: Iterable | None, longest: int) -> None:
    """Raise `ValueError` when the data set is empty or its first row is longer than the position table."""
    if not isinstance(rows, Sized):
        return
    if len(rows) == 0:
        raise ValueError("train_dataset must hold at least one row, got none")
    _check_length("train_dataset", len(rows[0]["input_ids"]), longest)


def _check_length(name: str, length: int, longest: int) -> None:
    if length > longest:
        raise ValueError(f"{name} must hold rows of at most max_position_embeddings={longest}, got {length}")


def _check_shapes(checkpoint: Path, model: PreTrainedModel) -> None:
    """Raise `ValueError` when a tensor in a checkpoint has another shape in the model."""
    expected = {name: list(value.shape) for name, value in model.state_dict().items()}
    for file in checkpoint.glob("*.safetensors"):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():
                found = tensors.get_slice(name).get_shape()
                if found != expected.get(name, found):
                    raise ValueError(
                        f"checkpoint {checkpoint} must be one of this model, but {name} has the shape {found} in it "
                        f"and {expected[name]} in the model"
                    )


def last_complete_checkpoint(folder: Path) -> Path | None:
    """Newest `checkpoint-N` in `folder` that is complete, or None."""

    def is_complete(state: Path) -> bool:
        # The Trainer writes the state last.
        try:
            return "global_step" in json.loads(state.read_text())
        except json.JSONDecodeError:
            return False

    complete = [state.parent for state in folder.glob("checkpoint-*/trainer_state.json") if is_complete(state)]
    return max(complete, key=lambda path: int(path.name.removeprefix("checkpoint-")), default=None)


def train_from(trainer: Trainer, checkpoint: Path | None) -> None:
    """
    Train to the end, from a checkpoint if one is given. From the checkpoint of the last step the weights are only
    loaded, because the Trainer would take one more step.

    Raises:
        OutOfTime: A [`TimeLimitCallback`] of the trainer ended the training; its checkpoint is written.
    """
    if checkpoint is not None and int(checkpoint.name.removeprefix("checkpoint-")) >= trainer.args.max_steps:
        trainer._load_from_checkpoint(str(checkpoint))
        return
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, TimeLimitCallback) and callback.stopped:
            raise OutOfTime(f"at step {trainer.state.global_step} of {trainer.state.max_steps}")


def pretraining_arguments(**settings) -> LoopLMTrainingArguments:
    """
    Return training arguments with this project's defaults: bf16 where it is fast, no reports to services, and losses
    logged unfiltered (the filter for NaN would hide them and synchronize with the device at every step).

    Args:
        settings: Fields of [`LoopLMTrainingArguments`].
    """
    defaults: dict[str, Any] = dict(
        bf16=has_fast_bf16(),
        use_cpu=has_no_accelerator(),
        report_to="none",
        logging_nan_inf_filter=False,
        remove_unused_columns=False,
        save_total_limit=2,
        optim="adamw_torch_fused",
    )
    return LoopLMTrainingArguments(**(defaults | settings))
