"""How tuned values are carried to another width and depth: which table, which rule for decay, which for depth."""

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from windtunnel.types.base import Request, misfit
from windtunnel.types.optimizers import OPTIMIZERS, names

Parametrization = Literal["mup", "u-mup", "spectral", "ntk", "standard"]
DecayRule = Literal["independent", "sqrt", "none"]
DepthRule = Literal["completep", "copy"]

FOLLOWS_MUP: frozenset[Parametrization] = frozenset({"mup", "u-mup", "spectral"})
"""Parametrizations whose wide limit is that of muP: all layers learn. Rules for depth and decay are derived for these."""

DEEPENED = [info for info in OPTIMIZERS.values() if not info.why_no_completep]
"""Optimizers for whose updates the rule of depth is derived."""

PUBLISHED_DEPTH_EXPONENT: dict[Parametrization, float] = {"mup": 1.0, "u-mup": 0.5, "spectral": 1.0}
"""alpha where a spec names none: CompleteP's, but under u-muP the depth scaling that it was published with."""


class LadderSpec(Request):
    """Runs of the tuned values at several widths, at the end of the job: does the best learning rate stand still?"""

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
    """Runs of the tuned values over several widths and several lengths, at the end of the job: a scaling law in N and D."""

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


class TransferSpec(Request):
    """How values are carried beyond the parametrization's table. At the proxy's own size none of it changes a value."""

    decay_rule: DecayRule = Field(
        "independent",
        description="How lambda of hidden matrices goes with the width m, where the rate is lr / m and a step shrinks by "
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
    noise_scale: bool = Field(
        True,
        description="Measure the gradient noise scale at the best point: up to which batch size a plan may go.",
    )
    horizons: Literal[0, 2, 3] = Field(
        0,
        description="Fit how the best learning rate goes with the number of steps, over so many horizons (a half and the "
        "whole of the run, and a quarter); 0: no fit.",
    )
    ladder: LadderSpec | None = Field(
        None, description="Climb a ladder of widths with the tuned values; its drift gates plans. {} takes the defaults."
    )
    scaling: ScalingSpec | None = Field(
        None,
        description="Run the tuned values over widths and lengths, and fit scaling laws to the ends. {}: the defaults.",
    )
