"""What torch lets a parameter be: frozen, padded, shared, of another type. Trained as by torch, or refused by name."""

import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import windtunnel
import windtunnel.torch
from hpo.families.own.describing import describe
from hpo.families.own.user_module import made
from hpo.study import Study
from hpo.training.problem import silent
from windtunnel.tasks import UserTask
from windtunnel.torch import PlanMismatch
from windtunnel.types import JobSpec

WIDTH, STEPS = 8, 5
SMALL: dict[str, Any] = {
    "model": {"width": WIDTH},
    "inner": {"steps": 4, "batch_size": 16, "seeds": 2},
    "outer": {"steps": 1, "finish_seeds": 2},
    "method": {"estimator": "reverse"},
}


def points() -> list[tuple[Tensor, Tensor]]:
    """Points and the side of a plane that they lie on."""
    found = torch.randn(192, 5, generator=torch.Generator().manual_seed(0))
    return list(zip(found.split(64), (found.sum(1) > 0).long().split(64), strict=True))


def padded() -> list[tuple[Tensor, Tensor]]:
    """Tokens 1 to 10, some followed by padding 0; the first batches of the training set have padding in some rows only."""
    found = torch.randint(1, 11, (192, 6), generator=torch.Generator().manual_seed(0))
    found[torch.arange(192) % 3 > 0, 3:] = 0
    return list(zip(found.split(64), (found[:, 0] % 2).split(64), strict=True))


class Net(nn.Module):
    """Two layers and a readout; subclasses change what its parameters are."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(5, width)
        self.second = nn.Linear(width, width)
        self.head = nn.Linear(width, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(torch.tanh(self.second(torch.cos(self.first(inputs)))))


class FrozenFirst(Net):
    """Random features: the first layer stays as it is."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.first.requires_grad_(False)


class FrozenBias(Net):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.second.bias.requires_grad_(False)


class FrozenHead(Net):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.head.weight.requires_grad_(False)


class WholeNumbers(Net):
    """A frozen parameter that is no real number."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.signs = nn.Parameter(torch.arange(width) % 2 * 2 - 1, requires_grad=False)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(torch.tanh(self.second(self.signs * torch.cos(self.first(inputs)))))


class Rotated(Net):
    """A complex buffer, as in rotary embeddings."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.register_buffer("turns", torch.polar(torch.ones(width // 2), torch.arange(width // 2).float()))

    def forward(self, inputs: Tensor) -> Tensor:
        pairs = torch.view_as_complex(self.first(inputs).unflatten(-1, (-1, 2)))
        return self.head(torch.tanh(self.second(torch.view_as_real(pairs * self.turns).flatten(-2))))


class Doubled(Net):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.double()


class SharedTwice(Net):
    """One layer used twice, under two names."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.again = self.second

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(torch.tanh(self.again(torch.tanh(self.second(self.first(inputs))))))


class Attending(Net):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.block = nn.TransformerEncoderLayer(width, 2, width, dropout=0.0, batch_first=True)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(
            self.block(self.second(self.first(inputs))[:, None] * torch.ones(3, 1, dtype=inputs.dtype)).mean(1)
        )


class Words(nn.Module):
    """Mean of embeddings."""

    def __init__(self, width: int, **settings: Any) -> None:
        super().__init__()
        self.table = nn.Embedding(11, width, **{"padding_idx": 0, **settings})
        self.second = nn.Linear(width, width)
        self.head = nn.Linear(width, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(torch.tanh(self.second(self.table(tokens).mean(1))))


def last_padding(width: int) -> nn.Module:
    """Padding counted from the end; no example has token 10 in the first batches."""
    return Words(width, padding_idx=-1)


class InSinglePrecision(Net):
    """Computes in float32 whatever it is given, as norms and attention of many models do."""

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.second(torch.cos(self.first(inputs))).float()
        hidden = hidden * torch.rsqrt(hidden.to(torch.float32).square().mean(-1, keepdim=True) + 1e-3)
        return self.head(functional.softmax(hidden, -1, dtype=torch.float32).to(inputs.dtype))


def frozen_table(width: int) -> nn.Module:
    """A frozen table keeps its padding row whatever it is."""
    module = Words(width)
    module.table.weight.requires_grad_(False)
    return module


def task_of(build: Any, parts: list[tuple[Tensor, Tensor]]) -> UserTask:
    inputs = parts[0][0]
    return UserTask(
        name="held",
        input_shape=tuple(inputs.shape[1:]),
        inputs="floats" if inputs.is_floating_point() else "tokens",
        classes=2,
        examples=(64, 64, 64),
        load=lambda: parts,
        build=lambda width, depth: build(width),
        depth=1,
        width=WIDTH,
    )


def study_of(build: Any, parts: list[tuple[Tensor, Tensor]], **changes: Any) -> tuple[Study, UserTask]:
    """A study in float64 of plain gradient descent, whose update torch does the same way."""
    task = task_of(build, parts)
    rule = {"name": "sgd", "momentum": 0.0, "learning_rate": 0.3, "weight_decay": 0.0, "clip_norm": None}
    fields = {
        "task": task.name,
        "model": {"width": WIDTH, "depth": 1},
        "optimizer": rule,
        "schedule": {"name": "constant"},
        "parametrization": "standard",
        "search": [{"name": "learning_rate"}],
        "inner": {"steps": STEPS, "batch_size": 16, "seeds": 2},
        **changes,
    }
    spec = JobSpec.of(fields, task.info_with(describe(task)))
    return Study(spec, dtype=torch.float64), task


@pytest.mark.parametrize(
    ("build", "parts"),
    [
        (FrozenFirst, points),
        (FrozenBias, points),
        (FrozenHead, points),
        (WholeNumbers, points),
        (Rotated, points),
        (Doubled, points),
        (SharedTwice, points),
        (Attending, points),
        (Words, padded),
        (last_padding, padded),
        (frozen_table, padded),
    ],
)
def test_a_population_is_trained_as_torch_trains_the_bare_module(build, parts):
    study, task = study_of(build, parts())
    problem = study.problem
    # Two members, for a rule of torch's that is right for the first alone is wrong.
    draw = problem.draw([(0, 0, 0, 0), (0, 0, 0, 1)])
    table = problem.coefficients(problem.space.start()[None].expand(2, -1))
    state = problem.initial(draw, table)
    ends = problem.layout.split(problem.reach(state, table, draw, 0, STEPS, silent)[0])
    for member in range(2):
        module = made(task, WIDTH, 1)
        kept = {name: value.clone() for name, value in module.named_parameters() if not value.requires_grad}
        trained = {name: value for name, value in module.named_parameters() if value.requires_grad}
        assert list(trained) == problem.layout.names
        module = _double(module)
        for value, begin in zip(trained.values(), problem.layout.split(state[0]), strict=True):
            value.data = begin[member].clone()
        update = torch.optim.SGD(trained.values(), lr=0.3)
        for step in range(STEPS):
            rows = draw.batches[member, step]
            inputs = problem.examples.sample().inputs[rows]
            update.zero_grad()
            functional.cross_entropy(module(inputs), problem.examples.sample().labels[rows]).backward()
            update.step()
        moved = 0.0
        for name, (value, end) in zip(trained, zip(trained.values(), ends, strict=True), strict=True):
            torch.testing.assert_close(end[member], value.detach(), rtol=1e-9, atol=1e-11, msg=name)
            moved += float(
                (value.detach() - problem.layout.split(state[0])[problem.layout.names.index(name)][member]).norm()
            )
        assert moved > 0.01
        for name, value in kept.items():
            torch.testing.assert_close(module.get_parameter(name).to(value.dtype), value)


def _double(module: nn.Module) -> nn.Module:
    """In float64; complex buffers stay complex."""
    for layer in module.modules():
        for name, buffer in layer._buffers.items():
            if buffer is not None and buffer.is_complex():
                layer._buffers[name] = buffer.to(torch.complex128)
        for parameter in layer._parameters.values():
            if parameter is not None and parameter.is_floating_point():
                parameter.data = parameter.data.double()
    return module


# Frozen parameters, from the table of roles to the large model


def test_frozen_parameters_are_named_and_have_no_learning_rate_anywhere():
    assert [law.name for law in windtunnel.roles(FrozenFirst, base=8, delta=16).frozen] == ["first.weight", "first.bias"]
    assert "first.weight   [8, 5]   [16, 5]                frozen" in str(windtunnel.roles(FrozenFirst, base=8, delta=16))
    search = [{"name": "learning_rate", "scope": "role"}]
    result = windtunnel.tune(FrozenFirst, points(), search=search, **SMALL)
    assert [tensor.name for tensor in result.proxy.tensors] == ["second.weight", "second.bias", "head.weight", "head.bias"]
    assert set(result.best.hyperparameters) == {
        f"learning_rate.{role}" for role in ("hidden", "vector", "output", "scalar")
    }
    plan = result.plan(width=32, force=True)
    still = [row for row in plan.tensors if row.is_frozen]
    assert [(row.name, row.shape, row.role) for row in still] == [
        ("first.weight", [32, 5], "frozen"),
        ("first.bias", [32], "frozen"),
    ]
    assert not any(row.learning_rate or row.weight_decay for row in still)
    assert any("first.weight, first.bias" in sentence for sentence in plan.in_your_loop)
    assert plan.parameters == 32 * 32 + 32 + 2 * 32 + 2
    model = FrozenFirst(32)
    before = model.first.weight.clone()
    optimizer = windtunnel.torch.optimizer(model, plan)
    grouped = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    assert grouped == {id(parameter) for name, parameter in model.named_parameters() if not name.startswith("first")}
    inputs, labels = points()[0]
    for _ in range(3):
        functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    assert torch.equal(model.first.weight, before) and model.first.weight.grad is None
    with pytest.raises(PlanMismatch, match=r"first.weight was frozen in the proxies"):
        windtunnel.torch.optimizer(Net(32), plan)
    exported: dict[str, Any] = {}
    exec(plan.to("torch"), exported)
    model = FrozenFirst(32)
    before = model.first.weight.clone()
    built = exported["build_model"](model)
    exported["initialise"](built, 0)
    assert torch.equal(model.first.weight, before)
    assert "first.weight" not in exported["TENSORS"]
    with pytest.raises(ValueError, match=r"in the plan \['first.bias', 'first.weight'\]"):
        exported["build_model"](Net(32))
    assert [row["name"] for row in json.loads(plan.to("json"))["tensors"] if row["init"] == "kept"] == [
        "first.weight",
        "first.bias",
    ]


def test_what_is_frozen_in_the_large_model_alone_is_left_as_it_is():
    result = windtunnel.tune(Net, points(), **SMALL)
    plan = result.plan(width=16, force=True)
    model, free = FrozenBias(16), Net(16)
    with torch.no_grad():
        model.second.bias.fill_(7.0)
    optimizer = windtunnel.torch.optimizer(model, plan)
    windtunnel.torch.optimizer(free, plan)
    assert bool((model.second.bias == 7).all())
    assert not any(model.second.bias is each for group in optimizer.param_groups for each in group["params"])
    # The other tensors start as they do without it.
    assert torch.equal(model.second.weight, free.second.weight)
    with pytest.raises(PlanMismatch, match=r"head.weight is frozen in the model .* forward multiplier 0.5"):
        windtunnel.torch.optimizer(FrozenHead(16), plan)
    with pytest.raises(PlanMismatch, match="every parameter of the model is frozen"):
        windtunnel.torch.apply(Net(16).requires_grad_(False), plan)


def test_frozen_layers_of_a_list_follow_the_depth():
    class Deep(nn.Module):
        def __init__(self, width: int, depth: int) -> None:
            super().__init__()
            self.first = nn.Linear(5, width)
            self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
            for layer in self.layers:
                layer.bias.requires_grad_(False)
            self.layers[0].requires_grad_(False)
            self.head = nn.Linear(width, 2)

        def forward(self, inputs: Tensor) -> Tensor:
            hidden = self.first(inputs)
            for layer in self.layers:
                hidden = hidden + torch.tanh(layer(hidden))
            return self.head(hidden)

    task = UserTask(
        name="deep",
        input_shape=(5,),
        classes=2,
        examples=(64, 64, 64),
        load=points,
        build=Deep,
        depth=2,
        width=WIDTH,
    )
    table = describe(task)
    module = Deep(24, 5)
    for facts, wanted in ((table.tensors_at(24, 5), True), (table.frozen_at(24, 5), False)):
        expected = [(name, list(value.shape)) for name, value in module.named_parameters() if value.requires_grad == wanted]
        assert [(fact.name, fact.shape) for fact in facts] == expected


def test_a_role_for_a_frozen_tensor_and_one_frozen_at_one_width_only_are_refused():
    with pytest.raises(ValueError, match=r"'first.weight' names a frozen tensor"):
        windtunnel.roles(FrozenFirst, base=8, delta=16, overrides={"first.weight": "input"})
    with pytest.raises(ValueError, match=r"'first.bias' is frozen .* at one of the widths 8 and 16 only"):
        windtunnel.roles(lambda width: (FrozenFirst if width == 8 else Net)(width), base=8, delta=16)


# Padding


def test_a_padding_row_stays_zero_in_the_large_model_and_in_exported_files():
    result = windtunnel.tune(Words, padded(), **SMALL)
    assert result.certificate is not None and all(point.passed for point in result.certificate.points)
    plan = result.plan(width=16, force=True)
    assert [row.padding for row in plan.tensors if row.name == "table.weight"] == [0]
    assert [row["padding"] for row in json.loads(plan.to("json"))["tensors"] if "padding" in row] == [0]
    model = Words(16)
    optimizer = windtunnel.torch.optimizer(model, plan)
    inputs, labels = padded()[0]
    for _ in range(3):
        functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    assert not model.table.weight[0].any() and bool(model.table.weight[1:].any(1).all())
    exported: dict[str, Any] = {}
    exec(plan.to("torch"), exported)
    model = exported["build_model"](Words(16))
    exported["initialise"](model, 0)
    assert not model.table.weight[0].any() and bool(model.table.weight[1:].any(1).all())


# Types


def test_a_conversion_to_single_precision_does_not_spoil_the_certificate():
    result = windtunnel.tune(InSinglePrecision, points(), **SMALL)
    assert result.certificate is not None and all(point.passed for point in result.certificate.points)
    assert max(point.relative_error for point in result.certificate.points) < 1e-6
