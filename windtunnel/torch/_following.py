"""A plan's schedule of regularisers, followed: the optimizer counts its updates, and what moves is told at each."""

from typing import Any

from torch import nn
from torch.optim import Optimizer

from windtunnel.torch._fit import PlanMismatch
from windtunnel.torch._regularisers import Regulariser
from windtunnel.types.following import dropout_labels, followed
from windtunnel.types.plans import TransferPlan
from windtunnel.types.responses import between

UPDATE = "update"
"""Key of a parameter group that counts the updates done; saved and loaded with the optimizer's state."""


def factor(plan: TransferPlan, label: str, update: int) -> float:
    """What the plan's value of a regulariser is multiplied by at an update, counted from 0; 1 where it stands still."""
    lines = followed(plan)
    return between(lines[label], update / plan.steps) if label in lines else 1.0


def updates_of(optimizer: Optimizer) -> int:
    """Updates that the plan's optimizer has done.

    Raises:
        PlanMismatch: the optimizer is none that ``windtunnel.torch.optimizer`` made for a plan with a schedule.
    """
    done: int | None = optimizer.param_groups[0].get(UPDATE)
    if done is None:
        raise PlanMismatch("this optimizer does not count updates; use the one of windtunnel.torch.optimizer(model, plan)")
    return done


def follow(optimizer: Optimizer, model: nn.Module, plan: TransferPlan) -> None:
    """Move the model's regularisers now and after every update of the optimizer, and when its state is loaded."""
    layers = [module for module in model.modules() if isinstance(module, Regulariser)]
    if not followed(plan):
        for layer in layers:
            layer.rest()
        return

    def move() -> None:
        for layer in layers:
            layer.move(factor(plan, _label(plan, layer.label), updates_of(optimizer)))

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
    """A layer that the proxy does not have moves as its last one does."""
    layers = [f"dropout.{layer}" for layer in plan.regularization.layer_dropout]
    return dropout_labels(plan)[layers.index(label)] if label in layers else label
