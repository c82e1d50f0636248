"""Allocations on the wire: a budget of compute, time or money, and the sizes that each scaling law spends it on."""

from typing import Self

from pydantic import Field, model_validator

from windtunnel.types.base import Request, Response, misfit
from windtunnel.types.laws import LawRefusal


class AllocationRequest(Request):
    """A budget: exactly one of flops, seconds and money."""

    flops: float | None = Field(None, ge=1e12, le=1e32, description="Floating-point operations of the training run.")
    seconds: float | None = Field(None, gt=0, le=1e10, description="Time; needs flops_per_second.")
    money: float | None = Field(None, gt=0, le=1e12, description="Needs price_per_hour and flops_per_second.")
    flops_per_second: float | None = Field(
        None, ge=1e6, le=1e24, description="Speed of the whole machine while training, utilisation included."
    )
    price_per_hour: float | None = Field(
        None, gt=0, le=1e9, description="Price of the whole machine, in the unit of money."
    )
    fit: str | None = Field(None, max_length=40, description="Id of a stored fit, to compare with the published laws.")
    batch_size: float | None = Field(
        None, gt=0, le=1e12, description="Tokens of an update; default: the critical batch size at the end."
    )

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        given = [name for name in ("flops", "seconds", "money") if getattr(self, name) is not None]
        if len(given) != 1:
            told = f"{' and '.join(given)} were given" if given else "no budget was given"
            raise misfit(f"/{given[1] if given else 'flops'}", f"{told}; give exactly one of flops, seconds, money", given)
        if given != ["flops"] and self.flops_per_second is None:
            raise misfit("/flops_per_second", f"{given[0]} become compute by flops_per_second, which is not given", None)
        if given == ["money"] and self.price_per_hour is None:
            raise misfit("/price_per_hour", "money becomes time by price_per_hour, which is not given", None)
        return self

    @property
    def compute(self) -> float:
        """C: floating-point operations that the budget buys."""
        if self.flops is not None:
            return self.flops
        assert self.flops_per_second is not None
        if self.seconds is not None:
            return self.seconds * self.flops_per_second
        assert self.money is not None and self.price_per_hour is not None
        return self.money / self.price_per_hour * 3600 * self.flops_per_second


class BatchChoice(Response):
    """Another batch size that reaches the loss of the allocation, and its cost."""

    batch_size: float
    steps: float
    tokens: float
    compute: float
    time_share: float
    """Steps over the steps at the allocation's own batch size: the time, if a larger batch is spread over more machines."""
    compute_share: float
    """Compute over the budget."""
    seconds: float | None
    """Time on the machine of the request, whose speed is taken to be the same at every batch size; None without a speed."""


class Allocation(Response):
    """Sizes and loss of the best run within the budget, by one law."""

    law: str
    source: str
    parameters: float
    parameters_low: float | None = None
    """Low end of the 90 % interval of the best size; None for a published law, which has none."""
    parameters_high: float | None = None
    batch_size: float
    steps: float
    steps_min: float
    tokens: float
    tokens_low: float | None = None
    tokens_high: float | None = None
    tokens_per_parameter: float
    compute: float
    compute_min: float
    critical_batch: float
    loss: float
    low: float | None = None
    high: float | None = None
    powers: dict[str, float]
    """Local exponents of parameters, tokens, batch size and steps as powers of the compute."""
    data_against_overfitting: float
    """Kaplan's 5e3 N^0.74: distinct tokens that keep overfitting below 0.02 nats."""
    trade_off: list[BatchChoice]
    notes: list[str]
    residual: float | None = None
    """Scatter of the runs about the fitted law, in log loss; None for a published law."""
    held_out_miss: float | None = None
    """Predicted over actual loss of the largest run, minus 1, by a fit without it; None where none was held out."""
    warnings: list[str] = Field(default_factory=list)
    """Sentences on what speaks against the fitted law."""


class FrontierCurve(Response):
    """Best parameters and tokens of a law over a range of compute, and the loss there."""

    law: str
    compute: list[float]
    parameters: list[float]
    tokens: list[float]
    loss: list[float]


class IsoFlop(Response):
    """Loss by model size at a fixed compute."""

    law: str
    compute: float
    parameters: list[float]
    loss: list[float]
    best: int
    """Index of the lowest loss."""


class AllocationPlan(Response):
    """The budget spent by each law, side by side."""

    compute: float
    pf_days: float
    budget: str
    """Sentence that derives the compute from the fields of the request."""
    fit: str | None
    warnings: list[str] = Field(default_factory=list)
    """First to be read: laws of the fit that disagree beyond their intervals, and laws that were refused."""
    refusals: list[LawRefusal] = Field(default_factory=list)
    """Laws of the fit that no budget may be spent by."""
    allocations: list[Allocation]
    why: list[str]
    """Reasons why the laws differ."""
    frontiers: list[FrontierCurve]
    iso_flops: list[IsoFlop]
