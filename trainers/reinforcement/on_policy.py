"""Checks that completions are sampled from the policy that is trained."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager

from peft import PeftModel
from transformers import GenerationConfig, PreTrainedModel, StoppingCriteria, StoppingCriteriaList
from trl import GRPOConfig

from modeling_nanochat import is_looplm

# Arguments of `generate` with the values that leave the probability of every completion as it is. Any other argument
# may change it, now or in a later version of transformers.
NEUTRAL = {
    "do_sample": (True,),
    "num_beams": (1,),
    "top_p": (1,),
    "top_k": (0,),
    "min_p": (None, 0),
    "repetition_penalty": (1,),
    "use_cache": (True, False),
    "cache_implementation": (None, "dynamic", "static", "offloaded", "offloaded_static"),
}
SETTINGS = ("top_p", "top_k", "min_p", "repetition_penalty", "cache_implementation")


def check_settings(args: GRPOConfig) -> None:
    """Raise `ValueError` when completions would be sampled from another distribution than the policy's."""
    if not 0 < args.temperature < float("inf"):
        raise ValueError(f"temperature must be above 0 and finite, got {args.temperature}")
    if not args.disable_dropout:
        raise ValueError("disable_dropout must be True: with dropout every forward pass has another policy")
    # TRL computes log-probabilities with this setting, whatever generation_kwargs say.
    allowed = NEUTRAL | {"temperature": (args.temperature,)}
    asked = {name: getattr(args, name) for name in SETTINGS} | (args.generation_kwargs or {})
    others = {name: value for name, value in asked.items() if value not in allowed.get(name, ())}
    if others:
        known = ", ".join(f"{name}: {' or '.join(map(repr, allowed[name]))}" for name in others if name in allowed)
        raise ValueError(
            "completions must be sampled from the policy that is trained, at full depth and without early exit: leave "
            f"{others} at their defaults{f' ({known})' if known else ''}. Set temperature and max_completion_length "
            "in MaxRLConfig"
        )


def check_model(model: PreTrainedModel) -> None:
    """Raise `ValueError` when a LoopLM cannot be trained, or would sample from another policy than is trained."""
    config = model.config
    if not is_looplm(config):
        return
    if config.weight_format == "packed":
        raise ValueError("the model must have latent weights: packed weights cannot be trained")
    if "quantization_config" in config.to_dict():
        raise ValueError(
            "the model must not be quantized: training updates the latent weights of ternary layers, which need full "
            "precision (no QLoRA). LoRA works on the unquantized model: peft_config=LoraConfig(...)"
        )
    if config.exit_threshold < 1:
        raise ValueError(
            "completions must be sampled at the depth that is trained, without early exit (the configuration has "
            f"num_loops={config.num_loops}), because early exit is another policy; got "
            f"exit_threshold={config.exit_threshold}"
        )
    if config.kv_reuse != "none":
        raise ValueError(
            f'the model\'s kv_reuse must be "none" in training: it changes the policy; got {config.kv_reuse!r}'
        )


@contextmanager
def policy_sampling(model: PreTrainedModel | PeftModel, end: StoppingCriteria | None) -> Iterator[None]:
    """
    Context in which `generate` samples from the policy: the model's own generation configuration, which may add a
    filter or a penalty to TRL's, is put aside.

    Args:
        model: Model that generates.
        end: Further criterion to stop by, which TRL has no argument for.
    """
    # PEFT copies its generation configuration to the wrapped model and leaves it there.
    models = [model, model.get_base_model()] if isinstance(model, PeftModel) else [model]
    own = [each.generation_config for each in models]
    for each in models:
        each.generation_config = GenerationConfig()
    if end is not None:
        model.generate = functools.partial(model.generate, stopping_criteria=StoppingCriteriaList([end]))
    try:
        yield
    finally:
        for each, config in zip(models, own, strict=True):
            each.generation_config = config
        if end is not None:
            del model.generate
