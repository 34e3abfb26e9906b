"""Key-value cache of a looped model, with a slot per (loop, core layer), or per core layer for the last loop."""

import inspect
from typing import TypeVar

import torch
from torch import nn
from transformers import PreTrainedConfig
from transformers.cache_utils import Cache, DynamicLayer, StaticLayer
from transformers.masking_utils import create_causal_mask

from .exit_nanochat import EarlyExit
from .slots_nanochat import SlotLayout

# Name of the cache in arguments and outputs: `past_key_values` until transformers 5.23, `cache` since 5.24.
OLD_CACHE_NAME = "past_key_values"
CACHE_NAME = "cache" if "cache" in inspect.signature(create_causal_mask).parameters else OLD_CACHE_NAME


Output = TypeVar("Output")


def name_cache_field(output_class: type[Output]) -> type[Output]:
    """Class decorator, applied before `dataclass`: rename the field `past_key_values` to transformers' name for it."""
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
    Return the cache of a call under either of its names, and remove it from `kwargs`.

    Raises:
        ValueError: Both names are given.
    """
    cache = kwargs.pop(CACHE_NAME, None)
    if past_key_values is not None and cache is not None:
        raise ValueError("past_key_values and cache are two names of one argument: give one of them")
    return cache if past_key_values is None else past_key_values


class AttentionSlot(nn.Module):
    """
    Stand-in for the attention module in calls of attention functions and caches, without parameters. They read
    `layer_idx` from their module, but a shared module has another slot in every loop.

    Args:
        config: The configuration of the model.
        layer_idx: Index of the cache slot.
    """

    def __init__(self, config: PreTrainedConfig, layer_idx: int):
        super().__init__()
        self.config = config
        self.layer_idx = layer_idx
        self.num_key_value_groups = config.num_attention_heads // config.num_key_value_heads
        self.is_causal = True


def ensure_slots(cache: Cache, num_slots: int, kv_reuse: str) -> None:
    """
    Prepare a cache for a pass with `num_slots` slots. Caches are sized from the configuration, but a call may run more
    loops.

    Args:
        cache: The cache.
        num_slots: Number of slots that the pass uses.
        kv_reuse: See [`LoopLMConfig`].

    Raises:
        ValueError: The cache cannot grow because it is not empty or of an unsupported type; its tokens were computed
            with fewer loops or another `kv_reuse`; or its type does not support `kv_reuse="last"`.
    """
    if torch.compiler.is_compiling():
        return  # The prefill, which is not compiled, has called this function.
    if not isinstance(cache, Cache):
        return  # The paged cache of continuous batching has the slots of the configuration.
    filled = int(cache.get_seq_length()) > 0
    filled_slots, filled_policy = vars(cache).get("looplm_slots", (num_slots, kv_reuse))
    if filled and filled_policy != kv_reuse:
        raise ValueError(
            "kv_reuse must not change between calls that share a cache: its tokens were computed with "
            f'kv_reuse="{filled_policy}", got "{kv_reuse}"'
        )
    if filled and filled_slots < num_slots:
        raise ValueError(
            "num_loops must not grow between calls that share a cache: its tokens were computed for "
            f"{filled_slots} (loop, layer) slots, {num_slots} are needed now"
        )
    if kv_reuse == "last" and (
        cache.offloading or any(type(layer) not in (DynamicLayer, StaticLayer) for layer in cache.layers)
    ):
        raise ValueError(
            'kv_reuse="last" needs a dynamic or static cache that is not offloaded, because every loop overwrites '
            f"the previous one, got a {type(cache).__name__} of {type(cache.layers[0]).__name__}"
            f"{', offloaded' if cache.offloading else ''}"
        )
    if cache.layer_class_to_replicate is None and len(cache.layers) < num_slots:
        _grow(cache, num_slots)
    vars(cache)["looplm_slots"] = (num_slots, kv_reuse)


def _grow(cache: Cache, num_slots: int) -> None:
    template = cache.layers[0]
    plain = isinstance(template, (DynamicLayer, StaticLayer)) and type(template) in (DynamicLayer, StaticLayer)
    if not plain or template.is_initialized or cache.offloading:
        raise ValueError(
            f"num_loops needs {num_slots} cache slots, got a {type(cache).__name__} with {len(cache.layers)}. Set "
            "config.num_loops before creating the cache, or pass an empty dynamic or static cache."
        )
    arguments = {"max_cache_len": template.max_cache_len} if isinstance(template, StaticLayer) else {}
    cache.layers.extend(type(template)(**arguments) for _ in range(num_slots - len(cache.layers)))


class PassCache:
    """
    Wrapper of a cache for one forward pass with early exit or with `kv_reuse="last"`. Blocks call its `update` like
    that of the cache.

    - Early exit: the keys and values of the last loop that a token ran are also written into the slots of the deeper
      loops, to which later tokens attend.
    - `kv_reuse="last"`: there is one slot per layer. Every loop attends to the slot's keys and values of
      earlier passes and to its own ones of this pass, and overwrites those of the previous loop.

    Args:
        cache: The wrapped cache.
        layout: Order of the slots.
        kv_reuse: "none" or "last".
        early_exit: The early exit of the pass; None without.
    """

    def __init__(self, cache: Cache, layout: SlotLayout, kv_reuse: str, early_exit: EarlyExit | None):
        self.cache = cache
        self.layout = layout
        self.keeps_last_loop = kv_reuse == "last"
        self.early_exit = early_exit
        # Keys and values of this pass by layer of the core: for each token, of the last loop that it ran.
        self._newest: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def update(self, key: torch.Tensor, value: torch.Tensor, slot: int, **kwargs) -> tuple[torch.Tensor, torch.Tensor]:
        """Add keys and values like [`~transformers.Cache.update`], and return all that the slot attends to."""
        place = self.layout.core_place(slot)
        if place is None:
            return self.cache.update(key, value, slot, **kwargs)
        loop, layer = place
        if self.early_exit is not None:
            if self.early_exit.some_exited and self.early_exit.running is not None:
                running = self.early_exit.running[:, None, :, None]
                newest_key, newest_value = self._newest[layer]
                key, value = torch.where(running, key, newest_key), torch.where(running, value, newest_value)
            self._newest[layer] = key, value
        if not self.keeps_last_loop:
            return self.cache.update(key, value, slot, **kwargs)
        kept_slot = self.layout.slot(0, layer)
        if loop > 0:
            _forget_newest(self.cache.layers[kept_slot], key.shape[-2])
        return self.cache.update(key, value, kept_slot, **kwargs)

    def fill_deeper_slots(self, loops_run: int, num_loops: int) -> None:
        """
        Fill the slots of loops that were not run, at the end of a pass with early exit.

        Args:
            loops_run: Number of loops that were run.
            num_loops: Number of loops with slots.
        """
        if self.keeps_last_loop:
            return
        for loop in range(loops_run, num_loops):
            for layer, (key, value) in self._newest.items():
                self.cache.update(key, value, self.layout.slot(loop, layer))


def _forget_newest(layer: object, num_tokens: int) -> None:
    assert isinstance(layer, (DynamicLayer, StaticLayer)), "`ensure_slots` accepts no others"
    if isinstance(layer, StaticLayer):
        layer.cumulative_length.sub_(num_tokens)  # the next update overwrites them
    else:
        layer.crop(-num_tokens)
