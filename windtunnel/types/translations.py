"""NoiseScale and HorizonFit: measurements of a job that carry its values to another batch size and length of the run."""

from windtunnel.types.base import Response


class NoiseScale(Response):
    """The gradient noise scale tr(Sigma) / |G|^2 along runs at the best point.

    G is the gradient over the training set, Sigma the covariance of one example's gradient (McCandlish et al. 2018,
    equation 2.9, "B_simple"). It estimates the critical batch size: below, twice the batch does nearly the work of
    twice the steps.
    """

    examples: float | None
    """Noise scale in examples, mean over ``times``; null where the gradient is too small beside its noise."""
    low: float
    """Lower end of the 95 % interval (jackknife over runs)."""
    high: float | None
    """Upper end of the interval; null where it is open."""
    times: list[float]
    """Shares of the run at which it was measured."""
    at: list[float | None]
    """Estimate at each of ``times``; null where there is none."""
    runs: int
    batches: int
    """Number of batches drawn at each time of each run."""

    @property
    def sentence(self) -> str:
        """The estimate in one line."""
        if self.examples is None or self.high is None:
            return f"above {self.low:.0f} examples (gradient noise scale of the proxy)"
        return f"about {self.examples:.0f} examples (gradient noise scale of the proxy, {self.low:.0f} to {self.high:.0f})"


class HorizonFit(Response):
    """Best learning rate as a power of the length of the run, fitted to runs of several lengths."""

    horizons: list[int]
    """Optimizer steps of the runs; the longest is the job's own."""
    factors: list[float]
    """Factors on every learning rate of a run."""
    losses: list[list[list[float | None]]]
    """Validation loss for each horizon, factor and seed; null where a run diverged."""
    exponent: float | None
    """Exponent h of best learning rate ~ steps^h; null where the runs do not tell."""
    low: float | None
    high: float | None
    """Upper end of the 95 % interval of the exponent, from one fit of all horizons, by Fieller's theorem."""
    run_equivalents: float
    """Cost in runs of the proxy; not part of the tuning's cost."""

    @property
    def is_sure(self) -> bool:
        """Whether the interval excludes 0: only then is the exponent used."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high
