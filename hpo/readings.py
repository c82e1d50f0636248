"""What a job observes about its own trustworthiness while it runs: chaos, and runs that diverged."""

from dataclasses import dataclass, replace

from hpo.outer import Move
from windtunnel.types.results import ChaosReading


@dataclass(frozen=True)
class Readings:
    """Sums over outer steps."""

    dropped: int = 0
    readings: int = 0
    bounded_share: float = 0.0
    mean_scale: float = 0.0

    def dropping(self, members: int) -> "Readings":
        """With so many more diverged members."""
        return replace(self, dropped=self.dropped + members)

    def adding(self, move: Move) -> "Readings":
        """With the readings of one more outer step."""
        counted = self.dropping(move.dropped)
        if move.bounded_share is None or move.mean_scale is None:
            return counted
        return replace(
            counted,
            readings=self.readings + 1,
            bounded_share=self.bounded_share + move.bounded_share,
            mean_scale=self.mean_scale + move.mean_scale,
        )

    def chaos(self) -> ChaosReading | None:
        """Means over outer steps; None for an exact adjoint, which bounds nothing."""
        if self.readings == 0:
            return None
        return ChaosReading(bounded_share=self.bounded_share / self.readings, mean_scale=self.mean_scale / self.readings)
