"""Regularisers that follow a schedule of the spec: at every update the loss of a job that holds what they are there."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from hpo.certificate.certificate import ShortRun
from hpo.errors import Refused
from hpo.estimators.forward import Forward
from hpo.estimators.implicit import Implicit
from hpo.estimators.reverse import Reverse
from hpo.estimators.truncated import Truncated
from hpo.estimators.unrolled import Unrolled
from hpo.evidence.scaled import ScaledProblem
from hpo.search.best_response.replay import replay
from hpo.study import Study
from hpo.tasks import load
from hpo.training.problem import InnerProblem
from service.jobs.admission import population_errors
from windtunnel.types import JobSpec

STEPS = 6
LINES: dict[str, list[float]] = {
    "l2": [0.01, 0.03, 0.02],
    "l2.hidden": [0.2, 0.1, 0.05],
    "dropout.layers.1": [0.1, 0.4, 0.2],
    "label_smoothing": [0.3, 0.2, 0.1],
    "input_noise": [0.5, 0.1, 0.3],
    "augmentation": [0.2, 0.8, 0.4],
}
SPEC: dict[str, Any] = {
    "task": "digits",
    "model": {"width": 6, "depth": 2, "activation": "tanh"},
    "optimizer": {"name": "sgd", "learning_rate": 0.1, "clip_norm": None},
    "inner": {"steps": STEPS, "batch_size": 16, "seeds": 2},
    "search": [{"name": "learning_rate"}, {"name": "output_multiplier"}],
    "method": {"estimator": "reverse"},
}
TEXT: dict[str, Any] = {
    "task": "python-text",
    "model": {"width": 8, "depth": 2, "d_head": 4},
    "regularization": {"schedule": {"dropout": [0.1, 0.4], "l2.qkv": [0.2, 0.1], "label_smoothing": [0.3, 0.1]}},
    "inner": {"steps": 4, "batch_size": 2, "seeds": 2},
}


def problem_of(**fields: Any) -> InnerProblem:
    whole = {**SPEC, "regularization": {"schedule": LINES}, **fields}
    return Study(JobSpec.model_validate(whole), dtype=torch.float64).problem


def at(line: list[float], step: int) -> float:
    """Value before update ``step``: three knots, at 0, T / 2 and T."""
    place = 2 * step / STEPS
    return line[int(place)] + (place - int(place)) * (line[min(int(place) + 1, 2)] - line[int(place)])


def test_every_update_has_the_loss_of_a_job_that_holds_the_values_of_that_time() -> None:
    """One update at a time, by a problem whose regularisers are held, from where the scheduled run stands."""
    moving = problem_of()
    draw = moving.draw([(0, 0), (0, 1)])
    points = moving.space.start().expand(2, -1)
    table = moving.coefficients(points)
    state = moving.initial(draw, table)
    for step in range(STEPS):
        roles = ("input", "output")
        held = {role: at(LINES["l2"], step) for role in roles} | {"hidden": at(LINES["l2.hidden"], step)}
        search = [*SPEC["search"], {"name": "l2", "scope": "role"}, {"name": "dropout", "scope": "layer", "low": 1e-4}]
        terms = {name: at(LINES[name], step) for name in ("label_smoothing", "input_noise", "augmentation")}
        holds = problem_of(search=search, regularization=terms)
        values = moving.space.as_dict(moving.space.start()) | {f"l2.{role}": value for role, value in held.items()}
        # The first layer has no line, so it has no dropout: as good as none, here.
        values |= {"dropout.layers.0": 1e-12, "dropout.layers.1": at(LINES["dropout.layers.1"], step)}
        own = holds.coefficients(holds.space.from_dict(values).expand(2, -1))
        expected = holds.reach(state, own, draw, step, step + 1, lambda _: None)
        state = moving.reach(state, table, draw, step, step + 1, lambda _: None)
        torch.testing.assert_close(state[0], expected[0], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("fields", [{}, TEXT], ids=["mlp", "transformer by hand"])
def test_estimators_agree_with_differences_where_regularisers_move(central_differences, fields: dict[str, Any]) -> None:
    problem = problem_of(**fields)
    draw = problem.draw([(0, 0), (0, 1)])
    points = problem.space.start().expand(2, -1)
    numeric = central_differences(problem, points, draw)
    reverse = Reverse("sqrt", "exact")
    for estimator in [reverse] if fields else [reverse, Forward(), Truncated(problem.steps), Unrolled()]:
        found = estimator.estimate(problem, points, draw)
        torch.testing.assert_close(found.gradient, numeric, rtol=2e-6, atol=1e-10)


def test_what_the_gauss_newton_product_and_implicit_differentiation_see_is_scheduled_too() -> None:
    moving, still = (
        problem_of(search=[{"name": "output_multiplier"}]),
        problem_of(search=[{"name": "output_multiplier"}], regularization={}),
    )
    draw, points = moving.draw([(0, 0)]), moving.space.start()[None]
    for estimator in (Reverse("sqrt", "gauss_newton"), Implicit()):
        found = [estimator.estimate(problem, points, draw).gradient for problem in (moving, still)]
        assert not torch.allclose(*found)


def test_a_run_of_the_schedule_is_the_replay_of_it() -> None:
    """A best response's replay, of searched regularisers, and a spec that gives the same knots."""
    lines = {"l2": [0.01, 0.1, 0.02], "dropout": [0.1, 0.4, 0.2]}
    search = [*SPEC["search"], {"name": "l2"}, {"name": "dropout"}]
    searched, given = problem_of(search=search, regularization={}), problem_of(regularization={"schedule": lines})
    draw = given.draw([(0, 0), (0, 1)])
    start = given.space.as_dict(given.space.start())
    knots = [start | {label: line[knot] for label, line in lines.items()} for knot in range(3)]
    points = torch.stack([searched.space.from_dict(values) for values in knots])
    replayed = replay(searched, points.expand(2, -1, -1), draw)
    trained = given.train(given.space.start().expand(2, -1), draw)
    torch.testing.assert_close(trained.parameters, replayed.parameters, rtol=1e-9, atol=1e-12)


def test_short_runs_and_wider_ones_follow_the_same_times() -> None:
    whole = problem_of()
    short = ShortRun(whole, 3)
    line, rows = whole.regularisers["label_smoothing"], [*short.rows.tolist(), STEPS]
    assert short.regularisers["label_smoothing"].tolist() == [line[row].item() for row in rows]
    tuned = whole.space.as_dict(whole.space.start())
    wide = ScaledProblem(whole.spec, tuned, 24, load("digits"), torch.float64)
    ratios = torch.tensor(wide.ratios["l2"], dtype=torch.float64)
    assert (ratios != 1).any() and torch.allclose(wide.regularisers["l2"], whole.regularisers["l2"] * ratios)


@pytest.mark.parametrize(
    ("fields", "path", "complaint"),
    [
        ({"schedule": {"momentum": [0.1, 0.2]}}, "/schedule/momentum", "no regulariser 'momentum'; allowed: l2, dropout"),
        ({"schedule": {"input_noise.hidden": [0.1, 0.2]}}, "/schedule/input_noise.hidden", "has one value for all"),
        ({"schedule": {"l2": [0.1]}}, "/schedule/l2", "1 knots; allowed: 2 to 1001"),
        (
            {"schedule": {"dropout": [0.1, 0.99]}},
            "/schedule/dropout",
            "0.99 is no value of dropout; allowed: 0.0001 to 0.95",
        ),
        ({"schedule": {"dropout": [0.1, 0.2], "l2": [0.1, 0.1, 0.2]}}, "/schedule", "lines of 2 and 3 knots"),
        ({"l2": 0.1, "schedule": {"l2": [0.1, 0.2]}}, "/l2", "l2 is held and moves by regularization.schedule"),
        (
            {"schedule": {"dropout.layers.2": [0.1, 0.2]}},
            "/regularization/schedule/dropout.layers.2",
            "no layer 'layers.2'",
        ),
    ],
)
def test_a_schedule_that_cannot_be_followed_is_refused_where_it_is_wrong(fields, path: str, complaint: str) -> None:
    with pytest.raises(ValidationError) as caught:
        JobSpec.model_validate(SPEC | {"regularization": fields})
    (error,) = caught.value.errors()
    assert error["ctx"]["path"] == path and complaint in error["msg"]


def test_who_tunes_a_regulariser_does_not_replay_it() -> None:
    lines = {"schedule": {"dropout": [0.1, 0.2]}}
    with pytest.raises(ValidationError, match=r"dropout is searched, and regularization\.schedule says how it moves"):
        JobSpec.model_validate(SPEC | {"regularization": lines, "search": [{"name": "dropout"}]})
    with pytest.raises(
        ValidationError, match="delta_stn, which finds schedules of its own; replay a schedule with another"
    ):
        JobSpec.model_validate(
            SPEC | {"regularization": lines, "search": [{"name": "l2"}], "method": {"estimator": "delta_stn"}}
        )


def test_a_role_that_the_model_does_not_have_is_refused_when_submitted_and_when_run() -> None:
    spec = JobSpec.model_validate(SPEC | {"regularization": {"schedule": {"l2.qkv": [0.1, 0.2]}}})
    (error,) = population_errors(spec, 2**40)
    assert error.pointer == "/regularization/schedule/l2.qkv" and "allowed: input, hidden, output" in error.message
    with pytest.raises(Refused, match=r"regularization\.schedule: label 'l2\.qkv'"):
        Study(spec)
