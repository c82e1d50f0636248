"""ModelSpec: the proxy, the small model that a job trains: its family and its size."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Self

from pydantic import Field, model_validator

from windtunnel.types.base import Request, misfit
from windtunnel.types.families import FAMILIES, Activation, FamilyInfo, FamilyName, heads_words


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
        if self.width % self.width_step:
            raise misfit(
                "/width", f"width {self.width} is no multiple of d_head {self.head}: a head must not be cut", self.width
            )
        return self

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
        """Step between the widths that the family can have: a whole attention head, or 1 without heads."""
        return self.head if self.info.heads else 1

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
