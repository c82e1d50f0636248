"""Hooks that the plan's optimizer runs before each step: L2 penalty, clipping, and the decay that its class lacks."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from windtunnel.torch._following import factor, updates_of
from windtunnel.torch._holding import held
from windtunnel.torch._matching import MatchedModel, PlanMismatch
from windtunnel.torch._multipliers import hooks_of
from windtunnel.torch._saving import multiplier_of, see_weights, take_up_writes
from windtunnel.torch._sharding import clip, has_gradient
from windtunnel.types.plans import TransferPlan

StepHook = Callable[[Optimizer, tuple[Any, ...], dict[str, Any]], None]
"""A pre-hook of ``torch.optim.Optimizer.step``: takes the optimizer and the arguments of ``step``."""


def refuse_closure(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:  # noqa: ARG001
    """Refuse a step with a closure.

    Raises:
        TypeError: a closure was given; its gradients would not be clipped.
    """
    _, *given = args  # the optimizer itself comes first
    if any(argument is not None for argument in (*given, *kwargs.values())):
        raise TypeError("step() takes no closure here: its gradients would escape the clipping; compute them before")


def clip_before_step(names: list[str], threshold: float) -> StepHook:
    """A hook that clips the gradients of the tensors of these names to a global norm of ``threshold``."""

    def clip_gradients(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:  # noqa: ARG001
        parameters = held(optimizer)
        clip([parameters[name] for name in names], threshold)

    return clip_gradients


def penalise_before_step(plan: TransferPlan) -> StepHook:
    """A hook that adds the gradient of the plan's L2 penalty, scaled by its schedule if it follows one."""

    @torch.no_grad()
    def penalise(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:  # noqa: ARG001
        for group in optimizer.param_groups:
            label = group.get("l2_label")
            penalty = group["l2"] if label is None else group["l2"] * factor(plan, label, updates_of(optimizer))
            for parameter in group["params"]:
                if parameter.grad is not None and penalty > 0:
                    parameter.grad.add_(parameter, alpha=penalty)

    return penalise


def check_that_multipliers_act(model: nn.Module) -> StepHook:
    """A hook that refuses a step if a weight got a gradient without its layer's multiplier.

    That happens when the model reads the weight without calling the layer.
    """

    def check(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:  # noqa: ARG001
        for name, module in model.named_modules():
            for hook in hooks_of(module):
                if not hook.used and has_gradient(module.weight):
                    raise PlanMismatch(
                        f"{name}.weight has forward multiplier {hook.factor:g}, but no forward pass has called {name}: "
                        "call the module instead of reading its weight"
                    )

    return check


def check_multipliers_stay(found: MatchedModel, plan: TransferPlan) -> StepHook:
    """A hook that refuses a step if the model's multipliers are not the plan's any more: folded, or of another plan."""
    layers = [(found.own[row.name], found.owner(row.name), row.multiplier) for row in plan.tensors]
    layers = [each for each in layers if each[0].rpartition(".")[2] == "weight"]

    def check(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:  # noqa: ARG001
        for name, layer, multiplier in layers:
            if (here := multiplier_of(layer)) != multiplier:
                raise PlanMismatch(
                    f"{name} has forward multiplier {here:g} in the model now, and {multiplier:g} in the plan that this "
                    "optimizer's learning rates are of. windtunnel.torch.fold takes multipliers away, and another plan "
                    "changes them: train on from a checkpoint that was saved before"
                )

    return check


def take_up_written_weights(model: nn.Module) -> StepHook:
    """A hook that has the layers take up what was written into the model's state dict since the last step."""

    def take_up(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:  # noqa: ARG001
        for module in model.modules():
            take_up_writes(module)

    return take_up


def see_stepped_weights(model: nn.Module) -> StepHook:
    """A hook, for after a step, that has the layers remember which weights are the step's."""

    def see(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:  # noqa: ARG001
        see_weights(model)

    return see


@torch.no_grad()
def shrink_before_step(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:  # noqa: ARG001
    """Shrink the weights by ``1 - lr * shrinkage`` of their group: a decay that does not go through the momentum."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                parameter.mul_(1 - group["lr"] * group["shrinkage"])
