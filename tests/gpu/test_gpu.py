"""What only a GPU can show: it computes the CPU's numbers, the host never waits inside a run, its memory can run out.

``make gpu`` runs these tests on a machine with a GPU; elsewhere they are skipped.
"""

from typing import Any

import pytest
import torch

from hpo.errors import OutOfMemory
from hpo.estimators.reverse import Reverse
from hpo.study import Study
from hpo.training.machine_speed import measure_speed
from hpo.training.memory import allocation_failures_named
from hpo.training.problem import silent
from windtunnel.types import JobSpec

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")]

CASES: dict[str, dict[str, Any]] = {
    "mlp": {"task": "digits", "model": {"width": 16, "depth": 2, "activation": "tanh"}, "regularization": {"dropout": 0.1}},
    "resnet": {"task": "digits", "model": {"family": "resnet", "width": 8, "depth": 1, "activation": "tanh"}},
    "transformer": {"task": "python-text", "model": {"family": "transformer", "width": 16, "depth": 1}},
}


def study(name: str, device: str, dtype: torch.dtype = torch.float64) -> Study:
    inner = {"steps": 50, "batch_size": 8, "seeds": 2}
    optimizer = {"learning_rate": 0.001}
    return Study(
        JobSpec.model_validate({**CASES[name], "inner": inner, "optimizer": optimizer}), dtype=dtype, device=device
    )


@pytest.mark.parametrize("name", CASES)
def test_fifty_steps_and_their_hypergradient_are_those_of_the_cpu(name: str) -> None:
    found = []
    for device in ("cpu", "cuda"):
        problem = study(name, device).problem
        points = problem.space.start().expand(2, -1)
        found.append(Reverse("sqrt", "exact").estimate(problem, points, problem.draw([(0, 0), (0, 1)])))
    here, there = found
    torch.testing.assert_close(there.value, here.value, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(there.gradient, here.gradient, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", CASES)
def test_the_host_waits_for_nothing_inside_a_run(name: str) -> None:
    problem = study(name, "cuda", torch.float32).problem
    draw, table = problem.draw([(0, 0), (0, 1)]), problem.coefficients(problem.space.start().expand(2, -1)).detached()
    with torch.no_grad():
        state = problem.initial(draw, table)
    problem.reach(state, table, draw, 0, 2, silent)  # the first one loads kernels
    torch.cuda.set_sync_debug_mode("error")
    try:
        problem.reach(state, table, draw, 0, 10, silent)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_memory_that_runs_out_is_the_error_that_halves_a_population() -> None:
    spec = JobSpec.model_validate({"task": "digits"})
    with pytest.raises(OutOfMemory), allocation_failures_named(spec):
        torch.empty(2**46, device="cuda")


def test_its_speed_is_measured_to_the_end_of_its_work() -> None:
    speed = measure_speed(device=torch.device("cuda"))
    # More than a core has, less than any GPU of today.
    assert 1e12 < speed.flops_per_second < 1e16 and 1e11 < speed.bytes_per_second < 1e14
