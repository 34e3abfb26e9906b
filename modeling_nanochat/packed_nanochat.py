"""
The packed form of a ternary layer: 2-bit codes with fp16 scales, for everything but training.

It computes with the same weight as the latent layer it was made of, bit for bit: the scales are bf16 numbers within
fp16's normal range, so that no type in between rounds them.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from .configuration_nanochat import PACKED_CODES
from .ternary_nanochat import BitLinear, activation_levels, quantize_activation, ternary_codes

KERNELS = ("exact", "int8", "int4")
INT4_GROUPS, INT4_ROWS = (32, 64, 128, 256), 16
"""Group sizes that PyTorch's int4 kernel knows, and what the number of outputs must be a multiple of."""
MOST_INT4_TOKENS = 32
"""More at a time are multiplied exactly: unpacking then costs less than the kernel, which goes token by token."""
Parts = list[tuple[torch.Tensor, ...]]
"""What a kernel multiplies with: pairs of weights and scales, or the weight alone."""
CANNOT_TRAIN = (
    'a model with LoopLMConfig.weight_format="packed" cannot be trained: its weights are 2-bit codes, which no '
    "gradient moves; train the latent model, and pack() it when it is done"
)
# The four codes of every byte, as the four bytes of one int32: one look-up per byte.
_CODES_OF_BYTE = (
    ((torch.arange(256, device="cpu")[:, None] >> torch.tensor([0, 2, 4, 6], device="cpu") & 3) - 1)
    .to(torch.int8)
    .view(torch.int32)
    .squeeze(1)
)


def pack_codes(codes: torch.Tensor) -> torch.Tensor:
    """
    Codes in {-1, 0, 1}, (out, in), to uint8 (out, in / 4): byte j of a row holds the codes 4j to 4j + 3, each plus
    one, the first in the lowest two bits.
    """
    first, second, third, fourth = (codes + 1).to(torch.uint8).unflatten(-1, (-1, PACKED_CODES)).unbind(-1)
    return first | second << 2 | third << 4 | fourth << 6


def unpack_codes(packed: torch.Tensor) -> torch.Tensor:
    """The inverse of [`pack_codes`]: uint8 (out, in / 4) to int8 (out, in)."""
    table = _CODES_OF_BYTE.to(packed.device)
    return table.index_select(0, packed.flatten().int()).view(torch.int8).view(packed.shape[0], -1)


def unpack_weight(packed: torch.Tensor, scales: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """
    The weight that a ternary layer computes with.

    Args:
        packed: uint8 (out, in / 4), see [`pack_codes`].
        scales: (out, in / group_size), or (1, 1) for one scale.
        dtype: Type of the result, (out, in); fp32, fp16 and bf16 hold it exactly.
    """
    codes = unpack_codes(packed)
    groups = codes.view(scales.shape[0], scales.shape[1], -1)
    return (groups.to(dtype) * scales.to(dtype)[..., None]).view(codes.shape)


class _WithoutGradient(torch.autograd.Function):
    """A packed layer's product; keeps nothing for backward, which raises."""

    @staticmethod
    def forward(ctx, hidden_states: torch.Tensor, layer: "PackedBitLinear") -> torch.Tensor:
        return layer.product(hidden_states)

    @staticmethod
    def backward(ctx, grad_output: torch.Tensor):
        raise RuntimeError(CANNOT_TRAIN)


class PackedBitLinear(nn.Module):
    """
    The packed form of [`BitLinear`]: buffers `weight_codes`, uint8 (out, in / 4), and `weight_scales`, fp16 (out,
    in / group_size) or (1, 1) for `group_size=-1`. Both keep their types whatever the model is cast to; the layer
    computes in the type of its input.

    Each call unpacks the weight, unless weights rest (see [`LoopLMModel.resting_weights`]) and `cache` is set: then
    what was unpacked is kept as long as they do.

    Attributes:
        kernel, cache: See `set_packed_kernel` of the model.
    """

    def __init__(self, in_features: int, out_features: int, group_size: int = 128, activation_bits: int | None = 8):
        super().__init__()
        if in_features % PACKED_CODES:
            raise ValueError(f"in_features must be a multiple of {PACKED_CODES} to be packed, got {in_features}")
        if group_size != -1 and in_features % group_size:
            raise ValueError(f"in_features must be a multiple of group_size={group_size}, got {in_features}")
        self.in_features = in_features
        self.out_features = out_features
        self.group_size = group_size
        self.activation_bits = activation_bits
        self.kernel = "exact"
        self.cache = True
        scales = (1, 1) if group_size == -1 else (out_features, in_features // group_size)
        self.weight_codes = nn.Buffer(torch.empty(out_features, in_features // PACKED_CODES, dtype=torch.uint8))
        self.weight_scales = nn.Buffer(torch.empty(scales, dtype=torch.float16))
        self.clear_quantized_weight()

    @classmethod
    def from_latent(cls, layer: BitLinear) -> "PackedBitLinear":
        """
        A layer that computes what `layer` does now.

        Raises:
            ValueError: A weight is not finite, or is not in memory (offloaded).
        """
        if layer.weight.is_meta:
            raise ValueError("weights must be in memory to be packed, got one that is offloaded or on the meta device")
        if not torch.isfinite(layer.weight).all():
            raise ValueError("weights must be finite to be packed, got NaN or infinity")
        packed = cls(layer.in_features, layer.out_features, layer.group_size, layer.activation_bits)
        codes, scales = ternary_codes(layer.weight.detach(), layer.group_size)
        packed.weight_codes, packed.weight_scales = pack_codes(codes), scales.half()
        return packed

    def quantized_weight(self, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """(out, in): the weight the layer computes with, equal to that of the latent layer it was made of."""
        return unpack_weight(self.weight_codes, self.weight_scales, dtype)

    def keep_quantized_weight(self, reuse: bool) -> None:
        """With `reuse`, keep what the next application unpacks until [`PackedBitLinear.clear_quantized_weight`]."""
        self._keep = reuse and self.cache
        if not self._keep:
            self._kept = None

    def clear_quantized_weight(self) -> None:
        """Forget what was unpacked."""
        self._keep = False
        self._kept: tuple[torch.dtype, Parts] | None = None

    def cache_bytes(self, dtype: torch.dtype) -> int:
        """Bytes that are kept while weights rest, in a model of this type; 0 without a cache."""
        if not self.cache:
            return 0
        weights, scales = self.in_features * self.out_features, self.weight_scales.numel()
        return {"exact": weights * dtype.itemsize, "int8": weights + 4 * scales, "int4": weights // 2 + 4 * scales}[
            self.kernel
        ]

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled() and hidden_states.requires_grad:
            return _WithoutGradient.apply(hidden_states, self)
        return self.product(hidden_states)

    def product(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """[`PackedBitLinear.forward`] without a graph."""
        device_type = hidden_states.device.type
        autocast = torch.is_autocast_enabled(device_type)
        dtype = torch.get_autocast_dtype(device_type) if autocast else hidden_states.dtype
        if self.kernel == "int8":
            return _int8_product(hidden_states, self._parts(dtype, self._int8_parts)).to(dtype)
        if self.kernel == "int4" and hidden_states.numel() <= MOST_INT4_TOKENS * self.in_features:
            return self._int4_product(hidden_states, self._parts(dtype, self._int4_parts)).to(dtype)
        if self.activation_bits is not None:
            hidden_states = quantize_activation(hidden_states, dtype)
        if self.kernel == "int4":
            return F.linear(hidden_states, self.quantized_weight(dtype))
        ((weight,),) = self._parts(dtype, lambda: [(self.quantized_weight(dtype),)])
        return F.linear(hidden_states, weight)

    def _parts(self, dtype: torch.dtype, unpack: Callable[[], Parts]) -> Parts:
        """What is kept for a type, or else what `unpack` gives, which is then kept if it may be."""
        kept = self._kept  # Read once: another thread may clear it.
        if kept is None or kept[0] is not dtype:
            kept = (dtype, unpack())
            if self._keep:
                self._kept = kept
        return kept[1]

    def _int8_parts(self) -> Parts:
        """For every group of inputs: int8 codes (group_size, out), and fp32 scales (out,) or (1,)."""
        codes, scales = unpack_codes(self.weight_codes), self.weight_scales.float()
        # In memory one group after the other, each a matrix of its own.
        groups = codes.unflatten(-1, (scales.shape[1], -1)).transpose(0, 1).contiguous()
        return list(zip(groups.transpose(1, 2).unbind(), scales.t().contiguous().unbind(), strict=True))

    def _int4_parts(self) -> Parts:
        """Codes as the kernel has them, 4 bits each, and bf16 (groups, out, 2): scales and zero points."""
        codes = torch.ops.aten._convert_weight_to_int4pack_for_cpu(unpack_codes(self.weight_codes).int() + 8, 1)
        scales = self.weight_scales.t().bfloat16()
        return [(codes, torch.stack([scales, torch.zeros_like(scales)], dim=-1))]

    def _int4_product(self, hidden_states: torch.Tensor, parts: Parts) -> torch.Tensor:
        """(..., in) to (..., out): bf16 activations (levels of int8, which bf16 holds), one rounding to bf16."""
        ((codes, scales),) = parts
        levels, activation_scales = hidden_states.reshape(-1, self.in_features), None
        if self.activation_bits is not None:
            levels, activation_scales = activation_levels(levels)
        product = torch.ops.aten._weight_int4pack_mm_for_cpu(levels.bfloat16(), codes, self.group_size, scales)
        if activation_scales is not None:
            product = product * activation_scales
        return product.view(*hidden_states.shape[:-1], -1)

    def _apply(self, fn, recurse=True):
        super()._apply(fn, recurse)
        # Casts reach buffers too. They are undone without loss: codes are whole numbers below 256, and scales bf16
        # numbers in fp16's range.
        self.weight_codes = self.weight_codes.to(torch.uint8)
        self.weight_scales = self.weight_scales.to(torch.float16)
        self.clear_quantized_weight()
        return self

    def __getstate__(self):
        return self.__dict__ | {"_kept": None, "_keep": False}

    def extra_repr(self) -> str:
        bits = 8 * (self.weight_codes.nbytes + self.weight_scales.nbytes) / (self.in_features * self.out_features)
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, group_size={self.group_size}, "
            f"activation_bits={self.activation_bits}, {bits:.3f} bits per weight, kernel={self.kernel!r}"
        )


def _int8_product(hidden_states: torch.Tensor, groups: Parts) -> torch.Tensor:
    """
    (..., in) to fp32 (..., out): the product with int8 activations in integers, exact within each group, and one
    rounding per group after it.
    """
    levels, activation_scales = activation_levels(hidden_states.reshape(-1, hidden_states.shape[-1]))
    total = None
    for part, (codes, scale) in zip(levels.to(torch.int8).chunk(len(groups), dim=-1), groups, strict=True):
        product = torch._int_mm(part, codes) * scale
        total = product if total is None else total.add_(product)
    return total.mul_(activation_scales).view(*hidden_states.shape[:-1], -1)
