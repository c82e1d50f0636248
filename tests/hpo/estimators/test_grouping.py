"""Populations computed group by group are the populations computed at once."""

import pytest
import torch

from hpo.estimators.reverse import Reverse
from hpo.families.facts.registry import facts
from hpo.families.facts.transformer import LARGE
from hpo.training.problem import groups
from windtunnel.tasks import TASKS
from windtunnel.types import ModelSpec

TEXT = TASKS["python-text"]


def test_groups_cover_all_members_in_order() -> None:
    assert groups(5, None) == [slice(0, 5)]
    assert groups(5, 2) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert groups(5, 5) == groups(5, 9) == [slice(0, 5)]


def test_small_transformers_train_together_and_large_ones_one_after_the_other() -> None:
    small = ModelSpec(family="transformer", width=4, depth=1, d_head=4)
    # Four units of the MLP for each of the width, but a weight for every token: 64 of one head.
    text, images = facts("transformer"), facts("mlp")
    assert text.members_together(small, TEXT, 2) == LARGE // (2 * 64 * 64)
    assert text.members_together(ModelSpec(family="transformer", width=48, depth=2), TEXT, 32) == 1
    assert images.members_together(ModelSpec(family="mlp", width=512, depth=2), TASKS["mnist5k"], 64) is None


@pytest.mark.parametrize("searched", [["learning_rate", "init_scale"], ["attention_multiplier", "dropout", "l2", "eps"]])
def test_runs_and_hypergradients_in_groups_are_those_of_the_whole(build_proxy, searched: list[str]) -> None:
    problem = build_proxy(
        task="python-text",
        model={"family": "transformer", "width": 4, "depth": 1, "d_head": 4},
        inner={"steps": 4, "batch_size": 2},
        search=[{"name": name} for name in searched],
    )
    draw = problem.draw([(0, member) for member in range(3)])
    generator = torch.Generator().manual_seed(0)
    points = problem.space.start() + 0.3 * torch.randn(3, len(problem.space), generator=generator, dtype=torch.float64)
    found = []
    for together in (None, 2):
        problem.together = together
        counted: list[int] = []
        trained = problem.train(points, draw, counted.append)
        judged = problem.evaluate(trained.parameters, trained.loss, problem.data.validation)
        exact, bounded = (
            Reverse("sqrt", kind).estimate(problem, points, draw, counted.append) for kind in ("exact", "bounded")
        )
        tensors = [trained.parameters, *judged, exact.value, exact.gradient, exact.growth, bounded.gradient]
        found.append([*tensors, bounded.scales, bounded.mean_scale, bounded.bounded_share])
        found[-1] += [torch.tensor([exact.cost, bounded.cost, sum(counted)])]
    for whole, parts in zip(*found, strict=True):
        torch.testing.assert_close(parts, whole, rtol=1e-9, atol=1e-12)


def test_tapes_kept_from_the_replay_spare_their_gradients_and_change_nothing(build_proxy) -> None:
    problem = build_proxy(
        task="python-text",
        model={"family": "transformer", "width": 4, "depth": 1, "d_head": 4},
        inner={"steps": 10, "batch_size": 2},
        search=[{"name": "learning_rate"}, {"name": "dropout"}],
    )
    draw = problem.draw([(0, 0), (0, 1)])
    points = problem.space.start().expand(2, -1)
    found = []
    # Segments of 4, 4 and 2 steps, of which the last is not replayed.
    for kept, spared in ((0, 0), (1, 0), (2, 2), (3, 4), (99, 6)):
        problem.tapes = kept
        counted: list[int] = []
        estimate = Reverse("sqrt").estimate(problem, points, draw, counted.append)
        assert sum(counted) == 2 * Reverse("sqrt").member_steps(problem)
        assert estimate.cost == 2 * (10 + 10 + 6 + 2 * 10 - spared)
        found.append(estimate)
    for other in found[1:]:
        torch.testing.assert_close(other.gradient, found[0].gradient, rtol=1e-10, atol=1e-13)
        torch.testing.assert_close(other.growth, found[0].growth, rtol=1e-8, atol=1e-10)
