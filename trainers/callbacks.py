"""Trainer callbacks: progress, logged metrics, plots, evaluation, and a stop when training diverges."""

import json
import math
import statistics
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, TrainerCallback

from evaluation.evaluation_record import EvaluationFile
from evaluation.progress import hide_library_bars, show_progress, write_line
from evaluation.training_curves import is_evaluation
from trainers.hardware import fp32_precision
from trainers.plots import plot_metrics

# Nats per token between two evaluations; a smaller rise is noise.
NOTABLE_RISE = 0.02


class TrainingProgressCallback(TrainerCallback):
    """
    Show the finished steps in the main process, and at the start the precision of matrix products. Unlike the
    Trainer's own bar, it writes no carriage returns into a pipe.
    """

    def __init__(self):
        self._shown = ExitStack()
        self._advance = None
        self._step = 0

    def on_train_begin(self, args, state, control, **kwargs):
        hide_library_bars()
        self._step = state.global_step
        shown = show_progress("Training", state.max_steps, "steps", self._step, state.is_world_process_zero)
        self._advance = self._shown.enter_context(shown)
        if state.is_world_process_zero:
            write_line(f"{'bf16 autocast' if args.bf16 else 'no autocast'}, {fp32_precision()}")

    def on_step_end(self, args, state, control, **kwargs):
        self._advance(state.global_step - self._step)
        self._step = state.global_step

    def on_train_end(self, args, state, control, **kwargs):
        self._shown.close()


class LoopProgressCallback(TrainingProgressCallback):
    """
    Also write one line per log: objective, loss after each loop, mean exit loop and learning rate.

    Args:
        objective: Sentence at the start about an objective that is not the model's own.
    """

    def __init__(self, objective: str | None = None):
        super().__init__()
        self.objective = objective

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        super().on_train_begin(args, state, control, **kwargs)
        weight = model.config.exit_entropy_weight
        if self.objective is not None:
            if state.is_world_process_zero:
                write_line(self.objective)
        elif state.is_world_process_zero and weight and model.config.loop_loss == "expected":
            write_line(
                f"The objective is the expected loss minus {weight:g} x the entropy of the exit distribution; "
                "it may be negative. The losses by loop are in nats per token."
            )

    def on_log(self, args, state, control, **kwargs):
        logs: dict[str, Any] = kwargs["logs"]
        if not state.is_world_process_zero or "loss" not in logs:
            return
        losses = [value for name, value in logs.items() if name.startswith("loop_")]
        write_line(
            f"step {state.global_step:>6}  objective {logs['loss']:.4f}  loss by loop "
            + " ".join(f"{loss:.3f}" for loss in losses)
            + f"  mean exit loop {logs['mean_exit_loop']:.2f}  lr {logs['learning_rate']:.1e}"
        )


class SuccessProgressCallback(TrainingProgressCallback):
    """
    Also write one line per log of reinforcement learning.

    Args:
        success_means: Condition for a completion to be a success, in words.
    """

    def __init__(self, success_means: str):
        super().__init__()
        self.success_means = success_means

    def on_log(self, args, state, control, **kwargs):
        logs: dict[str, Any] = kwargs["logs"]
        if not state.is_world_process_zero or "success_rate" not in logs:
            return
        shares = {
            f"success ({self.success_means})": logs["success_rate"],
            "compile": logs.get("compile_success_rate"),
            "zero-variance groups": logs["groups/zero_variance"],
            "truncated": logs["truncated"],
            "reward's share of the time": logs.get("reward_share"),
        }
        write_line(
            f"step {state.global_step:>6}  "
            + "  ".join(f"{name} {share:.0%}" for name, share in shares.items() if share is not None)
            + (f"  entropy {logs['entropy']:.2f}" if logs["entropy"] is not None else "")
            + f"  {logs['completions/mean_length']:.0f} tokens"
        )


class MetricsFileCallback(TrainerCallback):
    """
    Append every log to a file as one JSON line with its step.

    Args:
        path: File to append to.
        constants: Further entries of every line.
    """

    def __init__(self, path: Path, constants: dict[str, str] | None = None):
        self.path = path
        self.constants = constants or {}

    def on_train_begin(self, args, state, control, **kwargs):
        if not state.is_world_process_zero:
            return
        # A run killed after its last checkpoint has logged steps that are now repeated.
        kept = []
        if self.path.exists() and state.global_step > 0:
            lines = self.path.read_text().splitlines(keepends=True)
            kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= state.global_step]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("".join(kept))

    def on_log(self, args, state, control, logs=None, **kwargs):
        if state.is_world_process_zero:
            with self.path.open("a") as file:
                file.write(json.dumps({"step": state.global_step, **self.constants, **logs}) + "\n")


class TrainingDiverged(RuntimeError):
    """The loss is not finite, or it rose and did not fall again."""


class DivergenceCallback(TrainerCallback):
    """
    Stop a run that diverges, before its next checkpoint is written.

    A loss that is not finite stops it at once. A loss that exceeds the median of the last `window` logs by more than
    `spike` nats stops it after `patience` such logs in a row.

    Raises:
        TrainingDiverged: When one of the two conditions holds.
    """

    def __init__(self, spike: float = 2.0, window: int = 20, patience: int = 3):
        self.spike = spike
        self.patience = patience
        self.losses: deque[float] = deque(maxlen=window)
        self.spikes = 0

    def on_log(self, args, state, control, logs=None, **kwargs):
        if "loss" not in logs:
            return
        loss = logs["loss"]
        advice = "Continue from the last checkpoint with a lower learning rate or gradient clip."
        if not math.isfinite(loss) or not math.isfinite(logs.get("grad_norm", 0.0)):
            raise TrainingDiverged(f"the loss or its gradient is not finite at step {state.global_step}. {advice}")
        full = len(self.losses) == self.losses.maxlen
        if full and loss > statistics.median(self.losses) + self.spike:
            self.spikes += 1
            if self.spikes >= self.patience:
                raise TrainingDiverged(
                    f"the loss rose from {statistics.median(self.losses):.3f} to {loss:.3f} and had not fallen again "
                    f"at step {state.global_step}. {advice}"
                )
            return
        self.spikes = 0
        self.losses.append(loss)


class PlotCallback(TrainerCallback):
    """
    Plot the metrics of a folder at the end of training, and after a checkpoint if the last plot is older than
    `seconds` (a plot takes a second or two).
    """

    def __init__(self, folder: Path, plot: Callable[[Path], Path | None] = plot_metrics, seconds: float = 60.0):
        self.folder = folder
        self.plot = plot
        self.seconds = seconds
        self.plotted = time.monotonic()

    def on_save(self, args, state, control, **kwargs):
        if time.monotonic() - self.plotted >= self.seconds:
            self.on_train_end(args, state, control)

    def on_train_end(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            self.plot(self.folder)
            self.plotted = time.monotonic()


class EvaluateCallback(TrainerCallback):
    """
    Call `evaluate(model, step)` after the checkpoint of every `steps`-th step, and append the numbers it returns to
    the metrics. The checkpoint is complete by then: if an evaluation fails or is killed, only the evaluation is lost,
    and a run that resumes from the checkpoint repeats it.

    Beside the metrics, `evaluations.jsonl` gets one `EvaluationRecord` for each evaluation, with its time.

    All processes evaluate, because parameters may be sharded; the first one writes.

    Args:
        evaluate: Returns numbers by name.
        path: File of the metrics.
        steps: Number of steps between two evaluations.
        rise_means: Explanation of a held-out loss that rises, and advice.
    """

    def __init__(
        self,
        evaluate: Callable[[PreTrainedModel, int], dict[str, float]],
        path: Path,
        steps: int,
        rise_means: str = "the model overfits its text. More text or fewer steps help.",
    ):
        self.evaluate = evaluate
        self.path = path
        self.steps = steps
        self.rise_means = rise_means
        self.records: EvaluationFile | None = None

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        logged = map(json.loads, self.path.read_text().splitlines()) if self.path.exists() else ()
        done = {entry["step"] for entry in logged if is_evaluation(entry) and entry["step"] <= state.global_step}
        # The record is written before the line of the metrics: a kill between the two leaves a record to delete.
        self.records = EvaluationFile.continued(self.path.parent, done, state.is_world_process_zero)
        if state.global_step > 0 and state.global_step not in done:
            self.on_save(args, state, control, model)

    def on_save(self, args, state, control, model=None, **kwargs):
        if state.global_step % self.steps:
            return
        was_training = model.training
        found = self.evaluate(model.eval(), state.global_step)
        model.train(was_training)
        if state.is_world_process_zero:
            assert self.records is not None, "training has begun"
            record = self.records.append(state.global_step, found)
            with self.path.open("a") as file:
                time_of = {"timestamp": record.timestamp, "seconds": record.seconds}
                file.write(json.dumps({"step": state.global_step, **found, **time_of}) + "\n")
            numbers = "  ".join(
                f"{name} {value}" if isinstance(value, int) else f"{name} {value:.4f}" for name, value in found.items()
            )
            write_line(f"step {state.global_step:>6}  {numbers}")
            if "eval_loss" in found:
                self._warn_of_rise()

    def _warn_of_rise(self) -> None:
        logged = map(json.loads, self.path.read_text().splitlines())
        losses = {entry["step"]: entry["eval_loss"] for entry in logged if is_evaluation(entry)}
        best, last = min(losses, key=losses.get), max(losses)
        if losses[last] > losses[best] + NOTABLE_RISE:
            write_line(
                f"The held-out loss rose from {losses[best]:.3f} at step {best} to {losses[last]:.3f}: "
                + self.rise_means
            )
