"""Metasmoothness: closed forms of its two readings, and their place in the result of a job."""

from typing import Any

import pytest
import torch
from torch import Tensor

from hpo.bilevel.inner import PlainProblem
from hpo.bilevel.problem import Bilevel
from hpo.bilevel.variables import Variables
from hpo.footprint.budget import SMOOTHNESS_RUNS
from hpo.search.readings import Chaos, Readings
from hpo.study import Study
from hpo.training.smoothness import Smoothness, smoothness
from windtunnel.types import JobSpec


def measured(target: Any, at: float, length: float, judge: Any = lambda w: (w**2).sum()) -> Smoothness | None:
    """Reading of a run that ends exactly at ``target(outer)``."""
    problem = Bilevel(
        lambda w, outer, batch: (w["w"] - target(outer["c"])).square().sum() / 2,
        lambda w, outer, batch: judge(w["w"]),
        {"w": torch.zeros(2, dtype=torch.float64)},
        optimizer={"name": "sgd", "learning_rate": 1.0, "momentum": 0.0},
        steps=1,
    )
    outer = {"c": torch.tensor(at, dtype=torch.float64)}
    inner = PlainProblem(problem, Variables.of(outer), outer, 0)
    return smoothness(inner, torch.tensor([at], dtype=torch.float64), torch.tensor([3.0]), length, inner.draw_of([0]))


def test_a_linear_answer_is_smooth_and_the_curvature_is_the_second_derivative() -> None:
    def line(c: Tensor) -> Tensor:
        return torch.stack([2 * c, -c])

    for length in (0.1, 1.0):
        found = measured(line, 0.7, length)
        assert found is not None
        assert found.agreement == pytest.approx(1) and found.curvature == pytest.approx(10, rel=1e-9)


def test_a_parameter_that_turns_back_counts_against_by_its_size() -> None:
    # From -1 over 0 to 1 the first parameter goes on by 3, the second turns back by 1.
    found = measured(lambda c: torch.stack([3 * c, c.abs()]), -1.0, 1.0)
    assert found is not None and found.agreement == pytest.approx((3 - 1) / 4)


def test_there_is_no_reading_of_runs_that_diverge_or_stand_still() -> None:
    assert measured(lambda c: torch.stack([c, c]) / 0.0, 1.0, 0.1) is None
    assert measured(lambda c: 0 * torch.stack([c, c]), 1.0, 0.1) is None


def test_the_reading_keeps_the_last_hypergradient() -> None:
    chaos = Chaos(0.2, 0.9)
    kept = Readings().adding(chaos, torch.tensor([1.0, 2.0])).adding(chaos).adding(None, torch.tensor([5.0, 5.0]))
    assert kept.direction == (1.0, 2.0)
    reading = kept.chaos(Smoothness(3.0, 0.5))
    assert reading is not None and (reading.curvature, reading.sign_agreement) == (3.0, 0.5)


def test_a_job_measures_it_once_and_counts_its_runs() -> None:
    fields: dict[str, Any] = {
        "task": "digits",
        "model": {"width": 8},
        "inner": {"steps": 6, "batch_size": 8, "seeds": 2},
        "outer": {"steps": 1, "scout": False, "finish_seeds": 2},
        "search": [{"name": "learning_rate"}],
    }
    spent = {}
    for adjoint in ("bounded", "exact"):
        study = Study(JobSpec.model_validate({**fields, "method": {"estimator": "reverse", "adjoint": adjoint}}))
        list(study)
        before, candidates = study.account.spent, len(study._search.candidates())
        result = study.finish()
        spent[adjoint] = study.account.spent - before - candidates * 2 * 6
        assert (result.chaos is None) == (adjoint == "exact")
        if result.chaos is not None:
            assert result.chaos.sign_agreement is not None and -1 <= result.chaos.sign_agreement <= 1
            assert result.chaos.curvature is not None and result.chaos.curvature >= 0
    assert spent["bounded"] - spent["exact"] == SMOOTHNESS_RUNS * 6
