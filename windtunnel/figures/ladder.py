"""Draws a ladder of widths: loss over the factor on the tuned value, one line per width."""

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from windtunnel.figures.style import MUTED, OTHER_COLOURS, Theme, layout, log_axis
from windtunnel.types.ladders import Ladder, LadderCertificate

PANEL = 320
"""Height of a panel in pixels."""


def ladder(certificate: LadderCertificate, *, theme: Theme = "light") -> go.Figure:
    """Figure with a panel for learning rate, weight decay and standard parametrization each, as far as they were run.

    Each line is the mean validation loss over seeds at one width; the diamond is the minimum of a fitted parabola. Diamonds
    above each other mean that the optimum does not move with the width. The title of a panel has its drift and verdict.
    """
    drawn = [
        each for each in (certificate.learning_rate, certificate.weight_decay, certificate.standard) if each is not None
    ]
    figure = make_subplots(
        rows=1, cols=len(drawn), shared_yaxes=True, horizontal_spacing=0.04, subplot_titles=[_title(each) for each in drawn]
    )
    widths = [rung.width for rung in certificate.learning_rate.rungs]
    for panel, each in enumerate(drawn, start=1):
        for rung in each.rungs:
            colour = OTHER_COLOURS[widths.index(rung.width) % len(OTHER_COLOURS)]
            _rung(figure, certificate, each, rung.width, colour, panel)
    figure.update_layout(layout(theme, height=PANEL))
    figure.update_layout(margin={"t": 56, "b": 84}, legend={"y": -0.3, "yanchor": "top"})
    figure.update_annotations(font={"size": 12})
    ticks = [f"x {factor:g}" for factor in certificate.factors]
    for panel, each in enumerate(drawn, start=1):
        name = f"{each.quantity.replace('_', ' ')} over the plan's"
        figure.update_xaxes(type="log", tickvals=certificate.factors, ticktext=ticks, title_text=name, row=1, col=panel)
    means = [mean for each in drawn for rung in each.rungs for mean in _means(rung.losses) if mean is not None]
    figure.update_yaxes(log_axis(means))
    figure.update_yaxes(title_text="validation loss", row=1, col=1)
    return figure


def _rung(figure: go.Figure, certificate: LadderCertificate, of: Ladder, width: int, colour: str, panel: int) -> None:
    rung = next(rung for rung in of.rungs if rung.width == width)
    means = _means(rung.losses)
    figure.add_scatter(
        x=certificate.factors,
        y=means,
        mode="lines+markers",
        name=f"width {width}",
        legendgroup=str(width),
        showlegend=panel == 1,
        line={"color": colour, "width": 2},
        marker={"size": 5},
        hovertemplate=f"width {width}, x %{{x:g}}: %{{y:.4f}}<extra></extra>",
        row=1,
        col=panel,
    )
    known = [mean for mean in means if mean is not None]
    if rung.optimum is None or not known:
        return
    figure.add_scatter(
        x=[2**rung.optimum],
        y=[min(known)],
        mode="markers",
        legendgroup=str(width),
        showlegend=False,
        marker={"symbol": "diamond", "size": 10, "color": colour, "line": {"color": MUTED, "width": 1}},
        hovertemplate=f"width {width}: best at x {2**rung.optimum:.2g}<extra></extra>",
        row=1,
        col=panel,
    )


def _means(losses: list[list[float | None]]) -> list[float | None]:
    """Mean loss at each factor; None if a run diverged."""
    found: list[float | None] = []
    for row in losses:
        known = [loss for loss in row if loss is not None]
        found.append(sum(known) / len(known) if len(known) == len(row) else None)
    return found


def _title(of: Ladder) -> str:
    drift = "drift not located" if of.drift is None else f"drift {of.drift:+.2f} ({of.low:+.2f} to {of.high:+.2f})"
    name = of.quantity.replace("_", " ")
    if of.parametrization == "standard":
        return f"{name}, standard parametrization<br>{drift}"
    return f"{name}, {of.parametrization}: {of.verdict}<br>{drift}"
