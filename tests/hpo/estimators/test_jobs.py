"""Every estimator as a job's own: it runs, goes on bit for bit, says what it did, and counts what it spent."""

from typing import Any

import pytest
import torch

from hpo.estimators.best_response import BestResponse
from hpo.estimators.choice import choose_estimator
from hpo.estimators.delta_stn import CentredSelfTuning
from hpo.estimators.es import EvolutionStrategies
from hpo.estimators.finite_difference import FiniteDifference
from hpo.estimators.forward import Forward
from hpo.estimators.greedy import Greedy
from hpo.estimators.implicit import Implicit
from hpo.estimators.pes import PersistentEvolutionStrategies
from hpo.estimators.protocol import Estimator
from hpo.estimators.reverse import Reverse
from hpo.estimators.stn import SelfTuning
from hpo.estimators.truncated import Truncated
from hpo.estimators.unrolled import Unrolled
from hpo.study import Study
from windtunnel.types import ESTIMATORS, JobSpec, Progress
from windtunnel.types.method import BestResponseSettings

METHODS: dict[str, tuple[dict[str, Any], str]] = {
    "auto": ({}, "chosen by auto"),
    "reverse": ({"adjoint": "exact", "checkpointing": "sqrt"}, "every sqrt"),
    "higher": ({}, "unrolled graph"),
    "forward": ({}, "one tangent for each hyperparameter"),
    "forward, random": ({"samples": 3}, "3 random tangents"),
    "truncated": ({"window": 3}, "the last 3 of 6 steps"),
    "greedy": ({}, "right after it"),
    "implicit": ({}, "20 steps of conjugate gradients, damping 0.001"),
    "implicit, neumann": ({"solver": "neumann", "solver_steps": 7}, "7 terms of the Neumann series"),
    "implicit, nystrom": ({"solver": "nystrom", "damping": 0.1}, "rank 20, damping 0.1"),
    "es": ({"samples": 1, "sigma": 0.2}, "1 antithetic pair, sigma 0.2, of runs"),
    "pes": ({"samples": 2, "window": 4}, "perturbed anew every 4 steps"),
    "finite_difference": ({}, "sigma 0.01"),
    "stn": ({"perturbation": 0.2}, "2 validation steps move those in one run, after a warm-up of 1 updates"),
    "delta_stn": ({"training_steps": 1, "warmup": 0}, "6 validation steps"),
}
"""Name of the estimator, and a word on its settings -> the settings, and what the reason says of them."""
KINDS: dict[str, type] = {
    "auto": Reverse,
    "reverse": Reverse,
    "higher": Unrolled,
    "forward": Forward,
    "truncated": Truncated,
    "greedy": Greedy,
    "implicit": Implicit,
    "es": EvolutionStrategies,
    "pes": PersistentEvolutionStrategies,
    "finite_difference": FiniteDifference,
    "stn": BestResponse,
    "delta_stn": BestResponse,
}


def job(case: str) -> JobSpec:
    name = case.partition(",")[0]
    loss = [{"name": "l2"}, {"name": "dropout"}]
    rates = [{"name": "learning_rate", "scope": "role"}, {"name": "weight_decay"}]
    return JobSpec.model_validate(
        {
            "task": "digits",
            "model": {"width": 8, "depth": 1},
            "inner": {"steps": 6, "batch_size": 16, "seeds": 2},
            "outer": {"steps": 2, "scout": False, "finish_seeds": 2},
            "search": loss if name in ("implicit", "stn", "delta_stn") else [*rates, *loss],
            "method": {"estimator": name, **METHODS[case][0]},
            "seed": 3,
        }
    )


def test_every_estimator_is_among_the_cases() -> None:
    assert {case.partition(",")[0] for case in METHODS} == set(ESTIMATORS) == set(KINDS)


@pytest.mark.parametrize("case", METHODS)
def test_a_job_with_each_estimator_goes_on_bit_for_bit_after_a_stop(case: str) -> None:
    seen: list[Progress] = []
    whole = Study(job(case), on_progress=seen.append)
    steps = list(whole)
    result = whole.finish()
    first = Study(job(case))
    before = [next(iter(first)), next(iter(first))]
    second = Study(job(case))
    second.load_state_dict(first.state_dict())
    assert before + list(second) == steps
    resumed = second.finish()
    assert (resumed.best, resumed.start) == (result.best, result.start)
    if case != "auto":  # which need not take a gradient at every step
        assert all(step.gradient_norm is not None and step.gradient_norm > 0 for step in steps[1:])
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0


@pytest.mark.parametrize("case", METHODS)
def test_the_choice_names_the_estimator_and_says_why(case: str) -> None:
    estimator, choice = choose_estimator(job(case), 2**32)
    name, (_, words) = case.partition(",")[0], METHODS[case]
    assert isinstance(estimator, KINDS[name])
    assert choice.estimator == ("reverse" if name == "auto" else name)
    assert words in choice.reason
    assert choice.engine == ("higher" if name == "higher" else "population")


def test_settings_reach_the_estimator() -> None:
    def made(**method: Any) -> Estimator:
        search = [{"name": "l2"}]
        spec = {"task": "digits", "inner": {"steps": 50}, "search": search, "method": method, "regularization": {"l2": 0.1}}
        return choose_estimator(JobSpec.model_validate(spec), 2**32)[0]

    assert made(estimator="forward", samples=5) == Forward(5)
    assert made(estimator="truncated", window=7) == Truncated(7)
    assert made(estimator="truncated") == Truncated(20)
    assert made(estimator="implicit", solver="nystrom", solver_steps=9, damping=0.5) == Implicit("nystrom", 9, 0.5)
    response = made(estimator="stn", warmup=0.2, training_steps=7, validation_steps=3, perturbation=0.4, entropy=0.1)
    assert response == BestResponse(SelfTuning, BestResponseSettings(0.2, 7, 3, 0.4, 0.1, 0.01, None))
    rates = made(estimator="delta_stn", response_rate=0.02, hyper_rate=0.05, control_variate=True)
    assert rates == BestResponse(CentredSelfTuning, BestResponseSettings(0.1, 2, 1, 0.5, 1e-3, 0.02, 0.05, True))
    assert made(estimator="es", samples=3, sigma=0.3) == EvolutionStrategies(3, 0.3, 32)
    assert made(estimator="pes", samples=3, sigma=0.3, window=9) == PersistentEvolutionStrategies(3, 0.3, 9, 32)
    assert made(estimator="finite_difference", sigma=0.2) == FiniteDifference(0.2, 32)
    assert made(estimator="finite_difference") == FiniteDifference(0.01, 32)


T, K = 6, 3
"""Steps, and coordinates of the space, in what follows. A gradient is one evaluation, a product with the Hessian two."""
COSTS: dict[str, tuple[Estimator, float]] = {
    "reverse, every state": (Reverse("none", "exact"), 4 * T),
    "forward": (Forward(), T * (1 + 2 * K)),
    "forward, random": (Forward(5), T * (1 + 2 * 5)),
    "truncated": (Truncated(2), T + 3 * 2),
    "truncated, the whole run": (Truncated(10), 4 * T),
    # The validation split here has 12 examples, a training batch 16; dropout makes a mixed product necessary.
    "greedy": (Greedy(), T * (1 + 12 / 16 + 2)),
    "es": (EvolutionStrategies(5), (1 + 2 * 5) * T),
    # Two of three windows end inside the run, each with a forward pass over those 12 examples.
    "pes": (PersistentEvolutionStrategies(5, window=2), (1 + 2 * 5) * T + 2 * 5 * 2 * 12 / 16 / 3),
    "finite_difference": (FiniteDifference(), (1 + 2 * K) * T),
    "higher": (Unrolled(), 3 * T),
}


@pytest.mark.parametrize("case", COSTS)
def test_cost_counts_gradients_and_progress_counts_steps(build_proxy, case: str) -> None:
    problem = build_proxy(
        model={"width": 4, "depth": 1},
        inner={"steps": T, "batch_size": 16},
        search=[{"name": name} for name in ("learning_rate", "weight_decay", "dropout")],
    )
    estimator, expected = COSTS[case]
    told = 0

    def count(member_steps: int) -> None:
        nonlocal told
        told += member_steps

    draw = problem.draw([(0, 0), (0, 1)])
    found = estimator.estimate(problem, problem.space.start().expand(2, -1), draw, count)
    assert found.cost == pytest.approx(2 * expected)
    assert told == 2 * estimator.member_steps(problem)


def test_the_cost_of_implicit_differentiation_is_that_of_its_products(build_proxy) -> None:
    problem = build_proxy(
        model={"width": 4, "depth": 1}, inner={"steps": T, "batch_size": 16}, search=[{"name": "dropout"}]
    )
    draw, points = problem.draw([(0, 0)]), problem.space.start()[None]
    for solver, products in (("cg", 5), ("neumann", 10 + 5), ("nystrom", 2 * 5)):
        told: list[int] = []
        found = Implicit(solver, 5, examples=64).estimate(problem, points, draw, told.append)
        # One product more for the residual, one for the mixed derivative; 64 examples are four batches.
        assert found.cost == pytest.approx(T + 4 * (1 + 2 * (products + 2)))
        assert sum(told) == Implicit(solver, 5).member_steps(problem) == T + products + 1


RANDOM: dict[str, Estimator] = {
    "forward": Forward(samples=3),
    "es": EvolutionStrategies(samples=3, population=7),
    "pes": PersistentEvolutionStrategies(samples=3, window=2, population=5),
}


@pytest.mark.parametrize("case", RANDOM)
def test_random_numbers_are_the_members_own(build_proxy, case: str) -> None:
    """A member has the same perturbations whoever is estimated beside it, and others than its neighbours."""
    problem = build_proxy(model={"width": 4, "depth": 1}, inner={"steps": T, "batch_size": 16})
    draw, points = problem.draw([(0, 0), (0, 1), (0, 2)]), problem.space.start().expand(3, -1)
    together = RANDOM[case].estimate(problem, points, draw)
    alone = RANDOM[case].estimate(problem, points[:1], draw.select([2]))
    torch.testing.assert_close(alone.gradient[0], together.gradient[2], rtol=1e-9, atol=1e-12)
    again = RANDOM[case].estimate(problem, points, draw)
    assert torch.equal(again.gradient, together.gradient)
    assert not torch.allclose(together.gradient[0], together.gradient[1])


def test_a_pair_that_diverges_is_left_out_and_counted(build_quadratic) -> None:
    """eta a = 1.9 with a wide perturbation: some runs grow without end."""
    problem = build_quadratic(0.76, 0.01, steps=300)
    draw = problem.draw([(0, 0)])
    found = EvolutionStrategies(samples=40, sigma=0.6).estimate(problem, problem.space.start()[None], draw)
    assert found.diverged is not None and 0 < found.diverged.item() < 1
    assert found.gradient.isfinite().all() and found.stderr is not None and found.stderr.isfinite().all()
    hopeless = build_quadratic(1.0, 0.01, steps=300)
    lost = EvolutionStrategies(samples=4, sigma=0.1).estimate(hopeless, hopeless.space.start()[None], draw)
    assert lost.diverged is not None and lost.diverged.item() == 1.0
    assert lost.gradient.isnan().all()


def test_one_sample_has_no_standard_error(build_quadratic) -> None:
    problem = build_quadratic(0.1, 0.1)
    draw, points = problem.draw([(0, 0)]), problem.space.start()[None]
    for estimator in (Forward(samples=1), EvolutionStrategies(samples=1), PersistentEvolutionStrategies(samples=1)):
        found = estimator.estimate(problem, points, draw)
        assert found.gradient.isfinite().all()
        assert found.stderr is not None and found.stderr.isinf().all()
