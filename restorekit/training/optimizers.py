"""Optimizers of training plans: AdamW, and Muon for weights that are matrices."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim import Optimizer

from restorekit.core.precision import has_bfloat16
from restorekit.training.plan import OptimizerPlan

# Smallest side of a matrix that Muon updates by orthogonalized momentum.
MIN_SIDE = 16
# Coefficients of the quintic Newton-Schulz iteration (Jordan et al. 2024, kellerjordan.github.io/posts/muon).
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5
# Root mean square of an update divided by the learning rate, about that of AdamW (Liu et al. 2025, arXiv 2502.16982).
UPDATE_RMS = 0.2
EPS = 1e-8


def build_optimizer(plan: OptimizerPlan, parameters: Iterable[Tensor]) -> Optimizer:
    """Return the optimizer of a plan."""
    if plan.name == "adamw":
        return torch.optim.AdamW(parameters, lr=plan.lr, betas=plan.betas, weight_decay=plan.weight_decay)
    return Muon(parameters, lr=plan.lr, momentum=plan.momentum, betas=plan.betas, weight_decay=plan.weight_decay)


def check_state(optimizer: Optimizer, saved: Any) -> None:
    """Raise ValueError if a saved state dict does not fit the parameters of an optimizer of `build_optimizer`."""
    expected = optimizer.state_dict()["param_groups"]
    try:
        groups = [group["params"] for group in saved["param_groups"]]
        states = dict(saved["state"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("optimizer is not the state of an optimizer") from error
    if groups != [group["params"] for group in expected]:
        raise ValueError("optimizer: found other parameter groups")
    for group, own in zip(expected, optimizer.param_groups, strict=True):
        names = {"momentum"} if own.get("matrices") else {"step", "exp_avg", "exp_avg_sq"}
        for index, parameter in zip(group["params"], own["params"], strict=True):
            state = states.pop(index, None)
            if state is not None and not (isinstance(state, dict) and state.keys() == names):
                allowed = ", ".join(sorted(names))
                raise ValueError(f"optimizer: found an invalid state of parameter {index}, allowed: {allowed}")
            for name, value in (state or {}).items():
                if not _is_valid(value, () if name == "step" else parameter.shape):
                    raise ValueError(f"optimizer: {name} of parameter {index} is invalid")
    if states:
        raise ValueError("optimizer: found states of unknown parameters")


def _is_valid(value: Any, shape: tuple[int, ...]) -> bool:
    """Return True for a finite real tensor of the shape; for shape (), a number is also valid."""
    if isinstance(value, Tensor):
        return value.shape == shape and not value.is_complex() and bool(value.isfinite().all())
    return shape == () and isinstance(value, int | float) and math.isfinite(value)


def matrix_shape(weight: Tensor) -> tuple[int, int]:
    """Return the outputs and inputs of a weight; a convolution weight (O, I, kh, kw) is a matrix O x (I * kh * kw)."""
    if weight.ndim < 2 or weight.numel() == 0:
        return (0, 0)
    return weight.shape[0], weight.numel() // weight.shape[0]


def orthogonalize(matrices: Tensor) -> Tensor:
    """Move the singular values of matrices (N, rows, columns) close to 1 by five Newton-Schulz steps.

    The result approximates U V^T of the singular value decomposition U S V^T. Singular values above 0.01 of the
    Frobenius norm end between 0.7 and 1.2. The iteration tolerates bfloat16, which is used where the device computes
    with it in hardware; it then takes half the time of float32.
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-20)
    x = x.bfloat16() if has_bfloat16(x.device) else x.float()
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)


class Muon(Optimizer):
    """Momentum orthogonalized by Newton-Schulz for matrices of at least 16 x 16, AdamW for all other parameters.

    A convolution weight counts as the matrix outputs x (inputs * kernel height * kernel width). The update of a matrix
    is lr * 0.2 * sqrt(max(outputs, inputs)) * orthogonalize(Nesterov momentum) (Jordan et al. 2024; the scale is that
    of Liu et al. 2025, equation 4), so that one learning rate and one weight decay serve both kinds of parameters.
    `torch.optim.Muon` is not used: it exists only since torch 2.9, accepts only 2-D parameters, and updates one matrix
    at a time. Matrices of equal shape are updated together here.

    Arguments:
        parameters: parameters of all shapes; they are assigned to the two parameter groups by their shape.
        lr: learning rate of both groups.
        momentum: Nesterov momentum of the matrices.
        betas: betas of AdamW.
        weight_decay: decoupled weight decay of both groups.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        *,
        lr: float,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
    ) -> None:
        kinds: dict[bool, list[Tensor]] = {True: [], False: []}
        for parameter in parameters:
            kinds[min(matrix_shape(parameter)) >= MIN_SIDE].append(parameter)
        groups = [{"params": members, "matrices": kind} for kind, members in kinds.items() if members]
        super().__init__(groups, {"lr": lr, "momentum": momentum, "betas": betas, "weight_decay": weight_decay})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Perform a single optimization step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if group["matrices"]:
                by_shape: dict[tuple[int, int], list[Tensor]] = {}
                for parameter in parameters:
                    by_shape.setdefault(matrix_shape(parameter), []).append(parameter)
                for shape, weights in by_shape.items():
                    self._step_matrices(group, weights, max(shape))
            elif parameters:
                self._step_adamw(group, parameters)
        return loss

    def _step_matrices(self, group: dict[str, Any], weights: list[Tensor], side: int) -> None:
        """Update weights that are matrices of one shape."""
        grads = [weight.grad for weight in weights if weight.grad is not None]
        momenta = self._averages(weights, "momentum")
        torch._foreach_lerp_(momenta, grads, 1 - group["momentum"])
        nesterov = torch._foreach_lerp(grads, momenta, group["momentum"])
        directions = orthogonalize(torch.stack([direction.flatten(1) for direction in nesterov]))
        updates = [direction.view(weight.shape) for direction, weight in zip(directions, weights, strict=True)]
        torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(weights, updates, alpha=-group["lr"] * UPDATE_RMS * math.sqrt(side))

    def _step_adamw(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        """Update parameters as `torch.optim.AdamW` does."""
        grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
        first, second = group["betas"]
        means, squares = self._averages(parameters, "exp_avg"), self._averages(parameters, "exp_avg_sq")
        steps = []
        for parameter in parameters:
            state = self.state[parameter]
            state["step"] = state.get("step", 0) + 1
            steps.append(state["step"])
        torch._foreach_lerp_(means, grads, 1 - first)
        torch._foreach_mul_(squares, second)
        torch._foreach_addcmul_(squares, grads, grads, 1 - second)
        scale = torch._foreach_sqrt(squares)
        torch._foreach_div_(scale, [math.sqrt(1 - second**step) for step in steps])
        torch._foreach_add_(scale, EPS)
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_addcdiv_(parameters, means, scale, [-group["lr"] / (1 - first**step) for step in steps])

    def _averages(self, parameters: list[Tensor], name: str) -> list[Tensor]:
        """Return one moving average of each parameter, zero at first."""
        for parameter in parameters:
            if name not in self.state[parameter]:
                self.state[parameter][name] = torch.zeros_like(parameter)
        return [self.state[parameter][name] for parameter in parameters]
