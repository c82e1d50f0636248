"""Initial values and multipliers as dictionaries, the run of a transferred plan, and "wider is better"."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import windtunnel.torch
from hpo.evidence.apply import effective, initialise
from hpo.families.facts.mlp import mlp_tensors
from hpo.families.mlp import MLP
from hpo.families.registry import build
from hpo.layout import Layout
from hpo.mup.resolve import resolve
from hpo.mup.rules import base_init_std
from hpo.tasks import load
from hpo.training.problem import InnerProblem
from hpo.training.space import Space
from windtunnel.tasks import TASKS
from windtunnel.types import JobSpec, TransferPlan

WIDTHS = [64, 128, 512]


def losses(plan: TransferPlan, seed: int) -> list[float]:
    """Training loss before each of the plan's steps, in nats, on batches that depend on the seed only."""
    data = load("digits").train
    model = MLP(plan.features, plan.classes, plan.width, plan.depth, plan.model.activation)
    optimizer = windtunnel.torch.optimizer(model, plan, seed=seed)
    schedule = windtunnel.torch.schedule(optimizer, plan)
    generator = torch.Generator().manual_seed(seed)
    found: list[Tensor] = []
    for _ in range(plan.steps):
        index = torch.randint(len(data), (plan.batch_size,), generator=generator)
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(data.inputs[index]), data.labels[index])
        loss.backward()
        optimizer.step()
        schedule.step()
        found.append(loss.detach())
    return torch.stack(found).tolist()


def test_initial_values_have_the_rows_std_and_zeros_stay_zero() -> None:
    spec = JobSpec.model_validate({"task": "digits"})
    rows = resolve(spec, {"init_scale.hidden": 3.0}, mlp_tensors(64, 10, 64, 2), mlp_tensors(64, 10, 256, 2))
    parameters = initialise(rows, torch.Generator().manual_seed(0), torch.float64)
    assert list(parameters) == [row.name for row in rows]
    for row in rows:
        assert list(parameters[row.name].shape) == row.shape
        # 16,384 samples or more: their std is within 3 %.
        assert parameters[row.name].std().item() == pytest.approx(row.init_std, rel=0.03), row.name
    again = initialise(rows, torch.Generator().manual_seed(0), torch.float64)
    assert all(torch.equal(parameters[name], again[name]) for name in parameters)


def test_only_the_readout_is_multiplied_and_its_gradient_with_it() -> None:
    spec = JobSpec.model_validate({"task": "digits"})
    rows = resolve(spec, {}, mlp_tensors(64, 10, 64, 2), mlp_tensors(64, 10, 256, 2))
    parameters = initialise(rows, torch.Generator().manual_seed(0))
    readout = torch.ones(10, 256, requires_grad=True)
    used = effective({**parameters, "readout.weight": readout}, rows)
    used["readout.weight"].sum().backward()
    assert torch.equal(used["readout.weight"], torch.full((10, 256), 0.25))
    assert torch.equal(readout.grad, torch.full((10, 256), 0.25))
    assert all(used[name] is parameters[name] for name in parameters if name != "readout.weight")


@pytest.mark.parametrize(("optimizer", "learning_rate"), [("adamw", 0.002), ("sgd", 0.02)])
def test_wider_is_better_under_mup(finish, plan_of, optimizer: str, learning_rate: float) -> None:
    """Training loss at a fixed step falls with the width, the values staying those of the proxy.

    Steps 36 to 40 of runs that still fall: there the gain from one width to the next is several times the standard error
    over six seeds. Later, all widths are at the floor of the batches' noise.
    """
    result = finish(
        {"optimizer": {"name": optimizer}, "inner": {"steps": 40}, "schedule": {"name": "constant"}},
        {"learning_rate": learning_rate},
    )
    last = []
    for width in WIDTHS:
        runs = [losses(plan_of(result, width=width), seed) for seed in range(6)]
        last.append(sum(sum(run[-5:]) for run in runs) / 30)
    assert all(wide < narrow for narrow, wide in pairwise(last)), last


def test_a_plan_at_four_times_the_width_trains_at_least_as_well_as_the_proxy(finish, plan_of) -> None:
    result = finish({"inner": {"steps": 60}}, {"learning_rate": 0.01, "weight_decay": 0.1})
    proxy, wide = losses(plan_of(result, width=64), 0), losses(plan_of(result, width=256), 0)
    assert sum(wide[-5:]) <= sum(proxy[-5:])
    assert sum(wide[-5:]) / 5 < 0.3


def test_standard_parametrization_at_a_large_width_does_not_have_the_proxys_optimum(finish, plan_of) -> None:
    """The learning rate that is good at width 64 is far too large at width 512 without muP, and still good with it."""
    fields = {"inner": {"steps": 20}, "schedule": {"name": "constant"}}
    tuned = {"learning_rate": 0.05}
    mup = plan_of(finish(fields, tuned), width=512)
    copied = plan_of(finish({**fields, "parametrization": "standard"}, tuned, None), width=512, force=True)
    assert sum(losses(copied, 0)[:10]) > 2 * sum(losses(mup, 0)[:10])


@pytest.mark.parametrize(
    "fields",
    [
        {"optimizer": {"name": "adamw", "clip_norm": 0.5}},
        {"optimizer": {"name": "adamw", "decay": "independent"}},
        {"optimizer": {"name": "adam"}, "schedule": {"name": "warmup", "warmup_fraction": 0.33}},
        {"optimizer": {"name": "sgd"}},
        {"optimizer": {"name": "sgd", "decay": "decoupled", "clip_norm": None}},
    ],
)
def test_a_plan_at_the_proxys_size_trains_as_the_engine_did(finish, plan_of, fields) -> None:
    """Same start, same batches, float64: schedule, clip, decay and multiplier mean the same on both sides of a transfer."""
    tuned = {
        "learning_rate.input": 0.01,
        "learning_rate.vector": 0.02,
        "learning_rate.hidden": 0.03,
        "learning_rate.output": 0.04,
        "learning_rate.scalar": 0.05,
        "weight_decay": 0.02,
        "output_multiplier": 1.7,
    }
    search = [{"name": "learning_rate", "scope": "role"}, {"name": "weight_decay"}, {"name": "output_multiplier"}]
    result = finish({**fields, "inner": {"steps": 12, "batch_size": 32}, "search": search}, tuned)
    spec, tensors, data = result.spec, result.proxy.tensors, load("digits")
    std = [base_init_std(fact, spec.model.activation) for fact in tensors]
    space = Space.from_spec(spec, tensors)
    problem = InnerProblem(spec, Layout(tensors), std, space, data, torch.float64)
    draw = problem.draw([(0, 1)])
    trained = problem.train(space.from_dict(tuned)[None], draw)
    expected = dict(zip(problem.layout.names, problem.layout.split(trained.parameters), strict=True))

    plan = plan_of(result, width=64)
    model = MLP(64, 10, 64, 2).double()
    optimizer = windtunnel.torch.optimizer(model, plan)
    schedule = windtunnel.torch.schedule(optimizer, plan)
    start = problem.layout.split(draw.noise)
    with torch.no_grad():
        for name, part in zip(problem.layout.names, start, strict=True):
            model.get_parameter(name).copy_(part[0])
    for step in range(12):
        batch = problem.batch(draw, step)
        optimizer.zero_grad()
        functional.cross_entropy(model(batch.inputs[0]), batch.labels[0]).backward()
        optimizer.step()
        schedule.step()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach(), expected[name][0], rtol=1e-7, atol=1e-9)


REGULARISED = {"l2": 0.03, "label_smoothing": 0.1}
WEIGHTS = {f"mixture_weight.{digit}": 0.5 + 0.2 * digit for digit in range(10)}


def test_a_plan_with_penalty_smoothing_and_mixture_trains_as_the_engine_did(finish, plan_of) -> None:
    """The same oracle with everything that acts in the loss and the forward pass but noise, and eps by role."""
    tuned = {"embedding_multiplier": 1.6, "label_smoothing": 0.1, "eps.hidden": 1e-4, **WEIGHTS}
    tuned |= {f"eps.{role}": 1e-6 for role in ("input", "vector", "output", "scalar")}
    tuned |= {"l2.input": 0.02, "l2.hidden": 0.05, "l2.output": 0.1}
    search = [
        {"name": "embedding_multiplier"},
        {"name": "label_smoothing"},
        {"name": "l2", "scope": "role"},
        {"name": "eps", "scope": "role"},
        {"name": "mixture_weight"},
    ]
    fields = {"regularization": REGULARISED, "inner": {"steps": 12, "batch_size": 32}, "search": search}
    result = finish({**fields, "optimizer": {"clip_norm": 0.5}}, tuned)
    spec, tensors, data = result.spec, result.proxy.tensors, load("digits")
    std = [base_init_std(fact, spec.model.activation) for fact in tensors]
    space = Space.from_spec(spec, tensors)
    problem = InnerProblem(spec, Layout(tensors), std, space, data, torch.float64)
    draw = problem.draw([(0, 1)])
    trained = problem.train(space.from_dict(tuned)[None], draw)
    expected = dict(zip(problem.layout.names, problem.layout.split(trained.parameters), strict=True))

    plan = plan_of(result, width=64)
    assert plan.mixture_weights == {str(digit): 0.5 + 0.2 * digit for digit in range(10)}
    model = MLP(64, 10, 64, 2).double()
    optimizer = windtunnel.torch.optimizer(model, plan)
    schedule = windtunnel.torch.schedule(optimizer, plan)
    shares = dict(zip(plan.mixture_weights, problem.shares.tolist(), strict=True))
    loss = windtunnel.torch.criterion(plan, shares)
    start = problem.layout.split(draw.noise)
    with torch.no_grad():
        for name, part in zip(problem.layout.names, start, strict=True):
            model.get_parameter(name).copy_(part[0])
    for step in range(12):
        batch = problem.batch(draw, step)
        optimizer.zero_grad()
        loss(model(batch.inputs[0]), batch.labels[0], batch.sources[0]).backward()
        optimizer.step()
        schedule.step()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach(), expected[name][0], rtol=1e-6, atol=1e-8)


FAMILIES: dict[str, dict[str, object]] = {
    "resnet": {"model": {"family": "resnet", "width": 8, "depth": 2, "activation": "gelu"}},
    "transformer": {"task": "python-text", "model": {"width": 32, "depth": 2}},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_plan_of_every_family_trains_as_the_engine_did(finish, plan_of, family: str) -> None:
    """A module with the family's names, applied at the proxy's size: multipliers, groups and schedule are the engine's."""
    tuned = {
        "learning_rate.input": 0.01,
        "learning_rate.hidden": 0.02,
        "learning_rate.output": 0.03,
        "output_multiplier": 1.7,
        "embedding_multiplier": 0.6,
    }
    if family == "transformer":
        tuned |= {f"learning_rate.{part}": 0.02 for part in ("position", "qkv", "attention-out", "mlp-in", "mlp-out")}
        del tuned["learning_rate.hidden"]
    searched = [{"name": "learning_rate", "scope": "role"}, {"name": "output_multiplier"}, {"name": "embedding_multiplier"}]
    fields = {**FAMILIES[family], "inner": {"steps": 6, "batch_size": 8}, "search": searched}
    result = finish(fields, tuned | {"learning_rate.scalar": 0.04})
    spec, tensors, data = result.spec, result.proxy.tensors, load(result.spec.task)
    space = Space.from_spec(spec, tensors)
    std = [base_init_std(fact, spec.model.activation) for fact in tensors]
    problem = InnerProblem(spec, Layout(tensors), std, space, data, torch.float64)
    draw = problem.draw([(0, 1)])
    trained = problem.train(space.from_dict(result.best.hyperparameters)[None], draw)
    expected = dict(zip(problem.layout.names, problem.layout.split(trained.parameters), strict=True))

    plan = plan_of(result, width=spec.model.width)
    model = build(spec.model, TASKS[spec.task]).double()
    optimizer = windtunnel.torch.optimizer(model, plan)
    schedule = windtunnel.torch.schedule(optimizer, plan)
    start = problem.layout.split(draw.noise)
    with torch.no_grad():
        for name, part in zip(problem.layout.names, start, strict=True):
            model.get_parameter(name).copy_(part[0])
    for step in range(6):
        batch = problem.batch(draw, step)
        optimizer.zero_grad()
        functional.cross_entropy(model(batch.inputs[0]).flatten(0, -2), batch.labels[0].flatten()).backward()
        optimizer.step()
        schedule.step()
    for name, parameter in model.named_parameters():
        # Adam divides first gradients by their own size, rounding included; eps 1e-8 bounds what that does.
        torch.testing.assert_close(parameter.detach(), expected[name][0], rtol=1e-5, atol=1e-7, msg=name)
