"""Ternary linear layer: latent float weights, quantised to {-1, 0, 1} x scale in every forward pass."""

from typing import NamedTuple

import torch
from torch import distributed as dist
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear
from torch.utils._python_dispatch import is_traceable_wrapper_subclass
from transformers.distributed.utils import is_dtensor

# The scale is a bf16 number within fp16's normal range. Latent training, the packed form (fp16 scales), GGUF (fp16
# block scale) and a dense bf16 export then all hold the same number, bit for bit.
SMALLEST_SCALE = 2.0**-14
LARGEST_SCALE = 65280.0
SMALLEST_ACTIVATION = 1e-5


def _grouped(weight: torch.Tensor, group_size: int) -> torch.Tensor:
    """View (out, in) as fp32 (out, in / group_size, group_size), or (1, 1, out * in) for `group_size=-1`."""
    if group_size == -1:
        return weight.float().reshape(1, 1, -1)
    if weight.shape[-1] % group_size:
        raise ValueError(
            f"ternary_group_size must divide the input width, got ternary_group_size={group_size} for a weight of "
            f"shape {tuple(weight.shape)}"
        )
    return weight.float().reshape(weight.shape[0], -1, group_size)


def _round_to_bf16(values: torch.Tensor) -> torch.Tensor:
    """Round positive fp32 numbers to the nearest bf16 (ties to even), in fp32."""
    # On the bits, because compilers drop a conversion to bf16 and back when they fuse it with its neighbours.
    bits = values.view(torch.int32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & -0x10000).view(torch.float32)


class WeightShard(NamedTuple):
    """
    How the weight of one layer is divided among processes.

    Attributes:
        process_group: The processes that share it.
        dim: 0 when each holds some of the outputs' rows, 1 when each holds some of the inputs' columns and is given
            those inputs.
    """

    process_group: dist.ProcessGroup
    dim: int


def _scales(groups: torch.Tensor, process_group: dist.ProcessGroup | None = None) -> torch.Tensor:
    """Scales of (..., group_size) weights; with a process group, of groups that its processes hold in equal parts."""
    means = groups.abs().mean(dim=-1, keepdim=True)
    if process_group is not None:
        dist.all_reduce(means, group=process_group)
        means /= process_group.size()
    return _round_to_bf16(means.clamp(SMALLEST_SCALE, LARGEST_SCALE))


def ternary_codes(weight: torch.Tensor, group_size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Split a weight into codes and scales (BitNet b1.58, arXiv 2402.17764, with one scale per group).

    Args:
        weight: (out, in), any float type.
        group_size: Weights along the input that share a scale; -1 is one scale for the whole tensor.

    Returns:
        Codes in {-1, 0, 1}, int8 (out, in), and scales, fp32 (out, in / group_size), or (1, 1) for `group_size=-1`.
        `codes * scale` is the weight the layer computes with. A group of zeros gives zeros; a group whose mean
        magnitude is below 2**-14 uses that as its scale.

    Raises:
        ValueError: The group size does not divide the input width.
    """
    groups = _grouped(weight, group_size)
    scales = _scales(groups)
    codes = (groups / scales).round().clamp(-1, 1).to(torch.int8)
    return codes.reshape(weight.shape), scales.squeeze(-1)


def _converted(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The same values in a type that holds them."""
    # torch 2.11 compiles an autograd function to one without gradient if its result is another name of a tensor it
    # made before, as that of `to` with the same type or of an operation in place (pytorch/pytorch issue 180642).
    return values if values.dtype == dtype else values.to(dtype)


class _TernaryWeight(torch.autograd.Function):
    """Fake-quantised weight with a straight-through gradient. Saves nothing for backward."""

    @staticmethod
    def forward(
        ctx, weight: torch.Tensor, group_size: int, dtype: torch.dtype, shard: WeightShard | None
    ) -> torch.Tensor:
        ctx.weight_dtype = weight.dtype
        groups = _grouped(weight, group_size)
        scales = _scales(groups, shard.process_group if shard is not None and group_size == -1 else None)
        return _converted(((groups / scales).round_().clamp_(-1, 1) * scales).reshape(weight.shape), dtype)

    @staticmethod
    def backward(ctx, grad_output: torch.Tensor):
        return grad_output.to(ctx.weight_dtype), None, None, None


def activation_levels(
    hidden_states: torch.Tensor, shard: WeightShard | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Levels of (..., features), whole numbers from -127 to 127 in fp32, and the scale of each token, (..., 1): its
    largest magnitude / 127. With a shard as in [`quantize_activation`].
    """
    hidden_states = hidden_states.float()
    largest = hidden_states.abs().amax(dim=-1, keepdim=True)
    if shard is not None and shard.dim == 1:
        dist.all_reduce(largest, op=dist.ReduceOp.MAX, group=shard.process_group)
    scales = largest.clamp_(min=SMALLEST_ACTIVATION) / 127
    # The largest quotient is 127 up to one rounding, which `round` takes away: there is nothing to clamp.
    return (hidden_states / scales).round_(), scales


def _rounded_activation(
    hidden_states: torch.Tensor, dtype: torch.dtype, shard: WeightShard | None = None
) -> torch.Tensor:
    levels, scales = activation_levels(hidden_states, shard)
    return _converted(levels * scales, dtype)


class _Int8Activation(torch.autograd.Function):
    """Fake-quantised activation, one absmax scale per token, with a straight-through gradient."""

    @staticmethod
    def forward(ctx, hidden_states: torch.Tensor, dtype: torch.dtype, shard: WeightShard | None) -> torch.Tensor:
        ctx.input_dtype = hidden_states.dtype
        return _rounded_activation(hidden_states, dtype, shard)

    @staticmethod
    def backward(ctx, grad_output: torch.Tensor):
        return grad_output.to(ctx.input_dtype), None, None


def quantize_weight(
    weight: torch.Tensor, group_size: int, dtype: torch.dtype | None = None, shard: WeightShard | None = None
) -> torch.Tensor:
    """
    The weight a ternary layer computes with, of shape (out, in); its gradient reaches `weight` unchanged.

    Args:
        weight: (out, in) latent weight.
        group_size: As in [`ternary_codes`].
        dtype: Type of the result. bf16 and fp16 hold it exactly, because the scales are chosen so.
        shard: Of which whole this is this process's part; one scale per tensor is then that of the whole tensor.
    """
    return _TernaryWeight.apply(weight, group_size, weight.dtype if dtype is None else dtype, shard)


def quantize_activation(
    hidden_states: torch.Tensor, dtype: torch.dtype | None = None, shard: WeightShard | None = None
) -> torch.Tensor:
    """
    Round (..., features) to 255 levels between minus and plus each token's largest magnitude; the gradient passes
    unchanged. A token of zeros stays zero. With the shard of a layer that gets some of the features, the largest
    magnitude is that among all of them.
    """
    dtype = hidden_states.dtype if dtype is None else dtype
    if torch.is_grad_enabled() and hidden_states.requires_grad:
        return _Int8Activation.apply(hidden_states, dtype, shard)
    # In decoding, entering an autograd function costs almost as much as what it computes.
    return _rounded_activation(hidden_states, dtype, shard)


def _version(weight: torch.Tensor) -> int | None:
    # Neither compiled code nor tensors made in inference mode have a version.
    if torch.compiler.is_compiling() or weight.is_inference():
        return None
    return weight._version


class BitLinear(NonDynamicallyQuantizableLinear):
    """
    Linear layer without bias whose weight is ternary and whose input is int8 (`activation_bits=8`) or float (None).

    The latent float `weight` is what is trained and saved. Called on its own, the layer quantises it on every call. A
    model that applies the layer several times per forward pass calls [`BitLinear.keep_quantized_weight`] before and
    [`BitLinear.clear_quantized_weight`] after; all applications between share one quantised weight.

    Nothing is kept from one pass to the next unless the model is told that its weights rest: many writers leave no
    trace that a comparison could find (optimizers with raw pointers, `weight.data` when an adapter is merged).

    Call the layer rather than read its weight; [`quantize_weight`] gives what it computes with. Its base is the class
    that PyTorch's own quantisers pass over; a weight that is a quantised tensor (torchao) raises ValueError.

    Attributes:
        shard: Under tensor parallelism, how the weight is divided; transformers then puts this process's part in its
            place while the layer is called.
    """

    # transformers asks a layer for this: quantise one's own part, rather than trace it as a distributed tensor.
    _hf_quantized_needs_local_tp = True

    def __init__(self, in_features: int, out_features: int, group_size: int = 128, activation_bits: int | None = 8):
        super().__init__(in_features, out_features, bias=False)
        self.group_size = group_size
        self.activation_bits = activation_bits
        self.shard: WeightShard | None = None
        self.clear_quantized_weight()

    def __setattr__(self, name: str, value) -> None:
        if name == "weight" and is_traceable_wrapper_subclass(value) and not is_dtensor(value):
            raise ValueError(
                f"the latent weight of a ternary layer must be a plain tensor, got a {type(value).__name__}: "
                "quantised, it would be rounded to another ternary weight. Leave the ternary layers out; pack() gives "
                "them 2 bits without any error"
            )
        super().__setattr__(name, value)

    def keep_quantized_weight(self, reuse: bool) -> None:
        """Quantise the weight for the applications to come; with `reuse`, one that is kept already will do."""
        if self.weight.is_meta or self.weight.numel() == 0:
            return  # The weight is elsewhere until the layer's own forward (offloading, sharding).
        source = self.weight if self.shard is None else self.weight.to_local()
        if not reuse or self._usable_weight(source) is None:
            weight = quantize_weight(source, self.group_size, self._compute_dtype(), self.shard)
            self._kept = (weight, source, _version(source))

    def clear_quantized_weight(self) -> None:
        """Forget the kept quantised weight."""
        self._kept: tuple[torch.Tensor, nn.Parameter, int | None] | None = None

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        weight = self._usable_weight(self.weight)
        if weight is None:
            weight = quantize_weight(self.weight, self.group_size, self._compute_dtype(), self.shard)
        if self.activation_bits is not None:
            hidden_states = quantize_activation(hidden_states, weight.dtype, self.shard)
        return F.linear(hidden_states, weight)

    def _usable_weight(self, weight: torch.Tensor) -> torch.Tensor | None:
        """The kept quantised weight, if it is this weight's and fits the present modes."""
        kept = self._kept  # Read once: another thread may clear it.
        if kept is None:
            return None
        quantized, source, version = kept
        # A process's own part is a new view in every call.
        is_source = source is weight or (self.shard is not None and source.data_ptr() == weight.data_ptr())
        if not is_source or version != _version(weight) or quantized.dtype != self._compute_dtype():
            return None
        if torch.is_grad_enabled():
            # One without a graph, from a pass without gradients, would silently stop the gradient.
            if weight.requires_grad and not quantized.requires_grad:
                return None
            if (
                not torch.compiler.is_compiling()
                and quantized.is_inference()
                and not torch.is_inference_mode_enabled()
            ):
                return None
        return quantized

    def _compute_dtype(self) -> torch.dtype:
        device_type = self.weight.device.type
        if device_type != "meta" and torch.is_autocast_enabled(device_type):
            return torch.get_autocast_dtype(device_type)
        return self.weight.dtype

    def __getstate__(self):
        return self.__dict__ | {"_kept": None}

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, group_size={self.group_size}, activation_bits={self.activation_bits}"
