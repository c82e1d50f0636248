"""The store of observations: no doubles, levels that seeds do not distort, a state that gives the same store."""

import math

import torch

from hpo.observations import Observations, Slope


def store(points: list[list[float]], losses: list[list[float]]) -> Observations:
    found = Observations.none(len(points[0]), len(losses[0]))
    found.add(torch.tensor(points, dtype=torch.float64), "sampler")
    found.losses[:] = torch.tensor(losses, dtype=torch.float64)
    return found


def test_a_point_that_is_known_keeps_its_row_and_its_arm() -> None:
    seen = Observations.none(2, 3)
    points = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
    assert seen.add(points, "scout") == [0, 1]
    seen.record(1, 2, 0.5)
    assert seen.add(torch.stack([points[1], points[0] + 1]), "gradient") == [1, 2]
    assert seen.arms == ["scout", "scout", "gradient"]
    assert seen.is_run(1, 2) and not seen.is_run(1, 0) and not seen.is_run(2, 2)
    assert seen.known(1).tolist() == [0.5]


def test_levels_take_out_the_effect_of_the_seed() -> None:
    nan = math.nan
    seen = store([[0.0], [1.0], [2.0], [3.0]], [[1.0, 1.5], [2.0, 2.5], [3.0, nan], [nan, 0.7]])
    # Seed 1 reads .5 more than seed 0 wherever both were run: half of it stays out of a mean over both.
    assert torch.allclose(seen.levels(), torch.tensor([1.0, 2.0, 3.0, 0.2], dtype=torch.float64))


def test_a_diverged_run_makes_the_level_infinite_and_no_seed_effect() -> None:
    inf, nan = math.inf, math.nan
    seen = store([[0.0], [1.0], [2.0]], [[1.0, inf], [inf, inf], [1.0, 1.25]])
    assert seen.levels().tolist() == [inf, inf, 1.0]
    assert store([[0.0]], [[nan, nan]]).levels().tolist() == [inf]


def test_the_state_gives_the_same_store() -> None:
    seen = store([[0.0, 1.0], [2.0, 3.0]], [[1.0, math.nan], [math.inf, 0.1]])
    seen.slopes.append(Slope(1, 0, torch.tensor([0.5, math.nan], dtype=torch.float64)))
    again = Observations.of_state(*seen.state())
    assert torch.equal(again.points, seen.points) and again.arms == seen.arms
    assert torch.equal(again.losses.nan_to_num(-1.0), seen.losses.nan_to_num(-1.0))
    (slope,) = again.slopes_at(1)
    assert slope.seed == 0 and not slope.is_sound and again.slopes_at(0) == []
    empty = Observations.of_state(*Observations.none(2, 3).state())
    assert len(empty) == 0 and empty.losses.shape == (0, 3)
