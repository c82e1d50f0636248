"""Parameter groups for torch.optim: each with its learning rate, its decay, and the optimizer's own settings."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from windtunnel.torch._following import UPDATE
from windtunnel.types.following import followed, label_of
from windtunnel.types.plans import TransferPlan

ParameterGroup = dict[str, Any]


def groups(parameters: Mapping[str, Tensor], plan: TransferPlan) -> Iterator[ParameterGroup]:
    """One group for all tensors with the same settings, in the plan's order; parameters by the plan's names.

    Tensors that are not among the parameters are left out.
    """
    moving = followed(plan)
    matrices = {row.name for row in plan.trained if row.role in plan.optimizer_info.matrices}
    alike: dict[tuple[float, float, float, float | None, str | None], list[str]] = {}
    for row in plan.trained:
        if row.name not in parameters:
            continue
        # torch shrinks by lr * weight_decay; independent decay shrinks by weight_decay times the schedule alone.
        decay = row.weight_decay / row.learning_rate if plan.decay == "independent" else row.weight_decay
        label = label_of(plan, row.name, row.role, row.group) if row.l2 > 0 else None
        alike.setdefault((row.learning_rate, decay, row.l2, row.eps, label), []).append(row.name)
    for (learning_rate, decay, penalty, eps, label), names in alike.items():
        group: ParameterGroup = {
            "params": [parameters[name] for name in names],
            "tensors": names,
            "lr": learning_rate,
            "l2": penalty,
        }
        if moving:
            group |= {UPDATE: 0, "l2_label": label}
        yield group | _settings(plan, decay, eps, matrix=names[0] in matrices)


def _settings(plan: TransferPlan, decay: float, eps: float | None, *, matrix: bool) -> ParameterGroup:
    """Keys of a parameter group for the optimizer's own settings and its decay.

    If torch's class lacks the plan's kind of decay, the group has it as ``shrinkage``: the weights are shrunk before each
    step.
    """
    form = plan.optimizer_info.torch
    shrinks = plan.decay in form.lacks
    values: dict[str, Any] = {
        **plan.optimizer_settings,
        **plan.options_in_force,
        "matrix": matrix,
        "eps": eps,
        "weight_decay": 0.0 if shrinks else decay,
        "decoupled": plan.decay != "l2",
    }
    group = {
        key: tuple(values[name] for name in value) if isinstance(value, tuple) else values[value]
        for key, value in form.group.items()
    }
    return group | {"shrinkage": decay if shrinks else 0.0} if form.lacks else group
