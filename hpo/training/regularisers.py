"""Regularisers that follow the spec's schedule during a run: their tables of the loss at every update."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hpo.errors import Refused
from hpo.layout import Layout
from hpo.mup.resolve import acts, check_labels, label_for
from windtunnel.types import JobSpec


def moving_tables(spec: JobSpec, layout: Layout, dtype: torch.dtype) -> dict[str, Tensor]:
    """Name -> table before every update and after the last: [T + 1], ``dropout`` [T + 1, layers], ``l2`` [T + 1, n].

    Raises:
        Refused: the schedule changes the L2 of a role or tensor that this model does not have.
    """
    terms, steps = spec.regularization, spec.inner.steps
    try:
        check_labels(spec, terms.schedule, layout.tensors)
    except ValueError as error:
        raise Refused(
            f"regularization.schedule: {error}", "take the labels of a result's best_response.schedule"
        ) from error
    lines = {label: values_over(line, steps) for label, line in terms.schedule.items()}
    off = torch.zeros(steps + 1, dtype=torch.float64)
    found: dict[str, Tensor] = {}
    for name in terms.moving:
        match name:
            case "dropout":
                parts = [lines.get(f"dropout.{layer}", lines.get("dropout", off)) for layer in spec.model.layers]
                found[name] = torch.stack(parts, dim=1)
            case "l2":
                matrices = [acts(name, fact) for fact in layout.tensors]
                labels = [label_for(name, fact, terms.ends) for fact in layout.tensors]
                pairs = zip(matrices, labels, strict=True)
                found[name] = torch.stack([lines[label] if acts and label else off for acts, label in pairs], dim=1)
            case _:
                found[name] = lines[name]
    return {name: table.to(dtype) for name, table in found.items()}


def values_over(line: Sequence[float], steps: int) -> Tensor:
    """Values [steps + 1], float64, of straight lines between evenly spaced knots, at times u / steps, u = 0 ... steps."""
    knots = torch.tensor(line, dtype=torch.float64)
    place = torch.arange(steps + 1, dtype=torch.float64) / steps * (len(knots) - 1)
    low = place.long().clamp(max=len(knots) - 2)
    return torch.lerp(knots[low], knots[low + 1], place - low)
