"""Draws scaling laws: a fit with its interval over the runs, loss at equal compute, and the best sizes over compute."""

import plotly.graph_objects as go

from windtunnel.figures.style import MUTED, OTHER_COLOURS, Theme, layout, log_axis
from windtunnel.types.allocations import AllocationPlan
from windtunnel.types.laws import LawResult

HEIGHT = 360
TITLES = {
    "parameters": "N, parameters without embeddings",
    "tokens": "D, tokens",
    "compute_min": "C_min, FLOPs",
    "loss": "loss, nats",
    "critical_batch": "B_crit, tokens",
}


def law(result: LawResult, *, theme: Theme = "light") -> go.Figure:
    """Figure of one fitted law over its first input: 90 % band, runs, and the held-out run with its prediction."""
    figure = go.Figure()
    axis = result.inputs[0]
    for colour, curve in zip(OTHER_COLOURS, result.curves, strict=False):
        name = "law" if len(result.curves) == 1 else curve.axis.replace("_", " ")
        figure.add_scatter(
            x=curve.at + curve.at[::-1],
            y=curve.high + curve.low[::-1],
            fill="toself",
            mode="none",
            fillcolor=colour,
            opacity=0.18,
            hoverinfo="skip",
            showlegend=False,
        )
        figure.add_scatter(x=curve.at, y=curve.value, mode="lines", name=name, line={"color": colour, "width": 2.2})
    at = [getattr(point, axis) for point in result.points]
    figure.add_scatter(
        x=at,
        y=result.actual,
        mode="markers",
        name="runs",
        marker={"color": MUTED, "size": 6},
        hovertemplate="%{x:.4g}: %{y:.4f}",
    )
    held = result.held_out
    if held is not None:
        told = held.prediction
        figure.add_scatter(
            x=[getattr(held.at, axis)],
            y=[told.value],
            error_y={"symmetric": False, "array": [told.high - told.value], "arrayminus": [told.value - told.low]},
            mode="markers",
            name="held out, predicted",
            marker={"symbol": "diamond-open", "size": 11, "color": "#d1496b"},
        )
    figure.update_layout(layout(theme, height=HEIGHT))
    figure.update_layout(legend={"y": -0.25, "yanchor": "top"}, margin={"b": 96})
    figure.update_xaxes(log_axis([*at, *(value for curve in result.curves for value in curve.at)]))
    figure.update_yaxes(log_axis([*result.actual, *(value for curve in result.curves for value in curve.value)]))
    figure.update_xaxes(title_text=TITLES.get(axis, axis))
    figure.update_yaxes(title_text=TITLES[result.target])
    return figure


def iso_flops(plan: AllocationPlan, *, theme: Theme = "light") -> go.Figure:
    """Figure of the loss over model size at the budget, a tenth and a hundredth of it; diamonds are the best sizes."""
    figure = go.Figure()
    laws = list(dict.fromkeys(curve.law for curve in plan.iso_flops))
    budgets = sorted({curve.compute for curve in plan.iso_flops})
    dashes = dict(zip(budgets[::-1], ("solid", "dash", "dot"), strict=False))
    for curve in plan.iso_flops:
        colour = OTHER_COLOURS[laws.index(curve.law) % len(OTHER_COLOURS)]
        figure.add_scatter(
            x=curve.parameters,
            y=curve.loss,
            mode="lines",
            name=f"{curve.law}, {curve.compute:.2g} FLOPs",
            line={"color": colour, "width": 2, "dash": dashes[curve.compute]},
        )
        figure.add_scatter(
            x=[curve.parameters[curve.best]],
            y=[curve.loss[curve.best]],
            mode="markers",
            marker={"symbol": "diamond", "size": 9, "color": colour},
            showlegend=False,
        )
    figure.update_layout(layout(theme, height=HEIGHT + 40))
    figure.update_layout(legend={"y": -0.25, "yanchor": "top"}, margin={"b": 130})
    figure.update_xaxes(log_axis([size for curve in plan.iso_flops for size in curve.parameters]))
    figure.update_yaxes(log_axis([loss for curve in plan.iso_flops for loss in curve.loss]))
    figure.update_xaxes(title_text=TITLES["parameters"])
    figure.update_yaxes(title_text=TITLES["loss"])
    return figure


def frontier(plan: AllocationPlan, *, theme: Theme = "light") -> go.Figure:
    """Figure of each law's best N (lines) and best tokens (dotted) over compute, with those of this budget."""
    figure = go.Figure()
    for colour, curve in zip(OTHER_COLOURS, plan.frontiers, strict=False):
        for values, name, dash in ((curve.parameters, "N", "solid"), (curve.tokens, "D", "dot")):
            figure.add_scatter(
                x=curve.compute,
                y=values,
                mode="lines",
                name=f"{curve.law}: {name}",
                line={"color": colour, "width": 2.2, "dash": dash},
                customdata=curve.loss,
                hovertemplate=f"%{{x:.3g}} FLOPs: {name} %{{y:.3g}}, loss %{{customdata:.3f}}<extra>{curve.law}</extra>",
            )
    for colour, each in zip(OTHER_COLOURS, plan.allocations, strict=False):
        figure.add_scatter(
            x=[plan.compute] * 2,
            y=[each.parameters, each.tokens],
            mode="markers",
            marker={"symbol": "diamond", "size": 9, "color": colour},
            showlegend=False,
        )
    figure.update_layout(layout(theme, height=HEIGHT + 40))
    figure.update_layout(legend={"y": -0.25, "yanchor": "top"}, margin={"b": 110})
    figure.update_xaxes(log_axis([c for curve in plan.frontiers for c in curve.compute]))
    figure.update_yaxes(log_axis([v for curve in plan.frontiers for v in (*curve.parameters, *curve.tokens)]))
    figure.update_xaxes(title_text="compute, FLOPs")
    figure.update_yaxes(title_text="parameters; tokens")
    return figure
