"""Limits of `nanbeige`, the looped architecture of llama.cpp: what it cannot run, and which types fit a model."""

from collections.abc import Sequence

import torch

from model_cards.checkpoint import LoopLMCheckpoint
from model_cards.gguf.blocks import FLOAT_TYPES, FORMATS, BlockFormat
from model_cards.gguf.file import MAX_LAYERS
from modeling_nanochat import LoopLMConfig

# Types of published files. q4_0 runs on every backend; q2_k does, too, in less space; tq2_0 is the smallest that most
# backends run. q2_0 takes the place of the last two where the groups are smaller than their blocks.
DEFAULT_TYPES, SMALL_TYPES, SMALL_BLOCK_TYPES, UNQUANTIZED_TYPES = ("q4_0",), ("q2_k", "tq2_0"), ("q2_0",), ("f16",)


def find_format(name: str, field: str, choices: tuple[str, ...] = tuple(FORMATS)) -> BlockFormat:
    """Return the format of this name; raises ValueError, with the name of the field, for an unknown one."""
    if name not in choices:
        raise ValueError(f"{field} must be one of {', '.join(choices)}, got {name!r}")
    return FORMATS[name]


def exported_loops(config: LoopLMConfig) -> int:
    """Number of loops of the exported file: a model that always exits after loop k is one with k loops."""
    return config.exit_at_loop or config.num_loops


def config_obstacles(config: LoopLMConfig, matrix_type: str) -> list[str]:
    """
    List the reasons why a model of this configuration cannot be exported with matrices of this type.

    Each sentence names the setting that would have to change; an empty list means that the model can be exported.
    Several residual streams are not reported here: whether they can be folded depends on the weights, see
    [`fold_streams`].
    """
    block_format = find_format(matrix_type, "type")
    obstacles = []

    def refuse(field: str, rule: str, remedy: str):
        obstacles.append(f"LoopLMConfig.{field} must be {rule}, got {getattr(config, field)!r}: {remedy}")

    if config.sandwich_norm:
        refuse("sandwich_norm", "False", "llama.cpp has no norm after a sublayer; train with sandwich_norm=False")
    if config.attention_bias == "qkvo":
        refuse("attention_bias", '"none" or "qkv"', "llama.cpp adds no bias to the output projection of its nanbeige")
    if config.qk_norm:
        refuse("qk_norm", "False", "llama.cpp's nanbeige does not norm queries and keys; train with qk_norm=False")
    rope = dict(config.rope_parameters)
    if rope.get("rope_type", "default") != "default" or rope.get("partial_rotary_factor", 1.0) != 1.0:
        refuse("rope_parameters", 'of rope_type "default" over whole heads', "train with the default rotary embedding")
    if config.loop_update == "scaled" and exported_loops(config) > 1:
        refuse(
            "loop_update",
            f'"norm" for {exported_loops(config)} loops',
            "llama.cpp norms the state between loops and has no prelude and no coda; set exit_at_loop to 1 for a plain"
            ' stack, or train with loop_update="norm"',
        )
    if config.num_stored_layers * exported_loops(config) > MAX_LAYERS:
        refuse(
            "num_loops",
            f"such that num_shared_layers={config.num_stored_layers} x num_loops is at most {MAX_LAYERS}",
            "llama.cpp has key-value caches for no more layers; use fewer loops, or exit_at_loop",
        )
    if not config.ternary and matrix_type not in FLOAT_TYPES:
        refuse("ternary", f"True for {matrix_type}", f"train with ternary=True, or use {', '.join(FLOAT_TYPES)}")

    block, group_size = block_format.block, config.ternary_group_size
    for field, width in (
        ("hidden_size", config.hidden_size),
        ("intermediate_size", config.intermediate_size),
        ("head_dim", config.num_attention_heads * config.head_dim),
    ):
        if width % block:
            fitting = [name for name, other in FORMATS.items() if width % other.block == 0]
            rule = f"a multiple of {block}"
            if field == "head_dim":
                rule = f"such that num_attention_heads={config.num_attention_heads} x head_dim is {rule}"
            refuse(field, rule, f"blocks of {matrix_type} have {block} weights; this width fits {', '.join(fitting)}")
    if config.ternary and group_size != -1 and group_size % block:
        fitting = [name for name, other in FORMATS.items() if group_size % other.block == 0]
        refuse(
            "ternary_group_size",
            f"a multiple of {block} or -1",
            f"a block of {matrix_type} has one scale for {block} weights; train with larger groups, or use "
            f"{', '.join(fitting)}, which store this model exactly",
        )
    return obstacles


def unrolled_obstacles(config: LoopLMConfig) -> list[str]:
    """
    List the reasons why a model cannot be a file of the plain architecture `llama`, which has no loops.

    Between two loops the hidden states are normed: h becomes N(h), of one length for every token. A block of `llama`
    adds sublayers to h that see only N(h), so that its output differs from h by a bounded amount, however long h is.
    N(h) differs from h by any amount. Hence no number of blocks, with whatever weights, computes the norm.
    Models with `loop_update="scaled"` are refused by [`config_obstacles`].
    """
    loops = exported_loops(config)
    if loops == 1 or config.loop_update == "scaled":
        return []
    return [
        f"LoopLMConfig.exit_at_loop must be 1 for the architecture llama, got {loops} loops: the norm between loops "
        "cannot be written as blocks of llama; leave --unrolled out, or set exit_at_loop to 1 in config.json"
    ]


def ignored_settings(config: LoopLMConfig) -> list[str]:
    """List the decoding settings of a model that llama.cpp ignores, a sentence each."""
    found = []
    if config.exit_threshold < 1:
        found.append(f"exit_threshold={config.exit_threshold} is ignored: llama.cpp runs all loops for every token")
    if config.kv_reuse == "last":
        found.append(
            'kv_reuse="last" is ignored: llama.cpp caches the keys and values of every loop, and generates what the '
            'model generates with kv_reuse="none"'
        )
    return found


def fold_streams(checkpoint: LoopLMCheckpoint) -> dict[str, float]:
    """
    Fold residual streams that are always equal into one stream, with a factor on the output of every sublayer.

    The streams of mHC-lite start equal. They stay equal when H_pre and H_post are the same constant for all of them,
    because H_res is doubly stochastic. The factor is then H_post. H_pre cancels in the norm that follows it (up to the
    norm's epsilon, which would have to be divided by the squared sum of H_pre).

    Returns:
        Factors by the name of the residual module, such as "model.layers.0.mlp_residual"; empty for one stream.

    Raises:
        ValueError: The streams differ, or their coefficients depend on the token; gives the name of the module.
    """
    streams = checkpoint.config.mhc_num_streams
    factors = {}
    for layer in range(checkpoint.config.num_stored_layers if streams > 1 else 0):
        for residual in ("attention_residual", "mlp_residual"):
            module = f"model.layers.{layer}.{residual}"
            bias = checkpoint.read(f"{module}.bias").float()
            pre, post = bias[:streams], bias[streams : 2 * streams]
            fault = None
            if pre.unique().numel() > 1 or post.unique().numel() > 1:
                fault = f"reads its streams with {_listed(pre.sigmoid())} and writes {_listed(2 * post.sigmoid())}"
            elif checkpoint.config.mhc_dynamic and _depends_on_the_token(checkpoint, module, 2 * streams):
                fault = "has coefficients that depend on the token"
            if fault is not None:
                raise ValueError(
                    f"LoopLMConfig.mhc_num_streams must be 1 for streams that differ, got {streams}: {module} "
                    f"{fault}, and llama.cpp's looped architecture has one residual stream; train with "
                    "mhc_num_streams=1"
                )
            factors[module] = (2 * post[0].sigmoid()).item()
    return factors


def _depends_on_the_token(checkpoint: LoopLMCheckpoint, module: str, rows: int) -> bool:
    """Whether H_pre or H_post depends on the token. H_res may, since it keeps equal streams equal."""
    projection = checkpoint.read(f"{module}.projection")[:, :rows]
    scales = checkpoint.read(f"{module}.scale")[:2].repeat_interleave(rows // 2)
    return bool((projection * scales[:, None]).any())


def _listed(numbers: torch.Tensor) -> str:
    return "[" + ", ".join(f"{number:.3g}" for number in numbers.tolist()) + "]"


def check_types(checkpoint: LoopLMCheckpoint, types: Sequence[str]) -> None:
    """Raise ValueError, with all reasons, unless the checkpoint can be exported in each of these types."""
    reasons = [reason for type in types for reason in config_obstacles(checkpoint.config, type)]
    if reasons:
        listed = "\n".join(dict.fromkeys(reasons))
        raise ValueError(f"{checkpoint.name} cannot be exported as {', '.join(types)}:\n{listed}")
    fold_streams(checkpoint)


def choose_types(checkpoint: LoopLMCheckpoint) -> tuple[str, ...]:
    """
    Choose the types to publish: one that runs on every backend, and the small ones that the group size allows.

    Raises:
        ValueError: llama.cpp cannot run this model; gives the reasons.
    """

    def fitting(types: Sequence[str]) -> tuple[str, ...]:
        return tuple(type for type in types if not config_obstacles(checkpoint.config, type))

    small = fitting(SMALL_TYPES) or fitting(SMALL_BLOCK_TYPES)
    types = (*fitting(DEFAULT_TYPES), *small) or fitting(UNQUANTIZED_TYPES)
    if not types:
        raise ValueError(" ".join(config_obstacles(checkpoint.config, UNQUANTIZED_TYPES[0])))
    fold_streams(checkpoint)
    return types
