"""The gradient noise scale against per-example gradients of the whole training set; the horizon's exponent."""

import pytest
import torch
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

from hpo.evidence.horizon import horizon_fit, horizon_steps, horizons
from hpo.evidence.noise_scale import noise_scale, noise_scale_steps
from hpo.families.registry import build
from hpo.seeding import Purpose
from hpo.study import Study
from windtunnel.tasks import TASKS
from windtunnel.types import JobSpec

POINT = {"learning_rate": 0.01, "weight_decay": 0.01}


def study(**fields: object) -> Study:
    base = {
        "task": "digits",
        "model": {"width": 8},
        "inner": {"steps": 20, "batch_size": 16},
        "search": [{"name": "learning_rate"}, {"name": "weight_decay"}],
    }
    return Study(JobSpec.model_validate({**base, **fields}), dtype=torch.float64)


def exact(found: Study, steps: int, runs: int) -> float:
    """tr(Sigma) / |G|^2 from the gradient of every training example, averaged over the runs as the estimate is."""
    problem, data = found.problem, found.problem.examples.sample()
    draw = problem.draw([(found.spec.seed, Purpose.NOISE_SCALE, 0, index) for index in range(runs)])
    trained = problem.train(found.space.from_dict(POINT).expand(runs, -1), draw, steps=steps)
    model = build(found.spec.model, TASKS["digits"]).double()
    noise, signal = 0.0, 0.0
    for member in range(runs):
        tensors = problem.layout.split(trained.parameters[member][None])
        named = {name: tensor[0] for name, tensor in zip(problem.layout.names, tensors, strict=True)}

        def loss(parameters, example, label):
            return cross_entropy(functional_call(model, parameters, (example[None],)), label[None])

        each = vmap(grad(loss), in_dims=(None, 0, 0))(named, data.inputs, data.labels)
        rows = torch.cat([part.flatten(1) for part in each.values()], dim=1)
        noise += float(rows.var(dim=0, unbiased=False).sum())
        signal += float(rows.mean(dim=0).square().sum())
    return noise / signal


def test_the_noise_scale_is_that_of_per_example_gradients() -> None:
    found = study()
    estimate = noise_scale(found.problem, found.space.from_dict(POINT), runs=3, batches=400, times=[0.5])
    truth = exact(found, 10, 3)
    assert estimate.examples == pytest.approx(truth, rel=0.1)
    assert estimate.at == [estimate.examples]


def test_the_estimate_is_unbiased_where_few_batches_are_drawn() -> None:
    """|mean gradient|^2 alone would make the noise scale too small by half where noise and signal are alike."""
    truth = exact(study(), 10, 2)
    found = [
        noise_scale(each.problem, each.space.from_dict(POINT), runs=2, batches=8, times=[0.5]).examples
        for each in (study(seed=seed) for seed in range(8))
    ]
    known = [value for value in found if value is not None]
    assert len(known) == 8
    truths = [exact(study(seed=seed), 10, 2) for seed in range(8)]
    assert sum(known) / sum(truths) == pytest.approx(1.0, abs=0.2) and truths[0] == truth


def test_the_interval_and_the_times_are_told_and_steps_are_counted() -> None:
    found, steps = study(), []
    estimate = noise_scale(found.problem, found.space.from_dict(POINT), on_step=steps.append)
    assert estimate.examples is not None and estimate.high is not None
    assert estimate.low < estimate.examples < estimate.high and estimate.times == [0.25, 0.5, 0.75]
    assert sum(steps) == noise_scale_steps(20)
    again = noise_scale(found.problem, found.space.from_dict(POINT))
    assert again == estimate


def test_a_gradient_lost_in_noise_gives_a_bound_from_below() -> None:
    # Two batches at the end of a long run with a single example each: the mean gradient is all noise.
    found = study(inner={"steps": 200, "batch_size": 1})
    estimates = [
        noise_scale(each.problem, each.space.from_dict(POINT), runs=2, batches=2, times=[1.0])
        for each in (found, study(inner={"steps": 200, "batch_size": 1}, seed=1))
    ]
    for estimate in estimates:
        assert (estimate.examples is None) == (estimate.high is None) and estimate.low >= 0
    with pytest.raises(ValueError, match="at least two"):
        noise_scale(found.problem, found.space.from_dict(POINT), runs=1)


def test_regularisers_and_mixtures_are_part_of_the_measured_gradient() -> None:
    found = study(
        regularization={"dropout": 0.2, "label_smoothing": 0.1, "l2": 1e-3},
        search=[{"name": "learning_rate"}, {"name": "weight_decay"}, {"name": "mixture_weight"}],
    )
    estimate = noise_scale(found.problem, found.space.start(), runs=2, batches=4)
    assert estimate.low > 0


def test_the_horizons_halve_and_every_run_is_kept() -> None:
    assert horizons(200, 3) == [50, 100, 200] and horizons(200, 2) == [100, 200]
    found, steps = study(), []
    fitted = horizon_fit(found.spec, POINT, 2, seeds=2, population=8, on_step=steps.append)
    assert fitted.horizons == [10, 20] and len(fitted.losses) == 2 and len(fitted.losses[0]) == len(fitted.factors)
    assert sum(steps) == horizon_steps(20, 2, 2) and fitted.run_equivalents == pytest.approx(15.0)


def test_a_fit_that_cannot_be_made_is_refused() -> None:
    found = study()
    with pytest.raises(ValueError, match="2 or 3 horizons"):
        horizon_fit(found.spec, POINT, 4)
    with pytest.raises(ValueError, match="at least 8 steps"):
        horizon_fit(study(inner={"steps": 4, "batch_size": 16}).spec, POINT, 2)
