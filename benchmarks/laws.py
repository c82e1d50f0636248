"""``make laws``: fits scaling laws to real runs. A transformer on python-text at 6 sizes and 4 data sizes; and the critical
batch size of mnist5k, from the gradient noise scale and from runs at several batch sizes. Continues where it stopped.
"""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import torch

from benchmarks import page
from benchmarks.rendering import write_png
from benchmarks.stored import Cell, Row, stored
from hpo.evidence.noise_scale import noise_scale
from hpo.laws.batches import BatchFit, batch_fit
from hpo.laws.counting import count
from hpo.laws.fit import fit_law
from hpo.laws.predicting import along
from hpo.laws.table import RunTable
from hpo.study import Study
from hpo.training.evaluation import judge
from windtunnel.figures.style import OTHER_COLOURS
from windtunnel.tasks import TASKS
from windtunnel.types import JobSpec, ModelSpec
from windtunnel.types.laws import LawResult

IMAGE = Path(__file__).parent.parent / "docs" / "images" / "scaling-laws.png"
WIDTHS = (8, 16, 24, 32, 40, 48)
STEPS = (1440, 3600, 7200, 18000)
BATCH, CONTEXT, DEPTH = 4, 64, 2
TEXT_RATES = (0.002, 0.004, 0.008, 0.016)
SWEPT_STEPS = 1440
"""Steps after which the best rate of each width is chosen, on separate seeds."""
FRESH = 11
"""Purpose of these runs in the seed path."""

BATCH_SIZES = (8, 16, 32, 64, 128, 256, 512)
RATES = tuple(0.02 * 2**power for power in range(8))
TARGET = 0.35
"""Training loss, nats, at which the steps of runs at several batch sizes are counted."""
MOST_EXAMPLES, MOST_STEPS, LOOKS = 80_000, 1500, 60
REPEATS = 3


def text_model(width: int) -> ModelSpec:
    """The transformer of a width."""
    return ModelSpec(family="transformer", width=width, depth=DEPTH, activation="gelu", d_head=8)


def text_loss(width: int, steps: int, rate: float, purpose: int) -> float:
    """Validation loss of one transformer after a run of ``steps`` with its whole schedule."""
    spec = JobSpec.model_validate(
        {
            "task": "python-text",
            "model": text_model(width).model_dump(),
            "inner": {"steps": steps, "batch_size": BATCH},
            "search": [{"name": "learning_rate"}],
        }
    )
    study = Study(spec)
    point = study.space.from_dict({"learning_rate": rate})[None]
    return float(judge(study.problem, point, [(0, FRESH, purpose, 0)], 1, lambda _: None).validation[0, 0])


def text_rate(cell: Cell) -> Iterator[Sequence[object]]:
    """Yield the loss of a width at a learning rate."""
    began = time.process_time()
    loss = text_loss(int(str(cell[0])), SWEPT_STEPS, float(str(cell[1])), 2)
    yield [loss, time.process_time() - began]


def text_run(cell: Cell) -> Iterator[Sequence[object]]:
    """Yield the loss of a width after a number of steps, at the width's best rate."""
    width, steps, rate = int(str(cell[0])), int(str(cell[1])), float(str(cell[2]))
    began = time.process_time()
    loss = text_loss(width, steps, rate, 0)
    size = count(text_model(width), TASKS["python-text"]).non_embedding
    yield [size, steps * BATCH * CONTEXT, loss, time.process_time() - began]


def best_rate(rows: Sequence[Row], width: int) -> float:
    """The rate of least loss."""
    own = [row for row in rows if row["width"] == str(width)]
    return float(min(own, key=lambda row: float(row["loss"]))["rate"])


def steps_to_target(cell: Cell) -> Iterator[Sequence[object]]:
    """Yield the fewest steps, over learning rates of SGD, that bring the training loss on mnist5k to the target."""
    batch = int(str(cell[0]))
    steps = min(MOST_STEPS, MOST_EXAMPLES // batch)
    study = digits_study(batch, steps)
    points = torch.stack([study.space.from_dict({"learning_rate": rate}) for rate in RATES])
    reached = np.full((REPEATS, len(RATES)), math.inf)
    for repeat in range(REPEATS):
        problem = study.problem
        # All rates see the same batches from the same weights.
        draw = problem.draw([(repeat, FRESH, 1, 0)] * len(RATES))
        table = problem.coefficients(points)
        state, done, before = problem.initial(draw, table), 0, np.full(len(RATES), np.nan)
        for stop in looks(steps):
            state = problem.reach(state, table, draw, done, stop, lambda _: None)
            loss = problem.evaluate(state[0], problem.loss_tables(points), study.data.parts[0])[0].double().numpy()
            for index in np.flatnonzero((loss <= TARGET) & np.isinf(reached[repeat])):
                # Between two looks, in the logarithm of the loss.
                share = 1.0 if done == 0 else math.log(before[index] / TARGET) / math.log(before[index] / loss[index])
                reached[repeat, index] = done + share * (stop - done)
            done, before = stop, loss
            if np.isfinite(reached[repeat]).any() and stop > 2.5 * reached[repeat].min():
                break
    means = reached.mean(axis=0)
    best = int(means.argmin())
    yield [means[best], RATES[best]]


def looks(steps: int) -> list[int]:
    """Steps at which the loss is measured, close together at first."""
    return sorted({max(1, round(at)) for at in np.geomspace(2, steps, LOOKS)})


def digits_study(batch: int, steps: int) -> Study:
    """An MLP on mnist5k under plain SGD at a constant rate."""
    return Study(
        JobSpec.model_validate(
            {
                "task": "mnist5k",
                "optimizer": {"name": "sgd", "momentum": 0.0},
                "schedule": {"name": "constant"},
                "inner": {"steps": steps, "batch_size": batch},
                "search": [{"name": "learning_rate", "low": 1e-3, "high": 10.0}],
            }
        )
    )


def measured_noise(cell: Cell) -> Iterator[Sequence[object]]:
    """Yield the gradient noise scale during the run to the target, at the fastest rate of this batch size."""
    batch, steps, rate = int(str(cell[0])), round(float(str(cell[1]))), float(str(cell[2]))
    study = digits_study(batch, steps)
    found = noise_scale(study.problem, study.space.from_dict({"learning_rate": rate}), times=(0.25, 0.5, 0.75, 1.0))
    yield [found.examples, found.low, found.high]


def text_table(rows: Iterable[Row]) -> RunTable:
    """Parameters, tokens and losses of the runs."""
    names = ("parameters", "tokens", "loss")
    kept = list(rows)
    return RunTable({name: np.array([float(row[name]) for row in kept]) for name in names})


def draw(rows: Sequence[Row], law: LawResult) -> go.Figure:
    """Figure of the loss over model size, one line per data size, with the law fitted to all but the largest model."""
    figure = go.Figure()
    sizes = np.geomspace(float(rows[0]["parameters"]), float(rows[-1]["parameters"]), 40).tolist()
    for colour, steps in zip(OTHER_COLOURS, STEPS, strict=False):
        own = [row for row in rows if row["steps"] == str(steps)]
        tokens = float(own[0]["tokens"])
        line = along(law, [sizes, [tokens] * len(sizes)])
        figure.add_scatter(
            x=sizes + sizes[::-1],
            y=[each.high for each in line] + [each.low for each in line][::-1],
            fill="toself", mode="none", fillcolor=colour, opacity=0.15, showlegend=False,
        )  # fmt: skip
        figure.add_scatter(x=sizes, y=[each.value for each in line], mode="lines", line={"color": colour}, showlegend=False)
        held = [row["width"] == str(WIDTHS[-1]) for row in own]
        figure.add_scatter(
            x=[float(row["parameters"]) for row in own],
            y=[float(row["loss"]) for row in own],
            mode="markers",
            marker={"color": colour, "size": 10, "symbol": ["circle-open" if each else "circle" for each in held]},
            name=f"{tokens / 1e3:,.0f} thousand tokens",
        )
    figure.update_xaxes(type="log", title="parameters without embeddings")
    figure.update_yaxes(type="log", title="validation loss, nats a character", tickvals=[1.6, 1.8, 2, 2.2, 2.4, 2.6, 2.8])
    figure.update_layout(template="plotly_white", width=900, height=420, font={"size": 14}, margin={"t": 20})
    return figure


def text_lines(rows: Sequence[Row], law: LawResult) -> list[str]:
    """Lines of the table of runs, and of the law's predictions."""
    held = law.held_out
    assert held is not None
    constants = ", ".join(f"{each.name} {each.value:.3g} ({each.low:.3g} to {each.high:.3g})" for each in law.constants)
    heads = [f"{float(row['tokens']) / 1e3:,.0f} k tokens" for row in rows if row["width"] == str(WIDTHS[0])]
    lines = [
        "| width | N | " + " | ".join(heads) + " |",
        "|---:|---:|" + "---:|" * len(heads),
    ]
    for width in WIDTHS:
        own = [row for row in rows if row["width"] == str(width)]
        losses = " | ".join(f"{float(row['loss']):.3f}" for row in own)
        lines.append(f"| {width} | {int(own[0]['parameters']):,} | {losses} |")
    return [
        *lines,
        "",
        f"Fitted to all {len(rows)} runs: `{law.formula}` with {constants}; residual {100 * law.residual:.1f} %.",
        f"Fitted to the {len(rows) - held.rows} runs of all but the largest model, it predicts the largest run's "
        f"{held.actual:.3f} nats as {held.prediction.value:.3f} ({held.prediction.low:.3f} to {held.prediction.high:.3f}): "
        f"a miss of {100 * held.miss:+.1f} %.",
    ]


def batch_lines(runs: Sequence[Row], noises: Sequence[Row], fit: BatchFit) -> list[str]:
    """Lines with the steps at each batch size, both estimates of B_crit, and their ratio."""
    lines = ["| batch size | steps to the loss | examples | best rate |", "|---:|---:|---:|---:|"]
    for row in runs:
        batch, steps = float(row["batch_size"]), float(row["steps"])
        lines.append(f"| {batch:.0f} | {steps:,.1f} | {batch * steps:,.0f} | {float(row['rate']):g} |")
    known = [float(row["examples"]) for row in noises]
    noise = math.exp(sum(map(math.log, known)) / len(known))
    spread = ", ".join(f"{value:.0f} at batch {row['batch_size']}" for value, row in zip(known, noises, strict=True))
    ratio = max(noise, fit.critical_batch) / min(noise, fit.critical_batch)
    return [
        *lines,
        "",
        f"From these runs B_crit = {fit.critical_batch:.0f} examples ({fit.low:.0f} to {fit.high:.0f}), "
        f"S_min = {fit.steps_min:.1f} steps, E_min = {fit.tokens_min:,.0f} examples. From the gradient noise scale along "
        f"the way to that loss: {noise:.0f} ({spread}). They are a factor {ratio:.2f} apart.",
    ]


def main() -> None:
    """Measure missing cells, then fit, draw and write."""
    torch.set_num_threads(1)
    runs = stored("laws-batches", ["batch_size", "steps", "rate"], [(batch,) for batch in BATCH_SIZES], steps_to_target)
    middle = [(row["batch_size"], row["steps"], row["rate"]) for row in runs if row["batch_size"] in ("32", "64", "128")]
    noises = stored("laws-noise", ["batch_size", "steps", "rate", "examples", "low", "high"], middle, measured_noise)
    swept = [(width, rate) for width in WIDTHS for rate in TEXT_RATES]
    rates = stored("laws-rates", ["width", "rate", "loss", "seconds"], swept, text_rate)
    cells = [(width, steps, best_rate(rates, width)) for width in WIDTHS for steps in STEPS]
    rows = stored("laws", ["width", "steps", "rate", "parameters", "tokens", "loss", "seconds"], cells, text_run)
    law = fit_law("hoffmann", text_table(rows))
    smaller = fit_law("hoffmann", text_table(row for row in rows if row["width"] != str(WIDTHS[-1])))
    sizes, steps = (np.array([float(row[name]) for row in runs]) for name in ("batch_size", "steps"))
    known = np.isfinite(steps)
    IMAGE.parent.mkdir(parents=True, exist_ok=True)
    write_png(draw(rows, smaller), IMAGE)
    minutes = sum(float(row["seconds"]) for row in [*rates, *rows]) / 60
    head = f"One thread a run; the seconds of the stored runs of text come to {minutes:.0f} minutes."
    batches = batch_lines(runs, noises, batch_fit(sizes[known], steps[known]))
    page.write("laws", [head, "", *text_lines(rows, law), "", *batches])


if __name__ == "__main__":
    main()
