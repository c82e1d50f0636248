"""The report of one job as a single HTML file, to send around: no network, no server, nothing beside it is needed."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html import escape

from windtunnel import __version__
from windtunnel.markup import facts, table
from windtunnel.types import Job, OuterStep, TransferPlan, TuneResult
from windtunnel.types.verdicts import estimate

STYLE = """
body { max-width: 62rem; margin: 0 auto; padding: 1.5rem; color: #16232b; background: #fff; color-scheme: light;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; overflow-wrap: anywhere; }
h1 { margin: 0 0 .25rem; } h2 { margin: 2rem 0 .5rem; } .soft { color: #5c6c76; }
.verdict { font-size: 1.15rem; font-weight: 600; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #e4e9ec; text-align: left; vertical-align: top; }
pre { background: #f4f6f7; padding: 1rem; overflow-x: auto; }
.failure { border-left: 4px solid #b3261e; padding-left: .75rem; }
"""


def report(job: Job, steps: Sequence[OuterStep], result: TuneResult | None, plans: Sequence[TransferPlan]) -> str:
    """The whole report as HTML: verdict, losses, values found, figures, plans, spec and provenance.

    Args:
        job: the job, in any state.
        steps: its outer steps so far.
        result: its result; None where it has none.
        plans: plans made from it.
    """
    from plotly.offline import get_plotlyjs  # plotly takes most of a second to import

    name = job.name or job.task_title or job.spec.task
    parts = [*_top(job, result), *_losses(result), *_values(job, result, steps), *_figures(steps, result)]
    parts += [*_plans(plans), *_end(job, result)]
    made = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(name)} · Windtunnel report</title><style>{STYLE}</style>"
        f"<script>{get_plotlyjs()}</script></head>\n<body><main><h1>{escape(name)}</h1>\n"
        + "\n".join(parts)
        + f'</main>\n<footer><p class="soft">Windtunnel {escape(__version__)}, {made}</p></footer></body></html>\n'
    )


def _top(job: Job, result: TuneResult | None) -> Iterator[str]:
    if result is not None:
        yield f'<p class="verdict">{escape(result.gained.headline)}</p>'
    elif job.best is not None:
        yield f'<p class="verdict">Best loss {escape(job.best_loss)}, {escape(job.verdict)}</p>'
    if job.failure is not None:
        hint = f" {job.failure.hint}" if job.failure.hint else ""
        yield f'<p class="failure"><strong>{escape(job.failure.type)}</strong> {escape(job.failure.message + hint)}</p>'
    if job.notes:
        yield f"<p>{escape(job.notes)}</p>"
    model, spec = job.spec.model, job.spec
    pairs: list[tuple[str, object]] = [
        ("Job", job.id),
        ("State", job.state),
        ("Task", job.task_title or spec.task),
        ("Proxy", f"{model.family}, width {model.width}, depth {model.depth}, {spec.optimizer.name}"),
        ("Tags", " ".join(job.tags) or None),
        ("Outer steps", job.progress.outer_step),
        ("Cost", f"{job.progress.run_equivalents:.4g} runs of the proxy"),
        ("Began", None if job.started_at is None else f"{job.started_at:%Y-%m-%d %H:%M} UTC"),
        ("Ended", None if job.finished_at is None else f"{job.finished_at:%Y-%m-%d %H:%M} UTC"),
    ]
    yield facts([(name, value) for name, value in pairs if value is not None])


def _losses(result: TuneResult | None) -> Iterator[str]:
    if result is None:
        return
    ends = (("start", result.start), ("tuned", result.best))
    rows = [
        (
            name,
            estimate(point.validation.mean, point.validation.stderr),
            estimate(point.test.mean, point.test.stderr),
            point.test.accuracy,
        )
        for name, point in ends
    ]
    yield "<h2>Losses on fresh seeds</h2>"
    yield table(("", "validation loss", "test loss", "test accuracy"), rows)


def _values(job: Job, result: TuneResult | None, steps: Sequence[OuterStep]) -> Iterator[str]:
    start = result.start.hyperparameters if result else steps[0].hyperparameters if steps else {}
    best = result.best.hyperparameters if result else job.best.hyperparameters if job.best else {}
    if best:
        yield f"<h2>Hyperparameters {'found' if result else 'so far'}</h2>"
        rows = [(label, start.get(label), value) for label, value in best.items()]
        yield f'<div class="wide">{table(("", "start", "found"), rows)}</div>'


def _figures(steps: Sequence[OuterStep], result: TuneResult | None) -> Iterator[str]:
    from windtunnel import figures

    drawn = []
    roles = {tensor.name: tensor.role for tensor in result.proxy.tensors} if result else {}
    if steps:
        drawn += [
            ("Validation loss", figures.loss(steps)),
            ("Hyperparameters", figures.hyperparameters(steps, roles=roles)),
        ]
        if steps[0].sweep is not None:
            drawn.append(("Scout", figures.scout(steps[0])))
        if any(step.gradient for step in steps):
            drawn.append(("Hypergradients and chaos", figures.gradients(steps)))
            drawn.append(("Sensitivity", figures.sensitivity(steps, roles=roles)))
    if result is not None:
        drawn.append(("Schedule", figures.schedule(result.schedule)))
        if result.coordinate_check is not None:
            drawn.append(("Coordinate check", figures.coordinate_check(result.coordinate_check)))
        if result.ladder is not None:
            drawn.append(("Ladder of widths", figures.ladder(result.ladder)))
        for law in result.scaling.laws if result.scaling else []:
            drawn.append((law.law.replace("_", " "), figures.law(law)))
        if result.best_response is not None:
            drawn.append(("Regularisers", figures.regularisers(result.best_response)))
            drawn.append(("Quality of the response", figures.response(result.best_response)))
    for title, figure in drawn:
        yield f"<h2>{escape(title)}</h2>"
        yield figure.to_html(full_html=False, include_plotlyjs=False, config={"responsive": True, "displaylogo": False})


def _plans(plans: Sequence[TransferPlan]) -> Iterator[str]:
    for plan in plans:
        check = plan.coordinate_check.verdict if plan.coordinate_check else "none"
        yield f"<h2>Plan for width {plan.width:,}, depth {plan.depth}</h2>"
        forced = " Made although a check failed." if plan.forced else ""
        told = f"{plan.parameters:,} parameters, {plan.steps:,} steps of batch {plan.batch_size}, coordinate check {check}."
        yield f"<p>{escape(told + forced)} <span class='soft'>{escape(plan.id)}</span></p>"
        yield f'<div class="wide">{role_table(plan)}</div>'


def role_table(plan: TransferPlan) -> str:
    """Table of the values of each role in the large model; a dash where the tensors of a role differ."""
    headings = ("role", "tensors", "learning rate", "weight decay", "init std", "multiplier")
    return table(
        headings,
        [(row.role, row.tensors, row.learning_rate, row.weight_decay, row.init_std, row.multiplier) for row in plan.roles],
    )


def _end(job: Job, result: TuneResult | None) -> Iterator[str]:
    spec = escape(job.spec.model_dump_json(indent=2))
    yield f"<h2>Spec</h2><details><summary>every field</summary><pre>{spec}</pre></details>"
    if result is not None:
        yield "<h2>Provenance</h2>"
        kept = json.dumps(result.provenance.model_dump(mode="json"), indent=2)
        yield f"<details><summary>versions and hashes</summary><pre>{escape(kept)}</pre></details>"
