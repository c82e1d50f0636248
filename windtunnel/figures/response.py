"""Draws a best response: the schedules of the regularisers, and the range in which the response holds."""

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from windtunnel.figures.style import ACCENT, INK, MUTED, OTHER_COLOURS, ROLE_COLOURS, Theme, layout, log_axis
from windtunnel.types.responses import BestResponseReport, ResponsePoint


def regularisers(report: BestResponseReport, *, theme: Theme = "light") -> go.Figure:
    """Figure of each regulariser over the share of the run, on log axes: one row per hyperparameter, one line per role."""
    values = report.schedule.values
    names = list(dict.fromkeys(label.partition(".")[0] for label in values))
    figure = make_subplots(rows=len(names), cols=1, shared_xaxes=True, vertical_spacing=0.09 / max(1, len(names) - 1))
    parts = list(dict.fromkeys(label.partition(".")[2] for label in values))
    seen: set[str] = set()
    for label, line in values.items():
        name, _, part = label.partition(".")
        colour = ROLE_COLOURS.get(part, OTHER_COLOURS[parts.index(part) % len(OTHER_COLOURS)])
        figure.add_scatter(
            x=report.schedule.times,
            y=line,
            mode="lines",
            name=part or "all",
            legendgroup=part,
            showlegend=part not in seen,
            line={"color": colour, "width": 2.2},
            hovertemplate=f"{label}<br>%{{x:.0%}} of the run: %{{y:.4g}}<extra></extra>",
            row=names.index(name) + 1,
            col=1,
        )
        seen.add(part)
    figure.update_layout(layout(theme, height=90 + 190 * len(names)))
    for row, name in enumerate(names, 1):
        own = [value for label, line in values.items() if label.partition(".")[0] == name for value in line]
        figure.update_yaxes(log_axis(own), title_text=name.replace("_", " "), row=row, col=1)
    figure.update_xaxes(title_text="share of the run", tickformat=".0%", row=len(names), col=1)
    return figure


def response(report: BestResponseReport, *, theme: Theme = "light") -> go.Figure:
    """Figure of the loss's change at shifted regularisers: by the response, against networks trained with them.

    Changes are relative to the run's own schedule. A point on the diagonal means that the response is right.

    Raises:
        ValueError: fewer than two points stayed finite.
    """
    if len(report.quality) < 2:
        raise ValueError("no shifted schedule of this job trained to a finite loss: there is nothing to compare")
    own, *others = report.quality
    predicted = [point.predicted - own.predicted for point in others]
    retrained = [point.retrained - own.retrained for point in others]
    figure = go.Figure(layout=layout(theme, height=360))
    ends = [min(0.0, *predicted, *retrained), max(0.0, *predicted, *retrained)]
    figure.add_scatter(
        x=ends, y=ends, mode="lines", name="response right", line={"color": MUTED, "dash": "dot"}, hoverinfo="skip"
    )
    figure.add_scatter(
        x=predicted,
        y=retrained,
        error_y={"array": [point.error for point in others], "thickness": 1.2, "color": INK[theme]["soft"]},
        mode="markers",
        name="shifted schedules",
        marker={"size": 10, "color": ACCENT},
        customdata=[said(point) for point in others],
        hovertemplate="%{customdata}<br>predicted %{x:+.4f}, retrained %{y:+.4f} ± %{error_y.array:.4f}<extra></extra>",
    )
    figure.update_xaxes(title_text="predicted change of validation loss, nats")
    figure.update_yaxes(title_text="after training again, nats")
    return figure


def said(point: ResponsePoint) -> str:
    """Position of a point in words, for its label."""
    sizes = {abs(offset) for offset in point.offsets.values()}
    if sizes == {0.0}:
        return "the run's own schedule"
    signs = {offset > 0 for offset in point.offsets.values()}
    if len(sizes) == 1 and len(signs) == 1:
        return f"all {'+' if signs == {True} else '−'}{sizes.pop():g}"
    return ", ".join(f"{label} {offset:+g}" for label, offset in point.offsets.items())
