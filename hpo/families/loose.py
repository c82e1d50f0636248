"""Finds readouts outside of layers, where a plan's forward multiplier has nothing to act on."""

from collections.abc import Mapping

from torch import nn

from hpo.errors import InvalidData
from hpo.families.owners import CONVOLUTIONS, TRANSPOSED, Holders
from hpo.mup.tables import TABLES
from windtunnel.torch._effective import is_in_by_out
from windtunnel.types import JobSpec
from windtunnel.types.modules import Role
from windtunnel.types.powers import Power

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


def _is_scalable(layer: nn.Module, attribute: str) -> bool:
    return attribute == "weight" and (isinstance(layer, (nn.Linear, *CONVOLUTIONS, *TRANSPOSED)) or is_in_by_out(layer))
