"""Muon for torch, with AdamW for the tensors that are no hidden matrices, as one optimizer."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class Muon(Optimizer):
    """Muon (Jordan et al. 2024) for groups with ``matrix`` true, AdamW for all others: one state_dict, one schedule.

    A step of a matrix is that of torch.optim.Muon, with its iterations in bfloat16 (float64 parameters keep float64); that
    of the others is torch.optim.AdamW's. A weight of more than two dimensions is the matrix [first dimension, all others].

    Parameters may be sharded (``fully_shard``, tensor parallelism): each process gathers one matrix at a time,
    orthogonalises it whole, and keeps its part.

    Args:
        params: parameter groups; ``matrix`` says which rule moves a group.
        lr: learning rate.
        weight_decay: decoupled: a step shrinks the parameters by lr * weight_decay.
        matrix: whether Muon moves the tensors of a group that does not say.
        momentum: share of the average in the momentum of matrices.
        nesterov: whether a matrix moves by the mean of its gradient and its momentum.
        ns_steps: Newton-Schulz iterations.
        adjust_lr_fn: factor on lr of a matrix [A, B]: ``original``, sqrt(max(1, A / B)); ``match_rms_adamw``,
            0.2 sqrt(max(A, B)); ``spectral``, sqrt(A / B).
        betas: averages of AdamW.
        eps: of AdamW.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        matrix: bool = False,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_steps: int = 5,
        adjust_lr_fn: str = "match_rms_adamw",
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float | None = 1e-8,
    ) -> None:
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "matrix": matrix,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
            "betas": betas,
            "eps": eps,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            if group["adjust_lr_fn"] not in ("original", "match_rms_adamw", "spectral"):
                raise ValueError(
                    f"adjust_lr_fn is {group['adjust_lr_fn']!r}; allowed: 'original', 'match_rms_adamw', 'spectral'"
                )
            for parameter in group["params"]:
                if group["matrix"] and parameter.dim() < 2:
                    raise ValueError(
                        f"a tensor of shape {list(parameter.shape)} is in a group with matrix=True; allowed: 2 dimensions "
                        "or more"
                    )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Moves every parameter that has a gradient; returns what the closure returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            move = self._matrix if group["matrix"] else self._adamw
            for parameter in group["params"]:
                if parameter.grad is not None:
                    move(parameter, parameter.grad, group)
        return loss

    def _matrix(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """Moves one matrix against its orthogonalised momentum."""
        state, momentum = self.state[parameter], group["momentum"]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        buffer = state["momentum_buffer"].lerp_(gradient, 1 - momentum)
        ahead = gradient.lerp(buffer, momentum) if group["nesterov"] else buffer
        sharded = hasattr(ahead, "full_tensor")
        whole: Tensor = ahead.full_tensor() if sharded else ahead  # type: ignore[union-attr]
        rows, columns = whole.shape[0], whole[0].numel()
        adjust = {
            "original": math.sqrt(max(1, rows / columns)),
            "match_rms_adamw": 0.2 * math.sqrt(max(rows, columns)),
            "spectral": math.sqrt(rows / columns),
        }[group["adjust_lr_fn"]]
        move = orthogonalise(whole.reshape(rows, columns), group["ns_steps"]).reshape(whole.shape)
        if sharded:
            move = like_sharded(move, parameter)
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(move, alpha=-group["lr"] * adjust)

    def _adamw(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """Moves one tensor as torch.optim.AdamW does."""
        state, (beta1, beta2) = self.state[parameter], group["betas"]
        if "step" not in state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        count, first, second = state["step"].item(), state["exp_avg"], state["exp_avg_sq"]
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        first.lerp_(gradient, 1 - beta1)
        second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        size = (second.sqrt() / math.sqrt(1 - beta2**count)).add_(group["eps"])
        parameter.addcdiv_(first, size, value=-group["lr"] / (1 - beta1**count))


def orthogonalise(matrix: Tensor, steps: int) -> Tensor:
    """A matrix with the same singular vectors and singular values about 1, by Newton-Schulz iterations in bfloat16."""
    found = matrix.clone() if matrix.dtype == torch.float64 else matrix.to(torch.bfloat16)
    tall = found.shape[0] > found.shape[1]
    found = found.mT if tall else found
    found = found / found.norm().clamp(min=1e-7)
    for _ in range(steps):
        gram = found @ found.mT
        mixed = torch.addmm(gram, gram, gram, beta=-4.7750, alpha=2.0315)
        found = torch.addmm(found, mixed, found, beta=3.4445)
    return found.mT if tall else found


def like_sharded(whole: Tensor, parameter: Tensor) -> Tensor:
    """The part of a whole tensor that belongs on this process, sharded as the parameter is; nothing is sent."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(parameter, DTensor)
    return distribute_tensor(whole.to(parameter.dtype), parameter.device_mesh, parameter.placements, src_data_rank=None)
