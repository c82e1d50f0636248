"""What a best response asks of a job."""

from collections.abc import Sequence

from windtunnel.types.base import misfit
from windtunnel.types.estimators import ESTIMATORS, EstimatorName, that_can
from windtunnel.types.families import FAMILIES, built_in
from windtunnel.types.hyperparameters import REGULARISERS, HyperparameterName
from windtunnel.types.method import MethodSpec
from windtunnel.types.outer import OuterSpec
from windtunnel.types.regularization import RegularizationSpec


def estimator_of(method: MethodSpec, name: HyperparameterName) -> EstimatorName:
    """Who differentiates a hyperparameter of a job."""
    if method.best_response is not None and name in REGULARISERS:
        return method.best_response
    return "higher" if method.uses_higher else method.estimator


def check_that_estimator_can(method: MethodSpec, name: HyperparameterName, path: str) -> None:
    """Refuse what an estimator cannot answer by name, with those that can: it would answer 0."""
    kind = estimator_of(method, name)
    info = ESTIMATORS[kind]
    if info.can(name):
        return
    both = ""
    if kind in ("stn", "delta_stn"):
        both = f"; method.estimator 'reverse' with method.best_response {kind!r} tunes it beside the regularisers"
    raise misfit(
        path,
        f"estimator {kind!r} cannot differentiate {name}: {info.why}; estimators that can: "
        f"{', '.join(that_can(name))}{both}",
        name,
    )


def check_best_response(
    method: MethodSpec,
    outer: OuterSpec,
    names: Sequence[HyperparameterName],
    family: str,
    steps: int,
    terms: RegularizationSpec,
) -> None:
    """Raise where a job that trains a best response asks for what it does not have.

    Args:
        method: of the job.
        outer: likewise.
        names: of what it searches.
        family: of its model.
        steps: updates of a run.
        terms: its regularisers.
    """
    alone = method.estimator in ("stn", "delta_stn")
    kind = method.estimator if alone else method.best_response
    if kind is None:
        return
    pointer = "/method/estimator" if alone else "/method/best_response"
    if FAMILIES[family].from_task:
        raise misfit(
            pointer,
            f"{kind} puts its response into the layers of this project's own families ({', '.join(built_in())}), not into "
            "a module of one's own; use reverse",
            kind,
        )
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
