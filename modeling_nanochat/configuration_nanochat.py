"""Configuration of the ternary looped language model (LoopLM)."""

import copy
import os
import warnings
from collections.abc import Callable
from difflib import get_close_matches
from typing import NamedTuple, TypeGuard

from transformers import GenerationConfig, PreTrainedConfig
from transformers.modeling_rope_utils import RopeParameters

from .slots_nanochat import SlotLayout


class FieldRule(NamedTuple):
    """The values that a configuration field accepts, in words and as a function."""

    text: str
    accepts: Callable[[object], bool]


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _one_of(*choices: object) -> FieldRule:
    # `1 == True` in Python, so the type is compared as well.
    return FieldRule(
        "one of " + ", ".join(map(repr, choices)),
        lambda value: any(type(value) is type(choice) and value == choice for choice in choices),
    )


POSITIVE_INTEGER = FieldRule("an integer >= 1", lambda value: _is_integer(value) and value >= 1)
POSITIVE_INTEGER_OR_NONE = FieldRule(
    "an integer >= 1 or None", lambda value: value is None or (_is_integer(value) and value >= 1)
)
POSITIVE_NUMBER = FieldRule("a finite number > 0", lambda value: _is_number(value) and 0 < value < float("inf"))
NON_NEGATIVE_INTEGER = FieldRule("an integer >= 0", lambda value: _is_integer(value) and value >= 0)
NON_NEGATIVE_NUMBER = FieldRule("a finite number >= 0", lambda value: _is_number(value) and 0 <= value < float("inf"))
BOOLEAN = FieldRule("True or False", lambda value: isinstance(value, bool))
TOKEN_ID = FieldRule("a token id >= 0 or None", lambda value: value is None or (_is_integer(value) and value >= 0))
TOKEN_IDS = FieldRule(
    "a token id >= 0, a non-empty list of them, or None",
    lambda value: (
        TOKEN_ID.accepts(value)
        or (isinstance(value, list) and len(value) > 0 and all(_is_integer(item) and item >= 0 for item in value))
    ),
)

FIELD_RULES: dict[str, FieldRule] = {
    "vocab_size": POSITIVE_INTEGER,
    "hidden_size": POSITIVE_INTEGER,
    "intermediate_size": POSITIVE_INTEGER,
    "num_shared_layers": POSITIVE_INTEGER,
    "num_loops": POSITIVE_INTEGER,
    "num_prelude_layers": NON_NEGATIVE_INTEGER,
    "num_coda_layers": NON_NEGATIVE_INTEGER,
    "loop_update": _one_of("norm", "scaled"),
    "num_attention_heads": POSITIVE_INTEGER,
    "num_key_value_heads": POSITIVE_INTEGER_OR_NONE,
    "head_dim": POSITIVE_INTEGER_OR_NONE,
    "max_position_embeddings": POSITIVE_INTEGER,
    "rms_norm_eps": POSITIVE_NUMBER,
    "initializer_range": POSITIVE_NUMBER,
    "use_cache": BOOLEAN,
    "tie_word_embeddings": BOOLEAN,
    "sandwich_norm": BOOLEAN,
    "attention_bias": _one_of("none", "qkv", "qkvo"),
    "qk_norm": BOOLEAN,
    "ternary": BOOLEAN,
    "ternary_group_size": FieldRule(
        "an integer >= 1, or -1 for one scale per tensor",
        lambda value: _is_integer(value) and (value >= 1 or value == -1),
    ),
    "activation_bits": _one_of(8, None),
    "mhc_num_streams": _one_of(1, 2, 4),
    "mhc_dynamic": BOOLEAN,
    "exit_threshold": POSITIVE_NUMBER,
    "exit_at_loop": POSITIVE_INTEGER_OR_NONE,
    "exit_temperature": FieldRule(
        "a number from 0.001 to 1000", lambda value: _is_number(value) and 1e-3 <= value <= 1e3
    ),
    "exit_entropy_weight": NON_NEGATIVE_NUMBER,
    "loop_loss": _one_of("expected", "final"),
    "kv_reuse": _one_of("none", "last"),
    "weight_format": _one_of("latent", "packed"),
    "pad_token_id": TOKEN_ID,
    "bos_token_id": TOKEN_ID,
    "eos_token_id": TOKEN_IDS,
}


PACKED_CODES = 4
"""Number of ternary codes in a byte of packed weights."""

FOREIGN_FIELDS = {
    "max_loop_depth": "pass num_loops to forward or generate to limit the depth at run time",
    "sliding_window": "attention is always over the whole context",
    "layer_types": "attention is always over the whole context",
    "hidden_act": "the MLP is always SwiGLU",
    "mlp_bias": "the MLP has no bias",
    "attention_dropout": "no layer has dropout",
    "hidden_dropout": "no layer has dropout",
    "use_sliding_window": "attention is always over the whole context",
    "max_window_layers": "attention is always over the whole context",
    "total_ut_steps": "use num_loops",
    "n_layers_in_prelude": "use num_prelude_layers",
    "n_layers_in_recurrent_block": "use num_shared_layers",
    "n_layers_in_coda": "use num_coda_layers",
    "mean_recurrence": "use num_loops",
    "early_exit_threshold": "use exit_threshold",
    "early_exit_step": "use exit_at_loop",
    "n_layers": "use num_shared_layers",
    "num_layers": "use num_shared_layers",
    "dim": "use hidden_size",
    "max_seq_len": "use max_position_embeddings",
    "group_size": "use ternary_group_size",
}

TRANSFORMERS_FIELDS = {
    *("model_type", "torch_dtype", "num_labels", "name_or_path", "output_attentions", "attn_implementation"),
    *("experts_implementation", "per_layer_config", "quantization_config"),
    *("rope_theta", "rope_scaling", "partial_rotary_factor"),
    *GenerationConfig._get_default_generation_params(),
}
"""Keyword arguments that [`~transformers.PreTrainedConfig`] accepts in addition to its fields."""


def is_looplm(config: PreTrainedConfig) -> bool:
    """
    Whether a configuration is a LoopLM's. This compares `model_type`, because `trust_remote_code` loads another class
    with the same name, for which `isinstance` is False.
    """
    return config.model_type == LoopLMConfig.model_type


class LoopLMConfig(PreTrainedConfig):
    """
    Configuration of [`LoopLMModel`] and [`LoopLMForCausalLM`]: a stack of `num_shared_layers` transformer blocks that
    is applied `num_loops` times (Ouro, arXiv 2510.25741), optionally between a prelude and a coda (Huginn, arXiv
    2502.05171), with ternary weights (BitNet b1.58, arXiv 2402.17764) and optional residual streams (mHC-lite, arXiv
    2601.05732).

    Each field is checked whenever it is set; combinations of fields are checked when the configuration or a model is
    created.

    Args:
        vocab_size (`int`, defaults to 50304): Size of the vocabulary.
        hidden_size (`int`, defaults to 768): Width of the hidden states.
        intermediate_size (`int`, defaults to 2048): Width of the SwiGLU feed-forward network.
        num_shared_layers (`int`, defaults to 6): Number of transformer blocks of the core, which all loops share.
        num_loops (`int`, defaults to 4): Number of times that the core is applied. `forward` and `generate` accept
            another number.
        num_prelude_layers (`int`, defaults to 0): Number of blocks that are applied once, before the first loop.
        num_coda_layers (`int`, defaults to 0): Number of blocks that are applied once to the state of the last loop,
            before the head; in training after every loop, because every loop has a loss.
        loop_update (`str`, defaults to `"norm"`): How a loop continues from the one before: `"norm"` reads its state
            through the final norm (Ouro); `"scaled"` reads it as it is and moves it towards the output of the core,
            `h + loop_scale * (core(h) - h)` with a trained number per channel. With numbers of 0 further loops change
            nothing. Prelude and coda need `"scaled"`.
        num_attention_heads (`int`, defaults to 12): Number of query heads.
        num_key_value_heads (`int`, *optional*): Number of key and value heads (grouped-query attention); the default
            is `num_attention_heads`.
        head_dim (`int`, *optional*): Width of a head; the default is `hidden_size // num_attention_heads`.
        max_position_embeddings (`int`, defaults to 2048): Maximum sequence length of the rotary embeddings.
        rms_norm_eps (`float`, defaults to 1e-6): Epsilon of the RMSNorm layers.
        rope_parameters (`dict`, *optional*): Parameters of the rotary embeddings as in transformers, such as
            `{"rope_type": "default", "rope_theta": 1e4}`.
        tie_word_embeddings (`bool`, defaults to True): Whether the head shares the weight of the embedding.
        initializer_range (`float`, defaults to 0.02): Standard deviation of the initial weights.
        use_cache (`bool`, defaults to True): Whether `generate` uses a key-value cache.
        sandwich_norm (`bool`, defaults to False): Whether to add a norm after attention and MLP (Ouro's block).
        attention_bias (`str`, defaults to `"none"`): Projections of the attention with a bias: `"qkv"` those of
            queries, keys and values (Qwen2), `"qkvo"` also the output projection.
        qk_norm (`bool`, defaults to False): Whether to norm every query and key head before it is rotated (Qwen3).
        ternary (`bool`, defaults to True): Whether to use [`BitLinear`] in the blocks. Embedding, head, exit gate,
            norms, biases and residual streams always have float weights.
        ternary_group_size (`int`, defaults to 128): Number of weights along the input that share a scale; -1 for one
            scale per weight matrix.
        activation_bits (`int`, *optional*, defaults to 8): 8 to quantize the input of every ternary layer per token;
            None to keep it in float.
        mhc_num_streams (`int`, defaults to 1): Number of residual streams: 1 (a plain residual connection), 2 or 4.
        mhc_dynamic (`bool`, defaults to True): Whether the coefficients of the streams depend on the token, as in the
            paper, or are constants.
        exit_threshold (`float`, defaults to 1.0): Each token exits after the first loop at which its cumulative exit
            probability reaches this value; 1 or more disables early exit.
        exit_at_loop (`int`, *optional*): Stop after this loop, counted from 1, for all tokens.
        exit_temperature (`float`, defaults to 1.0): Temperature that divides the logits of the exit gate.
        exit_entropy_weight (`float`, defaults to 0.1): Weight beta of the exit distribution's entropy in the loss.
        loop_loss (`str`, defaults to `"expected"`): Objective for T loops with exit distribution p: `"expected"` is
            the paper's `sum_t p_t CE_t - beta H(p)`, `"final"` is `CE_T + beta (log T - H(p))`.
        kv_reuse (`str`, defaults to `"none"`): `"none"` keeps the keys and values of every loop in the cache,
            `"last"` only those of the last loop.
        weight_format (`str`, defaults to `"latent"`): `"latent"` for float weights, `"packed"` for 2-bit codes with
            scales, which cannot be trained.

    Raises:
        ValueError: A field is out of range, or fields contradict each other.
    """

    model_type = "nanochat_looplm"
    keys_to_ignore_at_inference = [
        "past_key_values",
        "cache",
        "hidden_states",
        "attentions",
        "ce_loss",
        "stream_divergence",
        "entropy_penalty",
        "loop_losses",
        "exit_pdf",
        "loops_used",
        "gate_logits",
        "loop_hidden_states",
    ]
    base_model_tp_plan = {
        "layers.*.self_attn.q_proj": "colwise",
        "layers.*.self_attn.k_proj": "colwise",
        "layers.*.self_attn.v_proj": "colwise",
        "layers.*.self_attn.o_proj": "rowwise",
        "layers.*.mlp.gate_proj": "colwise",
        "layers.*.mlp.up_proj": "colwise",
        "layers.*.mlp.down_proj": "rowwise",
    }

    vocab_size: int = 50304
    hidden_size: int = 768
    intermediate_size: int = 2048
    num_shared_layers: int = 6
    num_loops: int = 4
    num_prelude_layers: int = 0
    num_coda_layers: int = 0
    loop_update: str = "norm"
    num_attention_heads: int = 12
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    max_position_embeddings: int = 2048
    rms_norm_eps: float = 1e-6
    rope_parameters: RopeParameters | dict | None = None
    tie_word_embeddings: bool = True
    initializer_range: float = 0.02
    use_cache: bool = True
    sandwich_norm: bool = False
    attention_bias: str = "none"
    qk_norm: bool = False
    ternary: bool = True
    ternary_group_size: int = 128
    activation_bits: int | None = 8
    mhc_num_streams: int = 1
    mhc_dynamic: bool = True
    exit_threshold: float | int = 1.0
    exit_at_loop: int | None = None
    exit_temperature: float | int = 1.0
    exit_entropy_weight: float | int = 0.1
    loop_loss: str = "expected"
    kv_reuse: str = "none"
    weight_format: str = "latent"
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    auto_map: dict | None = None

    def __post_init__(self, **kwargs):
        if self.num_key_value_heads is None:
            self.num_key_value_heads = self.num_attention_heads
        if self.head_dim is None:
            if self.hidden_size % self.num_attention_heads:
                raise ValueError(
                    "LoopLMConfig.head_dim must be given when num_attention_heads does not divide hidden_size, got "
                    f"hidden_size={self.hidden_size} and num_attention_heads={self.num_attention_heads}"
                )
            self.head_dim = self.hidden_size // self.num_attention_heads
        if self.auto_map is None:
            # `save_pretrained` of a class writes only its own entry; with all three, AutoModel and
            # AutoModelForCausalLM load a folder that either class has saved.
            self.auto_map = {
                "AutoConfig": "configuration_nanochat.LoopLMConfig",
                "AutoModel": "modeling_nanochat.LoopLMModel",
                "AutoModelForCausalLM": "modeling_nanochat.LoopLMForCausalLM",
            }
        for name, value in kwargs.items():
            # transformers accepts unknown names silently, and the user would expect them to have an effect.
            if name in TRANSFORMERS_FIELDS or name in FOREIGN_FIELDS or name.startswith("_"):
                continue
            meant = get_close_matches(name, FIELD_RULES, n=1, cutoff=0.8)
            if meant:
                raise ValueError(f"LoopLMConfig has no field {name}: did you mean {meant[0]}? got {name}={value!r}")
            warnings.warn(
                f"LoopLMConfig has no field {name}: it is kept and has no effect, got {name}={value!r}. Leave it out, "
                "or use a field of LoopLMConfig.",
                stacklevel=2,
            )
        super().__post_init__(**kwargs)
        self.validate_architecture()

    def __setattr__(self, key, value):
        if key in FOREIGN_FIELDS:
            raise ValueError(f"LoopLMConfig has no field {key}: {FOREIGN_FIELDS[key]}, got {key}={value!r}")
        rule = FIELD_RULES.get(key)
        if rule is not None and not rule.accepts(value):
            raise ValueError(f"LoopLMConfig.{key} must be {rule.text}, got {value!r}")
        super().__setattr__(key, value)

    @property
    def slot_layout(self) -> SlotLayout:
        """Order of the cache slots, from the numbers of layers of prelude, core and coda."""
        return SlotLayout(self.num_prelude_layers, self.num_shared_layers, self.num_coda_layers)

    @property
    def num_stored_layers(self) -> int:
        """Number of blocks with weights of their own: prelude, core and coda."""
        return self.slot_layout.count(1)

    @property
    def num_hidden_layers(self) -> int:
        """
        Effective depth, `num_prelude_layers + num_shared_layers * num_loops + num_coda_layers`, from which key-value
        caches are sized.
        """
        return self.slot_layout.count(self.num_loops)

    @num_hidden_layers.setter
    def num_hidden_layers(self, value: int):
        raise AttributeError(
            "LoopLMConfig.num_hidden_layers is num_prelude_layers + num_shared_layers * num_loops + num_coda_layers; "
            f"set those instead, got num_hidden_layers={value!r}"
        )

    def stack_in_words(self, num_loops: int | None = None) -> str:
        """Return the numbers of layers, such as `"6 x 4 loops"`, or `"2 + 4 x 3 loops + 1"` with prelude and coda."""
        loops = num_loops or self.num_loops
        parts = [f"{self.num_shared_layers} x {loops} loops"]
        if self.num_prelude_layers:
            parts.insert(0, str(self.num_prelude_layers))
        if self.num_coda_layers:
            parts.append(str(self.num_coda_layers))
        return " + ".join(parts)

    @property
    def predicts_last_alone(self) -> bool:
        """
        Whether training computes the predictions of the last loop alone: with a coda, which earlier loops would apply
        for nothing, where their losses have no weight.
        """
        return self.num_coda_layers > 0 and self.loop_loss == "final"

    @property
    def predicted_loops(self) -> int:
        """Number of loops, the last ones, whose predictions training computes."""
        return 1 if self.predicts_last_alone else self.num_loops

    def num_cache_slots(self, loops: int) -> int:
        """Return the number of cache slots that hold keys and values after passes with this number of loops."""
        return self.slot_layout.count(1 if self.kv_reuse == "last" else loops)

    def head_sizes(self) -> tuple[int, int]:
        """Return `num_key_value_heads` and `head_dim`, which are not None after initialization."""
        assert self.num_key_value_heads is not None and self.head_dim is not None
        return self.num_key_value_heads, self.head_dim

    def to_json_file(self, json_file_path: str | os.PathLike, use_diff: bool = True) -> None:
        """Save as JSON, always with `use_cache=True`: the Trainer sets it to False in the model that it trains."""
        saved = copy.copy(self)
        saved.use_cache = True
        super(LoopLMConfig, saved).to_json_file(json_file_path, use_diff)

    def validate(self) -> None:
        """Check all fields; `save_pretrained` calls this, because fields may have been set. Raises `ValueError`."""
        # The decorator of `PreTrainedConfig` adds it.
        super().validate()  # ty: ignore[missing-attribute]
        self.validate_architecture()

    def validate_architecture(self) -> None:
        """Check the combinations of fields. Raises `ValueError`."""
        num_key_value_heads, head_dim = self.head_sizes()
        if self.num_attention_heads % num_key_value_heads:
            self._refuse("num_key_value_heads", f"a divisor of num_attention_heads={self.num_attention_heads}")
        if head_dim % 2:
            self._refuse("head_dim", "even, because rotary embeddings rotate pairs")
        if self.loop_update != "scaled" and self.num_prelude_layers + self.num_coda_layers > 0:
            given = f"num_prelude_layers={self.num_prelude_layers} and num_coda_layers={self.num_coda_layers}"
            self._refuse("loop_update", f'"scaled" when there is a prelude or a coda ({given})')
        if self.exit_at_loop is not None and self.exit_at_loop > self.num_loops:
            self._refuse("exit_at_loop", f"at most num_loops={self.num_loops}")
        if self.exit_at_loop is not None and self.exit_threshold < 1:
            self._refuse("exit_at_loop", f"None when exit_threshold={self.exit_threshold} is below 1")
        if self.weight_format == "packed" and not self.ternary:
            self._refuse("weight_format", '"latent" when ternary=False')
        if self.weight_format == "packed":
            self._check_widths(PACKED_CODES, f'{PACKED_CODES} when weight_format="packed"')
        for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
            value = getattr(self, name)
            for token_id in value if isinstance(value, list) else [value]:
                if token_id is not None and token_id >= self.vocab_size:
                    self._refuse(name, f"below vocab_size={self.vocab_size}")
        if self.ternary and self.ternary_group_size > 0:
            self._check_widths(self.ternary_group_size, f"ternary_group_size={self.ternary_group_size}")

    def _check_widths(self, divisor: int, text: str) -> None:
        """Check that the input widths of the ternary layers are multiples of a number."""
        for name in ("hidden_size", "intermediate_size"):
            if getattr(self, name) % divisor:
                self._refuse(name, f"a multiple of {text}")
        _, head_dim = self.head_sizes()
        if self.num_attention_heads * head_dim % divisor:
            heads = self.num_attention_heads
            self._refuse("head_dim", f"such that num_attention_heads={heads} x head_dim is a multiple of {text}")

    def _refuse(self, name: str, rule: str):
        raise ValueError(f"LoopLMConfig.{name} must be {rule}, got {getattr(self, name)!r}")
