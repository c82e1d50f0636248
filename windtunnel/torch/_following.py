"""Follows a plan's schedule of regularisers: the optimizer counts its updates and adjusts the regularisers at each."""

from typing import Any

from torch import nn
from torch.optim import Optimizer

from windtunnel.torch._matching import PlanMismatch
from windtunnel.torch._regularisers import Regulariser
from windtunnel.types.following import dropout_labels, followed
from windtunnel.types.plans import TransferPlan
from windtunnel.types.responses import between

UPDATE = "update"
"""Key of a parameter group with the number of updates done; saved and loaded with the optimizer's state."""


def factor(plan: TransferPlan, label: str, update: int) -> float:
    """Factor on the plan's value of a regulariser at an update, counted from 0; 1 if it follows no schedule."""
    lines = followed(plan)
    return between(lines[label], update / plan.steps) if label in lines else 1.0


def updates_of(optimizer: Optimizer) -> int:
    """Number of updates that the plan's optimizer has done.

    Raises:
        PlanMismatch: ``windtunnel.torch.optimizer`` did not make this optimizer, or its plan has no schedule.
    """
    done: int | None = optimizer.param_groups[0].get(UPDATE)
    if done is None:
        raise PlanMismatch("this optimizer does not count updates; use the one of windtunnel.torch.optimizer(model, plan)")
    return done


def follow(optimizer: Optimizer, model: nn.Module, plan: TransferPlan) -> None:
    """Adjust the model's regularisers to the schedule now, after every update, and when the optimizer's state is loaded."""
    layers = [module for module in model.modules() if isinstance(module, Regulariser)]
    if not followed(plan):
        for layer in layers:
            layer.reset()
        return

    def move() -> None:
        for layer in layers:
            layer.set_factor(factor(plan, _label(plan, layer.label), updates_of(optimizer)))

    def after_step(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:  # noqa: ARG001
        for group in optimizer.param_groups:
            group[UPDATE] += 1
        move()

    def after_load(optimizer: Optimizer) -> None:  # noqa: ARG001
        move()

    optimizer.register_step_post_hook(after_step)
    optimizer.register_load_state_dict_post_hook(after_load)
    move()


def _label(plan: TransferPlan, label: str) -> str:
    """Label of the schedule that a layer follows; a layer that the proxy lacks follows that of the proxy's last one."""
    layers = [f"dropout.{layer}" for layer in plan.regularization.layer_dropout]
    return dropout_labels(plan)[layers.index(label)] if label in layers else label
