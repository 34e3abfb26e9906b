"""What llama.cpp's looped architecture `nanbeige` cannot express, and the setting that would make it exportable."""

import torch

from model_cards.checkpoint import Checkpoint
from model_cards.gguf.blocks import FORMATS, BlockFormat
from model_cards.gguf.file import MOST_LAYERS
from modeling_nanochat import LoopLMConfig

DENSE_TYPES = ("f32", "f16", "q8_0")


def find_format(name: str, field: str, choices: tuple[str, ...] = tuple(FORMATS)) -> BlockFormat:
    """The format of that name; raises ValueError naming the field."""
    if name not in choices:
        raise ValueError(f"{field} must be one of {', '.join(choices)}, got {name!r}")
    return FORMATS[name]


def exported_loops(config: LoopLMConfig) -> int:
    """Loops that the file asks for: leaving always after loop k is the same as having k loops."""
    return config.exit_at_loop or config.num_loops


def config_obstacles(config: LoopLMConfig, matrix_type: str) -> list[str]:
    """
    Why a model of this configuration cannot be a GGUF file with matrices of this type, a sentence each; empty when it
    can. Several residual streams are no obstacle here: whether they fold depends on the weights, see [`fold_streams`].
    """
    block_format = find_format(matrix_type, "type")
    obstacles = []

    def refuse(field: str, rule: str, remedy: str):
        obstacles.append(f"LoopLMConfig.{field} must be {rule}, got {getattr(config, field)!r}: {remedy}")

    if config.sandwich_norm:
        refuse("sandwich_norm", "False", "llama.cpp has no norm after a branch; train with sandwich_norm=False")
    rope = dict(config.rope_parameters)
    if rope.get("rope_type", "default") != "default" or rope.get("partial_rotary_factor", 1.0) != 1.0:
        refuse("rope_parameters", 'of rope_type "default" over whole heads', "train with the default rotary embedding")
    if config.num_shared_layers * exported_loops(config) > MOST_LAYERS:
        refuse(
            "num_loops",
            f"such that num_shared_layers={config.num_shared_layers} x num_loops is at most {MOST_LAYERS}",
            "llama.cpp keeps keys and values for no more layers; set fewer loops, or exit_at_loop",
        )
    if not config.ternary and matrix_type not in DENSE_TYPES:
        refuse("ternary", f"True for {matrix_type}", f"train with ternary=True, or take {', '.join(DENSE_TYPES)}")

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
            f"a block of {matrix_type} has one scale for {block} weights; train with such groups, or take "
            f"{', '.join(fitting)}, which carry this model exactly",
        )
    return obstacles


def ignored_settings(config: LoopLMConfig) -> list[str]:
    """What of a model's way of decoding llama.cpp does not follow with the same weights, a sentence each."""
    found = []
    if config.exit_threshold < 1:
        found.append(
            f"exit_threshold={config.exit_threshold} is not followed: llama.cpp runs all loops of every token"
        )
    if config.kv_reuse == "last":
        found.append(
            'kv_reuse="last" is not followed: llama.cpp keeps the keys and values of every loop, and continues a '
            'prompt as the model does with kv_reuse="none"'
        )
    return found


def fold_streams(checkpoint: Checkpoint) -> dict[str, float]:
    """
    What several residual streams come to when they never part: a factor on the output of every sublayer.

    Streams start equal and stay so when H_pre and H_post are the same constant for all of them, because H_res is
    doubly stochastic. H_post is then the factor; H_pre disappears in the norm behind it (up to its epsilon, which
    would have to be divided by the squared sum of H_pre).

    Returns:
        Factors by the name of the residual's module, such as "model.layers.0.mlp_residual"; empty for one stream.

    Raises:
        ValueError: The streams differ, or their coefficients depend on the token; names the sublayer.
    """
    streams = checkpoint.config.mhc_num_streams
    factors = {}
    for layer in range(checkpoint.config.num_shared_layers if streams > 1 else 0):
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


def _depends_on_the_token(checkpoint: Checkpoint, module: str, rows: int) -> bool:
    """Whether H_pre or H_post do; H_res may, since it keeps equal streams equal."""
    projection = checkpoint.read(f"{module}.projection")[:, :rows]
    scales = checkpoint.read(f"{module}.scale")[:2].repeat_interleave(rows // 2)
    return bool((projection * scales[:, None]).any())


def _listed(numbers: torch.Tensor) -> str:
    return "[" + ", ".join(f"{number:.3g}" for number in numbers.tolist()) + "]"
