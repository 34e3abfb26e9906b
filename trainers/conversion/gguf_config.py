"""The configuration in the metadata of a GGUF file, in the form of the family's config.json."""

from pathlib import Path
from typing import Any

from trainers.conversion.family import refuse

ARCHITECTURES = ("llama", "qwen2", "qwen3")
NEEDED = {
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
    "max_position_embeddings": "context_length",
}
CHANGING = (
    "expert_count",
    "attention.scale",
    "attention.clamp_kqv",
    "logit_scale",
    "embedding_scale",
    "residual_scale",
    "rope.scaling.attn_factor",
    "rope.scaling.yarn_log_multiplier",
    "rope.scaling.yarn_attn_factor",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    "rope.scaling.yarn_ext_factor",
)
"""Settings that change the outputs and that LoopLM does not have."""


def config_of_metadata(path: Path, metadata: dict[str, object], shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """
    Return the content of a config.json with the outputs of a GGUF file.

    Args:
        path: The file, for messages.
        metadata: Its metadata, of one of `ARCHITECTURES`.
        shapes: Shapes of its tensors by name.

    Raises:
        ValueError: A value is missing, or is of something that LoopLM does not have.
    """
    architecture = metadata["general.architecture"]

    def get(key: str) -> Any:
        return metadata.get(f"{architecture}.{key}")

    missing = [f"{architecture}.{key}" for key in NEEDED.values() if get(key) is None]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}")
    for key in CHANGING:
        if get(key) not in (None, 0):
            raise ValueError(f"{path}: {architecture}.{key} must be left out: LoopLM has no such setting")
    content: dict[str, Any] = {name: get(key) for name, key in NEEDED.items()}
    for name in ("num_attention_heads", "intermediate_size"):
        if not isinstance(content[name], int):
            raise ValueError(f"{path}: {architecture}.{NEEDED[name]} must be one number for all layers")
    key_heads = get("attention.head_count_kv") or content["num_attention_heads"]
    if isinstance(key_heads, list):
        if len(set(key_heads)) != 1:
            raise ValueError(f"{path}: {architecture}.attention.head_count_kv must be equal in all layers")
        key_heads = key_heads[0]
    head_dim = get("attention.key_length") or content["hidden_size"] // content["num_attention_heads"]
    for key in ("attention.value_length", "rope.dimension_count"):
        if get(key) not in (None, head_dim):
            raise ValueError(
                f"{path}: {architecture}.{key} must be the width of a key head, {head_dim}, got {get(key)}"
            )
    window = get("attention.sliding_window")
    if window and window < content["max_position_embeddings"]:
        refuse("attention.sliding_window", "at least the context_length", window, "LoopLM has none")
    tokens = {
        "bos_token_id": metadata.get("tokenizer.ggml.bos_token_id"),
        "pad_token_id": metadata.get("tokenizer.ggml.padding_token_id"),
        "eos_token_id": _end_tokens(metadata),
    }
    return (
        content
        | tokens
        | {
            "model_type": architecture,
            "vocab_size": shapes["token_embd.weight"][0],
            "num_key_value_heads": key_heads,
            "head_dim": head_dim,
            "tie_word_embeddings": "output.weight" not in shapes,
            "rope_parameters": _rope(path, get, content["max_position_embeddings"]),
            "dtype": "float32",
        }
    )


def _rope(path: Path, get: Any, context: int) -> dict[str, Any]:
    kind = get("rope.scaling.type") or "none"
    found: dict[str, Any] = {"rope_type": "default", "rope_theta": float(get("rope.freq_base") or 10000.0)}
    if kind == "none":
        return found
    if kind not in ("linear", "yarn"):
        raise ValueError(f"{path}: rope.scaling.type must be none, linear or yarn, got {kind!r}")
    factor = get("rope.scaling.factor")
    if not factor:
        raise ValueError(f"{path}: rope.scaling.factor must be given for rope.scaling.type={kind}")
    found |= {"rope_type": kind, "factor": float(factor)}
    if kind == "yarn":
        found["original_max_position_embeddings"] = get("rope.scaling.original_context_length") or context
    return found


def _end_tokens(metadata: dict[str, object]) -> object:
    """Return the token that ends a text, or a list with the one that ends a turn."""
    ends = [metadata.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot")]
    found = list(dict.fromkeys(end for end in ends if end is not None))
    return found if len(found) > 1 else next(iter(found), None)
