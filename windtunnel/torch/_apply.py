"""``apply``, ``optimizer`` and ``schedule``: apply a plan to a model, in one call each."""

import importlib
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from windtunnel import schedules
from windtunnel.torch._folding import forget_compiled_code
from windtunnel.torch._following import follow
from windtunnel.torch._groups import ParameterGroup, groups
from windtunnel.torch._holding import hold
from windtunnel.torch._hooks import (
    check_multipliers_stay,
    check_that_multipliers_act,
    clip_before_step,
    penalise_before_step,
    refuse_closure,
    see_stepped_weights,
    shrink_before_step,
    take_up_written_weights,
)
from windtunnel.torch._keeping import Weights, draw_or_keep, keep
from windtunnel.torch._matching import MatchedModel, PlanMismatch, matched
from windtunnel.torch._multipliers import can_be_scaled, is_scaled, scale
from windtunnel.torch._saving import (
    keep_record,
    multiplier_of,
    renew_buffer,
    see_weights,
    take_up_writes,
    watch_sharing,
)
from windtunnel.torch._sharding import fill
from windtunnel.types.following import followed
from windtunnel.types.plans import TensorRow, TransferPlan


def apply(
    model: nn.Module,
    plan: TransferPlan,
    *,
    names: Mapping[str, str] | None = None,
    seed: int | None = None,
    generator: torch.Generator | None = None,
    weights: Weights | None = None,
) -> list[ParameterGroup]:
    """Parameter groups for torch.optim, of a model that this call initialises and gives its forward multipliers.

    Give the groups to the optimizer that the plan names: the class at ``plan.optimizer_info.torch.path``. Each group
    carries its learning rate, decay, and the optimizer's own settings, so no other argument is needed. Clipping
    (``plan.clip_norm``) and the schedule are left to the loop; ``optimizer`` and ``schedule`` do them as well.

    Parameters with ``requires_grad=False`` keep their values and get no group. The padding row of an ``nn.Embedding``
    (``padding_idx``) starts at 0.

    A second call starts over: weights are drawn again, and multipliers are replaced, not multiplied twice. Weights that
    were loaded after the first call are not drawn again without being told to: see ``weights``.

    A state dict of the model has weights times multipliers, which a model without the plan loads; ``load_state_dict`` of
    this one divides by them. So values that are read from the parameters themselves are not for ``load_state_dict``.

    Parameters that are replaced after this call, as ``fully_shard`` does, are not those of the groups any more: shard
    first, or use ``optimizer``, which takes them up.

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
            ``plan.tensors``, in float32, for normally distributed tensors only. Each process of a sharded model needs a
            generator in the same state.
        weights: "draw" draws initial weights whatever the model has. "keep" keeps those that it has, divided by the
            plan's multipliers, so that its outputs stay. By default they are drawn if the model is fresh. The call is
            refused if weights were loaded after a plan was applied, or are folded. Without a plan before, a norm's gains
            that differ, or biases beyond those of torch's own initial values, show that a model was trained: then weights
            are kept, with a warning. Nothing else can be seen of weights that were loaded before.

    Raises:
        PlanMismatch: names or shapes differ (all differences are listed), the model ties tensors that the plan does not, is
            on the meta device, is compiled (a multiplier would not act; parts of it may be), or has float16 parameters
            under Adam; its weights are not to be drawn over, or cannot be kept, for a multiplier is no factor of them; or
            the plan's decay is one that its optimizer's class lacks, or the plan has an L2 penalty or regularisers that
            follow a schedule. The model is not changed.
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
    found = _apply(model, plan, names, _generator(plan, seed, generator), weights)
    return list(groups(found.trained, plan))


def optimizer(
    model: nn.Module,
    plan: TransferPlan,
    *,
    names: Mapping[str, str] | None = None,
    seed: int | None = None,
    generator: torch.Generator | None = None,
    weights: Weights | None = None,
) -> Optimizer:
    """The plan's optimizer, over a model that it initialises as ``apply`` does.

    Before every step it adds the gradient of the plan's L2 penalty and clips by the plan's global norm. If the class
    lacks the plan's kind of decay, as ``torch.optim.SGD`` lacks the decoupled one, it then shrinks the weights
    (``w <- (1 - lr wd) w``, not through the momentum). If the plan's regularisers follow a schedule, it counts its
    updates and adjusts to them the L2 penalty and every ``GaussianDropout``, ``GaussianNoise`` and ``RandomShift`` of the
    model.
    ``step`` takes no closure.

    To resume from a checkpoint, call this on the fresh model and then load both state dicts.

    It may be called before or after ``fully_shard``: parameters that are replaced later are taken up at the next step.

    Args:
        model: as for ``apply``.
        plan: as for ``apply``.
        names: as for ``apply``.
        seed: as for ``apply``.
        generator: as for ``apply``.
        weights: as for ``apply``.

    Raises:
        PlanMismatch: as for ``apply``, but no decay, penalty or schedule is refused. Also at the first step if a multiplier
            had no effect, because the model reads a layer's weight without calling the layer; and at any step if the model
            was folded, or has lost a parameter that the plan trains.
        ValueError: both a seed and a generator were given.
    """
    found = _apply(model, plan, names, _generator(plan, seed, generator), weights)
    built = _class_of(plan)(groups(found.trained, plan))
    built.register_step_pre_hook(refuse_closure)
    hold(built, found)
    built.register_step_pre_hook(take_up_written_weights(found.root))
    built.register_step_post_hook(see_stepped_weights(found.root))
    built.register_step_pre_hook(check_multipliers_stay(found, plan))
    built.register_step_pre_hook(check_that_multipliers_act(found.root))
    if any(row.l2 > 0 for row in plan.tensors):
        built.register_step_pre_hook(penalise_before_step(plan))
    if plan.clip_norm is not None:
        built.register_step_pre_hook(clip_before_step(list(found.trained), plan.clip_norm))
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
    model: nn.Module,
    plan: TransferPlan,
    names: Mapping[str, str] | None,
    generator: torch.Generator,
    weights: Weights | None,
) -> MatchedModel:
    if weights not in (None, "draw", "keep"):
        raise ValueError(f"weights is {weights!r}; allowed: 'draw', 'keep', or nothing for a fresh model")
    found = matched(model, plan, names)
    owners = {row.name: _owner(found, row) for row in plan.tensors if row.multiplier != 1 or _has_earlier(found, row.name)}
    _refuse_compiled(found, plan)
    for layer in owners.values():
        take_up_writes(layer)
    if weights is None:
        weights = draw_or_keep(found)
    if weights == "keep":
        keep(found, plan, owners)
    else:
        _refuse_frozen(found, plan)
        _draw(found, plan, generator)
    _set_multipliers(found, plan, owners)
    for name in found.parameters:
        keep_record(found.owner(name)).weights = "loaded" if weights == "keep" else "drawn"
    watch_sharing(found.root)
    for layer in owners.values():
        renew_buffer(layer)
    see_weights(found.root)
    return found


def _draw(found: MatchedModel, plan: TransferPlan, generator: torch.Generator) -> None:
    """Give the parameters the plan's initial values."""
    for row in plan.tensors:
        values = torch.full(row.shape, row.init_value)
        if row.init == "normal":
            values = torch.randn(row.shape, generator=generator) * row.init_std
        if row.name in found.frozen:
            continue
        layer = found.owner(row.name)
        if isinstance(layer, nn.Embedding) and layer.padding_idx is not None:
            values[layer.padding_idx] = 0
        fill(found.parameters[row.name], values)


def _set_multipliers(found: MatchedModel, plan: TransferPlan, owners: Mapping[str, nn.Module]) -> None:
    """Give the layers the plan's multipliers, as hooks."""
    before = {name: multiplier_of(layer) for name, layer in owners.items()}
    for row in plan.tensors:
        if row.name in owners:
            scale(owners[row.name], row.multiplier)
    if any(row.multiplier != before[row.name] for row in plan.tensors if row.name in owners):
        forget_compiled_code(found.root)


def _refuse_frozen(found: MatchedModel, plan: TransferPlan) -> None:
    """Refuse a model with nothing to train, or with a frozen tensor that needs a multiplier.

    Raises:
        PlanMismatch: every tensor of the plan is frozen in the model, or one with a multiplier other than 1 is.
    """
    if not found.trained:
        raise PlanMismatch(
            "every parameter of the model is frozen (requires_grad is False), so that nothing is left to train; call "
            "requires_grad_(True) on what the plan is to train"
        )
    scaled = next((row for row in plan.tensors if row.name in found.frozen and row.multiplier != 1), None)
    if scaled is not None:
        raise PlanMismatch(
            f"{found.own[scaled.name]} is frozen in the model (requires_grad is False), and the plan gives it forward "
            f"multiplier {scaled.multiplier:g}, which would change what its values compute; train it, or tune again with "
            "it frozen"
        )


def _generator(plan: TransferPlan, seed: int | None, generator: torch.Generator | None) -> torch.Generator:
    if generator is None:
        return torch.Generator().manual_seed(plan.provenance.seed if seed is None else seed)
    if seed is not None:
        raise ValueError("give a seed or a generator, not both")
    return generator


def _has_earlier(found: MatchedModel, name: str) -> bool:
    """True if the tensor has a multiplier that an earlier plan gave it."""
    return found.own[name].rpartition(".")[2] == "weight" and is_scaled(found.owner(name))


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
            f"nn.Linear, a convolution, an nn.Embedding or a Conv1D; it belongs to a {type(module).__name__}. Make it "
            "the weight of an nn.Linear, or tune with parametrization 'spectral', which has no multipliers"
        )
    return module


def _refuse_compiled(found: MatchedModel, plan: TransferPlan) -> None:
    """Refuse a compiled model with multipliers: compiled code may not notice hooks that change after its first call.

    Modules inside the model that ``torch.compile`` wraps are compiled again instead.
    """
    hooked = any(row.multiplier != 1 for row in plan.tensors) or any(map(is_scaled, found.root.modules()))
    if found.compiled and hooked:
        raise PlanMismatch(
            "the model is compiled, and compiled code may not notice the plan's forward multipliers; apply the plan to the "
            "module first, then torch.compile it"
        )
