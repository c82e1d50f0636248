"""How tuned values are carried to another width and depth: which table, which rule for decay, which for depth."""

from typing import Literal

from pydantic import Field

from windtunnel.types.base import Request

Parametrization = Literal["mup", "u-mup", "spectral", "ntk", "standard"]
DecayRule = Literal["independent", "sqrt", "none"]
DepthRule = Literal["completep", "copy"]

FOLLOWS_MUP: frozenset[Parametrization] = frozenset({"mup", "u-mup", "spectral"})
"""Parametrizations whose wide limit is that of muP: all layers learn. Rules for depth and decay are derived for these."""

PUBLISHED_DEPTH_EXPONENT: dict[Parametrization, float] = {"mup": 1.0, "u-mup": 0.5, "spectral": 1.0}
"""alpha where a spec names none: CompleteP's, but under u-muP the depth scaling that it was published with."""


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
        "Default: completep for families with residual branches under adam or adamw, else copy.",
    )
    depth_exponent: float | None = Field(
        None,
        ge=0.5,
        le=1,
        description="alpha of completep: 1 by default (1/2 under u-mup, as published); 1/2 is depth-muP.",
    )
