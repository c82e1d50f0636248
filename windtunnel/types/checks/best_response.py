"""Demands of estimators and best responses on a job."""

from collections.abc import Sequence

from windtunnel.types.base import misfit
from windtunnel.types.estimators import ESTIMATORS, EstimatorInfo, that_can
from windtunnel.types.families import built_in
from windtunnel.types.hyperparameters import REGULARISERS, HyperparameterName
from windtunnel.types.method import MethodSpec
from windtunnel.types.outer import OuterSpec
from windtunnel.types.regularization import RegularizationSpec


def estimator_of(method: MethodSpec, name: HyperparameterName) -> EstimatorInfo:
    """The estimator of a job that differentiates a hyperparameter."""
    if method.best_response is not None and name in REGULARISERS:
        return ESTIMATORS[method.best_response]
    return method.info


def check_that_estimator_can(method: MethodSpec, name: HyperparameterName, path: str) -> None:
    """Refuse a hyperparameter that the job's estimator cannot differentiate (it would give 0), and name those that can."""
    info = estimator_of(method, name)
    if info.can(name):
        return
    both = ""
    if info.is_best_response:
        both = f"; method.estimator 'reverse' with method.best_response {info.name!r} tunes it beside the regularisers"
    raise misfit(
        path,
        f"estimator {info.name!r} cannot differentiate {name}: {info.why}; estimators that can: "
        f"{', '.join(that_can(name))}{both}",
        name,
    )


def check_that_estimators_take(method: MethodSpec) -> None:
    """Refuse an estimator that works with this project's families only, in a job with a module of one's own."""
    for field, name in (("estimator", method.estimator), ("best_response", method.best_response)):
        why = ESTIMATORS[name].why_own_models if name is not None else ""
        if why:
            raise misfit(f"/method/{field}", f"{name} {why.format(families=', '.join(built_in()))}; use reverse", name)


def check_best_response(
    method: MethodSpec,
    outer: OuterSpec,
    names: Sequence[HyperparameterName],
    steps: int,
    terms: RegularizationSpec,
) -> None:
    """Refuse settings that a job with a best response cannot have; other jobs pass.

    Args:
        method: estimator and best response of the job.
        outer: the job's outer loop.
        names: hyperparameters that the job searches.
        steps: updates of a run.
        terms: the job's regularisers.
    """
    alone, kind = method.info.is_best_response, method.response
    if kind is None:
        return
    pointer = "/method/estimator" if alone else "/method/best_response"
    if terms.schedule:
        raise misfit(
            "/regularization/schedule",
            f"a schedule of {', '.join(terms.schedule)} with {kind}, which finds schedules of its own; replay a schedule "
            "with another estimator, such as 'reverse'",
            None,
        )
    if alone and outer.starts > 1:
        raise misfit(
            "/outer/starts",
            f"starts {outer.starts} with {kind}, which tunes while it trains one population, from one point; allowed: 1, "
            f"or method.estimator 'reverse' with method.best_response {kind!r}, whose hypergradients have several starts",
            outer.starts,
        )
    if alone and outer.budget is not None:
        raise misfit(
            "/outer/budget",
            f"a budget would cut the one training run of {kind} short, and its schedule with it; set inner.steps, and "
            "leave the budget out",
            outer.budget,
        )
    settings = method.best_response_settings
    if settings.looks(0, steps, steps) == 0:
        raise misfit(
            "/method/training_steps",
            f"training_steps {settings.training_count} leave no validation step in {steps} updates after a warm-up of "
            f"{settings.warmup_steps(steps)}; allowed: at most {steps - settings.warmup_steps(steps)}",
            settings.training_count,
        )
    if alone:
        return
    if not any(name in REGULARISERS for name in names):
        raise misfit(
            pointer, f"best_response {kind!r} has no regulariser to tune; search one of {', '.join(REGULARISERS)}", kind
        )
    if all(name in REGULARISERS for name in names):
        raise misfit(
            pointer,
            f"all that is searched is tuned by best_response {kind!r}, and nothing is left for {method.estimator!r}; say "
            f"method.estimator {kind!r}",
            kind,
        )
    if outer.steps < 2:
        raise misfit(
            "/outer/steps",
            "steps 1 with method.best_response: the hypergradient has the odd outer steps and the best "
            "response the even ones; allowed: 2 or more",
            outer.steps,
        )
