"""What a best response leaves: the schedules of the regularisers, how they do when replayed, how far the response holds."""

from windtunnel.types.base import Response
from windtunnel.types.estimators import BestResponseName


def between(line: list[float], time: float) -> float:
    """Value at a time in [0, 1] of straight lines between evenly spaced knots."""
    place = min(max(time, 0.0), 1.0) * (len(line) - 1)
    low = min(int(place), len(line) - 2)
    return line[low] + (place - low) * (line[low + 1] - line[low])


class RegulariserKnots(Response):
    """How a plan's regularisers move over a run: factors on its own values, with straight lines between even knots."""

    times: list[float]
    """Shares of the run, from 0 to 1. Update u of T, from 0, is at u / T."""
    factors: dict[str, list[float]]
    """Label (``dropout``, ``l2.hidden``) -> at each time, the value over that of the plan."""
    pays: bool
    """Whether the proxy's validation loss was lower with the schedule than with its last values held."""

    def factor(self, label: str, time: float) -> float:
        """Factor on the plan's value at a time in [0, 1].

        Raises:
            KeyError: no such label.
        """
        return between(self.factors[label], time)


class RegulariserSchedule(Response):
    """Values over normalised time, with straight lines between the knots. Update u of T, from 0, is at u / T."""

    times: list[float]
    """From 0 to 1, evenly spaced."""
    values: dict[str, list[float]]
    """Label (``dropout``, ``l2.hidden``) -> value at each time."""

    def at(self, label: str, time: float) -> float:
        """Value of a regulariser at a time in [0, 1].

        Raises:
            KeyError: no such label.
        """
        return between(self.values[label], time)


class SeedLoss(Response):
    """Mean over fresh seeds."""

    mean: float
    stderr: float


class HeldAgainstReplayed(Response):
    """Runs from scratch on the same fresh seeds: the schedule replayed, and its last values held fixed."""

    replayed_validation: SeedLoss
    replayed_test: SeedLoss
    held_validation: SeedLoss
    held_test: SeedLoss
    gain_validation: SeedLoss
    """Loss held less loss replayed, seed by seed: above 0 the schedule is worth its trouble."""
    gain_test: SeedLoss
    seeds: int
    """Seeds on which both stayed finite."""


class ResponsePoint(Response):
    """One set of regularisers beside the run's own: what the response says of it, and what training with it gives."""

    offsets: dict[str, float]
    """Label -> distance from the run's own schedule, in unconstrained units, at all times."""
    predicted: float
    """Validation loss of the weights that the response gives, mean over the run's members."""
    retrained: float
    """Validation loss after training from scratch with the shifted schedule and the members' own seeds."""
    error: float
    """Standard error over members of the difference of the two, each less its own at offset 0."""


class BestResponseReport(Response):
    """What a best-response run learned beside the tuned values."""

    estimator: BestResponseName
    schedule: RegulariserSchedule
    scales: dict[str, float]
    """Label -> standard deviation of the perturbations at the end, in unconstrained units."""
    comparison: HeldAgainstReplayed | None
    """None where no fresh seed stayed finite under both."""
    quality: list[ResponsePoint]
    """The first is the run's own schedule."""
    validation_steps: int
    """Updates of the regularisers."""
