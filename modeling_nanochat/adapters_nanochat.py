"""
Checks of adapters and quantizers on ternary layers. PEFT's adapters and quantizers handle a [`BitLinear`] as a linear
layer, and many read its `weight`, which is the latent weight and not the ternary one that the layer computes with.
Adapters that call the layer are correct; those that compute with its weight raise an error, as do quantizers that
replace the layer.
"""

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from .packed_nanochat import PackedBitLinear
from .ternary_nanochat import BitLinear

TERNARY_LAYERS = (BitLinear, PackedBitLinear)

CALLING_ADAPTERS = frozenset(
    """
    LORA ADALORA ADAMSS BEFT BOFT C3A DELORA FOURIERFT GRALORA HIRA IA3 LILY LOHA LOKR LN_TUNING MISS OFT OSF PEANUT
    POLY PSOFT PVERA RANDLORA ROAD TINYLORA TRAINABLE_TOKENS UNILORA VBLORA VERA WAVEFT XLORA
    """.split()
)
"""Types of PEFT adapters that call the layer they wrap and change its input or output."""

COMPUTES = "multiplies by the layer's weight instead of calling the layer"
BEGINS = "is initialized with a part of the layer's weight and subtracts that part from the weight"
READING_ADAPTERS = {
    "DEFT": BEGINS,
    "FROD": BEGINS,
    "GLORA": COMPUTES,
    "HRA": COMPUTES,
    "SHIRA": COMPUTES,
    "SUPERTUNING": COMPUTES,
}
READING_STARTS = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Prefixes of LoRA's `init_lora_weights` that write the remainder of the weight back into the layer."""

SAMPLE_STRIDE = 97
"""Stride of the weights that are compared: a prime number, so that all rows and columns are among them."""
CHANGED_SHARE = 1e-4
"""Mean change of the weights relative to their mean magnitude, above the error of merging and unmerging in fp32."""


def _unsuitable(config: Any) -> tuple[str, str] | None:
    """Return the kind of adapter in a PEFT configuration and its effect, if that is wrong on ternary layers."""
    kind, settings = str(getattr(config.peft_type, "value", config.peft_type)), vars(config)
    if kind in READING_ADAPTERS:
        return kind, READING_ADAPTERS[kind]
    start = settings.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(READING_STARTS):
        return f'LoRA with init_lora_weights="{start}"', BEGINS
    if settings.get("kasa_config") is not None:
        return "LoRA with kasa_config", BEGINS
    if settings.get("use_dora") and settings.get("lora_dropout"):
        return f"DoRA with lora_dropout={settings['lora_dropout']}", COMPUTES
    if kind == "MISS" and settings.get("init_weights") == "bat":
        return 'MISS with init_weights="bat"', COMPUTES
    return None


def check_adapters(model: nn.Module, configurations: Mapping[str, Any]) -> None:
    """
    Check the PEFT adapters on ternary layers, and warn of adapters of an unknown type.

    Args:
        model: The model with its adapters.
        configurations: PEFT configurations by the names of the adapters.

    Raises:
        ValueError: An adapter on ternary layers computes with their latent weights.
    """
    for name, config in configurations.items():
        kind, unsuitable = str(getattr(config.peft_type, "value", config.peft_type)), _unsuitable(config)
        if (unsuitable is None and kind in CALLING_ADAPTERS) or not _adapts_ternary_layers(model, name):
            continue
        if unsuitable is None:
            warnings.warn(
                f"PEFT's {kind} is not known here. It is wrong on ternary layers if it computes with their latent "
                "weights instead of calling them: compare the outputs with and without the adapter.",
                stacklevel=3,
            )
            continue
        what, does = unsuitable
        raise ValueError(
            f"An adapter on ternary layers must call them, but {what} {does}, and BitLinear.weight is the latent "
            "weight, not the ternary one. Load the model again, which the adapter may have changed, and use LoRA with "
            "its default initialization, or leave the ternary layers out of target_modules."
        )


def _adapts_ternary_layers(model: nn.Module, adapter: str) -> bool:
    places = (host._modules[name] for host in model.modules() if isinstance(host, TernaryHost) for name in host.places)
    modules = [place for place in places if place is not None]
    return any(adapter in name.split(".") for module in modules for name, _ in module.named_parameters())


def check_quantizer(method: object) -> None:
    """Raise `ValueError` for a quantization method of transformers that would quantize ternary layers again."""
    name = str(getattr(method, "value", method))
    if name not in ("bitsandbytes", "llm_int8"):
        raise ValueError(
            f'quantization_config must be of bitsandbytes for a ternary model, got quant_method="{name}", which '
            "would quantize the latent weights of the ternary layers: pack() stores them in 2 bits without any error"
        )


def _ternary_layer(module: nn.Module | None) -> nn.Module | None:
    """Return the ternary layer that a module is or wraps; None if there is none."""
    if module is None or isinstance(module, TERNARY_LAYERS):
        return module
    return next((each for each in module.modules() if isinstance(each, TERNARY_LAYERS)), None)


def _sample(layer: nn.Module | None) -> torch.Tensor | None:
    """Return some of a layer's latent weights; None if it is packed, or its weight is offloaded or sharded."""
    if not isinstance(layer, BitLinear) or type(layer.weight) is not nn.Parameter or layer.weight.is_meta:
        return None
    return layer.weight.detach().flatten()[::SAMPLE_STRIDE].clone()


class TernaryHost(nn.Module):
    """
    Base class of modules with ternary layers, which checks what replaces one of them.

    Attributes:
        places: For the name of each ternary layer, a sample of its weights at the time an adapter was added; None
            without an adapter.
    """

    def __init__(self):
        super().__init__()
        self.places: dict[str, torch.Tensor | None] = {}

    def __setattr__(self, name: str, value) -> None:
        if isinstance(value, nn.Module):
            self._take_place(name, value)
        super().__setattr__(name, value)

    def _take_place(self, name: str, value: nn.Module) -> None:
        if isinstance(value, TERNARY_LAYERS):
            _warn_if_changed([(value, self.places.get(name))])
            self.places[name] = None
        elif name in self.places:
            self._check_place(name, value)
            # PEFT's adapters of parameters change the latent weight before it is rounded, as merging does.
            if isinstance(self._modules[name], BitLinear) and "parameter_name" not in vars(value):
                self.places[name] = _sample(self._modules[name])

    def _check_place(self, name: str, value: nn.Module | None) -> nn.Module:
        layer = _ternary_layer(value)
        if layer is None:
            raise ValueError(
                f"The ternary layer {name} must stay, by itself or within an adapter, got a {type(value).__name__} in "
                "its place: a quantizer would round its latent weight and lose the ternary one. Leave the ternary "
                "layers out; pack() stores them in 2 bits without any error"
            )
        return layer

    def adapted_layers(self) -> list[tuple[nn.Module, torch.Tensor]]:
        """
        Return the layers with adapters and their samples.

        Raises:
            ValueError: Something other than an adapter has replaced a ternary layer.
        """
        layers = [(self._check_place(name, self._modules[name]), sample) for name, sample in self.places.items()]
        return [(layer, sample) for layer, sample in layers if sample is not None]


def check_hosts(hosts: Iterable[TernaryHost]) -> None:
    """
    Check the ternary layers in every forward pass, because some changes do not go through their host. Warns if the
    weights of a layer have changed since an adapter was added.

    Raises:
        ValueError: Something other than an adapter has replaced a ternary layer.
    """
    adapted = [pair for host in hosts for pair in host.adapted_layers()]
    # Cached weights were checked in the first pass with the cache.
    _warn_if_changed([(layer, sample) for layer, sample in adapted if layer._kept is None])


def _warn_if_changed(layers: list[tuple[nn.Module, torch.Tensor | None]]) -> None:
    now, before = [], []
    for layer, sample in layers:
        found = None if sample is None or layer.weight.requires_grad else _sample(layer)
        # A cast to another dtype rounds the weights intentionally.
        if sample is not None and found is not None and found.dtype == sample.dtype:
            now.append(found)
            before.append(sample.to(found.device))
    if not now:
        return
    changes = [(a - b).abs().mean() / b.abs().mean() for a, b in zip(now, before, strict=True)]
    # All together, for a single transfer from the accelerator.
    if (torch.stack(changes) > CHANGED_SHARE).any():
        warnings.warn(
            "The weights of ternary layers have changed since an adapter was added, for example by merging it, and "
            "are rounded again: the result differs from the model with the adapter and must be evaluated separately.",
            stacklevel=4,
        )
