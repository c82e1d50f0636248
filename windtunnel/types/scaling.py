"""ScalingReport: a grid of proxies over size and data, run by a job at its tuned values, and the laws fitted to it."""

from collections.abc import Sequence

from windtunnel.types.base import Response
from windtunnel.types.laws import MOST_TO_LEAST, LawName, LawRefusal, LawResult


class ScalingPoint(Response):
    """The runs of one width and length."""

    width: int
    steps: int
    parameters: int
    """Parameters N, without embeddings."""
    tokens: int
    """Tokens D trained on; examples where there is no context."""
    loss: float | None
    """Mean validation loss over seeds; null where every run diverged."""
    stderr: float
    seeds: int
    """Number of runs that stayed finite."""


class ScalingReport(Response):
    """Losses of the grid's runs, and the scaling laws fitted to them."""

    points: list[ScalingPoint]
    laws: list[LawResult]
    refusals: list[LawRefusal]
    """Laws that cannot be fitted to the grid, and why."""
    run_equivalents: float
    """Cost of the grid in runs of the proxy; not part of the tuning's cost."""

    def law(self, name: LawName) -> LawResult | None:
        """A fitted law by name."""
        return next((each for each in self.laws if each.law == name), None)

    @property
    def best_informed(self) -> LawResult | None:
        """Fitted law that uses most of a run: a law of N and D comes before a law of one of them; None without a fit."""
        return next((found for name in MOST_TO_LEAST if (found := self.law(name)) is not None), None)

    @property
    def sentence(self) -> str:
        """Formula, constants and held-out error of the best-informed law, in one line."""
        found = self.best_informed
        if found is None:
            return "none could be fitted" + (f": {self.refusals[0].message}" if self.refusals else "")
        constants = ", ".join(
            f"{each.name} {each.value:.4g} ({each.low:.4g} to {each.high:.4g})" for each in found.constants
        )
        held = found.held_out
        missed = f"; largest run, held out, missed by {100 * held.miss:+.2f} %" if held else ""
        return f"{found.formula}: {constants}{missed}"

    def rows(self, batch: float) -> list[dict[str, float]]:
        """Rows of a table of runs: the points whose loss is finite.

        Args:
            batch: tokens of an update.
        """
        return table_rows(self.points, batch)


def table_rows(points: Sequence[ScalingPoint], batch: float) -> list[dict[str, float]]:
    """Rows of a table of runs: the points whose loss is finite.

    Args:
        points: the runs of a grid.
        batch: tokens of an update.
    """
    return [
        {
            "parameters": float(point.parameters),
            "tokens": float(point.tokens),
            "batch_size": float(batch),
            "steps": float(point.steps),
            "loss": point.loss,
        }
        for point in points
        if point.loss is not None
    ]
