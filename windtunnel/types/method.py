"""How the hypergradient of a job is computed: estimator, engine, adjoint, storage, and each estimator's settings."""

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from windtunnel.types.base import Request, misfit
from windtunnel.types.estimators import ESTIMATORS, EstimatorName, MethodSetting

Adjoint = Literal["bounded", "exact", "gauss_newton"]
Solver = Literal["cg", "neumann", "nystrom"]
Every = Annotated[int, Field(ge=1, le=1_000_000)]

DEFAULT_SETTINGS = {"window": 20, "samples": 16, "sigma": 0.1, "solver_steps": 20, "damping": 1e-3}
FINITE_DIFFERENCE_WIDTH = 0.01
"""Half the distance of the two runs of a central difference, in unconstrained units."""


class MethodSpec(Request):
    """How the hypergradient is computed. A setting that the estimator does not have is an error."""

    estimator: EstimatorName = Field("auto", description="An estimator that GET /v1/estimators lists.")
    engine: Literal["population", "higher"] = Field(
        "population",
        description="population: all seeds as one batched computation, state-replay adjoint. "
        "higher: the full unrolled graph of one seed at a time, the parity oracle; slow and memory-hungry.",
    )
    adjoint: Adjoint | None = Field(
        None,
        description="bounded: the default. exact: the derivative itself, noise near the edge of chaos. "
        "gauss_newton: bounded, with the Gauss-Newton matrix instead of the Hessian.",
    )
    checkpointing: Literal["auto", "none", "sqrt"] | Every = Field(
        "auto", description="Which optimizer states the forward pass keeps: every one, every sqrt(steps)-th, or every N-th."
    )
    growth_budget: float = Field(10.0, gt=1, le=1e6, description="Growth of the bounded adjoint over a whole run.")
    window: int | None = Field(None, ge=1, le=100_000, description="Steps of a window (truncated, pes); 20 by default.")
    samples: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="Antithetic pairs a member (es, pes; 16 by default), or random tangents (forward; by default one "
        "tangent a hyperparameter, exact).",
    )
    sigma: float | None = Field(
        None,
        gt=0,
        le=2,
        description="Perturbation in unconstrained units (es, pes: 0.1; finite_difference: 0.01 by default).",
    )
    solver: Solver | None = Field(None, description="Of the implicit linear system; cg by default.")
    solver_steps: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="Iterations (cg, neumann) or rank (nystrom) of the solve; 20 by default.",
    )
    damping: float | None = Field(
        None, ge=0, le=100, description="Added to the Hessian's diagonal in the implicit solve; 0.001 by default."
    )

    @model_validator(mode="after")
    def _estimator_has(self) -> Self:
        if self.engine == "higher" and self.estimator not in ("auto", "reverse", "higher"):
            raise misfit(
                "/engine",
                f"engine 'higher' differentiates in reverse; estimator {self.estimator!r} needs engine 'population'",
                "higher",
            )
        kind: EstimatorName = "higher" if self.uses_higher else self.estimator
        info, fields = ESTIMATORS[kind], type(self).model_fields
        for setting in get_args(MethodSetting):
            given = getattr(self, setting)
            # Compared with the default, not with what was spelled out: a spec written out in full stays valid.
            if given != fields[setting].default and setting not in info.settings and not self._same_as_fixed(setting):
                allowed = ", ".join(info.settings) or "none"
                raise misfit(f"/{setting}", f"{setting} is no setting of {kind!r}; its settings: {allowed}", given)
        return self

    def _same_as_fixed(self, setting: MethodSetting) -> bool:
        """``exact`` says of the graph engine what it is anyway."""
        return self.uses_higher and setting == "adjoint" and self.adjoint == "exact"

    @property
    def uses_higher(self) -> bool:
        """Whether the whole unrolled graph is kept."""
        return "higher" in (self.engine, self.estimator)

    @property
    def adjoint_kind(self) -> Adjoint:
        """The adjoint in force."""
        if self.adjoint is not None:
            return self.adjoint
        return "exact" if self.uses_higher else "bounded"

    @property
    def width(self) -> float:
        """sigma in force."""
        if self.sigma is not None:
            return self.sigma
        return FINITE_DIFFERENCE_WIDTH if self.estimator == "finite_difference" else DEFAULT_SETTINGS["sigma"]

    @property
    def window_steps(self) -> int:
        """window in force."""
        return int(DEFAULT_SETTINGS["window"]) if self.window is None else self.window

    @property
    def pairs(self) -> int:
        """samples in force for es and pes."""
        return int(DEFAULT_SETTINGS["samples"]) if self.samples is None else self.samples

    @property
    def solver_kind(self) -> Solver:
        """solver in force."""
        return "cg" if self.solver is None else self.solver

    @property
    def iterations(self) -> int:
        """solver_steps in force."""
        return int(DEFAULT_SETTINGS["solver_steps"]) if self.solver_steps is None else self.solver_steps

    @property
    def diagonal(self) -> float:
        """damping in force."""
        return DEFAULT_SETTINGS["damping"] if self.damping is None else self.damping
