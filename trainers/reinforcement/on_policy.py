"""Settings and models with which completions are drawn from the policy that is trained."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager

from peft import PeftModel
from transformers import GenerationConfig, PreTrainedModel, StoppingCriteria, StoppingCriteriaList
from trl import GRPOConfig

from modeling_nanochat import is_looplm

# What `generate` may be told, and with which values: none of these changes the chance of any completion. A name that
# is not here may, now or in a later version of transformers.
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
    """Raises `ValueError` when completions would be drawn otherwise than their log-probabilities are computed."""
    if not 0 < args.temperature < float("inf"):
        raise ValueError(f"temperature must be above 0 and finite, got {args.temperature}")
    if not args.disable_dropout:
        raise ValueError("disable_dropout must be True: with dropout every pass is another policy")
    # TRL divides the logits of its log-probabilities by the setting, and not by what generation_kwargs say.
    allowed = NEUTRAL | {"temperature": (args.temperature,)}
    asked = {name: getattr(args, name) for name in SETTINGS} | (args.generation_kwargs or {})
    others = {name: value for name, value in asked.items() if value not in allowed.get(name, ())}
    if others:
        known = ", ".join(f"{name}: {' or '.join(map(repr, allowed[name]))}" for name in others if name in allowed)
        raise ValueError(
            "completions must be drawn from the policy that is trained, at full depth and without early exit: leave "
            f"{others} as they are{f' ({known})' if known else ''}. MaxRLConfig has temperature and "
            "max_completion_length of its own"
        )


def check_model(model: PreTrainedModel) -> None:
    """Raises `ValueError` when a LoopLM would draw from another policy than is trained, or cannot be trained."""
    config = model.config
    if not is_looplm(config):
        return
    if config.weight_format == "packed":
        raise ValueError("the model must have latent weights: packed ones are codes and cannot be trained")
    if "quantization_config" in config.to_dict():
        raise ValueError(
            "the model must not be quantised: the latent weights of ternary layers are what training moves, and four "
            "bits of them mean nothing (no QLoRA). LoRA on the model as it is works: peft_config=LoraConfig(...)"
        )
    if config.exit_threshold < 1:
        raise ValueError(
            "completions must be drawn at the depth they are trained at, without early exit (the configuration's "
            f"num_loops={config.num_loops}): other ones come from another policy; got "
            f"exit_threshold={config.exit_threshold}"
        )
    if config.kv_reuse != "none":
        raise ValueError(
            f'the model\'s kv_reuse must be "none" in training: it changes the policy; got {config.kv_reuse!r}'
        )


@contextmanager
def drawing(model: PreTrainedModel | PeftModel, end: StoppingCriteria | None) -> Iterator[None]:
    """
    TRL calls `generate` without a criterion to stop by; within this context there is one. What the model's own
    generation configuration adds to TRL's (a filter, a penalty) is put aside: it would be another policy.
    """
    # PEFT gives its generation configuration to the model inside, and leaves it there.
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
