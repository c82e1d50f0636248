"""A plan of an MLP with multipliers on its embedding of the inputs, its hidden layer and its readout."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from windtunnel.types import LossEstimate, ModelSpec, Provenance, TensorRow, TransferPlan
from windtunnel.types.optimizers import OPTIMIZERS

FEATURES, WIDTH, CLASSES = 6, 33, 3
"""An odd width, so that two processes hold parts of different sizes."""


class Net(nn.Module):
    """A module that ``plan_of`` fits at its width."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(FEATURES, width), nn.Linear(width, width)])
        self.readout = nn.Linear(width, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        for layer in self.layers:
            inputs = torch.relu(layer(inputs))
        logits: Tensor = self.readout(inputs)
        return logits


def plan_of(multipliers: tuple[float, float, float] = (1.7, 0.3, 0.11), **changes: Any) -> TransferPlan:
    """A plan of depth 2; multipliers are those of input, hidden layer and readout."""
    optimizer = OPTIMIZERS[changes.get("optimizer", "adamw")]
    first, second, third = multipliers
    shapes = {
        "layers.0.weight": ("input", [WIDTH, FEATURES], 0.5, 0.02, 0.1, first),
        "layers.0.bias": ("vector", [WIDTH], 0.0, 0.04, 0.0, 1.0),
        "layers.1.weight": ("hidden", [WIDTH, WIDTH], 0.2, 0.01, 0.4, second),
        "layers.1.bias": ("vector", [WIDTH], 0.0, 0.04, 0.0, 1.0),
        "readout.weight": ("output", [CLASSES, WIDTH], 0.3, 0.02, 0.1, third),
        "readout.bias": ("scalar", [CLASSES], 0.0, 0.05, 0.0, 1.0),
    }
    rows = [
        TensorRow(
            name=name,
            shape=shape,
            role=role,
            init="normal" if std else "zeros",
            init_std=std,
            learning_rate=rate,
            weight_decay=decay,
            eps=1e-9 if "eps" in optimizer.settings and role not in optimizer.matrices else None,
            multiplier=multiplier,
        )
        for name, (role, shape, std, rate, decay, multiplier) in shapes.items()
    ]
    fields: dict[str, Any] = {
        "id": "plan_test",
        "job_id": "job_test",
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        "task": "digits",
        "parametrization": "mup",
        "model": ModelSpec(width=4),
        "width": WIDTH,
        "depth": 2,
        "steps": 20,
        "batch_size": 16,
        "width_ratio": 8.0,
        "features": FEATURES,
        "classes": CLASSES,
        "optimizer": "adamw",
        "decay": "decoupled",
        "momentum": None,
        "beta1": 0.8,
        "beta2": 0.95,
        "clip_norm": None,
        "schedule": {"name": "cosine", "warmup_fraction": 0.125, "floor": 0.1},
        "roles": [],
        "tensors": rows,
        "parameters": sum(math.prod(row.shape) for row in rows),
        "hyperparameters": {},
        "proxy_validation": LossEstimate(mean=0.2, stderr=0.01, seeds=8),
        "tuning_share": 0.1,
        "assumptions": [],
        "not_covered": [],
        "coordinate_check": None,
        "forced": False,
        "provenance": Provenance(spec_sha256="0", data_sha256="0", versions={}, threads=1, seed=3),
    }
    return TransferPlan.model_validate(fields | changes)


@pytest.fixture
def make_plan() -> Callable[..., TransferPlan]:
    return plan_of
