"""GGUF files of transformers' models, with llama.cpp's names and order of rows, written by the package gguf."""

from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, quants
from transformers import PreTrainedModel

NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def gguf_name(name: str) -> str:
    """llama.cpp's name of one of transformers' tensors."""
    module, _, kind = name.rpartition(".")
    if module.startswith("model.layers."):
        _, _, layer, rest = module.split(".", 3)
        return f"blk.{layer}.{NAMES[rest]}.{kind}"
    return f"{NAMES[module]}.{kind}"


def write_llama_gguf(
    model: PreTrainedModel,
    path: Path,
    kind: str = "F32",
    metadata: dict[str, Any] | None = None,
    tensors: dict[str, np.ndarray | None] | None = None,
) -> None:
    """
    Write a model.

    Args:
        model: A Llama, Qwen2 or Qwen3.
        path: File to write.
        kind: Type of the matrices, such as "Q8_0".
        metadata: Values to add or replace; None leaves one out.
        tensors: Tensors to add or replace, as fp32; None leaves one out.
    """
    config, architecture = model.config, model.config.model_type
    head_dim = config.to_dict().get("head_dim") or config.hidden_size // config.num_attention_heads
    values: dict[str, Any] = {
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.key_length": head_dim,
        "attention.value_length": head_dim,
        "attention.layer_norm_rms_epsilon": float(config.rms_norm_eps),
        "rope.freq_base": float(config.rope_parameters["rope_theta"]),
    }
    written: dict[str, np.ndarray] = {}
    for name, value in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        rows = value.numpy()
        if architecture == "llama" and (".q_proj." in name or ".k_proj." in name):
            rows = rows.reshape(-1, 2, head_dim // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)
        written[gguf_name(name)] = rows
    kept = {name: value for name, value in (written | (tensors or {})).items() if value is not None}
    writer = GGUFWriter(path, architecture)
    for key, value in (values | (metadata or {})).items():
        name = f"{architecture}.{key}"
        if isinstance(value, str):
            writer.add_string(name, value)
        elif isinstance(value, float):
            writer.add_float32(name, value)
        elif value is not None:
            writer.add_uint32(name, value)
    matrices = GGMLQuantizationType[kind]
    for name, value in kept.items():
        if value.ndim == 1 or matrices == GGMLQuantizationType.F32:
            writer.add_tensor(name, np.ascontiguousarray(value, dtype=np.float32))
        else:
            writer.add_tensor(name, quants.quantize(value, matrices), raw_dtype=matrices)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
