"""Hypergradient of a bilevel problem by any estimator of the table, with refusals where an answer would be wrong."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from hpo.bilevel.inner import PlainProblem
from hpo.bilevel.problem import Bilevel, Named
from hpo.bilevel.uses import refuse_what_it_cannot_reach, uses
from hpo.bilevel.variables import Variables
from hpo.errors import Diverged, InvalidProblem, Refused
from hpo.estimators.protocol import Estimate, Estimator
from hpo.estimators.registry import estimator_kind
from windtunnel.types import MethodSpec
from windtunnel.types.estimators import ESTIMATORS


@dataclass(frozen=True)
class Hypergradient:
    """Outer loss after training, and its derivative by every outer variable."""

    value: Tensor
    """Outer loss of each seed, [seeds]."""
    gradient: dict[str, Tensor]
    """Mean over the seeds of d outer loss / d variable, in the variable's shape; seeds that diverged are left out."""
    each: dict[str, Tensor]
    """Derivative for each seed by itself, [seeds, *shape]."""
    cost: float
    """Training gradients spent, over all seeds; a Hessian-vector product counts as two."""
    stderr: dict[str, Tensor] | None = None
    """Standard error of the mean over the estimator's own random numbers; None: the estimator has none."""
    diverged: int = 0
    """Seeds whose loss or hypergradient is not finite."""
    growth_exponent: float | None = None
    """Mean natural logarithm of the factor by which a backward step lengthens the exact adjoint; above 0 is chaos; None:
    the estimator does not go back step by step."""
    bounded_share: float | None = None
    """Share of backward steps that the bounded adjoint scaled down; None: the adjoint is not bounded."""
    residual: float | None = None
    """Largest relative residual of the linear system of ``implicit``; None: no system is solved."""

    @property
    def loss(self) -> float:
        """Mean outer loss over the seeds that did not diverge."""
        return float(self.value[self.value.isfinite()].mean())

    @property
    def norm(self) -> float:
        """Euclidean length of the gradient over all variables."""
        return float(torch.stack([part.double().square().sum() for part in self.gradient.values()]).sum().sqrt())


def hypergradient(
    problem: Bilevel,
    outer: Named,
    estimator: str | Estimator = "reverse",
    *,
    seeds: Sequence[int] = (0,),
    **settings: Any,
) -> Hypergradient:
    """Derivative of the outer loss after training by every outer variable.

    ```python
    found = windtunnel.hypergradient(problem, {"log_rate": torch.tensor(-3.0)})
    found.loss, found.gradient["log_rate"]
    ```

    Args:
        problem: the bilevel problem.
        outer: values of the outer variables: any dictionary of floating-point tensors.
        estimator: name of an estimator: ``reverse``, ``higher``, ``forward``, ``truncated``, ``greedy``, ``implicit``,
            ``es``, ``pes``, ``finite_difference``; or one that was made.
        seeds: seeds of the runs, each a member of one population.
        **settings: settings of the estimator, as ``method`` of a job has them: ``checkpointing``, ``adjoint``,
            ``growth_budget``, ``window``, ``samples``, ``sigma``, ``solver``, ``solver_steps``, ``damping``. The adjoint is
            ``exact`` unless another is asked for.

    Raises:
        InvalidProblem: a function, a value or a setting cannot be used.
        Refused: the estimator's answer for a variable would be 0 or wrong; the message names those that can.
        Diverged: no seed has a finite loss and hypergradient.
    """
    variables = Variables.of(outer)
    if not seeds or not all(isinstance(seed, int) for seed in seeds):
        raise InvalidProblem(f"seeds is {seeds!r}; give whole numbers, at least one")
    inner = PlainProblem(problem, variables, outer, seeds[0])
    used = uses(inner, outer, seeds[0])
    made = estimator_of(estimator, settings)
    if isinstance(estimator, str):
        refuse_what_it_cannot_reach(estimator, used)
    points = variables.flat(outer).expand(len(seeds), -1)
    return of_estimate(made.estimate(inner, points, inner.draw_of(seeds)), variables, outer)


def estimator_of(estimator: str | Estimator, settings: Mapping[str, Any]) -> Estimator:
    """Estimator of a name, with settings; one that was made is returned as it is.

    Raises:
        InvalidProblem: it has no such setting, or not with that value.
        Refused: it works on jobs only.
    """
    if not isinstance(estimator, str):
        if settings:
            raise InvalidProblem(f"settings {sorted(settings)} come beside an estimator that was made; give them to it")
        return estimator
    if estimator not in ESTIMATORS:
        raise InvalidProblem(f"estimator is {estimator!r}; allowed: {', '.join(usable())}")
    kind = estimator_kind(estimator).makes
    if kind is None:
        raise Refused(
            f"estimator {estimator!r} puts its response into the layers of the built-in families",
            f"use one of {', '.join(usable())}",
        )
    fields = {field.name for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    for name in settings:
        if name not in fields:
            raise InvalidProblem(
                f"estimator {estimator!r} has no setting {name!r}; allowed: {', '.join(sorted(fields)) or 'none'}"
            )
    try:
        MethodSpec.model_validate(
            {"estimator": estimator, **{n: v for n, v in settings.items() if n in MethodSpec.model_fields}}
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "settings"
        raise InvalidProblem(f"{where} of estimator {estimator!r}: {first['msg']}") from error
    given = {"adjoint": "exact", **settings} if "adjoint" in fields else settings
    made: Estimator = kind(**given)
    return made


def usable() -> list[str]:
    """Names of the estimators that take a bilevel problem."""
    return [name for name in ESTIMATORS if estimator_kind(name).makes is not None]


def of_estimate(estimate: Estimate, variables: Variables, outer: Named) -> Hypergradient:
    """Hypergradient by variable from an estimate of the engine.

    Raises:
        Diverged: no member is finite.
    """
    sound = estimate.value.isfinite() & estimate.gradient.isfinite().all(dim=1)
    if not sound.any():
        losses = [f"{value:.3g}" for value in estimate.value.tolist()]
        raise Diverged(
            f"no seed has a finite outer loss and hypergradient (losses {', '.join(losses)})",
            "lower the learning rate, clip the gradient, or use adjoint='bounded'",
        )

    def split(flat: Tensor) -> dict[str, Tensor]:
        return {name: part.to(outer[name].dtype) for name, part in variables.split(flat).items()}

    count = int(sound.sum())
    stderr = None
    if estimate.stderr is not None:
        stderr = split(estimate.stderr[sound].square().sum(dim=0).sqrt() / count)
    growth = None
    if estimate.growth is not None:
        finite = estimate.growth[:, sound].double()
        growth = float(finite[finite.isfinite()].mean()) if finite.isfinite().any() else None
    return Hypergradient(
        value=estimate.value,
        gradient=split(estimate.gradient[sound].mean(dim=0)),
        each=split(estimate.gradient),
        cost=estimate.cost,
        stderr=stderr,
        diverged=len(sound) - count,
        growth_exponent=growth,
        bounded_share=None if estimate.bounded_share is None else float(estimate.bounded_share[sound].mean()),
        residual=None if estimate.residual is None else float(estimate.residual[sound].max()),
    )
