"""Llama and the models with its block: Mistral, Qwen2 and Qwen3, of which LoopLM has all but sliding windows."""

from collections.abc import Callable
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import LlamaConfig, MistralConfig, PreTrainedConfig, Qwen2Config, Qwen3Config

from trainers.conversion.family import Family, needed, refuse

NEEDED = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
SAME = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "num_key_value_heads",
    "max_position_embeddings",
    "rms_norm_eps",
    "initializer_range",
    "tie_word_embeddings",
)
"""Fields with the same name in LoopLM."""
ROPE_TYPES = ("default", "linear", "dynamic", "yarn", "llama3", "longrope")
BUFFERS = (".rotary_emb.inv_freq",)
"""Tensors that older checkpoints have and that follow from the configuration."""


def llama_fields(config: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of the LoopLM with the outputs of a Llama; raises `ValueError` for what LoopLM lacks."""
    return _fields(config, LlamaConfig) | {"attention_bias": "qkvo" if config.get("attention_bias") else "none"}


def mistral_fields(config: dict[str, Any]) -> dict[str, Any]:
    """Return the fields for a Mistral, see [`llama_fields`]."""
    return _fields(config, MistralConfig)


def qwen2_fields(config: dict[str, Any]) -> dict[str, Any]:
    """Return the fields for a Qwen2, see [`llama_fields`]."""
    return _fields(config, Qwen2Config) | {"attention_bias": "qkv"}


def qwen3_fields(config: dict[str, Any]) -> dict[str, Any]:
    """Return the fields for a dense Qwen3, see [`llama_fields`]."""
    bias = "qkvo" if config.get("attention_bias") else "none"
    return _fields(config, Qwen3Config) | {"attention_bias": bias, "qk_norm": True}


def _fields(config: dict[str, Any], kind: type[PreTrainedConfig]) -> dict[str, Any]:
    """Return the fields that all families have, with the defaults of the family's configuration class."""
    needed(config, NEEDED)
    if config.get("quantization_config") is not None:
        refuse("quantization_config", "left out", config["quantization_config"], "only float weights are converted")
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    rope_type = rope.get("rope_type", rope.get("type", "default")) if isinstance(rope, dict) else rope
    if rope_type not in ROPE_TYPES:
        refuse("rope_type", f"one of {', '.join(ROPE_TYPES)}", rope_type, "LoopLM has no other")
    # -1 stands for no token in some files.
    tokens = {name: config.get(name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    tokens = {name: None if token == -1 else token for name, token in tokens.items() if name in config}
    try:
        found = kind.from_dict(config | tokens)
    except (StrictDataclassError, KeyError, TypeError) as error:
        raise ValueError(f"config.json is not one of model_type {kind.model_type}: {error}") from error
    if found.hidden_act != "silu":
        refuse("hidden_act", "'silu'", found.hidden_act, "LoopLM's MLP is SwiGLU")
    if config.get("mlp_bias"):
        refuse("mlp_bias", "False", config["mlp_bias"], "LoopLM's MLP has no bias")
    rope = {name: value for name, value in found.rope_parameters.items() if name != "type"}
    if rope.get("partial_rotary_factor", 1.0) != 1.0:
        refuse("partial_rotary_factor", "1", rope["partial_rotary_factor"], "LoopLM rotates whole heads")
    _check_window(found)
    fields = {name: getattr(found, name) for name in (*SAME, *tokens)}
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        fields[name] = getattr(found, name)
    if found.dtype is not None:
        fields["dtype"] = found.dtype
    head_dim = found.to_dict().get("head_dim") or found.hidden_size // found.num_attention_heads
    return fields | {
        "num_shared_layers": found.num_hidden_layers,
        "num_loops": 1,
        "mhc_num_streams": 1,
        "head_dim": head_dim,
        "rope_parameters": rope,
    }


def _check_window(config: PreTrainedConfig) -> None:
    """Raise `ValueError` for a sliding window that is shorter than the context."""
    settings = config.to_dict()
    window, types = settings.get("sliding_window"), settings.get("layer_types")
    slides = types is None or any(kind != "full_attention" for kind in types)
    if slides and window is not None and window < config.max_position_embeddings:
        longest = config.max_position_embeddings
        refuse("sliding_window", f"None or at least max_position_embeddings={longest}", window, "LoopLM has none")
    others = sorted(set(types or ()) - {"full_attention", "sliding_attention"})
    if others:
        refuse("layer_types", "'full_attention'", others[0], "LoopLM has no other")


def _family(model_type: str, fields: Callable[[dict[str, Any]], dict[str, Any]]) -> Family:
    return Family(model_type, fields, ignored=BUFFERS)


LLAMAS = (
    _family("llama", llama_fields),
    _family("mistral", mistral_fields),
    _family("qwen2", qwen2_fields),
    _family("qwen3", qwen3_fields),
)
