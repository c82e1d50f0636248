"""Draws several jobs side by side: their losses over cost, the points they tried, and which hyperparameters mattered."""

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from windtunnel.figures.style import INK, OTHER_COLOURS, Theme, layout
from windtunnel.types.comparisons import ComparedJob, Comparison
from windtunnel.types.hyperparameters import coordinate
from windtunnel.types.verdicts import number

BEST_SHARE = 0.1
"""Share of a job's points that is drawn in full colour; the others are faint."""
FAINT = 0.22
"""Opacity of the other points."""
LONGEST_NAME = 32
"""Characters of a job's name in a legend."""
MOST_LABELS = 24
"""Hyperparameters drawn at most."""


def losses_over_cost(comparison: Comparison, *, theme: Theme = "light") -> go.Figure:
    """Figure of the lowest validation loss so far (nats) over the cost in plain runs, one line a job.

    The line is on the search's seeds, where the luckiest step leads. A diamond with its standard error is the loss on fresh
    seeds, of a job that has one.
    """
    figure = go.Figure(layout=layout(theme, height=380))
    for index, (name, each) in enumerate(zip(_names(comparison), comparison.items, strict=True)):
        figure.add_scatter(
            x=each.curve.cost,
            y=each.curve.best,
            customdata=[number(loss) for loss in each.curve.loss],
            mode="lines+markers",
            name=name,
            legendgroup=str(index),
            line={"color": colour(index), "width": 2.4, "shape": "hv"},
            marker={"size": 5},
            hovertemplate=f"{name}<br>%{{x:.1f}} runs: best %{{y:.4f}}, at the step %{{customdata}}<extra></extra>",
        )
        best = each.job.best
        if best is not None and best.judged_on == "fresh":
            figure.add_scatter(
                x=[each.job.progress.run_equivalents],
                y=[best.loss],
                error_y={"array": [best.stderr], "thickness": 1.4, "width": 4},
                mode="markers",
                marker={"symbol": "diamond", "size": 10, "color": colour(index)},
                legendgroup=str(index),
                showlegend=False,
                hovertemplate=f"{name}<br>on fresh seeds: %{{y:.4f}} ± %{{error_y.array:.4f}}<extra></extra>",
            )
    figure.update_xaxes(title_text="cost, plain runs", rangemode="tozero")
    figure.update_yaxes(title_text="best validation loss so far, nats")
    return figure


def parallel_coordinates(comparison: Comparison, *, theme: Theme = "light") -> go.Figure:
    """Figure of every point tried as a line over all hyperparameters to its loss; the best tenth of each job stands out.

    Each axis runs from the least to the largest value that any of the jobs tried, in the coordinate that the search moves
    in (logarithm or logit). A point that diverged is not drawn; a hyperparameter that a job does not have leaves a gap.

    Raises:
        ValueError: no job has a point with a loss.
    """
    tried = [(index, judged(each)) for index, each in enumerate(comparison.items)]
    labels = list(dict.fromkeys(label for each in comparison.items for label in each.points.hyperparameters))[:MOST_LABELS]
    losses = [loss for _, points in tried for loss, _ in points]
    if not losses:
        raise ValueError("none of the jobs has tried a point with a loss")
    ends: dict[str, tuple[float, float]] = {}
    for label in labels:
        column = [values[label] for _, points in tried for _, values in points if label in values]
        ends[label] = (min(column, default=0.0), max(column, default=0.0))
    figure = go.Figure(layout=layout(theme, height=430))
    names = _names(comparison)
    for index, points in tried:
        if not points:
            continue
        ranked = sorted(points, key=lambda point: point[0], reverse=True)  # the best are drawn last, on top
        best = max(1, round(BEST_SHARE * len(ranked)))
        for part, opacity, width, shown in ((ranked[:-best], FAINT, 1.0, False), (ranked[-best:], 1.0, 2.2, True)):
            x: list[int | None] = []
            y: list[float | None] = []
            hover: list[str | None] = []
            for loss, values in part:
                x += [*range(len(labels) + 1), None]
                y += [_height(label, values[label], ends[label]) if label in values else None for label in labels]
                y += [_share(loss, min(losses), max(losses)), None]
                hover += [f"{label} {number(values[label])}" if label in values else "" for label in labels]
                hover += [f"loss {number(loss)}", None]
            figure.add_scatter(
                x=x,
                y=y,
                customdata=hover,
                mode="lines",
                name=names[index],
                legendgroup=str(index),
                showlegend=shown,
                opacity=opacity,
                line={"color": colour(index), "width": width},
                hovertemplate=f"{names[index]}<br>%{{customdata}}<extra></extra>",
            )
    for at in range(len(labels) + 1):
        figure.add_shape(
            type="line", x0=at, x1=at, y0=0, y1=1, line={"color": INK[theme]["line"], "width": 1}, layer="below"
        )
    for at, (low, high) in enumerate([*ends.values(), (min(losses), max(losses))]):
        for value, height, anchor in ((low, 0, "top"), (high, 1, "bottom")):
            font = {"size": 10, "color": INK[theme]["soft"]}
            figure.add_annotation(x=at, y=height, text=number(value, 2), showarrow=False, yanchor=anchor, font=font)
    ticks = [*labels, "loss"]
    figure.update_xaxes(tickvals=list(range(len(ticks))), ticktext=ticks, showgrid=False, tickangle=40)
    figure.update_yaxes(visible=False, range=[-0.09, 1.09])
    figure.update_layout(hovermode="closest", legend={"y": 1.04})
    return figure


def importances(comparison: Comparison, *, theme: Theme = "light") -> go.Figure:
    """Figure of the importances of the hyperparameters, one bar a job: shares of what decides who is in the best tenth.

    Raises:
        ValueError: no job has tried enough points.
    """
    largest: dict[str, float] = {}
    for each in comparison.items:
        for label, share in (each.importances or {}).items():
            largest[label] = max(share, largest.get(label, 0.0))
    if not largest:
        raise ValueError("none of the jobs has tried enough points for importances")
    labels = sorted(largest, key=lambda label: -largest[label])[:MOST_LABELS]
    shown = sum(each.importances is not None for each in comparison.items)
    figure = go.Figure(layout=layout(theme, height=110 + len(labels) * (16 + 9 * shown)))
    for index, (name, each) in enumerate(zip(_names(comparison), comparison.items, strict=True)):
        if each.importances is not None:
            figure.add_bar(
                x=[each.importances.get(label) for label in labels],
                y=labels,
                orientation="h",
                name=name,
                marker={"color": colour(index)},
                hovertemplate=f"{name}<br>%{{y}}: %{{x:.1%}}<extra></extra>",
            )
    figure.update_xaxes(title_text="share of the importance", rangemode="tozero", tickformat=".0%")
    figure.update_yaxes(autorange="reversed", automargin=True, tickfont={"size": 11})
    figure.update_layout(bargap=0.3, showlegend=True)
    return figure


def colour(index: int) -> str:
    """Colour of a job by its place in the comparison."""
    return OTHER_COLOURS[index % len(OTHER_COLOURS)]


def _names(comparison: Comparison) -> list[str]:
    """Names for a legend: cut where they are long, and with no sign that plotly would read as markup or a format."""
    cut = [
        name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 9].rstrip()}… {each.job.id[-8:]}"
        for name, each in zip(comparison.names, comparison.items, strict=True)
    ]
    return [name.replace("&", "&amp;").replace("<", "&lt;").replace("%", "&#37;") for name in cut]


def judged(each: ComparedJob) -> Sequence[tuple[float, dict[str, float]]]:
    """(loss, values) of each point that did not diverge."""
    return [
        (loss, {label: column[row] for label, column in each.points.hyperparameters.items()})
        for row, loss in enumerate(each.points.losses)
        if loss is not None and math.isfinite(loss)
    ]


def _height(label: str, value: float, ends: tuple[float, float]) -> float:
    low, high = (coordinate(label, end) for end in ends)
    return _share(coordinate(label, value), low, high)


def _share(value: float, low: float, high: float) -> float:
    return 0.5 if high == low else (value - low) / (high - low)
