"""Descent by hypergradients: it arrives, it goes on bit for bit, it says what it measured."""

import pytest
import torch

import windtunnel
from hpo.bilevel.certificate import certify
from hpo.errors import CertificateFailed, InvalidData
from hpo.estimators.reverse import Reverse
from tests.hpo.bilevel.problems import CASES, F64


class Stop(Exception):
    """A user who presses the key."""


def adam(tensors):
    return torch.optim.Adam(tensors, lr=0.2)


def test_solve_finds_the_learning_rate_that_ends_in_one_step_and_stays_in_its_bounds():
    problem = windtunnel.Bilevel(
        lambda w, outer, batch: w["w"].square().sum(),
        lambda w, outer, batch: w["w"].square().sum(),
        {"w": torch.ones(3, dtype=F64)},
        optimizer={"name": "sgd", "learning_rate": lambda outer: outer["log_rate"].exp(), "momentum": 0.0},
        steps=2,
    )
    start = {"log_rate": torch.tensor(-2.0, dtype=F64)}
    found = windtunnel.solve(problem, start, adam, steps=40)
    # w <- (1 - 2 rate) w is 0 at a rate of a half.
    assert found.outer["log_rate"].exp().item() == pytest.approx(0.5, abs=0.06)
    assert found.losses[-1] < 1e-3 * found.losses[0] and len(found.steps) == 40
    assert found.certificate.outcome == "passed" and found.certificate.relative_error < 1e-6
    assert found.smoothness is not None and -1 <= found.smoothness.agreement <= 1
    assert found.chaos is not None and "certificate passed" in str(found)
    bound = windtunnel.solve(
        problem, start, adam, steps=10, project=lambda outer: {"log_rate": outer["log_rate"].clamp(max=-1)}
    )
    assert bound.outer["log_rate"].item() == -1


@pytest.mark.parametrize("how", [adam, lambda tensors: torch.optim.SGD(tensors, lr=0.1, momentum=0.9)])
def test_a_stopped_solve_goes_on_bit_for_bit(tmp_path, how):
    case, path = CASES["example weights"], tmp_path / "solve.safetensors"

    def run(checkpoint, progress=None):
        return windtunnel.solve(
            case.problem, case.outer, how, 5, seeds=2, clip=1e-3, checkpoint=checkpoint, progress=progress
        )

    whole = run(None)

    def stop_at_three(step):
        if step.step == 2:
            raise Stop

    with pytest.raises(Stop):
        run(path, stop_at_three)
    seen = []
    again = run(path, lambda step: seen.append(step.step))
    assert seen == [3, 4]
    assert torch.equal(again.outer["weights"], whole.outer["weights"])
    assert again.steps == whole.steps and torch.equal(again.best["weights"], whole.best["weights"])
    assert again.smoothness == whole.smoothness and all(step.clipped for step in again.steps)
    with pytest.raises(InvalidData, match="belongs to another problem: its seed is 0, now 1"):
        windtunnel.solve(case.problem, case.outer, how, 6, seeds=2, clip=1e-3, checkpoint=path, seed=1)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InvalidData, match="is damaged"):
        run(path)


def test_a_hypergradient_without_its_derivative_fails_its_certificate():
    case = CASES["example weights"]
    inner, _ = case.problem.losses

    def detached(w, outer, batch):
        return inner(w, {"weights": outer["weights"] + outer["weights"].square().detach()}, batch)

    problem = windtunnel.Bilevel(
        detached,
        case.problem.outer_loss,
        case.problem.init,
        optimizer=case.problem.optimizer,
        steps=6,
        batches=case.problem.batches,
    )
    with pytest.raises(CertificateFailed, match="finite differences say"):
        windtunnel.solve(problem, case.outer, steps=1)


def test_functions_that_fail_in_float64_are_said_not_to_be_certified():
    inputs = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    problem = windtunnel.Bilevel(
        lambda w, outer, batch: (inputs @ w["w"] - outer["targets"]).square().mean(),
        lambda w, outer, batch: (inputs @ w["w"]).square().mean(),
        {"w": torch.ones(3)},
        optimizer={"name": "sgd", "learning_rate": 0.1},
        steps=4,
    )
    found = certify(problem, {"targets": torch.zeros(8)}, Reverse())
    assert found.outcome == "single precision" and "dtype" in found.why
    lion = CASES["example weights"].problem
    lion = windtunnel.Bilevel(
        lion.inner_loss,
        lion.outer_loss,
        lion.init,
        optimizer={"name": "lion", "learning_rate": 0.1},
        steps=3,
        batches=lion.batches,
    )
    assert certify(lion, CASES["example weights"].outer, Reverse()).outcome == "no derivative"


def test_the_engine_keeps_its_memory_over_many_outer_variables():
    """A hundred thousand weights: one hypergradient costs what it costs for one, but for the vectors themselves."""
    count = 100_000
    problem = windtunnel.Bilevel(
        lambda w, outer, batch: (torch.sigmoid(outer["weights"][batch]) * (w["w"] - 1).square()).mean(),
        lambda w, outer, batch: (w["w"] - 2).square().mean(),
        {"w": torch.zeros(64)},
        optimizer={"name": "sgd", "learning_rate": 0.1},
        steps=30,
        batches=lambda step, seed: torch.randint(count, (64,), generator=torch.Generator().manual_seed(step)),
    )
    found = windtunnel.hypergradient(problem, {"weights": torch.zeros(count)})
    touched = torch.cat([problem.batches(step, 0) for step in range(30)]).unique()
    assert found.gradient["weights"].nonzero()[:, 0].equal(touched)
    assert found.cost < 6 * 30
