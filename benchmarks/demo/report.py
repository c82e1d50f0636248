"""The HTML report of the demonstration: one file, readable offline."""

from collections.abc import Mapping
from html import escape

from benchmarks.demo.contenders import Outcome
from windtunnel import Plan, Result, figures
from windtunnel.types import LossEstimate, OuterStep

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c2430; background: #fff }
h1 { font-size: 1.7rem; line-height: 1.2 } h2 { font-size: 1.2rem; margin-top: 2.5rem }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid #d8dee6 }
td { font-variant-numeric: tabular-nums } .note { color: #566274 } code { background: #eef1f5; padding: .1em .3em; border-radius: 3px }
"""


def table(head: list[str], rows: list[list[str]]) -> str:
    """An HTML table."""
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"


def loss(estimate: LossEstimate) -> str:
    """Mean and standard error."""
    return f"{estimate.mean:.4f} ± {estimate.stderr:.4f}"


def share(estimate: LossEstimate) -> str:
    """Accuracy in percent."""
    return "" if estimate.accuracy is None else f"{100 * estimate.accuracy:.2f} %"


def outcome_rows(outcomes: Mapping[str, Outcome]) -> list[list[str]]:
    """One row a contender: name, losses, accuracy."""
    return [
        [name, loss(found.validation), loss(found.test), share(found.test)] for name, found in outcomes.items()
    ]


OUTCOME_HEAD = ["at the target width", "validation loss, nats", "test loss, nats", "test accuracy"]


def html(
    result: Result, steps: list[OuterStep], plan: Plan, outcomes: Mapping[str, Outcome], address: str, reading: str
) -> str:
    """The whole report."""
    spec = result.spec
    roles = {tensor.name: tensor.role for tensor in result.proxy.tensors}
    pictures = {
        f"Training runs at width {plan.width}": figures.comparison(
            {name: found.test for name, found in outcomes.items()}, y=f"test loss at width {plan.width}, nats"
        ),
        f"Tuning at width {spec.model.width}": figures.loss(steps),
        "Before and after": figures.tuning(result),
        "Hyperparameters": figures.hyperparameters(steps, roles=roles),
        "Hypergradients and chaos": figures.gradients(steps),
    }
    if plan.coordinate_check is not None:
        pictures["Coordinate check"] = figures.coordinate_check(plan.coordinate_check)
    drawn = {}
    for index, (title, figure) in enumerate(pictures.items()):
        drawn[title] = figure.to_html(full_html=False, include_plotlyjs=index == 0)
    plan_rows = [
        [
            row.role,
            f"{row.base_learning_rate:.4g}",
            f"{row.learning_rate:.4g}",
            f"{row.base_weight_decay:.4g}",
            f"{row.weight_decay:.4g}",
            f"{row.multiplier:.4g}",
        ]
        for row in plan.roles
        if None not in (row.base_learning_rate, row.learning_rate, row.base_weight_decay, row.weight_decay, row.multiplier)
    ]
    first, *rest = drawn
    sections = [f"<h2>{escape(title)}</h2>{drawn[title]}" for title in rest]
    plan_head = [
        "role",
        f"learning rate at {spec.model.width}",
        f"at {plan.width}",
        f"weight decay at {spec.model.width}",
        f"at {plan.width}",
        "multiplier",
    ]
    not_covered = "".join(f"<li>{escape(line)}</li>" for line in plan.not_covered)
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Windtunnel: {escape(spec.task)}, width {spec.model.width} to {plan.width}</title><style>{STYLE}</style></head><body>
<h1>Tuned at width {spec.model.width}, flown at width {plan.width}</h1>
<p>Task <code>{escape(spec.task)}</code>, {len(result.best.hyperparameters)} hyperparameters tuned together by hypergradients through
{spec.inner.steps}-step training runs of a {result.proxy.parameters:,}-parameter proxy, at the cost of
{result.cost.run_equivalents:.0f} proxy runs ({result.cost.wall_seconds:.0f} s). The target has {plan.parameters:,} parameters.</p>
{table(OUTCOME_HEAD, outcome_rows(outcomes))}
<p class="note">{escape(reading)}</p>
<h2>{escape(first)}</h2>{drawn[first]}{"".join(sections)}
<h2>The plan</h2>{table(plan_head, plan_rows)}
<h2>What theory does not cover</h2><ul>{not_covered}</ul>
<p class="note">Status page of the job: <a href="{address}">{address}</a>, while the service runs
(<code>windtunnel serve --data-dir demo/data</code>).</p>
</body></html>"""
