"""Figures show the numbers they are given, in both themes, without torch or numpy."""

import json
import math
import subprocess
import sys

import pytest

from windtunnel import figures
from windtunnel.figures.style import ROLE_COLOURS, log_axis, step_axis
from windtunnel.types import CoordinateCheck, CoordinateSlope, Job, LossEstimate, OuterStep, ScheduleCurve
from windtunnel.types.comparisons import ComparedJob, Comparison, Curve, Points
from windtunnel.types.ladders import Ladder, LadderCertificate, LadderRung
from windtunnel.types.responses import BestResponseReport, RegulariserSchedule, ResponsePoint

CHECK = CoordinateCheck(
    verdict="pass",
    widths=[64, 128],
    steps=3,
    seeds=2,
    learning_rate=0.01,
    slopes=[],
    sizes={"layers.0": [0.1, 0.2], "readout": [1.0, 1.0]},
    losses=[1.0, 0.9],
)


def step(number: int, loss: float | None = 0.5, sweep: dict[str, list[float]] | None = None) -> OuterStep:
    return OuterStep(
        outer_step=number,
        outer_steps=3,
        loss=loss,
        stderr=0.02,
        seeds=4,
        dropped_members=0,
        hyperparameters={"learning_rate.hidden": 0.01, "learning_rate.layers.1.weight": 0.02, "beta1": 0.9},
        gradient={},
        gradient_norm=0.3 if number else None,
        bounded_share=0.1 if number else None,
        mean_scale=0.9 if number else None,
        step_length=0.1,
        moved=True,
        rolled_back=False,
        sweep=sweep,
        run_equivalents=5.0 * number,
    )


STEPS = [step(0, 0.9, {"learning_rate": [0.01, 0.1, 1.0], "loss": [1.0, 0.4, 2.0]}), step(1, 0.5), step(2, 0.6)]


def drawn(figure) -> dict:
    return json.loads(figure.to_json())


def trace(figure, name: str) -> dict:
    return next(entry for entry in drawn(figure)["data"] if entry.get("name") == name)


def test_sensitivity_is_the_root_mean_square_of_the_hypergradients_the_largest_first():
    slopes = [{"a.hidden": 0.3, "b": -1.0}, {"a.hidden": -0.4, "b": 0.0}, {"b": math.nan}]
    steps = [step(0), *(step(1).model_copy(update={"gradient": gradient}) for gradient in slopes)]
    figure = figures.sensitivity(steps)
    bars, last = trace(figure, "over all outer steps"), trace(figure, "last")
    assert bars["y"] == last["y"] == ["b", "a.hidden"]
    assert bars["x"] == pytest.approx([math.sqrt(0.5), math.sqrt(0.125)])
    assert last["x"] == pytest.approx([0.0, 0.4])
    assert bars["marker"]["color"][1] == ROLE_COLOURS["hidden"]
    with pytest.raises(ValueError, match="none of the 1 outer steps has a gradient"):
        figures.sensitivity([step(0)])


def test_sensitivity_draws_the_thirty_that_matter_most_and_says_of_how_many():
    gradient = {f"learning_rate.layers.{index}.weight": float(index) for index in range(40)}
    roles = {"layers.39.weight": "output"}
    figure = figures.sensitivity([step(1).model_copy(update={"gradient": gradient})], roles=roles, theme="dark")
    bars = trace(figure, "over all outer steps")
    assert (len(bars["y"]), bars["x"][0], bars["marker"]["color"][0]) == (30, 39.0, ROLE_COLOURS["output"])
    assert "30 of 40 hyperparameters" in drawn(figure)["layout"]["xaxis"]["title"]["text"]


def test_loss_has_error_bars_the_best_so_far_and_a_cost_axis():
    figure = figures.loss(STEPS)
    assert trace(figure, "loss")["y"] == [0.9, 0.5, 0.6]
    assert trace(figure, "loss")["error_y"]["array"] == [0.02, 0.02, 0.02]
    assert trace(figure, "best so far")["y"] == [0.9, 0.5, 0.5]
    assert drawn(figure)["layout"]["xaxis2"]["ticktext"] == ["0", "5", "10"]


def test_step_at_which_every_run_diverged_is_a_gap():
    figure = figures.loss([step(0, None), step(1, 0.5), step(2, None)])
    assert trace(figure, "loss")["y"] == [None, 0.5, None]
    assert trace(figure, "best so far")["y"] == [None, 0.5, 0.5]


def test_scout_marks_the_best_rate():
    assert trace(figures.scout(STEPS[0]), "start")["x"] == [0.1]
    with pytest.raises(ValueError, match="outer step 1 has no scout sweep"):
        figures.scout(STEPS[1])


def test_hyperparameters_have_a_row_a_name_on_log_axes_and_a_colour_a_role():
    figure = figures.hyperparameters(STEPS, roles={"layers.1.weight": "hidden"})
    layout = drawn(figure)["layout"]
    assert (layout["yaxis"]["type"], layout["yaxis2"]["type"]) == ("log", "log")
    assert trace(figure, "hidden")["line"]["color"] == trace(figure, "layers.1.weight")["line"]["color"]


def test_betas_are_drawn_as_their_distance_to_one():
    figure = figures.hyperparameters(STEPS)
    assert trace(figure, "all")["y"] == pytest.approx([0.1, 0.1, 0.1])
    assert drawn(figure)["layout"]["yaxis2"]["title"]["text"] == "1 − beta1"


def test_gradients_leave_out_steps_without_one():
    assert trace(figures.gradients(STEPS), "gradient norm")["x"] == [1, 2]


def test_coordinate_check_has_a_line_a_module():
    figure = figures.coordinate_check(CHECK)
    assert trace(figure, "layers.0")["y"] == [0.1, 0.2]
    assert drawn(figure)["layout"]["xaxis"]["type"] == "log"
    assert drawn(figure)["layout"]["title"]["text"].startswith("pass")
    assert "xaxis2" not in drawn(figure)["layout"]


def test_coordinate_check_names_exponents_with_intervals_and_shows_the_regime_beside():
    def slope(module, quantity, low=0.3):
        return CoordinateSlope(
            module=module, quantity=quantity, step=3, slope=0.41, low=low, high=0.52, verdict="fail", decides=True
        )

    full = CHECK.model_copy(
        update={
            "verdict": "fail",
            "slopes": [slope("layers.0", "change"), slope("network", "kernel_change", -0.2)],
            "kernel_change": [0.8, 0.9],
            "linearisation_error": [0.5, 0.5],
        }
    )
    figure = figures.coordinate_check(full)
    assert trace(figure, "layers.0: +0.41 (+0.30 to +0.52)")["y"] == [0.1, 0.2]
    assert trace(figure, "kernel change: +0.41 (-0.20 to +0.52)")["xaxis"] == "x2"
    assert trace(figure, "linearisation error")["y"] == [0.5, 0.5]
    assert drawn(figure)["layout"]["title"]["text"].startswith("fail")


def test_a_deep_model_names_its_steepest_modules_only():
    sizes = {f"layers.{index}": [1.0, 2.0] for index in range(40)}
    slopes = [
        CoordinateSlope(module=module, quantity="change", step=3, slope=index / 100, verdict="pass")
        for index, module in enumerate(sizes)
    ]
    lines = drawn(figures.coordinate_check(CHECK.model_copy(update={"sizes": sizes, "slopes": slopes})))["data"]
    assert [line["name"].partition(":")[0] for line in lines if line["showlegend"]] == list(sizes)[-16:]
    assert len(lines) == 40


def test_comparison_lets_the_lowest_loss_stand_out():
    losses = {name: LossEstimate(mean=mean, stderr=0.1, seeds=3) for name, mean in (("default", 0.9), ("plan", 0.4))}
    bars = drawn(figures.comparison(losses))["data"][0]
    assert bars["y"] == [0.9, 0.4]
    assert bars["marker"]["color"][0] != bars["marker"]["color"][1]


def test_schedule_shows_before_and_after():
    figure = figures.schedule(ScheduleCurve(times=[0, 1], start=[1, 0.1], best=[1, 0.3]))
    assert (trace(figure, "start")["y"], trace(figure, "tuned")["y"]) == ([1, 0.1], [1, 0.3])


def ladder_of(quantity: str, parametrization: str, drift: float | None) -> Ladder:
    rungs = [
        LadderRung(width=32, losses=[[1.2, 1.4], [1.0, 1.2], [None, 1.5]], optimum=-0.2, low=-0.5, high=0.1),
        LadderRung(width=64, losses=[[1.1, 1.3], [0.9, 1.1], [1.2, 1.4]], optimum=0.1, low=None, high=0.4),
    ]
    ends = (None, None) if drift is None else (drift - 0.1, drift + 0.1)
    return Ladder.model_validate(
        {"quantity": quantity, "parametrization": parametrization, "rungs": rungs, "drift": drift, "low": ends[0],
         "high": ends[1], "curvature": 0.1, "verdict": "pass"}
    )  # fmt: skip


def test_ladder_has_a_panel_a_quantity_a_line_a_width_and_a_diamond_at_each_minimum():
    certificate = LadderCertificate(
        factors=[0.5, 1.0, 2.0],
        seeds=2,
        steps=10,
        learning_rate=ladder_of("learning_rate", "mup", 0.3),
        standard=ladder_of("learning_rate", "standard", None),
        run_equivalents=10.0,
    )
    figure = drawn(figures.ladder(certificate))
    lines = [trace for trace in figure["data"] if trace["mode"] == "lines+markers"]
    diamonds = [trace for trace in figure["data"] if trace["mode"] == "markers"]
    assert [line["name"] for line in lines] == ["width 32", "width 64"] * 2
    # A factor at which a run diverged has no mean: the line breaks.
    assert lines[0]["y"] == pytest.approx([1.3, 1.1, None]) and lines[1]["y"] == pytest.approx([1.2, 1.0, 1.3])
    assert [diamond["x"][0] for diamond in diamonds[:2]] == pytest.approx([2**-0.2, 2**0.1])
    titles = [note["text"] for note in figure["layout"]["annotations"]]
    assert titles[0].startswith("learning rate, mup: pass") and "drift +0.30 (+0.20 to +0.40)" in titles[0]
    assert "standard" in titles[1] and "not located" in titles[1]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_figure_lies_on_the_page_itself(theme):
    for figure in (
        figures.loss(STEPS, theme=theme),
        figures.loss([], theme=theme),
        figures.hyperparameters(STEPS, theme=theme),
        figures.hyperparameters([], theme=theme),
        figures.gradients([], theme=theme),
        figures.coordinate_check(CHECK, theme=theme),
    ):
        layout = drawn(figure)["layout"]
        assert layout["paper_bgcolor"] == layout["plot_bgcolor"] == "rgba(0,0,0,0)"


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.01, 0.09], ["0.01", "0.02", "0.05", "0.1"]),
        ([1e-5, 1.0], ["1e-05", "0.0001", "0.001", "0.01", "0.1", "1"]),
        ([0.0, 0.0401, 0.0619], ["0.04", "0.05", "0.06", "0.07"]),
        ([0.01, 0.01], ["0.01"]),
    ],
)
def test_log_axes_have_ticks_to_read(values, ticks):
    axis = log_axis(values)
    assert axis["type"] == "log"
    assert set(ticks) <= set(axis["ticktext"])
    assert len([tick for tick in axis["tickvals"] if min(v for v in values if v) <= tick <= max(values)]) <= 7


def test_log_axis_of_nothing_leaves_the_ticks_to_plotly():
    assert log_axis([0.0, None]) == {"type": "log"}


def test_outer_steps_are_whole_numbers_on_their_axis():
    assert step_axis([0, 1, 2])["dtick"] == 1
    assert step_axis(list(range(101)))["dtick"] == 10
    assert step_axis([])["dtick"] == 1


def test_figures_need_plotly_only():
    program = "import sys, windtunnel.figures; print(sorted({'torch', 'numpy', 'pandas', 'sqlalchemy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def response_of(*shifts: float) -> BestResponseReport:
    labels = ("l2.input", "l2.hidden", "dropout")
    points = [
        ResponsePoint(offsets=dict.fromkeys(labels, shift), predicted=0.5 + shift, retrained=0.6 + 2 * shift, error=0.01)
        for shift in shifts
    ]
    values = {"l2.input": [1e-3, 2e-3], "l2.hidden": [1e-3, 4e-3], "dropout": [0.1, 0.3]}
    return BestResponseReport(
        estimator="stn",
        schedule=RegulariserSchedule(times=[0.0, 1.0], values=values),
        scales=dict.fromkeys(labels, 0.4),
        comparison=None,
        quality=points,
        validation_steps=7,
    )


def test_schedules_of_regularisers_have_a_row_a_name_and_a_line_a_role():
    figure = drawn(figures.regularisers(response_of(0.0)))
    assert [entry["name"] for entry in figure["data"]] == ["input", "hidden", "all"]
    assert [entry["y"] for entry in figure["data"]] == [[1e-3, 2e-3], [1e-3, 4e-3], [0.1, 0.3]]
    assert figure["layout"]["yaxis"]["title"]["text"] == "l2" and figure["layout"]["yaxis2"]["title"]["text"] == "dropout"


def test_the_response_is_drawn_against_training_again_from_its_own_schedule():
    points = trace(figures.response(response_of(0.0, 0.1, -0.1)), "shifted schedules")
    assert points["x"] == pytest.approx([0.1, -0.1]) and points["y"] == pytest.approx([0.2, -0.2])
    assert points["customdata"] == ["all +0.1", "all \u22120.1"]
    with pytest.raises(ValueError, match="nothing to compare"):
        figures.response(response_of(0.0))


def compared(**columns: list[float]) -> Comparison:
    """Two queued jobs that have tried the points of the columns, of which the first loses more."""
    job = Job.model_validate(
        {
            "id": "job_" + "0" * 26,
            "name": "a name of more than thirty-two characters",
            "state": "queued",
            "spec": {"task": "digits"},
            "progress": {
                "outer_step": 0, "outer_steps": 1, "inner_steps": 0, "phase": "waiting", "fraction": 0, "run_equivalents": 0
            },
            "current": None, "best": None, "failure": None, "cancel_requested": False, "created_at": 0,
            "started_at": None, "finished_at": None, "worker": None, "attempts": 0, "plans": [],
        }
    )  # fmt: skip
    losses: list[float | None] = [float(index) for index in range(len(next(iter(columns.values()))))]
    points = Points(hyperparameters=columns, losses=losses, complete=True)
    other = points.model_copy(update={"losses": [None, *losses[1:]], "hyperparameters": {**columns, "dropout": losses}})
    curve = Curve(cost=[1.0, 2.0], loss=[None, 0.5], best=[None, 0.5])
    shares = dict.fromkeys(columns, 1 / len(columns))
    item = ComparedJob(job=job, curve=curve, points=points, importances=shares)
    return Comparison(items=[item, item.model_copy(update={"points": other, "importances": None})], spec=[], results=[])


def test_jobs_of_one_name_are_told_apart_and_long_names_are_cut():
    names = [trace.name for trace in figures.losses_over_cost(compared(beta1=[0.5])).data]
    assert names == ["a name of more than thi… 00000000"] * 2  # one id in this test: else the ends would differ


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_parallel_coordinates_lie_between_the_ends_of_each_axis(theme):
    figure = figures.parallel_coordinates(compared(learning_rate=[0.01, 0.1, 1.0], beta1=[0.9, 0.9, 0.9]), theme=theme)
    assert figure.layout.xaxis.ticktext == ("learning_rate", "beta1", "dropout", "loss")
    first = [trace for trace in figure.data if trace.legendgroup == "0"]
    faint, best = first
    assert faint.opacity < best.opacity == 1
    assert best.y == (0.0, 0.5, None, 0.0, None)  # smallest rate, an axis of one value, no dropout, lowest loss
    assert faint.y[:5] == (1.0, 0.5, None, 1.0, None)  # drawn from the worst on
    assert faint.y[5] == pytest.approx(0.5)  # in logarithms, 0.1 is half way from 0.01 to 1
    with pytest.raises(ValueError, match="no"):
        figures.parallel_coordinates(Comparison(items=[], spec=[], results=[]))


def test_importances_are_bars_of_the_jobs_that_have_them():
    figure = figures.importances(compared(beta1=[0.5], learning_rate=[0.1]))
    assert len(figure.data) == 1 and figure.data[0].x == (0.5, 0.5)
    with pytest.raises(ValueError, match="enough points"):
        figures.importances(Comparison(items=[], spec=[], results=[]))
