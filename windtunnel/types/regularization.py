"""Regularisers: terms and noise of the training loss, off unless a job asks for them."""

from typing import Self

from pydantic import Field, model_validator

from windtunnel.types.base import Request, misfit
from windtunnel.types.hyperparameters import HARD_RANGES, REGULARISERS, HyperparameterName

LABELS, KNOTS = 128, 1001
"""Largest numbers of lines of a schedule, and of knots of a line."""


class RegularizationSpec(Request):
    """Values of the regularisers: constants, or starts of the searched ones. 0 is off."""

    l2: float = Field(0.0, ge=0, le=100, description="lambda of lambda / 2 |w|^2 in the training loss, matrices only.")
    dropout: float = Field(
        0.0,
        ge=0,
        le=0.95,
        description="Rate p. Trained as multiplicative Gaussian noise of variance p / (1 - p), which has the mean and the "
        "variance of Bernoulli dropout and a derivative in p.",
    )
    label_smoothing: float = Field(0.0, ge=0, le=0.95, description="Share of the target spread over all classes.")
    input_noise: float = Field(0.0, ge=0, le=100, description="Standard deviation of Gaussian noise on the inputs.")
    augmentation: float = Field(
        0.0, ge=0, le=100, description="Standard deviation of random shifts of images, in pixels; image tasks only."
    )
    schedule: dict[str, tuple[float, ...]] = Field(
        default_factory=dict,
        max_length=LABELS,
        description="Regularisers that move while a run trains and are not searched: label (dropout, dropout.layers.0, "
        "l2.hidden) -> values at evenly spaced times from the start to the end, with straight lines between.",
    )

    @model_validator(mode="after")
    def _sound_schedule(self) -> Self:
        for label, line in self.schedule.items():
            self._check_line(label, line)
        if len(counts := {len(line) for line in self.schedule.values()}) > 1:
            given = " and ".join(map(str, sorted(counts)))
            raise misfit("/schedule", f"lines of {given} knots; allowed: as many in every line", None)
        return self

    def _check_line(self, label: str, line: tuple[float, ...]) -> None:
        name, dot, key = label.partition(".")
        path = f"/schedule/{label}"
        if name not in REGULARISERS:
            raise misfit(path, f"no regulariser {name!r}; allowed: {', '.join(REGULARISERS)}", label)
        if dot and (name not in ("l2", "dropout") or not key):
            raise misfit(path, f"{name} has one value for all; allowed: the label {name}", label)
        least, most = HARD_RANGES[name]
        if not 2 <= len(line) <= KNOTS:
            raise misfit(path, f"{len(line)} knots; allowed: 2 to {KNOTS}", None)
        for value in line:
            if not least <= value <= most:
                raise misfit(path, f"{value:g} is no value of {name}; allowed: {least:g} to {most:g}", value)
        if self.value(name) > 0:
            raise misfit(
                f"/{name}",
                f"{name} is held and moves by regularization.schedule; allowed: one of the two",
                self.value(name),
            )

    def value(self, name: HyperparameterName) -> float:
        """Value of a regulariser by its name."""
        found: float = getattr(self, name)
        return found

    @property
    def moving(self) -> frozenset[HyperparameterName]:
        """Regularisers that follow the schedule, or parts of which do; the other parts are off."""
        labels = {label.partition(".")[0] for label in self.schedule}
        return frozenset(name for name in REGULARISERS if name in labels)

    @property
    def ends(self) -> dict[str, float]:
        """Last value of every line of the schedule."""
        return {label: line[-1] for label, line in self.schedule.items()}
