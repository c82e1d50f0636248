"""Draws a coordinate check: how much training changed at each width, and in which regime."""

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from windtunnel.figures.style import INK, MUTED, OTHER_COLOURS, Theme, layout, log_axis
from windtunnel.types import CoordinateCheck, CoordinateSlope

DASHES = ("solid", "dash", "dot")
"""Line styles; each round of colours uses the next one."""
MOST_NAMED = 16
"""Modules in the legend, those with the steepest lines; the others are named on hover."""
MARGIN_TOP, LEGEND_ROW, PANEL = 44, 19, 300
"""Heights in pixels: above the panels, of one row of the legend, of the panels."""


def coordinate_check(check: CoordinateCheck, *, theme: Theme = "light") -> go.Figure:
    """Figure of a coordinate check, with its verdict in the title.

    Left: mean absolute change of each module's output over width, log-log; a transfer needs flat lines. Right, if measured:
    relative change of the tangent kernel and linearisation error, flat if features are learned at every width, falling if
    the wide model turns lazy. The legend has each line's exponent in the width with its 95 % interval over seeds.
    """
    changes = check.last("change")
    regimes = {
        "kernel change": (check.kernel_change, check.last("kernel_change").get("network")),
        "linearisation error": (check.linearisation_error, check.last("linearisation_error").get("network")),
    }
    regimes = {name: (values, slope) for name, (values, slope) in regimes.items() if values}
    panels = 2 if regimes else 1
    figure = make_subplots(
        rows=1, cols=panels, column_widths=[0.62, 0.38][:panels] if regimes else None, horizontal_spacing=0.13
    )
    steepest = sorted(check.sizes, key=lambda module: -abs(changes[module].slope) if module in changes else 0.0)
    named = frozenset(steepest[:MOST_NAMED])
    for index, (module, sizes) in enumerate(check.sizes.items()):
        colour, round_ = index % len(OTHER_COLOURS), index // len(OTHER_COLOURS)
        look = {"color": OTHER_COLOURS[colour], "dash": DASHES[round_ % 3]}
        _line(figure, check, _legend(module, changes.get(module)), sizes, 1, look, named=module in named)
    for dash, (name, (values, slope)) in zip(DASHES, regimes.items(), strict=False):
        look = {"color": INK[theme]["text"] if dash == "solid" else MUTED, "dash": dash}
        _line(figure, check, _legend(name, slope), values, 2, look, named=True)
    legend = LEGEND_ROW * (len(named) + len(regimes)) + 2 * LEGEND_ROW
    figure.update_layout(layout(theme, height=MARGIN_TOP + PANEL + legend))
    figure.update_layout(
        title={
            "text": _title(check),
            "x": 0,
            "xanchor": "left",
            "y": 1,
            "yanchor": "top",
            "pad": {"t": 8},
            "font": {"size": 14},
        },
        legend={"orientation": "v", "y": -2.6 * LEGEND_ROW / PANEL, "yanchor": "top", "x": 0},
        margin={"t": MARGIN_TOP, "b": legend},
    )
    ticks = [str(width) for width in check.widths]
    figure.update_xaxes(type="log", tickvals=check.widths, ticktext=ticks, title_text="width")
    changed = [size for sizes in check.sizes.values() for size in sizes]
    figure.update_yaxes(log_axis(changed), title_text=f"mean |change| after {check.steps} steps", row=1, col=1)
    if regimes:
        shares = [value for values, _ in regimes.values() for value in values]
        figure.update_yaxes(log_axis(shares), title_text="share", row=1, col=2)
    return figure


def _line(
    figure: go.Figure,
    check: CoordinateCheck,
    name: str,
    values: list[float],
    panel: int,
    look: dict[str, str],
    *,
    named: bool,
) -> None:
    figure.add_scatter(
        x=check.widths,
        y=values,
        mode="lines+markers",
        name=name,
        showlegend=named,
        line={"width": 2.2, **look},
        hovertemplate=f"{name}<br>width %{{x}}: %{{y:.4g}}<extra></extra>",
        row=1,
        col=panel,
    )


def _legend(module: str, slope: CoordinateSlope | None) -> str:
    """Name of a line in the legend, with its exponent: ``layers.1: +0.02 (-0.01 to +0.05)``."""
    if slope is None or slope.verdict == "exempt":
        return module
    between = "" if slope.low is None or slope.high is None else f" ({slope.low:+.2f} to {slope.high:+.2f})"
    return f"{module}: {slope.slope:+.2f}{between}"


def _title(check: CoordinateCheck) -> str:
    return f"{check.verdict}: widths {check.widths[0]} to {check.widths[-1]}, {check.seeds} seeds, {check.steps} steps"
