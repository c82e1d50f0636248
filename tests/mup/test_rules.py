"""The muP table against the numbers of the ``mup`` package, and against the sizes of real gradients."""

import math

import mup
import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from hpo.evidence.apply import effective, initialise
from hpo.evidence.slopes import log_log_slope
from hpo.families.facts.mlp import mlp_tensors
from hpo.families.facts.transformer import transformer_tensors
from hpo.families.mlp import MLP
from hpo.mup.growth import counterparts
from hpo.mup.resolve import resolve
from hpo.mup.rules import base_init_std, role_rule, tensor_rules
from hpo.mup.tables import TABLES
from hpo.tasks import load
from windtunnel.types import DecayKind, DecayRule, JobSpec, OptimizerName, Parametrization, TensorFacts
from windtunnel.types.optimizers import OPTIMIZERS
from windtunnel.types.powers import Power
from windtunnel.types.results import Role

FEATURES, CLASSES, BASE, TARGET, DEPTH = 20, 5, 64, 512, 3
base = mlp_tensors(FEATURES, CLASSES, BASE, DEPTH)
target = mlp_tensors(FEATURES, CLASSES, TARGET, DEPTH)


class OracleMLP(MLP):
    """Our MLP with the readout layer of the ``mup`` package."""

    def __init__(self, width: int) -> None:
        super().__init__(FEATURES, CLASSES, width, DEPTH)
        self.readout = mup.MuReadout(width, CLASSES, readout_zero_init=True)


@pytest.fixture
def oracle() -> OracleMLP:
    return mup.set_base_shapes(OracleMLP(TARGET), OracleMLP(BASE), delta=OracleMLP(2 * BASE))


def settings(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, tuple[float, float]]:
    """Tensor -> (learning rate, weight decay) in an optimizer."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        names[id(parameter)]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


@pytest.mark.parametrize(
    ("name", "decay", "build", "lr", "wd"),
    [
        ("adamw", "decoupled", mup.MuAdamW, 1e-3, 0.1),
        ("adam", "decoupled", mup.MuAdam, 1e-3, 0.1),
        ("sgd", "l2", mup.MuSGD, 0.1, 0.1),
    ],
)
def test_learning_rates_and_decays_are_those_of_the_mup_package(
    oracle: OracleMLP, name: OptimizerName, decay: DecayKind, build, lr: float, wd: float
) -> None:
    expected = settings(oracle, build(oracle.parameters(), lr=lr, weight_decay=wd))
    rules = tensor_rules("mup", OPTIMIZERS[name], decay, base, target)
    assert rules.keys() == expected.keys()
    for tensor, rule in rules.items():
        assert rule.weight_decay is not None
        assert (lr * rule.learning_rate, wd * rule.weight_decay) == pytest.approx(expected[tensor], rel=1e-12), tensor


def test_the_design_numbers_of_adamw() -> None:
    rule = tensor_rules("mup", OPTIMIZERS["adamw"], "decoupled", base, target)["layers.1.weight"]
    assert 1e-3 * rule.learning_rate == 1.25e-4
    assert 0.1 * rule.weight_decay == 0.8
    assert 0.02 * rule.init_std == pytest.approx(0.00707, abs=5e-6)


def test_the_design_numbers_of_sgd() -> None:
    rules = tensor_rules("mup", OPTIMIZERS["sgd"], "l2", base, target)
    assert [0.1 * rules[name].learning_rate for name in ("layers.1.weight", "readout.bias")] == [0.1, 0.1]
    for name in ("layers.0.weight", "layers.1.bias", "readout.weight"):
        assert 0.1 * rules[name].learning_rate == 0.8
        assert 0.1 * rules[name].weight_decay == 0.0125


def test_init_std_and_forward_multiplier_are_those_of_the_mup_package(oracle: OracleMLP) -> None:
    rules = tensor_rules("mup", OPTIMIZERS["adamw"], "decoupled", base, target)
    torch.manual_seed(0)
    for name, parameter in oracle.named_parameters():
        if parameter.dim() == 2:
            mup.init.normal_(parameter, std=0.02)
            # The std of 2,560 samples or more is within 4 % with overwhelming probability; sqrt(8) is far away.
            assert parameter.std().item() == pytest.approx(0.02 * rules[name].init_std, rel=0.04), name
    assert rules["readout.weight"].multiplier == 1 / oracle.readout.width_mult()
    assert {rule.multiplier for name, rule in rules.items() if name != "readout.weight"} == {1.0}


@pytest.mark.parametrize(("name", "build", "lr"), [("adamw", mup.MuAdamW, 0.01), ("sgd", mup.MuSGD, 0.1)])
def test_a_run_is_the_run_of_the_mup_package(oracle: OracleMLP, name: OptimizerName, build, lr: float) -> None:
    """Same weights, same data, ten steps: the tables agree as a whole, forward multiplier included."""
    tiny = {} if name == "sgd" else {"eps": 1e-30}
    spec = JobSpec.model_validate({"task": "digits", "optimizer": {"name": name, **tiny}})
    rows = resolve(spec, {"learning_rate": lr, "weight_decay": 0.0}, base, target)
    start = initialise(rows, torch.Generator().manual_seed(0), torch.float64)
    ours = {name: tensor.clone().requires_grad_() for name, tensor in start.items()}
    oracle.double().load_state_dict(start)
    theirs = build(oracle.parameters(), lr=lr, weight_decay=0.0, **({"momentum": 0.9} if name == "sgd" else tiny))
    groups = [{"params": [ours[row.name]], "lr": row.learning_rate} for row in rows]
    update = (
        torch.optim.SGD(groups, momentum=0.9) if name == "sgd" else torch.optim.AdamW(groups, weight_decay=0, eps=1e-30)
    )
    model = MLP(FEATURES, CLASSES, TARGET, DEPTH).double()
    inputs = torch.randn(32, FEATURES, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    labels = torch.arange(32) % CLASSES
    for _ in range(10):
        loss = functional.cross_entropy(functional_call(model, effective(ours, rows), (inputs,)), labels)
        expected = functional.cross_entropy(oracle(inputs), labels)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
        for optimizer, value in ((update, loss), (theirs, expected)):
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
    assert loss.item() < math.log(CLASSES) - 0.1


@pytest.mark.parametrize("parametrization", TABLES)
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("decay", ["decoupled", "independent", "l2"])
@pytest.mark.parametrize("decay_rule", ["independent", "sqrt", "none"])
def test_every_factor_is_exactly_one_at_the_base_size(
    parametrization: Parametrization, optimizer: OptimizerName, decay: DecayKind, decay_rule: DecayRule
) -> None:
    blocks = transformer_tensors(8, 20, 32, 3)
    rules = {
        **tensor_rules(parametrization, OPTIMIZERS[optimizer], decay, base, base, decay_rule=decay_rule),
        **tensor_rules(
            parametrization, OPTIMIZERS[optimizer], decay, blocks, blocks, decay_rule=decay_rule, depth_exponent=0.75
        ),
    }
    for rule in rules.values():
        assert (rule.init_std, rule.learning_rate, rule.weight_decay, rule.eps, rule.multiplier) == (1, 1, 1, 1, 1)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_decoupled_decay_keeps_lr_times_lambda_and_independent_decay_keeps_lambda(optimizer: OptimizerName) -> None:
    for rule in tensor_rules("mup", OPTIMIZERS[optimizer], "decoupled", base, target).values():
        assert rule.weight_decay is not None
        assert rule.learning_rate * rule.weight_decay == 1
    assert {
        rule.weight_decay for rule in tensor_rules("mup", OPTIMIZERS[optimizer], "independent", base, target).values()
    } == {1.0}


def test_l2_inside_adam_has_no_rule_where_a_tensor_grew() -> None:
    rules = tensor_rules("mup", OPTIMIZERS["adam"], "l2", base, target)
    assert {name for name, rule in rules.items() if rule.weight_decay is not None} == {"readout.bias"}


def test_standard_parametrization_copies_all_but_the_init() -> None:
    rules = tensor_rules("standard", OPTIMIZERS["adamw"], "decoupled", base, target)
    assert {(rule.learning_rate, rule.weight_decay, rule.eps, rule.multiplier) for rule in rules.values()} == {(1, 1, 1, 1)}
    assert rules["layers.1.weight"].init_std == 8**-0.5
    assert rules["layers.0.weight"].init_std == 1


def test_gradients_under_mup_shrink_as_adams_eps_does() -> None:
    """The exponents of the eps column are those of real gradients, once the readout has left zero."""
    data = load("digits")
    spec = JobSpec.model_validate({"task": "digits", "optimizer": {"learning_rate": 0.01}})
    small = mlp_tensors(64, 10, 64, 2)
    widths = [256, 512, 1024, 2048]
    sizes: dict[str, list[float]] = {fact.name: [] for fact in small}
    for width in widths:
        rows = resolve(spec, {"weight_decay": 0.0}, small, mlp_tensors(64, 10, width, 2))
        parameters = initialise(rows, torch.Generator().manual_seed(0))
        # A readout after one step of Adam: entries of the order of the learning rate, along the mean features.
        parameters["readout.weight"] = 0.01 * torch.randn(10, 1, generator=torch.Generator().manual_seed(1)).expand(
            10, width
        )
        leaves = {name: tensor.clone().requires_grad_() for name, tensor in parameters.items()}
        logits = functional_call(MLP(64, 10, width, 2), effective(leaves, rows), (data.train.inputs[:128],))
        functional.cross_entropy(logits, data.train.labels[:128]).backward()
        for name, leaf in leaves.items():
            assert leaf.grad is not None
            sizes[name].append(leaf.grad.abs().mean().item())
    rules = tensor_rules("mup", OPTIMIZERS["adamw"], "decoupled", small, mlp_tensors(64, 10, 128, 2))
    for name, found in sizes.items():
        expected = math.log2(rules[name].eps)
        assert log_log_slope(widths, found) == pytest.approx(expected, abs=0.1), name
    assert [math.log2(rule.eps) for rule in rules.values()] == [-1, -1, -1, -1, -1, 0]


def test_formulas_are_those_of_the_table() -> None:
    def formulas(optimizer: OptimizerName, decay: DecayKind, role: Role) -> dict[str, str]:
        return dict(role_rule("mup", OPTIMIZERS[optimizer], decay, role).formulas(role))

    assert formulas("adamw", "decoupled", "hidden") == {
        "init_std": "sigma0 / sqrt(m)",
        "learning_rate": "eta / m",
        "weight_decay": "lambda * m",
        "eps": "eps / m_out",
        "multiplier": "1",
    }
    assert formulas("adamw", "decoupled", "vector") == {
        "init_std": "0",
        "learning_rate": "eta",
        "weight_decay": "0",
        "eps": "eps / m_out",
        "multiplier": "1",
    }
    assert formulas("sgd", "l2", "hidden")["learning_rate"] == "eta * m_out / m_in"
    assert formulas("sgd", "l2", "input")["weight_decay"] == "lambda / m_out"
    assert formulas("adamw", "independent", "output")["multiplier"] == "alpha / m"
    assert formulas("adam", "l2", "hidden")["weight_decay"] == "no rule"
    assert Power(fan_in=2).formula("x") == "x * m^2"


def test_init_at_the_base_width_keeps_the_size_of_activations() -> None:
    stds = {fact.name: base_init_std(fact, "relu") for fact in base}
    assert stds["layers.0.weight"] == math.sqrt(2 / FEATURES)
    assert stds["layers.1.weight"] == math.sqrt(2 / BASE)
    assert base_init_std(base[2], "tanh") == math.sqrt(1 / BASE)
    assert {stds[name] for name in ("layers.0.bias", "readout.weight", "readout.bias")} == {0.0}
    with pytest.raises(ValueError, match="allowed: relu, gelu, tanh"):
        base_init_std(base[0], "swish")


def test_layers_beyond_the_proxy_follow_its_last_one() -> None:
    pairs = counterparts(base, mlp_tensors(FEATURES, CLASSES, TARGET, 12))
    assert pairs["layers.1.bias"].name == "layers.1.bias"
    assert {pairs[f"layers.{index}.weight"].name for index in range(2, 12)} == {"layers.2.weight"}


def test_tensors_that_do_not_match_are_errors() -> None:
    def fact(name: str, shape: list[int], role: str) -> TensorFacts:
        return TensorFacts.model_validate({"name": name, "shape": shape, "role": role})

    with pytest.raises(ValueError, match="the proxy has no tensor for 'gain'"):
        counterparts(base, [fact("gain", [4], "vector")])
    with pytest.raises(ValueError, match="no hidden matrix"):
        counterparts(mlp_tensors(FEATURES, CLASSES, BASE, 1), target)
    with pytest.raises(ValueError, match="keep the number of features and classes"):
        tensor_rules("mup", OPTIMIZERS["adamw"], "decoupled", base, mlp_tensors(FEATURES, 7, TARGET, DEPTH))
