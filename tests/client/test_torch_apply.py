"""``windtunnel.torch`` on modules of one's own: weights, multipliers, groups, schedules, and errors that say what to do."""

import copy
import math
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

import windtunnel.torch
from windtunnel.torch import PlanMismatch
from windtunnel.types import LossEstimate, ModelSpec, Provenance, TensorRow, TransferPlan

FEATURES, CLASSES, WIDTH = 6, 3, 32
MULTIPLIER = 0.125


def plan(**changes: Any) -> TransferPlan:
    """A plan of width 32 and depth 2, every tensor with settings of its own where they may differ."""
    eps = None if changes.get("optimizer") == "sgd" else 1e-9
    shapes = {
        "layers.0.weight": ("input", [WIDTH, FEATURES], 0.5, 0.02, 0.1),
        "layers.0.bias": ("vector", [WIDTH], 0.0, 0.04, 0.0),
        "layers.1.weight": ("hidden", [WIDTH, WIDTH], 0.2, 0.01, 0.4),
        "layers.1.bias": ("vector", [WIDTH], 0.0, 0.04, 0.0),
        "readout.weight": ("output", [CLASSES, WIDTH], 0.0, 0.02, 0.1),
        "readout.bias": ("scalar", [CLASSES], 0.0, 0.05, 0.0),
    }
    rows = [
        TensorRow(
            name=name,
            shape=shape,
            role=role,
            init="normal" if std else "zeros",
            init_std=std,
            learning_rate=rate,
            weight_decay=decay,
            eps=eps,
            multiplier=MULTIPLIER if role == "output" else 1.0,
        )
        for name, (role, shape, std, rate, decay) in shapes.items()
    ]
    fields: dict[str, Any] = {
        "id": "plan_test",
        "job_id": "job_test",
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        "task": "digits",
        "parametrization": "mup",
        "model": ModelSpec(width=4),
        "width": WIDTH,
        "depth": 2,
        "steps": 20,
        "batch_size": 16,
        "width_ratio": 8.0,
        "features": FEATURES,
        "classes": CLASSES,
        "optimizer": "adamw",
        "decay": "decoupled",
        "momentum": None,
        "beta1": 0.8,
        "beta2": 0.95,
        "clip_norm": None,
        "schedule": {"name": "cosine", "warmup_fraction": 0.125, "floor": 0.1},
        "roles": [],
        "tensors": rows,
        "parameters": sum(math.prod(row.shape) for row in rows),
        "hyperparameters": {},
        "proxy_validation": LossEstimate(mean=0.2, stderr=0.01, seeds=8),
        "tuning_share": 0.1,
        "assumptions": [],
        "not_covered": [],
        "coordinate_check": None,
        "forced": False,
        "provenance": Provenance(spec_sha256="0", data_sha256="0", versions={}, threads=1, seed=3),
    }
    return TransferPlan.model_validate(fields | changes)


class Net(nn.Module):
    """Somebody's own model, with the plan's names."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(FEATURES, width), nn.Linear(width, width)])
        self.readout = nn.Linear(width, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = inputs
        for layer in self.layers:
            hidden = torch.relu(layer(hidden))
        logits: Tensor = self.readout(hidden)
        return logits


def data() -> tuple[Tensor, Tensor]:
    inputs = torch.randn(16, FEATURES, generator=torch.Generator().manual_seed(0))
    return inputs, torch.arange(16) % CLASSES


def take_step(model: nn.Module, optimizer: torch.optim.Optimizer, scale: float = 1.0) -> None:
    inputs, labels = data()
    optimizer.zero_grad()
    (scale * functional.cross_entropy(model(inputs), labels)).backward()
    optimizer.step()


def parameters_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def test_weights_are_drawn_as_planned_and_by_the_seed() -> None:
    model, other = Net(), Net()
    windtunnel.torch.apply(model, plan())
    windtunnel.torch.apply(other, plan(), seed=3)
    found, same = parameters_of(model), parameters_of(other)
    assert all(torch.equal(found[name], same[name]) for name in found)
    assert found["layers.1.weight"].std().item() == pytest.approx(0.2, rel=0.1)
    assert {name for name, tensor in found.items() if not tensor.any()} == {
        "layers.0.bias", "layers.1.bias", "readout.weight", "readout.bias",
    }  # fmt: skip
    windtunnel.torch.apply(other, plan(), generator=torch.Generator().manual_seed(4))
    assert not torch.equal(found["layers.0.weight"], parameters_of(other)["layers.0.weight"])
    with pytest.raises(ValueError, match="not both"):
        windtunnel.torch.apply(model, plan(), seed=1, generator=torch.Generator())


def test_the_multiplier_acts_on_the_weight_and_its_gradient_and_not_on_the_bias() -> None:
    model = Net()
    windtunnel.torch.apply(model, plan())
    inputs, labels = data()
    with torch.no_grad():
        model.readout.weight.normal_(generator=torch.Generator().manual_seed(1))
        model.readout.bias.fill_(0.7)
    scaled = {name: tensor.requires_grad_() for name, tensor in parameters_of(model).items()}
    plain = functional_call(Net(), scaled | {"readout.weight": scaled["readout.weight"] * MULTIPLIER}, (inputs,))
    assert torch.allclose(model(inputs), plain, rtol=1e-5)
    functional.cross_entropy(model(inputs), labels).backward()
    functional.cross_entropy(plain, labels).backward()
    for name, parameter in model.named_parameters():
        assert torch.allclose(parameter.grad, scaled[name].grad, rtol=1e-4, atol=1e-8), name


def test_applying_twice_does_not_multiply_twice_nor_does_applying_to_a_copy() -> None:
    model = Net()
    windtunnel.torch.apply(model, plan())
    once = model.readout._forward_pre_hooks.copy()
    twin = copy.deepcopy(model)
    windtunnel.torch.apply(model, plan())
    windtunnel.torch.apply(twin, plan())
    inputs, _ = data()
    with torch.no_grad():
        for each in (model, twin):
            each.readout.weight.fill_(1.0)
        assert torch.equal(model(inputs), twin(inputs))
        hidden = torch.relu(model.layers[1](torch.relu(model.layers[0](inputs))))
        assert torch.allclose(model(inputs)[:, 0], MULTIPLIER * hidden.sum(dim=1), rtol=1e-5)
        assert torch.equal(model.readout(input=hidden), model.readout(hidden))
    assert len(once) == len(model.readout._forward_pre_hooks) == 1


def test_a_plan_without_multiplier_takes_an_earlier_one_off() -> None:
    model = Net()
    windtunnel.torch.apply(model, plan())
    rows = [row.model_copy(update={"multiplier": 1.0}) for row in plan().tensors]
    windtunnel.torch.apply(model, plan().model_copy(update={"tensors": rows}))
    assert not model.readout._forward_pre_hooks


@pytest.mark.parametrize("build", [torch.optim.Adam, torch.optim.AdamW])
def test_groups_carry_every_setting_whichever_adam_they_are_given_to(build) -> None:
    model = Net()
    optimizer = build(windtunnel.torch.apply(model, plan()))
    by_tensor = {name: group for group in optimizer.param_groups for name in group["tensors"]}
    for row in plan().tensors:
        group = by_tensor[row.name]
        assert (group["lr"], group["weight_decay"], group["eps"]) == (row.learning_rate, row.weight_decay, 1e-9)
        assert (group["betas"], group["decoupled_weight_decay"]) == ((0.8, 0.95), True)
    before = parameters_of(model)["layers.1.weight"]
    model.layers[1].weight.grad = torch.zeros(WIDTH, WIDTH)
    optimizer.step()
    assert torch.allclose(model.layers[1].weight, before * (1 - 0.01 * 0.4))


def shrinkage(applied: TransferPlan, steps: int = 3) -> list[float]:
    """Factor on layers.1.weight in each step when its gradient is zero."""
    model = Net()
    optimizer = windtunnel.torch.optimizer(model, applied)
    schedule = windtunnel.torch.schedule(optimizer, applied)
    factors = []
    for _ in range(steps):
        before = model.layers[1].weight.detach().clone()
        model.layers[1].weight.grad = torch.zeros(WIDTH, WIDTH)
        optimizer.step()
        schedule.step()
        factors.append((model.layers[1].weight.detach() / before).mean().item())
    return factors


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_decoupled_and_independent_decay_follow_the_schedule(optimizer: str) -> None:
    """Warmup over 2.5 steps: multipliers .4, .8, then just below 1; lr .01, lambda .4."""
    fields: dict[str, Any] = {"optimizer": optimizer, "momentum": 0.9 if optimizer == "sgd" else None}
    multipliers = [windtunnel.torch.multiplier(plan(), step) for step in range(3)]
    assert multipliers[:2] == [0.4, 0.8]
    decoupled = shrinkage(plan(**fields, decay="decoupled"))
    assert decoupled == pytest.approx([1 - s * 0.01 * 0.4 for s in multipliers], abs=1e-6)
    independent = shrinkage(plan(**fields, decay="independent"))
    assert independent == pytest.approx([1 - s * 0.4 for s in multipliers], abs=1e-6)


def test_decoupled_sgd_keeps_the_decay_out_of_the_momentum() -> None:
    """With a zero gradient the momentum of L2 goes on pulling; that of decoupled decay has nothing to pull."""
    fields = {"optimizer": "sgd", "momentum": 0.9, "schedule": {"name": "constant"}}
    assert shrinkage(plan(**fields, decay="decoupled")) == pytest.approx([0.996] * 3, abs=1e-6)
    assert shrinkage(plan(**fields, decay="l2"))[2] < 0.99


def test_plain_sgd_groups_refuse_a_decay_that_sgd_does_not_have() -> None:
    model = Net()
    before = parameters_of(model)
    with pytest.raises(PlanMismatch, match=r"use windtunnel.torch.optimizer\(model, plan\)"):
        windtunnel.torch.apply(model, plan(optimizer="sgd", momentum=0.9, decay="decoupled"))
    assert all(torch.equal(tensor, before[name]) for name, tensor in parameters_of(model).items())
    groups = windtunnel.torch.apply(model, plan(optimizer="sgd", momentum=0.9, decay="l2"))
    optimizer = torch.optim.SGD(groups)
    assert {group["momentum"] for group in optimizer.param_groups} == {0.9}
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0, 0.1, 0.4}


def test_the_optimizer_is_the_plans_and_clips_by_its_norm() -> None:
    model = Net()
    optimizer = windtunnel.torch.optimizer(model, plan(optimizer="sgd", decay="l2", momentum=0.0, clip_norm=0.5))
    assert type(optimizer) is torch.optim.SGD
    take_step(model, optimizer, scale=1000.0)
    norm = torch.cat([parameter.grad.flatten() for parameter in model.parameters()]).norm()
    assert norm.item() == pytest.approx(0.5, rel=1e-4)
    assert type(windtunnel.torch.optimizer(Net(), plan())) is torch.optim.AdamW
    assert type(windtunnel.torch.optimizer(Net(), plan(optimizer="adam"))) is torch.optim.Adam
    with pytest.raises(TypeError, match="takes no closure"):
        optimizer.step(lambda: 0.0)


def test_a_run_goes_on_from_a_checkpoint_bit_for_bit() -> None:
    applied = plan(clip_norm=0.5)
    model = Net()
    optimizer = windtunnel.torch.optimizer(model, applied)
    schedule = windtunnel.torch.schedule(optimizer, applied)

    def steps(model: nn.Module, optimizer: torch.optim.Optimizer, schedule: Any) -> None:
        for _ in range(4):
            take_step(model, optimizer)
            schedule.step()

    steps(model, optimizer, schedule)
    saved = copy.deepcopy([part.state_dict() for part in (model, optimizer, schedule)])
    steps(model, optimizer, schedule)

    resumed = Net()
    again = windtunnel.torch.optimizer(resumed, applied, seed=99)
    clock = windtunnel.torch.schedule(again, applied)
    for part, state in zip((resumed, again, clock), saved, strict=True):
        part.load_state_dict(state)
    steps(resumed, again, clock)
    expected = parameters_of(model)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in parameters_of(resumed).items())


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({"name": "constant"}, {0: 1.0, 19: 1.0}),
        ({"name": "warmup", "warmup_fraction": 0.2}, {0: 0.25, 3: 1.0, 19: 1.0}),
        ({"name": "warmup", "warmup_fraction": 0.01}, {0: 1.0}),
        ({"name": "cosine", "warmup_fraction": 0.2, "floor": 0.1}, {0: 0.25, 3: 1.0, 11: 0.55, 19: 0.1, 100: 0.1}),
        ({"name": "cosine", "warmup_fraction": 0.0, "floor": 0.0}, {9: 0.5, 19: 0.0}),
    ],
)
def test_schedules_follow_their_formula(schedule: dict[str, Any], expected: dict[int, float]) -> None:
    found = {step: windtunnel.torch.multiplier(plan(schedule=schedule), step) for step in expected}
    assert found == pytest.approx(expected, abs=1e-12)


def test_every_group_keeps_its_own_peak_under_the_schedule() -> None:
    model = Net()
    optimizer = windtunnel.torch.optimizer(model, plan())
    schedule = windtunnel.torch.schedule(optimizer, plan())
    peaks = [group["initial_lr"] for group in optimizer.param_groups]
    for step in range(20):
        s = windtunnel.torch.multiplier(plan(), step)
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([peak * s for peak in peaks])
        take_step(model, optimizer)
        schedule.step()


def test_a_model_of_another_shape_is_told_every_difference_and_left_alone() -> None:
    class Other(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(FEATURES, 16)])
            self.readout = nn.Linear(WIDTH, CLASSES, bias=False)
            self.norm = nn.LayerNorm(16)

    model = Other()
    before = parameters_of(model)
    with pytest.raises(PlanMismatch) as mismatch:
        windtunnel.torch.apply(model, plan())
    text = str(mismatch.value)
    assert "width 32, depth 2, 6 features, 3 classes" in text
    assert "the model lacks: layers.1.weight [32, 32], layers.1.bias [32], readout.bias [3]" in text
    assert "the plan does not know: norm.weight [16], norm.bias [16]" in text
    assert "layers.0.weight is [16, 6] in the model, [32, 6] in the plan" in text
    assert "Build the model at the plan's size" in text
    assert all(torch.equal(tensor, before[name]) for name, tensor in parameters_of(model).items())
    assert not model.readout._forward_pre_hooks


def test_a_readout_that_is_no_linear_layer_is_named() -> None:
    class Bare(Net):
        def __init__(self) -> None:
            super().__init__()
            self.readout = nn.Module()
            self.readout.weight = nn.Parameter(torch.ones(CLASSES, WIDTH))
            self.readout.bias = nn.Parameter(torch.ones(CLASSES))

    with pytest.raises(PlanMismatch, match=r"readout\.weight has forward multiplier 0\.125, .* belongs to a Module"):
        windtunnel.torch.apply(Bare(), plan())


def test_a_model_without_storage_is_refused() -> None:
    with torch.device("meta"):
        model = Net()
    with pytest.raises(PlanMismatch, match="to_empty"):
        windtunnel.torch.apply(model, plan())


def test_it_needs_torch_and_the_wire_types_only() -> None:
    code = (
        "import sys, windtunnel.torch\n"
        "bad = {'hpo', 'store', 'service', 'workers', 'sqlalchemy', 'fastapi'} & set(sys.modules)\n"
        "sys.exit(f'imported {bad}' if bad else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
