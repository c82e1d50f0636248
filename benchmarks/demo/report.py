"""Writes the demonstration's HTML report: one file, readable offline."""

from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks.demo.contenders import Outcome
from windtunnel import Plan, Result, figures
from windtunnel.types import LossEstimate, OuterStep

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)
OUTCOME_HEAD = ["at the target", "validation loss, nats", "test loss, nats", "test accuracy"]


def share(estimate: LossEstimate) -> str:
    """Accuracy in percent, as text."""
    return "" if estimate.accuracy is None else f"{100 * estimate.accuracy:.2f} %"


def outcome_rows(outcomes: Mapping[str, Outcome]) -> list[list[str]]:
    """Table rows, one per contender: name, losses, accuracy."""
    return [[name, found.validation.words, found.test.words, share(found.test)] for name, found in outcomes.items()]


def html(
    result: Result, steps: list[OuterStep], plan: Plan, outcomes: Mapping[str, Outcome], address: str, reading: str
) -> str:
    """The whole report as HTML."""
    roles = {tensor.name: tensor.role for tensor in result.proxy.tensors}
    tests = {name: found.test for name, found in outcomes.items()}
    pictures = {
        f"Training runs at width {plan.width}": figures.comparison(tests),
        f"Tuning at width {plan.model.width}": figures.loss(steps),
        "Before and after": figures.tuning(result),
        "Hyperparameters": figures.hyperparameters(steps, roles=roles),
        "Hypergradients and chaos": figures.gradients(steps),
    }
    if any(step.gradient for step in steps):
        pictures["Sensitivity"] = figures.sensitivity(steps, roles=roles)
    if plan.coordinate_check is not None:
        pictures["Coordinate check"] = figures.coordinate_check(plan.coordinate_check)
    drawings = [
        (title, figure.to_html(full_html=False, include_plotlyjs=index == 0))
        for index, (title, figure) in enumerate(pictures.items())
    ]
    return TEMPLATES.get_template("report.html.j2").render(
        result=result,
        plan=plan,
        outcome_head=OUTCOME_HEAD,
        outcomes=outcome_rows(outcomes),
        reading=reading,
        drawings=drawings,
        address=address,
    )
