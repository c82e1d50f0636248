"""The optax file in a process of its own, with real JAX: steps and losses of the torch file, and every schedule."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hpo.exports.registry import export
from hpo.tasks import load
from windtunnel import schedules
from windtunnel.types import SCHEDULES, TransferPlan

# Three parts, all in float64 but for one case: the same gradients as torch, a model of one's own, all schedules.
LOOP = """
import json, runpy, sys
import numpy as np
import jax
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
import optax

cases = json.load(open("cases.json"))
found = {}
for name in cases["steps"]:
    file, given = runpy.run_path(f"{name}.py"), np.load(f"{name}.npz")
    dtype = jnp.float32 if name == "single" else jnp.float64
    params = {tensor: jnp.asarray(given[f"start {tensor}"], dtype) for tensor in file["TENSORS"]}
    update = file["optimizer"]()
    state = update.init(params)
    step = jax.jit(lambda gradients, state, params: update.update(gradients, state, params))
    for index in range(cases["count"]):
        gradients = {tensor: jnp.asarray(given[f"gradient {index} {tensor}"], dtype) for tensor in file["TENSORS"]}
        changes, state = step(gradients, state, params)
        params = optax.apply_updates(params, changes)
    np.savez(f"{name}_end.npz", **{tensor: np.asarray(value) for tensor, value in params.items()})

file, given = runpy.run_path("trained.py"), np.load("trained.npz")
params = {tensor: jnp.asarray(given[f"start {tensor}"]) for tensor in file["TENSORS"]}
update = file["optimizer"]()
state = update.init(params)

def loss(params, inputs, labels, step):
    used = file["effective"](params)
    hidden = inputs
    for layer in ("layers.0", "layers.1"):
        hidden = jax.nn.relu(hidden @ used[f"{layer}.weight"].T + used[f"{layer}.bias"])
    logits = hidden @ used["readout.weight"].T + used["readout.bias"]
    cross_entropy = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
    return cross_entropy + file["penalty"](params, step)

@jax.jit
def train_step(params, state, inputs, labels, step):
    value, gradients = jax.value_and_grad(loss)(params, inputs, labels, step)
    changes, state = update.update(gradients, state, params)
    return optax.apply_updates(params, changes), state, value

found["losses"] = []
for index in range(cases["count"]):
    params, state, value = train_step(params, state, given[f"inputs {index}"], given[f"labels {index}"], index)
    found["losses"].append(float(value))

drawn = jax.jit(file["initialise"])(jax.random.key(1))
found["drawn"] = {tensor: [float(value.std()), list(value.shape), str(value.dtype)] for tensor, value in drawn.items()}

found["schedules"] = []
for number in range(cases["schedules"]):
    file = runpy.run_path(f"schedule_{number}.py")
    found["schedules"].append(jax.jit(jax.vmap(file["multiplier"]))(jnp.arange(file["STEPS"] + 3)).tolist())
assert "windtunnel" not in sys.modules and "hpo" not in sys.modules and "torch" not in sys.modules
print("FOUND" + json.dumps(found))
"""

COUNT, STEPS = 5, 97
CASES: dict[str, tuple[dict[str, Any], dict[str, float]]] = {
    "adamw": ({"optimizer": {"clip_norm": None}}, {"learning_rate.hidden": 0.02, "weight_decay": 0.3, "eps": 1e-4}),
    "independent": ({"optimizer": {"decay": "independent", "clip_norm": None}}, {"weight_decay": 0.05}),
    "decoupled_adam": ({"optimizer": {"name": "adam", "decay": "decoupled", "clip_norm": None}}, {"weight_decay": 0.3}),
    "l2_adam": ({"optimizer": {"name": "adam", "clip_norm": None}}, {"weight_decay": 0.3}),
    "sgd": ({"optimizer": {"name": "sgd", "clip_norm": None}}, {"learning_rate": 0.1, "weight_decay": 0.3}),
    "decoupled_sgd": (
        {"optimizer": {"name": "sgd", "decay": "decoupled", "clip_norm": None, "momentum": 0.0}},
        {"learning_rate": 0.1, "weight_decay": 0.3},
    ),
    "single": ({"optimizer": {"clip_norm": None}}, {"learning_rate.hidden": 0.02}),
    "clipped": ({"optimizer": {"name": "sgd", "clip_norm": 0.5}}, {"learning_rate": 0.1}),
}
# torch adds 1e-6 to the norm that it clips by, optax does not; float32 has seven digits.
TOLERANCE = {"clipped": 3e-6, "single": 1e-5}

ASKED: list[dict[str, Any]] = [
    *({"name": name} for name in SCHEDULES),
    {"name": "cosine", "warmup_fraction": 0.0},
    {"name": "cosine-restarts", "cycle_length": 0.1, "cycle_multiplier": 2, "decay_gamma": 0.5},
    {"name": "warmup-stable-decay", "decay_shape": "1-sqrt"},
    {"name": "gpt3", "warmup_tokens": 640, "decay_tokens": 5_000},
]


def torch_steps(plan: TransferPlan, folder: Path, name: str) -> dict[str, np.ndarray[Any, Any]]:
    """Write start and gradients of a few steps; return the tensors after them as the torch file's optimizer makes them."""
    file: dict[str, Any] = {"__name__": "plan"}
    exec(compile(export(plan, "torch"), "plan.py", "exec"), file)
    model = file["build_model"]()
    file["initialise"](model, 7)
    model = model.float() if name == "single" else model.double()
    update = file["optimizer"](model)
    clock = file["scheduler"](update)
    tensors = dict(model.named_parameters())
    saved = {f"start {tensor}": value.detach().numpy().copy() for tensor, value in tensors.items()}
    generator = torch.Generator().manual_seed(3)
    for index in range(COUNT):
        for tensor, value in tensors.items():
            value.grad = torch.randn(value.shape, generator=generator, dtype=value.dtype) / 30
            saved[f"gradient {index} {tensor}"] = value.grad.numpy().copy()
        if plan.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), plan.clip_norm)
        update.step()
        clock.step()
    np.savez(folder / f"{name}.npz", **saved)
    return {tensor: value.detach().numpy() for tensor, value in tensors.items()}


def torch_losses(plan: TransferPlan, folder: Path) -> list[float]:
    """Write start and batches of a short run; return its losses in the torch file, in float64."""
    file: dict[str, Any] = {"__name__": "plan"}
    exec(compile(export(plan, "torch"), "plan.py", "exec"), file)
    model = file["build_model"]()
    file["initialise"](model, 7)
    model = model.double()
    update = file["optimizer"](model)
    clock = file["scheduler"](update)
    saved = {f"start {name}": value.detach().numpy().copy() for name, value in model.named_parameters()}
    train, losses = load("digits").train, []
    for index in range(COUNT):
        inputs, labels = (part[32 * index : 32 * index + 32] for part in (train.inputs.double(), train.labels))
        saved |= {f"inputs {index}": inputs.numpy(), f"labels {index}": labels.numpy()}
        losses.append(file["train_step"](model, update, clock, inputs, labels))
    np.savez(folder / "trained.npz", **saved)
    return losses


@pytest.fixture(scope="module")
def both(finish, plan_of, needs, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What torch found here, and what JAX found in one fresh process."""
    needs("jax", "optax")
    folder: Path = tmp_path_factory.mktemp("optax")
    ends, plans = {}, {}
    for name, (fields, tuned) in CASES.items():
        # L2 inside Adam has no rule for another width than the proxy's.
        plan = plan_of(finish({"model": {"width": 16}} | fields, tuned), width=16 if name == "l2_adam" else 64, steps=8)
        (folder / f"{name}.py").write_text(export(plan, "optax"))
        ends[name] = torch_steps(plan, folder, name)
    fields = {"model": {"width": 16}, "optimizer": {"name": "sgd", "clip_norm": None}}
    lines = {"l2": [0.1, 0.3], "l2.input": [0.2, 0.02], "l2.hidden": [0.1, 0.05]}
    fields |= {"search": [{"name": "output_multiplier"}], "regularization": {"schedule": lines}}
    trained = plan_of(finish(fields, {"output_multiplier": 2.0, "learning_rate": 0.1}), width=128, steps=2 * COUNT)
    (folder / "trained.py").write_text(export(trained, "optax"))
    losses = torch_losses(trained, folder)
    for number, asked in enumerate(ASKED):
        plans[number] = plan_of(finish({"schedule": asked}), width=128, steps=STEPS)
        (folder / f"schedule_{number}.py").write_text(export(plans[number], "optax"))
    cases = {"steps": list(CASES), "count": COUNT, "schedules": len(ASKED)}
    (folder / "cases.json").write_text(json.dumps(cases))
    (folder / "loop.py").write_text(LOOP)
    done = subprocess.run([sys.executable, "loop.py"], cwd=folder, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.partition("FOUND")[2])
    jax_ends = {name: dict(np.load(folder / f"{name}_end.npz")) for name in CASES}
    return found | {"torch": ends, "jax": jax_ends, "expected": losses, "plans": plans, "trained": trained}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_same_gradients_move_the_same_parameters_as_far(both, name: str) -> None:
    tolerance = TOLERANCE.get(name, 1e-10)
    for tensor, expected in both["torch"][name].items():
        np.testing.assert_allclose(both["jax"][name][tensor], expected, rtol=tolerance, atol=tolerance, err_msg=tensor)


@pytest.mark.slow
def test_a_model_in_jax_trains_to_the_losses_of_the_torch_file(both) -> None:
    """Multipliers, a penalty that moves, update and schedule together, in float64."""
    assert both["losses"] == pytest.approx(both["expected"], rel=1e-9)
    assert both["losses"][-1] < both["losses"][0]


@pytest.mark.slow
def test_initial_values_have_the_plans_deviations_and_shapes(both) -> None:
    for row in both["trained"].tensors:
        deviation, shape, dtype = both["drawn"][row.name]
        assert (shape, dtype) == (row.shape, "float32")
        # The smallest drawn tensor has 8,192 entries: their deviation is within 4 %.
        assert deviation == pytest.approx(row.init_std, rel=0.04), row.name


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(ASKED)), ids=lambda number: str(ASKED[number]))
def test_every_schedule_is_the_plans_own_under_jit(both, number: int) -> None:
    plan = both["plans"][number]
    expected = [schedules.multiplier(plan.schedule, step, plan.steps, plan.tokens_per_step) for step in range(STEPS + 3)]
    assert both["schedules"][number] == pytest.approx(expected, abs=1e-12)
