"""Checks of the regularisers of a job, constant, searched or on a schedule, against its task and model."""

from collections.abc import Mapping
from typing import Any

from windtunnel.types.base import misfit
from windtunnel.types.hyperparameters import REGULARISERS, HyperparameterName
from windtunnel.types.model import ModelSpec
from windtunnel.types.regularization import RegularizationSpec
from windtunnel.types.tasks import BUILT_IN, TaskInfo


def check_regularisers(
    task: TaskInfo, model: ModelSpec, terms: RegularizationSpec, searched: Mapping[HyperparameterName, str]
) -> None:
    """Refuse a regulariser that has nothing to act on, or that is asked for twice.

    Args:
        task: the job's task.
        model: the job's proxy.
        terms: the job's regularisers.
        searched: name of a searched hyperparameter -> pointer to its item of the search.
    """
    for name in REGULARISERS:
        if name in terms.moving and name in searched:
            raise misfit(
                searched[name],
                f"{name} is searched, and regularization.schedule says how it moves; allowed: one of the two",
                name,
            )
        where, given = _asked(name, terms, searched)
        reason = None if where is None else _no_place(name, task, model)
        if where is not None and reason is not None:
            raise misfit(where, reason, given)
    for label in terms.schedule:
        regulariser, _, key = label.partition(".")
        if regulariser == "dropout" and key and key not in model.layers:
            raise misfit(
                f"/regularization/schedule/{label}",
                f"this model has no layer {key!r}; allowed: dropout, or dropout and a layer: {', '.join(model.layers)}",
                label,
            )


def _asked(
    name: HyperparameterName, terms: RegularizationSpec, searched: Mapping[HyperparameterName, str]
) -> tuple[str | None, Any]:
    """(pointer to the field that asks for a regulariser, value of that field); (None, None) where it is off."""
    if name in searched:
        return searched[name], name
    if name in terms.moving:
        label = next(label for label in terms.schedule if label.partition(".")[0] == name)
        return f"/regularization/schedule/{label}", label
    value = terms.value(name)
    return (f"/regularization/{name}", value) if value > 0 else (None, None)


def _no_place(name: HyperparameterName, task: TaskInfo, model: ModelSpec) -> str | None:
    """Reason why a regulariser cannot act; None where it can."""
    if name == "label_smoothing" and task.kind == "regression":
        return f"label_smoothing needs labels to smooth; task {task.name!r} is a regression"
    if name == "label_smoothing" and task.loss is not None:
        return f"label_smoothing is a part of the cross-entropy; task {task.name!r} has a loss of its own, {task.loss}"
    if name == "augmentation" and task.image is None:
        having = ", ".join(sorted(known for known, info in BUILT_IN.items() if info.image is not None))
        return f"augmentation shifts images, and examples of task {task.name!r} are none; tasks that have images: {having}"
    if name == "dropout" and "dropout" not in model.info.dials:
        title = model.info.title
        return f"{title[0].lower()}{title[1:]} has no place that this service could put dropout at; leave it out"
    if name == "input_noise" and task.inputs == "tokens" and not model.info.embeds:
        return f"input_noise needs inputs that are numbers; those of task {task.name!r} are tokens"
    return None
