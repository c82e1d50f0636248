"""``apply``, ``optimizer`` and ``schedule``: apply a plan to a model, in one call each."""

import importlib
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from windtunnel import schedules
from windtunnel.torch._following import follow
from windtunnel.torch._groups import ParameterGroup, groups
from windtunnel.torch._hooks import (
    check_that_multipliers_act,
    clip_before_step,
    penalise_before_step,
    refuse_closure,
    shrink_before_step,
)
from windtunnel.torch._matching import MatchedModel, PlanMismatch, matched
from windtunnel.torch._multipliers import can_be_scaled, is_scaled, scale
from windtunnel.types.following import followed
from windtunnel.types.plans import TensorRow, TransferPlan


def apply(
    model: nn.Module,
    plan: TransferPlan,
    *,
    names: Mapping[str, str] | None = None,
    seed: int | None = None,
    generator: torch.Generator | None = None,
) -> list[ParameterGroup]:
    """Parameter groups for torch.optim, of a model that this call initialises and gives its forward multipliers.

    Give the groups to the optimizer that the plan names: ``torch.optim.SGD``, ``Adam`` or ``AdamW``. Each group
    carries its learning rate, decay, and the plan's momentum, betas and eps, so no other argument is needed. Clipping
    (``plan.clip_norm``) and the schedule are left to the loop; ``optimizer`` and ``schedule`` do them as well.

    A second call starts over: weights are drawn again, and multipliers are replaced, not multiplied twice.

    Args:
        model: any module whose parameters have the plan's shapes and, except for ``names``, its names.
            DistributedDataParallel and DataParallel are unwrapped. Values are drawn in float32 and rounded to
            the type of a parameter; bfloat16 parameters also round each update, and lose those below a 256th of a weight.
        plan: the transfer plan.
        names: tensors of the model that have another name in the plan:
            ``{"transformer.h.{i}.attn.c_attn.weight": "blocks.{i}.qkv.weight"}``. ``{i}`` stands for one part of a name,
            between dots.
        seed: seed of the initial weights; by default the tuning job's seed.
        generator: CPU generator for the initial weights, instead of a seed. Values are drawn in the order of
            ``plan.tensors``, in float32, for normally distributed tensors only.

    Raises:
        PlanMismatch: names or shapes differ (all differences are listed), the model ties tensors that the plan does not, is
            on the meta device, is compiled (a multiplier would not act), or has float16 parameters under Adam; or the
            plan has a decay that ``torch.optim.SGD`` lacks, an L2 penalty, or regularisers that follow a schedule. The
            model is not changed.
        ValueError: both a seed and a generator were given.
    """
    form = plan.optimizer_info.torch
    if plan.decay in form.lacks and any(row.weight_decay > 0 for row in plan.tensors):
        raise PlanMismatch(
            f"the plan's decay is {plan.decay}, and {form.path} does not have that kind; use "
            "windtunnel.torch.optimizer(model, plan), which initialises the model and adds that decay to every step"
        )
    if any(row.l2 > 0 for row in plan.tensors):
        raise PlanMismatch(
            "the plan has an L2 penalty in its training loss, which no optimizer group can hold; use "
            "windtunnel.torch.optimizer(model, plan), which adds its gradient before every step"
        )
    if followed(plan):
        raise PlanMismatch(
            f"the plan's regularisers follow a schedule over the run ({', '.join(followed(plan))}), and no optimizer group "
            "counts updates; use windtunnel.torch.optimizer(model, plan), which moves them"
        )
    found = _apply(model, plan, names, _generator(plan, seed, generator))
    return list(groups(found.parameters, plan))


def optimizer(
    model: nn.Module,
    plan: TransferPlan,
    *,
    names: Mapping[str, str] | None = None,
    seed: int | None = None,
    generator: torch.Generator | None = None,
) -> Optimizer:
    """The plan's optimizer, over a model that it initialises as ``apply`` does.

    Before every step it adds the gradient of the plan's L2 penalty and clips by the plan's global norm. Under SGD with
    decoupled or independent decay, which ``torch.optim.SGD`` does not have, it then shrinks the weights
    (``w <- (1 - lr wd) w``, not through the momentum). If the plan's regularisers follow a schedule, it counts its
    updates and adjusts to them the L2 penalty and every ``GaussianDropout``, ``GaussianNoise`` and ``RandomShift`` of the
    model.
    ``step`` takes no closure.

    To resume from a checkpoint, call this on the fresh model and then load both state dicts.

    Args:
        model: as for ``apply``.
        plan: as for ``apply``.
        names: as for ``apply``.
        seed: as for ``apply``.
        generator: as for ``apply``.

    Raises:
        PlanMismatch: as for ``apply``, but no decay, penalty or schedule is refused. Also at the first step if a multiplier
            had no effect, because the model reads a layer's weight without calling the layer.
        ValueError: both a seed and a generator were given.
    """
    found = _apply(model, plan, names, _generator(plan, seed, generator))
    built = _class_of(plan)(groups(found.parameters, plan))
    built.register_step_pre_hook(refuse_closure)
    built.register_step_pre_hook(check_that_multipliers_act(found.root))
    if any(row.l2 > 0 for row in plan.tensors):
        built.register_step_pre_hook(penalise_before_step(plan))
    if plan.clip_norm is not None:
        built.register_step_pre_hook(clip_before_step(list(found.parameters.values()), plan.clip_norm))
    if plan.decay in plan.optimizer_info.torch.lacks:
        built.register_step_pre_hook(shrink_before_step)
    follow(built, found.root, plan)
    return built


def _class_of(plan: TransferPlan) -> Callable[[Iterable[ParameterGroup]], Optimizer]:
    """The class of the plan's optimizer: torch's own, or one of ``windtunnel.torch.optimizers``."""
    form = plan.optimizer_info.torch
    found: Callable[[Iterable[ParameterGroup]], Optimizer] = getattr(importlib.import_module(form.module), form.name)
    return found


def schedule(optimizer: Optimizer, plan: TransferPlan) -> LambdaLR:
    """The plan's learning-rate schedule over ``plan.steps`` steps; call its ``step()`` after every optimizer step.

    Every group keeps its own peak learning rate. Decoupled, independent and L2 decay all follow the schedule.
    """
    return LambdaLR(optimizer, lambda step: multiplier(plan, step))


def multiplier(plan: TransferPlan, step: int) -> float:
    """Learning-rate multiplier of optimizer step ``step``, counted from 0; after the last step its final value.

    Schedules stretch over ``plan.steps``: their lengths are shares of the run. Only ``gpt3`` with token counts does not
    stretch, and it continues after the last step.
    """
    return schedules.multiplier(plan.schedule, step, plan.steps, plan.tokens_per_step)


def _apply(
    model: nn.Module, plan: TransferPlan, names: Mapping[str, str] | None, generator: torch.Generator
) -> MatchedModel:
    found = matched(model, plan, names)
    owners = {row.name: _owner(found, row) for row in plan.tensors if row.role == "output" or row.multiplier != 1}
    _refuse_compiled(found, plan)
    with torch.no_grad():
        for row in plan.tensors:
            values = torch.full(row.shape, row.init_value)
            if row.init == "normal":
                values = torch.randn(row.shape, generator=generator) * row.init_std
            found.parameters[row.name].copy_(values)
    for row in plan.tensors:
        if row.name in owners:
            scale(owners[row.name], row.multiplier)
    return found


def _generator(plan: TransferPlan, seed: int | None, generator: torch.Generator | None) -> torch.Generator:
    if generator is None:
        return torch.Generator().manual_seed(plan.provenance.seed if seed is None else seed)
    if seed is not None:
        raise ValueError("give a seed or a generator, not both")
    return generator


def _owner(found: MatchedModel, row: TensorRow) -> nn.Module:
    """The layer that holds this tensor as its weight.

    Raises:
        PlanMismatch: several layers share the tensor, or its layer's output is not linear in it.
    """
    module = found.owner(row.name)
    if row.multiplier != 1 and row.name in found.shared:
        raise PlanMismatch(
            f"{found.own[row.name]} has forward multiplier {row.multiplier:g}, and several layers of the model share it: "
            "which of them is meant cannot be told; give each a parameter of its own"
        )
    if not can_be_scaled(module) or found.own[row.name].rpartition(".")[2] != "weight":
        raise PlanMismatch(
            f"{found.own[row.name]} has forward multiplier {row.multiplier:g}, which needs it to be the weight of an "
            f"nn.Linear, a convolution or an nn.Embedding; it belongs to a {type(module).__name__}"
        )
    return module


def _refuse_compiled(found: MatchedModel, plan: TransferPlan) -> None:
    """Refuse a compiled model with multipliers: compiled code may not notice hooks that change after its first call."""
    hooked = any(row.multiplier != 1 for row in plan.tensors) or any(map(is_scaled, found.root.modules()))
    if found.compiled and hooked:
        raise PlanMismatch(
            "the model is compiled, and compiled code may not notice the plan's forward multipliers; apply the plan to the "
            "module first, then torch.compile it"
        )
