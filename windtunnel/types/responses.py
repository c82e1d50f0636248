"""BestResponseReport: schedules of the regularisers, their losses when replayed, and the accuracy of the response."""

from windtunnel.types.base import Response
from windtunnel.types.estimators import BestResponseName


def between(line: list[float], time: float) -> float:
    """Value at a time in [0, 1] of straight lines between evenly spaced knots."""
    place = min(max(time, 0.0), 1.0) * (len(line) - 1)
    low = min(int(place), len(line) - 2)
    return line[low] + (place - low) * (line[low + 1] - line[low])


class RegulariserKnots(Response):
    """Schedule of a plan's regularisers: factors on the plan's values over the run, linear between evenly spaced knots."""

    times: list[float]
    """Shares of the run, from 0 to 1. Update u of T, from 0, is at u / T."""
    factors: dict[str, list[float]]
    """Label (``dropout``, ``l2.hidden``) -> value at each time over the plan's value."""
    pays: bool
    """Whether the proxy's validation loss was lower with the schedule than with its last values held."""

    def factor(self, label: str, time: float) -> float:
        """Factor on the plan's value at a time in [0, 1].

        Raises:
            KeyError: no such label.
        """
        return between(self.factors[label], time)


class RegulariserSchedule(Response):
    """Values of regularisers over normalised time, linear between the knots. Update u of T, from 0, is at u / T."""

    times: list[float]
    """Times of the knots, evenly spaced from 0 to 1."""
    values: dict[str, list[float]]
    """Label (``dropout``, ``l2.hidden``) -> value at each time."""

    def at(self, label: str, time: float) -> float:
        """Value of a regulariser at a time in [0, 1].

        Raises:
            KeyError: no such label.
        """
        return between(self.values[label], time)


class SeedLoss(Response):
    """Mean loss over fresh seeds, with its standard error."""

    mean: float
    stderr: float


class HeldAgainstReplayed(Response):
    """Runs from scratch on the same fresh seeds: the schedule replayed, and its last values held fixed."""

    replayed_validation: SeedLoss
    replayed_test: SeedLoss
    held_validation: SeedLoss
    held_test: SeedLoss
    gain_validation: SeedLoss
    """Validation loss with the last values held minus the loss with the schedule, seed by seed: above 0 the schedule is
    better."""
    gain_test: SeedLoss
    """Test loss with the last values held minus the loss with the schedule, seed by seed."""
    seeds: int
    """Number of seeds on which both runs stayed finite."""


class ResponsePoint(Response):
    """One set of regularisers near the run's own: the loss that the response predicts, and the loss of training with it."""

    offsets: dict[str, float]
    """Label -> distance from the run's own schedule, in unconstrained units, at all times."""
    predicted: float
    """Validation loss of the weights that the response gives, mean over the run's members."""
    retrained: float
    """Validation loss after training from scratch with the shifted schedule and the members' own seeds."""
    error: float
    """Standard error, over members, of predicted minus retrained loss, each relative to its value at offset 0."""


class BestResponseReport(Response):
    """Findings of a best-response run beside the tuned values."""

    estimator: BestResponseName
    schedule: RegulariserSchedule
    scales: dict[str, float]
    """Label -> standard deviation of the perturbations at the end, in unconstrained units."""
    comparison: HeldAgainstReplayed | None
    """Schedule against constant last values, on fresh seeds; None where no seed stayed finite with both."""
    quality: list[ResponsePoint]
    """Accuracy of the response at several sets of regularisers; the first is the run's own schedule."""
    validation_steps: int
    """Number of updates of the regularisers."""
