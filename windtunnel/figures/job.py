"""Figures of a job and of its result: what the search did, and what it found."""

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from windtunnel.figures.style import ACCENT, INK, MUTED, OTHER_COLOURS, ROLE_COLOURS, Theme, layout, log_axis, step_axis
from windtunnel.types import LossEstimate, OuterStep, ScheduleCurve, TuneResult

NEAR_ONE = frozenset({"momentum", "beta1", "beta2"})
"""Hyperparameters whose distance to one matters: they are drawn as one minus the value."""


def loss(steps: Sequence[OuterStep], *, theme: Theme = "light") -> go.Figure:
    """Figure of the validation loss over outer steps, its standard error over seeds, and the cost in plain runs."""
    figure = _figure(theme, x="outer step", y="validation loss", height=340)
    at = [step.outer_step for step in steps]
    # A step at which every run diverged has no loss: a gap in the line.
    losses = [step.loss for step in steps]
    reached = [math.inf if value is None else value for value in losses]
    figure.add_scatter(
        x=at,
        y=[value if math.isfinite(value) else None for value in accumulate(reached, min)],
        mode="lines",
        name="best so far",
        line={"color": MUTED, "width": 1.5, "dash": "dot", "shape": "hv"},
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=at,
        y=losses,
        error_y={"array": [step.stderr for step in steps], "thickness": 1.2, "width": 3},
        mode="lines+markers",
        name="loss",
        line={"color": ACCENT, "width": 2.4},
        marker={"size": 6},
        customdata=[[step.run_equivalents, step.seeds] for step in steps],
        hovertemplate="step %{x}: %{y:.4f} ± %{error_y.array:.4f}<br>"
        "%{customdata[1]} seeds, %{customdata[0]:.1f} runs spent<extra></extra>",
    )
    # An axis without a trace is not drawn.
    figure.add_scatter(x=at, y=losses, xaxis="x2", mode="lines", opacity=0, hoverinfo="skip", showlegend=False)
    marked = steps[:: max(1, math.ceil(len(steps) / 6))]
    figure.update_layout(
        xaxis2={
            "overlaying": "x",
            "matches": "x",
            "side": "top",
            "showgrid": False,
            "tickvals": [step.outer_step for step in marked],
            "ticktext": [f"{step.run_equivalents:.0f}" for step in marked],
            "title": {"text": "cost, plain runs", "font": {"size": 12}},
            "tickfont": {"color": INK[theme]["soft"]},
        },
        xaxis=step_axis(at),
        legend={"y": -0.2, "yanchor": "top"},
        margin={"t": 56},
    )
    return figure


def scout(step: OuterStep, *, theme: Theme = "light") -> go.Figure:
    """Figure of the scout's sweep: loss over global learning rates, and the best of them.

    Raises:
        ValueError: the step has no sweep (it is not step 0, or the job has no scout).
    """
    if step.sweep is None:
        raise ValueError(f"outer step {step.outer_step} has no scout sweep; only step 0 of a job with outer.scout has one")
    rates, losses = step.sweep["learning_rate"], step.sweep["loss"]
    figure = _figure(theme, x="learning rate", y="validation loss", height=330)
    figure.update_xaxes(log_axis(rates))
    figure.add_scatter(x=rates, y=losses, mode="lines+markers", name="sweep", line={"color": ACCENT, "width": 2.2})
    if losses:
        best = min(range(len(losses)), key=losses.__getitem__)
        figure.add_scatter(
            x=[rates[best]],
            y=[losses[best]],
            mode="markers",
            name="start",
            marker={"size": 13, "color": ROLE_COLOURS["output"]},
        )
    return figure


def hyperparameters(
    steps: Sequence[OuterStep], *, roles: Mapping[str, str] | None = None, theme: Theme = "light"
) -> go.Figure:
    """Figure of the values over outer steps on log axes: one row per hyperparameter, one line per role or tensor.

    Args:
        steps: the outer steps so far.
        roles: tensor name -> role, to colour tensors like their role.
        theme: light or dark.
    """
    labels = list(steps[0].hyperparameters) if steps else []
    names = list(dict.fromkeys(_name(label) for label in labels))
    rows = max(1, len(names))
    figure = make_subplots(rows=rows, cols=1, shared_xaxes=True, vertical_spacing=0.09 / max(1, rows - 1))
    seen: set[str] = set()
    for label in labels:
        name, part = _name(label), _part(label)
        figure.add_scatter(
            x=[step.outer_step for step in steps],
            y=[_drawn(name, step.hyperparameters[label]) for step in steps],
            mode="lines+markers",
            name=part or "all",
            legendgroup=part,
            showlegend=part not in seen,
            line={"color": _colour(part, labels, roles or {}), "width": 2.2},
            marker={"size": 5},
            hovertemplate=f"{label}<br>step %{{x}}: %{{y:.4g}}<extra></extra>",
            row=names.index(name) + 1,
            col=1,
        )
        seen.add(part)
    figure.update_layout(layout(theme, height=90 + 190 * rows))
    for row, name in enumerate(names, 1):
        values = [_drawn(name, step.hyperparameters[label]) for step in steps for label in labels if _name(label) == name]
        figure.update_yaxes(log_axis(values), title_text=_title(name), row=row, col=1)
    figure.update_xaxes(step_axis([step.outer_step for step in steps]), row=rows, col=1)
    return figure


def gradients(steps: Sequence[OuterStep], *, theme: Theme = "light") -> go.Figure:
    """Figure of the hypergradient's norm and of the chaos in training: how much the bounded adjoint had to scale down."""
    measured = [step for step in steps if step.gradient_norm is not None]
    at = [step.outer_step for step in measured]
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.1, row_heights=[0.55, 0.45])
    norms = [step.gradient_norm for step in measured]
    line = {"color": ACCENT, "width": 2.2}
    figure.add_scatter(x=at, y=norms, mode="lines+markers", name="gradient norm", line=line, row=1, col=1)
    readings = (("bounded share", "bounded_share", "output"), ("mean scale", "mean_scale", "vector"))
    for name, field, role in readings:
        values = [getattr(step, field) for step in measured]
        line = {"color": ROLE_COLOURS[role]}
        figure.add_scatter(x=at, y=values, mode="lines+markers", name=name, line=line, row=2, col=1)
    figure.update_layout(layout(theme, height=330))
    figure.update_yaxes(log_axis(norms), title_text="norm", row=1, col=1)
    figure.update_yaxes(range=[-0.05, 1.05], title_text="share", row=2, col=1)
    figure.update_xaxes(step_axis(at), row=2, col=1)
    return figure


def schedule(curve: ScheduleCurve, *, theme: Theme = "light") -> go.Figure:
    """Figure of the learning-rate multiplier over normalised time, before and after the tuning."""
    figure = _figure(theme, x="share of the run", y="learning-rate multiplier", height=330)
    figure.add_scatter(x=curve.times, y=curve.start, mode="lines", name="start", line={"color": MUTED, "dash": "dot"})
    figure.add_scatter(x=curve.times, y=curve.best, mode="lines", name="tuned", line={"color": ACCENT, "width": 2.4})
    figure.update_yaxes(rangemode="tozero")
    return figure


def comparison(losses: Mapping[str, LossEstimate], *, y: str = "test loss", theme: Theme = "light") -> go.Figure:
    """Figure of losses as bars with one standard error, such as a plan against the default; the lowest is highlighted."""
    best = min(losses, key=lambda name: losses[name].mean, default=None)
    figure = _figure(theme, x="", y=y, height=340)
    figure.add_bar(
        x=list(losses),
        y=[loss.mean for loss in losses.values()],
        error_y={"array": [loss.stderr for loss in losses.values()], "thickness": 1.2, "color": INK[theme]["soft"]},
        marker={"color": [ACCENT if name == best else MUTED for name in losses]},
        text=[f"{loss.mean:.4f}" for loss in losses.values()],
        textposition="inside",
        insidetextanchor="start",
    )
    figure.update_layout(showlegend=False, bargap=0.45)
    return figure


def tuning(result: TuneResult, *, theme: Theme = "light") -> go.Figure:
    """Figure of a finished job: losses before and after on fresh seeds, and the change of each hyperparameter."""
    titles = ("loss on fresh seeds", "hyperparameters")
    figure = make_subplots(rows=1, cols=2, subplot_titles=titles, column_widths=[0.4, 0.6], horizontal_spacing=0.2)
    ends = (("start", result.start, MUTED), ("tuned", result.best, ACCENT))
    for name, point, colour in ends:
        means, errors = [point.validation.mean, point.test.mean], [point.validation.stderr, point.test.stderr]
        bars = {"x": ["validation", "test"], "y": means, "error_y": {"array": errors}}
        figure.add_bar(**bars, name=name, legendgroup=name, marker={"color": colour}, row=1, col=1)
    labels = list(result.best.hyperparameters)
    shown = [f"1 − {label}" if _name(label) in NEAR_ONE else label for label in labels]
    for label, words in zip(labels, shown, strict=True):
        values = [_drawn(_name(label), point.hyperparameters[label]) for _, point, _ in ends]
        figure.add_scatter(x=values, y=[words] * 2, mode="lines", line={"color": MUTED}, showlegend=False, row=1, col=2)
    for name, point, colour in ends:
        values = [_drawn(_name(label), point.hyperparameters[label]) for label in labels]
        marker = {"size": 11, "color": colour}
        figure.add_scatter(
            x=values, y=shown, mode="markers", marker=marker, name=name, legendgroup=name, showlegend=False, row=1, col=2
        )
    figure.update_layout(layout(theme, height=max(340, 110 + 26 * len(labels))))
    figure.update_layout(margin={"t": 70}, legend={"y": 1.18})
    values = [_drawn(_name(label), point.hyperparameters[label]) for _, point, _ in ends for label in labels]
    figure.update_xaxes(log_axis(values), row=1, col=2)
    figure.update_yaxes(autorange="reversed", automargin=True, row=1, col=2)
    return figure


def _figure(theme: Theme, *, x: str, y: str, height: int) -> go.Figure:
    figure = go.Figure(layout=layout(theme, height=height))
    figure.update_xaxes(title_text=x)
    figure.update_yaxes(title_text=y)
    return figure


def _name(label: str) -> str:
    return label.partition(".")[0]


def _part(label: str) -> str:
    """Role or tensor in a label; empty for a global hyperparameter."""
    return label.partition(".")[2]


def _title(name: str) -> str:
    words = name.replace("_", " ")
    return f"1 − {words}" if name in NEAR_ONE else words


def _drawn(name: str, value: float) -> float:
    return 1 - value if name in NEAR_ONE else value


def _colour(part: str, labels: Sequence[str], roles: Mapping[str, str]) -> str:
    role = roles.get(part, part)
    if role in ROLE_COLOURS:
        return ROLE_COLOURS[role]
    parts = list(dict.fromkeys(_part(label) for label in labels))
    return OTHER_COLOURS[parts.index(part) % len(OTHER_COLOURS)]
