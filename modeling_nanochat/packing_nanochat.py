"""Packed weights of a model: packing, memory, choice of the kernel."""

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import nn

from .configuration_nanochat import PACKED_CODES, LoopLMConfig
from .packed_nanochat import CANNOT_TRAIN, INT4_GROUPS, INT4_ROWS, KERNELS, PackedBitLinear
from .ternary_nanochat import BitLinear

if TYPE_CHECKING:
    from transformers import PreTrainedModel as _Base
else:
    _Base = object


@dataclass(frozen=True)
class PackedMemory:
    """
    Memory of a packed model.

    Attributes:
        weights: Number of ternary weights.
        code_bytes: Size of their codes, on disk and in memory.
        scale_bytes: Size of their scales, on disk and in memory.
        cache_bytes: Size of the unpacked weights, additionally in memory while `generate` runs; 0 without a cache.
        other_bytes: Size of all other parameters: embedding, head, norms, biases, exit gate, residual streams.
    """

    weights: int
    code_bytes: int
    scale_bytes: int
    cache_bytes: int
    other_bytes: int

    @property
    def bits_per_weight(self) -> float:
        """Bits per ternary weight, of codes and scales together."""
        return 8 * (self.code_bytes + self.scale_bytes) / self.weights

    def __str__(self) -> str:
        return (
            f"{self.weights:,} ternary weights: {self.bits_per_weight:.3f} bits each, codes {self.code_bytes:,} bytes "
            f"and scales {self.scale_bytes:,}; other parameters: {self.other_bytes:,} bytes; unpacked while "
            f"generating: {self.cache_bytes:,} bytes"
        )


class PackedWeightsMixin(_Base):
    """Mixin for packed weights, before [`~transformers.PreTrainedModel`] in the bases of a model class."""

    config: LoopLMConfig

    @classmethod
    def from_pretrained(cls, *args, output_loading_info: bool = False, **kwargs):
        """
        Load a model as [`~transformers.PreTrainedModel.from_pretrained`].

        Raises:
            ValueError: `weight_format="latent"` was given for a folder with packed weights.
        """
        loaded: Any = super().from_pretrained(*args, output_loading_info=True, **kwargs)
        model, information = loaded
        has_codes = any(name.endswith("weight_codes") for name in information["unexpected_keys"])
        if model.config.weight_format == "latent" and has_codes:
            raise ValueError(
                'LoopLMConfig.weight_format must be "packed" for a folder with packed weights, got "latent": the '
                "latent weights cannot be recovered from the codes. Leave weight_format out, or load the model that "
                "was packed"
            )
        return (model, information) if output_loading_info else model

    @torch.no_grad()
    def pack(self) -> Self:
        """
        Return a copy of the model with `config.weight_format="packed"`, which computes exactly the same logits. It can
        be saved and loaded, but not trained.

        Raises:
            ValueError: The model is packed already, has no ternary weights, has adapters or a width that is not a
                multiple of 4, or a weight is not finite or not in memory.
            NotImplementedError: The model is tensor-parallel.
        """
        if self.tp_size is not None and self.tp_size > 1:
            raise NotImplementedError("pack is not available for a tensor-parallel model: pack the whole one.")
        if self.config.weight_format == "packed":
            raise ValueError('LoopLMConfig.weight_format must be "latent" to be packed, got "packed"')
        config = copy.deepcopy(self.config)
        config.weight_format = "packed"
        config.validate_architecture()
        # The copy has packed layers in place of the latent ones, and copies everything else.
        layers = {id(module): module for module in self.modules() if isinstance(module, BitLinear)}
        packed_layers = {address: PackedBitLinear.from_latent(module) for address, module in layers.items()}
        packed = copy.deepcopy(self, {id(self.config): config, **packed_layers})
        with torch.device("meta"):
            expected = type(self)(config).state_dict().keys()
        extra = packed.state_dict().keys() - expected
        if extra:
            raise ValueError(
                "a model must have exactly the tensors of its configuration to be packed, but it also has "
                f"{sorted(extra)[0]}: adapters must be merged before"
            )
        return packed.eval()

    def set_packed_kernel(self, kernel: str = "exact", cache: bool = True) -> None:
        """
        Set the kernel that a packed model multiplies with. This setting is not saved.

        Args:
            kernel: `"exact"` computes exactly the logits of the latent model. The others are PyTorch's kernels for
                the CPU: `"int8"` (`torch._int_mm`) multiplies int8 activations and codes as integers, with the same
                results up to the rounding of sums, and its unpacked weights are a quarter of the size in fp32.
                `"int4"` (`_weight_int4pack_mm_for_cpu`) halves the size again and rounds every product to bf16; it is
                used for at most 32 tokens at a time, and the exact one for more.
            cache: Whether to keep unpacked weights while `generate` runs. Without, every application of a layer
                unpacks its weight, which is slow and takes no memory; see [`PackedWeightsMixin.packed_memory`].

        Raises:
            ValueError: The model is not packed, or the kernel is unknown or does not support the model.
        """
        self._check_packed("set_packed_kernel")
        if kernel not in KERNELS:
            raise ValueError(f"kernel must be one of {', '.join(map(repr, KERNELS))}, got {kernel!r}")
        if kernel != "exact" and self.device.type != "cpu":
            raise ValueError(f"the model must be on the CPU for kernel={kernel!r}, got {self.device}")
        if kernel == "int8" and self.config.activation_bits != 8:
            raise ValueError(
                f'LoopLMConfig.activation_bits must be 8 for kernel="int8", got {self.config.activation_bits}'
            )
        if kernel == "int4" and self.config.ternary_group_size not in INT4_GROUPS:
            raise ValueError(
                f'LoopLMConfig.ternary_group_size must be one of {INT4_GROUPS} for kernel="int4", got '
                f"{self.config.ternary_group_size}"
            )
        for name, layer in self.named_modules():
            if kernel == "int4" and isinstance(layer, PackedBitLinear) and layer.out_features % INT4_ROWS:
                raise ValueError(
                    f'{name}.out_features must be a multiple of {INT4_ROWS} for kernel="int4", got '
                    f"{layer.out_features}"
                )
        for layer in self._packed_layers():
            layer.kernel, layer.cache = kernel, cache
            layer.clear_quantized_weight()

    def packed_memory(self) -> PackedMemory:
        """Return the memory of a packed model. Raises `ValueError` if the model is not packed."""
        self._check_packed("packed_memory")
        layers = self._packed_layers()
        codes = sum(layer.weight_codes.nbytes for layer in layers)
        return PackedMemory(
            weights=codes * PACKED_CODES,
            code_bytes=codes,
            scale_bytes=sum(layer.weight_scales.nbytes for layer in layers),
            cache_bytes=sum(layer.cache_bytes(self.dtype) for layer in layers),
            other_bytes=sum(parameter.nbytes for parameter in self.parameters()),
        )

    def train(self, mode: bool = True) -> Self:
        """Set training or evaluation mode. Raises `ValueError` in training mode if the model is packed."""
        if mode and self.config.weight_format == "packed":
            raise ValueError(CANNOT_TRAIN)
        return super().train(mode)

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """Return the number of parameters as transformers does; packed weights count as frozen parameters."""
        packed = 0 if only_trainable else sum(layer.weight_codes.numel() for layer in self._packed_layers())
        return super().num_parameters(only_trainable, exclude_embeddings) + packed * PACKED_CODES

    def _packed_layers(self) -> list[PackedBitLinear]:
        return [module for module in self.modules() if isinstance(module, PackedBitLinear)]

    def _check_packed(self, name: str) -> None:
        if self.config.weight_format != "packed":
            raise ValueError(
                f'LoopLMConfig.weight_format must be "packed" for {name}, got "latent": call pack() first'
            )

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, PackedBitLinear):
            loaded = all(hasattr(buffer, "_is_hf_initialized") for buffer in module.buffers())
            if not loaded and not module.weight_codes.is_meta:
                raise ValueError(
                    'LoopLMConfig.weight_format must be "latent" for random initialization or a folder with latent '
                    'weights, got "packed": packed weights come from pack() or from a folder with packed weights'
                )
