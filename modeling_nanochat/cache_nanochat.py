"""Key-value cache slots of a looped model: one per (loop, shared layer)."""

import inspect

import torch
from torch import nn
from transformers import PreTrainedConfig
from transformers.cache_utils import Cache, DynamicLayer, StaticLayer
from transformers.masking_utils import create_causal_mask

# The cache's name in calls and outputs: `past_key_values` until transformers 5.23, `cache` since 5.24.
OLD_CACHE_NAME = "past_key_values"
CACHE_NAME = "cache" if "cache" in inspect.signature(create_causal_mask).parameters else OLD_CACHE_NAME


def name_cache_field(output_class: type) -> type:
    """A class decorator below `dataclass`: its field `past_key_values` gets the name that transformers has for it."""
    if CACHE_NAME != OLD_CACHE_NAME:
        fields = inspect.get_annotations(output_class)
        output_class.__annotations__ = {
            CACHE_NAME if name == OLD_CACHE_NAME else name: kind for name, kind in fields.items()
        }
        setattr(output_class, CACHE_NAME, None)
        delattr(output_class, OLD_CACHE_NAME)
    return output_class


def given_cache(past_key_values: Cache | None, kwargs: dict) -> Cache | None:
    """
    The cache of a call, by whichever of its names; the new one is taken out of `kwargs`.

    Raises:
        ValueError: Both are given.
    """
    cache = kwargs.pop(CACHE_NAME, None)
    if past_key_values is not None and cache is not None:
        raise ValueError("past_key_values and cache are two names of one argument: give one of them")
    return cache if past_key_values is None else past_key_values


def slot_index(loop: int, layer: int, num_shared_layers: int) -> int:
    """Cache slot of shared layer `layer` in loop `loop`, both counted from 0."""
    return loop * num_shared_layers + layer


class AttentionSlot(nn.Module):
    """
    What the attention functions and the caches see instead of the attention module: they read `layer_idx` from the
    module they are given, but one shared module serves one slot per loop. It has no parameters.
    """

    def __init__(self, config: PreTrainedConfig, layer_idx: int):
        super().__init__()
        self.config = config
        self.layer_idx = layer_idx
        self.num_key_value_groups = config.num_attention_heads // config.num_key_value_heads
        self.is_causal = True


def ensure_slots(cache: Cache, num_slots: int) -> None:
    """
    Prepare a cache for a pass that uses its first `num_slots` layers: caches are sized from the configuration, and a
    call may ask for more loops than that.

    Raises:
        ValueError: The cache cannot grow, because tokens are already in it or because of its type; or its tokens were
            computed with fewer loops than are asked for now.
    """
    if torch.compiler.is_compiling():
        return  # The uncompiled prefill has been here.
    if not isinstance(cache, Cache):
        return  # The pages of continuous batching, which has made as many slots as the configuration says.
    filled_slots = vars(cache).get("looplm_slots", num_slots)
    if filled_slots < num_slots and int(cache.get_seq_length()) > 0:
        raise ValueError(
            "num_loops must not grow between calls that share a cache: its tokens were computed for "
            f"{filled_slots} (loop, layer) slots, {num_slots} are needed now"
        )
    if cache.layer_class_to_replicate is None and len(cache.layers) < num_slots:
        _grow(cache, num_slots)
    cache.looplm_slots = num_slots


def _grow(cache: Cache, num_slots: int) -> None:
    template = cache.layers[0]
    if type(template) not in (DynamicLayer, StaticLayer) or template.is_initialized or cache.offloading:
        raise ValueError(
            f"num_loops needs {num_slots} cache slots, got a {type(cache).__name__} with {len(cache.layers)}. Set "
            "config.num_loops before making the cache, or pass an empty dynamic or static cache."
        )
    arguments = {"max_cache_len": template.max_cache_len} if isinstance(template, StaticLayer) else {}
    cache.layers.extend(type(template)(**arguments) for _ in range(num_slots - len(cache.layers)))
