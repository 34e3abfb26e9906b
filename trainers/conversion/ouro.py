"""Ouro (arXiv 2510.25741), the looped model that LoopLM extends."""

from typing import Any

from trainers.conversion.family import Family, needed, refuse

SAME = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "max_position_embeddings",
    "rms_norm_eps",
)
"""Needed fields with the same name in LoopLM."""
RENAMED = {"num_hidden_layers": "num_shared_layers", "total_ut_steps": "num_loops"}
OPTIONAL = {
    "num_key_value_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "tie_word_embeddings": "tie_word_embeddings",
    "initializer_range": "initializer_range",
    "early_exit_threshold": "exit_threshold",
    "torch_dtype": "dtype",
    "dtype": "dtype",
}


def ouro_fields(config: dict[str, Any]) -> dict[str, Any]:
    """
    Return the fields of the LoopLM with the outputs of an Ouro model.

    Raises:
        ValueError: A field is missing, or has a value that LoopLM does not have.
    """
    layers = config.get("num_hidden_layers")
    for name, allowed in {
        "hidden_act": ("silu",),
        "use_sliding_window": (False, None),
        "rope_scaling": (None,),
        "layer_types": (None, ["full_attention"] * layers if isinstance(layers, int) else None),
    }.items():
        if name in config and config[name] not in allowed:
            refuse(name, repr(allowed[0]), config[name], "LoopLM has no other")
    needed(config, (*SAME, *RENAMED))
    fields = {name: config[name] for name in SAME} | {ours: config[theirs] for theirs, ours in RENAMED.items()}
    fields |= {ours: config[theirs] for theirs, ours in OPTIONAL.items() if config.get(theirs) is not None}
    rope = config.get("rope_parameters") or {
        "rope_type": "default",
        "rope_theta": config.get("rope_theta", 10000.0),
    }
    tokens = {name: config.get(name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    tied = fields.get("tie_word_embeddings", False)
    return fields | tokens | {"tie_word_embeddings": tied, "rope_parameters": rope, "sandwich_norm": True}


OURO = Family("ouro", ouro_fields, has_gate=True, renamed=(("model.early_exit_gate.", "model.exit_gate."),))
