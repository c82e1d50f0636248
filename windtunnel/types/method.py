"""MethodSpec: the estimator of a job's hypergradient, its adjoint, its storage, and its other settings."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, ModelWrapValidatorHandler, PrivateAttr, model_validator

from windtunnel.types.base import Request, misfit
from windtunnel.types.estimators import ESTIMATORS, BestResponseName, EstimatorInfo, EstimatorName, MethodSetting

Adjoint = Literal["bounded", "exact", "gauss_newton"]
Solver = Literal["cg", "neumann", "nystrom"]
Every = Annotated[int, Field(ge=1, le=1_000_000)]

DEFAULT_SETTINGS = {"window": 20, "samples": 16, "sigma": 0.1, "solver_steps": 20, "damping": 1e-3}

RESPONSE_DEFAULTS = {
    "warmup": 0.1,
    "training_steps": 2,
    "validation_steps": 1,
    "perturbation": 0.5,
    "entropy": 1e-3,
    "response_rate": 0.01,
}
REACH = 8.0
"""Default distance, in unconstrained units, that a regulariser can move in a whole best-response run: 8 is a factor of
3,000 in ``l2``."""
FASTEST = 0.1
"""Default largest move of a regulariser in one validation step, in unconstrained units."""


@dataclass(frozen=True)
class BestResponseSettings:
    """Settings of a best-response run, with defaults filled in."""

    warmup: float
    """Share of the updates before the first validation step."""
    training_count: int
    """Updates of the weights between two times of validation."""
    validation_count: int
    """Updates of the regularisers at each time of validation."""
    perturbation_scale: float
    """First standard deviation of the perturbations, in unconstrained units."""
    entropy_weight: float
    """Weight of the perturbations' entropy: nats of loss per unit of log sigma."""
    response_rate: float
    """Learning rate of Adam for the response, at the schedule's peak."""
    hyper_rate: float | None
    """Learning rate of Adam for the regularisers; None: so that they can move by ``REACH`` in the whole run."""
    control_variate: bool = False
    """Whether noise of mean zero is taken out of the response's objective, for two more gradients an update (delta_stn)."""

    def warmup_steps(self, steps: int) -> int:
        """Updates before the first validation step, in a run of ``steps`` updates."""
        return round(self.warmup * steps)

    def looks_after(self, step: int, steps: int) -> bool:
        """Whether validation steps follow update number ``step``, counted from 1."""
        past = step - self.warmup_steps(steps)
        return past > 0 and past % self.training_count == 0

    def looks(self, begin: int, end: int, steps: int) -> int:
        """Number of validation steps that follow updates ``begin + 1`` to ``end``, in a run of ``steps`` updates."""
        warmup = self.warmup_steps(steps)
        times = max(0, end - warmup) // self.training_count - max(0, begin - warmup) // self.training_count
        return times * self.validation_count

    def rate(self, steps: int) -> float:
        """Learning rate for the regularisers in a run of ``steps`` updates: ``hyper_rate``, or its default."""
        if self.hyper_rate is not None:
            return self.hyper_rate
        return min(FASTEST, REACH / max(1, self.looks(0, steps, steps)))


ENGINES = {"population": None, "higher": "higher"}
"""Value of the deprecated field ``engine`` -> the estimator that it stood for; None: any."""
REPLACED = ("auto", "reverse")
"""Estimators that an old spec may name beside the engine ``higher``, which ran in their place."""
ENGINE_IS_OLD = "method.engine is out of date and will be refused: leave it out; method.estimator is {estimator!r}"


def without_engine(given: Mapping[str, Any]) -> dict[str, Any]:
    """``method`` without the deprecated field ``engine``; engine ``higher`` becomes estimator ``higher``.

    Raises:
        PydanticCustomError: engine and estimator contradict each other, or there is no such engine.
    """
    rest = dict(given)
    engine, named = rest.pop("engine"), rest.get("estimator")
    if engine not in ENGINES:
        raise misfit("/engine", f"engine {engine!r} is not known; allowed: {', '.join(ENGINES)}, or leave it out", engine)
    meant = ENGINES[engine]
    if meant is not None:
        if named not in (None, meant, *REPLACED):
            raise misfit(
                "/engine",
                f"engine {engine!r} contradicts estimator {named!r}: leave engine out, or say estimator {meant!r}",
                engine,
            )
        rest["estimator"] = meant
    return rest


class MethodSpec(Request):
    """The estimator of the hypergradient and its settings. A setting that the estimator does not have is an error."""

    _outdated: str | None = PrivateAttr(None)

    estimator: EstimatorName = Field("auto", description="An estimator that GET /v1/estimators lists.")
    adjoint: Adjoint | None = Field(
        None,
        description="bounded: the default. exact: the derivative itself, noise near the edge of chaos. "
        "gauss_newton: bounded, with the Gauss-Newton matrix instead of the Hessian.",
    )
    checkpointing: Literal["auto", "none", "sqrt", "log"] | Every = Field(
        "auto",
        description="Optimizer states that the forward pass keeps: every one, every sqrt(steps)-th, those of a tree (log), "
        "or every N-th.",
    )
    states_in: Literal["auto", "device", "host", "file"] = Field(
        "auto",
        description="Where the kept states lie: in the memory of the device that computes, in that of its machine, or in a "
        "temporary file.",
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
    solver: Solver | None = Field(None, description="Solver of the implicit linear system; cg by default.")
    solver_steps: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="Iterations (cg, neumann) or rank (nystrom) of the solve; 20 by default.",
    )
    damping: float | None = Field(
        None, ge=0, le=100, description="Added to the Hessian's diagonal in the implicit solve; 0.001 by default."
    )
    best_response: BestResponseName | None = Field(
        None,
        description="Beside an estimator of hypergradients: regularisers are tuned by this best response, the other "
        "hyperparameters by the estimator, in turns.",
    )
    warmup: float | None = Field(
        None, ge=0, le=0.9, description="Share of a best-response run before its first validation step; 0.1 by default."
    )
    training_steps: int | None = Field(
        None, ge=1, le=10_000, description="Updates of the weights between validation steps (stn, delta_stn); 2 by default."
    )
    validation_steps: int | None = Field(
        None, ge=1, le=1000, description="Updates of the regularisers at a time (stn, delta_stn); 1 by default."
    )
    perturbation: float | None = Field(
        None,
        gt=0,
        le=2,
        description="First standard deviation of the regularisers' perturbations, in unconstrained units (stn, delta_stn); "
        "0.5 by default. It is learned from there.",
    )
    entropy: float | None = Field(
        None,
        ge=0,
        le=10,
        description="Weight of the perturbations' entropy, which keeps them up (stn, delta_stn); 0.001 by default.",
    )
    response_rate: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Adam's rate for the response, at the peak of the schedule (stn, delta_stn); 0.01 by default.",
    )
    hyper_rate: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Adam's rate for the regularisers, unconstrained units (stn, delta_stn); by default 8 over the number "
        "of validation steps, at most 0.1.",
    )
    control_variate: bool = Field(
        False,
        description="Take noise of mean zero out of the response's objective, for two gradients more an update "
        "(delta_stn).",
    )

    @model_validator(mode="wrap")
    @classmethod
    def _engine_of_old(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(data, Mapping) or "engine" not in data:
            return handler(data)
        found = handler(without_engine(data))
        if ENGINES[data["engine"]] is not None:  # "population" changed nothing, and every stored spec has it
            found._outdated = ENGINE_IS_OLD.format(estimator=found.estimator)
            warnings.warn(found._outdated, DeprecationWarning, stacklevel=2)
        return found

    @model_validator(mode="after")
    def _estimator_has(self) -> Self:
        info, fields = self.info, type(self).model_fields
        if self.best_response is not None and info.why_alone:
            raise misfit(
                "/best_response",
                f"best_response {self.best_response!r} goes beside an estimator of hypergradients that is named, such as "
                f"'reverse', not beside {info.name!r}: {info.why_alone}",
                self.best_response,
            )
        settings = (*info.settings, *(ESTIMATORS[self.best_response].settings if self.best_response else ()))
        for setting in get_args(MethodSetting):
            given = getattr(self, setting)
            # Compared with the default, not with what was spelled out: a spec written out in full stays valid.
            if given != fields[setting].default and setting not in settings and given != info.fixed.get(setting):
                allowed = ", ".join(settings) or "none"
                raise misfit(f"/{setting}", f"{setting} is no setting of {info.name!r}; its settings: {allowed}", given)
        return self

    @property
    def outdated(self) -> str | None:
        """Warning about a deprecated field that the request gave; None where it gave none."""
        return self._outdated

    @property
    def info(self) -> EstimatorInfo:
        """The estimator's row of the table."""
        return ESTIMATORS[self.estimator]

    @property
    def response(self) -> str | None:
        """Name of the best response that the job trains, alone or beside its estimator; None where it trains none."""
        return self.estimator if self.info.is_best_response else self.best_response

    @property
    def adjoint_kind(self) -> Adjoint:
        """Adjoint in force, for an estimator that has a choice."""
        return "bounded" if self.adjoint is None else self.adjoint

    @property
    def width(self) -> float:
        """Setting ``sigma`` in force: as requested, or the estimator's default."""
        if self.sigma is not None:
            return self.sigma
        return self.info.defaults.get("sigma", DEFAULT_SETTINGS["sigma"])

    @property
    def window_steps(self) -> int:
        """Setting ``window`` in force, in steps."""
        return int(DEFAULT_SETTINGS["window"]) if self.window is None else self.window

    @property
    def pairs(self) -> int:
        """Setting ``samples`` in force for es and pes: antithetic pairs of a member."""
        return int(DEFAULT_SETTINGS["samples"]) if self.samples is None else self.samples

    @property
    def solver_kind(self) -> Solver:
        """Setting ``solver`` in force."""
        return "cg" if self.solver is None else self.solver

    @property
    def iterations(self) -> int:
        """Setting ``solver_steps`` in force."""
        return int(DEFAULT_SETTINGS["solver_steps"]) if self.solver_steps is None else self.solver_steps

    @property
    def diagonal(self) -> float:
        """Setting ``damping`` in force."""
        return DEFAULT_SETTINGS["damping"] if self.damping is None else self.damping

    @property
    def best_response_settings(self) -> BestResponseSettings:
        """Settings of the best-response run, with defaults filled in."""
        given = {name: getattr(self, name) for name in RESPONSE_DEFAULTS}
        chosen = {name: RESPONSE_DEFAULTS[name] if value is None else value for name, value in given.items()}
        return BestResponseSettings(
            warmup=chosen["warmup"],
            training_count=int(chosen["training_steps"]),
            validation_count=int(chosen["validation_steps"]),
            perturbation_scale=chosen["perturbation"],
            entropy_weight=chosen["entropy"],
            response_rate=chosen["response_rate"],
            hyper_rate=self.hyper_rate,
            control_variate=self.control_variate,
        )
