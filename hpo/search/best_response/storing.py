"""Stores a best-response run between two outer steps as tensors and JSON values."""

from typing import Any

import torch

from hpo.best_response.run import Moment, Standing
from hpo.optimizers.rule import OptimizerState
from hpo.search.protocol import SearchState

OPTIMIZERS = ("weights", "response", "knobs")
"""Fields of a run's state that hold the state of an optimizer."""


def state_of(standing: Standing, prefix: str = "") -> SearchState:
    """The state of a run as tensors and JSON values, with ``prefix`` before their names."""
    tensors = {f"{prefix}point": standing.point, f"{prefix}slope": standing.slope}
    numbers: dict[str, Any] = {"step": standing.step, "looks": standing.looks, "slopes": standing.slopes}
    for name in OPTIMIZERS:
        parts: OptimizerState = getattr(standing, name)
        tensors |= {f"{prefix}{name}.{index}": part for index, part in enumerate(parts)}
        numbers[name] = len(parts)
    tensors[f"{prefix}trajectory.points"] = torch.stack([moment.point for moment in standing.trajectory])
    tensors[f"{prefix}trajectory.scales"] = torch.stack([moment.log_scales for moment in standing.trajectory])
    numbers["moments"] = [moment.step for moment in standing.trajectory]
    return tensors, numbers


def standing_of(state: SearchState, prefix: str = "") -> Standing:
    """The state of a run from tensors and JSON values: the inverse of ``state_of``."""
    tensors, numbers = state
    weights, response, knobs = (
        tuple(tensors[f"{prefix}{name}.{index}"] for index in range(numbers[name])) for name in OPTIMIZERS
    )
    points, scales = tensors[f"{prefix}trajectory.points"], tensors[f"{prefix}trajectory.scales"]
    moments = zip(numbers["moments"], points, scales, strict=True)
    return Standing(
        numbers["step"],
        numbers["looks"],
        weights,
        response,
        tensors[f"{prefix}point"],
        knobs,
        tuple(Moment(*moment) for moment in moments),
        tensors[f"{prefix}slope"],
        numbers["slopes"],
    )
