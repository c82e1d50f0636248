"""The anytime comparison: equal cost, equal judges, and every cell goes on after an interruption."""

import math
from collections.abc import Iterator

import pytest
import torch

from benchmarks.anytime import __main__ as runner
from benchmarks.anytime import contenders, measure
from benchmarks.anytime.contenders import CONTENDERS, Incumbent
from benchmarks.anytime.figure import over_repeats
from benchmarks.anytime.problems import PROBLEMS
from benchmarks.stored import append
from hpo.study import Study
from windtunnel.types import JobSpec

SPEC = {
    "task": "digits",
    "model": {"width": 8, "depth": 1},
    "inner": {"steps": 10, "batch_size": 16, "seeds": 2},
    "outer": {"steps": 50},
    "search": [{"name": "learning_rate"}, {"name": "weight_decay"}],
}
NEEDS = {"CMA-ES": "cmaes", "GP": "scipy"}


@pytest.fixture
def study() -> Study:
    return Study(JobSpec.model_validate(SPEC))


@pytest.mark.filterwarnings("ignore:GPSampler is experimental")
@pytest.mark.parametrize("contender", CONTENDERS)
def test_every_contender_spends_its_budget_inside_the_box(study: Study, contender: str) -> None:
    if contender in NEEDS:
        pytest.importorskip(NEEDS[contender], reason="installed by make anytime only")
    budget = 12
    found = list(CONTENDERS[contender](study, budget))
    costs = [incumbent.cost for incumbent in found]
    assert costs == sorted(costs)
    assert costs[-1] >= budget
    for incumbent in found:
        assert bool(((incumbent.point >= study.space.low) & (incumbent.point <= study.space.high)).all())


@pytest.mark.parametrize("contender", ["TPE", "random search"])
def test_a_sampler_pays_one_run_a_trial_and_begins_at_the_start(study: Study, contender: str) -> None:
    first, *rest = CONTENDERS[contender](study, 3)
    assert torch.equal(first.point, study.space.start())
    assert [incumbent.cost for incumbent in (first, *rest)] == [1, 2, 3]
    assert first.loss >= rest[-1].loss


def test_a_checkpoint_sees_only_what_was_paid_for_by_then(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    def steps(of: Study, _: int) -> Iterator[Incumbent]:
        for cost in (4.0, 15.0, 41.0):
            yield Incumbent(cost, of.space.start() + cost, cost)

    monkeypatch.setitem(contenders.CONTENDERS, "steps", steps)
    found = measure.record(study, "steps", (3, 10, 20, 40))
    assert [each.incumbent.cost for each in found] == [0.0, 4.0, 15.0, 15.0]
    assert torch.equal(found[0].incumbent.point, study.space.start())


def test_a_diverged_run_counts_as_the_ceiling(study: Study) -> None:
    found = contenders.losses_of(study, study.space.high[None], [(0, 1, 0, 0)])
    assert float(found) <= contenders.ceiling(study) == pytest.approx(2 * math.log(10))


def test_measured_cells_are_not_measured_again(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "PATH", tmp_path / "anytime.csv")  # type: ignore[operator]
    row = dict.fromkeys(measure.COLUMNS, "1") | {"repeat": "0", "problem": "mlp-2", "contender": "TPE"}
    append(runner.PATH, measure.COLUMNS, [row])
    assert runner.missing(["mlp-2"], ["TPE", "GP"], 2) == [(0, "mlp-2", "GP"), (1, "mlp-2", "TPE"), (1, "mlp-2", "GP")]


@pytest.mark.parametrize("name", PROBLEMS)
def test_titles_say_how_many_hyperparameters_there_are(name: str) -> None:
    problem = PROBLEMS[name]
    assert problem.title.endswith(f" {len(problem.study(0).space)} hyperparameters")
    assert list(problem.checkpoints) == sorted(problem.checkpoints)


def test_curves_are_means_and_standard_errors_over_repeats() -> None:
    rows = [{"checkpoint": "10", "loss": loss} for loss in ("1.0", "3.0")]
    assert over_repeats(rows) == [(10, 2.0, 1.0)]
