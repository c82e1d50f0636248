"""Regularisers: terms and noise of the training loss, off unless a job asks for them."""

from pydantic import Field

from windtunnel.types.base import Request
from windtunnel.types.hyperparameters import HyperparameterName


class RegularizationSpec(Request):
    """Values of the regularisers that are not searched, starts of those that are. 0 is off."""

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

    def value(self, name: HyperparameterName) -> float:
        """Value by name."""
        found: float = getattr(self, name)
        return found
