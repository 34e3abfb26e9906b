"""
What may be put on ternary layers. PEFT's adapters and quantisers take a [`BitLinear`] for a linear layer and many read
its `weight`, which is the latent weight and not the ternary one that the layer computes with. An adapter that calls
the layer is right; one that computes from the weight, and a quantiser that replaces the layer, are refused.
"""

import warnings
from collections.abc import Iterable, Mapping

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
"""PEFT's types of adapters that call the layer they wrap and add to its input or output."""

COMPUTES = "multiplies with the layer's weight instead of calling the layer"
BEGINS = "begins with a part of the layer's weight and takes it out of what the layer computes"
READING_ADAPTERS = {
    "DEFT": BEGINS,
    "FROD": BEGINS,
    "GLORA": COMPUTES,
    "HRA": COMPUTES,
    "SHIRA": COMPUTES,
    "SUPERTUNING": COMPUTES,
}
READING_STARTS = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Beginnings of LoRA's `init_lora_weights` that write the rest of the weight back into the layer."""

SAMPLE_STRIDE = 97
"""One in so many weights is compared: a prime, so that all rows and columns are among them."""
CHANGED_SHARE = 1e-4
"""Mean change of the weights, as a share of their mean magnitude, above what merging and unmerging leaves in fp32."""


def _unsuitable(config) -> tuple[str, str] | None:
    """The name of what PEFT's configuration asks for and what it does, if that is wrong on ternary layers."""
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


def check_adapters(model: nn.Module, configurations: Mapping[str, object]) -> None:
    """
    Warns of adapters on ternary layers of a type that is not known here.

    Args:
        model: With PEFT's adapters in it.
        configurations: Of these adapters, by their names.

    Raises:
        ValueError: An adapter on ternary layers computes with their latent weights.
    """
    for name, config in configurations.items():
        kind, unsuitable = str(getattr(config.peft_type, "value", config.peft_type)), _unsuitable(config)
        if (unsuitable is None and kind in CALLING_ADAPTERS) or not _adapts_ternary_layers(model, name):
            continue
        if unsuitable is None:
            warnings.warn(
                f"It is not known whether PEFT's {kind} calls the ternary layers or computes with their latent "
                "weights, which would be wrong: compare the outputs with and without the adapter.",
                stacklevel=3,
            )
            continue
        what, does = unsuitable
        raise ValueError(
            f"An adapter on ternary layers must call them, but {what} {does}, and BitLinear.weight is the latent "
            "weight, not the ternary one. Load the model again, which the adapter may have changed, and use LoRA with "
            "its default start, or leave the ternary layers out of target_modules."
        )


def _adapts_ternary_layers(model: nn.Module, adapter: str) -> bool:
    places = (host._modules[name] for host in model.modules() if isinstance(host, TernaryHost) for name in host.places)
    return any(adapter in name.split(".") for place in places for name, _ in place.named_parameters())


def check_quantizer(method: object) -> None:
    """Raises ValueError for a `quantization_config` of transformers that would quantise ternary layers once more."""
    name = str(getattr(method, "value", method))
    if name not in ("bitsandbytes", "llm_int8"):
        raise ValueError(
            f'quantization_config must be of bitsandbytes for a ternary model, got quant_method="{name}", which '
            "would quantise the latent weights of the ternary layers: pack() gives them 2 bits without any error"
        )


def _ternary_layer(module: nn.Module | None) -> nn.Module | None:
    """The ternary layer that a module is or wraps."""
    if module is None or isinstance(module, TERNARY_LAYERS):
        return module
    return next((each for each in module.modules() if isinstance(each, TERNARY_LAYERS)), None)


def _sample(layer: nn.Module) -> torch.Tensor | None:
    """Some of a layer's latent weights; None for a packed layer and where they are elsewhere (offloaded, sharded)."""
    if not isinstance(layer, BitLinear) or type(layer.weight) is not nn.Parameter or layer.weight.is_meta:
        return None
    return layer.weight.detach().flatten()[::SAMPLE_STRIDE].clone()


class TernaryHost(nn.Module):
    """
    A module with ternary layers.

    Attributes:
        places: Names of its ternary layers, and for those with an adapter a sample of the weights from when it came.
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
            # PEFT's adapters of single parameters add to the latent weight before it is rounded, as merging does.
            if isinstance(self._modules[name], BitLinear) and "parameter_name" not in vars(value):
                self.places[name] = _sample(self._modules[name])

    def _check_place(self, name: str, value: nn.Module) -> nn.Module:
        layer = _ternary_layer(value)
        if layer is None:
            raise ValueError(
                f"The ternary layer {name} must stay, by itself or within an adapter, got a {type(value).__name__} in "
                "its place: a quantiser would round its latent weight and lose the ternary one. Leave the ternary "
                "layers out; pack() gives them 2 bits without any error"
            )
        return layer

    def adapted_layers(self) -> list[tuple[nn.Module, torch.Tensor]]:
        """Layers with adapters and their samples; raises ValueError when something else took a layer's place."""
        layers = [(self._check_place(name, self._modules[name]), sample) for name, sample in self.places.items()]
        return [(layer, sample) for layer, sample in layers if sample is not None]


def check_hosts(hosts: Iterable[TernaryHost]) -> None:
    """
    For every pass, because not everything that happens to a layer goes through its host. Warns when weights have
    changed since their adapter came; raises ValueError when something took a ternary layer's place.
    """
    adapted = [pair for host in hosts for pair in host.adapted_layers()]
    # A kept weight means that weights rest; it was looked at when they began to.
    _warn_if_changed([(layer, sample) for layer, sample in adapted if layer._kept is None])


def _warn_if_changed(layers: list[tuple[nn.Module, torch.Tensor | None]]) -> None:
    now, before = [], []
    for layer, sample in layers:
        found = None if sample is None or layer.weight.requires_grad else _sample(layer)
        # A cast rounds them and is meant.
        if found is not None and found.dtype == sample.dtype:
            now.append(found)
            before.append(sample.to(found.device))
    if not now:
        return
    changes = [(a - b).abs().mean() / b.abs().mean() for a, b in zip(now, before, strict=True)]
    # Together, for one transfer from the accelerator.
    if (torch.stack(changes) > CHANGED_SHARE).any():
        warnings.warn(
            "The weights of ternary layers have changed since an adapter was put on them, as by merging it, and are "
            "rounded again: the result is another model than the one with the adapter, and must be evaluated itself.",
            stacklevel=4,
        )
