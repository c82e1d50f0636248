"""Rounded sizes: seen before a tune, and planned for by the true shapes of the large model."""

from collections.abc import Callable
from math import prod

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

import windtunnel.torch
from hpo.families.facts.registry import proxy_tensors
from hpo.families.own.describing import check_table, described
from hpo.families.own.modules import roles
from hpo.mup.resolve import resolve
from windtunnel import UserTask
from windtunnel.types import JobSpec
from windtunnel.types.modules import ModuleInfo

FEATURES, CLASSES = 8, 3


def points() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    inputs, weight = torch.randn(300, FEATURES, generator=generator), torch.randn(FEATURES, CLASSES, generator=generator)
    labels = (inputs @ weight).argmax(1)
    return [(inputs[part], labels[part]) for part in (slice(0, 150), slice(150, 225), slice(225, 300))]


def up_to(size: float, step: int) -> int:
    """The size, rounded up to a multiple."""
    return step * -(-int(size) // step)


class SwiGLU(nn.Module):
    """A feed-forward block of 8/3 of the width, in steps."""

    step = 32

    def __init__(self, width: int) -> None:
        super().__init__()
        size = up_to(8 * width / 3, self.step)
        self.first, self.head = nn.Linear(FEATURES, width), nn.Linear(width, CLASSES)
        self.gate, self.up, self.down = nn.Linear(width, size), nn.Linear(width, size), nn.Linear(size, width)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.first(inputs)
        return self.head(hidden + self.down(functional.silu(self.gate(hidden)) * self.up(hidden)))


class CoarseSwiGLU(SwiGLU):
    """Steps so wide that the size is the same at the proxy's width and at twice that."""

    step = 128


class Grouped(nn.Module):
    """Attention whose keys and values have a quarter of the heads, one at least, as grouped queries do."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads, self.shared = width // 8, max(1, width // 8 // 4)
        self.first, self.head = nn.Linear(2, width), nn.Linear(width, CLASSES)
        self.q, self.k, self.v = (
            nn.Linear(width, width),
            nn.Linear(width, 8 * self.shared),
            nn.Linear(width, 8 * self.shared),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.first(inputs.unflatten(1, (4, 2)))
        q, k, v = (layer(hidden).unflatten(2, (-1, 8)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        k, v = (part.repeat_interleave(self.heads // self.shared, 1) for part in (k, v))
        mixed = ((q @ k.mT) / 8).softmax(-1) @ v
        return self.head(hidden.mean(1) + mixed.transpose(1, 2).flatten(2).mean(1))


class Channels(nn.Module):
    """A convolution whose channels are rounded to multiples of 8, as MobileNet's are."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = up_to(0.7 * width, 8)
        self.first, self.second = nn.Conv1d(1, inner, 3, padding=1), nn.Conv1d(inner, width, 3, padding=1)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(torch.relu(self.second(torch.relu(self.first(inputs[:, None])))).mean(-1))


class Proportional(nn.Module):
    """Nothing is rounded."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(FEATURES, width), nn.Linear(width, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(torch.relu(self.first(inputs)))


ROUNDED = [SwiGLU, CoarseSwiGLU, Grouped, Channels]


def task_of(build: Callable[[int], nn.Module], width: int = 16) -> UserTask:
    return UserTask(
        name="widths",
        input_shape=(FEATURES,),
        classes=CLASSES,
        examples=(150, 75, 75),
        load=points,
        build=lambda width, depth: build(width),
        width=width,
        depth=1,
    )


def shapes_of(build: Callable[[int], nn.Module], width: int) -> dict[str, list[int]]:
    with torch.device("meta"):
        return {name: list(value.shape) for name, value in build(width).named_parameters()}


@pytest.mark.parametrize("build", ROUNDED, ids=lambda build: build.__name__)
def test_rounded_sizes_are_tuned_and_planned_for_by_their_true_shapes(build) -> None:
    fields = {"inner": {"steps": 10, "batch_size": 32, "seeds": 2}, "outer": {"steps": 1, "scout": False}}
    result = windtunnel.tune(build, points(), base_width=16, parametrization="standard", progress=False, **fields)
    for width in (72, 128):
        plan = result.plan(width=width, force=True)
        expected = shapes_of(build, width)
        assert {row.name: row.shape for row in plan.tensors} == expected
        assert plan.parameters == sum(prod(shape) for shape in expected.values())
        model = build(width)
        windtunnel.torch.optimizer(model, plan)
        assert sum(value.numel() for value in model.parameters()) == plan.parameters


@pytest.mark.parametrize(("build", "name"), [(SwiGLU, "down.weight"), (CoarseSwiGLU, "gate.weight"), (Grouped, "v.weight")])
def test_the_growth_of_a_tensor_is_that_of_its_true_shape(build, name) -> None:
    task = task_of(build)
    spec = JobSpec.of({"task": "widths"}, task.info_with(described(task)[1]))
    base = proxy_tensors(spec.model, spec.info)
    target = proxy_tensors(spec.model.model_copy(update={"width": 128}), spec.info)
    near, far = ({row.name: row for row in resolve(spec, {}, base, facts)}[name] for facts in (base, target))
    small, large = (shapes_of(build, width)[name] for width in (16, 128))
    m_in = large[1] / small[1]
    assert near.role == "hidden" and near.shape == small and far.shape == large
    assert far.learning_rate == pytest.approx(near.learning_rate / m_in, rel=1e-12)
    assert far.init_std == pytest.approx(near.init_std / m_in**0.5, rel=1e-12)
    assert near.init_std == pytest.approx(small[1] ** -0.5, rel=1e-12)
    assert far.eps == pytest.approx(near.eps * small[0] / large[0], rel=1e-12)


@pytest.mark.parametrize("build", ROUNDED, ids=lambda build: build.__name__)
def test_rounded_sizes_are_told_with_the_roles(build) -> None:
    table, info = described(task_of(build))
    assert any("proportion" in sentence for sentence in table.warnings) and table.warnings == info.warnings
    assert info.measured and all(
        sizes.shapes == list(shapes_of(build, width).values()) for width, sizes in info.measured.items()
    )


def test_sizes_in_proportion_are_told_nothing_and_their_table_is_as_it_was() -> None:
    table, info = described(task_of(Proportional))
    assert not any("proportion" in sentence for sentence in table.warnings)
    assert (info.delta, info.measured) == (32, {}) and "measured" not in info.model_dump()


def test_the_table_of_a_server_has_rounded_sizes_at_its_widths_and_refuses_others() -> None:
    task = task_of(SwiGLU)
    _, info = described(task, widths=(1000,))
    sent = ModuleInfo.model_validate_json(info.model_dump_json())
    assert sent == info
    for width in (16, 64, 1000, 1024):
        facts = sent.tensors_at(width, 1)
        assert {fact.name: fact.shape for fact in facts} == shapes_of(SwiGLU, width)
    check_table(task, task.info_with(sent))
    with pytest.raises(ValueError, match=r"width 100: sizes of this module are rounded.*--save FILE --width 100"):
        sent.check_width(100)
    with pytest.raises(ValueError, match=r"width 100: sizes of this module are rounded"):
        JobSpec.of({"task": "widths", "target": {"width": 100}}, task.info_with(sent))


class Heads(nn.Module):
    """As many heads of 8 as the width holds, with a layer before and after them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        size = 8 * (width // 8)
        self.first, self.head = nn.Linear(FEATURES, width), nn.Linear(width, CLASSES)
        self.into, self.out = nn.Linear(width, size), nn.Linear(size, width)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.first(inputs)
        return self.head(hidden + self.out(torch.relu(self.into(hidden))))


def test_sizes_that_are_rounded_only_between_multiples_keep_their_lines_at_these() -> None:
    _, info = described(task_of(Heads, 32))
    sent = ModuleInfo.model_validate_json(info.model_dump_json())
    assert (sent.step, sent.measured) == (8, {})
    for width in (8, 40, 1000):
        assert [fact.shape for fact in sent.tensors_at(width, 1)] == list(shapes_of(Heads, width).values())
    with pytest.raises(ValueError, match=r"width 100: sizes of this module are rounded there.*8 apart.*such as 96"):
        sent.check_width(100)


def test_the_cost_of_a_rounded_size_is_counted_where_it_is_known() -> None:
    _, info = described(task_of(SwiGLU))
    model = SwiGLU(128)
    with FlopCounterMode(display=False) as counter:
        model(torch.randn(1, FEATURES))
    assert info.multiply_adds_at(128, 1) == counter.get_total_flops() // 2


def test_two_widths_that_hide_a_growing_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"tensor 'gate.weight' has shape .* its size is rounded.* Take a wider delta"):
        roles(CoarseSwiGLU, base=16, delta=32)
    table = roles(CoarseSwiGLU, base=16, delta=128)
    assert table.roles["gate.weight"] == "hidden" and any("proportion" in sentence for sentence in table.warnings)
