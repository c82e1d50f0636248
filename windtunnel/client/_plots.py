"""Draws the figures of a result, by name."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

from windtunnel.client._errors import InvalidRequest
from windtunnel.types import OuterStep, TuneResult
from windtunnel.types.laws import LawName, LawResult

if TYPE_CHECKING:
    import plotly.graph_objects as go

Plot = Literal[
    "tuning",
    "loss",
    "hyperparameters",
    "gradients",
    "schedule",
    "scout",
    "sensitivity",
    "coordinate_check",
    "ladder",
    "scaling",
    "regularisers",
    "response",
]
FROM_STEPS: frozenset[Plot] = frozenset({"loss", "hyperparameters", "gradients", "scout", "sensitivity"})
"""Names of the figures that need the outer steps, which the result does not hold."""
NO_GRID = "this job ran no grid of sizes and lengths; transfer.scaling in its spec asks for one"


def draw(  # noqa: PLR0912 - one a figure
    result: TuneResult, which: Plot, steps: Sequence[OuterStep], law: LawName | None = None
) -> "go.Figure":
    """The plotly figure of this name.

    Args:
        result: result of the job.
        which: name of the figure.
        steps: every outer step, for the figures in ``FROM_STEPS``.
        law: fitted law to draw with ``scaling``; None: the one that uses most columns of a run.

    Raises:
        InvalidRequest: no figure has this name, or the job did not measure what it shows.
    """
    # Plotly takes most of a second to import.
    from windtunnel import figures

    match which:
        case "tuning":
            figure = figures.tuning(result)
        case "loss":
            figure = figures.loss(steps)
        case "hyperparameters":
            roles = {tensor.name: tensor.role for tensor in result.proxy.tensors}
            figure = figures.hyperparameters(steps, roles=roles)
        case "gradients":
            figure = figures.gradients(steps)
        case "schedule":
            figure = figures.schedule(result.schedule)
        case "scout":
            start = steps[0]
            if start.sweep is None:
                raise InvalidRequest(
                    "this job had no scout, so there is no sweep to plot: outer.scout is false or the search has no "
                    "learning_rate"
                )
            figure = figures.scout(start)
        case "sensitivity":
            if not any(step.gradient for step in steps):
                raise InvalidRequest("this job measured no hypergradient, so there is no sensitivity to plot")
            figure = figures.sensitivity(steps, roles={tensor.name: tensor.role for tensor in result.proxy.tensors})
        case "coordinate_check":
            if result.coordinate_check is None:
                raise InvalidRequest("the standard parametrization has no coordinate check to plot")
            figure = figures.coordinate_check(result.coordinate_check)
        case "ladder":
            if result.ladder is None:
                raise InvalidRequest("this job measured no ladder of widths; transfer.ladder in its spec asks for one")
            figure = figures.ladder(result.ladder)
        case "scaling":
            figure = figures.law(_law(result, law))
        case "regularisers" | "response":
            if result.best_response is None:
                raise InvalidRequest(
                    "this job trained no best response; method.estimator 'delta_stn' does, or method.best_response "
                    "beside another estimator"
                )
            render = figures.regularisers if which == "regularisers" else figures.response
            figure = render(result.best_response)
        case _:
            raise InvalidRequest(f"no figure {which!r}; allowed: {', '.join(get_args(Plot))}")
    return figure


def _law(result: TuneResult, name: LawName | None) -> LawResult:
    if result.scaling is None:
        raise InvalidRequest(NO_GRID)
    found = result.scaling.best_informed if name is None else result.scaling.law(name)
    if found is None:
        fitted = ", ".join(law.law for law in result.scaling.laws) or "none"
        why = "; ".join(each.message for each in result.scaling.refusals if name in (None, each.law))
        raise InvalidRequest(f"the grid of this job has no law {name or 'of the loss'}: {why}; fitted: {fitted}")
    return found
