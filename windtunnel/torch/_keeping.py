"""Weights that a model has when a plan is applied to it: whether they are drawn over, and how they are kept."""

import warnings
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from windtunnel.torch._effective import effective, holders, place, raw, why_not_folded
from windtunnel.torch._matching import MatchedModel, PlanMismatch
from windtunnel.torch._saving import multiplier_of, record_of
from windtunnel.torch._signs import rewritten, sign_of_training
from windtunnel.types.plans import TransferPlan

Weights = Literal["draw", "keep"]
"""Whether a call draws the initial weights or keeps those that the model has."""


def draw_or_keep(found: MatchedModel) -> Weights:
    """Whether to draw or to keep the weights of a call that does not say: to draw, if the model looks fresh.

    Warns:
        UserWarning: no plan was applied to the model, and it was plainly trained; its weights are kept.

    Raises:
        PlanMismatch: its weights were loaded after a plan was applied, or folded; or all of its layers were written again
            after torch drew them, so that the weights may be loaded ones.
    """
    records = {name: record_of(found.owner(name)) for name in found.parameters}
    for name, record in records.items():
        if record is not None and record.weights != "drawn":
            how = "were loaded" if record.weights == "loaded" else "have their forward multipliers folded into them"
            raise PlanMismatch(
                f"weights of the model {how} after a plan was applied to it, {found.own[name]} among them, and drawing "
                "initial weights would lose them; weights='keep' keeps them, weights='draw' starts over"
            )
    sign = None if any(records.values()) else sign_of_training(found.root)
    if sign is None:
        bias = None if any(records.values()) or found.synchronised else rewritten(found.root)
        if bias is not None:
            raise PlanMismatch(
                f"{bias} and all layers of the model were written again after torch drew them, as by loading or training, "
                "and drawing initial weights would lose what is there; weights='keep' keeps them, weights='draw' draws the "
                "plan's"
            )
        return "draw"
    warnings.warn(
        f"the model's weights are not those of a fresh one ({sign}), so they are kept as they are, and no initial weights "
        "are drawn; weights='keep' says that this is meant, weights='draw' draws the plan's initial weights over them",
        stacklevel=4,
    )
    return "keep"


@torch.no_grad()
def keep(found: MatchedModel, plan: TransferPlan, owners: Mapping[str, nn.Module]) -> None:
    """Divide the weights by the multipliers that they are to have, so that the model's outputs stay.

    Raises:
        PlanMismatch: a multiplier is no factor of its weight, or the model was folded and is still frozen.
    """
    held, wanted = holders(found.root), {row.name: row.multiplier for row in plan.tensors}
    changes: list[tuple[Tensor, Tensor]] = []
    for name, layer in owners.items():
        here, weight = multiplier_of(layer), layer._parameters.get("weight")
        if here == wanted[name]:
            continue
        reason = why_not_folded(layer, weight is not None and len(held[place(weight)]) > 1)
        if reason is not None or weight is None:
            raise PlanMismatch(
                f"{found.own[name]} has forward multiplier {here:g} in the model and {wanted[name]:g} in the plan: its "
                f"weights cannot be kept, for the model's outputs would change: {reason}. To load weights that were "
                "trained by the plan, apply it to the fresh model, then load the state dict"
            )
        record = record_of(layer)
        if record is not None and record.weights == "folded" and not weight.requires_grad:
            raise PlanMismatch(
                f"{found.own[name]} was folded, which froze the model, and would not be trained: call "
                "model.requires_grad_(True) first"
            )
        changes.append((weight, raw(effective(weight, here), wanted[name])))
    for held_weight, values in changes:
        held_weight.copy_(values)
