"""A module of one's own in the engine: derivatives, constants, plans, and what cannot be trained."""

from typing import Any

import pytest
import torch
from pydantic_core import PydanticCustomError
from torch import Tensor, nn

import windtunnel
import windtunnel.torch
from hpo.errors import InvalidData
from hpo.estimators import Reverse
from hpo.families.describing import check_table, describe
from hpo.inner import InnerProblem
from hpo.layout import Layout
from hpo.mup.proxies import proxy_tensors
from hpo.mup.roles import RoleQuestion
from hpo.mup.rules import base_init_std
from hpo.space import Space
from hpo.study import Study
from hpo.tasks import load
from windtunnel.client import InvalidRequest
from windtunnel.types import TASKS, JobSpec
from windtunnel.user_tasks import UserTask, user_task

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
    table = user_task(installed).table()
    build = user_task(installed).builder()
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
    task = user_task(installed)
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
        ({"method": {"engine": "higher"}}, "builds models of this project only"),
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


# What cannot be trained


class Unfit(nn.Module):
    """A linear model that does one more thing."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.head = nn.Linear(width, 2)
        self.first = nn.Linear(5, width)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.more(self.first(inputs)))

    def more(self, hidden: Tensor) -> Tensor:
        return hidden


class Batched(Unfit):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.norm = nn.BatchNorm1d(width)

    def more(self, hidden: Tensor) -> Tensor:
        return self.norm(hidden)


class Dropped(Unfit):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.drop = nn.Dropout(0.1)


class Encoded(Unfit):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.layer = nn.TransformerEncoderLayer(width, 2)


class Random(Unfit):
    def more(self, hidden: Tensor) -> Tensor:
        return hidden * torch.rand_like(hidden)


class Counting(Unfit):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.register_buffer("calls", torch.zeros(()))

    def more(self, hidden: Tensor) -> Tensor:
        self.calls += 1
        return hidden


class Branching(Unfit):
    def more(self, hidden: Tensor) -> Tensor:
        return hidden if hidden.sum().item() > 0 else -hidden


class InPlace(Unfit):
    def more(self, hidden: Tensor) -> Tensor:
        made = torch.zeros(hidden.shape, dtype=hidden.dtype)
        made += hidden
        return made


class Detached(Unfit):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs).detach()


class Unused(Unfit):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.spare = nn.Linear(width, width)


class Once(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(hidden: Tensor) -> Tensor:
        return hidden.sin()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return slope * ctx.saved_tensors[0].cos()


class OnceOnly(Unfit):
    def more(self, hidden: Tensor) -> Tensor:
        return Once.apply(hidden)


class Misshapen(Unfit):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs)[:, :1]


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Batched, "layer 'norm' .* is a BatchNorm1d that keeps running statistics"),
        (Dropped, "layer 'drop' .* is a Dropout with dropout 0.1"),
        (Encoded, "dropout 0.1, which draws random numbers"),
        (Random, "it draws random numbers"),
        (Counting, "buffer 'calls' .* changes in forward"),
        (Branching, "no population of the module .* can be computed"),
        (InPlace, "no population of the module .* can be computed"),
        (Detached, "has no gradient"),
        (Unused, "parameter 'spare.weight' .* has no part in the logits"),
        (OnceOnly, "cannot be differentiated twice"),
        (Misshapen, r"gives shape \[.*, 1\] for .* examples; expected \[.*, 2\]"),
    ],
)
def test_what_the_engine_cannot_train_is_refused_with_the_layer_or_the_reason(module, message):
    with pytest.raises(InvalidData, match=message):
        windtunnel.tune(module, data(), model={"width": 8}, **SMALL)


def test_a_start_that_no_plan_can_give_is_refused():
    class Slopes(Plain):
        def __init__(self, width: int) -> None:
            super().__init__(width)
            self.slopes = nn.Parameter(torch.arange(3.0))

    with pytest.raises(InvalidData, match=r"'slopes' .* starts at fixed numbers that differ"):
        windtunnel.tune(Slopes, data(), model={"width": 8}, **SMALL)


def test_a_loose_random_parameter_is_asked_for_its_deviation():
    class Loose(Plain):
        def __init__(self, width: int) -> None:
            super().__init__(width)
            self.mix = nn.Parameter(torch.randn(5, width))

        def forward(self, inputs: Tensor) -> Tensor:
            return self.head(torch.tanh(self.second(inputs @ self.mix + self.first(inputs))) * self.gain)

    with pytest.raises(RoleQuestion, match=r"'mix=input'"):
        windtunnel.tune(Loose, data(), model={"width": 8}, **SMALL)
    with pytest.raises(RoleQuestion, match=r"init_std={'mix': 0.05}"):
        windtunnel.tune(Loose, data(), roles={"mix": "input"}, model={"width": 8}, **SMALL)
    with pytest.raises(ValueError, match=r"init_std 'mux' fits no tensor"):
        windtunnel.tune(Loose, data(), roles={"mix": "input"}, init_std={"mux": 1.0}, model={"width": 8}, **SMALL)


def test_a_module_that_grows_out_of_proportion_gets_no_plan():
    class Kinked(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.first = nn.Linear(5, width if width <= 16 else 2 * width - 16)
            self.head = nn.Linear(self.first.out_features, 2)

        def forward(self, inputs: Tensor) -> Tensor:
            return self.head(torch.tanh(self.first(inputs)))

    result = windtunnel.tune(Kinked, data(), model={"width": 8}, parametrization="standard", **SMALL)
    with pytest.raises(InvalidRequest, match=r"build\(32, 1\) has other tensors .* first.weight is \[48, 5\]"):
        result.plan(width=32, force=True)


# Data


def user(**changes: Any) -> UserTask:
    """A task of the plain module with data to be spoiled."""
    parts = data()
    fields = {"name": "spoiled", "input_shape": (5,), "classes": 2, "examples": (64, 64, 64)}
    return UserTask(**{**fields, "load": lambda: parts, "build": lambda width, depth: Plain(width), "depth": 1, **changes})


@pytest.mark.parametrize(
    ("load", "message"),
    [
        (lambda: 1 / 0, "load of task 'spoiled' failed: ZeroDivisionError"),
        (lambda: data()[:2], "must give \\(train, validation, test\\)"),
        (lambda: [1, 2, 3], "the train part must be"),
        (lambda: [(x[:9], y) for x, y in data()], r"inputs of the train part have shape \[9, 5\], not \[64, 5\]"),
        (lambda: [(x, y[:9]) for x, y in data()], r"labels of the train part have shape \[9\]"),
        (lambda: [(x / 0, y) for x, y in data()], "numbers that are not finite"),
        (lambda: [(x, y + 1) for x, y in data()], "labels of the train part run from 1 to 2; allowed: 0 to 1"),
        (lambda: [(x, y.float()) for x, y in data()], "labels of the train part are torch.float32, not whole numbers"),
        (lambda: [(x, y, y) for x, y in data()], "sources of the train part run from 0 to 1; allowed: 0 to 0"),
    ],
)
def test_data_that_are_not_what_the_task_says_are_refused(load, message):
    from hpo.tasks.user import user_parts

    task = user(load=load)
    with pytest.raises(InvalidData, match=message):
        user_parts(task, task.info_with(describe(user())))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "1 to 200 printable"),
        ({"width": 0}, "width of task 'spoiled' is 0"),
        ({"examples": (1, 2)}, "train, validation and test"),
        ({"kind": "regression"}, "classes of regression 'spoiled' is 2; allowed: 1"),
        ({"kind": "language"}, "allowed: 'tokens'"),
        ({"kind": "language", "inputs": "tokens", "input_shape": (2, 3)}, "for text \\(context,\\)"),
    ],
)
def test_a_task_that_contradicts_itself_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        user(**changes)


def test_a_study_of_the_same_seed_gives_the_same_bits(installed):
    lean = {**SMALL, "outer": {"steps": 1, "scout": False}, "parametrization": "standard"}
    spec = JobSpec.model_validate({"task": installed, "model": {"width": 8}, **lean})
    first, second = (list(Study(spec)) for _ in range(2))
    assert first == second and first[1].gradient_norm
