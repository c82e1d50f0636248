"""ModelSpec: the proxy, the small model that a job trains: its family and its size."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Self

from pydantic import Field, model_validator

from windtunnel.types.base import Request, misfit
from windtunnel.types.families import FAMILIES, OPTIONS, Activation, BlockOptions, FamilyInfo, FamilyName, heads_words
from windtunnel.types.kinds import listed
from windtunnel.types.tensors import is_none

_ONLY = f"Only {listed([name for name, info in FAMILIES.items() if info.options is not None], 'and')}."


class ModelSpec(Request):
    """The proxy: the small model that the job trains.

    Fields that a job leaves out follow from its task: the family that the task lists first, at that family's default size.
    """

    family: FamilyName = "mlp"
    width: int = Field(64, ge=4, le=8192, description="Units of a hidden layer, channels, or the residual stream.")
    depth: int = Field(2, ge=1, le=32, description="Hidden layers, residual blocks, or transformer blocks.")
    activation: Activation = "relu"
    d_head: int | None = Field(
        None,
        ge=1,
        le=1024,
        description=f"Width of a head, the same at every width. Default: {heads_words()}; other families have none.",
    )
    gqa_ratio: int | None = Field(
        None,
        ge=1,
        le=64,
        exclude_if=is_none,
        description="Query heads that share a head of keys and values (grouped-query attention), the same at every width. "
        f"Default: 1. {_ONLY}",
    )
    multiple_of: int | None = Field(
        None,
        ge=1,
        le=4096,
        exclude_if=is_none,
        description=f"The MLP has 8/3 of the width in units, rounded up to a multiple of this. Default: 8. {_ONLY}",
    )
    norm_gains: bool | None = Field(
        None, exclude_if=is_none, description=f"Whether norms have gains that are trained. Default: false. {_ONLY}"
    )
    qk_norm: bool | None = Field(
        None,
        exclude_if=is_none,
        description=f"Whether queries and keys are normalised, head by head. Default: false. {_ONLY}",
    )
    rope_theta: float | None = Field(
        None,
        gt=1,
        le=1e9,
        exclude_if=is_none,
        description=f"Base of the wavelengths of rotary positions. Default: 10000. {_ONLY}",
    )

    @model_validator(mode="after")
    def _belongs_to_family(self) -> Self:
        info = self.info
        if info.from_task and self.activation != info.size.activation:
            raise misfit(
                "/activation",
                f"activation {self.activation!r} is no setting of a module of one's own: it brings its own; leave it out",
                self.activation,
            )
        if not info.heads and self.d_head is not None:
            allowed = ", ".join(name for name, other in FAMILIES.items() if other.heads)
            raise misfit("/d_head", f"d_head is no setting of family {self.family!r}; allowed: {allowed}", self.d_head)
        for name, value in self._given.items():
            if info.options is None:
                allowed = ", ".join(name for name, other in FAMILIES.items() if other.options is not None)
                raise misfit(f"/{name}", f"{name} is no setting of family {self.family!r}; allowed: {allowed}", value)
        if info.options is not None and self.head % 2:
            raise misfit("/d_head", f"d_head {self.head} is odd: rotary positions turn pairs of its entries", self.head)
        if self.width % self.width_step:
            raise misfit(
                "/width", f"width {self.width} is no multiple of {self.width_unit}: a head must not be cut", self.width
            )
        return self

    @property
    def _given(self) -> dict[str, Any]:
        """Options that the request gives, by name."""
        return {name: value for name in OPTIONS if (value := getattr(self, name)) is not None}

    @property
    def options(self) -> BlockOptions:
        """Options of its family, with those that the request gives.

        Raises:
            ValueError: its family has none.
        """
        if self.info.options is None:
            raise ValueError(f"family {self.family!r} has no options")
        return replace(self.info.options, **self._given)

    @property
    def info(self) -> FamilyInfo:
        """Record of its family."""
        return FAMILIES[self.family]

    @property
    def head(self) -> int:
        """Width of an attention head; 1 in a family without heads."""
        return (self.info.size.d_head or 1) if self.d_head is None else self.d_head

    @property
    def width_step(self) -> int:
        """Step between the widths that the family can have: whole attention heads, or 1 without heads."""
        if not self.info.heads:
            return 1
        return self.head if self.info.options is None else self.head * self.options.gqa_ratio

    @property
    def width_unit(self) -> str:
        """Setting that every width is a multiple of, in words, with its value: ``d_head 16``."""
        if self.width_step == self.head:
            return f"d_head {self.head}"
        return f"d_head {self.head} times gqa_ratio {self.width_step // self.head}, {self.width_step}"

    @property
    def logits_over(self) -> str:
        """Divisor of the products of queries and keys, in words: ``d_head``, or its root where both are normalised."""
        return "sqrt(d_head)" if self.info.options is not None and self.options.qk_norm else "d_head"

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the hidden layers or blocks that ``depth`` counts; none for a module of one's own."""
        stack = self.info.stack
        return () if stack is None else tuple(f"{stack}.{index}" for index in range(self.depth))


def with_defaults(given: Any, families: tuple[str, ...], size: Mapping[str, int] | None = None) -> Any:
    """A model as requested, filled up with the defaults of its family; anything but a mapping passes through.

    Args:
        given: the request's ``model``; an empty mapping where the request has none.
        families: families that can learn the task; the first is the default.
        size: default size of the task's own model, in place of the family's.
    """
    if not isinstance(given, dict):
        return given
    family: Any = given.get("family", families[0])
    info = FAMILIES.get(family) if isinstance(family, str) else None
    return {"family": family, **({} if info is None else sizes_of(info)), **(size or {}), **given}


def sizes_of(info: FamilyInfo) -> dict[str, Any]:
    """The default size of a family, as fields of a request."""
    return {name: size for name, size in asdict(info.size).items() if size is not None}
