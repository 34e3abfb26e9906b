"""Quantized weights that several forward passes share."""

from collections.abc import Generator
from contextlib import contextmanager
from threading import Lock

from torch import nn

from .layers_nanochat import LoopLMDecoderLayers
from .packed_nanochat import PackedBitLinear
from .ternary_nanochat import BitLinear

# Threads may enter and leave `cached_weights` of one model in any order. A lock in the model could not be copied.
_cache_users_lock = Lock()


class WeightCacheMixin(nn.Module):
    """Mixin of [`LoopLMModel`] that keeps the quantized weights of its ternary layers between passes."""

    layers: LoopLMDecoderLayers

    _cache_weights = False
    _weight_cache_users = 0

    @contextmanager
    def cached_weights(self) -> Generator[None]:
        """
        Context manager in which forward passes without gradients share the quantized weights of the ternary layers,
        instead of quantizing the latent weights in every pass. `generate` uses it.

        The weights must not change in this context, in any thread that is in it.
        """
        with _cache_users_lock:
            self._weight_cache_users += 1
            self._cache_weights = True
        try:
            yield
        finally:
            with _cache_users_lock:
                self._weight_cache_users -= 1
                self._cache_weights = self._weight_cache_users > 0
            if not self._cache_weights:
                self._clear_quantized_weights()

    def ternary_layers(self) -> list[BitLinear | PackedBitLinear]:
        """Return the ternary layers of all blocks, including those that an adapter wraps."""
        return [module for layer in self.layers for module in layer.ternary_layers()]

    def __getstate__(self):
        return self.__dict__ | {"_cache_weights": False, "_weight_cache_users": 0}

    def _clear_quantized_weights(self) -> None:
        for module in self.ternary_layers():
            module.clear_quantized_weight()
