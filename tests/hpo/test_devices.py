"""The engine on a device that holds no values, the choice of a device, and noise that is the same on each.

Torch's meta device stands for any device that computes while the host goes on: it refuses to be read and to be mixed with
tensors of the CPU. So a training run that reaches its end there waits for no value and leaves no tensor behind.
"""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from hpo.devices import device_of, facts_of, torch_build
from hpo.errors import NoDevice, Refused
from hpo.estimators.choice import choose_estimator
from hpo.families.facts.registry import proxy_tensors
from hpo.layout import Layout
from hpo.mup.rules import base_init_std
from hpo.noise import keys_of, normal, random_bits
from hpo.study import Study
from hpo.tasks import Split, TaskData, load
from hpo.training.evaluation import judge
from hpo.training.noising import Noise
from hpo.training.problem import InnerProblem
from hpo.training.space import Space
from windtunnel.types import ESTIMATORS, JobSpec
from windtunnel.types.checks.pathwise import without_derivative
from windtunnel.types.families import FAMILIES
from windtunnel.types.optimizers import OPTIMIZERS

META = torch.device("meta")
TASKS = {"transformer": "python-text"}
SEARCHED = ("learning_rate", "weight_decay", "init_scale", "clip_norm", "l2", "dropout", "label_smoothing", "input_noise")
REGULARISED = {"l2": 0.01, "dropout": 0.1, "label_smoothing": 0.1, "input_noise": 0.1}


def brief(data: TaskData) -> TaskData:
    """A few examples of each part, on the meta device."""
    parts = {name: getattr(data, name) for name in ("train", "validation", "test")}
    few = {name: Split(part.inputs[:24], part.labels[:24], part.sources[:24]) for name, part in parts.items()}
    return replace(data, **few).on(META)


def problem_of(family: str, optimizer: str, estimator: str, dtype: torch.dtype = torch.float32) -> InnerProblem:
    """A job's inner problem on the meta device, with all the hyperparameters that its estimator can differentiate."""
    info, task = ESTIMATORS[estimator], TASKS.get(family, "digits")
    spec = JobSpec.model_validate(
        {
            "task": task,
            "model": {"family": family, "width": 16, "depth": 1},
            "inner": {"steps": 4, "batch_size": 4, "seeds": 2},
            "outer": {"steps": 2},
            "optimizer": {"name": optimizer},
            "regularization": REGULARISED,
            "search": [{"name": name} for name in SEARCHED if info.can(name)],
            "method": {"estimator": estimator},
        }
    )
    tensors = proxy_tensors(spec.model, spec.info)
    std = [base_init_std(fact, spec.model.activation) for fact in tensors]
    return InnerProblem(spec, Layout(tensors), std, Space.from_spec(spec, tensors), brief(load(task)), dtype)
