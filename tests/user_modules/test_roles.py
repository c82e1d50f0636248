"""Roles of modules: what layers tell beside shapes, questions for what they do not, and warnings."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import windtunnel
from hpo.families.facts.registry import proxy_tensors
from hpo.families.own.modules import roles
from hpo.families.registry import build
from hpo.mup.roles import RoleQuestion, tensor_roles
from windtunnel.tasks import TASKS
from windtunnel.types import ModelSpec


def infer_roles(base, delta, overrides=None) -> dict[str, str]:
    return {found.name: found.role for found in tensor_roles(base, delta, overrides)}


class Everything(nn.Module):
    """Layers whose shapes alone would mislead, or say nothing."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(50, width)
        self.stem = nn.Conv2d(3, width, 5)
        self.depthwise = nn.Conv1d(width, width, 3, groups=width)
        self.conv = nn.Conv1d(width, 2 * width, 3)
        self.up = nn.ConvTranspose2d(width, 3, 2)
        self.down = nn.ConvTranspose2d(3, width, 2)
        self.attention = nn.MultiheadAttention(width, width // 16, kdim=5, vdim=5, add_bias_kv=True)
        self.norm = nn.LayerNorm((width, 4))
        self.gate = nn.PReLU(width)
        self.scale = nn.Parameter(torch.ones(()))
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.mixer = nn.Parameter(torch.zeros(width, width))
        self.single = nn.Linear(1, width)
        self.head = nn.Linear(width, 1)


EXPECTED = {
    "table.weight": "input",
    "stem.weight": "input",
    "stem.bias": "vector",
    "depthwise.weight": "input",
    "conv.weight": "hidden",
    "up.weight": "output",
    "up.bias": "scalar",
    "down.weight": "input",
    "attention.q_proj_weight": "hidden",
    "attention.k_proj_weight": "input",
    "attention.in_proj_bias": "vector",
    "attention.bias_k": "vector",
    "attention.out_proj.weight": "hidden",
    "norm.weight": "vector",
    "gate.weight": "vector",
    "scale": "scalar",
    "token": "vector",
    "mixer": "hidden",
    "single.weight": "input",
    "head.weight": "output",
    "head.bias": "scalar",
}


def test_layers_tell_the_roles_that_shapes_do_not():
    found = roles(Everything).roles
    assert {name: found[name] for name in EXPECTED} == EXPECTED
    assert roles(Everything, base=32, delta=96).roles == found


def test_growth_is_that_of_the_fans():
    rows = {row.name: (row.m_in, row.m_out) for row in roles(Everything, base=32, delta=128).rows}
    assert rows["conv.weight"] == (4, 4)
    assert rows["head.weight"] == rows["up.weight"] == (4, 1)
    assert rows["table.weight"] == rows["norm.weight"] == (1, 4)
    assert rows["scale"] == (1, 1)


@pytest.mark.parametrize(("family", "task"), [("mlp", "digits"), ("resnet", "digits"), ("transformer", "python-text")])
def test_built_in_families_get_the_roles_that_are_written_down_for_them(family, task):
    model, info = ModelSpec(family=family, width=32, depth=2), TASKS[task]
    found = roles(lambda width: build(model.model_copy(update={"width": width}), info), base=32, delta=64).roles
    assert found == {fact.name: fact.role for fact in proxy_tensors(model, info)}


class Loose(nn.Module):
    """Parameters that a module holds itself, in orders of their own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.zeros(1, 7, width))
        self.pooled = nn.Parameter(torch.zeros(width, 3))
        self.heads = nn.Parameter(torch.zeros(width // 8, width, 8))
        self.cube = nn.Parameter(torch.zeros(width, width, width // 8))


def test_what_cannot_be_told_is_asked_for_by_name_with_the_answers():
    with pytest.raises(RoleQuestion) as asked:
        roles(Loose)
    assert set(asked.value.questions) == {"position", "pooled", "heads", "cube"}
    text = asked.value.questions["position"]
    assert "'position' has shape [1, 7, 64] at base and [1, 7, 128] at delta" in text
    assert "dimension 2 grows" in text
    assert all(f"'position={role}'" in text for role in ("input", "output", "vector"))
    assert "'heads=hidden'" in asked.value.questions["heads"]
    assert "no rule of muP has more than two growing dimensions" in asked.value.questions["cube"]


def test_an_answer_settles_the_question():
    class Answered(Loose):
        def __init__(self, width: int) -> None:
            super().__init__(width)
            del self.cube

    given = {"pos*": "input", "pooled": "output", "heads": "hidden"}
    table = roles(Answered, overrides=given)
    assert table.roles == {"position": "input", "pooled": "output", "heads": "hidden"}
    assert [(row.m_in, row.m_out) for row in table.rows] == [(1, 2), (2, 1), (2, 2)]
    assert table.rows[0].why == "given: pos*=input"
    with pytest.raises(RoleQuestion, match="tensor 'pooled'") as asked:
        roles(Answered, overrides={"position": "input", "heads": "hidden"})
    assert set(asked.value.questions) == {"pooled"}
    with pytest.raises(ValueError, match="'position' cannot have role 'hidden': 1 of its dimensions"):
        roles(Answered, overrides=given | {"pos*": "hidden"})
    with pytest.raises(ValueError, match="no role 'embed'; allowed: input, hidden, output, vector, scalar"):
        roles(Answered, overrides=given | {"pos*": "embed"})


def test_fans_that_grow_apart_in_an_order_of_their_own_are_asked_about():
    with pytest.raises(RoleQuestion, match="grow by 2 and 4"):
        infer_roles({"w": [8, 3, 8]}, {"w": [16, 3, 32]}, {"w": "hidden"})


class Tied(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(9, width)
        self.head = nn.Linear(width, 9, bias=False)
        self.head.weight = self.table.weight


class ReadByHand(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(9, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return functional.linear(self.table(tokens), self.table.weight)


class Norms(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.batch = nn.BatchNorm1d(width)
        self.free = nn.BatchNorm1d(width, affine=False, track_running_stats=False)
        self.head = nn.Linear(width, 2)


class RawReadout(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(3, width)
        self.head = nn.Parameter(torch.randn(2, width))


class FixedHeads(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 4)
        self.head = nn.Linear(width, 2)


@pytest.mark.parametrize(
    ("module", "warning"),
    [
        (Tied, "table.weight is tied: it is an input, and as a readout it has no multiplier"),
        (ReadByHand, "No tensor is a readout"),
        (Norms, "Trainable norm gains (batch.weight)"),
        (Norms, "BatchNorm (batch) keeps running statistics"),
        (Norms, "shapes do not show what its logits are divided by"),
        (FixedHeads, "attention has d_head 16 at base and 32 at delta and divides its logits by its root: they grow"),
        (Everything, "attention divides its logits by sqrt(d_head) with d_head 16 at both widths"),
        (RawReadout, "Readouts outside of a layer (head): windtunnel.torch cannot attach their multiplier"),
    ],
)
def test_it_warns_where_mup_is_known_to_break(module, warning):
    given = {"head": "output"} if module is RawReadout else None
    assert any(warning in found for found in roles(module, overrides=given).warnings)


def test_the_parts_of_a_reparametrised_weight_are_no_weight():
    def build(width: int) -> nn.Module:
        return nn.utils.parametrizations.weight_norm(nn.Linear(width, width))

    found = roles(build, overrides={"*.original0": "vector"})
    assert any(warning.startswith("Reparametrised weights (parametrizations") for warning in found.warnings)


def test_a_plain_module_gets_no_warning_but_what_nobody_can_see():
    table = roles(lambda width: nn.Sequential(nn.Linear(5, width), nn.Linear(width, 2)))
    assert len(table.warnings) == 1 and table.warnings[0].startswith("Attention: shapes do not show")


def test_nothing_is_allocated_and_no_random_number_is_drawn():
    before = torch.random.get_rng_state()
    found = roles(lambda width: nn.Linear(width, width), base=2**20, delta=2**21)
    assert found.roles["weight"] == "hidden"
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_constructor_that_reads_numbers_is_run_where_there_are_some():
    def build(width: int) -> nn.Module:
        rates = [rate.item() for rate in torch.linspace(0, 1, 2)]
        return nn.Linear(width, len(rates))

    assert roles(build).roles["weight"] == "output"


@pytest.mark.parametrize(
    ("build", "widths", "message"),
    [
        (lambda width: nn.Linear(width, 2), (64, 64), "allowed: 1 <= base < delta"),
        (lambda width: width, (64, 128), "it must give a torch.nn.Module"),
        (lambda width: nn.Linear(4, 2), (64, 128), "no tensor grows"),
        (lambda width: nn.Sequential(*[nn.Linear(4, 2)] * (width // 64)), (64, 192), "no tensor grows"),
    ],
)
def test_factories_that_make_no_sense_are_refused(build, widths, message):
    with pytest.raises((ValueError, TypeError), match=message):
        roles(build, base=widths[0], delta=widths[1])


def test_the_table_can_be_read():
    lines = str(windtunnel.roles(Everything)).splitlines()
    assert lines[0].split() == ["tensor", "width", "64", "width", "128", "m_in", "m_out", "role", "why"]
    (row,) = [line for line in lines if line.startswith("conv.weight")]
    assert row.split(maxsplit=1)[1].split("  ") != [] and "[128, 64, 3]" in row and "[256, 128, 3]" in row
    assert "hidden" in row and row.endswith("both fans grow")
