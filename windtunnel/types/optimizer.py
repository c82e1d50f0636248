"""OptimizerSpec: the inner optimizer, its decay, and the values of hyperparameters that are not searched."""

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, model_validator

from windtunnel.types.base import Request, misfit
from windtunnel.types.hyperparameters import HyperparameterName
from windtunnel.types.kinds import OneOf
from windtunnel.types.optimizers import (
    BOUNDS,
    OPTIMIZERS,
    DecayKind,
    OptimizerInfo,
    OptionName,
    OptionValue,
    SettingName,
    decay_words,
    option_words,
    setting_words,
)

_OPTIONS: tuple[OptionName, ...] = get_args(OptionName)
OptimizerName = Annotated[str, OneOf(OPTIMIZERS)]
"""A name of the table of optimizers."""


def _setting(name: SettingName) -> Any:
    """The field of a setting that only some optimizers have."""
    bounds = BOUNDS[name]
    limits: dict[str, Any] = {
        "ge" if bounds.includes_low else "gt": bounds.low,
        "le" if bounds.includes_high else "lt": bounds.high,
    }
    return Field(None, **limits, description=setting_words(name))


class OptimizerSpec(Request):
    """The update rule, and the values of the hyperparameters that are not searched.

    A searched hyperparameter starts from the value given here, except that the learning rate starts
    where the scout finds the lowest loss.
    """

    name: OptimizerName = "adamw"
    decay: DecayKind | None = Field(
        None,
        description="decoupled: w -= lr*wd*w (AdamW). l2: wd*w is added to the gradient. independent: w -= wd*w. "
        f"Default: {decay_words()}.",
    )
    learning_rate: float = Field(0.003, gt=0, le=100)
    weight_decay: float = Field(0.01, ge=0, le=1000)
    momentum: float | None = _setting("momentum")
    beta1: float | None = _setting("beta1")
    beta2: float | None = _setting("beta2")
    eps: float | None = _setting("eps")
    nesterov: bool | None = Field(None, description=f"Look ahead along the momentum. {option_words('nesterov')}")
    ns_steps: int | None = Field(
        None, ge=1, le=20, description=f"Newton-Schulz iterations of a step. {option_words('ns_steps')}"
    )
    adjust_lr_fn: Literal["match_rms_adamw", "original", "spectral"] | None = Field(
        None,
        description="Factor on the rate of a matrix [A, B]. match_rms_adamw: 0.2 sqrt(max(A, B)), so that one rate serves "
        "the AdamW part, too. original: sqrt(max(1, A / B)), torch's default. spectral: sqrt(A / B). "
        f"{option_words('adjust_lr_fn')}",
    )
    clip_norm: float | None = Field(1.0, gt=0, description="Clip threshold on the global gradient norm; null: none.")

    @model_validator(mode="after")
    def _belongs_to_rule(self) -> Self:
        info = self.info
        if self.decay is not None and self.decay not in info.decays:
            reason, advice = info.no_decay
            raise misfit(
                "/decay",
                f"decay {self.decay!r} with optimizer {self.name!r} {reason}; allowed for {self.name}: "
                f"{', '.join(info.decays)} ({advice})",
                self.decay,
            )
        foreign = [name for name in BOUNDS if name not in info.settings and getattr(self, name) is not None]
        if foreign:
            raise misfit(
                f"/{foreign[0]}",
                f"{foreign[0]} is no setting of optimizer {self.name!r}; allowed: {', '.join(info.settings) or 'none'}",
                getattr(self, foreign[0]),
            )
        odd = [name for name in _OPTIONS if name not in info.options and getattr(self, name) is not None]
        if odd:
            raise misfit(
                f"/{odd[0]}",
                f"{odd[0]} is no option of optimizer {self.name!r}; allowed: {', '.join(info.options) or 'none'}",
                getattr(self, odd[0]),
            )
        return self

    @property
    def options(self) -> dict[OptionName, OptionValue]:
        """Options in force: as requested, or the optimizer's defaults; {} for an optimizer without options."""
        given = {name: getattr(self, name) for name in OPTIMIZERS[self.name].options}
        return {name: OPTIMIZERS[self.name].options[name] if value is None else value for name, value in given.items()}

    @property
    def info(self) -> OptimizerInfo:
        """Record of the optimizer, under the options in force."""
        return OPTIMIZERS[self.name].chosen(self.options)

    @property
    def decay_kind(self) -> DecayKind:
        """Kind of decay in force: as requested, or the optimizer's default."""
        return self.info.decay if self.decay is None else self.decay

    def default(self, name: HyperparameterName) -> float | None:
        """Value of an optimizer hyperparameter that is not searched; None where it is switched off."""
        value: float | None = getattr(self, name)
        defaults: dict[str, float] = dict(self.info.settings.items())
        return defaults.get(name) if value is None else value
