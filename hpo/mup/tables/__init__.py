"""The rule tables, one file per parametrization: role -> power law of every quantity in the growth of a tensor's fans.

All tables are relative to the proxy: every factor is exactly 1 at the proxy's size. So the tables differ in the effect of
a *change* of width and not in the proxy's own training.
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

    A coordinate check reports this as a failure, but for these roles it is expected.
    """
    if parametrization == "ntk":
        return frozenset({"input", "hidden", "vector"})
    return frozenset({"input"}) if parametrization == "u-mup" and optimizer.normalises else frozenset()
