"""Fan-ins that shapes do not tell, against the layer's own derivative: one output depends on [fan_in] numbers of it."""

from collections.abc import Callable
from functools import cache, partial
from math import prod, sqrt
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from hpo.families.own.describing import describe
from hpo.families.own.modules import roles
from hpo.mup.growth import growth_of
from hpo.mup.roles import RoleQuestion
from hpo.mup.rules import tensor_rules
from windtunnel.tasks import UserTask
from windtunnel.types.modules import ModuleInfo
from windtunnel.types.optimizers import optimizer_info

BASE, DELTA = 8, 16
FEATURES, BATCH, PLACES = 4, 3, 6


class Single(nn.Module):
    """One layer or parameter between inputs that are made as wide as it wants them, and its outputs."""

    def __init__(self, width: int, layer: nn.Module | Tensor, forward: Callable[..., Tensor], *, wide: bool) -> None:
        super().__init__()
        if isinstance(layer, nn.Module):
            self.layer = layer
        else:
            self.w = nn.Parameter(layer)
        self.channels = width if wide else FEATURES
        self.use = forward

    def forward(self, inputs: Tensor) -> Tensor:
        x = inputs.repeat_interleave(self.channels // FEATURES, 1)
        return self.use(x, self.layer if hasattr(self, "layer") else self.w)


def _single(layer: Callable[[int], Any], use: Callable[..., Tensor], width: int, *, wide: bool) -> Single:
    return Single(width, layer(width), use, wide=wide)


def case(
    name: str, role: str, layer: Callable[[int], Any], use: Callable[..., Tensor], *, wide: bool = True, rank: int = 2
) -> Any:
    """A layer, its role by the definition of muP, and how it is used; inputs are [batch, channels, places, ...]."""
    return pytest.param(role, partial(_single, layer, use, wide=wide), rank, id=name)


def matmul(x: Tensor, w: Tensor) -> Tensor:
    return x @ w


def call(x: Tensor, layer: nn.Module) -> Tensor:
    return layer(x)


def randn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def twice(x: Tensor, layer: nn.Module) -> Tensor:
    return layer(x, x.flip(1))


def tokens(x: Tensor) -> Tensor:
    return (x[:, 0].abs() * 3).long().clamp(max=6)


def _depthwise(kind: Any, width: int) -> nn.Module:
    return kind(width, width, 3, groups=width, bias=False)


class Subclass(nn.Linear):
    pass


CASES = [
    # Raw parameters, in orders of their own
    case("x @ w", "hidden", lambda w: randn(w, 4 * w), matmul),
    case("x @ w, narrowing", "hidden", lambda w: randn(4 * w, w), lambda x, w: x.repeat(1, 4) @ w),
    case("x @ w of features", "input", lambda w: randn(FEATURES, w), matmul, wide=False),
    case("x @ w to few", "output", lambda w: randn(w, 3), matmul),
    case("x @ vector", "output", randn, matmul),
    case("w @ x", "hidden", lambda w: randn(3 * w, w), lambda x, w: w @ x, rank=3),
    case("linear", "hidden", lambda w: randn(3 * w, w), functional.linear),
    case("linear of w.t()", "hidden", lambda w: randn(w, 3 * w), lambda x, w: functional.linear(x, w.t())),
    case("einsum", "hidden", lambda w: randn(w, 2 * w), lambda x, w: torch.einsum("bi,io->bo", x, w)),
    case("einsum to heads", "hidden", lambda w: randn(w // 4, w, 4), lambda x, w: torch.einsum("bi,hid->bhd", x, w)),
    case(
        "einsum from heads",
        "hidden",
        lambda w: randn(w // 4, 4, w),
        lambda x, w: torch.einsum("bhd,hdo->bo", x.unflatten(1, (-1, 4)), w),
    ),
    case(
        "a matrix for each head",
        "input",
        lambda w: randn(w // 4, 4, 4),
        lambda x, w: torch.einsum("bhd,hde->bhe", x.unflatten(1, (-1, 4)), w),
    ),
    case("addmm", "hidden", lambda w: randn(w, 2 * w), lambda x, w: torch.addmm(x.new_zeros(1), x, w)),
    case(
        "baddbmm",
        "hidden",
        lambda w: randn(2, w, 3 * w),
        lambda x, w: torch.baddbmm(x.new_zeros(1, 1, 1), x.expand(2, *x.shape), w),
    ),
    case("product and sum", "output", lambda w: randn(w, 2), lambda x, w: (x[:, :, None] * w).sum(1)),
    case("packed", "hidden", lambda w: randn(w, 3 * w), lambda x, w: torch.stack([x @ part for part in w.chunk(3, 1)])),
    case("experts", "hidden", lambda w: randn(4, 2 * w, w), lambda x, w: functional.linear(x, w[1])),
    case(
        "a matrix for each example",
        "hidden",
        lambda w: randn(7, w, 2 * w),
        lambda x, w: torch.einsum("bi,bio->bo", x, w[tokens(x)]),
    ),
    case("cast and copied", "hidden", lambda w: randn(w, 2 * w), lambda x, w: x.double() @ w.double().clone()),
    case("masked", "hidden", lambda w: randn(w, 2 * w), lambda x, w: x @ (w * torch.ones(w.shape))),
    case("padded", "hidden", lambda w: randn(w, 2 * w), lambda x, w: x @ functional.pad(w, (0, 2))),
    case("added rows", "input", lambda w: randn(PLACES, w), lambda x, w: x.transpose(1, 2) + w, rank=3),
    case("added beside", "input", lambda w: randn(2, w), lambda x, w: torch.cat([x, w.expand(2, -1)]).tanh()),
    case("multiplied rows", "vector", lambda w: randn(PLACES, w), lambda x, w: x.transpose(1, 2) * w, rank=3),
    case("looked up", "input", lambda w: randn(7, w), lambda x, w: w[tokens(x)]),
    case("gain", "vector", randn, lambda x, w: x * w),
    case("function of it", "vector", lambda w: randn(w, 5), lambda x, w: (x[:, :, None] * -torch.exp(w)).tanh()),
    # Layers of torch.nn
    case("Linear", "hidden", lambda w: nn.Linear(w, 3 * w, bias=False), call),
    case("Linear, subclass", "output", lambda w: Subclass(w, 3, bias=False), call),
    case("Conv1d", "hidden", lambda w: nn.Conv1d(w, 2 * w, 3, bias=False), call, rank=3),
    case("Conv2d, grouped", "hidden", lambda w: nn.Conv2d(w, 2 * w, 3, groups=4, bias=False), call, rank=4),
    case("Conv3d stem", "input", lambda w: nn.Conv3d(FEATURES, w, 3, bias=False), call, wide=False, rank=5),
    *(
        case(f"{kind.__name__}, depthwise", "input", partial(_depthwise, kind), call, rank=rank)
        for kind, rank in ((nn.Conv1d, 3), (nn.Conv2d, 4), (nn.Conv3d, 5), (nn.ConvTranspose1d, 3))
    ),
    case("Conv1d, depthwise, 2 each", "input", lambda w: nn.Conv1d(w, 2 * w, 3, groups=w, bias=False), call, rank=3),
    case("Conv1d, groups of 4", "input", lambda w: nn.Conv1d(w, w, 3, groups=w // 4, bias=False), call, rank=3),
    case("ConvTranspose1d", "hidden", lambda w: nn.ConvTranspose1d(w, 2 * w, 3, bias=False), call, rank=3),
    case("ConvTranspose2d", "output", lambda w: nn.ConvTranspose2d(w, 3, 2, stride=2, bias=False), call, rank=4),
    case("ConvTranspose3d", "input", lambda w: nn.ConvTranspose3d(FEATURES, w, 2, bias=False), call, wide=False, rank=5),
    case("ConvTranspose2d, strided", "hidden", lambda w: nn.ConvTranspose2d(w, w, 4, stride=3, bias=False), call, rank=4),
    case("ConvTranspose1d, grouped", "hidden", lambda w: nn.ConvTranspose1d(w, w, 3, groups=2, bias=False), call, rank=3),
    case("Bilinear to few", "output", lambda w: nn.Bilinear(w, w, 3, bias=False), twice),
    case("Bilinear of few", "input", lambda w: nn.Bilinear(FEATURES, FEATURES, w, bias=False), twice, wide=False),
    case("Bilinear", "hidden", lambda w: nn.Bilinear(w, 4, 2 * w, bias=False), lambda x, p: p(x, x[:, :4])),
    case("Embedding", "input", lambda w: nn.Embedding(7, w), lambda x, layer: layer(tokens(x))),
    case("PReLU", "vector", nn.PReLU, lambda x, layer: layer(-x.abs())),
    case("RNNCell", "hidden", lambda w: nn.RNNCell(w, 2 * w, bias=False), call),
]  # fmt: skip


def counted(module: nn.Module, inputs: Tensor) -> dict[str, int]:
    """Parameter -> the most numbers of it that one output depends on, by differentiating some outputs one by one."""
    outputs = module(inputs).flatten()
    names, parameters = zip(*module.named_parameters(), strict=True)
    most = dict.fromkeys(names, 0)
    for index in range(0, len(outputs), max(1, len(outputs) // 60)):
        slopes = torch.autograd.grad(outputs[index], parameters, retain_graph=True, allow_unused=True)
        for name, slope in zip(names, slopes, strict=True):
            most[name] = max(most[name], 0 if slope is None else int((slope != 0).sum()))
    return most


@pytest.mark.parametrize(("role", "build", "rank"), CASES)
def test_the_fan_in_is_the_number_of_entries_that_one_output_depends_on(role, build, rank):
    inputs = randn(BATCH, FEATURES, *[PLACES] * (rank - 2))
    table = roles(build, base=BASE, delta=DELTA, inputs=inputs)
    low, high = counted(build(BASE), inputs), counted(build(DELTA), inputs)
    row = table.rows[0]
    assert (row.role, row.fan_in) == (role, (low[row.name], high[row.name]))
    m_in = high[row.name] / low[row.name]
    assert (row.m_in, row.m_out) == (m_in, prod(row.delta) / prod(row.base) / m_in)


@pytest.mark.parametrize(("role", "build", "rank"), [each for each in CASES if each.id.startswith(("Conv", "Bil", "Lin"))])
def test_layers_of_torch_tell_as_much_without_inputs(role, build, rank):
    inputs = randn(BATCH, FEATURES, *[PLACES] * (rank - 2))
    alone, seen = (roles(build, base=BASE, delta=DELTA, inputs=given).rows[0] for given in (None, inputs))
    assert (alone.role, alone.fan_in, alone.m_in) == (role, seen.fan_in, seen.m_in)


class Attention(nn.Module):
    """Queries of the width, keys of 5 features, values of 3."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.MultiheadAttention(width, width // 4, kdim=5, vdim=3, batch_first=True, add_bias_kv=True)
        self.same = nn.MultiheadAttention(width, width // 4, batch_first=True)

    def forward(self, inputs: Tensor) -> Tensor:
        x = inputs.repeat(1, 1, self.layer.embed_dim // FEATURES)
        mixed = self.layer(x, functional.pad(inputs, (0, 1)), inputs[..., :3])[0]
        return self.same(mixed, mixed, mixed)[0]


def test_packed_and_separate_projections_of_attention():
    rows = roles(Attention, base=BASE, delta=DELTA, inputs=randn(BATCH, PLACES, FEATURES)).rows
    found = {row.name: (row.role, row.fan_in) for row in rows}
    wide = (BASE, DELTA)
    assert found == {
        "layer.q_proj_weight": ("hidden", wide),
        "layer.k_proj_weight": ("input", (5, 5)),
        "layer.v_proj_weight": ("input", (3, 3)),
        "layer.in_proj_bias": ("vector", (1, 1)),
        "layer.bias_k": ("vector", (1, 1)),
        "layer.bias_v": ("vector", (1, 1)),
        "layer.out_proj.weight": ("hidden", wide),
        "layer.out_proj.bias": ("vector", (1, 1)),
        "same.in_proj_weight": ("hidden", wide),
        "same.in_proj_bias": ("vector", (1, 1)),
        "same.out_proj.weight": ("hidden", wide),
        "same.out_proj.bias": ("vector", (1, 1)),
    }


class Queries(nn.Module):
    """Learned queries read the inputs by attention: parameters that take the place of activations."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(randn(2, width))
        self.table = nn.EmbeddingBag(9, width)
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, width, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        x = self.table((inputs.abs() * 4).long().clamp(max=8))
        return self.project(self.norm(self.queries)) @ x.T


def test_a_parameter_that_a_layer_projects_is_an_input_and_the_layer_keeps_its_fan_in():
    rows = roles(Queries, base=BASE, delta=DELTA, inputs=randn(BATCH, FEATURES)).rows
    found = {row.name: (row.role, row.fan_in) for row in rows}
    assert found["queries"] == found["table.weight"] == ("input", (1, 1))
    assert found["project.weight"] == ("hidden", (BASE, DELTA))


class Widening(nn.Module):
    """Raw matrices; the second dimension of the second one grows faster than its first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(FEATURES, width))
        self.second = nn.Parameter(torch.randn(width, 4 * width - 16))
        self.head = nn.Parameter(torch.randn(4 * width - 16, 16))

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs @ self.first @ self.second @ self.head


def test_a_weight_that_is_computed_from_the_parameter_is_followed():
    """Weight standardisation, a spectral norm, rounding with a straight-through gradient, and a checkpoint."""

    def standard(x: Tensor, layer: nn.Linear) -> Tensor:
        weight = layer.weight
        return functional.linear(x, (weight - weight.mean(1, keepdim=True)) / weight.std(1, keepdim=True))

    def rounded(x: Tensor, w: Tensor) -> Tensor:
        return x @ (w + (w.round() - w).detach())

    def again(x: Tensor, w: Tensor) -> Tensor:
        return checkpoint(matmul, x, w, use_reentrant=False)

    def bounded(width: int) -> nn.Module:
        return nn.utils.parametrizations.spectral_norm(nn.Linear(width, 3 * width, bias=False))

    built: list[Callable[[int], nn.Module]] = [
        lambda width: Single(width, nn.Linear(width, 3 * width, bias=False), standard, wide=True),
        lambda width: Single(width, randn(width, 3 * width), rounded, wide=True),
        lambda width: Single(width, randn(width, 3 * width), again, wide=True),
        lambda width: Single(width, bounded(width), call, wide=True),
    ]
    for build in built:
        (row,) = roles(build, base=BASE, delta=DELTA, inputs=randn(BATCH, FEATURES)).rows
        assert (row.role, row.fan_in) == ("hidden", (BASE, DELTA)), row.name


def test_fans_that_grow_apart_are_told_apart():
    row = roles(Widening, base=BASE, delta=DELTA, inputs=randn(BATCH, FEATURES)).rows[1]
    assert (row.base, row.delta, row.m_in, row.m_out) == ((8, 16), (16, 48), 2, 3)
    facts = [describe(task(Widening)).tensors_at(width, 1)[1] for width in (BASE, 4 * BASE)]
    growth = growth_of(*facts)
    assert (growth.fan_in, growth.fan_out) == (4, 112 / 16)


# What cannot be told


@pytest.mark.parametrize(
    ("build", "note"),
    [
        (lambda w: Single(w, randn(FEATURES, w), lambda x, p: (x @ p).tanh() @ p.T, wide=False), "another over 8 and 16"),
        (lambda w: Single(w, randn(w, w), lambda x, p: (x[:, :, None] * p).tanh(), wide=True), "forward multiplies by it"),
        (lambda w: Single(w, randn(FEATURES, w), lambda x, p: x @ p + p[0] * x.sum(), wide=False), "scaled and summed"),
        (lambda w: Single(w, randn(7, w), torch.cdist, wide=True), "dimension 1 grows"),
        (lambda w: Single(w, randn(2, w), lambda x, p: x * torch.fft.rfft(p).abs().sum(), wide=True), "dimension 1 grows"),
    ],
)
def test_what_forward_does_not_settle_is_asked_for_by_name(build, note):
    with pytest.raises(RoleQuestion) as asked:
        roles(build, base=BASE, delta=DELTA, inputs=randn(BATCH, FEATURES))
    text = asked.value.questions["w"]
    assert "tensor 'w' has shape" in text and "What is it?" in text and "w=" in text and note in text


def test_an_answer_still_settles_it_and_one_that_shapes_contradict_is_refused():
    def build(width: int) -> nn.Module:
        return Single(width, randn(FEATURES, width), lambda x, p: (x @ p).tanh() @ p.T, wide=False)

    inputs = randn(BATCH, FEATURES)
    (row,) = roles(build, base=BASE, delta=DELTA, inputs=inputs, overrides={"w": "input"}).rows
    assert (row.role, row.m_in, row.m_out) == ("input", 1, 2)
    with pytest.raises(ValueError, match="'w' cannot have role 'hidden': 1 of its dimensions"):
        roles(build, base=BASE, delta=DELTA, inputs=inputs, overrides={"w": "hidden"})


def test_an_answer_against_what_forward_does_is_told():
    def build(width: int) -> nn.Module:
        return Single(width, randn(width, 3), matmul, wide=True)

    tables = [
        roles(build, base=BASE, delta=DELTA, inputs=randn(BATCH, FEATURES), overrides={"w": role})
        for role in ("input", "output")
    ]
    assert [table.roles["w"] for table in tables] == ["input", "output"]
    doubts = [[text for text in table.warnings if text.startswith("w is given as")] for table in tables]
    assert doubts[1] == [] and "w is given as input, and the module shows output: its fan-in grows" in doubts[0][0]


def test_a_sum_over_pairs_of_units_is_no_size_out_of_proportion():
    def build(width: int) -> nn.Module:
        return Single(width, nn.Bilinear(width, width, 3, bias=False), twice, wide=True)

    table = roles(build, base=BASE, delta=DELTA, inputs=randn(BATCH, FEATURES))
    assert table.rows[0].m_in == 4 and not any("out of proportion" in text for text in table.warnings)
    law = describe(task(build, classes=3)).tensors[0]
    assert [law.fan_in_at([3, width, width]) for width in (BASE, 3 * BASE)] == [BASE**2, 9 * BASE**2]


# Starts and rules


def task(build: Callable[[int], nn.Module], **changes: Any) -> UserTask:
    fields = {"name": "t", "input_shape": (FEATURES,), "classes": 16, "examples": (8, 8, 8), "width": BASE, "depth": 1}
    return UserTask(**{**fields, "load": lambda: (), "build": lambda width, depth: build(width), **changes})


class Layered(nn.Module):
    """Two layers of nn.Linear, the second four times as wide as it is long."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(FEATURES, width, bias=False)
        self.second = nn.Linear(width, 4 * width, bias=False)
        self.head = nn.Linear(4 * width, 16, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(torch.tanh(self.second(torch.tanh(self.first(inputs)))))


class Raw(nn.Module):
    """Computes what ``nn.Linear`` layers do from matrices stored as [fan_in, fan_out]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(FEATURES, width))
        self.second = nn.Parameter(torch.randn(width, 4 * width))
        self.head = nn.Parameter(torch.randn(4 * width, 16))

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.tanh(torch.tanh(inputs @ self.first) @ self.second) @ self.head


@pytest.mark.parametrize("parametrization", ["mup", "spectral"])
def test_a_module_of_raw_matrices_gets_the_rules_of_the_same_module_of_layers(parametrization):
    tables = [describe(task(kind)) for kind in (Layered, Raw)]
    starts = [[fact.init_std for fact in table.tensors_at(4 * BASE, 1)] for table in tables]
    assert starts[0] == starts[1]
    assert starts[1][:2] == pytest.approx([1 / sqrt(FEATURES), 1 / sqrt(4 * BASE)])
    assert [fact.flipped for fact in tables[1].tensors_at(BASE, 1)] == [True, True, True]
    assert not any(fact.is_table for fact in tables[1].tensors_at(BASE, 1))
    rules = [
        tensor_rules(
            parametrization, optimizer_info("adamw"), "decoupled", table.tensors_at(BASE, 1), table.tensors_at(4 * BASE, 1)
        )
        for table in tables
    ]
    assert list(rules[0].values()) == list(rules[1].values())


def test_a_table_written_before_fan_ins_were_traced_is_still_read():
    """Where the fan-in does not grow as the role says, shapes decide, as they did."""
    table = describe(task(Raw))
    old = [law.model_copy(update={"fan_in": (1, 1)}) for law in table.tensors]
    facts = table.model_copy(update={"tensors": old}).tensors_at(2 * BASE, 1)
    assert [fact.fan_in for fact in facts] == [1, None, None]
    assert growth_of(table.tensors_at(BASE, 1)[1].model_copy(update={"fan_in": None}), facts[1]).fan_in == 2


class Rounded(nn.Module):
    """Raw matrices with a size of 8/3 of the width in steps of 8, packed with another matrix of the same fan-in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = -(-8 * width // 24) * 8
        self.first = nn.Parameter(torch.randn(FEATURES, width))
        self.up = nn.Parameter(torch.randn(width, 2 * self.inner))
        self.down = nn.Parameter(torch.randn(self.inner, width))
        self.head = nn.Linear(width, 16)

    def forward(self, inputs: Tensor) -> Tensor:
        gate, value = (inputs @ self.first @ self.up).split(self.inner, -1)
        return self.head((torch.sigmoid(gate) * value) @ self.down)


@pytest.mark.parametrize("width", [8, 12, 16, 24, 48])
def test_the_fan_in_of_a_rounded_size_is_the_true_one(width):
    facts = {fact.name: fact for fact in rounded().tensors_at(width, 1)}
    inner = Rounded(width).inner
    assert (facts["up"].fan_in, facts["down"].fan_in, facts["head.weight"].fan_in) == (width, inner, width)
    assert facts["down"].shape == [inner, width] and facts["down"].init_std == pytest.approx(inner**-0.5)
    start = {fact.name: fact for fact in rounded().tensors_at(BASE, 1)}
    growth = growth_of(start["down"], facts["down"])
    assert (growth.fan_in, growth.fan_out) == (inner / Rounded(BASE).inner, width / BASE)


@cache
def rounded() -> ModuleInfo:
    return describe(task(Rounded))
