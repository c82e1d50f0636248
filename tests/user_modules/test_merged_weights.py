"""Weights that are products of parameters, as merged low-rank ones: roles as if the factors were layers, or a question."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hpo.families.own.describing import describe
from hpo.families.own.modules import roles
from hpo.mup.roles import RoleQuestion
from windtunnel import UserTask

BASE, DELTA, RANK = 16, 32, 4


class Merged(nn.Module):
    """``first`` layers of one's own, applied one after the other or merged into one weight."""

    def __init__(self, width: int, sizes: tuple[int, ...], *, merged: bool, beside: bool = False) -> None:
        super().__init__()
        sizes = tuple(width * -size if size < 0 else size for size in sizes)
        self.factors = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in pairwise(sizes))
        self.whole = nn.Linear(sizes[0], sizes[-1]) if beside else None
        self.width, self.merged = sizes[0], merged

    def forward(self, inputs: Tensor) -> Tensor:
        x = inputs.repeat(1, self.width // inputs.shape[1])
        if not self.merged:
            added = 0 if self.whole is None else self.whole(x)
            for factor in self.factors:
                x = factor(x)
            return x + added
        weight = self.factors[0].weight
        for factor in self.factors[1:]:
            weight = factor.weight @ weight
        if self.whole is not None:
            return functional.linear(x, self.whole.weight + 0.5 * weight, self.whole.bias)
        return functional.linear(x, weight)


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("sizes", [(-1, RANK, -1), (-1, RANK, 3), (-1, -4, -1), (-1, RANK, RANK, -1)])
def test_merged_factors_have_the_roles_and_fans_of_layers(sizes: tuple[int, ...], beside: bool) -> None:
    found = []
    for merged in (False, True):

        def build(width: int, merged: bool = merged) -> nn.Module:
            return Merged(width, sizes, merged=merged, beside=beside)

        rows = roles(build, base=BASE, delta=DELTA, inputs=torch.randn(2, 8)).rows
        found.append({row.name: (row.role, row.fan_in, row.m_in, row.m_out) for row in rows if "bias" not in row.name})
    assert found[0] == found[1]


class Loose(nn.Module):
    """A layer's factor merged with a parameter of the module's own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.whole, self.up = nn.Linear(width, width), nn.Linear(RANK, width, bias=False)
        self.down = nn.Parameter(torch.randn(RANK, width))

    def forward(self, inputs: Tensor) -> Tensor:
        x = inputs.repeat(1, len(self.up.weight) // inputs.shape[1])
        return functional.linear(x, self.whole.weight + self.up.weight @ self.down)


class Turned(Merged):
    """A product that is used the other way round than its layers are."""

    def forward(self, inputs: Tensor) -> Tensor:
        down, up = self.factors
        return inputs.repeat(1, self.width // inputs.shape[1]) @ (up.weight @ down.weight)


@pytest.mark.parametrize(
    ("build", "name"),
    [(Loose, "down"), (lambda width: Turned(width, (-1, RANK, -1), merged=True), "factors.0.weight")],
    ids=["loose", "turned"],
)
def test_a_factor_whose_direction_cannot_be_told_is_asked_for_by_name(build, name: str) -> None:
    with pytest.raises(RoleQuestion, match="multiplied with another parameter") as asked:
        roles(build, base=BASE, delta=DELTA, inputs=torch.randn(2, 8))
    assert f"'{name}=output'" in asked.value.questions[name]


class Computed(nn.Module):
    """A weight that is a function of parameters whose entries are not each its own."""

    def __init__(self, width: int, weight, *sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(8, width), nn.Linear(width, 3)
        self.parts = nn.ParameterList(torch.randn(*size) for size in sizes)
        self.weight = weight

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(torch.relu(self.first(inputs)) @ self.weight(*self.parts))


def circulant(row: Tensor) -> Tensor:
    places = torch.arange(len(row))
    return row[(places[:, None] - places) % len(row)]


SHARED = {
    "circulant": lambda width: Computed(width, circulant, (width,)),
    "kronecker": lambda width: Computed(width, torch.kron, (4, 4), (width // 4, width // 4)),
    "entrywise": lambda width: Computed(width, torch.mul, (width, width), (width, width)),
}


@pytest.mark.parametrize("build", SHARED.values(), ids=SHARED)
def test_a_weight_whose_entries_are_not_its_own_has_no_fan_in_by_itself(build) -> None:
    with pytest.raises(RoleQuestion, match="a weight is computed from it, whose entries are not each its own") as asked:
        roles(build, base=BASE, delta=DELTA, inputs=torch.randn(2, 8))
    assert all(name.startswith("parts.") for name in asked.value.questions)


OWN = {
    "gain": lambda width: Computed(width, lambda g, v: g * v / v.norm(dim=0), (1, width), (width, width)),
    "symmetric": lambda width: Computed(width, lambda v: (v + v.T) / 2, (width, width)),
    "expanded": lambda width: Computed(width, lambda v: v.repeat(1, 2)[:, : v.shape[1]], (width, width)),
}


@pytest.mark.parametrize("build", OWN.values(), ids=OWN)
def test_a_function_of_single_entries_is_a_weight(build) -> None:
    rows = {row.name: row for row in roles(build, base=BASE, delta=DELTA, inputs=torch.randn(2, 8)).rows}
    name = max(name for name in rows if name.startswith("parts."))
    assert (rows[name].role, rows[name].fan_in) == ("hidden", (BASE, DELTA))


def test_an_entrywise_factor_wants_its_deviation_beside_its_role() -> None:
    """The product of two deviations of 1 / root of the fan-in is the fan-in's root too small."""
    given = {"input_shape": (8,), "classes": 3, "examples": (2, 2, 2), "width": BASE, "depth": 1, "load": list}
    build = SHARED["entrywise"]
    task = UserTask(name="factors", build=lambda width, depth: build(width), roles={"parts.*": "hidden"}, **given)
    with pytest.raises(RoleQuestion, match=r"init_std=\{'parts\.0'"):
        describe(task)
