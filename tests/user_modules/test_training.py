"""A module of one's own in the engine: derivatives, constants, plans, and what cannot be trained."""

from typing import Any

import pytest
import torch
from pydantic_core import PydanticCustomError
from torch import Tensor, nn

import windtunnel
import windtunnel.torch
from hpo.errors import InvalidData
from hpo.estimators.reverse import Reverse
from hpo.families.facts.registry import proxy_tensors
from hpo.families.own.describing import check_table, describe
from hpo.layout import Layout
from hpo.mup.rules import base_init_std
from hpo.study import Study
from hpo.tasks import load
from hpo.training.problem import InnerProblem
from hpo.training.space import Space
from windtunnel.client import InvalidRequest
from windtunnel.tasks import TASKS, user_task
from windtunnel.types import JobSpec

SMALL: dict[str, Any] = {
    "inner": {"steps": 6, "batch_size": 16, "seeds": 2},
    "outer": {"steps": 1, "finish_seeds": 2},
    "method": {"estimator": "reverse"},
}
ALL = ("learning_rate", "weight_decay", "eps", "init_scale")


def problem(spec: JobSpec) -> InnerProblem:
    """In float64, without a study."""
    tensors = proxy_tensors(spec.model, TASKS[spec.task])
    std = [base_init_std(fact, spec.model.activation) for fact in tensors]
    return InnerProblem(spec, Layout(tensors), std, Space.from_spec(spec, tensors), load(spec.task), torch.float64)


def test_the_hypergradient_is_the_central_difference_of_training_runs(installed):
    """Embedding, attention, convolution, norm, buffer and a scalar parameter; every hyperparameter by tensor role."""
    search = [{"name": name, "scope": "role"} for name in ALL]
    search += [{"name": name} for name in ("output_multiplier", "embedding_multiplier", "beta1", "label_smoothing")]
    spec = JobSpec.model_validate({"task": installed, "model": {"width": 8, "depth": 2}, **SMALL, "search": search})
    inner = problem(spec)
    start = inner.space.start()
    # A readout of 0 has nothing to be multiplied with until it has learned; a large rate lets it.
    point = inner.space.with_value(start, "learning_rate", 0.05)
    point = inner.space.with_value(point, "output_multiplier", 1.5)
    point = inner.space.with_value(point, "eps", 1e-4)
    draw = inner.draw([(0, 0, 0, 0)])
    found = Reverse("none", "exact").estimate(inner, point[None], draw)

    def loss(points: Tensor) -> Tensor:
        trained = inner.train(points, draw.select([0] * len(points)))
        with torch.no_grad():
            return inner.evaluate(trained.parameters, trained.loss, inner.data.validation)[0]

    width = 1e-4
    steps = torch.eye(len(point), dtype=torch.float64) * width
    near = loss(point + steps) - loss(point - steps)
    far = loss(point + 2 * steps) - loss(point - 2 * steps)
    expected = (8 * near - far) / (12 * width)
    gradient = found.gradient[0]
    assert float(gradient.norm()) > 1e-3
    # Five-point differences of losses of order 1 are good to 1e-11 / width here.
    torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=1e-8)
    moved = dict(zip(inner.space.labels, (gradient.abs() > 1e-9).tolist(), strict=True))
    assert moved["learning_rate.scalar"] and moved["learning_rate.vector"] and moved["embedding_multiplier"]


def test_gains_and_scalars_start_at_the_modules_own_constants_and_others_by_their_fans(installed):
    inner = problem(JobSpec.model_validate({"task": installed, "model": {"width": 16}, **SMALL}))
    draw = inner.draw([(0, 0, 0, 0)])
    table = inner.coefficients(inner.space.start()[None])
    state = inner.initial(draw, table)
    tensors = dict(zip(inner.layout.names, inner.layout.split(state[0]), strict=True))
    assert tensors["temperature"].tolist() == [0.5]
    assert torch.equal(tensors["blocks.1.norm.weight"], torch.ones(1, 16, dtype=torch.float64))
    assert not tensors["head.weight"].any() and not tensors["blocks.0.conv.bias"].any()
    # Of n normal numbers the deviation is known to 1 / sqrt(2 n).
    for name, std in (("blocks.0.conv.weight", 48**-0.5), ("position", 0.5), ("blocks.0.attention.in_proj_weight", 0.25)):
        count = tensors[name].numel()
        assert tensors[name].std().item() == pytest.approx(std, rel=4 / (2 * count) ** 0.5), name


def test_the_table_follows_width_and_depth_as_the_module_does(installed):
    table = user_task(TASKS[installed]).table()
    build = user_task(TASKS[installed]).builder()
    for width, depth in ((16, 2), (8, 2), (64, 2), (24, 5), (128, 3)):
        with torch.device("meta"):
            module = build(width, depth)
        expected = {name: list(value.shape) for name, value in module.named_parameters()}
        facts = table.tensors_at(width, depth)
        assert {fact.name: fact.shape for fact in facts} == expected
        assert [fact.name for fact in facts] == list(expected)
    with pytest.raises(ValueError, match=r"depth 1 is below the 2"):
        table.tensors_at(16, 1)


def test_the_shipped_table_is_that_of_the_module_and_an_old_one_is_refused(installed):
    task = user_task(TASKS[installed])
    assert describe(task) == task.table()
    check_table(task, TASKS[installed])
    old = task.table()
    changed = old.model_copy(update={"tensors": [old.tensors[0].model_copy(update={"role": "vector"}), *old.tensors[1:]]})
    with pytest.raises(InvalidData, match=r"is not that of its module any more: position"):
        check_table(task, TASKS[installed].model_copy(update={"module": changed}))


# Tuning without a server


def data(outputs: int = 2) -> list[tuple[Tensor, Tensor]]:
    """Points and the side of a plane that they lie on."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(192, 5, generator=generator)
    labels = (points.sum(1) > 0).long() if outputs > 1 else points.sum(1)
    return list(zip(points.split(64), labels.split(64), strict=True))


class Plain(nn.Module):
    """Two layers and a gain."""

    def __init__(self, width: int, outputs: int = 2) -> None:
        super().__init__()
        self.first = nn.Linear(5, width)
        self.second = nn.Linear(width, width)
        self.gain = nn.Parameter(torch.full((), 0.7))
        self.head = nn.Linear(width, outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(inputs))
        return self.head(self.gain * torch.tanh(self.second(hidden)))


def test_tune_plans_for_the_module_and_the_wide_one_learns_by_the_plan():
    result = windtunnel.tune(Plain, data(), model={"width": 16}, inner={"steps": 40, "batch_size": 16, "seeds": 2}, **LEAN)
    assert result.best.validation.mean < 0.6
    assert result.certificate is not None and all(point.passed for point in result.certificate.points)
    assert len(result.steps()) == 2
    assert "learning_rate.hidden" in repr(result)
    plan = result.plan(width=256)
    assert {row.name: row.role for row in plan.tensors}["second.weight"] == "hidden"
    rows = {row.name: row for row in plan.tensors}
    values = result.hyperparameters
    assert rows["second.weight"].learning_rate == pytest.approx(values["learning_rate.hidden"] / 16)
    assert rows["head.weight"].multiplier == pytest.approx(1 / 16)
    assert (rows["gain"].init, rows["gain"].init_value) == ("constant", pytest.approx(0.7))
    model = Plain(256)
    optimizer = windtunnel.torch.optimizer(model, plan)
    assert model.gain.item() == pytest.approx(0.7)
    schedule, criterion = windtunnel.torch.schedule(optimizer, plan), windtunnel.torch.criterion(plan)
    inputs, labels = data()[0]
    losses = []
    for step in range(plan.steps):
        rows_of = slice(16 * step % 64, 16 * step % 64 + 16)
        loss = criterion(model(inputs[rows_of]), labels[rows_of])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(0.6931, abs=1e-3)
    assert sum(losses[-4:]) / 4 < 0.45
    with pytest.raises(PydanticCustomError, match=r"this plan is for family 'module'"):
        plan.to("nanogpt")
    made: dict[str, Any] = {"__name__": "large"}
    exec(compile(plan.to("torch"), "large.py", "exec"), made)
    exported, fresh = made["build_model"](Plain(256)), Plain(256)
    made["initialise"](exported)
    windtunnel.torch.apply(fresh, plan)
    assert all(torch.equal(value, fresh.get_parameter(name)) for name, value in exported.named_parameters())
    assert torch.equal(exported(inputs), fresh(inputs))
    assert windtunnel.TransferPlan.model_validate_json(plan.to("json")).tensors == plan.tensors


LEAN: dict[str, Any] = {"outer": {"steps": 1, "finish_seeds": 2}, "method": {"estimator": "reverse"}}


def test_a_plan_for_the_proxys_own_size_is_the_proxy():
    result = windtunnel.tune(Plain, data(), model={"width": 8}, **{**SMALL, "outer": {"steps": 1, "finish_seeds": 2}})
    plan = result.plan(width=8)
    facts = {fact.name: fact for fact in result.proxy.tensors}
    for row in plan.tensors:
        label = f"learning_rate.{row.role}"
        assert row.learning_rate == result.hyperparameters[label], row.name
        assert row.multiplier == 1
        assert row.shape == facts[row.name].shape
        assert row.init_std == base_init_std(facts[row.name], "relu")
    assert windtunnel.torch.optimizer(Plain(8), plan).param_groups


def test_a_regression_takes_outputs_with_and_without_a_last_dimension():
    class Squeezed(Plain):
        def __init__(self, width: int) -> None:
            super().__init__(width, 1)

        def forward(self, inputs: Tensor) -> Tensor:
            return super().forward(inputs).squeeze(-1)

    one = windtunnel.tune(Squeezed, data(1), kind="regression", model={"width": 8}, parametrization="standard", **SMALL)
    other = windtunnel.tune(
        lambda width: Plain(width, 1), data(1), kind="regression", model={"width": 8}, parametrization="standard", **SMALL
    )
    assert one.best.validation == other.best.validation


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": {"width": 8, "depth": 3}}, "depth 3 of a module whose depth is fixed; allowed: 1"),
        ({"model": {"width": 8, "activation": "gelu"}}, "brings its own; leave it out"),
        ({"regularization": {"dropout": 0.1}}, "no place that this service could put dropout at"),
        ({"method": {"estimator": "higher"}}, "builds models of this project only"),
        ({"transfer": {"depth_rule": "completep"}}, "end a residual branch is not known"),
        ({"target": {"width": 4}}, "is below the proxy's 64"),
        ({"inner": {"stepz": 3}}, "stepz"),
        ({"search": [{"name": "attention_multiplier"}]}, "attention_multiplier belongs to transformers"),
    ],
)
def test_fields_of_a_job_are_checked_as_those_of_a_submitted_one(fields, message):
    with pytest.raises(ValueError, match=message):
        windtunnel.tune(Plain, data(), **fields)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"data": data()[:2]}, "data must be"),
        ({"data": 3}, "data must be"),
        ({"data": [(torch.zeros(0, 5), torch.zeros(0, dtype=torch.int64))] * 3}, "at least one example"),
        ({"build": lambda: Plain(8)}, "a width, or a width and a depth"),
        ({"task": "digits"}, "takes its task from build and data"),
    ],
)
def test_calls_that_make_no_sense_are_refused(wrong, message):
    with pytest.raises(InvalidRequest, match=message):
        windtunnel.tune(**{"build": Plain, "data": data(), **wrong})


def test_a_study_of_the_same_seed_gives_the_same_bits(installed):
    lean = {**SMALL, "outer": {"steps": 1, "scout": False}, "parametrization": "standard"}
    spec = JobSpec.model_validate({"task": installed, "model": {"width": 8}, **lean})
    first, second = (list(Study(spec)) for _ in range(2))
    assert first == second and first[1].gradient_norm


def test_a_module_of_one_s_own_climbs_a_ladder_and_tells_its_noise_scale():
    transfer = {"ladder": {"widths": [8, 16, 32], "seeds": 2, "standard": True}, "horizons": 2}
    result = windtunnel.tune(Plain, data(), model={"width": 16}, transfer=transfer, **SMALL_RUNS)
    assert result.ladder is not None and [rung.width for rung in result.ladder.learning_rate.rungs] == [8, 16, 32]
    assert result.ladder.standard is not None
    at_home = [each.rungs[1].losses for each in (result.ladder.learning_rate, result.ladder.standard)]
    # At the proxy's own width the two parametrizations are the same runs; at another they are not.
    assert at_home[0] == at_home[1]
    assert result.ladder.learning_rate.rungs[2].losses != result.ladder.standard.rungs[2].losses
    assert result.noise_scale is not None and result.horizon is not None
    twice = result.plan(width=16, examples=2 * len(data()[0][0]), force=True)
    once = result.plan(width=16, force=True)
    for before, after in zip(once.tensors, twice.tensors, strict=True):
        assert after.weight_decay == pytest.approx(before.weight_decay / 2)


SMALL_RUNS: dict[str, Any] = {
    "inner": {"steps": 12, "batch_size": 16, "seeds": 2},
    "outer": {"steps": 1, "finish_seeds": 2},
    "method": {"estimator": "reverse"},
}
