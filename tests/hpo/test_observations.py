"""The store of observations: no doubles, levels that seeds do not distort, a state that gives the same store."""

import math

import torch

from hpo.search.observations import PSEUDO_RUNS, Observations, Slope


def store(points: list[list[float]], losses: list[list[float]]) -> Observations:
    found = Observations.none(len(points[0]))
    found.add(torch.tensor(points, dtype=torch.float64), "sampler")
    found.losses = torch.tensor(losses, dtype=torch.float64)
    return found


def test_a_point_that_is_known_keeps_its_row_and_its_arm() -> None:
    seen = Observations.none(2)
    points = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
    assert seen.add(points, "scout") == [0, 1]
    seen.record(1, 2, 0.5)
    assert seen.add(torch.stack([points[1], points[0] + 1]), "gradient") == [1, 2]
    assert seen.arms == ["scout", "scout", "gradient"]
    assert seen.is_run(1, 2) and not seen.is_run(1, 0) and not seen.is_run(2, 2)
    assert seen.known(1).tolist() == [0.5] and seen.seeds == 3 and not seen.is_run(1, 3)


def by_rows_of_equations(losses: list[list[float]]) -> torch.Tensor:
    """Levels of the additive model, one equation a run and one a seed that draws its effect to 0: numpy's way, by lstsq."""
    table = torch.tensor(losses, dtype=torch.float64)
    points, seeds = table.shape
    rows, right = [], []
    for point in range(points):
        for seed in range(seeds):
            if table[point, seed].isfinite():
                row = torch.zeros(points + seeds, dtype=torch.float64)
                row[point] = row[points + seed] = 1.0
                rows.append(row)
                right.append(float(table[point, seed]))
    drawn = torch.cat([torch.zeros(seeds, points), torch.eye(seeds)], dim=1).double() * PSEUDO_RUNS**0.5
    system, given = torch.cat([torch.stack(rows), drawn]), torch.tensor([*right, *[0.0] * seeds], dtype=torch.float64)
    return torch.linalg.lstsq(system, given[:, None]).solution[:points, 0]


def test_levels_are_the_least_squares_of_points_and_seeds() -> None:
    nan = math.nan
    # Seeds 0 and 2 meet no point in common: only row 1 and seed 1 lead from one to the other.
    losses = [[1.0, 1.5, nan], [nan, 2.5, 3.1], [3.0, nan, nan], [nan, nan, 0.7]]
    assert torch.allclose(store([[0.0], [1.0], [2.0], [3.0]], losses).levels(), by_rows_of_equations(losses), atol=1e-12)


def test_levels_take_out_the_effect_of_the_seed_the_surer_the_more_points_tell_of_it() -> None:
    nan = math.nan
    few = [[1.0, 1.5], [nan, 1.2]]
    many = [[float(row), row + 0.5] for row in range(40)] + [[nan, 1.2]]
    gaps = []
    for losses in (few, many):
        levels = store([[float(row)] for row in range(len(losses))], losses).levels()
        # Had the last point met seed 0, it would have read about .7.
        gaps.append(float(levels[-1] - (levels[0] - losses[0][0])) - 0.7)
    assert gaps[0] > 0.1 and 0 < gaps[1] < 0.05


def test_a_diverged_run_makes_the_level_infinite_and_no_seed_effect() -> None:
    inf, nan = math.inf, math.nan
    seen = store([[0.0], [1.0], [2.0]], [[1.0, inf], [inf, inf], [1.0, 1.25]])
    levels = seen.levels()
    # The one finite run of seed 1 is .25 above that of the same point with seed 0: no more than half of it is believed.
    assert levels[:2].tolist() == [inf, inf] and 1.0 < float(levels[2]) < 1.25
    assert store([[0.0]], [[nan, nan]]).levels().tolist() == [inf]


def test_the_state_gives_the_same_store() -> None:
    seen = store([[0.0, 1.0], [2.0, 3.0]], [[1.0, math.nan], [math.inf, 0.1]])
    seen.slopes.append(Slope(1, 0, torch.tensor([0.5, math.nan], dtype=torch.float64)))
    again = Observations.of_state(*seen.state())
    assert torch.equal(again.points, seen.points) and again.arms == seen.arms
    assert torch.equal(again.losses.nan_to_num(-1.0), seen.losses.nan_to_num(-1.0))
    (slope,) = again.slopes_at(1)
    assert slope.seed == 0 and not slope.is_sound and again.slopes_at(0) == []
    empty = Observations.of_state(*Observations.none(2).state())
    assert len(empty) == 0 and empty.losses.shape == (0, 0) and empty.levels().shape == (0,)
