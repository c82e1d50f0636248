"""Muon, as a user meets it: a served job tunes every part of it by gradient, and its plan is shown, exported and flown."""

from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR
from typer.testing import CliRunner

import windtunnel.torch
from hpo.families.registry import build
from windtunnel import Client, ValidationFailed
from windtunnel.cli.app import app
from windtunnel.tasks import TASKS

SEARCH = [{"name": "learning_rate", "scope": "role"}, *({"name": name} for name in ("momentum", "beta2", "weight_decay"))]
OPTIMIZER = {"name": "muon", "weight_decay": 0.1, "adjust_lr_fn": "original", "ns_steps": 4}
JOB: dict[str, Any] = {
    "task": "breast-cancer",
    "model": {"width": 8, "depth": 2},
    "optimizer": OPTIMIZER,
    "inner": {"steps": 8, "batch_size": 16, "seeds": 2},
    "search": SEARCH,
    "method": {"estimator": "reverse"},
    "outer": {"steps": 2, "finish_seeds": 2},
}


def test_a_served_job_tunes_it_and_its_plan_is_flown(tmp_path: Path) -> None:
    with Client.local(tmp_path) as client:
        with pytest.raises(ValidationFailed, match="no option of optimizer 'adamw'; allowed: none"):
            client.jobs.create(**JOB | {"optimizer": {"name": "adamw", "ns_steps": 4}})
        result = client.jobs.create(**JOB).wait()
        assert all(point.passed for point in result.certificate.points)
        assert {"learning_rate.hidden", "momentum", "beta2"} <= {*result.best.hyperparameters}
        plan = result.plan(width=32, force=True)
        page = httpx.get(f"{client.base_url}/plans/{plan.id}").text
        assert "<code>ns_steps</code></dt><dd>4<" in page and "adjust_lr_fn" in page
        told = CliRunner().invoke(app, ["plan", plan.id, "--url", client.base_url])
        sources = {name: plan.to(name) for name in ("torch", "huggingface", "optax")}
        with pytest.raises(ValidationFailed, match="nanoGPT"):
            plan.to("nanogpt")
    assert told.exit_code == 0 and "ns_steps 4" in " ".join(told.output.split()), told.output
    assert plan.optimizer_options == {"nesterov": True, "ns_steps": 4, "adjust_lr_fn": "original"}
    hidden = next(row for row in plan.roles if row.role == "hidden")
    assert hidden.formulas["learning_rate"] == "eta" and "eps" not in hidden.formulas
    assert hidden.learning_rate == hidden.base_learning_rate
    assert "class Muon(Optimizer):" in sources["torch"] and "adam_beta1" in sources["huggingface"]
    assert "muon(" in sources["optax"]
    fly(plan, sources["torch"])


def fly(plan: Any, source: str) -> None:
    """Trains by the exported file and by ``windtunnel.torch``, which goes on from a saved state in the middle."""
    file: dict[str, Any] = {}
    exec(compile(source, "plan.py", "exec"), file)
    model, inputs = file["build_model"](), torch.randn(64, 30, generator=torch.Generator().manual_seed(0))
    labels = (inputs.sum(1) > 0).long()
    file["initialise"](model)
    update = file["optimizer"](model)
    clock = file["scheduler"](update)
    losses = [file["train_step"](model, update, clock, inputs, labels) for _ in range(6)]
    assert losses[-1] < losses[0]

    def started() -> tuple[torch.nn.Module, torch.optim.Optimizer, LambdaLR]:
        built = build(plan.model.model_copy(update={"width": plan.width}), TASKS[plan.task])
        made = windtunnel.torch.optimizer(built, plan)
        return built, made, windtunnel.torch.schedule(made, plan)

    second, again, schedule = started()
    assert type(again).__name__ == type(update).__name__ == "Muon"
    assert [group["matrix"] for group in again.param_groups].count(True) == 1
    ours = []
    for step in range(6):
        if step == 3:
            kept = (second.state_dict(), again.state_dict(), schedule.state_dict())
            second, again, schedule = started()
            for part, state in zip((second, again, schedule), kept, strict=True):
                part.load_state_dict(state)
        again.zero_grad()
        loss = torch.nn.functional.cross_entropy(second(inputs), labels)
        loss.backward()
        again.step()
        schedule.step()
        ours.append(loss.item())
    assert ours == pytest.approx(losses, rel=1e-5)
