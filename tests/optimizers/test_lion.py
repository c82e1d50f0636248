"""Lion, as a user meets it: its formula, its coordinate check, a served job, plans and exports, and what it refuses."""

from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from typer.testing import CliRunner

import windtunnel.torch
from hpo.evidence.coordcheck import coordinate_check
from windtunnel import Client, ValidationFailed
from windtunnel.cli.app import app
from windtunnel.torch.optimizers.lion import Lion
from windtunnel.types import JobSpec

JOB: dict[str, Any] = {
    "task": "breast-cancer",
    "model": {"width": 8, "depth": 2},
    "optimizer": {"name": "lion", "learning_rate": 0.003, "weight_decay": 0.1},
    "inner": {"steps": 8, "batch_size": 16, "seeds": 2},
    "outer": {"steps": 2, "finish_seeds": 2},
}


def test_its_step_is_that_of_the_paper() -> None:
    """By hand, with beta1 1/2 and beta2 3/4: the first step goes against the gradient; the second remembers it."""
    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0, 4.0], dtype=torch.float64))
    optimizer = Lion([weight], lr=0.25, betas=(0.5, 0.75), weight_decay=0.5)
    weight.grad = torch.tensor([8.0, -8.0, 0.0], dtype=torch.float64)
    optimizer.step()
    shrunk = 1 - 0.25 * 0.5
    assert weight.tolist() == [shrunk - 0.25, -2 * shrunk + 0.25, 4 * shrunk]
    # m = g / 4 = (2, -2, 0); a gradient of the other sign and half of m's size leaves the direction.
    weight.grad = torch.tensor([-1.0, 4.0, 1.0], dtype=torch.float64)
    before = weight.detach().clone()
    optimizer.step()
    assert (weight - shrunk * before).tolist() == [-0.25, -0.25, -0.25]


def test_its_coordinates_stay_under_mup_and_grow_under_the_standard_parametrization() -> None:
    spec = {"task": "digits", "optimizer": {"name": "lion"}}
    mup = coordinate_check(JobSpec.model_validate(spec), {}, [64, 128, 256], seeds=3)
    assert mup.verdict == "pass", mup.reasons
    standard = coordinate_check(
        JobSpec.model_validate({**spec, "parametrization": "standard"}), {}, [64, 128, 256], seeds=3
    )
    assert standard.verdict == "fail"


def test_a_served_job_tunes_it_and_its_plan_is_flown(tmp_path: Path) -> None:
    with Client.local(tmp_path) as client:
        with pytest.raises(ValidationFailed, match="its update is a sign, which has no slope") as refused:
            client.jobs.create(**JOB, method={"estimator": "reverse"})
        assert "use an estimator that does not (auto, implicit, es, pes, finite_difference" in str(refused.value)
        page = httpx.get(f"{client.base_url}/").text
        assert "lion" in page
        jobs = {name: client.jobs.create(**JOB, method={"estimator": name}) for name in ("auto", "pes")}
        results = {name: job.wait() for name, job in jobs.items()}
        assert all(result.certificate is None for result in results.values())
        assert "its sampler alone" in results["auto"].estimator.reason
        assert results["pes"].estimator.estimator == "pes"
        plan = results["pes"].plan(width=32, force=True)
        assert plan.optimizer == "lion" and plan.beta2 == 0.99
        source = plan.to("torch")
        optax = plan.to("optax")
    assert "class Lion(Optimizer):" in source and "windtunnel." not in source.split('"""')[2]
    assert "optax.scale_by_lion(b1=0.9, b2=0.99)" in optax
    file: dict[str, Any] = {}
    exec(compile(source, "plan.py", "exec"), file)
    model = file["build_model"]()
    assert type(windtunnel.torch.optimizer(model, plan)).__name__ == type(file["optimizer"](model)).__name__ == "Lion"


def test_the_command_line_estimates_it_and_says_why_a_gradient_cannot_tune_it(tmp_path: Path) -> None:
    with Client.local(tmp_path) as client:
        command = ["--url", client.base_url]
        told = CliRunner().invoke(app, ["estimate", "--task", "digits", "--set", "optimizer.name=lion", *command])
        assert told.exit_code == 0, told.output
        refused = CliRunner().invoke(
            app,
            ["estimate", "--task", "digits", "--set", "optimizer.name=lion", "--set", "method.estimator=forward", *command],
        )
        assert refused.exit_code != 0 and "which has no slope" in " ".join(refused.output.split())
