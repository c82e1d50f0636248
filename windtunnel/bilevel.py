"""``windtunnel.Bilevel``, ``hypergradient`` and ``solve``: bilevel optimization of plain functions, in this process.

They need torch at their first use. ``docs/how-to/bilevel.md`` shows them.
"""

from windtunnel.client._local import need_to_train

need_to_train("windtunnel.Bilevel")

from hpo.bilevel.certificate import PlainCertificate  # noqa: E402
from hpo.bilevel.hypergradient import Hypergradient, hypergradient  # noqa: E402
from hpo.bilevel.problem import Bilevel  # noqa: E402
from hpo.bilevel.solve import Solution, SolveStep, solve  # noqa: E402
from hpo.bilevel.training import Trained, train  # noqa: E402

__all__ = [
    "Bilevel",
    "Hypergradient",
    "PlainCertificate",
    "Solution",
    "SolveStep",
    "Trained",
    "hypergradient",
    "solve",
    "train",
]
