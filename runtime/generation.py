"""`generate` of transformers by the native engine: the same arguments, defaults, lengths and padding."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers import GenerationConfig, GenerationMixin
from transformers.generation import GenerateDecoderOnlyOutput
from transformers.generation.streamers import BaseStreamer

from modeling_nanochat import LoopLMForCausalLM
from modeling_nanochat.exit_nanochat import depth_to_run
from runtime.kept import kept_engine
from runtime.settings import MOST_TOGETHER, Completion, SamplingSettings

USED_ARGUMENTS = {"inputs", "generation_config", "streamer"}
USED_MODEL_ARGUMENTS = {"input_ids", "attention_mask", "num_loops", "exit_threshold", "exit_at_loop"}
# Of use for stop strings and assistant models only, which are refused.
UNUSED_ARGUMENTS = {"tokenizer", "assistant_tokenizer"}
USED_SETTINGS = {
    *("max_length", "max_new_tokens", "do_sample", "temperature", "top_k", "top_p", "repetition_penalty"),
    *("num_return_sequences", "pad_token_id", "bos_token_id", "eos_token_id", "return_dict_in_generate"),
}
# They change the speed of PyTorch, or only beam search and assistant models, which are refused.
SETTINGS_WITHOUT_EFFECT = {
    *("use_cache", "compile_config", "disable_compile", "prefill_chunk_size", "low_memory"),
    *("early_stopping", "length_penalty", "is_assistant", "num_assistant_tokens", "num_assistant_tokens_schedule"),
    *("assistant_confidence_threshold", "assistant_early_exit", "assistant_lookbehind", "target_lookbehind"),
    *("assistant_ensemble_weight", "max_matching_ngram_size", "transformers_version", "_from_model_config"),
}
SETTINGS_OF_SAMPLING = {"min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff"}
NEUTRAL: Mapping[str, Any] = {
    **{"min_length": 0, "min_new_tokens": 0, "num_beams": 1, "num_beam_groups": 1, "diversity_penalty": 0},
    **{"min_p": 0, "typical_p": 1, "epsilon_cutoff": 0, "eta_cutoff": 0, "penalty_alpha": 0, "guidance_scale": 1},
    **{"no_repeat_ngram_size": 0, "encoder_no_repeat_ngram_size": 0, "encoder_repetition_penalty": 1},
    **{"cache_implementation": "dynamic"},
}
"""Values without effect of settings that are refused, besides None, False and empty lists."""


@dataclass(frozen=True)
class _Request:
    """
    What a call of `generate` asks for.

    Attributes:
        input_ids: Prompts, padded on the left, of shape `(batch, seq)`.
        prompts: Tokens of each prompt.
        config: Settings, with the lengths for these prompts.
        pad_token_id: Token after the end of a row; None if no row can end.
        settings: Settings for the engine.
        streamer: Receives the tokens.
    """

    input_ids: torch.Tensor
    prompts: list[torch.Tensor]
    config: GenerationConfig
    pad_token_id: int | None
    settings: SamplingSettings
    streamer: BaseStreamer | None


def generate(model: LoopLMForCausalLM, *args, **kwargs) -> torch.Tensor | GenerateDecoderOnlyOutput:
    """
    Generate tokens as `model.generate` does, in the native engine.

    The engine is kept with the model and built anew when the weights have changed, see [`kept_engine`]. Random numbers
    are seeded from PyTorch's, so that `set_seed` makes samples reproducible; they are other ones than PyTorch's own.
    The repetition penalty does not apply to padding.

    Args:
        model: A LoopLM.
        args, kwargs: Arguments of [`~transformers.GenerationMixin.generate`]: `inputs` or `input_ids`,
            `attention_mask` (padding on the left), `generation_config` or its fields for length, greedy decoding,
            sampling, repetition penalty and special tokens, `num_loops`, `exit_threshold`, `exit_at_loop`, and a
            `streamer` for one row.

    Returns:
        Token ids of shape `(rows, prompt + new tokens)`, padded on the right after the end of a row. With
        `return_dict_in_generate=True`, an output with these `sequences`, `loops_used` of shape `(rows, new tokens)`
        and `mean_loops` of shape `(rows,)`, as with the engine torch.

    Raises:
        ValueError: An argument has an effect that the engine does not have, or is out of range; or the engine cannot
            run the model, see [`Engine.from_model`].
    """
    request = _read(model, *args, **kwargs)
    engine = kept_engine(model)
    on_token: Callable[[int, int], bool] | None = None
    streamer = request.streamer
    if streamer is not None:
        streamer.put(request.input_ids.cpu())

        def on_token(completion: int, token: int) -> bool:
            streamer.put(torch.tensor([token]))
            return False

    completions = engine.generate(request.prompts, request.settings, on_token)
    if streamer is not None:
        streamer.end()
    return _output(request, completions)


def _read(model: LoopLMForCausalLM, *args, **kwargs) -> _Request:
    """Check the arguments of a call, and apply the defaults of the model and of transformers to them."""
    given = dict(inspect.signature(GenerationMixin.generate).bind(model, *args, **kwargs).arguments)
    given.pop("self")
    others = {name: value for name, value in given.pop("kwargs", {}).items() if name not in UNUSED_ARGUMENTS}
    for name, value in given.items():
        if name not in USED_ARGUMENTS:
            _refuse(name, value)
    given_config = given.get("generation_config")
    has_default = {
        name: all(vars(each).get(name) is None for each in (given_config, model.generation_config) if each is not None)
        and others.get(name) is None
        for name in ("max_length", "min_length")
    }
    config, model_arguments = model._prepare_generation_config(given_config, **others)
    for name, value in model_arguments.items():
        if name not in USED_MODEL_ARGUMENTS:
            _refuse(name, value)
    _check_settings(config)
    depth = [model_arguments.pop(name, None) for name in ("num_loops", "exit_threshold", "exit_at_loop")]
    mask = model_arguments.pop("attention_mask", None)
    input_ids, input_name, _ = model._prepare_model_inputs(given.get("inputs"), config.bos_token_id, model_arguments)
    if input_ids.ndim != 2:
        raise ValueError(f"input_ids must have the shape (batch, seq), got {tuple(input_ids.shape)}")
    model._prepare_special_tokens(config, mask is not None, device=input_ids.device, batch_size=len(input_ids))
    if mask is None:
        mask = model._prepare_attention_mask_for_generation(input_ids, config, {})
    prompts = _prompts(input_ids, mask)
    width = input_ids.shape[1]
    config = model._prepare_generated_length(
        config, has_default["max_length"], has_default["min_length"], input_name, width, input_ids
    )
    model._validate_generated_length(config, width, has_default["max_length"])
    rows = len(input_ids) * config.num_return_sequences
    streamer = given.get("streamer")
    if streamer is not None and rows > 1:
        raise ValueError(f"streamer must be None for more than one row, got one for {rows} rows")
    pad = config._pad_token_tensor
    settings = _sampling(model, config, config.max_length - width, rows, depth)
    return _Request(input_ids, prompts, config, None if pad is None else int(pad), settings, streamer)


def _refuse(name: str, value: Any) -> None:
    """Raise `ValueError` for an argument that is set."""
    if value is None or value is False or (isinstance(value, list | tuple | dict) and not value):
        return
    shown = repr(value) if isinstance(value, bool | int | float | str) else type(value).__name__
    raise ValueError(f'{name} must be left out with engine="native", got {shown}. Use engine="torch" for it')


def _check_settings(config: GenerationConfig) -> None:
    """Raise `ValueError` for settings whose effect the engine does not have."""
    for name in vars(GenerationConfig()).keys() - USED_SETTINGS - SETTINGS_WITHOUT_EFFECT:
        value = vars(config)[name]
        unused = name in SETTINGS_OF_SAMPLING and not config.do_sample
        if not unused and not (name in NEUTRAL and value == NEUTRAL[name]):
            _refuse(name, value)
    if config.do_sample and not config.temperature > 0:
        raise ValueError(f"temperature must be above 0 with do_sample=True, got {config.temperature}")


def _prompts(input_ids: torch.Tensor, mask: torch.Tensor) -> list[torch.Tensor]:
    """Return the tokens of each row without its padding on the left."""
    if mask.shape != input_ids.shape:
        raise ValueError(
            f"attention_mask must have the shape of input_ids, got {tuple(mask.shape)} and {tuple(input_ids.shape)}"
        )
    kept = mask.cpu().bool()
    for row, each in enumerate(kept):
        if not each.any() or (each[:-1] & ~each[1:]).any():
            raise ValueError(
                'attention_mask must be 0 for padding on the left and 1 for the tokens after it with engine="native", '
                f'got {mask[row].int().tolist()} in row {row}. Pad with padding_side="left"'
            )
    return [ids[each] for ids, each in zip(input_ids.cpu(), kept, strict=True)]


def _sampling(
    model: LoopLMForCausalLM, config: GenerationConfig, new_tokens: int, rows: int, depth: list[Any]
) -> SamplingSettings:
    loops, threshold = depth_to_run(model.config, *depth)
    if model.training:
        # As in the model's forward pass.
        threshold = 1.0
    ends = config._eos_token_tensor
    sampling: dict[str, Any] = {}
    if config.do_sample:
        sampling = dict(temperature=config.temperature, top_k=config.top_k or 0, top_p=config.top_p)
        # From PyTorch's random numbers, so that its seed is the seed.
        sampling["seed"] = int(torch.randint(2**31, ()))
    return SamplingSettings(
        max_new_tokens=new_tokens,
        **sampling,
        repetition_penalty=config.repetition_penalty,
        num_return_sequences=config.num_return_sequences,
        batch_size=min(rows, MOST_TOGETHER),
        eos_token_id=() if ends is None else tuple(ends.tolist()),
        num_loops=loops,
        exit_threshold=threshold,
        # A fixed depth, also where the configuration has another one.
        exit_at_loop=loops if threshold >= 1 else None,
    )


def _output(request: _Request, completions: list[Completion]) -> torch.Tensor | GenerateDecoderOnlyOutput:
    width = max(len(each.token_ids) for each in completions)
    device = request.input_ids.device

    def padded(values: list[list[int]], padding: int) -> torch.Tensor:
        return torch.tensor([row + [padding] * (width - len(row)) for row in values], device=device)

    # Without a token for padding no row ends, and all have the same length.
    tokens = padded([each.token_ids for each in completions], request.pad_token_id or 0)
    prompts = request.input_ids.repeat_interleave(request.settings.num_return_sequences, dim=0)
    sequences = torch.cat([prompts, tokens.to(prompts.dtype)], dim=1)
    if not request.config.return_dict_in_generate:
        return sequences
    output = GenerateDecoderOnlyOutput(sequences=cast(torch.LongTensor, sequences))
    loops = padded([each.loops_used for each in completions], 0)
    output["loops_used"] = loops
    output["mean_loops"] = loops.sum(dim=1) / (loops > 0).sum(dim=1)
    return output
