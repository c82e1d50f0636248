"""Wire shapes of the routes of scaling laws: options of a CSV upload, pages of fits."""

from typing import Self

from pydantic import Field, model_validator

from windtunnel.types.base import Request, misfit
from windtunnel.types.laws import CriticalBatchLaw, LawFitOptions


class CsvQuery(LawFitOptions):
    """Options of a fit whose table comes as CSV, as query parameters; with a JSON body they belong in the body."""

    critical_batch_tokens: float | None = Field(None, gt=0, description="B_star of the critical batch law to take.")
    critical_batch_exponent: float | None = Field(None, gt=0, le=10, description="alpha_B of the critical batch law.")

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.critical_batch_tokens is None) != (self.critical_batch_exponent is None):
            raise misfit(
                "/critical_batch_exponent",
                "critical_batch_tokens and critical_batch_exponent belong together; give both or none",
                self.critical_batch_exponent,
            )
        return self

    @property
    def critical_batch(self) -> CriticalBatchLaw | None:
        """Critical batch law that both options make; None where neither is given."""
        if self.critical_batch_tokens is None or self.critical_batch_exponent is None:
            return None
        return CriticalBatchLaw(tokens=self.critical_batch_tokens, exponent=self.critical_batch_exponent)


class FitsQuery(Request):
    """Query that chooses fits to list."""

    limit: int = Field(50, ge=1, le=200, description="Fits on one page.")
    cursor: str | None = Field(None, pattern="^law_[0-9a-z]{26}$", description="next_cursor of the page before.")
