"""Schedules reach the large run: through the plan, ``windtunnel.torch`` and the exported file, with the same numbers."""

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch

import windtunnel.torch
from hpo.exports.registry import export
from hpo.schedules import multipliers
from windtunnel.types import SCHEDULES, GPT3Schedule, KnotsSchedule, TransferPlan

ASKED: list[dict[str, Any]] = [
    *({"name": name} for name in SCHEDULES),
    {"name": "cosine-restarts", "cycle_length": 0.1, "cycle_multiplier": 2, "decay_gamma": 0.5},
    {"name": "warmup-stable-decay", "decay_shape": "1-sqrt"},
    {"name": "gpt3", "warmup_tokens": 640, "decay_tokens": 20_000},
]


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_the_exported_file_and_windtunnel_torch_give_the_multipliers_of_the_tuning(
    finish, plan_of, tmp_path: Path, asked: dict[str, Any]
) -> None:
    plan = plan_of(finish({"schedule": asked}), width=128, steps=777)
    file = tmp_path / "plan.py"
    file.write_text(export(plan, "torch"))
    module = runpy.run_path(str(file))
    like = torch.zeros(1, 1, dtype=torch.float64)
    expected = multipliers(plan.schedule, 777, {}, like, plan.tokens_per_step)[:, 0].tolist()
    assert [windtunnel.torch.multiplier(plan, step) for step in range(777)] == pytest.approx(expected, abs=1e-12)
    # After the end, too.
    for step in (0, 1, 100, 776, 777, 2000):
        assert module["multiplier"](step) == windtunnel.torch.multiplier(plan, step)


def test_the_scheduler_of_torch_multiplies_each_groups_own_peak(finish, plan_of) -> None:
    plan: TransferPlan = plan_of(finish({"schedule": {"name": "step", "warmup_fraction": 0}}), width=128, steps=8)
    update = torch.optim.SGD([{"params": [torch.zeros(1)], "lr": peak} for peak in (1.0, 0.1)])
    schedule = windtunnel.torch.schedule(update, plan)
    rates = []
    for _ in range(8):
        rates.append([group["lr"] for group in update.param_groups])
        update.step()
        schedule.step()
    assert [first for first, _ in rates] == pytest.approx([1, 1, 0.3, 0.3, 0.09, 0.09, 0.027, 0.027])
    assert [second * 10 for _, second in rates] == pytest.approx([first for first, _ in rates])


def test_tuned_knots_land_in_the_plan(finish, plan_of) -> None:
    tuned = {"knot.0": 0.9, "knot.1": 1.4, "knot.2": 0.02, "warmup_fraction": 0.12}
    plan = plan_of(finish({"schedule": {"name": "knots", "knots": [1, 1, 1]}}, tuned), width=128)
    assert plan.schedule == KnotsSchedule(knots=(0.9, 1.4, 0.02), warmup_fraction=0.12)
    carried = {item.quantity: item for item in plan.assumptions}
    assert carried["knot"].value is None and carried["warmup_fraction"].value == 0.12


def test_token_counts_are_not_stretched_and_the_plan_says_so(finish, plan_of) -> None:
    schedule = {"name": "gpt3", "warmup_tokens": 640, "decay_tokens": 10_000}
    plan = plan_of(finish({"schedule": schedule}), width=128, steps=5000)
    assert plan.schedule == GPT3Schedule(**schedule) and plan.tokens_per_step == 64
    assert windtunnel.torch.multiplier(plan, 9) == 1
    assert windtunnel.torch.multiplier(plan, 160) == pytest.approx(0.1)
    steps = next(item for item in plan.assumptions if item.quantity == "steps")
    assert "counts tokens and is not stretched from 200 to 5000 steps" in steps.assumption
    assert steps.formula == "schedule(step * batch_size * context)"
