"""The rule tables, one parametrization a file: role -> power law of every quantity in the growth of a tensor's fans.

All of them are relative to the proxy (every factor is exactly 1 at its own size), so the tables differ in what they
do with a *change* of width and not in what is trained at the proxy.
"""

from collections.abc import Mapping

from hpo.mup.tables.entry import Entry, Table
from hpo.mup.tables.mup import MUP
from hpo.mup.tables.ntk import NTK
from hpo.mup.tables.spectral import SPECTRAL
from hpo.mup.tables.standard import STANDARD
from hpo.mup.tables.unit_scaled import UNIT_SCALED
from windtunnel.types.optimizers import OptimizerInfo
from windtunnel.types.results import Role
from windtunnel.types.transfer import Parametrization

__all__ = ["TABLES", "Entry", "Table", "vanishing"]

TABLES: Mapping[Parametrization, Table] = {
    "mup": MUP,
    "u-mup": UNIT_SCALED,
    "spectral": SPECTRAL,
    "ntk": NTK,
    "standard": STANDARD,
}


def vanishing(parametrization: Parametrization, optimizer: OptimizerInfo) -> frozenset[Role]:
    """Roles of the layers whose outputs move less and less as the width grows, because the table says so.

    A coordinate check sees that as a failure, and for these roles it is none.
    """
    if parametrization == "ntk":
        return frozenset({"input", "hidden", "vector"})
    return frozenset({"input"}) if parametrization == "u-mup" and optimizer.normalises else frozenset()
