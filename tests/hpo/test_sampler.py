"""The sampler arm: the same points for the same observations, inside the box, and a consensus that luck does not move."""

import logging
import math

import torch

from hpo.search.observations import Observations
from hpo.search.portfolio.sampler import consensus, propose
from hpo.search.portfolio.scout import sampler_history

LOW, HIGH = torch.tensor([-3.0, 0.0], dtype=torch.float64), torch.tensor([3.0, 1.0], dtype=torch.float64)


def judged(count: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """Evenly spread points, the best of them near (1, .5)."""
    share = torch.rand(count, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    points = LOW + share * (HIGH - LOW)
    return points, (points - torch.tensor([1.0, 0.5])).square().sum(dim=1)


def test_equal_observations_and_seeds_give_equal_points_and_others_do_not() -> None:
    points, levels = judged()
    first = propose(points, levels, LOW, HIGH, 4, seed=1)
    assert first.shape == (4, 2) and torch.equal(first, propose(points, levels, LOW, HIGH, 4, seed=1))
    assert not torch.equal(first, propose(points, levels, LOW, HIGH, 4, seed=2))
    assert not torch.equal(first, propose(points, levels.flip(0), LOW, HIGH, 4, seed=1))


def test_proposals_lie_in_the_box_and_gather_where_the_losses_are_low() -> None:
    points, levels = judged()
    found = propose(points, levels, LOW, HIGH, 32, seed=3)
    assert ((found >= LOW) & (found <= HIGH)).all()
    assert float((found[:, 0] - 1.0).abs().median()) < 0.75 * float((points[:, 0] - 1.0).abs().median())


def test_diverged_points_and_an_empty_store_are_no_obstacle() -> None:
    points, levels = judged()
    levels[::2] = math.inf
    assert propose(points, levels, LOW, HIGH, 2, seed=4).isfinite().all()
    assert propose(points[:0], levels[:0], LOW, HIGH, 2, seed=4).shape == (2, 2)


def test_asking_leaves_no_trace_in_the_process() -> None:
    level, state = logging.getLogger("optuna").level, torch.random.get_rng_state()
    propose(*judged(), LOW, HIGH, 1, seed=5)
    assert logging.getLogger("optuna").level == level and torch.equal(torch.random.get_rng_state(), state)


def test_the_consensus_weighs_the_best_points_by_rank() -> None:
    points = torch.tensor([[9.0], [0.0], [1.0], [3.0]], dtype=torch.float64)
    levels = torch.tensor([math.inf, 0.1, 0.2, 0.3], dtype=torch.float64)
    weights = torch.tensor([math.log(3.5) - math.log(rank) for rank in (1, 2, 3)], dtype=torch.float64)
    expected = (weights * torch.tensor([0.0, 1.0, 3.0])).sum() / weights.sum()
    assert torch.allclose(consensus(points, levels, 0.1), expected)
    assert torch.equal(consensus(points[:1], levels[:1], 0.1), points[0])


def test_the_consensus_of_noisy_points_lies_closer_to_the_optimum_than_the_luckiest() -> None:
    generator = torch.Generator().manual_seed(0)
    lucky, agreed = 0.0, 0.0
    for _ in range(50):
        points = torch.randn(60, 6, generator=generator, dtype=torch.float64)
        levels = points.square().sum(dim=1) + 2 * torch.randn(60, generator=generator, dtype=torch.float64)
        lucky += float(points[levels.argmin()].square().sum())
        agreed += float(consensus(points, levels, 0.1).square().sum())
    assert agreed < 0.5 * lucky


def test_short_runs_tell_the_sampler_what_is_bad_but_never_what_is_best() -> None:
    full, short = Observations.none(1), Observations.none(1)
    full.add(torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64), "scout")
    full.losses = torch.tensor([[1.0], [2.0], [3.0]], dtype=torch.float64)
    short.add(torch.tensor([[0.0], [5.0], [6.0], [7.0], [8.0]], dtype=torch.float64), "scout")
    short.losses = torch.tensor([[0.5], [0.1], [0.7], [0.9], [math.inf]], dtype=torch.float64)
    points, levels = sampler_history(full, short)
    assert points[:, 0].tolist() == [0.0, 1.0, 2.0, 5.0, 6.0, 7.0, 8.0]
    assert levels[:3].tolist() == [1.0, 2.0, 3.0]
    assert levels[3:].tolist() == [2.0, 2.5, 2.75, 3.0]
