"""Muon for the hidden matrices, Lion for everything else, as one optimizer."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import nn
from torch.distributed.tensor import DTensor
from torch.optim import Muon, Optimizer

from trainers.hardware import has_fast_bf16

LionName = Literal["bitsandbytes", "bitsandbytes_8bit", "torch"]


class Lion(Optimizer):
    """
    Lion in plain PyTorch, which also works on sharded parameters.

    `update = sign(beta1 m + (1 - beta1) g)`, `m <- beta2 m + (1 - beta2) g` (Chen et al., 2023, arXiv 2302.06675,
    Program 1); weight decay is decoupled.
    """

    def __init__(self, params, lr: float, betas: tuple[float, float] = (0.9, 0.99), weight_decay: float = 0.0):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step; returns what the closure returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            params = [param for param in group["params"] if param.grad is not None]
            if not params:
                continue
            gradients = [param.grad for param in params]
            momenta = [self._momentum(param) for param in params]
            if group["weight_decay"]:
                torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
            updates = torch._foreach_lerp(momenta, gradients, 1 - beta1)
            torch._foreach_sign_(updates)
            torch._foreach_add_(params, updates, alpha=-group["lr"])
            torch._foreach_lerp_(momenta, gradients, 1 - beta2)
        return loss

    def _momentum(self, param: torch.Tensor) -> torch.Tensor:
        state = self.state[param]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(param)
        return state["momentum"]


class Float32Muon(Muon):
    """
    [`torch.optim.Muon`] with its Newton-Schulz iteration in fp32, for processors without bf16 instructions: there
    PyTorch's bf16 matrix product makes a step take a hundred times longer. Momentum, Nesterov, weight decay and the
    learning rate's scaling ("original") are the same.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step; returns what the closure returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None:
                    continue
                state = self.state[param]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(param.grad)
                momentum = state["momentum_buffer"].lerp_(param.grad, 1 - group["momentum"])
                update = param.grad.lerp(momentum, group["momentum"]) if group["nesterov"] else momentum
                update = orthogonalized(update, group["ns_coefficients"], group["ns_steps"], group["eps"])
                scale = max(1, param.shape[0] / param.shape[1]) ** 0.5
                param.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-group["lr"] * scale)
        return loss


def orthogonalized(
    matrix: torch.Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> torch.Tensor:
    """A matrix of the same shape with all singular values near 1, by the quintic Newton-Schulz iteration in fp32."""
    a, b, c = coefficients
    wide = matrix.shape[0] <= matrix.shape[1]
    x = (matrix if wide else matrix.t()).float()
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.t()
        x = a * x + torch.addmm(gram, gram, gram, beta=b, alpha=c) @ x
    return (x if wide else x.t()).to(matrix.dtype)


class CombinedOptimizer(Optimizer):
    """
    Several optimizers behind one: steps them together, and saves and loads their states by name.

    `param_groups` are the parts' own groups, so a scheduler that scales each group's learning rate works as it is.
    """

    def __init__(self, parts: dict[str, Optimizer]):
        # Not super().__init__: it would make param_groups of its own.
        self.parts = parts
        self.defaults: dict[str, Any] = {}
        self.state: defaultdict = defaultdict(dict)
        self.param_groups = [group for part in parts.values() for group in part.param_groups]
        for hooks in ("step_pre", "step_post", "state_dict_pre", "state_dict_post", "load_state_dict_pre"):
            setattr(self, f"_optimizer_{hooks}_hooks", {})
        self._optimizer_load_state_dict_post_hooks = {}

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step of every part; the closure, if any, is evaluated once before them."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts.values():
            part.step()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        for part in self.parts.values():
            part.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """The parts' states under their names."""
        return {name: part.state_dict() for name, part in self.parts.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Raises `ValueError` when the state is one of other parts."""
        if state_dict.keys() != self.parts.keys():
            raise ValueError(
                f"the optimizer's state must be one of {', '.join(self.parts)}, got {', '.join(map(str, state_dict))}"
            )
        for name, part in self.parts.items():
            part.load_state_dict(state_dict[name])
        self.param_groups = [group for part in self.parts.values() for group in part.param_groups]

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        raise NotImplementedError("Parameters cannot be added: which part they belong to is decided at the start.")


def hidden_matrices(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """The trainable weights of attention and MLP in the shared blocks, with their names: what Muon is for."""
    return [
        (name, parameter)
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and ".layers." in f".{name}" and name.endswith("_proj.weight")
    ]


def muon_and_lion(model: nn.Module, muon_lr: float, lion_lr: float, weight_decay: float, lion: LionName) -> Optimizer:
    """
    One optimizer over the trainable parameters, each group at its own peak learning rate.

    Args:
        muon_lr: Of the hidden matrices. Muon's update is orthogonal and scaled by `max(1, rows / columns) ** 0.5`
            ("original"); its momentum is 0.95 with Nesterov, its Newton-Schulz iteration in bf16 where that is fast.
        lion_lr: Of embedding, head, norms, gate and streams.
        weight_decay: Decoupled, on the hidden matrices alone.
        lion: bitsandbytes' Lion with 32- or 8-bit state, or the one in plain PyTorch. Parameters that are sharded
            (FSDP2) need the latter, and get it.
    """
    matrices = hidden_matrices(model)
    chosen = {name for name, _ in matrices}
    rest = [p for name, p in model.named_parameters() if p.requires_grad and name not in chosen]
    weights = [parameter for _, parameter in matrices]
    parts: dict[str, Optimizer] = {}
    if weights:
        muon = Muon if has_fast_bf16() else Float32Muon
        parts["muon"] = muon(weights, lr=muon_lr, weight_decay=weight_decay, momentum=0.95, adjust_lr_fn="original")
    if rest:
        parts["lion"] = _lion(rest, lion_lr, lion)
    return CombinedOptimizer(parts)


def _is_sharded(parameters: Iterable[nn.Parameter]) -> bool:
    return any(isinstance(parameter, DTensor) for parameter in parameters)


def _lion(parameters: list[nn.Parameter], lr: float, name: LionName) -> Optimizer:
    if name == "torch" or _is_sharded(parameters):
        return Lion(parameters, lr)
    # Imported late: it looks for GPUs and takes a while.
    import bitsandbytes

    return bitsandbytes.optim.Lion(parameters, lr, optim_bits=8 if name == "bitsandbytes_8bit" else 32)
