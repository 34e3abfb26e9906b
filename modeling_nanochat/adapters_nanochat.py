"""
Adapters on ternary layers. PEFT wraps a [`BitLinear`] as it wraps any linear layer, and needs nothing of this to train
it; but when it merges an adapter, it adds it to the latent weight, and the sum is rounded anew.
"""

import warnings
from collections.abc import Iterable

from torch import nn

from .ternary_nanochat import BitLinear


def warn_if_merged(module: nn.Module | None) -> None:
    """Warn when `module` is an adapter's layer whose weight is merged: one with PEFT's list of `merged_adapters`."""
    adapters = [] if module is None else vars(module).get("merged_adapters")
    if adapters:
        warnings.warn(
            f"The adapter {', '.join(adapters)} was merged into ternary weights, which are rounded again: the merged "
            "model is another model than the one with the adapter, and must be evaluated itself.",
            stacklevel=3,
        )


class AdapterHost(nn.Module):
    """A module with ternary layers; warns when an adapter's layer gives its place back to one it was merged into."""

    def __setattr__(self, name: str, value) -> None:
        if isinstance(value, BitLinear):
            warn_if_merged(self._modules.get(name))
        super().__setattr__(name, value)


def warn_of_merged_adapters(hosts: Iterable[AdapterHost]) -> None:
    """The same for adapters that were merged and kept (`merge_adapter`), where only their use can be noticed."""
    for host in hosts:
        for module in host.children():
            if not isinstance(module, BitLinear):
                warn_if_merged(module)
