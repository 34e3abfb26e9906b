"""Ternary linear layer: latent float weights, quantized to {-1, 0, 1} x scale in every forward pass."""

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import NamedTuple

import torch
from torch import distributed as dist
from torch.nn import functional as F
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear
from torch.utils._python_dispatch import is_traceable_wrapper_subclass
from transformers.distributed.utils import is_dtensor

from .mix_nanochat import TernaryMix

# Scales are bf16 numbers within the normal range of fp16, so that training, the packed form (fp16 scales), GGUF (fp16
# block scales) and a dense bf16 export all have exactly the same scale.
SMALLEST_SCALE = 2.0**-14
LARGEST_SCALE = 65280.0
SMALLEST_ACTIVATION = 1e-5


def _grouped(weight: torch.Tensor, group_size: int) -> torch.Tensor:
    """View `(out, in)` as fp32 `(out, in / group_size, group_size)`, or `(1, 1, out * in)` for `group_size=-1`."""
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
    # On the bits, because compilers remove a conversion to bf16 and back in fused code.
    bits = values.view(torch.int32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & -0x10000).view(torch.float32)


class WeightShard(NamedTuple):
    """
    Division of a layer's weight among processes (tensor parallelism).

    Attributes:
        process_group: The processes.
        dim: 0 if each process has some of the rows (outputs), 1 if each has some of the columns and gets the
            corresponding inputs.
    """

    process_group: dist.ProcessGroup
    dim: int


def _scales(groups: torch.Tensor, process_group: dist.ProcessGroup | None = None) -> torch.Tensor:
    """Compute the scales of weights `(..., group_size)`, of which each process of a group has an equal part."""
    means = groups.abs().mean(dim=-1, keepdim=True)
    if process_group is not None:
        dist.all_reduce(means, group=process_group)
        means /= process_group.size()
    return _round_to_bf16(means.clamp(SMALLEST_SCALE, LARGEST_SCALE))


def ternary_codes(weight: torch.Tensor, group_size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Quantize a weight to ternary codes and scales by absmean (BitNet b1.58, arXiv 2402.17764, section 2), with one
    scale per group: `scale = mean(|w|)`, `code = clamp(round(w / scale), -1, 1)`.

    Args:
        weight: Float weight of shape `(out, in)`.
        group_size: Number of weights along the input that share a scale; -1 for one scale.

    Returns:
        Codes in {-1, 0, 1}, int8 of shape `(out, in)`, and scales, fp32 of shape `(out, in / group_size)`, or `(1, 1)`
        for one scale. The layer computes with `codes * scale`. Scales are rounded to bf16 and are at least 2**-14.

    Raises:
        ValueError: `in` is not a multiple of `group_size`.
    """
    groups = _grouped(weight, group_size)
    scales = _scales(groups)
    codes = (groups / scales).round().clamp(-1, 1).to(torch.int8)
    return codes.reshape(weight.shape), scales.squeeze(-1)


def _converted(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Convert values to a dtype that represents them exactly."""
    # torch 2.11 compiles an autograd function to one without a gradient if its result is an alias of an intermediate
    # tensor, as that of `to` with the same dtype or of an operation in place (pytorch/pytorch issue 180642).
    return values if values.dtype == dtype else values.to(dtype)


class _TernaryWeight(torch.autograd.Function):
    """Fake-quantized weight with a straight-through gradient, which saves no tensors for backward."""

    @staticmethod
    def forward(
        ctx, weight: torch.Tensor, group_size: int, dtype: torch.dtype, shard: WeightShard | None
    ) -> torch.Tensor:
        ctx.weight_dtype = weight.dtype
        groups = _grouped(weight, group_size)
        scales = _scales(groups, shard.process_group if shard is not None and group_size == -1 else None)
        return _converted(((groups / scales).round_().clamp_(-1, 1) * scales).reshape(weight.shape), dtype)

    @staticmethod
    def backward(ctx, grad_output: torch.Tensor):  # ty: ignore[incompatible-method-override]  # one output
        return grad_output.to(ctx.weight_dtype), None, None, None


def activation_levels(
    hidden_states: torch.Tensor, shard: WeightShard | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Quantize activations to int8 levels per token by absmax.

    Args:
        hidden_states: Of shape `(..., features)`.
        shard: See [`quantize_activation`].

    Returns:
        Levels of shape `(..., features)`, integers from -127 to 127 in fp32, and scales of shape `(..., 1)`, the
        largest magnitude of each token / 127.
    """
    hidden_states = hidden_states.float()
    largest = hidden_states.abs().amax(dim=-1, keepdim=True)
    if shard is not None and shard.dim == 1:
        dist.all_reduce(largest, op=dist.ReduceOp.MAX, group=shard.process_group)
    scales = largest.clamp_(min=SMALLEST_ACTIVATION) / 127
    # The largest quotient is 127 up to a rounding error, which `round` removes, so there is nothing to clamp.
    return (hidden_states / scales).round_(), scales


def _rounded_activation(
    hidden_states: torch.Tensor,
    dtype: torch.dtype,
    shard: WeightShard | None = None,
    share: torch.Tensor | None = None,
) -> torch.Tensor:
    levels, scales = activation_levels(hidden_states, shard)
    rounded = levels * scales
    if share is not None:
        rounded = torch.lerp(hidden_states.float(), rounded, share)
    return _converted(rounded, dtype)


class _Int8Activation(torch.autograd.Function):
    """Fake-quantized activation, with an absmax scale per token and a straight-through gradient."""

    @staticmethod
    def forward(
        ctx, hidden_states: torch.Tensor, dtype: torch.dtype, shard: WeightShard | None, share: torch.Tensor | None
    ) -> torch.Tensor:
        ctx.input_dtype = hidden_states.dtype
        return _rounded_activation(hidden_states, dtype, shard, share)

    @staticmethod
    def backward(ctx, grad_output: torch.Tensor):  # ty: ignore[incompatible-method-override]  # one output
        return grad_output.to(ctx.input_dtype), None, None, None


class _GivenActivation(torch.autograd.Function):
    """
    Activation that is already rounded, with the straight-through gradient of [`_Int8Activation`].

    Each layer converts its own gradient to the dtype of the input, and the sum is taken there: in bf16 it would lose
    precision.
    """

    @staticmethod
    def forward(ctx, hidden_states: torch.Tensor, rounded: torch.Tensor) -> torch.Tensor:
        ctx.input_dtype = hidden_states.dtype
        return rounded.detach()

    @staticmethod
    def backward(ctx, grad_output: torch.Tensor):  # ty: ignore[incompatible-method-override]  # one output
        return grad_output.to(ctx.input_dtype), None


class _RoundedInput(NamedTuple):
    """An input of ternary layers, its version, the share of its rounding, and its values without a gradient."""

    source: torch.Tensor
    version: int | None
    share: torch.Tensor | None
    rounded: torch.Tensor


# The list has at most one element. Every thread has its own context.
_last_input: ContextVar[list[_RoundedInput] | None] = ContextVar("_last_input", default=None)


@contextmanager
def _shared() -> Generator[None]:
    token = _last_input.set([])
    try:
        yield
    finally:
        _last_input.reset(token)


def shared_input() -> AbstractContextManager[None]:
    """
    Context manager for calls of layers with the same input: ternary layers round it once, and keep one copy for the
    backward pass. Outputs and gradients are exactly those without it.

    The compiler does the same by itself.
    """
    return nullcontext() if torch.compiler.is_compiling() else _shared()


def quantize_weight(
    weight: torch.Tensor, group_size: int, dtype: torch.dtype | None = None, shard: WeightShard | None = None
) -> torch.Tensor:
    """
    Compute the weight of a ternary layer from its latent weight, with a straight-through gradient.

    Args:
        weight: Latent weight, of shape `(out, in)`.
        group_size: Number of weights along the input that share a scale; -1 for one scale.
        dtype: Dtype of the result, by default that of `weight`. fp32, bf16 and fp16 represent it exactly.
        shard: How `weight`, a part of it, is divided among processes; with one scale, it is that of the whole weight.

    Returns:
        The quantized weight, of shape `(out, in)`.
    """
    return _TernaryWeight.apply(weight, group_size, weight.dtype if dtype is None else dtype, shard)


def quantize_activation(
    hidden_states: torch.Tensor,
    dtype: torch.dtype | None = None,
    shard: WeightShard | None = None,
    share: torch.Tensor | None = None,
) -> torch.Tensor:
    """
    Round activations to int8 precision, 255 levels per token, with a straight-through gradient.

    Args:
        hidden_states: Of shape `(..., features)`.
        dtype: Dtype of the result, by default that of `hidden_states`.
        shard: Division of the layer's weight. If the process has some of the features, the scale is that of all of
            them.
        share: Share of the rounding, see [`TernaryMix`]; all of it by default.

    Returns:
        The rounded activations, of shape `(..., features)`.
    """
    dtype = hidden_states.dtype if dtype is None else dtype
    needs_gradient = torch.is_grad_enabled() and hidden_states.requires_grad
    last = None if shard is not None or torch.compiler.is_compiling() else _last_input.get()
    if last is not None:
        rounded = _shared_rounding(hidden_states, dtype, share, last)
        return _GivenActivation.apply(hidden_states, rounded) if needs_gradient else rounded
    if needs_gradient:
        return _Int8Activation.apply(hidden_states, dtype, shard, share)
    # In decoding, the overhead of an autograd function is almost as long as its computation.
    return _rounded_activation(hidden_states, dtype, shard, share)


def _shared_rounding(
    hidden_states: torch.Tensor, dtype: torch.dtype, share: torch.Tensor | None, last: list[_RoundedInput]
) -> torch.Tensor:
    """Return the rounded values of an input, without a gradient: those of the last input if it is the same."""
    version = _version(hidden_states)
    for found in last:
        is_same = found.source is hidden_states and found.version == version and found.share is share
        if is_same and found.rounded.dtype == dtype:
            return found.rounded
    rounded = _rounded_activation(hidden_states.detach(), dtype, share=share)
    last[:] = [_RoundedInput(hidden_states, version, share, rounded)]
    return rounded


def _version(weight: torch.Tensor) -> int | None:
    # There is no version in compiled code, and of tensors created in inference mode.
    if torch.compiler.is_compiling() or weight.is_inference():
        return None
    return weight._version


class _KeptWeight(NamedTuple):
    """A quantized weight, the latent weight it was made from, that one's version, and whether it is a mix of both."""

    quantized: torch.Tensor
    source: torch.Tensor
    version: int | None
    is_mix: bool


class BitLinear(NonDynamicallyQuantizableLinear):
    """
    Linear layer with ternary weights and int8 or float inputs (BitNet b1.58, arXiv 2402.17764). Its bias, if it has
    one, is not rounded.

    The parameter `weight` is the latent float weight, which is trained and saved. Every call of the layer quantizes
    it. A model that applies the layer several times per forward pass calls [`BitLinear.keep_quantized_weight`] before
    and [`BitLinear.clear_quantized_weight`] after it, so that all applications use the same quantized weight.

    Quantized weights are kept between passes only in [`LoopLMModel.cached_weights`], because not every change of the
    latent weight can be detected (optimizers that write through pointers, `weight.data` when an adapter is merged).

    Call the layer instead of reading `weight`; [`quantize_weight`] returns the weight that it computes with. Its base
    class is one that PyTorch's quantizers skip.

    Args:
        in_features: Number of inputs.
        out_features: Number of outputs.
        group_size: Number of weights along the input that share a scale; -1 for one scale.
        activation_bits: 8 to quantize the input per token; None to keep it in float.
        bias: Whether the layer has a bias.

    Attributes:
        shard: With tensor parallelism, how the weight is divided. transformers then replaces `weight` with the part of
            the process while the layer is called.
        mix: Shares of ternary and latent values in training mode; None for ternary ones alone, as in evaluation mode,
            in which the layer always computes what is packed and exported.

    Raises:
        ValueError: `weight` is set to a quantized tensor (torchao).
    """

    # transformers then calls the layer with the part of the process instead of a distributed tensor.
    _hf_quantized_needs_local_tp = True

    def __init__(
        self,
        in_features: int,
        out_features: int,
        group_size: int = 128,
        activation_bits: int | None = 8,
        bias: bool = False,
    ):
        super().__init__(in_features, out_features, bias)
        self.group_size = group_size
        self.activation_bits = activation_bits
        self.shard: WeightShard | None = None
        self.mix: TernaryMix | None = None
        self.clear_quantized_weight()

    def __setattr__(self, name: str, value) -> None:
        if name == "weight" and is_traceable_wrapper_subclass(value) and not is_dtensor(value):
            raise ValueError(
                f"the latent weight of a ternary layer must be a plain tensor, got a {type(value).__name__}: "
                "quantized, it would be rounded to another ternary weight. Leave the ternary layers out; pack() "
                "stores them in 2 bits without any error"
            )
        super().__setattr__(name, value)

    def keep_quantized_weight(self, reuse: bool) -> None:
        """Quantize the weight for the next calls; with `reuse`, a weight that is already kept is used."""
        if self.weight.is_meta or self.weight.numel() == 0:
            return  # The weight is not loaded before the layer's own forward (offloading, sharding).
        # With a shard, the weight is a distributed tensor.
        source = self.weight if self.shard is None else self.weight.to_local()  # ty: ignore[missing-attribute]
        if not reuse or self._usable_weight(source) is None:
            self._keep(self._weight_from(source), source)

    def has_kept_weight(self, reuse: bool) -> bool:
        """Whether the next calls need no other quantized weight: with `reuse`, if one that fits is kept."""
        return reuse and self._usable_weight(self.weight) is not None

    def has_whole_weight(self) -> bool:
        """Whether the weight is in memory outside the layer's own forward: not so if it is offloaded or sharded."""
        return not self.weight.is_meta and self.weight.numel() > 0 and not is_dtensor(self.weight)

    def quantized_weight(self) -> torch.Tensor:
        """Quantize the weight for [`BitLinear.keep_given_weight`], which may happen in compiled code."""
        return self._weight_from(self.weight)

    def keep_given_weight(self, quantized: torch.Tensor) -> None:
        """Use the result of [`BitLinear.quantized_weight`] in the next calls."""
        self._keep(quantized, self.weight)

    def clear_quantized_weight(self) -> None:
        """Remove the kept quantized weight."""
        self._kept: _KeptWeight | None = None

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        weight = self._usable_weight(self.weight)
        if weight is None:
            weight = self._weight_from(self.weight)
        if self.activation_bits is not None:
            mix = self._mix_in_use()
            input = quantize_activation(input, weight.dtype, self.shard, None if mix is None else mix.inputs)
        return F.linear(input, weight, self.bias)

    def _mix_in_use(self) -> TernaryMix | None:
        return self.mix if self.training else None

    def _weight_from(self, latent: torch.Tensor) -> torch.Tensor:
        """Compute the layer's weight from its latent weight, or from the part of the process."""
        mix, dtype = self._mix_in_use(), self._compute_dtype()
        if mix is None:
            return quantize_weight(latent, self.group_size, dtype, self.shard)
        quantized = quantize_weight(latent.detach(), self.group_size, latent.dtype, self.shard)
        return mix.weight(quantized, latent).to(dtype)

    def _keep(self, quantized: torch.Tensor, source: torch.Tensor) -> None:
        self._kept = _KeptWeight(quantized, source, _version(source), self._mix_in_use() is not None)

    def _usable_weight(self, weight: torch.Tensor) -> torch.Tensor | None:
        """Return the cached quantized weight if it fits this weight and the current autograd and autocast modes."""
        kept = self._kept  # Read once: another thread may clear it.
        if kept is None:
            return None
        quantized, source = kept.quantized, kept.source
        # The part of a process is a new view in every call.
        is_source = source is weight or (self.shard is not None and source.data_ptr() == weight.data_ptr())
        if not is_source or quantized.dtype != self._compute_dtype():
            return None
        if kept.is_mix != (self._mix_in_use() is not None):
            return None
        # Compiled code would depend on the number; the pass that keeps the weight has just quantized it.
        if not torch.compiler.is_compiling() and kept.version != _version(weight):
            return None
        if torch.is_grad_enabled():
            # A weight from a pass without gradients would silently stop the gradient.
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
