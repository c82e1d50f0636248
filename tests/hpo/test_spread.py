"""The spread of points over a box, and the choice of points that lie apart."""

import torch

from hpo.search.spread import apart, spread

LOW, HIGH = torch.tensor([-3.0, 0.0], dtype=torch.float64), torch.tensor([5.0, 0.1], dtype=torch.float64)


def test_points_fill_the_box_each_with_its_mirror_image() -> None:
    points = spread(LOW, HIGH, 12, seed=4)
    assert points.shape == (12, 2) and (points >= LOW).all() and (points <= HIGH).all()
    torch.testing.assert_close(points[:6] + points[6:], (LOW + HIGH).expand(6, 2))
    # A Sobol sequence has a point in every quarter of a side long before a random one.
    assert (torch.histc(points[:, 0], 4, -3.0, 5.0) > 0).all()
    assert torch.equal(points, spread(LOW, HIGH, 12, seed=4))
    assert not torch.equal(points, spread(LOW, HIGH, 12, seed=5))


def test_the_best_points_that_lie_apart_are_chosen_in_order() -> None:
    ranked = [torch.tensor(point) for point in ([0.5, 0.0], [2.0, 0.0], [2.9, 0.9], [2.0, 1.0], [9.0, 9.0])]
    found = apart(ranked, [torch.zeros(2)], 2, 1.0)
    assert [point.tolist() for point in found] == [[2.0, 0.0], [2.0, 1.0]]
    assert [point.tolist() for point in apart(ranked, [], 9, 1.0)] == [[0.5, 0.0], [2.0, 0.0], [2.0, 1.0], [9.0, 9.0]]
