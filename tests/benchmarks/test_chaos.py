"""The chaos benchmark measures what it says: its backward pass is the engine's, its reference finds a known gradient."""

import pytest
import torch

from benchmarks.chaos import adjoints, cases, reference, rules
from benchmarks.chaos.__main__ import accord, agreed, agreement, ceiling, grouped
from hpo.estimators.reverse import Reverse

STEPS, SEEDS = 9, 2


@pytest.fixture(autouse=True)
def short_runs(monkeypatch: pytest.MonkeyPatch):
    for module in (cases, rules, adjoints, reference):
        for name, value in (("STEPS", STEPS), ("SEEDS", SEEDS)):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, value)
    cases._study.cache_clear()
    yield
    cases._study.cache_clear()


@pytest.mark.parametrize(("name", "rate"), [("digits-momentum", 0.3), ("mnist5k-adamw", 0.05)])
def test_the_shared_backward_pass_is_the_engines(name: str, rate: float) -> None:
    case = cases.CASES[name]
    tau = 1e-3
    swept = rules.sweep(case, rate, {"exact": rules.exact, "bounded": rules.bounded(tau), "all": rules.last(STEPS)})
    problem, draw, points = case.study(rate).problem, case.draw(rate), case.points(rate, SEEDS)
    exact = Reverse(adjoint="exact").estimate(problem, points, draw)
    bounded = Reverse(growth_budget=float(torch.exp(torch.tensor(tau * STEPS)))).estimate(problem, points, draw)
    assert bounded.bounded_share is not None and (bounded.bounded_share > 0).any()
    torch.testing.assert_close(swept["exact"].gradient, exact.gradient, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(swept["bounded"].gradient, bounded.gradient, rtol=1e-3, atol=1e-5)
    assert torch.equal(swept["all"].gradient, swept["exact"].gradient)
    assert swept["exact"].norms.shape == (STEPS + 1, SEEDS)


def test_rules_that_bind_nothing_are_exact_and_those_that_bind_shorten() -> None:
    case, rate = cases.CASES["digits-momentum"], 0.3
    loose = 1e3
    swept = rules.sweep(
        case,
        rate,
        {
            "exact": rules.exact,
            "tensor": rules.by_tensor(loose),
            "profile": rules.bounded_by_profile(torch.ones(STEPS)),
            "state": rules.whole_state(loose),
            "sum": rules.shortened(loose),
            "gamma": rules.discounted(1.0),
            "short": rules.shortened(0.0),
            "none": rules.last(0),
        },
    )
    for name in ("tensor", "state", "sum", "gamma"):
        torch.testing.assert_close(swept[name].gradient, swept["exact"].gradient, rtol=1e-5, atol=1e-7)
    by_profile = swept["profile"].norms
    assert (by_profile[-1] <= 10.5 * by_profile[0]).all()
    assert not torch.equal(by_profile, swept["exact"].norms)
    assert (swept["short"].norms[1:] <= swept["short"].norms[:-1] * 1.01).all()
    assert (swept["none"].norms[1:] == 0).all()


def test_the_reference_finds_the_gradient_of_a_linear_loss_exactly() -> None:
    case, rate = cases.CASES["digits-momentum"], 0.01
    k = len(case.study(rate).space)
    slope = torch.arange(1.0, k + 1, dtype=torch.float64)
    rows = []
    for block in range(3 * k):
        for seed, direction in enumerate(reference.directions(block, k)):
            shift = float(reference.SIGMA * direction @ slope)
            row = {"case": case.name, "rate": str(rate), "block": str(block), "seed": str(seed)}
            rows.append({**row, "plus": str(seed + shift), "minus": str(seed - shift)})
    rows[0]["plus"] = "nan"
    found = reference.smoothed(rows, case, rate)
    torch.testing.assert_close(found.gradient, slope, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.halves[0], slope, rtol=1e-9, atol=1e-9)
    assert (found.pairs, found.dropped) == (3 * k * SEEDS, 1)


def test_agreement_is_told_as_cosine_and_ratio_of_norms() -> None:
    truth = torch.tensor([3.0, 4.0])
    assert agreement(torch.tensor([[6.0, 8.0], [6.0, 8.0]]), truth) == "1.00 (2.0)"
    assert agreement(truth[None] * -2e5, truth) == "-1.00 (2e+05)"
    assert grouped(torch.tensor([[4.0, -3.0]] * 4 + [[3.0, 4.0]] * 4), truth) == "0.50 (lowest 0.00)"


def test_the_ceiling_is_the_cosine_to_the_truth_that_noise_leaves() -> None:
    """Two halves, each the truth plus noise: their own agreement tells that of their mean with the truth."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(200_000, generator=generator)
    halves = tuple(truth + 1.5 * torch.randn(len(truth), generator=generator) for _ in range(2))
    expected = agreement((sum(halves) / 2)[None], truth).split()[0]
    assert float(ceiling((halves[0], halves[1]))) == pytest.approx(float(expected), abs=0.011)
    assert ceiling((truth, -truth)) == "none"


def test_seeds_choose_the_gradients_that_they_agree_on() -> None:
    truth = torch.tensor([1.0, 0.0, 0.0, 0.0])
    scattered, alike = torch.eye(4), torch.tensor([[1.0, 0.1, 0.0, 0.0]]).expand(4, -1)
    assert accord(scattered) == 0 and accord(alike) == pytest.approx(1.0)
    assert agreed([scattered, alike], truth) == agreed([alike, scattered], truth) == "1.00 (lowest 1.00)"
