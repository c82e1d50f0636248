"""CompleteP: the numbers of its table, what the residual stream does as blocks are added, and that every way out has it."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

import windtunnel.torch
from hpo.evidence.apply import effective, initialise
from hpo.evidence.slopes import log_log_slope
from hpo.exports.registry import export
from hpo.families.facts.registry import proxy_tensors
from hpo.families.registry import build
from hpo.mup.depth import deepened
from hpo.mup.growth import branch_part, depth_growth
from hpo.mup.resolve import resolve
from hpo.mup.rules import tensor_rules
from hpo.mup.tables import TABLES
from hpo.tasks import load
from windtunnel.tasks import TASKS
from windtunnel.types import JobSpec, TensorRow
from windtunnel.types.optimizers import OPTIMIZERS
from windtunnel.types.powers import Power

FAMILIES: dict[str, dict[str, Any]] = {
    "transformer": {"task": "python-text", "model": {"family": "transformer", "width": 32, "depth": 2}},
    "resnet": {"task": "digits", "model": {"family": "resnet", "width": 16, "depth": 2}},
}
TUNED = {"learning_rate": 0.02, "weight_decay": 0.1, "eps": 1e-8}


def rows_at(depth: int, width: int | None = None, **fields: Any) -> dict[str, TensorRow]:
    """The rows of a target, by name."""
    spec = JobSpec.model_validate(fields)
    task = TASKS[spec.task]
    size = spec.model.model_copy(update={"depth": depth, "width": width or spec.model.width})
    rows = resolve(spec, TUNED, proxy_tensors(spec.model, task), proxy_tensors(size, task))
    return {row.name: row for row in rows}


@pytest.mark.parametrize("alpha", [0.5, 0.75, 1.0])
def test_values_in_blocks_are_those_of_the_papers_table(alpha: float) -> None:
    """Dey et al. 2025, table 1 and equation 40, at m_N = 4 and m_L = 8."""
    transfer = {"depth_rule": "completep", "depth_exponent": alpha}
    rows = rows_at(16, 128, **FAMILIES["transformer"], transfer=transfer)
    for name, row in rows.items():
        if "blocks" in name:
            assert row.learning_rate == pytest.approx(0.02 / 4 * 8 ** (alpha - 1)), name
            assert row.weight_decay == pytest.approx(0.1 * 4), name
            assert row.eps == pytest.approx(1e-8 / 4 * 8**-alpha), name
            assert row.multiplier == pytest.approx(8**-alpha if "_out" in name else 1.0), name
        else:
            assert row.learning_rate == 0.02
            assert row.eps == (1e-8 if name == "readout.bias" else 1e-8 / 4)
            assert row.multiplier == (1 / 4 if name == "readout.weight" else 1.0)


def test_a_decay_of_lambda_alone_shrinks_as_much_as_one_of_lr_times_lambda() -> None:
    """lr * lambda goes as m_L^(alpha - 1): written as lambda, it is lambda that does."""
    transfer = {"depth_exponent": 0.5}
    text = FAMILIES["transformer"] | {"transfer": transfer}
    decoupled, independent = rows_at(8, 64, **text), rows_at(8, 64, **text, optimizer={"decay": "independent"})
    for name, row in decoupled.items():
        assert row.learning_rate * row.weight_decay == pytest.approx(0.02 * independent[name].weight_decay), name
    assert independent["blocks.0.qkv.weight"].weight_decay == pytest.approx(0.1 / 2)


@pytest.mark.parametrize("family", FAMILIES)
def test_at_the_proxys_own_depth_nothing_changes(family: str) -> None:
    completep = rows_at(2, 64, **FAMILIES[family])
    assert completep == rows_at(2, 64, **FAMILIES[family], transfer={"depth_rule": "copy"})
    assert rows_at(2, **FAMILIES[family]) == rows_at(2, **FAMILIES[family], parametrization="standard")


def test_the_rule_in_force_follows_from_family_optimizer_and_parametrization() -> None:
    def rule(**fields: Any) -> tuple[str, float | None]:
        spec = JobSpec.model_validate(FAMILIES["resnet"] | fields)
        return spec.depth_rule, spec.depth_exponent

    assert rule() == rule(optimizer={"name": "adam", "decay": "decoupled"}) == ("completep", 1.0)
    assert rule(parametrization="u-mup") == ("completep", 0.5)
    assert rule(transfer={"depth_exponent": 0.75}) == ("completep", 0.75)
    copies: list[dict[str, Any]] = [
        {"optimizer": {"name": "sgd"}},
        {"model": {"family": "mlp"}},
        {"parametrization": "ntk"},
        {"parametrization": "standard"},
        {"transfer": {"depth_rule": "copy"}},
    ]
    assert {rule(**fields) for fields in copies} == {("copy", None)}


def test_parts_of_a_block_and_growth_of_the_depth() -> None:
    assert branch_part("readout.weight") == branch_part("layers.1.weight") == "outside"
    assert branch_part("blocks.3.mlp_in.weight") == branch_part("blocks.3.first.weight") == "inside"
    assert {branch_part(f"blocks.0.{name}.weight") for name in ("second", "attention_out", "mlp_out")} == {"end"}
    task = TASKS["python-text"]
    small, large = (proxy_tensors(JobSpec(task="python-text", model={"depth": depth}).model, task) for depth in (2, 5))
    assert (depth_growth(small, large), depth_growth(small, small)) == (2.5, 1.0)


# What the residual stream does


def streams(spec: JobSpec, depth: int, seed: int, steps: int = 4) -> tuple[float, float]:
    """Mean size of the residual stream at initialisation, and of what training changes in it."""
    task = TASKS[spec.task]
    size = spec.model.model_copy(update={"depth": depth})
    rows = resolve(spec, TUNED | {"weight_decay": 0.0}, proxy_tensors(spec.model, task), proxy_tensors(size, task))
    leaves = {
        name: tensor.requires_grad_() for name, tensor in initialise(rows, torch.Generator().manual_seed(seed)).items()
    }
    update = torch.optim.AdamW(
        [{"params": [leaves[row.name]], "lr": row.learning_rate, "eps": row.eps} for row in rows], weight_decay=0.0
    )
    train = load(spec.task).train
    inputs, labels = train.inputs[:8], train.labels[:8]
    if task.kind == "language":
        inputs, labels = inputs[:, :8], labels[:, :8]
    model = _Recorder(build(size, task))

    def look() -> tuple[Tensor, Tensor]:
        inside = {f"model.{name}": tensor for name, tensor in effective(leaves, rows).items()}
        found: dict[str, Tensor] = functional_call(model, inside, (inputs,))
        added = [output for name, output in found.items() if branch_part(f"{name}.weight") == "end"]
        entering = [output for name, output in found.items() if "embedding" in name or name == "stem"]
        return sum(added, sum(entering)), found["readout"]

    first = look()[0].detach()
    for _ in range(steps):
        update.zero_grad()
        functional.cross_entropy(look()[1].flatten(0, -2), labels.flatten()).backward()
        update.step()
    return first.abs().mean().item(), (look()[0].detach() - first).abs().mean().item()


class _Recorder(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        found: dict[str, Tensor] = self.model.activations(inputs)
        return found


DEPTHS = [2, 4, 8, 16]


def exponents(family: str, **transfer: Any) -> tuple[float, float]:
    """Exponents in the depth of the stream's size at initialisation and of its change after four steps."""
    spec = JobSpec.model_validate(FAMILIES[family] | {"transfer": transfer})
    found = [[streams(spec, depth, seed) for seed in range(2)] for depth in DEPTHS]
    sizes, changes = ([sum(each[index] for each in seeds) for seeds in found] for index in (0, 1))
    size, change = log_log_slope(DEPTHS, sizes), log_log_slope(DEPTHS, changes)
    assert size is not None and change is not None
    return size, change


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_under_completep_the_residual_stream_and_its_change_keep_their_size_over_depth(family: str, alpha: float) -> None:
    size, change = exponents(family, depth_exponent=alpha)
    # Measured -.17 to +.04: at two blocks the branches still add to the stream what fades as blocks become many.
    assert abs(size) < 0.25 and abs(change) < 0.25


@pytest.mark.parametrize("family", FAMILIES)
def test_copied_values_let_the_residual_stream_and_its_change_grow_with_the_depth(family: str) -> None:
    size, change = exponents(family, depth_rule="copy")
    # Towards 1/2, uncorrelated branches, and 1, coherent changes.
    assert size > 0.3 and change > 0.9


# Every way out


@pytest.mark.parametrize("family", FAMILIES)
def test_the_torch_file_and_the_library_scale_the_branches(finish, plan_of, family: str) -> None:
    """A plan four times as deep: the file and ``windtunnel.torch`` start from and train the function of the table."""
    plan = plan_of(finish(FAMILIES[family], TUNED), width=32, depth=8)
    assert (plan.depth_ratio, plan.depth_rule, plan.depth_exponent) == (4.0, "completep", 1.0)
    ends = [row for row in plan.tensors if branch_part(row.name) == "end"]
    assert {row.multiplier for row in ends} == {1 / 4}
    file: dict[str, Any] = {"__name__": "plan"}
    exec(compile(export(plan, "torch"), "plan.py", "exec"), file)
    theirs, task = file["build_model"](), TASKS[plan.task]
    file["initialise"](theirs, 7)
    size = plan.model.model_copy(update={"width": plan.width, "depth": plan.depth})
    ours = build(size, task)
    update, library = file["optimizer"](theirs), windtunnel.torch.optimizer(ours, plan, seed=7)
    schedule, librarys = file["scheduler"](update), windtunnel.torch.schedule(library, plan)
    inputs, labels = load(plan.task).train.inputs[:4], load(plan.task).train.labels[:4]
    # What no readout at zero hides: the functions of the three, with the weights that both drew.
    for model in (theirs, ours):
        model.readout.weight.data.copy_(torch.randn(model.readout.weight.shape, generator=torch.Generator().manual_seed(1)))
    weights = {name: parameter.detach().clone() for name, parameter in theirs.named_parameters()}
    expected = functional_call(build(size, task), effective(weights, plan.tensors), (inputs,))
    unscaled = functional_call(build(size, task), weights, (inputs,))
    torch.testing.assert_close(theirs(inputs), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours(inputs), expected, rtol=1e-4, atol=1e-5)
    assert (unscaled - expected).abs().max() > 0.1
    for _ in range(3):
        loss = functional.cross_entropy(ours(inputs).flatten(0, -2), labels.flatten())
        library.zero_grad()
        loss.backward()
        library.step()
        librarys.step()
        assert file["train_step"](theirs, update, schedule, inputs, labels) == pytest.approx(loss.item(), rel=1e-4)


def test_formulas_of_a_plan_show_depth_and_decay(finish, plan_of) -> None:
    transfer = {"depth_exponent": 0.5, "decay_rule": "sqrt"}
    plan = plan_of(finish(FAMILIES["transformer"] | {"transfer": transfer}, TUNED), width=64, depth=4)
    rows = {row.role: row for row in plan.roles}
    assert rows["hidden"].formulas == {
        "init_std": "sigma0 / sqrt(m)",
        "learning_rate": "eta / m / sqrt(m_L)",
        "weight_decay": "lambda * sqrt(m)",
        "eps": "eps / m_out / sqrt(m_L)",
        "multiplier": "1; last of a branch: 1 / sqrt(m_L)",
    }
    assert rows["hidden"].multiplier is None
    assert rows["input"].formulas["learning_rate"] == "eta"
    assert plan.decay_rule == "sqrt"
    assumed = {entry.quantity: entry for entry in plan.assumptions}
    assert assumed["depth"].formula.startswith("x + branch(x) / sqrt(m_L), eta / sqrt(m_L) in blocks")
    assert "falls as 1 / sqrt(m) for hidden matrices" in assumed["weight_decay"].formula
    assert any("depth-muP" in sentence for sentence in plan.not_covered)


def test_a_bias_at_the_end_of_a_branch_has_the_branchs_factor_folded_into_its_rate() -> None:
    """multiplier m_L^-alpha, rate m_L^(alpha - 1), eps m_L^-alpha, shifted by theta = m_L^alpha."""
    entry = TABLES["mup"]["vector"]
    folded = deepened(entry, "vector", "end", 0.75)
    inside = deepened(entry, "vector", "inside", 0.75)
    theta = Power(depth=0.75)
    assert (inside.adam, inside.multiplier) == (Power(depth=-0.25), Power())
    assert folded.adam == inside.adam / theta == Power(depth=-1)
    assert folded.gradient == inside.gradient * theta == entry.gradient
    assert deepened(entry, "vector", "outside", 0.75) == entry


def test_l2_inside_adam_has_no_rule_for_another_depth_of_blocks_either() -> None:
    task, model = TASKS["digits"], JobSpec.model_validate(FAMILIES["resnet"]).model
    base, deep = (proxy_tensors(model.model_copy(update={"depth": depth}), task) for depth in (2, 4))
    rules = tensor_rules("mup", OPTIMIZERS["adam"], "l2", base, deep, depth_exponent=1.0)
    assert {name for name, rule in rules.items() if rule.weight_decay is not None} == {
        "stem.weight", "readout.weight", "readout.bias",
    }  # fmt: skip
    copied = tensor_rules("mup", OPTIMIZERS["adam"], "l2", base, deep)
    assert all(rule.weight_decay == 1 for rule in copied.values())
