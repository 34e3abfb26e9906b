"""Muon for the hidden matrices, Lion for everything else, in one optimizer."""

from collections.abc import Callable, Iterator
from functools import cache
from itertools import chain
from typing import Any, Literal, get_args

import torch
from torch import nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from trainers.hardware import has_fast_bf16

LionName = Literal["bitsandbytes", "bitsandbytes_8bit", "torch"]
DEFAULTS = {
    "muon": {"lr": 0.02, "momentum": 0.95, "weight_decay": 0.0},
    "lion": {"lr": 1e-4, "betas": (0.9, 0.99), "weight_decay": 0.0, "implementation": "torch"},
}
# The defaults of torch.optim.Muon.
NEWTON_SCHULZ_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5
SMALLEST_NORM = 1e-7
# Maximum size of a stack of matrices in Muon's step: 256 MB of updates in fp32, and half of that for each intermediate
# result in bf16.
STACK_NUMBERS: int = 2**26
# As in bitsandbytes: smaller tensors keep a 32-bit state, others are quantized in blocks of 256.
SMALLEST_8BIT_TENSOR = 4096
BLOCK_SIZE = 256


class MuonAndLion(Optimizer):
    """
    Muon and Lion in one optimizer; the `kind` of a parameter group says which of them updates it.

    - `muon` takes matrices only. The update is orthogonalized and scaled by `max(1, rows / columns) ** 0.5` (the
      "original" adjustment of [`torch.optim.Muon`]), with Nesterov momentum. The Newton-Schulz iteration runs in bf16
      where that is fast, and in fp32 elsewhere; on GPUs for all matrices of a shape together.
    - `lion` takes any tensor: `update = sign(beta1 m + (1 - beta1) g)`, `m <- beta2 m + (1 - beta2) g` (Chen et al.,
      2023, arXiv 2302.06675, Program 1). Its `implementation` is bitsandbytes' kernel with a 32-bit or an 8-bit
      state, or plain PyTorch. The kernels need whole, contiguous tensors; other tensors, such as FSDP2's shards, are
      updated in plain PyTorch.

    Weight decay is decoupled. The state of a parameter is its `momentum_buffer`, and in 8 bits also the `absmax` of
    its blocks.

    Args:
        params: Parameter groups: dictionaries of `params`, `kind`, and settings that differ from `DEFAULTS[kind]`.
    """

    def __init__(self, params: list[dict[str, Any]]):
        super().__init__(params, {})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """
        Add a group.

        Raises:
            ValueError: The kind or the implementation is unknown, or a tensor of kind `muon` is not a matrix.
        """
        kind = param_group.get("kind")
        if kind not in DEFAULTS:
            raise ValueError(f"the kind of a parameter group must be one of {', '.join(DEFAULTS)}, got {kind!r}")
        implementation = param_group.get("implementation", "torch")
        if implementation not in get_args(LionName):
            raise ValueError(f"implementation must be one of {', '.join(get_args(LionName))}, got {implementation!r}")
        super().add_param_group(DEFAULTS[kind] | param_group)
        shapes = [tuple(parameter.shape) for parameter in self.param_groups[-1]["params"]]
        if kind == "muon" and any(len(shape) != 2 for shape in shapes):
            self.param_groups.pop()
            raise ValueError(f"a group of kind muon must hold matrices only, got the shapes {shapes}")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update the parameters once; return the value of the closure."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            update = self._muon if group["kind"] == "muon" else self._lion
            update(group, [parameter for parameter in group["params"] if parameter.grad is not None])
        return loss

    def _muon(self, group: dict[str, Any], parameters: list[torch.Tensor]) -> None:
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter]["momentum_buffer"] = torch.zeros_like(_gradient(parameter))
        for stack in _stacks(parameters):
            gradients = [_gradient(parameter) for parameter in stack]
            momenta = [self.state[parameter]["momentum_buffer"] for parameter in stack]
            torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
            updates = torch._foreach_lerp(gradients, momenta, group["momentum"])
            if len(stack) == 1:
                updates = [orthogonalized(updates[0])]
            else:
                updates = orthogonalized(torch.stack(updates)).unbind()
            scale = max(1, stack[0].shape[0] / stack[0].shape[1]) ** 0.5
            for parameter, update in zip(stack, updates, strict=True):
                parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-group["lr"] * scale)

    def _lion(self, group: dict[str, Any], parameters: list[torch.Tensor]) -> None:
        plain = []
        for parameter in parameters:
            has_kernel = (
                group["implementation"] != "torch" and parameter.is_contiguous() and not isinstance(parameter, DTensor)
            )
            state = self.state[parameter]
            if not state:
                state |= _lion_state(parameter, has_kernel, in_8_bits=group["implementation"] == "bitsandbytes_8bit")
            if has_kernel:
                _step_by_kernel(parameter, state, group)
            else:
                plain.append(parameter)
        if plain:
            self._lion_in_pytorch(group, plain)

    def _lion_in_pytorch(self, group: dict[str, Any], parameters: list[torch.Tensor]) -> None:
        beta1, beta2 = group["betas"]
        gradients = [parameter.grad for parameter in parameters]
        momenta = [self.state[parameter]["momentum_buffer"] for parameter in parameters]
        if group["weight_decay"]:
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        updates = torch._foreach_lerp(momenta, gradients, 1 - beta1)
        torch._foreach_sign_(updates)
        torch._foreach_add_(parameters, updates, alpha=-group["lr"])
        torch._foreach_lerp_(momenta, gradients, 1 - beta2)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """
        Load a state.

        Raises:
            ValueError: The state belongs to an optimizer with other groups.
        """
        saved: dict[str, Any] = {}

        def check(_, final: dict[str, Any]) -> None:
            _check_kinds(final, [group["kind"] for group in self.param_groups])
            saved.update(final)

        # After other hooks that change the state, and before hooks that read what was loaded.
        hooks = (
            self.register_load_state_dict_pre_hook(check),
            self.register_load_state_dict_post_hook(lambda _: self._restore_types(saved), prepend=True),
        )
        try:
            super().load_state_dict(state_dict)
        finally:
            for hook in hooks:
                hook.remove()

    def _restore_types(self, saved: dict[str, Any]) -> None:
        """Undo PyTorch's cast of every state to its parameter's type, which would spoil 8-bit codes."""
        indices = chain.from_iterable(group["params"] for group in saved["param_groups"])
        parameters = chain.from_iterable(group["params"] for group in self.param_groups)
        for index, parameter in zip(indices, parameters, strict=True):
            for name, value in saved["state"].get(index, {}).items():
                if value.dtype != parameter.dtype:
                    self.state[parameter][name] = value.to(parameter.device)


def _check_kinds(state_dict: dict[str, Any], kinds: list[str]) -> None:
    if "param_groups" not in state_dict:
        raise ValueError(
            f"the optimizer's state must hold state and param_groups, got {', '.join(map(str, state_dict))}; from "
            "a checkpoint of an older version of this project only the weights can be used"
        )
    found = [group.get("kind") for group in state_dict["param_groups"]]
    if found != kinds:
        raise ValueError(f"the optimizer's state must have groups of the kinds {kinds}, got {found}")


def _gradient(parameter: torch.Tensor) -> torch.Tensor:
    assert parameter.grad is not None, "only parameters with a gradient are updated"
    return parameter.grad


def _stacks(matrices: list[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """
    Divide matrices into lists of equal shape that are orthogonalized together. On GPUs a list takes a few large
    kernels instead of many small ones. On CPUs that gains nothing, and shards cannot be stacked: each is alone there.
    """
    groups: dict[tuple[Any, ...], list[torch.Tensor]] = {}
    for matrix in matrices:
        together = is_stacked(matrix)
        groups.setdefault((together, matrix.shape, matrix.dtype, matrix.device), []).append(matrix)
    for (together, *_), equal in groups.items():
        size = max(1, STACK_NUMBERS // equal[0].numel()) if together else 1
        yield from (equal[start : start + size] for start in range(0, len(equal), size))


def is_stacked(matrix: torch.Tensor) -> bool:
    """Whether Muon orthogonalizes a matrix together with others of its shape: on GPUs, unless it is sharded."""
    return matrix.is_cuda and not isinstance(matrix, DTensor)


def orthogonalized(matrices: torch.Tensor) -> torch.Tensor:
    """
    Matrices of the same shape with all singular values near 1, by the quintic Newton-Schulz iteration: in bf16 where
    that is fast, in fp32 where PyTorch's bf16 matrix product would take a hundred times longer.

    Args:
        matrices: One matrix, or several of shape `(count, rows, columns)`.
    """
    a, b, c = NEWTON_SCHULZ_COEFFICIENTS
    in_bf16 = has_fast_bf16()
    product_and_sum = torch.addmm if matrices.ndim == 2 else torch.baddbmm
    x = matrices.to(torch.bfloat16 if in_bf16 else torch.float32)
    is_tall = x.shape[-2] > x.shape[-1]
    if is_tall:
        x = x.mT
    norm = x.norm() if matrices.ndim == 2 else x.norm(dim=(-2, -1), keepdim=True)
    x = x / norm.clamp(min=SMALLEST_NORM)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        polynomial = product_and_sum(gram, gram, gram, beta=b, alpha=c)
        # In bf16 product and sum are rounded once, as in torch.optim.Muon.
        x = product_and_sum(x, polynomial, x, beta=a) if in_bf16 else a * x + polynomial @ x
    return x.mT if is_tall else x


def _lion_state(parameter: torch.Tensor, has_kernel: bool, in_8_bits: bool) -> dict[str, torch.Tensor]:
    if not has_kernel:
        return {"momentum_buffer": torch.zeros_like(parameter)}
    if not in_8_bits or parameter.numel() < SMALLEST_8BIT_TENSOR:
        return {"momentum_buffer": torch.zeros_like(parameter, dtype=torch.float32)}
    blocks = -(-parameter.numel() // BLOCK_SIZE)
    return {
        "momentum_buffer": torch.zeros_like(parameter, dtype=torch.uint8),
        "absmax": torch.zeros(blocks, dtype=torch.float32, device=parameter.device),
    }


@cache
def _quantiles(device: torch.device) -> torch.Tensor:
    """Values of bitsandbytes' 256 8-bit codes, as fractions of a block's absolute maximum."""
    import bitsandbytes.functional

    return bitsandbytes.functional.create_dynamic_map(signed=True).to(device)


def _step_by_kernel(parameter: torch.Tensor, state: dict[str, torch.Tensor], group: dict[str, Any]) -> None:
    # Imported late: it searches for GPUs, which takes a while.
    import bitsandbytes.functional as kernels

    beta1, beta2 = group["betas"]
    common: dict[str, Any] = dict(
        optimizer_name="lion",
        g=parameter.grad.contiguous(),
        p=parameter,
        state1=state["momentum_buffer"],
        beta1=beta1,
        beta2=beta2,
        eps=0.0,
        lr=group["lr"],
        weight_decay=group["weight_decay"],
        step=1,  # Lion does not use it
    )
    if "absmax" in state:
        kernels.optimizer_update_8bit_blockwise(
            **common,
            state2=None,
            beta3=0.0,
            alpha=0.0,
            qmap1=_quantiles(parameter.device),
            qmap2=None,
            absmax1=state["absmax"],
            absmax2=None,
        )
    else:
        kernels.optimizer_update_32bit(**common)


def hidden_matrices(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Names and weights of the trainable attention and MLP projections in the shared blocks, which Muon updates."""
    return [
        (name, parameter)
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and ".layers." in f".{name}" and name.endswith("_proj.weight")
    ]


def muon_and_lion(
    model: nn.Module, muon_lr: float, lion_lr: float, weight_decay: float, lion: LionName
) -> MuonAndLion:
    """
    Make one optimizer of the trainable parameters, with a peak learning rate for each group.

    Args:
        model: Model to train.
        muon_lr: Peak learning rate of the hidden matrices.
        lion_lr: Peak learning rate of embedding, head, norms, gate and streams.
        weight_decay: Decoupled weight decay of the hidden matrices; the other parameters have none.
        lion: Implementation of Lion: bitsandbytes with a 32- or 8-bit state, or plain PyTorch. Sharded parameters
            (FSDP2) always take plain PyTorch.
    """
    matrices = hidden_matrices(model)
    chosen = {name for name, _ in matrices}
    groups = [
        {"kind": "muon", "params": [matrix for _, matrix in matrices], "lr": muon_lr, "weight_decay": weight_decay},
        {
            "kind": "lion",
            "params": [p for name, p in model.named_parameters() if p.requires_grad and name not in chosen],
            "lr": lion_lr,
            "implementation": lion,
        },
    ]
    return MuonAndLion([group for group in groups if group["params"]])


def give_own_lr(optimizer: Optimizer, parameter: nn.Parameter, name: str, multiplier: float) -> None:
    """
    Move a parameter into a parameter group of its own, with the settings of its former group and another learning
    rate. A schedule must be made afterwards.

    Args:
        optimizer: Optimizer of the parameter.
        parameter: The parameter.
        name: Name of the new group, in its entry `name`.
        multiplier: Factor of the learning rate.
    """
    group = next(group for group in optimizer.param_groups if any(each is parameter for each in group["params"]))
    group["params"] = [each for each in group["params"] if each is not parameter]
    optimizer.add_param_group(group | {"params": [parameter], "name": name, "lr": multiplier * group["lr"]})
