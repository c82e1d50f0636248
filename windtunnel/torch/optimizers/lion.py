"""Lion for torch, which has no class of its own for it."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class Lion(Optimizer):
    """Lion (Chen et al. 2023, algorithm 2): each step moves every entry by the learning rate, up or down.

    Args:
        params: tensors or parameter groups.
        lr: learning rate; about a tenth of AdamW's.
        betas: share of the average in the direction of a step, and in the average that is kept.
        weight_decay: decoupled: a step shrinks the parameters by lr * weight_decay.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Moves every parameter that has a gradient; returns what the closure returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                average = self.state[parameter].setdefault("average", torch.zeros_like(parameter))
                move = torch.lerp(parameter.grad, average, beta1).sign_()
                parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(move, alpha=-group["lr"])
                average.lerp_(parameter.grad, 1 - beta2)
        return loss
