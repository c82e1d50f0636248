"""How a job makes the module: what chance, defaults and types of its constructor come to."""

import random

import numpy
import pytest
import torch
from torch import Tensor, nn

import windtunnel
from hpo.errors import InvalidData
from hpo.families.own.describing import describe
from hpo.families.own.user_module import made
from windtunnel import UserTask

FEATURES, CLASSES, WIDTH = 8, 3, 16


def points() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(120, FEATURES, generator=generator)
    labels = (inputs[:, 0] > 0).long() + (inputs[:, 1] > 0).long()
    return [(inputs[part], labels[part]) for part in (slice(0, 60), slice(60, 90), slice(90, 120))]


def task_of(build) -> UserTask:
    sizes = {"input_shape": (FEATURES,), "classes": CLASSES, "examples": (60, 30, 30), "width": WIDTH, "depth": 1}
    return UserTask(name="making", load=points, build=lambda width, depth: build(width), **sizes)


class Masked(nn.Module):
    """A layer behind a fixed mask that some generator draws."""

    def __init__(self, width: int, draw) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(FEATURES, width), nn.Linear(width, CLASSES)
        self.register_buffer("mask", torch.as_tensor(draw(width), dtype=torch.float32))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(torch.relu(self.first(inputs)) * self.mask)


DRAWS = {
    "torch": torch.rand,
    "numpy": numpy.random.rand,
    "python": lambda width: [random.random() for _ in range(width)],
    "own seed": lambda width: numpy.random.default_rng(0).random(width),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_fixed_random_numbers_are_the_same_however_often_the_module_is_made(draw) -> None:
    task = task_of(lambda width: Masked(width, draw))
    random.seed(1)
    numpy.random.seed(1)
    expected = random.random(), numpy.random.rand()
    random.seed(1)
    numpy.random.seed(1)
    first, second = (made(task, WIDTH, 1) for _ in range(2))
    assert torch.equal(first.mask, second.mask) and first.mask.unique().numel() > 1
    assert (random.random(), numpy.random.rand()) == expected, "the process's own random numbers go on as they would have"


@pytest.mark.parametrize("is_buffer", [True, False])
def test_what_is_drawn_without_a_seed_and_not_trained_is_refused_by_name(is_buffer: bool) -> None:
    class Chance(Masked):
        def __init__(self, width: int) -> None:
            super().__init__(width, lambda width: numpy.random.default_rng().random(width) if is_buffer else [1.0] * width)
            if not is_buffer:
                values = torch.tensor(numpy.random.default_rng().random((width, FEATURES)), dtype=torch.float32)
                self.first.weight = nn.Parameter(values, requires_grad=False)

    with pytest.raises(InvalidData, match="'mask'" if is_buffer else r"'first\.weight'") as caught:
        describe(task_of(Chance))
    assert "default_rng(0)" in str(caught.value.hint)


class Deep(nn.Module):
    """Layers as many as its ``depth``, which has a default."""

    def __init__(self, width: int, depth: int = 3) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(FEATURES, width), nn.Linear(width, CLASSES)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))

    def forward(self, inputs: Tensor) -> Tensor:
        for layer in (self.first, *self.layers):
            inputs = torch.relu(layer(inputs))
        return self.head(inputs)


@pytest.mark.parametrize(("model", "depth"), [({}, 3), ({"depth": 1}, 1)])
def test_a_depth_that_has_a_default_is_that_where_none_is_given(model: dict[str, int], depth: int) -> None:
    fields = {"inner": {"steps": 5, "batch_size": 8, "seeds": 1}, "outer": {"steps": 1, "scout": False}}
    result = windtunnel.tune(Deep, points(), model={"width": WIDTH, **model}, progress=False, **fields)
    plan = result.plan(width=2 * WIDTH, force=True)
    shapes = {name: list(value.shape) for name, value in Deep(2 * WIDTH, depth).named_parameters()}
    assert {row.name: row.shape for row in plan.tensors} == shapes


def test_a_forward_of_float64_alone_is_refused_before_anything_is_spent() -> None:
    class Double(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.first, self.head = nn.Linear(FEATURES, width).double(), nn.Linear(width, CLASSES).double()

        def forward(self, inputs: Tensor) -> Tensor:
            return self.head(torch.relu(self.first(inputs.double())))

    with pytest.raises(InvalidData, match=r"of torch\.float32 in layer 'first' \(Linear\)") as caught:
        windtunnel.tune(Double, points(), base_width=WIDTH, progress=False)
    assert "convert no dtype" in str(caught.value)


class Read(nn.Module):
    """A readout whose weight forward reads from its layer, alone or with a low-rank part merged in."""

    def __init__(self, width: int, *, merged: bool) -> None:
        super().__init__()
        self.first, self.head, self.merged = nn.Linear(FEATURES, width), nn.Linear(width, CLASSES, bias=False), merged
        if merged:
            self.down, self.up = nn.Linear(width, 2, bias=False), nn.Linear(2, CLASSES, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden, weight = torch.relu(self.first(inputs)), self.head.weight
        return nn.functional.linear(hidden, weight + self.up.weight @ self.down.weight if self.merged else weight)


@pytest.mark.parametrize("merged", [False, True])
def test_a_readout_that_is_read_from_its_layer_is_refused_before_anything_is_spent(merged: bool) -> None:
    fields = {"inner": {"steps": 2, "batch_size": 8, "seeds": 1}, "outer": {"steps": 1, "scout": False}}

    def build(width: int) -> nn.Module:
        return Read(width, merged=merged)

    with pytest.raises(InvalidData, match=r"'head\.weight' is a readout, and forward reads it without a call") as caught:
        windtunnel.tune(build, points(), base_width=WIDTH, progress=False, **fields)
    assert "spectral" in str(caught.value)
    windtunnel.tune(build, points(), base_width=WIDTH, parametrization="spectral", progress=False, **fields)
