"""TransferSpec: the rules that carry tuned values to another width and depth, and the measurements that support them."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from windtunnel.types.base import Request, misfit
from windtunnel.types.kinds import OneOf
from windtunnel.types.optimizers import OPTIMIZERS, names

Parametrization = Literal["mup", "u-mup", "spectral", "ntk", "standard"]
DecayRule = Literal["independent", "sqrt", "none"]
DepthRule = Literal["completep", "copy"]


@dataclass(frozen=True)
class HorizonRule:
    """Power law of the learning rate in the examples that a run sees."""

    exponent: float | None
    """Exponent h of lr ~ (batch size x steps)^h beside the rule of the batch; None: as the job fitted it over steps."""
    source: str


HORIZON_RULES: Mapping[str, HorizonRule] = {
    "fitted": HorizonRule(None, "the job's own fit (transfer.horizons)"),
    "completedp": HorizonRule(-0.5, "Complete(d)P, arXiv:2512.22382"),
    "hyperp": HorizonRule(-0.32, "HyperP, arXiv:2603.28743"),
    "marin": HorizonRule(-0.3, "Marin's Complete(d) AdamH recipe"),
}
"""Every rule for the length of a run, by name."""
HorizonRuleName = Annotated[str, OneOf(HORIZON_RULES)]
AveragesRule = Literal["copy", "completedp"]
AVERAGING = [info for info in OPTIMIZERS.values() if {"beta1", "beta2"} <= set(info.settings) and "eps" in info.settings]
"""Optimizers whose averages and eps a rule carries over steps."""

FOLLOWS_MUP: frozenset[Parametrization] = frozenset({"mup", "u-mup", "spectral"})
"""Parametrizations with the infinite-width limit of muP: all layers learn features. Rules for depth and decay hold here."""

DEEPENED = [info for info in OPTIMIZERS.values() if not info.why_no_completep]
"""Optimizers that the depth rule covers."""

PUBLISHED_DEPTH_EXPONENT: dict[Parametrization, float] = {"mup": 1.0, "u-mup": 0.5, "spectral": 1.0}
"""Default alpha of the depth rule: CompleteP's, but under u-muP the depth scaling that u-muP was published with."""


class LadderSpec(Request):
    """Runs of the tuned values at several widths at the end of the job, to see how the best learning rate moves."""

    widths: tuple[Annotated[int, Field(ge=4, le=8192)], ...] | None = Field(
        None,
        min_length=3,
        max_length=8,
        description="Rising widths, at least three; by default half, once, twice and four times the proxy's.",
    )
    seeds: int = Field(4, ge=2, le=64, description="Runs of each factor at each width.")
    weight_decay: bool = Field(False, description="Vary the weight decay as well.")
    standard: bool = Field(False, description="Run the same widths under the standard parametrization, for comparison.")

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.widths is not None and any(a >= b for a, b in pairwise(self.widths)):
            raise misfit("/widths", f"widths {list(self.widths)} do not rise", list(self.widths))
        return self


class ScalingSpec(Request):
    """Runs of the tuned values at several widths and lengths at the end of the job, to fit scaling laws in N and D."""

    widths: tuple[Annotated[int, Field(ge=4, le=8192)], ...] | None = Field(
        None,
        min_length=3,
        max_length=8,
        description="Rising widths, at least three; by default half, once, twice and four times the proxy's.",
    )
    steps: tuple[Annotated[int, Field(ge=2, le=1_000_000)], ...] | None = Field(
        None,
        min_length=3,
        max_length=8,
        description="Rising numbers of updates, at least three; by default an eighth to twice the job's own, by doublings.",
    )
    seeds: int = Field(2, ge=1, le=64, description="Runs of each width and length.")

    @model_validator(mode="after")
    def _rising(self) -> Self:
        for name, values in (("widths", self.widths), ("steps", self.steps)):
            if values is not None and any(a >= b for a, b in pairwise(values)):
                raise misfit(f"/{name}", f"{name} {list(values)} do not rise", list(values))
        return self


class TransferRules(Request):
    """Rules that carry values to another size, beside the parametrization's table.

    At the proxy's own size the rules change no value.
    """

    decay_rule: DecayRule = Field(
        "independent",
        description="Weight decay of hidden matrices at width ratio m, where the rate is lr / m and a step shrinks by "
        "lr*wd*w: independent: wd * m, so that lr*wd stays; sqrt: wd * sqrt(m); none: wd is copied. Where a step shrinks "
        "by wd*w the same shrinkage is: wd, wd / sqrt(m), wd / m.",
    )
    depth_rule: DepthRule | None = Field(
        None,
        description="completep: residual branches times m_L**-alpha. copy: added blocks take the last one's values. "
        f"Default: completep for families with residual branches under {names(DEEPENED, 'or')}, else copy.",
    )
    depth_exponent: float | None = Field(
        None,
        ge=0.5,
        le=1,
        description="alpha of completep: 1 by default (1/2 under u-mup, as published); 1/2 is depth-muP.",
    )
    horizon_rule: HorizonRuleName = Field(
        "fitted",
        description="Learning rate of a run of another length: fitted: by the exponent of transfer.horizons, else copied. "
        "By the examples seen to a power: completedp: -1/2; hyperp: -0.32; marin: -0.3.",
    )
    averages_rule: AveragesRule = Field(
        "copy",
        description="betas and eps of a run of other steps, r = T/T': copy; completedp: 1 - beta -> r (1 - beta), "
        f"eps -> eps / sqrt(r), under {names(AVERAGING, 'and')}.",
    )


class TransferSpec(TransferRules):
    """Rules that carry values to another size, beside the parametrization's table, and measurements for the transfer.

    At the proxy's own size the rules change no value.
    """

    noise_scale: bool = Field(
        True,
        description="Measure the gradient noise scale at the best point: the largest batch size that a plan may have.",
    )
    horizons: Literal[0, 2, 3] = Field(
        0,
        description="Fit the best learning rate as a power of the number of steps, over so many horizons (a half and the "
        "whole of the run, and a quarter); 0: no fit.",
    )
    ladder: LadderSpec | None = Field(
        None,
        description="Run the tuned values at several widths; a plan is refused if their drift fails. {}: the defaults.",
    )
    scaling: ScalingSpec | None = Field(
        None,
        description="Run the tuned values over widths and lengths, and fit scaling laws to the losses. {}: the defaults.",
    )
