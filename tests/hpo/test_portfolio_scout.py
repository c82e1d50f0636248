"""The scout of ``auto``: rates are tried one by one, and each is kept where its own short runs did best."""

import math

import pytest
import torch

from hpo.footprint.budget import MOST_PERTURBED_RATES
from hpo.search.portfolio.intensifier import Intensifier
from hpo.search.portfolio.scout import RATE_FACTOR, _best_per_rate, _perturbed_rates, scout
from hpo.seeding import Purpose
from hpo.study import Study
from windtunnel.types import JobSpec


def study(scope: str, **model: int) -> Study:
    searched = [{"name": "learning_rate", "scope": scope}, {"name": "beta1"}]
    fields = {"task": "digits", "model": model, "inner": {"steps": 20, "batch_size": 16, "seeds": 1}, "search": searched}
    return Study(JobSpec.model_validate(fields))


def intensifier(of: Study) -> Intensifier:
    return Intensifier(of.problem, lambda index: (0, Purpose.SCOUT, 9, index), 2, of.population, of.account)


@pytest.mark.parametrize(("scope", "model", "tilted"), [("role", {}, 5), ("global", {}, 0), ("tensor", {"depth": 8}, 0)])
def test_several_rates_are_tilted_one_rate_and_very_many_are_not(scope: str, model: dict[str, int], tilted: int) -> None:
    space = study(scope, **model).space
    labels = [space.labels[index] for index in _perturbed_rates(space)]
    assert len(labels) == tilted <= MOST_PERTURBED_RATES
    assert all(label.startswith("learning_rate.") for label in labels)


def test_the_composed_point_has_each_rate_where_it_did_best() -> None:
    of = study("role")
    short, space = intensifier(of), of.space
    # Ten times too low everywhere: raising the rate of any matrix helps.
    best = space.with_value(space.start(), "learning_rate", 1e-3)
    (composed,) = _best_per_rate(space, short, best, _perturbed_rates(space))
    (row,) = short.seen.add(best[None], "scout")
    short.run([row], 0)
    for index in _perturbed_rates(space):
        tried = {
            sign: float(short.seen.losses[short.seen.add(moved(best, index, sign)[None], "scout")[0], 0])
            for sign in (-1, 1)
        } | {0: float(short.seen.losses[row, 0])}
        kept = min(tried, key=lambda sign: tried[sign])
        assert composed[index] == moved(best, index, kept)[index]
    raised = [space.labels.index(f"learning_rate.{role}") for role in ("input", "hidden", "output")]
    assert (composed[raised] > best[raised]).all()
    assert composed[space.labels.index("beta1")] == best[space.labels.index("beta1")]


def moved(point: torch.Tensor, index: int, sign: int) -> torch.Tensor:
    found = point.clone()
    found[index] += sign * math.log(RATE_FACTOR)
    return found


def test_the_scout_judges_the_composed_point_in_full_and_books_what_it_did() -> None:
    of = study("role")
    full, short = (
        intensifier(of),
        Intensifier(of.context.shorter(20), lambda index: (0, Purpose.SCOUT, 8, index), 2, of.population, of.account),
    )
    before = of.account.run_equivalents
    sweep = scout(of.context, full, short)
    assert sweep is not None and len(sweep["learning_rate"]) == 8
    assert of.account.run_equivalents - before == int((~full.seen.losses.isnan()).sum()) + int(
        (~short.seen.losses.isnan()).sum()
    )
    lowest = float(full.seen.losses[:, 0].min())
    assert float(full.seen.losses[full.incumbent, 0]) <= lowest + 0.5
