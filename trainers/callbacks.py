"""What is shown and kept while a model trains."""

import json
from pathlib import Path

from transformers import TrainerCallback
from transformers.trainer_callback import ProgressCallback


class LoopProgressCallback(ProgressCallback):
    """The Trainer's progress bar with one readable line per log: loss, loss after each loop, mean exit loop, speed."""

    def on_log(self, args, state, control, logs=None, **kwargs):
        if not state.is_world_process_zero or self.training_bar is None or "loss" not in logs:
            return
        losses = [value for name, value in logs.items() if name.startswith("loop_")]
        self.training_bar.write(
            f"step {state.global_step:>6}  objective {logs['loss']:.4f}  loss by loop "
            + " ".join(f"{loss:.3f}" for loss in losses)
            + f"  mean exit loop {logs['mean_exit_loop']:.2f}  lr {logs['learning_rate']:.1e}"
        )


class MetricsFileCallback(TrainerCallback):
    """Appends every log as one JSON line with its step."""

    def __init__(self, path: Path):
        self.path = path

    def on_train_begin(self, args, state, control, **kwargs):
        if not state.is_world_process_zero:
            return
        # A run that was killed after its last checkpoint has logged steps that are now repeated.
        kept = []
        if self.path.exists() and state.global_step > 0:
            lines = self.path.read_text().splitlines(keepends=True)
            kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= state.global_step]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("".join(kept))

    def on_log(self, args, state, control, logs=None, **kwargs):
        if state.is_world_process_zero:
            with self.path.open("a") as file:
                file.write(json.dumps({"step": state.global_step, **logs}) + "\n")
