"""A grid of proxies over size and data, run by a job at its tuned values, and the laws fitted to it."""

from collections.abc import Sequence

from windtunnel.types.base import Response
from windtunnel.types.laws import MOST_TO_LEAST, LawName, LawRefusal, LawResult


class ScalingPoint(Response):
    """The runs of one width and length."""

    width: int
    steps: int
    parameters: int
    """N, without embeddings."""
    tokens: int
    """D, tokens trained on; examples where there is no context."""
    loss: float | None
    """Mean validation loss over seeds; null where every run diverged."""
    stderr: float
    seeds: int
    """Runs that stayed finite."""


class ScalingReport(Response):
    """What the grid found."""

    points: list[ScalingPoint]
    laws: list[LawResult]
    refusals: list[LawRefusal]
    """Laws that the grid cannot answer for, and why."""
    run_equivalents: float
    """Cost of the grid in runs of the proxy; beside the tuning's cost, not in it."""

    def law(self, name: LawName) -> LawResult | None:
        """A fitted law by name."""
        return next((each for each in self.laws if each.law == name), None)

    @property
    def best_informed(self) -> LawResult | None:
        """The law that knows most of a run: of N and D before those of one of them; None where none was fitted."""
        return next((found for name in MOST_TO_LEAST if (found := self.law(name)) is not None), None)

    @property
    def sentence(self) -> str:
        """The law that knows most of a run, in one line."""
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
        """The ends that stayed finite as rows of a table of runs.

        Args:
            batch: tokens of an update.
        """
        return table_rows(self.points, batch)


def table_rows(points: Sequence[ScalingPoint], batch: float) -> list[dict[str, float]]:
    """See ``ScalingReport.rows``."""
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
