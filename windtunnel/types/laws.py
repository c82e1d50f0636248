"""Scaling laws on the wire: tables of runs, and fits with intervals."""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, Self, get_args

from pydantic import Field, ValidationInfo, field_validator, model_validator

from windtunnel.types.base import Request, Response, misfit

LawName = Literal[
    "loss_parameters",
    "loss_tokens",
    "loss_parameters_tokens",
    "loss_parameters_steps",
    "loss_compute",
    "critical_batch",
    "hoffmann",
]
MOST_TO_LEAST: tuple[LawName, ...] = (
    "hoffmann",
    "loss_parameters_tokens",
    "loss_parameters_steps",
    "loss_compute",
    "loss_parameters",
    "loss_tokens",
)
"""Laws of the loss, sorted by how much of a run they use: the ones that use most come first."""
ColumnName = Literal[
    "parameters",
    "tokens",
    "loss",
    "batch_size",
    "steps",
    "compute",
    "critical_batch",
    "warmup_steps",
    "unique_tokens",
    "run",
]
COLUMNS: tuple[ColumnName, ...] = get_args(ColumnName)
MAX_ROWS = 200_000
LONGEST_INTEGER = 1023
"""Bits of an integer that double precision surely holds."""

UNITS: dict[ColumnName, str] = {
    "parameters": "N, without embeddings",
    "tokens": "D, tokens trained on",
    "loss": "nats a token",
    "batch_size": "B, tokens of an update",
    "steps": "S, updates",
    "compute": "C, floating-point operations",
    "critical_batch": "B_crit, tokens",
    "warmup_steps": "updates of the warmup",
    "unique_tokens": "U, distinct tokens of the training data",
    "run": "name or number that the points of one training run share",
}


class LawColumns(Request):
    """A table of runs, one list a column, all of the same length: positive, finite numbers, and names of runs."""

    parameters: list[float] | None = Field(None, description="N: parameters without embeddings.")
    tokens: list[float] | None = Field(None, description="D: tokens trained on; batch_size * steps where left out.")
    loss: list[float] | None = Field(None, description="Test loss, nats a token.")
    batch_size: list[float] | None = Field(None, description="B: tokens of one update.")
    steps: list[float] | None = Field(None, description="S: updates.")
    compute: list[float] | None = Field(None, description="C: floating-point operations; 6 N D where left out.")
    critical_batch: list[float] | None = Field(None, description="B_crit: measured critical batch size, tokens.")
    warmup_steps: list[float] | None = Field(None, description="Updates of the warmup; a row within it is refused.")
    unique_tokens: list[float] | None = Field(
        None,
        description="U: distinct tokens of the training data. Tokens beyond them are repeats, and count for what they are "
        "worth in fresh ones. Default: no token is repeated.",
    )
    run: list[str | float] | None = Field(
        None,
        description="Name or number that the rows of one training run share: their errors are taken as one draw. Default: "
        "every row is a run of its own.",
    )

    @field_validator("*", mode="before")
    @classmethod
    def _plain_numbers(cls, given: Any, info: ValidationInfo) -> Any:
        if info.field_name == "run":
            return given
        # Thousands of wrong cells are one mistake: the first is named.
        for row, value in enumerate(given if isinstance(given, list) else ()):
            problem = cell_problem(value)
            if problem:
                raise misfit(f"/{row}", f"row {row + 1} {problem}; allowed: a positive, finite number", value)
        return given

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        lengths = {name: len(values) for name, values in self if values is not None}
        if not lengths:
            raise misfit("", f"the table has no column; allowed: {', '.join(COLUMNS)}", {})
        rows = next(iter(lengths.values()))
        for name, length in lengths.items():
            if length != rows:
                raise misfit(f"/{name}", f"{name} has {length} rows, and the first column has {rows}", length)
        if not 1 <= rows <= MAX_ROWS:
            raise misfit(f"/{next(iter(lengths))}", f"the table has {rows:,} rows; allowed: 1 to {MAX_ROWS:,}", rows)
        return self

    @property
    def rows(self) -> int:
        """Number of runs."""
        return len(next(values for _, values in self if values is not None))


def cell_problem(value: Any) -> str | None:
    """Fault of a cell of a table of runs, in words; None where the cell is a positive, finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"is {str(value)[:60]!r}, no number"
    if isinstance(value, int) and value.bit_length() > LONGEST_INTEGER:
        return f"is an integer of {value.bit_length():,} bits, which no floating-point number holds"
    if not math.isfinite(value):
        return f"is {value}"
    return None if value > 0 else f"is {value:g}, and a logarithm of it is taken"


class CriticalBatchLaw(Request):
    """B_crit(L) = tokens / L^(1 / exponent). Kaplan et al.: 2e8 and 0.21."""

    tokens: float = Field(2e8, gt=0, description="B_star, tokens.")
    exponent: float = Field(0.21, gt=0, le=10, description="alpha_B.")


class LawFitOptions(Request):
    """Options of a fit: the laws to fit, and how."""

    name: str = Field("", max_length=200, description="Name to show.")
    laws: list[LawName] = Field(
        [], max_length=7, description="Laws to fit; none: every one that the table's columns allow."
    )
    held_out: bool = Field(True, description="Fit once more without the largest run, and say by how much that misses it.")
    warmup_steps: int = Field(0, ge=0, description="A row of at most so many steps is still in warmup and refused.")
    allow_narrow: bool = Field(
        False, description="Fit although a size spans a decade or less; the result and all that uses it carry a warning."
    )
    tied_exponents: bool = Field(
        False,
        description="One exponent for both sizes (alpha = beta), in laws of two sizes: fewer constants for few runs.",
    )
    huber_delta: float | None = Field(
        None,
        gt=0,
        le=10,
        description="Residual of log loss beyond which the Huber loss is linear; default: 1.345 times the residuals' "
        "scale, at least 1e-3. Far below the residuals' scale the fit is that of least absolute deviations.",
    )


class LawFitRequest(LawFitOptions):
    """A table of runs and the laws to fit to it."""

    columns: LawColumns | None = Field(None, description="The table.")
    jobs: list[str] = Field(
        [], max_length=1000, description="In place of columns: ids of finished jobs of one task, each a row of the table."
    )
    critical_batch: CriticalBatchLaw | None = Field(
        None, description="B_crit(L) that S_min and C_min are taken with; default: the one fitted to this table."
    )

    @model_validator(mode="after")
    def _one_table(self) -> Self:
        if (self.columns is None) == (not self.jobs):
            told = "both were given" if self.jobs else "neither was given"
            raise misfit("/columns", f"the table comes as columns or as jobs, and {told}; give one", None)
        return self


class LawConstant(Response):
    """One constant of a law with its 90 % interval."""

    name: str
    kind: Literal["exponent", "scale", "floor"]
    value: float
    low: float
    high: float


class LawPoint(Response):
    """Point at which a law predicts: the sizes that are its inputs; the others are None."""

    parameters: float | None = None
    tokens: float | None = None
    steps_min: float | None = None
    compute_min: float | None = None
    loss: float | None = None


class LawPrediction(Response):
    """Value that a law predicts at a point, with its 90 % interval, and the interval that a single run falls into."""

    value: float
    low: float
    high: float
    run_low: float | None = None
    """Low end of the 90 % interval of a single run: the law's own error and the scatter of the fitted runs about it."""
    run_high: float | None = None


class HeldOut(Response):
    """The largest run, predicted by the fit of all smaller ones."""

    at: LawPoint
    rows: int
    """Number of runs left out of the fit: all runs of the largest size."""
    actual: float
    prediction: LawPrediction
    miss: float
    """Predicted over actual, minus 1."""


class LawCurve(Response):
    """The law and its band along its first input, the others at their largest."""

    axis: str
    at: list[float]
    value: list[float]
    low: list[float]
    high: list[float]


RefusalReason = Literal[
    "missing_column",
    "too_few_points",
    "too_narrow",
    "in_warmup",
    "unidentified",
    "one_batch_size",
    "floor_above_runs",
]


class LawRefusal(Response):
    """Law that cannot be fitted to this table, or not be used, and why."""

    law: LawName
    reason: RefusalReason
    message: str
    hint: str


class LawResult(Response):
    """One fitted law."""

    law: LawName
    formula: str
    constants: list[LawConstant]
    rows: int
    residual: float
    """Standard deviation of log loss about the law, robust: 0.01 is about one per cent."""
    huber_delta: float
    starts: int
    interval: str
    """Method by which the intervals were found."""
    inputs: list[str]
    target: str
    theta: list[float]
    centre: list[float]
    draws: list[list[float]]
    """Coordinates of the resamples, so that any size can be predicted with its interval."""
    widening: float
    lowest: float | None = None
    """Lowest measured value of the target; None in fits of older versions."""
    scatter: list[float] = Field(default_factory=list)
    """Quantiles of the fitted runs' residuals, freed of their leverage: how far a single run lies from the law."""
    smallest: list[float]
    largest: list[float]
    """Range of each input in the table."""
    held_out: HeldOut | None = None
    held_out_missing: str | None = None
    """Reason why no run was held out; None where one was."""
    curves: list[LawCurve] = Field(default_factory=list)
    points: list[LawPoint] = Field(default_factory=list)
    """Runs of the table, at most 200, for figures."""
    actual: list[float] = Field(default_factory=list)
    """Measured value of the target at each of ``points``."""
    overridden: list[str] = Field(default_factory=list)
    """Refusals that the request overrode."""
    notes: list[str] = Field(default_factory=list)
    """Sentences about values that were derived or left out."""
    warnings: list[str] = Field(default_factory=list)
    """Sentences on what speaks against the law: scatter, a missed run, a floor above a loss that was seen."""

    def constant(self, name: str) -> LawConstant:
        """One constant by name."""
        return next(each for each in self.constants if each.name == name)


class BestSize(Response):
    """The best size at one budget, read off the runs, with its 90 % interval."""

    compute: float
    parameters: float
    low: float
    high: float
    tokens: float
    loss: float


class SizeProfile(Response):
    """Best sizes read off the runs without a law of the loss, and the line N = k C^a through them."""

    method: Literal["iso_flop", "envelope"]
    """``iso_flop``: a parabola in log N at each budget (approach 2); ``envelope``: the lowest curve (approach 1)."""
    points: list[BestSize]
    exponent: float
    low: float
    high: float
    """90 % interval of the exponent."""
    log_factor: float
    """Natural logarithm of k."""
    left_out: str

    def at(self, compute: float) -> float:
        """Best number of parameters of a compute, FLOPs."""
        return math.exp(self.log_factor + self.exponent * math.log(compute))


class LawFit(Response):
    """A table of runs, and the laws that were fitted to it."""

    id: str
    name: str
    created_at: datetime
    rows: int
    columns: list[str]
    ignored_columns: list[str] = Field(default_factory=list)
    laws: list[LawResult]
    refusals: list[LawRefusal]
    profiles: list[SizeProfile] = Field(default_factory=list)
    """Best sizes by the other two approaches of Hoffmann et al., where the table has several sizes at several budgets."""
    seconds: float

    def law(self, name: LawName) -> LawResult | None:
        """A fitted law by name."""
        return next((each for each in self.laws if each.law == name), None)


class LawFitSummary(Response):
    """One entry of the list of fits."""

    id: str
    name: str
    created_at: datetime
    rows: int
    laws: list[LawName]


class LawFitList(Response):
    """Fits, newest first."""

    items: list[LawFitSummary]
    next_cursor: str | None = None


def as_columns(rows: Sequence[dict[str, float]]) -> dict[str, list[float]]:
    """Rows as columns, as ``LawColumns`` takes them."""
    return {name: [row[name] for row in rows] for name in rows[0]}
