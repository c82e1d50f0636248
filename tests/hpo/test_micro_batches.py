"""A batch that is gone through in parts gives what the whole gives: gradients, hypergradients, losses, certificate."""

from typing import Any

import pytest
import torch

from hpo.certificate.certificate import ShortRun, certify, exact
from hpo.estimators.reverse import Reverse
from hpo.footprint.sizes import Sizes
from hpo.sizing.hypergradients import hypergradient_cost
from hpo.study import Study
from windtunnel.types import JobSpec

RATES = {"name": "learning_rate", "scope": "role"}
NOISY = [RATES, {"name": "dropout"}, {"name": "label_smoothing"}, {"name": "l2"}]
JOBS: dict[str, dict[str, Any]] = {
    "mlp": {
        "task": "digits",
        "model": {"width": 8, "depth": 2, "activation": "tanh"},
        "search": [*NOISY, {"name": "input_noise"}, {"name": "augmentation"}],
    },
    "resnet": {"task": "digits", "model": {"family": "resnet", "width": 4, "depth": 1}, "search": NOISY},
    "transformer": {"task": "python-text", "model": {"width": 8, "depth": 1, "d_head": 4}, "search": NOISY},
    "mixture": {
        "task": "python-text",
        "model": {"width": 8, "depth": 1, "d_head": 4},
        "search": [{"name": "mixture_weight"}],
    },
    "regression": {"task": "diabetes", "model": {"width": 8, "depth": 1}, "search": [RATES, {"name": "weight_decay"}]},
}
SAME = {"rtol": 1e-10, "atol": 1e-12}


def study(name: str, micro: int | None, **inner: int) -> Study:
    fields = {**JOBS[name], "method": {"estimator": "reverse"}}
    sizes = {"steps": 5, "batch_size": 10, "seeds": 2, "micro_batch_size": micro, **inner}
    return Study(JobSpec.model_validate({**fields, "inner": sizes}), dtype=torch.float64)


@pytest.mark.parametrize("name", JOBS)
def test_parts_of_a_batch_give_what_the_whole_gives(name: str) -> None:
    whole, parts = study(name, None).problem, study(name, 4).problem
    draw, points = whole.draw([(0, 0), (0, 1)]), whole.space.start().expand(2, -1)
    batch, loss = whole.batch(draw, 3), whole.loss_tables(points)
    # Parts of 4, 4 and 2: a mean of their means would be another number.
    assert [len(part.labels[0]) for _, part in parts.micro_batches(batch)] == [4, 4, 2]
    gradients = [each.loss_gradient(draw.noise, loss, batch) for each in (whole, parts)]
    torch.testing.assert_close(*gradients, **SAME)
    losses = [each.evaluate(draw.noise, loss, each.data.validation) for each in (whole, parts)]
    torch.testing.assert_close(*losses, equal_nan=True, **SAME)
    for adjoint in ("exact", "bounded", "gauss_newton"):
        found = [Reverse("sqrt", adjoint).estimate(each, points, draw) for each in (whole, parts)]
        torch.testing.assert_close(found[0].value, found[1].value, **SAME)
        torch.testing.assert_close(found[0].gradient, found[1].gradient, **SAME)
        # Each part is recorded again for its product.
        assert found[1].cost >= found[0].cost + 2 * 5


def test_the_certificate_of_parts_is_that_of_the_whole() -> None:
    jobs = [study("mlp", micro) for micro in (None, 4)]
    # What is certified, over the run that certifies it; which of two directions is shown is for rounding to choose.
    runs = [ShortRun(job.problem, 5) for job in jobs]
    assert [len(run.micro_batches(run.batch(run.draw([(0, 0)]), 0))) for run in runs] == [1, 3]
    found = [
        exact(job.estimator).estimate(run, job.space.start()[None], run.draw([(0, 0)]))
        for job, run in zip(jobs, runs, strict=True)
    ]
    torch.testing.assert_close(found[0].gradient, found[1].gradient, **SAME)
    points = [certify(job.problem, job.estimator, job.space.start(), "start", job.population) for job in jobs]
    assert all(point.passed for point in points)


def test_what_the_estimate_counts_is_what_the_estimator_books() -> None:
    for micro in (None, 10, 4):
        job = study("transformer", micro)
        assert hypergradient_cost(Sizes.of(job.spec, job.spec.info), 2**32) == job.estimator.cost(job.problem)
