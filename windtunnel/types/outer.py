"""OuterSpec: the outer loop of a job, its length, its starts, and the seeds that judge the last candidates."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from windtunnel.types.base import Request

MOST_OUTER_STEPS = 1000


class OuterSpec(Request):
    """The optimization of the hyperparameters."""

    steps: int = Field(
        12, ge=1, le=MOST_OUTER_STEPS, description="Outer steps after the scout, at most; 1000 by default with a budget."
    )
    budget: float | None = Field(
        None,
        ge=20,
        le=1_000_000,
        description="Run-equivalents for scout and outer steps; the job ends with the step that spends the last of it.",
    )
    scout: bool = Field(
        True, description="Sweep first (learning rates; with auto the whole space) and start from the best."
    )
    starts: int = Field(
        1,
        ge=1,
        le=16,
        description="Points to follow the hypergradient from, as one population; dropped as they fall behind. 1 with auto.",
    )
    early_stopping: bool = Field(
        False,
        description="End a candidate of a race as soon as its extrapolated loss cannot win. Not with stn and delta_stn.",
    )
    finish_seeds: int = Field(8, ge=2, le=256, description="Fresh seeds that judge the last candidates.")

    @model_validator(mode="before")
    @classmethod
    def _steps_of_budget(cls, data: Any) -> Any:
        # A budget that is given must not be cut short by a number of steps that is not.
        if isinstance(data, Mapping) and data.get("budget") is not None and "steps" not in data:
            return {**data, "steps": MOST_OUTER_STEPS}
        return data

    @property
    def planned_steps(self) -> int | None:
        """Outer steps of the whole job; None where the budget alone ends it."""
        return None if self.budget is not None and self.steps == MOST_OUTER_STEPS else self.steps
