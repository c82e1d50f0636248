"""Style of every figure: colours for light and dark pages, one colour per role, axes with readable ticks."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import plotly.graph_objects as go

Theme = Literal["light", "dark"]

INK: dict[Theme, dict[str, str]] = {
    "light": {"text": "#16232b", "soft": "#5c6c76", "grid": "#e4e9ec", "line": "#c3ccd2"},
    "dark": {"text": "#e6edf1", "soft": "#93a4af", "grid": "#24323b", "line": "#3a4a55"},
}
ACCENT, MUTED = "#0f8b8d", "#8796a0"
ROLE_COLOURS = {"input": "#3b82d6", "hidden": "#0f8b8d", "output": "#e07a3f", "vector": "#8b6cd9", "scalar": "#d1496b"}
"""Role -> its colour in every figure; readable on light and on dark pages."""
OTHER_COLOURS = ("#0f8b8d", "#e07a3f", "#3b82d6", "#8b6cd9", "#d1496b", "#7a9a2b", "#c79a17", "#5f7f95")


def layout(theme: Theme, *, height: int) -> dict[str, Any]:
    """Layout of a figure on a transparent background, ``height`` pixels high."""
    ink = INK[theme]
    axis = {
        "gridcolor": ink["grid"],
        "linecolor": ink["line"],
        "zeroline": False,
        "automargin": True,
        "title": {"font": {"size": 12}, "standoff": 8},
        "tickfont": {"color": ink["soft"]},
    }
    template = go.layout.Template(layout={"xaxis": axis, "yaxis": axis, "colorway": OTHER_COLOURS})
    return {
        "template": template,
        "height": height,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, -apple-system, 'Segoe UI', sans-serif", "size": 12, "color": ink["text"]},
        "margin": {"l": 56, "r": 16, "t": 24, "b": 48},
        "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        "hoverlabel": {"font": {"size": 12}},
    }


def step_axis(steps: Sequence[int]) -> dict[str, Any]:
    """Axis of outer steps with about ten ticks at whole numbers."""
    span = max(steps, default=1) - min(steps, default=0)
    return {"title": {"text": "outer step"}, "tick0": 0, "dtick": max(1, math.ceil(span / 10)), "tickformat": "d"}


def log_axis(values: Sequence[float | None]) -> dict[str, Any]:
    """Logarithmic axis with a few labelled ticks: powers of ten over a wide range, even steps over a narrow one."""
    positive = [value for value in values if value is not None and value > 0]
    if not positive:
        return {"type": "log"}
    least, most = min(positive), max(positive)
    decades = math.log10(most / least)
    if decades < 0.8:
        ticks = _even_ticks(least, most)
    else:
        digits = (1,) if decades > 2.5 else (1, 3) if decades > 1.5 else (1, 2, 5)
        stride = max(1, math.ceil(decades / 6))
        exponents = range(math.floor(math.log10(least)) - 1, math.ceil(math.log10(most)) + 2)
        ticks = [digit * 10.0**exponent for exponent in exponents if exponent % stride == 0 for digit in digits]
    return {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:.6g}" for tick in ticks]}


def _even_ticks(least: float, most: float) -> list[float]:
    """About five round numbers from below ``least`` to above ``most``; the number itself if they are equal."""
    if most - least < 1e-9 * most:
        return [least]
    rough = (most - least) / 4
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(digit * unit for digit in (1, 2, 5, 10) if digit * unit >= rough)
    first, last = math.floor(least / step), math.ceil(most / step)
    return [index * step for index in range(max(1, first), last + 1)]
