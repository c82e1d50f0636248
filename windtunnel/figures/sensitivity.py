"""Draws the sensitivity of the loss to each hyperparameter, from the hypergradients of the outer steps."""

import math
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from windtunnel.figures.style import ACCENT, INK, ROLE_COLOURS, Theme, layout
from windtunnel.types import OuterStep

MOST = 30
"""Number of hyperparameters drawn at most, the most sensitive first."""


def sensitivities(steps: Sequence[OuterStep]) -> dict[str, tuple[float, float]]:
    """Label -> (root mean square, last value) of its sensitivity over the outer steps that measured it, largest first.

    A sensitivity is ``|d loss / d u|`` in nats, where u is the unconstrained value of the hyperparameter: its logarithm or
    logit. For a logarithm it is the change of the validation loss, to first order, when the value is multiplied by e.
    """
    measured: dict[str, list[float]] = {}
    for step in steps:
        for label, slope in step.gradient.items():
            if math.isfinite(slope):
                measured.setdefault(label, []).append(abs(slope))
    means = {
        label: (math.sqrt(sum(slope**2 for slope in slopes) / len(slopes)), slopes[-1])
        for label, slopes in measured.items()
    }
    return dict(sorted(means.items(), key=lambda item: -item[1][0]))


def sensitivity(steps: Sequence[OuterStep], *, roles: Mapping[str, str] | None = None, theme: Theme = "light") -> go.Figure:
    """Figure of the sensitivities: bars are root mean squares over outer steps, diamonds the last values.

    Args:
        steps: the outer steps so far, of which at least one has a gradient.
        roles: tensor name -> role, to colour tensors like their role.
        theme: light or dark.

    Raises:
        ValueError: no outer step has a gradient.
    """
    found = sensitivities(steps)
    if not found:
        raise ValueError(f"none of the {len(steps)} outer steps has a gradient; step 0 and steps of the sampler have none")
    shown = dict(list(found.items())[:MOST])
    labels = list(shown)
    figure = go.Figure(layout=layout(theme, height=110 + 24 * len(labels)))
    figure.add_bar(
        x=[mean for mean, _ in shown.values()],
        y=labels,
        orientation="h",
        name="over all outer steps",
        marker={"color": [_colour(label, roles or {}) for label in labels]},
        hovertemplate="%{y}: %{x:.3g} nats<extra></extra>",
    )
    figure.add_scatter(
        x=[last for _, last in shown.values()],
        y=labels,
        mode="markers",
        name="last",
        marker={"symbol": "diamond", "size": 9, "color": INK[theme]["text"]},
        hovertemplate="%{y}: %{x:.3g} nats at the last<extra></extra>",
    )
    left = f" ({len(labels)} of {len(found)} hyperparameters)" if len(found) > len(labels) else ""
    figure.update_xaxes(rangemode="tozero", title_text=f"change of the loss at a factor of e, nats{left}")
    figure.update_yaxes(autorange="reversed", automargin=True, tickfont={"size": 11})
    figure.update_layout(bargap=0.35)
    return figure


def _colour(label: str, roles: Mapping[str, str]) -> str:
    part = label.partition(".")[2]
    return ROLE_COLOURS.get(roles.get(part, part), ACCENT)
