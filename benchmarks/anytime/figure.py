"""``python -m benchmarks.anytime.figure``: draws the curves and the table of the results of ``make anytime`` so far."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from benchmarks.anytime.contenders import CONTENDERS
from benchmarks.anytime.measure import FRESH_SEEDS
from benchmarks.anytime.problems import PROBLEMS
from benchmarks.page import write
from benchmarks.stored import RESULTS, Row, read
from windtunnel.figures.style import ACCENT, INK, MUTED, OTHER_COLOURS, layout, log_axis

IMAGE = Path(__file__).parent.parent.parent / "docs" / "images" / "anytime.png"
COLOURS = dict(zip(CONTENDERS, (ACCENT, *OTHER_COLOURS[1:4], MUTED), strict=True))
COLUMNS = 3
PANEL = (420, 330)
"""Width and height of a panel, pixels."""


def over_repeats(rows: Sequence[Row]) -> list[tuple[int, float, float]]:
    """(run-equivalents, mean loss, standard error over repeats) of one contender on one problem."""
    curve = []
    for checkpoint in sorted({int(row["checkpoint"]) for row in rows}):
        losses = [float(row["loss"]) for row in rows if int(row["checkpoint"]) == checkpoint]
        stderr = statistics.stdev(losses) / math.sqrt(len(losses)) if len(losses) > 1 else 0.0
        curve.append((checkpoint, statistics.fmean(losses), stderr))
    return curve


def of(rows: Sequence[Row], problem: str, contender: str) -> list[Row]:
    """Rows of one contender on one problem."""
    return [row for row in rows if (row["problem"], row["contender"]) == (problem, contender)]


def draw(rows: Sequence[Row]) -> go.Figure:
    """Figure with one panel per problem; bands are one standard error over repeats to either side."""
    shown = [name for name in PROBLEMS if any(row["problem"] == name for row in rows)]
    columns = min(COLUMNS, len(shown))
    lines = -(-len(shown) // columns)
    figure = make_subplots(
        lines, columns, subplot_titles=[PROBLEMS[name].title for name in shown], vertical_spacing=0.2 / lines
    )
    for index, problem in enumerate(shown):
        place = {"row": index // columns + 1, "col": index % columns + 1}
        for contender, colour in COLOURS.items():
            curve = over_repeats(of(rows, problem, contender))
            if not curve:
                continue
            cost, mean, stderr = (list(column) for column in zip(*curve, strict=True))
            high = [middle + error for middle, error in zip(mean, stderr, strict=True)]
            low = [middle - error for middle, error in zip(mean, stderr, strict=True)]
            figure.add_scatter(
                x=cost + cost[::-1], y=high + low[::-1], fill="toself", fillcolor=colour, opacity=0.15, mode="none",
                showlegend=False, **place,
            )  # fmt: skip
            figure.add_scatter(
                x=cost, y=mean, name=contender, mode="lines+markers", line={"color": colour, "width": 2.5},
                showlegend=index == 0, **place,
            )  # fmt: skip
        budgets = [float(checkpoint) for checkpoint in PROBLEMS[problem].checkpoints]
        figure.update_xaxes(**log_axis(budgets), title="cost, proxy training runs", **place)
        figure.update_yaxes(title="validation loss, nats", **place)
    style = layout("light", height=PANEL[1] * lines + 60)
    style["legend"] |= {"y": 1.0 + 60 / (PANEL[1] * lines)}
    style["margin"] |= {"t": 90}
    figure.update_layout(**style, width=PANEL[0] * columns)
    figure.update_layout(paper_bgcolor="white", plot_bgcolor="white", font={"color": INK["light"]["text"]})
    return figure


def nearest(cost: float, checkpoints: Sequence[int]) -> int:
    """The checkpoint nearest to a cost, by their ratio."""
    return min(checkpoints, key=lambda mark: abs(math.log(mark / cost)))


def table(rows: Sequence[Row]) -> list[str]:
    """Lines of a table: loss of the incumbent at about a seventh, a third and the whole of each problem's budget."""
    lines = [
        "| problem | contender | loss (runs) | loss (runs) | loss (runs) | repeats | seconds |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for problem, details in PROBLEMS.items():
        wanted = [nearest(share * details.budget, details.checkpoints) for share in (1 / 7, 1 / 3, 1)]
        for contender in CONTENDERS:
            mine = of(rows, problem, contender)
            if not mine:
                continue
            curve = {checkpoint: (mean, stderr) for checkpoint, mean, stderr in over_repeats(mine)}
            cells = [f"{curve[mark][0]:.4f} ± {curve[mark][1]:.4f} ({mark})" for mark in wanted]
            whole = [float(row["seconds"]) for row in mine if int(row["checkpoint"]) == details.budget]
            seconds = statistics.fmean(whole)
            lines.append(f"| {details.title} | {contender} | {' | '.join(cells)} | {len(whole)} | {seconds:.0f} |")
    return lines


def main() -> None:
    """Draw and tabulate the rows of the file."""
    # It needs a browser, which the environment that measures need not have.
    from benchmarks.rendering import write_png

    rows = read(RESULTS / "anytime.csv")
    if not rows:
        raise SystemExit("nothing is measured yet: run make anytime")
    IMAGE.parent.mkdir(parents=True, exist_ok=True)
    write_png(draw(rows), IMAGE)
    note = f"Losses on {FRESH_SEEDS} fresh seeds, the same for all; ± one standard error over repeats; processor seconds."
    write("anytime", [note, "", *table(rows)])
    print(f"wrote {IMAGE}")


if __name__ == "__main__":
    main()
