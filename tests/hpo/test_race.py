"""The race: directions from gradients, lengths from runs, on common seeds."""

import math

import pytest
import torch

from hpo.search.descent.race import confidence, evened, free_gradient, race, to_unit


def test_a_coordinate_at_its_bound_does_not_take_part_where_descent_would_push_through_it() -> None:
    low, high = torch.tensor([0.0, 0.0, 0.0]), torch.tensor([1.0, 1.0, 1.0])
    point, gradient = torch.tensor([0.0, 1.0, 0.5]), torch.tensor([1.0, -1.0, 1.0])
    assert free_gradient(gradient, point, low, high).tolist() == [0.0, 0.0, 1.0]
    assert free_gradient(-gradient, point, low, high).tolist() == [-1.0, 1.0, -1.0]


def test_confidence_forgets_the_size_of_a_gradient_and_keeps_the_agreement_of_its_signs() -> None:
    gradients = torch.tensor([[1000.0, 1e-6, 1.0], [1001.0, 1.1e-6, -1.0], [999.0, 0.9e-6, 1.0], [1000.0, 1e-6, -1.0]])
    large, small, undecided = confidence(gradients).tolist()
    assert large > 0.99 and small > 0.9 and undecided == 0.0


def test_one_seed_has_an_evened_gradient_for_its_confidence() -> None:
    gradient = torch.tensor([[4.0, 1.0, 0.0, -1.0]])
    assert torch.equal(confidence(gradient), evened(gradient[0]))
    assert evened(gradient[0]).tolist() == pytest.approx([0.8, 0.5, 0.0, -0.5])


def test_no_gradient_has_no_direction() -> None:
    zero = torch.zeros(2, 3)
    assert (confidence(zero) == 0).all() and (to_unit(zero[0]) == 0).all() and (evened(zero[0]) == 0).all()


def bowl(points: torch.Tensor, which: slice, keep: int = 1, so_far: torch.Tensor | None = None) -> torch.Tensor:
    """Loss |x|^2 with a seed-dependent offset that common random numbers cancel."""
    offsets = torch.tensor([5.0, -3.0, 1.0])[which]
    return points.square().sum(1, keepdim=True) + offsets


def test_the_lowest_mean_over_common_seeds_wins() -> None:
    present = torch.tensor([2.0, 0.0])
    candidates = [torch.tensor([1.0, 0.0]), torch.tensor([0.1, 0.0]), torch.tensor([-3.0, 0.0])]
    found = race(present, bowl(present[None], slice(None))[0], candidates, bowl)
    assert torch.equal(found.point, candidates[1])
    assert found.length == pytest.approx(1.9) and found.loss == pytest.approx(0.01 + 1.0)


def test_the_present_point_stays_where_nothing_beats_it() -> None:
    present = torch.tensor([0.1, 0.0])
    found = race(present, bowl(present[None], slice(None))[0], [torch.tensor([1.0, 0.0]), torch.tensor([2.0, 0.0])], bowl)
    assert torch.equal(found.point, present) and found.length == 0.0


def test_a_gain_that_the_seeds_do_not_agree_on_is_no_win() -> None:
    present, candidate = torch.tensor([1.0, 0.0]), torch.tensor([0.9, 0.0])
    losses = {1.0: torch.tensor([5.0, 5.0, 5.0]), 0.9: torch.tensor([0.0, 9.0, 5.9])}

    def noisy(points: torch.Tensor, which: slice, keep: int, so_far: torch.Tensor) -> torch.Tensor:
        return torch.stack([losses[round(float(point[0]), 1)][which] for point in points])

    assert race(present, losses[1.0], [candidate], noisy).length == 0.0
    losses[0.9] = torch.tensor([4.9, 4.9, 4.9])
    assert race(present, losses[1.0], [candidate], noisy).length == pytest.approx(0.1)


def test_a_candidate_with_one_diverged_run_cannot_win() -> None:
    present = torch.tensor([2.0, 0.0])

    def breaks_on_the_last_seed(points: torch.Tensor, which: slice, keep: int, so_far: torch.Tensor) -> torch.Tensor:
        losses = bowl(points, which)
        losses[points[:, 0] == 0.0, -1] = math.inf
        return losses

    candidates = [torch.tensor([0.0, 0.0]), torch.tensor([1.0, 0.0])]
    found = race(present, bowl(present[None], slice(None))[0], candidates, breaks_on_the_last_seed)
    assert torch.equal(found.point, candidates[1])


def test_only_two_finalists_pay_for_the_other_seeds() -> None:
    present = torch.tensor([2.0, 0.0])
    runs, asked = 0, []

    def counted(points: torch.Tensor, which: slice, keep: int, so_far: torch.Tensor) -> torch.Tensor:
        nonlocal runs
        losses = bowl(points, which)
        runs += losses.numel()
        asked.append((keep, so_far.tolist()))
        return losses

    candidates = [torch.tensor([x, 0.0]) for x in (0.0, 0.5, 1.0, 1.5, 2.5, 3.0)]
    race(present, bowl(present[None], slice(None))[0], candidates, counted)
    assert runs == 6 + 2 * 2
    # Two of the first round go on, one of the second, and it is told how the first ended.
    assert asked == [(2, [0.0] * 6), (1, [5.0, 5.25])]
