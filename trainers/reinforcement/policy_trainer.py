"""A trainer whose completions are sampled from, and scored by, the policy that is trained."""

import time
from collections.abc import Callable
from typing import Any, cast

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from evaluation.generate import FunctionEnd
from evaluation.rust.syntax.completion import completed_function
from modeling_nanochat import LoopLMForCausalLM, is_looplm
from runtime.build import library
from trainers.reinforcement.loop_credit import credit_weights, credited_log_probabilities
from trainers.reinforcement.maxrl_config import MaxRLConfig
from trainers.reinforcement.native_rollouts import NativeRollouts, check_gap, rollout_gap
from trainers.reinforcement.on_policy import check_model, policy_sampling
from trainers.reinforcement.shared_prompts import real_tokens, share_prompts
from trainers.reinforcement.trained_rows import TrainedRowsTrainer

OnEnd = Callable[[int, list[int]], None]


class PolicyTrainer(TrainedRowsTrainer):
    """
    [`trl.GRPOTrainer`] that samples with PyTorch or in the native engine, and weights the loops in log-probabilities.

    Raises:
        ValueError: The model cannot be trained this way, or the engine cannot run it.
    """

    args: MaxRLConfig
    max_completion_length: int
    num_generations: int
    num_generations_eval: int

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if not isinstance(self.args, MaxRLConfig):
            raise ValueError(f"args must be MaxRLConfig, got {type(self.args).__name__}")
        if self.args.rollout_engine == "native":
            self._check_native()
        if self.args.loop_credit != "final" and self.is_fsdp_enabled:
            raise ValueError(
                f'loop_credit must be "final" with FSDP, which shards the head, got {self.args.loop_credit!r}'
            )
        if self.args.loop_credit != "final" and not is_looplm(self.policy.config):
            raise ValueError(f'loop_credit must be "final" for a model without loops, got {self.args.loop_credit!r}')
        check_model(self.policy)
        if is_looplm(self.policy.config):
            self.policy.freeze_gate()
        self._rollouts: NativeRollouts | None = None
        self._compared = False
        self._finished: list[bool] = []
        self.rows: list[dict[str, Any]] = []
        """Rows of the data set that are sampled for now, one for each completion."""

    @property
    def policy(self) -> PreTrainedModel:
        """The model without wrappers for adapters and distributed training."""
        model = self.accelerator.unwrap_model(self.model)
        return model.get_base_model() if isinstance(model, PeftModel) else model

    @property
    def _reads_states(self) -> bool:
        """Whether log-probabilities are computed here from hidden states: the head must not be sharded."""
        return is_looplm(self.policy.config) and not (self.is_fsdp_enabled or self.is_deepspeed_enabled)

    @property
    def shares_prompts(self) -> bool:
        """Whether the prompt of several completions is computed once, which needs an attention with any mask."""
        return self._reads_states and self.policy.config._attn_implementation == "sdpa"

    @property
    def mode(self) -> str:
        """Name of the logs that are written now."""
        return "train" if self.model.training else "eval"

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

    def _generate_single_turn(self, prompt_ids, images, multimodal_fields, num_generations, has_tool_images=False):
        start = time.perf_counter()
        completion_ids, self._finished = self.draw(prompt_ids, images=images, multimodal_fields=multimodal_fields)
        self._metrics[self.mode]["rollout_seconds"].append(time.perf_counter() - start)
        return completion_ids, None

    def draw(
        self,
        prompt_ids: list[list[int]],
        functions: list[str] | None = None,
        room: list[int] | None = None,
        on_end: OnEnd | None = None,
        images: list | None = None,
        multimodal_fields: dict[str, Any] | None = None,
    ) -> tuple[list[list[int]], list[bool]]:
        """
        Sample a completion for each prompt.

        Args:
            prompt_ids: Tokens of each prompt.
            functions: With `stop_at_function_end`, the text that ends within the function which each completion
                continues; None for the text of the prompt.
            room: Maximum number of tokens of each completion; None for `max_completion_length`.
            on_end: Called with the index of a completion and its tokens as soon as it has ended; by PyTorch only with
                `stop_at_function_end`.
            images, multimodal_fields: Those of the prompts, as TRL has prepared them; only for PyTorch.

        Returns:
            Tokens of each completion, with its end token if it has one, and whether it came to its end.

        Raises:
            ValueError: At the first call, the native engine computes another model.
        """
        if self.args.rollout_engine == "native":
            return self._draw_natively(prompt_ids, functions, room, on_end)
        return self._draw_with_torch(prompt_ids, functions, room, on_end, images, multimodal_fields or {})

    def _draw_natively(
        self, prompt_ids: list[list[int]], functions: list[str] | None, room: list[int] | None, on_end: OnEnd | None
    ) -> tuple[list[list[int]], list[bool]]:
        policy = cast(LoopLMForCausalLM, self.policy)
        if self._rollouts is None:
            self._rollouts = NativeRollouts(
                self._tokenizer,
                self.temperature,
                self.max_completion_length,
                self.eos_token_ids,
                self.args.stop_at_function_end,
            )
        drawn = self._rollouts.draw(policy, self.state.global_step, prompt_ids, functions, room, on_end)
        with self.accelerator.autocast():
            gap = rollout_gap(policy, prompt_ids, drawn, self.temperature)
        if not self._compared:
            check_gap(gap)
            self._compared = True
        self._metrics[self.mode]["rollout_gap"].append(gap)
        return drawn.token_ids, drawn.finished

    def _draw_with_torch(
        self,
        prompt_ids: list[list[int]],
        functions: list[str] | None,
        room: list[int] | None,
        on_end: OnEnd | None,
        images: list | None,
        multimodal_fields: dict[str, Any],
    ) -> tuple[list[list[int]], list[bool]]:
        end = None
        if self.args.stop_at_function_end:
            functions = functions or self._tokenizer.batch_decode(prompt_ids, skip_special_tokens=True)
            length = -(-max(map(len, prompt_ids)) // self.width_multiple) * self.width_multiple
            end = FunctionEnd(completed_function, self._tokenizer, functions, length, on_end=on_end)
        model = self.accelerator.unwrap_model(self.model_wrapped)
        limits = [self.max_completion_length] * len(prompt_ids) if room is None else room
        self.generation_config.max_new_tokens = max(limits)
        with policy_sampling(model, end), self.accelerator.autocast():
            drawn, _ = super()._generate_single_turn(prompt_ids, images, multimodal_fields, self.num_generations)
        self.generation_config.max_new_tokens = self.max_completion_length
        ends = {*self.eos_token_ids, self._tokenizer.pad_token_id}
        # Tokens after the end of a function are padding, not the policy's.
        lengths = end.lengths if end is not None else [len(ids) if ids[-1] in ends else None for ids in drawn]
        completion_ids = [
            ids[:limit] if length is None else ids[: min(length, limit)]
            for ids, length, limit in zip(drawn, lengths, limits, strict=True)
        ]
        finished = [length is not None and length <= limit for length, limit in zip(lengths, limits, strict=True)]
        return completion_ids, finished

    def _get_per_token_logps_and_entropies(
        self, model, input_ids, attention_mask, logits_to_keep, batch_size=None, compute_entropy=False, **others
    ):
        if not self._reads_states:
            return super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, batch_size, compute_entropy, **others
            )
        size = batch_size or len(input_ids)
        parts = zip(input_ids.split(size), attention_mask.bool().split(size), strict=True)
        found = [self._log_probabilities(model, ids, mask, logits_to_keep) for ids, mask in parts]
        log_probabilities, entropies = (torch.cat(each) for each in zip(*found, strict=True))
        return log_probabilities, entropies if compute_entropy else None, None

    def _log_probabilities(
        self, model: torch.nn.Module, input_ids: torch.Tensor, mask: torch.Tensor, completion_length: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Return the log-probability of each token of the completions, and the entropy of the prediction; 0 for padding.

        Args:
            model: Model with its wrappers.
            input_ids, mask: (batch, prompt + completion), tokens and whether each is none of the padding.
            completion_length: Number of tokens that belong to the completions.
        """
        tokens, real = input_ids[:, -completion_length:], mask[:, -completion_length:]
        rows = share_prompts(
            real_tokens(input_ids[:, :-completion_length], mask[:, :-completion_length]),
            real_tokens(tokens, real),
            self.shares_prompts,
            self.width_multiple,
        ).to(input_ids.device)
        credit = self.args.loop_credit
        with self.accelerator.autocast():
            outputs = model(
                input_ids=rows.input_ids,
                attention_mask=rows.attention_mask,
                position_ids=rows.position_ids,
                use_cache=False,
                output_loop_states="last" if credit == "final" else True,
                return_logits=False,
            )
            states = tuple(rows.before_completions(each) for each in outputs.loop_hidden_states)
            # The last loop's alone, if only its states were asked for.
            exit_pdf = rows.before_completions(outputs.exit_pdf[..., -len(states) :])
            found = credited_log_probabilities(
                states,
                credit_weights(credit, exit_pdf, self.args.loop_credit_power),
                self.policy.lm_head,
                tokens[real][None],
                self.temperature,
            )
        log_probabilities, entropies = (values.new_zeros(real.shape).masked_scatter(real, values) for values in found)
        return log_probabilities, entropies
