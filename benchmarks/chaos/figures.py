"""``python -m benchmarks.chaos.figures``: measures and draws the pictures of docs/explanation/chaos.md."""

import statistics
from collections.abc import Iterator

import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots
from torch import Tensor

from benchmarks.chaos import adjoints, reference
from benchmarks.chaos.cases import CASES, CHAOS, SEEDS, Case
from benchmarks.chaos.rules import TAU, bounded, exact, sweep
from benchmarks.picture import IMAGE
from benchmarks.rendering import write_png
from benchmarks.stored import Cell, Row, stored
from windtunnel.figures.style import ACCENT, MUTED, OTHER_COLOURS

CASE = CASES["mnist5k-adamw"]
ROUGH, SMOOTH = 0.05, 0.001
GROWTH = ["case", "rate", "rule", "back", "low", "median", "high"]
SLICE = ["case", "rate", "span", "offset", "loss"]
SPANS = ((SMOOTH, 1.0), (ROUGH, 1.0), (ROUGH, 0.01))
"""(rate, half width in log learning rate) of each slice."""
OFFSETS = 96
ORANGE = OTHER_COLOURS[1]
SHOWN = {"exact": ORANGE, "bounded": ACCENT, "bounded, tau 0": OTHER_COLOURS[2], "gauss_newton": MUTED}


def growth(cell: Cell) -> Iterator[list[object]]:
    """Yield quartiles over seeds of the adjoint's norm at backward steps, relative to the end of the run."""
    case, rate = CASES[str(cell[0])], float(str(cell[1]))
    for name, swept in sweep(case, rate, {"exact": exact, "bounded": bounded(TAU)}).items():
        relative = swept.norms / swept.norms[0]
        for back, norms in enumerate(relative.tolist()):
            low, median, high = statistics.quantiles(norms, n=4)
            yield [name, back, low, median, high]


def slices(cell: Cell) -> Iterator[list[float]]:
    """Yield the validation loss of one seed with all learning rates multiplied by e^offset."""
    case, rate, span = CASES[str(cell[0])], float(str(cell[1])), float(str(cell[2]))
    problem, centre = case.study(rate).problem, case.points(rate, 1)[0]
    offsets = torch.linspace(-span, span, OFFSETS, dtype=torch.float64)
    draw = problem.draw([(0, CHAOS, 0, 0)])
    for part in offsets.split(SEEDS * 2):  # type: ignore[no-untyped-call]
        points = centre + part[:, None] * along(case, rate)
        trained = problem.train(points, draw.select([0] * len(part)))
        with torch.no_grad():
            losses, _ = problem.evaluate(trained.parameters, trained.loss, problem.data.validation)
        yield from ([float(offset), float(loss)] for offset, loss in zip(part, losses, strict=True))


def along(case: Case, rate: float) -> Tensor:
    """Direction [k] along which all learning rates grow equally."""
    items = case.study(rate).space.hyperparameters
    return torch.tensor([float(item.name == "learning_rate") for item in items], dtype=torch.float64)


def draw_growth(rows: list[Row]) -> go.Figure:
    """Figure of the growth of adjoints over backward steps."""
    figure = go.Figure()
    for name, colour in (("exact", ORANGE), ("bounded", ACCENT)):
        mine = [row for row in rows if row["rule"] == name]
        back = [int(row["back"]) for row in mine]
        low, median, high = ([float(row[key]) for row in mine] for key in ("low", "median", "high"))
        band = {"x": back + back[::-1], "y": high + low[::-1], "fill": "toself", "opacity": 0.18, "mode": "none"}
        figure.add_scatter(**band, fillcolor=colour, showlegend=False)
        figure.add_scatter(x=back, y=median, name=name, mode="lines", line={"color": colour, "width": 3})
    figure.update_xaxes(title="steps back from the end of the run")
    figure.update_yaxes(type="log", title="|adjoint| / |adjoint at the end|", exponentformat="power", dtick=2)
    return styled(figure, 760, 380)


def draw_slices(rows: list[Row], gradients: list[Row]) -> go.Figure:
    """Figure of slices through the loss, with the gradients at the middle."""
    titles = [f"rate {rate:g}" + ("" if span == 1 else f", {1 / span:.0f} times closer") for rate, span in SPANS]
    figure = make_subplots(rows=1, cols=len(SPANS), subplot_titles=titles, horizontal_spacing=0.08)
    for column, (rate, span) in enumerate(SPANS, start=1):
        mine = [row for row in rows if (float(row["rate"]), float(row["span"])) == (rate, span)]
        offsets, losses = [float(row["offset"]) for row in mine], [float(row["loss"]) for row in mine]
        first = {"showlegend": column == 1, "row": 1, "col": column}
        figure.add_scatter(x=offsets, y=losses, name="validation loss", mode="lines", line={"color": MUTED}, **first)
        least, most = min(losses), max(losses)
        middle, margin = statistics.median(losses[OFFSETS // 2 - 3 : OFFSETS // 2 + 3]), 0.1 * (most - least)
        for name, colour in (("exact", ORANGE), ("bounded", ACCENT)):
            slope = float(adjoints.of(gradients, CASE, rate, name)[0] @ along(CASE, rate))
            # Drawn only as far as it stays inside the panel.
            reach = min(span / 2, (most - least) / 2 / max(abs(slope), 1e-9))
            line = {"color": colour, "width": 3}
            ends = {"x": [-reach, reach], "y": [middle - slope * reach, middle + slope * reach]}
            figure.add_scatter(**ends, name=f"slope, {name}", mode="lines", line=line, **first)
        figure.update_yaxes(range=[least - margin, most + margin], row=1, col=column)
        figure.update_xaxes(title="log learning rate, from the start", row=1, col=column)
    figure.update_yaxes(title="validation loss, nats", row=1, col=1)
    return styled(figure, 1180, 380)


def draw_agreement(pairs: list[Row], gradients: list[Row]) -> go.Figure:
    """Figure of the agreement of gradients with the reference over learning rates."""
    names = [name for name in SHOWN if any(row["adjoint"] == name for row in gradients)]
    figure = make_subplots(
        rows=1, cols=2, subplot_titles=("cosine to the reference", "norm over the reference's"), horizontal_spacing=0.1
    )
    ticks = [f"{rate:g}" for rate in CASE.rates]
    truth = [reference.smoothed(pairs, CASE, rate).gradient for rate in CASE.rates]
    for name in names:
        means = [adjoints.of(gradients, CASE, rate, name).mean(dim=0) for rate in CASE.rates]
        cosines = [float(mean @ true / (mean.norm() * true.norm())) for mean, true in zip(means, truth, strict=True)]
        ratios = [float(mean.norm() / true.norm()) for mean, true in zip(means, truth, strict=True)]
        bar = {"x": ticks, "name": name, "marker": {"color": SHOWN[name]}}
        figure.add_bar(**bar, y=cosines, row=1, col=1)
        figure.add_bar(**bar, y=ratios, showlegend=False, row=1, col=2)
    figure.update_yaxes(range=[-0.3, 1], row=1, col=1)
    figure.update_yaxes(type="log", exponentformat="power", row=1, col=2)
    figure.update_xaxes(title="learning rate", type="category")
    return styled(figure, 980, 360)


def styled(figure: go.Figure, width: int, height: int) -> go.Figure:
    """The figure in the style of the documentation's pictures."""
    figure.update_layout(
        template="plotly_white", width=width, height=height, font={"size": 14},
        legend={"orientation": "h", "y": -0.25}, margin={"l": 70, "r": 20, "t": 40, "b": 60},
    )  # fmt: skip
    return figure


def main() -> None:
    """Measure missing cells, then draw."""
    torch.set_num_threads(1)
    gradients = adjoints.measure()
    grown = stored("chaos-growth", GROWTH, [(CASE.name, ROUGH)], growth)
    sliced = stored("chaos-slices", SLICE, [(CASE.name, rate, span) for rate, span in SPANS], slices)
    drawn = {
        "chaos-growth": draw_growth(grown),
        "chaos-slices": draw_slices(sliced, gradients),
        "chaos-agreement": draw_agreement(reference.measure(), gradients),
    }
    for name, figure in drawn.items():
        path = IMAGE.parent / f"{name}.png"
        write_png(figure, path)
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
