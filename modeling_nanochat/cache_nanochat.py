"""
Key-value cache slots of a looped model: one per (loop, shared layer), or one per shared layer where only the last
loop's are kept.
"""

import inspect

import torch
from torch import nn
from transformers import PreTrainedConfig
from transformers.cache_utils import Cache, DynamicLayer, StaticLayer
from transformers.masking_utils import create_causal_mask

from .exit_nanochat import EarlyExit

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


def ensure_slots(cache: Cache, num_slots: int, kv_reuse: str) -> None:
    """
    Prepare a cache for a pass that uses its first `num_slots` layers: caches are sized from the configuration, and a
    call may ask for more loops than that.

    Raises:
        ValueError: The cache cannot grow, because tokens are already in it or because of its type; its tokens were
            computed with fewer loops than are asked for now or kept by another policy; or its type cannot keep the
            last loop only.
    """
    if torch.compiler.is_compiling():
        return  # The uncompiled prefill has been here.
    if not isinstance(cache, Cache):
        return  # The pages of continuous batching, which has made as many slots as the configuration says.
    filled = int(cache.get_seq_length()) > 0
    filled_slots, filled_policy = vars(cache).get("looplm_slots", (num_slots, kv_reuse))
    if filled and filled_policy != kv_reuse:
        raise ValueError(
            f"kv_reuse must not change between calls that share a cache: its tokens were kept by "
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
            'kv_reuse="last" needs a dynamic or static cache that is not offloaded, because every loop writes over '
            f"what the loop before it wrote, got a {type(cache).__name__} of {type(cache.layers[0]).__name__}"
            f"{', offloaded' if cache.offloading else ''}"
        )
    if cache.layer_class_to_replicate is None and len(cache.layers) < num_slots:
        _grow(cache, num_slots)
    cache.looplm_slots = (num_slots, kv_reuse)


def _grow(cache: Cache, num_slots: int) -> None:
    template = cache.layers[0]
    if type(template) not in (DynamicLayer, StaticLayer) or template.is_initialized or cache.offloading:
        raise ValueError(
            f"num_loops needs {num_slots} cache slots, got a {type(cache).__name__} with {len(cache.layers)}. Set "
            "config.num_loops before making the cache, or pass an empty dynamic or static cache."
        )
    arguments = {"max_cache_len": template.max_cache_len} if isinstance(template, StaticLayer) else {}
    cache.layers.extend(type(template)(**arguments) for _ in range(num_slots - len(cache.layers)))


class PassCache:
    """
    The cache as the blocks see it during one pass in which tokens may leave early or only the last loop's keys and
    values are kept. Blocks call `update` as they would on the cache itself.

    - A token that has left keeps the keys and values of the loop it left after: they go into the slots of the deeper
      loops, where later tokens find them.
    - With `kv_reuse="last"` there is one slot per shared layer. Every loop attends to what it holds of earlier passes
      and to the loop's own keys and values of this pass, and takes the place of the loop before it.

    Args:
        cache: The real one.
        num_shared_layers: Of the model.
        kv_reuse: "none" or "last".
        early_exit: Says which tokens have left; None when none may.
    """

    def __init__(self, cache: Cache, num_shared_layers: int, kv_reuse: str, early_exit: EarlyExit | None):
        self.cache = cache
        self.num_shared_layers = num_shared_layers
        self.keeps_last_loop = kv_reuse == "last"
        self.early_exit = early_exit
        self._newest: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        """Of each shared layer, this pass's keys and values, for each token of the last loop that it ran."""

    def update(self, key: torch.Tensor, value: torch.Tensor, slot: int, **kwargs) -> tuple[torch.Tensor, torch.Tensor]:
        """As [`Cache.update`]: the keys and values to attend to, of earlier passes and of this one."""
        loop, layer = divmod(slot, self.num_shared_layers)
        if self.early_exit is not None:
            if self.early_exit.some_left:
                running = self.early_exit.running[:, None, :, None]
                newest_key, newest_value = self._newest[layer]
                key, value = torch.where(running, key, newest_key), torch.where(running, value, newest_value)
            self._newest[layer] = key, value
        if not self.keeps_last_loop:
            return self.cache.update(key, value, slot, **kwargs)
        if loop > 0:
            _forget_newest(self.cache.layers[layer], key.shape[-2])
        return self.cache.update(key, value, layer, **kwargs)

    def fill_deeper_slots(self, loops_run: int, num_loops: int) -> None:
        """After a pass that stopped early: the slots of the loops that did not run get what the tokens left with."""
        if self.keeps_last_loop:
            return
        for loop in range(loops_run, num_loops):
            for layer, (key, value) in self._newest.items():
                self.cache.update(key, value, slot_index(loop, layer, self.num_shared_layers))


def _forget_newest(layer: DynamicLayer | StaticLayer, num_tokens: int) -> None:
    if isinstance(layer, StaticLayer):
        layer.cumulative_length.sub_(num_tokens)  # the next update writes over them
    else:
        layer.crop(-num_tokens)
