"""
Packed ternary linear layer: 2-bit codes with fp16 scales, for inference.

It computes with exactly the weight of the latent layer that it was made from: the scales are bf16 numbers within the
normal range of fp16, so that no conversion rounds them.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from .configuration_nanochat import PACKED_CODES
from .ternary_nanochat import BitLinear, activation_levels, quantize_activation, ternary_codes

KERNELS = ("exact", "int8", "int4")
INT4_GROUPS, INT4_ROWS = (32, 64, 128, 256), 16
"""Group sizes that PyTorch's int4 kernel supports, and the divisor of the number of outputs that it requires."""
MOST_INT4_TOKENS = 32
"""Maximum number of tokens for the int4 kernel; unpacking the weight is faster for more."""
Parts = list[tuple[torch.Tensor, ...]]
"""Operands of a kernel: pairs of weights and scales, or the weight alone."""
CANNOT_TRAIN = (
    'a model with LoopLMConfig.weight_format="packed" cannot be trained, because its weights are 2-bit codes without '
    "gradients; train the latent model, and call pack() afterwards"
)
# The four codes of every byte as the four bytes of an int32, for one look-up per byte.
_CODES_OF_BYTE = (
    ((torch.arange(256, device="cpu")[:, None] >> torch.tensor([0, 2, 4, 6], device="cpu") & 3) - 1)
    .to(torch.int8)
    .view(torch.int32)
    .squeeze(1)
)


def pack_codes(codes: torch.Tensor) -> torch.Tensor:
    """
    Pack ternary codes into bytes.

    Args:
        codes: Codes in {-1, 0, 1}, of shape `(out, in)`.

    Returns:
        uint8 tensor of shape `(out, in / 4)`. Byte j of a row has the codes 4j to 4j + 3, each plus one, with the
        first in the lowest two bits.
    """
    first, second, third, fourth = (codes + 1).to(torch.uint8).unflatten(-1, (-1, PACKED_CODES)).unbind(-1)
    return first | second << 2 | third << 4 | fourth << 6


def unpack_codes(packed: torch.Tensor) -> torch.Tensor:
    """Invert [`pack_codes`]: uint8 `(out, in / 4)` to int8 `(out, in)`."""
    table = _CODES_OF_BYTE.to(packed.device)
    return table.index_select(0, packed.flatten().int()).view(torch.int8).view(packed.shape[0], -1)


def unpack_weight(packed: torch.Tensor, scales: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """
    Unpack the weight that a ternary layer computes with.

    Args:
        packed: Packed codes, uint8 of shape `(out, in / 4)`; see [`pack_codes`].
        scales: Scales, of shape `(out, in / group_size)`, or `(1, 1)` for one scale.
        dtype: Dtype of the result; fp32, fp16 and bf16 represent it exactly.

    Returns:
        The weight, of shape `(out, in)`.
    """
    codes = unpack_codes(packed)
    groups = codes.view(scales.shape[0], scales.shape[1], -1)
    return (groups.to(dtype) * scales.to(dtype)[..., None]).view(codes.shape)


class _WithoutGradient(torch.autograd.Function):
    """Product with a packed layer, whose backward raises an error."""

    @staticmethod
    def forward(ctx, hidden_states: torch.Tensor, layer: "PackedBitLinear") -> torch.Tensor:
        return layer.product(hidden_states)

    @staticmethod
    def backward(ctx, grad_output: torch.Tensor):  # ty: ignore[incompatible-method-override]  # one output
        raise RuntimeError(CANNOT_TRAIN)


class PackedBitLinear(nn.Module):
    """
    Packed form of [`BitLinear`], for inference. It computes in the dtype of its input.

    Each call unpacks the weight, except in [`LoopLMModel.cached_weights`] with `cache=True`, where the unpacked weight
    is kept.

    Args:
        in_features: Number of inputs.
        out_features: Number of outputs.
        group_size: Number of weights along the input that share a scale; -1 for one scale.
        activation_bits: 8 to quantize the input to int8; None to keep it in float.
        bias: Whether the layer has a bias, which is a float parameter.

    Attributes:
        weight_codes: Buffer with the packed codes, uint8 of shape `(out, in / 4)`, whatever the dtype of the model.
        weight_scales: Buffer with the scales, fp16 of shape `(out, in / group_size)`, or `(1, 1)` for one scale,
            whatever the dtype of the model.
        kernel, cache: See [`PackedWeightsMixin.set_packed_kernel`].

    Raises:
        ValueError: `in_features` is not a multiple of 4 or of `group_size`.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        group_size: int = 128,
        activation_bits: int | None = 8,
        bias: bool = False,
    ):
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
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None
        self.clear_quantized_weight()

    @classmethod
    def from_latent(cls, layer: BitLinear) -> "PackedBitLinear":
        """
        Create a packed layer from a latent one.

        Raises:
            ValueError: The weight is not finite, or not in memory (offloaded).
        """
        if layer.weight.is_meta:
            raise ValueError("weights must be in memory to be packed, got one that is offloaded or on the meta device")
        if not all(torch.isfinite(parameter).all() for parameter in layer.parameters()):
            raise ValueError("weights must be finite to be packed, got NaN or infinity")
        packed = cls(layer.in_features, layer.out_features, layer.group_size, layer.activation_bits)
        codes, scales = ternary_codes(layer.weight.detach(), layer.group_size)
        packed.weight_codes, packed.weight_scales = pack_codes(codes), scales.half()
        if layer.bias is not None:
            packed.bias = nn.Parameter(layer.bias.detach().clone())
        return packed

    def quantized_weight(self, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Return the weight that the layer computes with, of shape `(out, in)`."""
        return unpack_weight(self.weight_codes, self.weight_scales, dtype)

    def keep_quantized_weight(self, reuse: bool) -> None:
        """Keep the weight that the next call unpacks until [`PackedBitLinear.clear_quantized_weight`], if `reuse`."""
        self._keep = reuse and self.cache
        if not self._keep:
            self._kept = None

    def clear_quantized_weight(self) -> None:
        """Remove the kept weight."""
        self._keep = False
        self._kept: tuple[torch.dtype, Parts] | None = None

    def cache_bytes(self, dtype: torch.dtype) -> int:
        """Return the size of the kept weight in bytes, in a model of this dtype; 0 without a cache."""
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
        """Compute the output without an autograd graph."""
        device_type = hidden_states.device.type
        autocast = torch.is_autocast_enabled(device_type)
        dtype = torch.get_autocast_dtype(device_type) if autocast else hidden_states.dtype
        bias = None if self.bias is None else self.bias.to(dtype)
        if self.kernel == "int8":
            product = _int8_product(hidden_states, self._parts(dtype, self._int8_parts)).to(dtype)
            return product if bias is None else product + bias
        if self.kernel == "int4" and hidden_states.numel() <= MOST_INT4_TOKENS * self.in_features:
            product = self._int4_product(hidden_states, self._parts(dtype, self._int4_parts)).to(dtype)
            return product if bias is None else product + bias
        if self.activation_bits is not None:
            hidden_states = quantize_activation(hidden_states, dtype)
        if self.kernel == "int4":
            return F.linear(hidden_states, self.quantized_weight(dtype), bias)
        ((weight,),) = self._parts(dtype, lambda: [(self.quantized_weight(dtype),)])
        return F.linear(hidden_states, weight, bias)

    def _parts(self, dtype: torch.dtype, unpack: Callable[[], Parts]) -> Parts:
        """Return the kept operands for a dtype, or unpack them and keep them in a cache of weights."""
        kept = self._kept  # Read once: another thread may clear it.
        if kept is None or kept[0] is not dtype:
            kept = (dtype, unpack())
            if self._keep:
                self._kept = kept
        return kept[1]

    def _int8_parts(self) -> Parts:
        """Return per group of inputs the int8 codes `(group_size, out)` and the fp32 scales `(out,)` or `(1,)`."""
        codes, scales = unpack_codes(self.weight_codes), self.weight_scales.float()
        # Each group is a contiguous matrix.
        groups = codes.unflatten(-1, (scales.shape[1], -1)).transpose(0, 1).contiguous()
        return list(zip(groups.transpose(1, 2).unbind(), scales.t().contiguous().unbind(), strict=True))

    def _int4_parts(self) -> Parts:
        """Return the codes in the kernel's 4-bit layout, and the scales and zero points, bf16 `(groups, out, 2)`."""
        codes = torch.ops.aten._convert_weight_to_int4pack_for_cpu(unpack_codes(self.weight_codes).int() + 8, 1)
        scales = self.weight_scales.t().bfloat16()
        return [(codes, torch.stack([scales, torch.zeros_like(scales)], dim=-1))]

    def _int4_product(self, hidden_states: torch.Tensor, parts: Parts) -> torch.Tensor:
        """Multiply `(..., in)` to `(..., out)`. The activations are int8 levels, exact in bf16; the result is bf16."""
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
        # Casts change buffers as well. They are undone without loss: codes are integers below 256, and scales are bf16
        # numbers in the range of fp16.
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
    Multiply `(..., in)` to fp32 `(..., out)` with int8 activations: exact in integers within each group, with one
    rounding per group.
    """
    levels, activation_scales = activation_levels(hidden_states.reshape(-1, hidden_states.shape[-1]))
    pairs = zip(levels.to(torch.int8).chunk(len(groups), dim=-1), groups, strict=True)
    products = (torch._int_mm(part, codes) * scale for part, (codes, scale) in pairs)
    total = next(products)
    for product in products:
        total.add_(product)
    return total.mul_(activation_scales).view(*hidden_states.shape[:-1], -1)
