"""MaxRL (arXiv 2602.02710) as a subclass of TRL's GRPOTrainer."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from accelerate.utils import gather
from datasets import Dataset
from peft import PeftModel
from transformers import PreTrainedModel
from transformers.trainer_callback import ProgressCallback
from trl import GRPOConfig, GRPOTrainer

from evaluation.generate import FunctionEnd, positions
from evaluation.generation_settings import ENGINES
from evaluation.pass_at_k import pass_at_k
from evaluation.rust.syntax.completion import completed_function
from modeling_nanochat import LoopLMForCausalLM, is_looplm
from runtime.build import library
from trainers.callbacks import MetricsFileCallback, PlotCallback, SuccessProgressCallback
from trainers.hardware import has_fast_bf16, has_no_accelerator
from trainers.reinforcement.advantages import maxrl_advantages
from trainers.reinforcement.choices import ESTIMATORS, LOOP_CREDITS
from trainers.reinforcement.curriculum import Curriculum, Outcome
from trainers.reinforcement.loop_credit import credit_weights, credited_log_probabilities
from trainers.reinforcement.native_rollouts import NativeRollouts, check_gap, rollout_gap
from trainers.reinforcement.on_policy import check_model, check_settings, policy_sampling
from trainers.reinforcement.plots import plot_maxrl
from trainers.reinforcement.rewards import RustReward
from trainers.reinforcement.sample_page import JudgedSample, write_page

__all__ = ["MaxRLConfig", "MaxRLTrainer", "maxrl_advantages"]

CURRICULUM_FILE = "curriculum.json"


@dataclass
class MaxRLConfig(GRPOConfig):
    """
    [`trl.GRPOConfig`] for MaxRL.

    Completions are sampled from the policy that is trained: no filter, no penalty, one update per batch, and the same
    `temperature` for sampling and log-probabilities. There is no KL term. `loss_type` is "dapo" as in the paper's
    runs; with "dr_grpo" the expected gradient is exactly the estimator's, up to a constant. By default bf16 is used
    where it is fast, and the CPU (`use_cpu`) where there is no accelerator.
    """

    estimator: str = field(
        default="maxrl",
        metadata={"help": "maxrl, maxrl_unbiased, maxrl_nobaseline, grpo or rloo"},
    )
    loop_credit: str = field(
        default="final",
        metadata={"help": "weights of a LoopLM's loops in log-probabilities: final, uniform, progressive or exit_pdf"},
    )
    loop_credit_power: float = field(
        default=1.0, metadata={"help": "with loop_credit=progressive, the weight of loop t is t**loop_credit_power"}
    )
    quality_weight: float = field(
        default=0.0,
        metadata={"help": "how much more of the advantage better successes get, from 0 to below 1"},
    )
    stop_at_function_end: bool = field(
        default=False,
        metadata={"help": "end a completion with the function that its prompt begins, not with the end-of-text token"},
    )
    rollout_engine: str = field(
        default="torch",
        metadata={
            "help": "program that samples completions: torch, or native, which runs a LoopLM on the CPU many times "
            "faster and needs rustc"
        },
    )
    curriculum: bool = field(
        default=True,
        metadata={"help": "sample prompts less often if they are solved always or never; uses column tier"},
    )
    sample_steps: int = field(
        default=50,
        metadata={"help": "steps between pages of completions with their verdicts; 0 for no pages"},
    )
    disable_dropout: bool = field(default=True, metadata={"help": "must be True: dropout changes the policy"})
    scale_rewards: str = field(default="none", metadata={"help": "must be none: the estimator scales the advantages"})

    def __post_init__(self):
        if self.bf16 is None and not self.fp16:
            self.bf16 = has_fast_bf16()
        self.use_cpu = self.use_cpu or has_no_accelerator()
        super().__post_init__()
        named = (("estimator", ESTIMATORS), ("loop_credit", LOOP_CREDITS), ("rollout_engine", ENGINES))
        for name, choices in named:
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}")
        if self.scale_rewards != "none" or self.multi_objective_aggregation != "sum_then_normalize":
            raise ValueError("scale_rewards and multi_objective_aggregation must be left out: the estimator scales")
        if not 0 <= self.quality_weight < 1 or (self.quality_weight and self.estimator != "maxrl"):
            raise ValueError(
                "quality_weight must be at least 0 and below 1, and 0 with estimators other than maxrl, got "
                f"{self.quality_weight} with {self.estimator}"
            )
        if not 0 <= self.loop_credit_power < float("inf"):
            raise ValueError(f"loop_credit_power must be at least 0 and finite, got {self.loop_credit_power}")
        if self.sample_steps < 0:
            raise ValueError(f"sample_steps must be at least 0, got {self.sample_steps}")
        if self.mask_truncated_completions:
            raise ValueError("mask_truncated_completions must be False: a truncated completion counts as a failure")
        if self.use_vllm:
            raise ValueError(
                "use_vllm must be False: vLLM keeps one set of keys and values per layer, which the loops of a LoopLM "
                "would overwrite, and it does not support ternary layers, so it would sample from another policy"
            )
        if self.use_transformers_continuous_batching:
            raise ValueError(
                "use_transformers_continuous_batching must be False: it cannot stop at the end of a function"
            )
        check_settings(self)
        # The exit gate is frozen, so all trained parameters have a gradient.
        if self.ddp_find_unused_parameters is None:
            self.ddp_find_unused_parameters = False
        kwargs = self.gradient_checkpointing_kwargs or {}
        if kwargs.get("use_reentrant"):
            raise ValueError("gradient_checkpointing_kwargs.use_reentrant must be False: loops share their parameters")
        self.gradient_checkpointing_kwargs = kwargs | {"use_reentrant": False}


class MaxRLTrainer(GRPOTrainer):
    """
    [`trl.GRPOTrainer`] with the advantages of [`maxrl_advantages`].

    It takes the same arguments. Exactly one reward function must have a weight other than 0. It decides on success:
    it returns 1, 0, or None where it cannot decide. Any causal language model can be trained; the exit gate of a
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
    if this difference shows that the engine computes another model.

    Raises:
        ValueError: The model cannot be trained this way, a row cannot be completed or judged, or the arguments
            contradict each other.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if not isinstance(self.args, MaxRLConfig):
            raise ValueError(f"args must be MaxRLConfig, got {type(self.args).__name__}")
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
        if self.rollout_func is not None:
            raise ValueError("rollout_func must be None: it does not tell whether its completions are finished")
        if self.args.rollout_engine == "native":
            self._check_native()
        if self.args.curriculum and self.is_deepspeed_enabled:
            raise ValueError("curriculum must be False with DeepSpeed, whose checkpoints are loaded without it")
        if self.args.loop_credit != "final" and self.is_fsdp_enabled:
            raise ValueError(
                f'loop_credit must be "final" with FSDP, which shards the head, got {self.args.loop_credit!r}'
            )
        if self.args.loop_credit != "final" and not is_looplm(self.policy.config):
            raise ValueError(f'loop_credit must be "final" for a model without loops, got {self.args.loop_credit!r}')
        check_model(self.policy)
        evaluated = self.eval_dataset if isinstance(self.eval_dataset, dict) else {"": self.eval_dataset}
        for rows in (self.train_dataset, *evaluated.values()):
            if isinstance(rows, Dataset):
                self._check_rows(rows)
        if is_looplm(self.policy.config):
            self.policy.freeze_gate()
        self.curriculum = self._new_curriculum() if self.args.curriculum else None
        self._rollouts: NativeRollouts | None = None
        self._compared = False
        self._finished: list[bool] = []
        self._success = self._quality = torch.empty(0)
        folder = Path(self.args.output_dir)
        self.add_callback(MetricsFileCallback(folder / "metrics.jsonl", {"success_means": self.success_means}))
        self.add_callback(PlotCallback(folder, plot_maxrl))
        if self.pop_callback(ProgressCallback) is not None:
            self.add_callback(SuccessProgressCallback(self.success_means))

    @property
    def policy(self) -> PreTrainedModel:
        """The model without wrappers for adapters and distributed training."""
        model = self.accelerator.unwrap_model(self.model)
        return model.get_base_model() if isinstance(model, PeftModel) else model

    def _check_native(self) -> None:
        """Raise `ValueError` if the native engine cannot run the policy; compiles it at its first use."""
        rule = 'rollout_engine must be "torch"'
        if not is_looplm(self.policy.config):
            raise ValueError(f"{rule} for a model without loops, got a model of type {self.policy.config.model_type}")
        if isinstance(self.accelerator.unwrap_model(self.model), PeftModel):
            raise ValueError(f"{rule} with adapters: the native engine runs a model without them")
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            raise ValueError(f"{rule} with FSDP and DeepSpeed, which may shard the weights")
        library()

    def _draw_natively(self, prompt_ids: list[list[int]]) -> list[list[int]]:
        """
        Draw completions in the native engine, and log how far its log-probabilities are from the trainer's.

        Raises:
            ValueError: At the first call, the engine computes another model.
        """
        policy = cast(LoopLMForCausalLM, self.policy)
        if self._rollouts is None:
            self._rollouts = NativeRollouts(
                self._tokenizer,
                self.temperature,
                self.max_completion_length,
                self.eos_token_ids,
                self.args.stop_at_function_end,
            )
        drawn = self._rollouts.draw(policy, self.state.global_step, prompt_ids)
        self._finished = drawn.finished
        with self.accelerator.autocast():
            gap = rollout_gap(policy, prompt_ids, drawn, self.temperature)
        if not self._compared:
            check_gap(gap)
            self._compared = True
        self._metrics["train" if self.model.training else "eval"]["rollout_gap"].append(gap)
        return drawn.token_ids

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

    def _new_curriculum(self) -> Curriculum:
        if not hasattr(self.train_dataset, "__getitem__"):
            raise ValueError("curriculum must be False for an IterableDataset: it samples prompts by their index")
        count = self.args.generation_batch_size // self.args.num_generations
        if len(self.train_dataset) < count:
            raise ValueError(
                f"train_dataset must hold at least {count} prompts, the number per step, got {len(self.train_dataset)}"
            )
        names = self.train_dataset.column_names
        tiers = self.train_dataset["tier"] if "tier" in names else [0] * len(self.train_dataset)
        return Curriculum(tiers, self.args.num_generations, self.args.seed)

    def _generate_single_turn(self, prompt_ids, *args, **kwargs):
        start = time.perf_counter()
        drawn = self._draw(prompt_ids, *args, **kwargs)
        self._metrics["train" if self.model.training else "eval"]["rollout_seconds"].append(
            time.perf_counter() - start
        )
        return drawn

    def _draw(self, prompt_ids, *args, **kwargs):
        if self.args.rollout_engine == "native":
            return self._draw_natively(prompt_ids), None
        model = self.accelerator.unwrap_model(self.model_wrapped)
        if not self.args.stop_at_function_end:
            with policy_sampling(model, None), self.accelerator.autocast():
                completion_ids, logprobs = super()._generate_single_turn(prompt_ids, *args, **kwargs)
            ends = {*self.eos_token_ids, self._tokenizer.pad_token_id}
            self._finished = [ids[-1] in ends for ids in completion_ids]
            return completion_ids, logprobs
        texts = self._tokenizer.batch_decode(prompt_ids, skip_special_tokens=True)
        longest, multiple = max(map(len, prompt_ids)), self.pad_to_multiple_of or 1
        end = FunctionEnd(completed_function, self._tokenizer, texts, -(-longest // multiple) * multiple)
        with policy_sampling(model, end), self.accelerator.autocast():
            completion_ids, logprobs = super()._generate_single_turn(prompt_ids, *args, **kwargs)
        self._finished = [length is not None for length in end.lengths]
        # Tokens after the end are padding, not the policy's.
        return [ids[:length] for ids, length in zip(completion_ids, end.lengths, strict=True)], logprobs

    def _calculate_rewards(self, inputs, prompts, completions, completion_ids_list):
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
        mode = "train" if self.model.training else "eval"
        self._metrics[mode]["truncated"].append(1 - finished.float().mean().item())
        return rewards

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        mode = "train" if self.model.training else "eval"
        sampled: list[int] = []
        if self.curriculum is not None and mode == "train":
            sampled = self.curriculum.sample(len(inputs) * self.accelerator.num_processes // self.num_generations)
            rows = [prompt for prompt in sampled for _ in range(self.num_generations)]
            start = self.accelerator.process_index * len(inputs)
            inputs = [self.train_dataset[prompt] for prompt in rows[start : start + len(inputs)]]
        output = super()._generate_and_score_completions(inputs)

        groups = self._success.view(-1, self.num_generations if mode == "train" else self.num_generations_eval)
        self._record(groups, mode)
        if groups.shape[1] < 2:
            return output | {"advantages": torch.zeros_like(output["advantages"])}
        quality = self._quality.view_as(groups) if self.args.quality_weight else None
        advantages = maxrl_advantages(groups, self.args.estimator, quality, self.args.quality_weight)
        advantages = advantages.flatten().to(output["advantages"])
        start = self.accelerator.process_index * len(inputs)
        output["advantages"] = advantages[start : start + len(inputs)]
        logged = self._logs["advantages"]
        kept = list(logged)[: -len(advantages)]
        logged.clear()
        logged.extend(kept + advantages.tolist())
        if sampled:
            judged, solved = (~groups.isnan()).sum(dim=1).tolist(), groups.nansum(dim=1).int().tolist()
            self.curriculum.update([Outcome(*each) for each in zip(sampled, judged, solved, strict=True)])
        if mode == "train" and self.args.sample_steps and self.state.global_step % self.args.sample_steps == 0:
            self._write_samples()
        return output

    def _get_per_token_logps_and_entropies(
        self, model, input_ids, attention_mask, logits_to_keep, batch_size=None, compute_entropy=False, **others
    ):
        if self.args.loop_credit == "final":
            return super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, batch_size, compute_entropy, **others
            )
        positions = slice(-logits_to_keep - 1, -1)
        found = []
        for part, mask in zip(
            input_ids.split(batch_size or len(input_ids)),
            attention_mask.split(batch_size or len(input_ids)),
            strict=True,
        ):
            with self.accelerator.autocast():
                outputs = model(
                    input_ids=part, attention_mask=mask, use_cache=False, output_loop_states=True, return_logits=False
                )
                weights = credit_weights(
                    self.args.loop_credit, outputs.exit_pdf[:, positions], self.args.loop_credit_power
                )
                found.append(
                    credited_log_probabilities(
                        tuple(states[:, positions] for states in outputs.loop_hidden_states),
                        weights,
                        self.policy.lm_head,
                        part[:, -logits_to_keep:],
                        self.temperature,
                    )
                )
        log_probabilities, entropies = (torch.cat(each) for each in zip(*found, strict=True))
        return log_probabilities, entropies if compute_entropy else None, None

    def _record(self, groups: torch.Tensor, mode: str) -> None:
        """Log the metrics of groups, (groups, n) of 0, 1 and NaN."""
        metrics, size = self._metrics[mode], groups.shape[1]
        judged, solved = (~groups.isnan()).sum(dim=1).tolist(), groups.nansum(dim=1).int().tolist()
        metrics["success_rate"].append(groups.nanmean().item())
        k = 1
        while k <= size:
            known = [pass_at_k(n, c, k) for n, c in zip(judged, solved, strict=True) if n >= k]
            metrics[f"pass@{k}"].append(sum(known) / len(known) if known else float("nan"))
            k *= 2
        failed = sum(n > 0 and c == 0 for n, c in zip(judged, solved, strict=True)) / len(groups)
        passed = sum(n > 0 and c == n for n, c in zip(judged, solved, strict=True)) / len(groups)
        metrics["groups/all_failed"].append(failed)
        metrics["groups/all_passed"].append(passed)
        metrics["groups/zero_variance"].append(failed + passed)
        metrics["unscorable"].append(groups.isnan().float().mean().item())

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
