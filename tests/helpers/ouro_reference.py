"""Ouro as published (arXiv 2510.25741), as plain functions of a checkpoint: what a conversion must equal."""

import torch
from torch.nn import functional as F


def ouro_config(**changes) -> dict:
    """config.json of a small Ouro with grouped-query attention."""
    config = dict(
        model_type="ouro",
        vocab_size=300,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        rms_norm_eps=1e-6,
        rope_theta=1e6,
        rope_scaling=None,
        hidden_act="silu",
        total_ut_steps=3,
        early_exit_threshold=1.0,
        tie_word_embeddings=False,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    return config | changes


def ouro_weights(config: dict, seed: int = 0, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """Random tensors under the names of Ouro's checkpoints."""
    width, inner = config["hidden_size"], config["intermediate_size"]
    head = width // config["num_attention_heads"]
    keys = config["num_key_value_heads"] * head
    shapes = {
        "model.embed_tokens.weight": (config["vocab_size"], width),
        "model.norm.weight": (width,),
        "model.early_exit_gate.weight": (1, width),
        "model.early_exit_gate.bias": (1,),
        "lm_head.weight": (config["vocab_size"], width),
    }
    for layer in range(config["num_hidden_layers"]):
        sizes = {"q_proj": (width, width), "k_proj": (keys, width), "v_proj": (keys, width), "o_proj": (width, width)}
        shapes |= {f"model.layers.{layer}.self_attn.{name}.weight": size for name, size in sizes.items()}
        sizes = {"gate_proj": (inner, width), "up_proj": (inner, width), "down_proj": (width, inner)}
        shapes |= {f"model.layers.{layer}.mlp.{name}.weight": size for name, size in sizes.items()}
        for name in ("input_layernorm", "post_attention_layernorm"):
            shapes |= {f"model.layers.{layer}.{name}{suffix}.weight": (width,) for suffix in ("", "_2")}
    generator = torch.Generator().manual_seed(seed)
    return {
        name: (torch.randn(shape, generator=generator) * 0.1 + ("norm" in name)).to(dtype)
        for name, shape in shapes.items()
    }


@torch.no_grad()
def ouro_outputs(config: dict, weights: dict[str, torch.Tensor], input_ids: torch.Tensor, loops: int) -> dict:
    """
    Logits after the last loop (batch, seq, vocab), normed states (loops, batch, seq, hidden), gate logits and exit
    distribution (batch, seq, loops), the latter as the product of hazards.
    """
    heads, groups = config["num_attention_heads"], config["num_attention_heads"] // config["num_key_value_heads"]
    head = config["hidden_size"] // heads
    batch, length = input_ids.shape

    def norm(states, name):
        return F.rms_norm(states, states.shape[-1:], weights[f"{name}.weight"], config["rms_norm_eps"])

    def linear(states, name):
        return states @ weights[f"{name}.weight"].T

    frequencies = config["rope_theta"] ** (-torch.arange(0, head, 2) / head)
    angles = torch.arange(length)[:, None] * torch.cat([frequencies, frequencies])

    def turn(states):
        first, second = states.chunk(2, dim=-1)
        return states * angles.cos() + torch.cat([-second, first], dim=-1) * angles.sin()

    def attention(states, prefix):
        query, key, value = (
            linear(states, f"{prefix}.{name}").view(batch, length, -1, head).transpose(1, 2)
            for name in ("q_proj", "k_proj", "v_proj")
        )
        key, value = turn(key).repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
        scores = turn(query) @ key.transpose(-1, -2) / head**0.5
        scores = scores.masked_fill(torch.ones(length, length).triu(1).bool(), float("-inf"))
        return linear((scores.softmax(-1) @ value).transpose(1, 2).reshape(batch, length, -1), f"{prefix}.o_proj")

    def mlp(states, prefix):
        inner = F.silu(linear(states, f"{prefix}.gate_proj")) * linear(states, f"{prefix}.up_proj")
        return linear(inner, f"{prefix}.down_proj")

    states = weights["model.embed_tokens.weight"][input_ids]
    loop_states, gate_logits = [], []
    for _ in range(loops):
        for layer in range(config["num_hidden_layers"]):
            prefix = f"model.layers.{layer}"
            branch = attention(norm(states, f"{prefix}.input_layernorm"), f"{prefix}.self_attn")
            states = states + norm(branch, f"{prefix}.input_layernorm_2")
            branch = mlp(norm(states, f"{prefix}.post_attention_layernorm"), f"{prefix}.mlp")
            states = states + norm(branch, f"{prefix}.post_attention_layernorm_2")
        states = norm(states, "model.norm")
        loop_states.append(states)
        gate_logits.append(linear(states, "model.early_exit_gate")[..., 0] + weights["model.early_exit_gate.bias"])
    gate_logits = torch.stack(gate_logits, dim=-1)
    return {
        "logits": linear(states, "lm_head"),
        "loop_hidden": torch.stack(loop_states),
        "gate_logits": gate_logits,
        "exit_pdf": exit_distribution(gate_logits),
    }


def exit_distribution(gate_logits: torch.Tensor) -> torch.Tensor:
    """(..., loops) gate logits to the probability of leaving after each loop; the last one takes the rest."""
    probabilities, stay = [], torch.ones_like(gate_logits[..., 0])
    for hazard in gate_logits[..., :-1].sigmoid().unbind(-1):
        probabilities.append(hazard * stay)
        stay = stay * (1 - hazard)
    return torch.stack([*probabilities, stay], dim=-1)
