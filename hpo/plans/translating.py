"""Translation: factors on a plan's values for another batch size, length or data set. Imports no torch."""

from dataclasses import dataclass, field

from hpo.errors import Refused
from windtunnel.types.plans import Assumption


@dataclass(frozen=True)
class Translation:
    """Factors on every tensor's values for batch size, horizon and data, applied after the rules of the width."""

    learning_rate: float = 1.0
    weight_decay: float = 1.0
    """Factor on lambda, for every kind of decay."""
    eps: float = 1.0
    betas: dict[str, float] = field(default_factory=dict)
    """Name of an average of the optimizer -> its value in the target; empty where all stay."""
    formulas: dict[str, str] = field(default_factory=dict)
    """Quantity -> factor on its formula, as text."""
    assumptions: list[Assumption] = field(default_factory=list)
    uncovered: list[str] = field(default_factory=list)
    """Sentences on changes that were not translated."""
    objection: Refused | None = None
    """Refusal of a translation that must not be made unless forced; None: nothing speaks against it."""
