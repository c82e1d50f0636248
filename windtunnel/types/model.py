"""The proxy: which small model is trained, and how large it is."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from windtunnel.types.base import Request, misfit

Family = Literal["mlp", "resnet", "transformer", "module"]
"""``module`` is a torch.nn.Module of one's own."""
Activation = Literal["relu", "gelu", "tanh"]

FAMILY_DEFAULTS: dict[str, dict[str, Any]] = {
    "mlp": {"width": 64, "depth": 2, "activation": "relu"},
    "resnet": {"width": 16, "depth": 2, "activation": "relu"},
    "transformer": {"width": 48, "depth": 2, "activation": "gelu", "d_head": 16},
    "module": {"width": 64, "depth": 2, "activation": "relu"},
}
"""Size of a family when the request gives none."""


class ModelSpec(Request):
    """The proxy: the small model that is trained here.

    What a job leaves out follows from its task: the family that the task lists first, at that family's default size.
    """

    family: Family = "mlp"
    width: int = Field(64, ge=4, le=8192, description="Units of a hidden layer, channels, or the residual stream.")
    depth: int = Field(2, ge=1, le=32, description="Hidden layers, residual blocks, or transformer blocks.")
    activation: Activation = "relu"
    d_head: int | None = Field(
        None, ge=1, le=1024, description="Transformer only: width of a head, the same at every width; 16 by default."
    )

    @model_validator(mode="after")
    def _belongs_to_family(self) -> Self:
        if self.family == "module" and self.activation != "relu":
            raise misfit(
                "/activation",
                f"activation {self.activation!r} is no setting of a module of one's own: it brings its own; leave it out",
                self.activation,
            )
        if self.family != "transformer" and self.d_head is not None:
            raise misfit("/d_head", f"d_head is no setting of family {self.family!r}; allowed: transformer", self.d_head)
        if self.family == "transformer" and self.width % self.head:
            raise misfit(
                "/width", f"width {self.width} is no multiple of d_head {self.head}: a head must not be cut", self.width
            )
        return self

    @property
    def head(self) -> int:
        """Width of an attention head."""
        return 16 if self.d_head is None else self.d_head

    @property
    def width_step(self) -> int:
        """Distance of the widths that the family can have: a head must not be cut."""
        return self.head if self.family == "transformer" else 1

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the hidden layers or blocks that ``depth`` counts; none for a module of one's own."""
        match self.family:
            case "mlp":
                stack = "layers"
            case "resnet" | "transformer":
                stack = "blocks"
            case "module":
                return ()
        return tuple(f"{stack}.{index}" for index in range(self.depth))


def with_defaults(given: Any, families: tuple[Family, ...], size: Mapping[str, int] | None = None) -> Any:
    """A model as requested, filled up with the defaults of its family; anything but a mapping passes through.

    Args:
        given: what the request has under ``model``; an empty mapping where it has nothing.
        families: of the task; the first is the default.
        size: of the task's own model, in place of the family's.
    """
    if not isinstance(given, dict):
        return given
    family: Any = given.get("family", families[0])
    defaults = FAMILY_DEFAULTS.get(family, {}) if isinstance(family, str) else {}
    return {"family": family, **defaults, **(size or {}), **given}
