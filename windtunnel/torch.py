"""Apply a transfer plan to a model of your own: initial weights, forward multipliers, optimizer groups, schedule.

Needs torch and the wire types, nothing else::

    plan = TransferPlan.model_validate_json(Path("plan.json").read_text())
    optimizer = windtunnel.torch.optimizer(model, plan)      # initialises the model, too
    schedule = windtunnel.torch.schedule(optimizer, plan)
    for inputs, labels in batches:
        optimizer.zero_grad()
        cross_entropy(model(inputs), labels).backward()
        optimizer.step()
        schedule.step()

What acts in the forward pass or in the loss is the model's and the loop's to do; ``plan.in_your_loop`` says what there is.
``criterion`` is the plan's loss, ``GaussianDropout`` and ``GaussianNoise`` are its regularisers.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from windtunnel import schedules
from windtunnel.torch_loss import GaussianDropout, GaussianNoise, criterion
from windtunnel.types.plans import TensorRow, TransferPlan

__all__ = [
    "GaussianDropout",
    "GaussianNoise",
    "PlanMismatch",
    "ScaleInput",
    "ScaleOutput",
    "apply",
    "criterion",
    "multiplier",
    "optimizer",
    "schedule",
]

ParameterGroup = dict[str, Any]


class PlanMismatch(ValueError):
    """The plan was made for another model, or for another optimizer."""


def apply(
    model: nn.Module, plan: TransferPlan, *, seed: int | None = None, generator: torch.Generator | None = None
) -> list[ParameterGroup]:
    """Initialise the model as the plan says, attach its forward multipliers, return parameter groups for torch.optim.

    Give the groups to the optimizer that the plan names: ``torch.optim.SGD``, ``Adam`` or ``AdamW``. Each group
    carries its learning rate, decay, and the plan's momentum, betas and eps, so no other argument is needed. Clipping
    (``plan.clip_norm``) and the schedule are left to the loop; ``optimizer`` and ``schedule`` do them as well.

    Applying again starts afresh: weights are drawn anew and multipliers are replaced, not multiplied twice.

    Args:
        model: any module whose parameters have the plan's names and shapes, before it is wrapped or compiled.
        plan: the transfer plan.
        seed: of the initial weights; the tuning job's seed by default.
        generator: a CPU generator to draw them from, instead of a seed. Values are drawn in the order of
            ``plan.tensors``, in float32, for normally distributed tensors only.

    Raises:
        PlanMismatch: names or shapes differ (all differences are listed, and the model is left as it was), or the plan's
            decay is one that ``torch.optim.SGD`` does not have, or the plan has an L2 penalty.
        ValueError: both a seed and a generator were given.
    """
    if plan.optimizer == "sgd" and plan.decay != "l2" and _decays(plan):
        raise PlanMismatch(
            f"the plan's decay is {plan.decay}, and torch.optim.SGD has only L2; use "
            "windtunnel.torch.optimizer(model, plan), which initialises the model and adds that decay to every step"
        )
    if any(row.l2 > 0 for row in plan.tensors):
        raise PlanMismatch(
            "the plan has an L2 penalty in its training loss, which no optimizer group can hold; use "
            "windtunnel.torch.optimizer(model, plan), which adds its gradient before every step"
        )
    return _apply(model, plan, _generator(plan, seed, generator))


def optimizer(
    model: nn.Module, plan: TransferPlan, *, seed: int | None = None, generator: torch.Generator | None = None
) -> Optimizer:
    """``apply``, then the plan's optimizer over its groups.

    Before every step it adds the gradient of the plan's L2 penalty and clips by the plan's global norm. Under SGD with
    decoupled or independent decay, which ``torch.optim.SGD`` does not have, it then shrinks the weights
    (``w <- (1 - lr wd) w``, not through the momentum).
    ``step`` takes no closure.

    To go on from a checkpoint, call this on the fresh model and then load both state dicts.

    Args:
        model: as for ``apply``.
        plan: as for ``apply``.
        seed: as for ``apply``.
        generator: as for ``apply``.

    Raises:
        PlanMismatch: as ``apply``, but no decay or penalty is refused. Also at the first step where the multiplier of an
            embedding had no effect, because the model reads its weight without calling the module.
        ValueError: both a seed and a generator were given.
    """
    groups = _apply(model, plan, _generator(plan, seed, generator))
    built: Optimizer = {"sgd": SGD, "adam": Adam, "adamw": AdamW}[plan.optimizer](groups)
    built.register_step_pre_hook(_refuse_closure)
    built.register_step_pre_hook(_check_that_embeddings_are_called(model))
    if any(row.l2 > 0 for row in plan.tensors):
        built.register_step_pre_hook(_penalise_before_step)
    if plan.clip_norm is not None:
        parameters = dict(model.named_parameters())
        built.register_step_pre_hook(_clip_before_step([parameters[row.name] for row in plan.tensors], plan.clip_norm))
    if plan.optimizer == "sgd" and plan.decay != "l2":
        built.register_step_pre_hook(_shrink_before_step)
    return built


def schedule(optimizer: Optimizer, plan: TransferPlan) -> LambdaLR:
    """The plan's schedule over ``plan.steps`` steps; call its ``step()`` after every optimizer step.

    Every group keeps its own peak learning rate. Decoupled, independent and L2 decay alike follow the schedule.
    """
    return LambdaLR(optimizer, lambda step: multiplier(plan, step))


def multiplier(plan: TransferPlan, step: int) -> float:
    """Learning-rate multiplier of an optimizer step, counted from 0; after the last step its final value.

    Schedules stretch over ``plan.steps``: their lengths are shares of the run. ``gpt3`` with token counts does not, and it
    goes on after the last step.
    """
    return schedules.multiplier(plan.schedule, step, plan.steps, plan.tokens_per_step)


class ScaleInput:
    """Forward pre-hook that scales the input of a linear or convolution layer.

    By c, the layer computes (c W) x + b, and W's gradient gets the c. That is exact for any update rule and clip threshold,
    and the stored weight stays what the plan says.
    """

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(
        self,
        module: nn.Module,  # noqa: ARG002 - torch passes it
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Scale the layer's one input, however it was passed."""
        return tuple(value * self.factor for value in args), {key: value * self.factor for key, value in kwargs.items()}


class ScaleOutput:
    """Forward hook that scales what an embedding gives: its inputs are indices."""

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self.used = False

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:  # noqa: ARG002
        """Scale the output."""
        self.used = True
        return output * self.factor


def _apply(model: nn.Module, plan: TransferPlan, generator: torch.Generator) -> list[ParameterGroup]:
    parameters = dict(model.named_parameters())
    _check(parameters, plan)
    owners = {row.name: _owner(model, row) for row in plan.tensors if row.role == "output" or row.multiplier != 1}
    with torch.no_grad():
        for row in plan.tensors:
            values = torch.full(row.shape, row.init_value)
            if row.init == "normal":
                values = torch.randn(row.shape, generator=generator) * row.init_std
            parameters[row.name].copy_(values)
    for row in plan.tensors:
        if row.name in owners:
            _scale(owners[row.name], row.multiplier)
    return list(_groups(parameters, plan))


def _generator(plan: TransferPlan, seed: int | None, generator: torch.Generator | None) -> torch.Generator:
    if generator is None:
        return torch.Generator().manual_seed(plan.provenance.seed if seed is None else seed)
    if seed is not None:
        raise ValueError("give a seed or a generator, not both")
    return generator


def _check(parameters: Mapping[str, Tensor], plan: TransferPlan) -> None:
    """Raise with every difference between the model and the plan at once."""
    planned = {row.name: tuple(row.shape) for row in plan.tensors}
    shared = [name for name in planned if name in parameters]
    differences = {
        "the model lacks": [f"{name} {list(planned[name])}" for name in planned if name not in parameters],
        "the plan does not know": [f"{name} {list(parameters[name].shape)}" for name in parameters if name not in planned],
        "other shapes": [
            f"{name} is {list(parameters[name].shape)} in the model, {list(planned[name])} in the plan"
            for name in shared
            if tuple(parameters[name].shape) != planned[name]
        ],
    }
    if any(differences.values()):
        found = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in differences.items() if names)
        raise PlanMismatch(
            f"the model does not fit the plan (width {plan.width}, depth {plan.depth}, {plan.features} features, "
            f"{plan.classes} classes). {found}. Build the model at the plan's size with these parameter names, "
            "and apply the plan before wrapping or compiling it; or ask for a plan of the model's size"
        )
    if any(parameters[name].is_meta for name in planned):
        raise PlanMismatch("the model is on the meta device, which holds no values; call model.to_empty(device=...) first")


LINEAR_IN_THEIR_INPUT = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def _owner(model: nn.Module, row: TensorRow) -> nn.Module:
    """The layer whose weight this is: of a kind whose output is linear in its weight."""
    path, _, attribute = row.name.rpartition(".")
    module = model.get_submodule(path)
    if not isinstance(module, (*LINEAR_IN_THEIR_INPUT, nn.Embedding)) or attribute != "weight":
        raise PlanMismatch(
            f"{row.name} has forward multiplier {row.multiplier:g}, which needs it to be the weight of an nn.Linear, a "
            f"convolution or an nn.Embedding; it belongs to a {type(module).__name__}"
        )
    return module


def _scale(module: nn.Module, factor: float) -> None:
    # Found on the module and not in a table of ours, so that a copy of an applied model is not scaled twice.
    for key in [key for key, hook in module._forward_pre_hooks.items() if isinstance(hook, ScaleInput)]:
        del module._forward_pre_hooks[key]
        module._forward_pre_hooks_with_kwargs.pop(key, None)
    for key in [key for key, hook in module._forward_hooks.items() if isinstance(hook, ScaleOutput)]:
        del module._forward_hooks[key]
    if factor == 1:
        return
    if isinstance(module, nn.Embedding):
        module.register_forward_hook(ScaleOutput(factor))
    else:
        module.register_forward_pre_hook(ScaleInput(factor), with_kwargs=True)


def _decays(plan: TransferPlan) -> bool:
    return any(row.weight_decay > 0 for row in plan.tensors)


def _groups(parameters: Mapping[str, Tensor], plan: TransferPlan) -> Iterator[ParameterGroup]:
    """One group for all tensors with the same settings, in the plan's order."""
    alike: dict[tuple[float, float, float, float | None], list[str]] = {}
    for row in plan.tensors:
        # torch shrinks by lr * weight_decay; independent decay shrinks by weight_decay times the schedule alone.
        decay = row.weight_decay / row.learning_rate if plan.decay == "independent" else row.weight_decay
        alike.setdefault((row.learning_rate, decay, row.l2, row.eps), []).append(row.name)
    for (learning_rate, decay, penalty, eps), names in alike.items():
        group: ParameterGroup = {
            "params": [parameters[name] for name in names],
            "tensors": names,
            "lr": learning_rate,
            "l2": penalty,
        }
        if plan.optimizer == "sgd":
            is_l2 = plan.decay == "l2"
            yield group | {
                "momentum": plan.momentum or 0.0,
                "weight_decay": decay if is_l2 else 0.0,
                "shrinkage": 0.0 if is_l2 else decay,
            }
        else:
            # Adam and AdamW differ in this flag only; in the group it holds whichever of the two is built.
            yield group | {
                "betas": (plan.beta1, plan.beta2),
                "eps": eps,
                "weight_decay": decay,
                "decoupled_weight_decay": plan.decay != "l2",
            }


StepHook = Callable[[Optimizer, tuple[Any, ...], dict[str, Any]], None]


def _refuse_closure(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:  # noqa: ARG001
    _, *given = args  # the optimizer itself comes first
    if any(argument is not None for argument in (*given, *kwargs.values())):
        raise TypeError("step() takes no closure here: its gradients would escape the clipping; compute them before")


def _clip_before_step(parameters: list[Tensor], threshold: float) -> StepHook:
    def clip(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:  # noqa: ARG001
        clip_grad_norm_(parameters, threshold)

    return clip


@torch.no_grad()
def _penalise_before_step(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:  # noqa: ARG001
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None and group["l2"] > 0:
                parameter.grad.add_(parameter, alpha=group["l2"])


def _check_that_embeddings_are_called(model: nn.Module) -> StepHook:
    """A table that is read without calling its module escapes its multiplier: say so before it has done harm."""

    def check(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:  # noqa: ARG001
        for name, module in model.named_modules():
            for hook in module._forward_hooks.values():
                if isinstance(hook, ScaleOutput) and not hook.used:
                    raise PlanMismatch(
                        f"{name}.weight has forward multiplier {hook.factor:g}, but no forward pass has called {name}: "
                        "call the module instead of reading its weight"
                    )

    return check


@torch.no_grad()
def _shrink_before_step(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:  # noqa: ARG001
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                parameter.mul_(1 - group["lr"] * group["shrinkage"])
