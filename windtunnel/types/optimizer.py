"""The inner optimizer: the update rule, its decay, and the values that are not searched."""

from typing import Literal, Self

from pydantic import Field, model_validator

from windtunnel.types.base import Request, misfit
from windtunnel.types.hyperparameters import HyperparameterName

OptimizerName = Literal["sgd", "adam", "adamw"]
DecayKind = Literal["decoupled", "l2", "independent"]


class OptimizerSpec(Request):
    """The update rule, and the values of the hyperparameters that are not searched.

    A searched hyperparameter starts from the value given here, except that the learning rate starts
    where the scout finds the lowest loss.
    """

    name: OptimizerName = "adamw"
    decay: DecayKind | None = Field(
        None,
        description="decoupled: w -= lr*wd*w (AdamW). l2: wd*w is added to the gradient. independent: w -= wd*w. "
        "Default: decoupled for adamw, l2 for sgd and adam.",
    )
    learning_rate: float = Field(0.003, gt=0, le=100)
    weight_decay: float = Field(0.01, ge=0, le=1000)
    momentum: float | None = Field(None, ge=0, lt=1, description="SGD only; 0.9 by default.")
    beta1: float | None = Field(None, ge=0, lt=1, description="Adam and AdamW only; 0.9 by default.")
    beta2: float | None = Field(None, ge=0, lt=1, description="Adam and AdamW only; 0.999 by default.")
    eps: float | None = Field(None, gt=0, le=1, description="Adam and AdamW only; 1e-8 by default.")
    clip_norm: float | None = Field(1.0, gt=0, description="Clip threshold on the global gradient norm; null: none.")

    @model_validator(mode="after")
    def _belongs_to_rule(self) -> Self:
        if self.name == "adamw" and self.decay == "l2":
            raise misfit(
                "/decay",
                "decay 'l2' with optimizer 'adamw' is a contradiction; allowed for adamw: decoupled, independent "
                "(choose optimizer 'adam' for L2 in the gradient)",
                "l2",
            )
        if self.name == "sgd":
            foreign = [name for name in ("beta1", "beta2", "eps") if getattr(self, name) is not None]
        else:
            foreign = ["momentum"] if self.momentum is not None else []
        if foreign:
            allowed = "momentum" if self.name == "sgd" else "beta1, beta2, eps"
            raise misfit(
                f"/{foreign[0]}",
                f"{foreign[0]} is no setting of optimizer {self.name!r}; allowed: {allowed}",
                getattr(self, foreign[0]),
            )
        return self

    @property
    def decay_kind(self) -> DecayKind:
        """The decay rule in force."""
        if self.decay is not None:
            return self.decay
        return "decoupled" if self.name == "adamw" else "l2"

    def default(self, name: HyperparameterName) -> float | None:
        """Value of an optimizer hyperparameter that is not searched; None where it is switched off."""
        fallback = {"momentum": 0.9, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
        value: float | None = getattr(self, name)
        return fallback.get(name) if value is None else value
