"""What a model can do with packed weights: make them, say what they take, choose a kernel, refuse to be trained."""

import copy
from dataclasses import dataclass
from typing import Self

import torch
from torch import nn

from .configuration_nanochat import PACKED_CODES, LoopLMConfig
from .packed_nanochat import CANNOT_TRAIN, INT4_GROUPS, INT4_ROWS, KERNELS, PackedBitLinear
from .ternary_nanochat import BitLinear


@dataclass(frozen=True)
class PackedMemory:
    """
    What the ternary weights of a packed model take.

    Attributes:
        weights: How many there are.
        code_bytes, scale_bytes: On disk and in memory.
        cache_bytes: In memory on top of that while `generate` runs; 0 without a cache.
        other_bytes: Of everything that is not ternary: embedding, head, norms, gate, streams.
    """

    weights: int
    code_bytes: int
    scale_bytes: int
    cache_bytes: int
    other_bytes: int

    @property
    def bits_per_weight(self) -> float:
        """Of codes and scales together."""
        return 8 * (self.code_bytes + self.scale_bytes) / self.weights

    def __str__(self) -> str:
        return (
            f"{self.weights:,} ternary weights: {self.bits_per_weight:.3f} bits each, codes {self.code_bytes:,} bytes "
            f"and scales {self.scale_bytes:,}; all that is not ternary: {self.other_bytes:,} bytes; unpacked while "
            f"generating: {self.cache_bytes:,} bytes"
        )


class PackedWeightsMixin:
    """In front of [`~transformers.PreTrainedModel`] among the bases of a model class."""

    config: LoopLMConfig

    @classmethod
    def from_pretrained(cls, *args, output_loading_info: bool = False, **kwargs):
        """As of every model of transformers; raises ValueError when packed weights are asked for as latent ones."""
        model, information = super().from_pretrained(*args, output_loading_info=True, **kwargs)
        has_codes = any(name.endswith("weight_codes") for name in information["unexpected_keys"])
        if model.config.weight_format == "latent" and has_codes:
            raise ValueError(
                'LoopLMConfig.weight_format must be "packed" for a folder that a packed model was saved in, got '
                '"latent": codes do not tell the latent weights they were made of. Leave weight_format out, or load '
                "the model that was packed"
            )
        return (model, information) if output_loading_info else model

    @torch.no_grad()
    def pack(self) -> Self:
        """
        A new model with `config.weight_format="packed"` that computes the same logits, bit for bit, and is saved and
        loaded as every other. It shares nothing with this one and cannot be trained.

        Raises:
            ValueError: It is packed already, has no ternary weights, a width that four does not divide, weights that
                are not finite or not in memory, or more than its configuration says (adapters).
            NotImplementedError: Processes share the weights (tensor parallelism).
        """
        if self.tp_size is not None and self.tp_size > 1:
            raise NotImplementedError("pack is not available for a tensor-parallel model: pack the whole one.")
        if self.config.weight_format == "packed":
            raise ValueError('LoopLMConfig.weight_format must be "latent" to be packed, got "packed"')
        config = copy.deepcopy(self.config)
        config.weight_format = "packed"
        config.validate_architecture()
        # The copy finds packed layers where the latent ones are, and copies everything else.
        layers = {id(module): module for module in self.modules() if isinstance(module, BitLinear)}
        packed_layers = {address: PackedBitLinear.from_latent(module) for address, module in layers.items()}
        packed = copy.deepcopy(self, {id(self.config): config, **packed_layers})
        with torch.device("meta"):
            expected = type(self)(config).state_dict().keys()
        extra = packed.state_dict().keys() - expected
        if extra:
            raise ValueError(
                f"a model must have exactly the tensors of its configuration to be packed, got also "
                f"{sorted(extra)[0]}: adapters must be merged before"
            )
        return packed.eval()

    def set_packed_kernel(self, kernel: str = "exact", cache: bool = True) -> None:
        """
        How a packed model multiplies. A setting of this model in memory: it is not saved.

        Args:
            kernel: "exact" multiplies as the latent model does, and gives its logits bit for bit. The others are
                PyTorch's own kernels for the CPU. "int8" (`torch._int_mm`) multiplies int8 activations and int8 codes
                in integers: the same numbers up to the rounding of their sums, from a quarter of the fp32 cache.
                "int4" (`_weight_int4pack_mm_for_cpu`) reads half as much again and rounds every product to bf16; it
                is for a few tokens at a time, and more than 32 are multiplied exactly.
            cache: While `generate` runs, keep what was unpacked; False unpacks for every application, which is slow
                and takes no memory. [`PackedWeightsMixin.packed_memory`] tells how much it is.

        Raises:
            ValueError: The model is not packed, there is no such kernel, or it does not fit the model.
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
        """What the packed weights take; raises ValueError when the model is not packed."""
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
        """As in every module; a packed model raises ValueError, because it cannot be trained."""
        if mode and self.config.weight_format == "packed":
            raise ValueError(CANNOT_TRAIN)
        return super().train(mode)

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """As in every model of transformers; packed weights count one by one, as parameters that are not trainable."""
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
                    'LoopLMConfig.weight_format must be "latent" for a model that begins with random weights or a '
                    'folder of latent ones, got "packed": packed weights come from pack() or from a folder that a '
                    "packed model was saved in"
                )
