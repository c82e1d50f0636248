"""The rule tables: the numbers of their sources, which are the same parametrization, what the others do to features."""

import math
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from hpo.evidence.apply import effective, initialise
from hpo.evidence.coordcheck import coordinate_check
from hpo.families.facts.mlp import mlp_tensors
from hpo.families.mlp import MLP
from hpo.mup.depth import deepened
from hpo.mup.growth import Growth
from hpo.mup.resolve import resolve
from hpo.mup.rules import tensor_rules
from hpo.mup.tables import TABLES, Entry, vanishing
from windtunnel.types import DecayKind, JobSpec, OptimizerName, Parametrization, TensorRow
from windtunnel.types.optimizers import OPTIMIZERS
from windtunnel.types.powers import ONE, Power
from windtunnel.types.results import Role
from windtunnel.types.tensors import ROLES

FEATURES, CLASSES, DEPTH = 20, 5, 3
base, wide = mlp_tensors(FEATURES, CLASSES, 16, DEPTH), mlp_tensors(FEATURES, CLASSES, 128, DEPTH)


def shifted(entry: Entry, theta: Power) -> Entry:
    """The same parametrization, written with another forward multiplier (Tensor Programs IV, section 3)."""
    return Entry(
        init_std=entry.init_std / theta,
        multiplier=entry.multiplier * theta,
        sgd=entry.sgd / theta / theta,
        adam=entry.adam / theta,
        orthogonal=None if entry.orthogonal is None else entry.orthogonal / theta,
        gradient=entry.gradient * theta,
    )


def test_every_table_has_every_role() -> None:
    assert all(set(table) == set(ROLES) for table in TABLES.values())


def test_the_spectral_table_is_mup_with_the_readouts_multiplier_folded_in() -> None:
    shifts: dict[Role, Power] = {"output": Power(fan_in=1)}
    for role, entry in TABLES["spectral"].items():
        assert entry == shifted(TABLES["mup"][role], shifts.get(role, ONE)), role


def test_the_unit_scaled_table_is_mup_with_hidden_scales_as_multipliers_but_for_the_rate_of_embeddings() -> None:
    shifts: dict[Role, Power] = {"hidden": Power(fan_in=-0.5)}
    for role, entry in TABLES["u-mup"].items():
        expected = shifted(TABLES["mup"][role], shifts.get(role, ONE))
        if role == "input":
            assert (entry.adam, expected.adam) == (Power(fan_out=-0.5), ONE)
            expected = Entry(**{**vars(expected), "adam": entry.adam})
        # Hidden under SGD: m_out / m_in, times m_in by the shift.
        assert entry == expected, role


def test_a_muon_step_moves_a_hidden_matrix_as_far_as_an_adam_step_under_every_table_that_carries() -> None:
    """Entries of order 1 sum to a singular value of sqrt(m_in m_out) where they are coherent; Muon's are of order 1."""
    for name, table in TABLES.items():
        hidden = table["hidden"]
        expected = None if name == "standard" else hidden.adam * Power(fan_in=0.5, fan_out=0.5)
        assert hidden.orthogonal == expected, name


def test_no_shift_makes_ntk_of_mup() -> None:
    """What a shift cannot change: the size of a relative update, rate * multiplier under Adam."""
    mup, ntk = TABLES["mup"], TABLES["ntk"]
    roles: tuple[Role, ...] = ("input", "hidden", "vector")
    assert all(mup[role].adam * mup[role].multiplier != ntk[role].adam * ntk[role].multiplier for role in roles)


def test_the_spectral_table_is_that_of_its_paper() -> None:
    """std = min(1, sqrt(fan_out / fan_in)) / sqrt(fan_in); SGD fan_out / fan_in; Adam 1 / fan_in, between two widths."""

    def paper(fan_out: int, fan_in: int) -> tuple[float, float, float]:
        return min(1, math.sqrt(fan_out / fan_in)) / math.sqrt(fan_in), fan_out / fan_in, 1 / fan_in

    # Wider than its inputs, as a law for growing widths has to take a layer.
    base, target = (mlp_tensors(FEATURES, CLASSES, width, DEPTH) for width in (32, 256))
    sgd = tensor_rules("spectral", OPTIMIZERS["sgd"], "l2", base, target)
    adam = tensor_rules("spectral", OPTIMIZERS["adamw"], "decoupled", base, target)
    for small, large in zip(base, target, strict=True):
        if len(small.shape) == 2:
            at_base, at_target = paper(*small.shape), paper(*large.shape)
            ratios = [after / before for before, after in zip(at_base, at_target, strict=True)]
            rules = [sgd[small.name].init_std, sgd[small.name].learning_rate, adam[small.name].learning_rate]
            assert rules == pytest.approx(ratios), small.name
    assert {rule.multiplier for rule in adam.values()} == {1.0}


def test_the_unit_scaled_table_at_base_fans_of_one_gives_the_numbers_of_its_library() -> None:
    """unit-scaling: d = 16, depth 3, rate .1."""
    one = Growth(fan_in=16, fan_out=16, depth=3)
    stack = TABLES["u-mup"]
    rates = {role: 0.1 * deepened(stack[role], role, "inside", 0.5).adam.at(one) for role in ("hidden", "vector")}
    assert rates == pytest.approx({"hidden": 0.1 / 4 / math.sqrt(3), "vector": 0.1 / math.sqrt(3)})
    assert 0.1 * stack["input"].adam.at(Growth(1, 16)) == pytest.approx(0.1 / 4)
    assert 0.1 * stack["output"].adam.at(Growth(16, 1)) == pytest.approx(0.1)
    assert stack["hidden"].multiplier.at(one) == pytest.approx(1 / 4)
    assert stack["output"].multiplier.at(Growth(16, 1)) == pytest.approx(1 / 16)


def spec_of(parametrization: str, optimizer: OptimizerName, decay: DecayKind, decay_rule: str) -> JobSpec:
    fields = {"name": optimizer, "decay": decay, "clip_norm": None}
    transfer = {"decay_rule": decay_rule}
    return JobSpec.model_validate(
        {"task": "digits", "parametrization": parametrization, "optimizer": fields, "transfer": transfer}
    )


def losses_of(rows: list[TensorRow], seen: Mapping[str, Tensor], optimizer: OptimizerName, decay: DecayKind) -> list[float]:
    """Losses of ten steps in float64 from the same function: ``seen`` is what the forward pass uses at the start."""
    stored = {row.name: (seen[row.name] / row.multiplier).requires_grad_() for row in rows}
    groups = []
    for row in rows:
        shrink = row.weight_decay / row.learning_rate if decay == "independent" else row.weight_decay
        group = {"params": [stored[row.name]], "lr": row.learning_rate, "weight_decay": shrink}
        groups.append(group if row.eps is None else group | {"eps": row.eps})
    update = torch.optim.SGD(groups, momentum=0.9) if optimizer == "sgd" else torch.optim.AdamW(groups)
    model = MLP(FEATURES, CLASSES, 128, DEPTH).double()
    inputs = torch.randn(32, FEATURES, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    labels = torch.arange(32) % CLASSES
    losses = []
    for _ in range(10):
        loss = functional.cross_entropy(functional_call(model, effective(stored, rows), (inputs,)), labels)
        update.zero_grad()
        loss.backward()
        update.step()
        losses.append(loss.item())
    return losses


def trajectory(
    parametrization: Parametrization,
    optimizer: OptimizerName,
    decay: DecayKind = "decoupled",
    decay_rule: str = "independent",
    labels: Mapping[str, float] | None = None,
) -> list[float]:
    # An eps as large as typical gradients: the equivalence has to hold for it, too.
    values = {"learning_rate": 0.1, "weight_decay": 0.1}
    if optimizer != "sgd":
        values = {"learning_rate": 0.02, "weight_decay": 0.04 if decay == "independent" else 2.0, "eps": 1e-3}
    values |= labels or {}
    rows = resolve(spec_of(parametrization, optimizer, decay, decay_rule), values, base, wide)
    mup = resolve(spec_of("mup", optimizer, decay, decay_rule), values, base, wide)
    seen = effective(initialise(mup, torch.Generator().manual_seed(0), torch.float64), mup)
    readout = torch.randn(CLASSES, 128, generator=torch.Generator().manual_seed(2), dtype=torch.float64) / 128
    return losses_of(rows, seen | {"readout.weight": readout}, optimizer, decay)


SAME: list[tuple[Parametrization, OptimizerName, DecayKind, str, dict[str, float]]] = [
    ("spectral", "adamw", "decoupled", "independent", {}),
    ("spectral", "adamw", "decoupled", "sqrt", {}),
    ("spectral", "adam", "independent", "independent", {}),
    ("spectral", "sgd", "l2", "independent", {}),
    # muP's own rate of the input, which u-muP divides by sqrt(m), put back: m = 8.
    ("u-mup", "adamw", "decoupled", "independent", {"learning_rate.input": 0.02 * math.sqrt(8)}),
    ("u-mup", "sgd", "l2", "independent", {}),
]


@pytest.mark.parametrize(("parametrization", "optimizer", "decay", "decay_rule", "labels"), SAME)
def test_tables_that_are_mup_written_differently_train_the_same_function(
    parametrization: Parametrization, optimizer: OptimizerName, decay: DecayKind, decay_rule: str, labels: dict[str, float]
) -> None:
    """At eight times the width, in float64, eps and decay included: equal up to rounding, and it does learn."""
    expected = trajectory("mup", optimizer, decay, decay_rule)
    if labels:
        # The decay of the input has lr * lambda fixed by lambda: the rate put back shrinks by as much more.
        labels = labels | {"weight_decay.input": 2.0 / math.sqrt(8)}
    found = trajectory(parametrization, optimizer, decay, decay_rule, labels)
    assert found == pytest.approx(expected, rel=1e-9)
    assert found[-1] < found[0] - 0.05


DIFFERENT: list[tuple[Parametrization, OptimizerName, str]] = [
    ("u-mup", "adamw", "independent"),
    ("ntk", "adamw", "independent"),
    ("ntk", "sgd", "independent"),
    # lambda copied is no statement about what a step shrinks, so it is another one in each way of writing.
    ("u-mup", "sgd", "none"),
    ("spectral", "adamw", "none"),
]


@pytest.mark.parametrize(("parametrization", "optimizer", "decay_rule"), DIFFERENT)
def test_tables_and_rules_that_are_not_equivalent_train_another_function(
    parametrization: Parametrization, optimizer: OptimizerName, decay_rule: str
) -> None:
    decay: DecayKind = "l2" if optimizer == "sgd" else "decoupled"
    expected, found = (trajectory(kind, optimizer, decay, decay_rule) for kind in ("mup", parametrization))
    assert abs(found[-1] - expected[-1]) > 1e-4 * expected[-1]


WIDTHS = [128, 256, 512]


def exponents(parametrization: Parametrization, optimizer: OptimizerName) -> dict[str, float]:
    """Module, or tensor -> exponent in the width of its change, or of its update's spectral norm, after the last step."""
    spec = JobSpec.model_validate({"task": "digits", "parametrization": parametrization, "optimizer": {"name": optimizer}})
    check = coordinate_check(spec, {}, WIDTHS, steps=3)
    last = [slope for slope in check.slopes if slope.step == check.steps and slope.quantity in ("change", "update_norm")]
    return {slope.module: slope.slope for slope in last}


def test_under_ntk_outputs_learn_at_every_width_and_hidden_layers_move_by_the_root_of_the_width_less() -> None:
    found = exponents("ntk", "adamw")
    assert [found[name] for name in ("layers.1", "layers.1.weight")] == pytest.approx([-0.5] * 2, abs=0.1)
    assert found["readout.weight"] == pytest.approx(0, abs=0.1)
    # Falls a little still: at width 128 hidden layers give the outputs a part that fades.
    assert -0.3 < found["readout"] < 0.1


def test_under_ntk_and_sgd_with_a_readout_at_zero_hidden_layers_move_by_the_width_less() -> None:
    """dL/dh is m^-1/2 times a readout that has learned entries of m^-1/2."""
    found = exponents("ntk", "sgd")
    assert [found[name] for name in ("layers.1", "layers.1.weight")] == pytest.approx([-1, -1], abs=0.1)
    assert found["readout.weight"] == pytest.approx(0, abs=0.1)
    # Measured -.12: the part that hidden layers give fades here, too.
    assert -0.3 < found["readout"] < 0.1


def test_under_the_unit_scaled_table_embeddings_alone_move_less() -> None:
    found = exponents("u-mup", "adamw")
    assert found["layers.0.weight"] == pytest.approx(-0.5, abs=0.1)
    others = [found[name] for name in ("layers.1.weight", "readout.weight")]
    assert others == pytest.approx([0, 0], abs=0.1)
    assert vanishing("u-mup", OPTIMIZERS["adamw"]) == {"input"} and not vanishing("u-mup", OPTIMIZERS["sgd"])
