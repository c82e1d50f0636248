"""Finds readouts outside of layers, where a plan's forward multiplier has nothing to act on."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hpo.errors import InvalidData
from hpo.families.own.owners import CONVOLUTIONS, TRANSPOSED, Holders, owners
from hpo.mup.tables import TABLES
from windtunnel.torch._effective import is_in_by_out
from windtunnel.types import JobSpec
from windtunnel.types.powers import Power
from windtunnel.types.tensors import Role

ADVICE = "make it the weight of an nn.Linear, or tune with parametrization='spectral', which has no multipliers"


def loose_readouts(holders: Mapping[str, Holders], roles: Mapping[str, Role]) -> list[str]:
    """Names of the readouts that are no weight of a layer whose input a multiplier can scale."""
    return [name for name, role in roles.items() if role == "output" and not _is_scalable(*holders[name][0])]


def refuse_loose_readouts(holders: Mapping[str, Holders], roles: Mapping[str, Role], spec: JobSpec) -> None:
    """Refuse a module of one's own whose plans ``windtunnel.torch`` could not apply at any other width.

    Raises:
        InvalidData: a readout is a parameter outside of a layer, and the job's parametrization multiplies its output by
            a power of the width.
    """
    loose = loose_readouts(holders, roles)
    if loose and TABLES[spec.parametrization]["output"].multiplier != Power():
        raise InvalidData(
            f"parameter {loose[0]!r} is a readout outside of a layer: parametrization {spec.parametrization!r} multiplies "
            "its output by a power of the width, and windtunnel.torch can attach that to layers only",
            ADVICE,
        )


def refuse_unused_layers(module: nn.Module, inputs: Tensor, roles: Mapping[str, Role], spec: JobSpec) -> None:
    """Refuse a module whose forward reads a readout's weight from its layer, which a multiplier then never sees.

    Args:
        module: the module; it is called once.
        inputs: inputs of an example or more.
        roles: name -> role of its parameters.
        spec: the job.

    Raises:
        InvalidData: the layer of a readout is not called, and the job's parametrization multiplies its output.
    """
    if TABLES[spec.parametrization]["output"].multiplier == Power():
        return
    held = {name: layers[0][0] for name, layers in owners(module).items() if roles.get(name) == "output"}
    called: set[int] = set()
    handles = [each.register_forward_hook(lambda layer, *_: called.add(id(layer))) for each in set(held.values())]
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            module(inputs)
    finally:
        for handle in handles:
            handle.remove()
    for name, layer in held.items():
        if id(layer) not in called:
            raise InvalidData(
                f"parameter {name!r} is a readout, and forward reads it without a call of its layer: parametrization "
                f"{spec.parametrization!r} multiplies what the layer puts out, so windtunnel.torch would refuse the model",
                "call the layer (add what low-rank layers put out, in place of merging their weights), or tune with "
                "parametrization='spectral', which has no multipliers",
            )


def _is_scalable(layer: nn.Module, attribute: str) -> bool:
    return attribute == "weight" and (isinstance(layer, (nn.Linear, *CONVOLUTIONS, *TRANSPOSED)) or is_in_by_out(layer))
