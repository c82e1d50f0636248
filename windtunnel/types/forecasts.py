"""Forecasts of a run's loss, registered before the run under a hash, and what became of them."""

import hashlib
import json
from datetime import datetime

from pydantic import Field

from windtunnel.types.base import Response
from windtunnel.types.laws import LawConstant, LawName, LawPoint


class Forecast(Response):
    """Loss that a law foretells of one run, before it is known."""

    run: str
    """Name of the run, as its owner calls it."""
    created_at: datetime
    fit: str
    """Id of the fit, whose table the law was fitted to."""
    law: LawName
    formula: str
    constants: list[LawConstant]
    at: LawPoint
    """Sizes of the run."""
    value: float
    low: float
    high: float
    run_low: float | None = None
    """Low end of the 90 % interval that a single run falls into; None if the fit did not say."""
    run_high: float | None = None
    beyond: dict[str, float]
    """Size -> factor by which the run lies beyond the largest that was fitted."""
    warnings: list[str] = Field(default_factory=list)

    @property
    def hash(self) -> str:
        """SHA-256 of the forecast as canonical JSON: publish it, and nobody can change the forecast afterwards."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


class Settlement(Response):
    """A forecast beside the loss that the run reached."""

    forecast: str
    """Hash of the forecast."""
    run: str
    settled_at: datetime
    actual: float
    predicted: float
    miss: float
    """Predicted over actual, minus 1."""
    within: bool | None
    """Whether the loss lies in the interval of a single run; None if the forecast has none."""

    @property
    def sentence(self) -> str:
        """The miss, and whether the interval held, in one line."""
        held = {True: "inside of", False: "outside of", None: "without"}[self.within]
        return (
            f"{self.run}: {self.actual:.4g} nats, foretold {self.predicted:.4g}: a miss of {100 * self.miss:+.2f} %, "
            f"{held} the 90 % interval of a run"
        )
