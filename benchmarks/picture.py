"""``python -m benchmarks.picture``: measures and draws the picture of the README.

Left: tuning 8 hyperparameters of an MLP on mnist5k, against random search over the same space at the same cost. At each
cost, the point that a method would return is evaluated on fresh seeds. Right: the best learning rate over widths,
under muP and under the standard parametrization. Raw numbers go to benchmarks/results/, the picture to docs/images/.
"""

import functools
import math
import statistics
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots

from benchmarks.demo.contenders import train
from benchmarks.rendering import write_png
from benchmarks.stored import Cell, Row, stored
from hpo.plans.transfer import make_plan
from hpo.study import Study
from hpo.tasks import load
from hpo.training.evaluation import judge, mean_and_stderr
from windtunnel.figures.style import ACCENT, MUTED
from windtunnel.types import JobSpec, Target, TuneResult

IMAGE = Path(__file__).parent.parent / "docs" / "images" / "first-picture.png"
REPEATS = 3
OUTER_STEPS = 8
FRESH_SEEDS = 16
FRESH = 7
"""Purpose, in the seed path, of the evaluation runs: no tuning run has it."""
RANDOM_BUDGETS = (20, 40, 60, 90, 130, 180, 240)
WIDTHS = (64, 256, 1024)
RATES = tuple(0.0025 * 2**power for power in range(7))
STANDARD_RATES = tuple(0.0003125 * 2**power for power in range(10))
SWEEP_SEEDS = 3
NO_DATE = datetime.fromtimestamp(0, UTC)


def fresh_loss(study: Study, point: torch.Tensor) -> float:
    """Validation loss of one point on seeds that no tuning run used."""
    seeds = [(study.spec.seed, FRESH, 0, index) for index in range(FRESH_SEEDS)]
    return mean_and_stderr(judge(study.problem, point[None], seeds, study.population, lambda _: None).validation[0])[0]


def job(seed: int) -> Study:
    """Study of the default job on mnist5k."""
    return Study(JobSpec.model_validate({"task": "mnist5k", "seed": seed, "outer": {"steps": OUTER_STEPS}}))


def tuned(cell: Cell) -> Iterator[list[float]]:
    """Yield, at each outer step of Windtunnel, the point of lowest loss so far."""
    study = job(int(str(cell[0])))
    best, loss = study.space.start(), math.inf
    for step in study:
        if step.loss is not None and step.loss < loss:
            best, loss = study.space.from_dict(step.hyperparameters), step.loss
        yield [step.run_equivalents, fresh_loss(study, best)]


def random_search(cell: Cell) -> Iterator[list[float]]:
    """Yield the lowest loss so far of points drawn uniformly in the search's coordinates, one run each."""
    repeat = int(str(cell[0]))
    study = job(repeat)
    space = study.space
    generator = torch.Generator().manual_seed(repeat)
    share = torch.rand(max(RANDOM_BUDGETS), len(space), generator=generator, dtype=torch.float64)
    points = space.low + share * (space.high - space.low)
    losses = judge(study.problem, points, [(repeat, FRESH, 1, 0)], study.population, lambda _: None).validation[:, 0]
    for budget in RANDOM_BUDGETS:
        yield [budget, fresh_loss(study, points[int(losses[:budget].argmin())])]


@functools.cache
def any_result() -> TuneResult:
    """Result of a short digits job, whose hyperparameters the sweep then replaces."""
    spec = JobSpec.model_validate(
        {"task": "digits", "model": {"depth": 3}, "inner": {"steps": 100}, "outer": {"steps": 1, "finish_seeds": 2}}
    )
    study = Study(spec)
    list(study)
    return study.finish()


def swept(cell: Cell) -> Iterator[list[float]]:
    """Yield the training loss on digits, depth 3, 100 steps, at (parametrization, width, rate)."""
    parametrization, width, rate = str(cell[0]), int(str(cell[1])), float(str(cell[2]))
    data = load("digits")
    losses = [final_loss(any_result(), parametrization, width, rate, seed, data) for seed in range(SWEEP_SEEDS)]
    yield [statistics.fmean(losses)]


def final_loss(result: TuneResult, parametrization: str, width: int, rate: float, seed: int, data: Any) -> float:
    """Loss on the whole training split after one run at that width with one global learning rate."""
    values = {"learning_rate": rate}
    changed = result.model_copy(
        update={
            "spec": result.spec.model_copy(update={"parametrization": parametrization}),
            "best": result.best.model_copy(update={"hyperparameters": values}),
        }
    )
    plan = make_plan(changed, Target(width=width), plan_id="sweep", job_id="sweep", created_at=NO_DATE, force=True)
    model, examples = train(plan, data, seed, lambda: None), data.train.sample()
    with torch.no_grad():
        return float(torch.nn.functional.cross_entropy(model(examples.inputs), examples.labels))


def curve(rows: list[Row]) -> tuple[list[float], list[float], list[float], list[float]]:
    """(cost, mean, lowest, highest) over repeats, point by point."""
    by_repeat = [[row for row in rows if row["repeat"] == str(repeat)] for repeat in range(REPEATS)]
    points = list(zip(*by_repeat, strict=True))
    losses = [[float(row["loss"]) for row in point] for point in points]
    cost = [statistics.fmean(float(row["runs"]) for row in point) for point in points]
    return (
        cost,
        [statistics.fmean(found) for found in losses],
        [min(found) for found in losses],
        [max(found) for found in losses],
    )


def draw(ours: list[Row], random: list[Row], widths: list[Row]) -> go.Figure:
    """The picture as a figure."""
    titles = ("8 hyperparameters, one budget", "muP: one best rate for all widths", "standard: a new one each time")
    figure = make_subplots(rows=1, cols=3, subplot_titles=titles, horizontal_spacing=0.09, column_widths=[0.4, 0.3, 0.3])
    for name, rows, colour in (("random search", random, MUTED), ("Windtunnel", ours, ACCENT)):
        cost, mean, low, high = curve(rows)
        band = {"x": cost + cost[::-1], "y": high + low[::-1], "fill": "toself", "opacity": 0.18, "mode": "none"}
        figure.add_scatter(**band, fillcolor=colour, showlegend=False, row=1, col=1)
        figure.add_scatter(
            x=cost, y=mean, name=name, mode="lines+markers", line={"color": colour, "width": 3}, row=1, col=1
        )
    shades = dict(zip(WIDTHS, ("#9cc3f0", "#4a8fdd", "#123f7a"), strict=True))
    for column, parametrization in ((2, "mup"), (3, "standard")):
        for width in WIDTHS:
            rows = [row for row in widths if (row["parametrization"], row["width"]) == (parametrization, str(width))]
            rates, losses = [float(row["rate"]) for row in rows], [float(row["loss"]) for row in rows]
            best = losses.index(min(losses))
            line = {"color": shades[width], "width": 2.5}
            figure.add_scatter(
                x=rates, y=losses, name=f"width {width}", mode="lines", line=line, showlegend=column == 2, row=1, col=column
            )
            figure.add_scatter(
                x=[rates[best]],
                y=[losses[best]],
                mode="markers",
                marker={"color": shades[width], "size": 11},
                showlegend=False,
                row=1,
                col=column,
            )
        figure.update_xaxes(type="log", title="learning rate", dtick=1, row=1, col=column)
        figure.update_yaxes(type="log", title="training loss, nats", dtick=1, row=1, col=column)
    figure.update_xaxes(title="cost, proxy training runs", row=1, col=1)
    figure.update_yaxes(title="validation loss, nats", row=1, col=1)
    figure.update_layout(
        template="plotly_white", width=1280, height=400, font={"size": 14}, legend={"orientation": "h", "y": -0.25},
        margin={"l": 60, "r": 20, "t": 50, "b": 60},
    )  # fmt: skip
    return figure


def main() -> None:
    """Measure missing cells, then draw."""
    torch.set_num_threads(1)
    repeats = [(repeat,) for repeat in range(REPEATS)]
    ours = stored("tuned", ["repeat", "runs", "loss"], repeats, tuned)
    random = stored("random", ["repeat", "runs", "loss"], repeats, random_search)
    grid = [("mup", RATES), ("standard", STANDARD_RATES)]
    cells = [(kind, width, rate) for kind, rates in grid for width in WIDTHS for rate in rates]
    widths = stored("widths", ["parametrization", "width", "rate", "loss"], cells, swept)
    IMAGE.parent.mkdir(parents=True, exist_ok=True)
    write_png(draw(ours, random, widths), IMAGE)
    print(f"wrote {IMAGE}")


if __name__ == "__main__":
    main()
