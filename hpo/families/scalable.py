"""Finds the parameters of a module of one's own that no forward multiplier can be attached to."""

import warnings
from collections.abc import Collection

import torch

from hpo.errors import Refused
from hpo.families.facts.registry import proxy_tensors
from hpo.families.owners import owners
from hpo.families.user_module import example_inputs, made
from hpo.mup.resolve import resolve
from windtunnel.tasks.user import UserTask
from windtunnel.torch._multipliers import can_be_scaled
from windtunnel.types import JobSpec


def warn_of_multipliers(spec: JobSpec, task: UserTask) -> None:
    """Warn of parameters that a plan of another width gives a multiplier which cannot be attached to them."""
    assert spec.info.module is not None
    wider = spec.model.model_copy(update={"width": spec.info.module.delta})
    try:
        rows = resolve(spec, {}, *(proxy_tensors(model, spec.info) for model in (spec.model, wider)))
    except Refused:
        return  # there is no plan of another width
    loose = unscalable(task, [row.name for row in rows if row.multiplier != 1])
    if loose:
        warnings.warn(
            f"A plan of another width gives {', '.join(loose)} a forward multiplier, and windtunnel.torch refuses it: it "
            "multiplies what a layer puts out, an nn.Linear, a convolution or a Conv1D that forward calls. Make it the "
            "weight of one, or tune with parametrization='spectral', which has no multipliers",
            stacklevel=3,
        )


def unscalable(task: UserTask, names: Collection[str]) -> list[str]:
    """Names among those of parameters that are not the weight of one layer, of a kind that is linear in it, that is called.

    ``windtunnel.torch`` refuses a plan that gives them a multiplier, and a weight that forward reads from its layer.

    Args:
        task: brings the module.
        names: parameters to look at.
    """
    if not names:
        return []
    module = made(task, task.width, task.depth)
    called: set[int] = set()
    for layer in module.modules():
        layer.register_forward_hook(lambda layer, _inputs, _output: called.add(id(layer)))
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        module(example_inputs(task, 1).to(torch.get_default_dtype() if task.inputs == "floats" else torch.long))
    return [
        name
        for name, held in owners(module).items()
        if name in names
        and (len(held) > 1 or held[0][1] != "weight" or not can_be_scaled(held[0][0]) or id(held[0][0]) not in called)
    ]
