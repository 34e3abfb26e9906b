"""MaxRL (arXiv 2602.02710) as a subclass of TRL's GRPOTrainer."""

import json
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather
from datasets import Dataset
from transformers.trainer_callback import ProgressCallback
from trl.data_utils import is_conversational
from trl.trainer.utils import pad

from evaluation.generate import positions
from trainers.callbacks import MetricsFileCallback, PlotCallback, SuccessProgressCallback
from trainers.reinforcement.advantages import maxrl_advantages
from trainers.reinforcement.curriculum import Curriculum, Outcome
from trainers.reinforcement.judging_ahead import JudgingAhead
from trainers.reinforcement.maxrl_config import MaxRLConfig
from trainers.reinforcement.plots import plot_maxrl
from trainers.reinforcement.policy_trainer import PolicyTrainer
from trainers.reinforcement.recording import group_metrics
from trainers.reinforcement.repair_turns import RepairTurns, Row, repair_metrics, turn_ids
from trainers.reinforcement.rewards import RustReward
from trainers.reinforcement.sample_page import JudgedSample, write_page

__all__ = ["MaxRLConfig", "MaxRLTrainer", "maxrl_advantages"]

CURRICULUM_FILE = "curriculum.json"


class MaxRLTrainer(PolicyTrainer):
    """
    [`trl.GRPOTrainer`] with the advantages of [`maxrl_advantages`].

    It takes the same arguments. Exactly one reward function must have a weight other than 0. It decides on success:
    it returns 1, 0, or None where it cannot decide; with `estimator="grpo"` also a graded reward below 1, which counts
    as a failure in the logs. Any causal language model can be trained; the exit gate of a
    LoopLM is frozen.

    `output_dir` gets `metrics.jsonl` with a line for each log, which also states the condition for a success
    (`success_means`); `metrics.png`, a plot of them; and `samples/`, a page of completions with their verdicts every
    `sample_steps` steps. The progress bar prints a line for each log.

    The logs also hold the `success_rate`; `pass@k`, estimated from the groups; the share of groups in which all
    completions failed (`groups/all_failed`), all passed (`groups/all_passed`), or either (`groups/zero_variance`); the
    share of completions that could not be judged (`unscorable`) or were truncated (`truncated`); the seconds of
    sampling and of the reward (`rollout_seconds`, `reward_seconds`), and their shares of the time of a step
    (`rollout_share`, `reward_share`); and with `rollout_engine="native"` the mean difference, in nats, between the
    engine's and the trainer's log-probabilities of some completions (`rollout_gap`). Training stops at its first step
    if this difference shows that the engine computes another model. `TrainedRowsTrainer` describes `rows_trained`,
    and `repair_metrics` the logs with `repair_turns`.

    Raises:
        ValueError: The model cannot be trained this way, a row cannot be completed or judged, or the arguments
            contradict each other.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        weighted = [index for index, weight in enumerate(self.reward_weights.tolist()) if weight]
        if len(weighted) != 1:
            raise ValueError(
                "exactly one reward function, which decides on success, must have a weight other than 0; got "
                f"reward_weights={self.reward_weights.tolist()} for {', '.join(self.reward_func_names)}"
            )
        self.success_index = weighted[0]
        reward = self.reward_funcs[self.success_index]
        name = self.reward_func_names[self.success_index]
        self.success_means = reward.success_means if isinstance(reward, RustReward) else f"{name} is 1"
        if isinstance(reward, RustReward) and reward.pass_fraction and self.args.estimator != "grpo":
            raise ValueError(
                "pass_fraction of the reward must be False with estimators other than grpo, which are about success "
                f"alone, got estimator={self.args.estimator!r}"
            )
        if self.rollout_func is not None:
            raise ValueError("rollout_func must be None: it does not tell whether its completions are finished")
        self.judge_ahead = reward if isinstance(reward, RustReward) else None
        self.repair = self._new_repair(reward) if self.args.repair_turns else None
        self.rollout_func = self.repair
        if self.args.curriculum and self.is_deepspeed_enabled:
            raise ValueError("curriculum must be False with DeepSpeed, whose checkpoints are loaded without it")
        evaluated = self.eval_dataset if isinstance(self.eval_dataset, dict) else {"": self.eval_dataset}
        for rows in (self.train_dataset, *evaluated.values()):
            if isinstance(rows, Dataset):
                self._check_rows(rows)
        self.curriculum = self._new_curriculum() if self.args.curriculum else None
        self._success = self._quality = torch.empty(0)
        folder = Path(self.args.output_dir)
        self.add_callback(MetricsFileCallback(folder / "metrics.jsonl", {"success_means": self.success_means}))
        self.add_callback(PlotCallback(folder, plot_maxrl))
        if self.pop_callback(ProgressCallback) is not None:
            self.add_callback(SuccessProgressCallback(self.success_means))

    def _check_rows(self, rows: Dataset) -> None:
        """Raise `ValueError` for prompts that cannot be completed, and for rows that cannot be judged."""
        prompts = list(rows["prompt"])
        for reward in self.reward_funcs:
            if isinstance(reward, RustReward):
                reward.check_rows(prompts, {name: rows[name] for name in rows.column_names})
        if not prompts or not isinstance(prompts[0], str):
            if prompts and self.args.stop_at_function_end:
                raise ValueError(
                    "stop_at_function_end must be False for conversations: an answer continues after a brace"
                )
            return
        longest = positions(self.policy)
        for number, ids in enumerate(self.processing_class(text=prompts)["input_ids"]):
            if not ids:
                raise ValueError(f"prompts must have at least one token to continue, row {number} has none")
            if longest is not None and len(ids) + self.max_completion_length > longest:
                raise ValueError(
                    f"prompts must leave room for max_completion_length={self.max_completion_length} within the "
                    f"model's {longest} positions, row {number} has {len(ids)} tokens"
                )

    def _new_repair(self, reward: Any) -> RepairTurns:
        if not isinstance(reward, RustReward):
            raise ValueError(
                "repair_turns must be 0 unless the reward function that decides on success is a RustReward, whose "
                f"verdicts say what is wrong with a try; got {self.reward_func_names[self.success_index]}"
            )
        if self._is_vlm:
            raise ValueError("repair_turns must be 0 for a model that takes images")
        if is_conversational(next(iter(self.train_dataset))):
            turn_ids(self, "a message")
        return RepairTurns(reward, self.args.repair_turns)

    def draw(self, prompt_ids, functions=None, room=None, on_end=None, images=None, multimodal_fields=None):
        """Sample as `PolicyTrainer` does; the first tries are judged while others are still sampled."""
        if self.judge_ahead is None or room is not None:
            return super().draw(prompt_ids, functions, room, on_end, images, multimodal_fields)
        size = self.num_generations if self.mode == "train" else self.num_generations_eval
        with JudgingAhead(self.judge_ahead, self.rows, self._tokenizer, size) as ahead:
            return super().draw(prompt_ids, functions, room, ahead.ended, images, multimodal_fields)

    def _new_curriculum(self) -> Curriculum:
        if not hasattr(self.train_dataset, "__getitem__"):
            raise ValueError("curriculum must be False for an IterableDataset: it samples prompts by their index")
        count = self.args.generation_batch_size // self.args.num_generations
        columns = {name: self.train_dataset[name] for name in self.train_dataset.column_names}
        tiers = columns.get("tier", [0] * len(self.train_dataset))
        only_compile, share = None, self.args.compile_share
        if share is not None:
            reward = self.reward_funcs[self.success_index]
            if not isinstance(reward, RustReward) or reward.mode != "mixed":
                raise ValueError(f'compile_share must be None without RustReward(mode="mixed"), got {share}')
            only_compile = reward.only_compile(list(columns["prompt"]), columns)
        size, families = self.args.num_generations, columns.get("family")
        curriculum = Curriculum(tiers, size, self.args.seed, only_compile, share, families)
        curriculum.check(count)
        return curriculum

    def _calculate_rewards(self, inputs, prompts, completions, completion_ids_list):
        if self.repair is not None:
            completions = self.repair.completions(self._tokenizer)
            completion_ids_list = [row.last_ids for row in self.repair.rows]
            self._finished = [row.finished for row in self.repair.rows]
        rewards = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        finished = gather(torch.tensor(self._finished, device=rewards.device))
        success = rewards[:, self.success_index]
        rewards[:, self.success_index] = torch.where(finished | success.isnan(), success, 0.0)
        self._success = rewards[:, self.success_index].clone()
        if self.args.quality_weight:
            if "quality" not in self._pending_extra_logs:
                raise ValueError(
                    "quality_weight needs a reward function that logs the column quality, such as RustReward"
                )
            quality = torch.tensor(self._pending_extra_logs["quality"], device=rewards.device)
            self._quality = gather(quality)
        if self.repair is not None:
            self._log_repair(self.repair.rows)
        self._metrics[self.mode]["truncated"].append(1 - finished.float().mean().item())
        return rewards

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        mode = "train" if self.model.training else "eval"
        sampled: list[int] = []
        if self.curriculum is not None and mode == "train":
            sampled = self.curriculum.sample(len(inputs) * self.accelerator.num_processes // self.num_generations)
            rows = [prompt for prompt in sampled for _ in range(self.num_generations)]
            start = self.accelerator.process_index * len(inputs)
            inputs = [self.train_dataset[prompt] for prompt in rows[start : start + len(inputs)]]
        self.rows = inputs
        output = super()._generate_and_score_completions(inputs)

        groups = self._success.view(-1, self.num_generations if mode == "train" else self.num_generations_eval)
        for name, value in group_metrics(groups).items():
            self._metrics[mode][name].append(value)
        if groups.shape[1] < 2:
            return output | {"advantages": torch.zeros_like(output["advantages"])}
        quality = self._quality.view_as(groups) if self.args.quality_weight else None
        advantages = maxrl_advantages(groups, self.args.estimator, quality, self.args.quality_weight)
        advantages = advantages.flatten().to(output["advantages"])
        start = self.accelerator.process_index * len(inputs)
        output["advantages"] = advantages[start : start + len(inputs)]
        if self.repair is not None and self.args.repair_credit == "last_turn":
            masks = [torch.tensor(row.last_mask, device=advantages.device) for row in self.repair.rows]
            last = pad(masks, padding_value=0, padding_side="right", pad_to_multiple_of=self.args.pad_to_multiple_of)
            output["advantages"] = output["advantages"][:, None] * last
        logged = self._logs["advantages"]
        kept = list(logged)[: -len(advantages)]
        logged.clear()
        logged.extend(kept + advantages.tolist())
        if sampled:
            judged, solved = (~groups.isnan()).sum(dim=1).tolist(), (groups == 1).sum(dim=1).tolist()
            self.curriculum.update([Outcome(*each) for each in zip(sampled, judged, solved, strict=True)])
        if mode == "train" and self.args.sample_steps and self.state.global_step % self.args.sample_steps == 0:
            self._write_samples()
        return output

    def _log_repair(self, rows: list[Row]) -> None:
        tries, messages = (
            gather(torch.tensor(values, device=self._success.device))
            for values in ([row.tries for row in rows], [len(row.mask) - sum(row.mask) for row in rows])
        )
        metrics = repair_metrics(self._success, tries, self.args.repair_turns)
        for name, value in (metrics | {"repair/message_tokens": messages.float().mean().item()}).items():
            self._metrics[self.mode][name].append(value)

    def _write_samples(self) -> None:
        """Write a page of the completions of this step; all processes have the same logs."""
        if not self.accelerator.is_main_process:
            return
        extra = self._logs["extra"]
        success = self._logs["rewards"][self.reward_func_names[self.success_index]]
        empty = [""] * len(success)
        columns = self._logs["prompt"], self._logs["completion"], success, self._logs["advantages"]
        texts = extra.get("verdict", empty), extra.get("message", empty)
        samples = [JudgedSample(*each) for each in zip(*columns, *texts, strict=True)]
        step = self.state.global_step
        path = Path(self.args.output_dir) / "samples" / f"step_{step:06d}.html"
        write_page(path, f"Step {step}", samples, self.success_means)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        metrics = self._metrics["train" if self.model.training else "eval"]
        steps = sum(metrics.get("step_time", []))
        for name in ("reward", "rollout"):
            seconds = sum(metrics.get(f"{name}_seconds", []))
            if steps and seconds:
                metrics[f"{name}_share"].append(seconds / steps)
        super().log(logs, start_time)

    def _save_checkpoint(self, model, trial):
        # Before the Trainer writes its state, which marks a checkpoint as complete.
        if self.curriculum is not None and self.args.should_save:
            folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / CURRICULUM_FILE).write_text(json.dumps(self.curriculum.state()))
        super()._save_checkpoint(model, trial)

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        if self.curriculum is not None:
            path = Path(resume_from_checkpoint) / CURRICULUM_FILE
            if not path.exists():
                raise ValueError(f"{path} must exist to continue the curriculum; or set curriculum=False")
            self.curriculum.restore(json.loads(path.read_text()))
