"""Exports read back as the plan, and the torch file trains as ``windtunnel.torch`` does, in a process of its own."""

import ast
import copy
import json
import math
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import yaml
from torch.func import functional_call
from torch.nn import functional

import windtunnel.torch
from hpo.evidence.apply import effective
from hpo.exports.models.source import ATTACH
from hpo.exports.registry import export, why_not
from hpo.families.facts.registry import proxy_tensors
from hpo.families.mlp import MLP
from hpo.families.registry import build
from hpo.tasks import load
from windtunnel.tasks import TASKS
from windtunnel.types import JobSpec, TransferPlan
from windtunnel.types.transfer import Parametrization

# What a user of such a file would write: one step on each batch. All files run in one fresh process.
LOOP = """
import json, runpy, sys
import torch

torch.set_num_threads(1)

def run(path):
    file = runpy.run_path(path)
    batches = torch.load(path.replace(".py", ".pt"))
    model = file["build_model"]()
    file["initialise"](model, 7)
    update = file["optimizer"](model)
    schedule = file["scheduler"](update)
    return [file["train_step"](model, update, schedule, *batch) for batch in batches]

print(json.dumps({path: run(path) for path in sys.argv[1:]}))
assert "windtunnel" not in sys.modules and "hpo" not in sys.modules
"""

CASES: dict[str, tuple[dict[str, Any], dict[str, float]]] = {
    "adamw": ({"inner": {"steps": 5}}, {"learning_rate.hidden": 0.02, "output_multiplier": 2.0}),
    "independent": (
        {"optimizer": {"decay": "independent", "clip_norm": None}, "schedule": {"name": "constant"}},
        {"weight_decay": 0.05},
    ),
    "adam": ({"optimizer": {"name": "adam", "decay": "decoupled"}, "model": {"activation": "gelu", "depth": 3}}, {}),
    "sgd": (
        {"optimizer": {"name": "sgd"}, "schedule": {"name": "warmup", "warmup_fraction": 0.5}, "inner": {"steps": 8}},
        {"learning_rate": 0.1},
    ),
    "decoupled_sgd": ({"optimizer": {"name": "sgd", "decay": "decoupled"}, "model": {"depth": 1}}, {"weight_decay": 0.5}),
    "forced": ({"parametrization": "standard"}, {"learning_rate": 0.01}),
    "regularised": (
        {"optimizer": {"name": "sgd", "clip_norm": 0.3}, "search": [{"name": "l2"}, {"name": "label_smoothing"}]},
        {"l2": 0.05, "label_smoothing": 0.2},
    ),
    "regression": ({"task": "diabetes"}, {"output_multiplier": 3.0}),
    "resnet": (
        {"model": {"family": "resnet", "width": 8, "depth": 2}},
        {"learning_rate": 0.02, "embedding_multiplier": 0.7},
    ),
    "transformer": (
        {"task": "python-text", "model": {"width": 32, "depth": 1}},
        {"learning_rate": 0.02, "output_multiplier": 2.0, "attention_multiplier": 3.0},
    ),
}
WIDTHS = {"resnet": 16, "transformer": 64}


def batches(task: str) -> list[list[torch.Tensor]]:
    train, size = load(task).train, 8 if TASKS[task].kind == "language" else 32
    return [[part[size * step : size * step + size].clone() for part in (train.inputs, train.labels)] for step in range(5)]


def penalised(plan: TransferPlan) -> bool:
    return any(row.l2 for row in plan.tensors)


def losses_of_the_library(plan: TransferPlan) -> list[float]:
    """With the L2 penalty, whose gradient the library's optimizer adds and whose value its criterion leaves out."""
    model = build(plan.model.model_copy(update={"width": plan.width, "depth": plan.depth}), TASKS[plan.task])
    update = windtunnel.torch.optimizer(model, plan, seed=7)
    schedule = windtunnel.torch.schedule(update, plan)
    plain = plan.model.family == "mlp" and TASKS[plan.task].kind == "classification"
    # The library's criterion has a loss for each example; one call for all of them rounds as the file does.
    criterion = functional.cross_entropy if plain and not penalised(plan) else windtunnel.torch.criterion(plan)
    attention = plan.attention_multiplier
    dials = {} if attention is None else {"attention_multiplier": torch.tensor(attention)}
    penalties = {row.name: row.l2 for row in plan.tensors}
    losses = []
    for inputs, labels in batches(plan.task):
        update.zero_grad()
        loss = criterion(model(inputs, dials), labels)
        loss.backward()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                loss = loss + penalties[name] / 2 * parameter.square().sum()
        update.step()
        schedule.step()
        losses.append(loss.item())
    return losses


def test_torch_files_train_as_the_library_does_in_a_process_without_it(finish, plan_of, tmp_path: Path) -> None:
    plans = {}
    for name, (fields, tuned) in CASES.items():
        verdict = None if name == "forced" else "pass"
        depth = {"depth": 3} if name == "transformer" else {}
        result = finish(fields, tuned, verdict)
        plans[f"{name}.py"] = plan_of(result, width=WIDTHS.get(name, 256), force=name == "forced", **depth)
    for name, plan in plans.items():
        (tmp_path / name).write_text(export(plan, "torch"))
        torch.save(batches(plan.task), tmp_path / name.replace(".py", ".pt"))
    (tmp_path / "loop.py").write_text(LOOP)
    done = subprocess.run(
        [sys.executable, "-W", "error", "loop.py", *plans], cwd=tmp_path, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for name, plan in plans.items():
        expected = losses_of_the_library(plan)
        # Plain MLPs run the same kernels; the engine's resnet and transformer are written for populations.
        exact = plan.model.family == "mlp" and TASKS[plan.task].kind == "classification" and not penalised(plan)
        assert found[name] == (expected if exact else pytest.approx(expected, rel=1e-4)), name
        assert len(set(expected)) == 5


def test_the_torch_file_imports_torch_and_the_standard_library_only(finish, plan_of) -> None:
    tree = ast.parse(export(plan_of(finish({}), width=256), "torch"))
    plain = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    parts = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert plain | parts == {"functools", "math", "torch", "torch.nn"}


def test_json_and_yaml_read_back_as_the_same_plan(finish, plan_of) -> None:
    plan = plan_of(finish({}, {"learning_rate.hidden": 1e-05, "weight_decay": 1e-3}), width=256, depth=4, steps=1000)
    assert TransferPlan.model_validate_json(export(plan, "json")) == plan
    assert TransferPlan.model_validate(yaml.safe_load(export(plan, "yaml"))) == plan


def test_a_forced_plan_says_so_in_its_file(finish, plan_of) -> None:
    text = export(plan_of(finish({}, verdict="fail"), width=256, force=True), "torch")
    assert "coordinate check: fail, plan forced" in text
    compile(text, "plan.py", "exec")


def test_an_unknown_format_is_named(finish, plan_of) -> None:
    with pytest.raises(ValueError, match="no export format 'onnx'; allowed: json, yaml, torch"):
        export(plan_of(finish({}), width=256), "onnx")


FAMILIES: dict[str, dict[str, Any]] = {
    "resnet": {"model": {"family": "resnet", "width": 8, "depth": 1}},
    "patched resnet": {"task": "mnist5k", "model": {"family": "resnet", "width": 8, "depth": 1, "activation": "tanh"}},
    "transformer": {"task": "python-text", "model": {"width": 32, "depth": 1}},
}


@pytest.mark.parametrize(
    ("family", "parametrization"),
    [*((family, "mup") for family in FAMILIES), *(("transformer", name) for name in get_args(Parametrization)[1:])],
)
def test_models_of_torch_files_are_the_families_with_the_plans_multipliers(
    finish, plan_of, family: str, parametrization: str
) -> None:
    """The file's model and ours, both initialised from the plan, give the same losses over a few updates."""
    tuned = {"learning_rate": 0.02, "output_multiplier": 2.0, "embedding_multiplier": 0.7}
    tuned |= {"attention_multiplier": 3.0} if family == "transformer" else {}
    result = finish(FAMILIES[family] | {"parametrization": parametrization}, tuned)
    plan = plan_of(result, width=64, depth=2, force=parametrization in ("standard", "ntk"))
    file: dict[str, Any] = {"__name__": "plan"}
    exec(compile(export(plan, "torch"), "plan.py", "exec"), file)
    theirs = file["build_model"]()
    file["initialise"](theirs, 7)
    update = file["optimizer"](theirs)
    clock = file["scheduler"](update)

    model = build(plan.model.model_copy(update={"width": plan.width, "depth": plan.depth}), TASKS[plan.task])
    optimizer = windtunnel.torch.optimizer(model, plan, seed=7)
    schedule = windtunnel.torch.schedule(optimizer, plan)
    dials = {} if plan.attention_multiplier is None else {"attention_multiplier": torch.tensor(plan.attention_multiplier)}
    train = load(plan.task).train
    for step in range(4):
        inputs, labels = (part[16 * step : 16 * step + 16] for part in (train.inputs, train.labels))
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(inputs, dials).flatten(0, -2), labels.flatten())
        loss.backward()
        optimizer.step()
        schedule.step()
        assert file["train_step"](theirs, update, clock, inputs, labels) == pytest.approx(loss.item(), rel=1e-4)


@pytest.mark.parametrize("shape", [(16,), (16, 1)])
def test_labels_of_a_regression_in_either_shape_give_the_librarys_loss_and_others_are_refused(
    finish, plan_of, shape
) -> None:
    plan = plan_of(finish(*CASES["regression"]), width=128)
    file: dict[str, Any] = {"__name__": "plan"}
    exec(compile(export(plan, "torch"), "plan.py", "exec"), file)
    model = file["build_model"]()
    file["initialise"](model, 7)
    # A model as initialised gives zeros, for which no shape matters.
    torch.nn.init.normal_(list(model.parameters())[-2], generator=torch.Generator().manual_seed(0))
    inputs, labels = (part[:16] for part in (load(plan.task).train.inputs, load(plan.task).train.labels))
    assert model(inputs).std() > 0
    wanted = windtunnel.torch.criterion(plan)(model(inputs), labels).item()
    assert file["training_loss"](model, inputs, labels.reshape(shape)).item() == pytest.approx(wanted, rel=1e-6)
    with pytest.raises(RuntimeError, match="shape"):
        file["training_loss"](model, inputs, labels.expand(2, 16))


NOISY = {
    "mlp": {"task": "digits", "model": {"width": 16, "depth": 2}},
    "resnet": {"task": "digits", "model": {"family": "resnet", "width": 8, "depth": 2}},
    "transformer": {"task": "python-text", "model": {"width": 32, "depth": 2}},
}


@pytest.mark.parametrize("rates", [[0.3, 0.3], [0.15, 0.5]], ids=["one dropout", "dropout by layer"])
@pytest.mark.parametrize("family", NOISY)
def test_the_files_model_is_the_familys_own_with_its_noise_and_multipliers(finish, plan_of, family: str, rates) -> None:
    """Same weights and same random numbers: what was tuned is what the file computes, in training and in evaluation."""
    terms = {"dropout": 0.3, "input_noise": 0.2} | ({} if family == "transformer" else {"augmentation": 0.7})
    spec = JobSpec.model_validate(NOISY[family] | {"regularization": terms})
    tuned = {"embedding_multiplier": 1.7, "output_multiplier": 0.6}
    if rates[0] != rates[1]:
        tuned |= {f"dropout.{layer}": rate for layer, rate in zip(spec.model.layers, rates, strict=True)}
    if family == "transformer":
        tuned["attention_multiplier"] = 1.4
    task = TASKS[spec.task]
    result = finish({}, tuned)
    facts = result.proxy.model_copy(update={"tensors": proxy_tensors(spec.model, task), "features": task.features})
    proxy = facts.model_copy(update={"classes": task.classes})
    plan = plan_of(result.model_copy(update={"spec": spec, "proxy": proxy}), width=spec.model.width)
    file: dict[str, Any] = {"__name__": "plan"}
    exec(compile(export(plan, "torch"), "plan.py", "exec"), file)
    model = file["build_model"]()
    generator = torch.Generator().manual_seed(0)
    weights = {name: torch.randn(part.shape, generator=generator) / 4 for name, part in model.named_parameters()}
    with torch.no_grad():
        for name, value in weights.items():
            model.get_parameter(name).copy_(value)
    inputs = torch.randn(3, task.features, generator=generator)
    if task.kind == "language":
        inputs = torch.randint(task.classes, (3, task.features), generator=generator)
    own = build(spec.model, task)
    scaled = effective(weights, plan.tensors)
    dials = {name: torch.tensor(value) for name, value in terms.items()} | {"dropout": torch.tensor(rates)}
    dials |= {"attention_multiplier": torch.tensor(1.4)} if family == "transformer" else {}
    shapes = own.noise_shapes(3, list(terms))
    torch.manual_seed(5)
    noise = {name: torch.randn(shape) for name, shape in shapes.items()}
    torch.manual_seed(5)
    noisy = model.train()(inputs)
    torch.testing.assert_close(noisy, functional_call(own, scaled, (inputs, dials, noise)), rtol=1e-4, atol=1e-5)
    quiet = {name: dial for name, dial in dials.items() if name == "attention_multiplier"}
    expected = functional_call(own, scaled, (inputs, quiet))
    torch.testing.assert_close(model.eval()(inputs), expected, rtol=1e-4, atol=1e-5)
    assert (noisy - expected).abs().max() > 1e-2


def test_the_files_loss_is_that_of_the_library_with_penalty_smoothing_and_sources(finish, plan_of) -> None:
    tuned = {f"mixture_weight.{digit}": 0.5 + digit / 5 for digit in range(10)} | {"label_smoothing": 0.1}
    tuned |= {"l2.input": 0.01, "l2.hidden": 0.02, "l2.output": 0.03}
    search = [{"name": "mixture_weight"}, {"name": "label_smoothing"}, {"name": "l2", "scope": "role"}]
    plan = plan_of(finish({"search": search, "optimizer": {"clip_norm": 0.3}}, tuned), width=64)
    file: dict[str, Any] = {"__name__": "plan"}
    exec(compile(export(plan, "torch"), "plan.py", "exec"), file)
    shares = {str(digit): 0.1 for digit in range(10)}
    theirs, ours = file["build_model"](), MLP(64, 10, 64, 2)
    file["initialise"](theirs, 7)
    update, library = file["optimizer"](theirs), windtunnel.torch.optimizer(ours, plan, seed=7)
    schedule, libraries = file["scheduler"](update), windtunnel.torch.schedule(library, plan)
    loss = windtunnel.torch.criterion(plan, shares)
    for inputs, labels in batches("digits"):
        file["train_step"](theirs, update, schedule, inputs, labels, labels, torch.full((10,), 0.1))
        library.zero_grad()
        loss(ours(inputs), labels, labels).backward()
        library.step()
        libraries.step()
    for first, second in zip(theirs.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="the plan has mixture weights for 0, 1"):
        windtunnel.torch.criterion(plan)


class Own(torch.nn.Module):
    """Somebody's module: an MLP with a norm that has gains."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList([torch.nn.Linear(64, 128), torch.nn.Linear(128, 128)])
        self.norm = torch.nn.LayerNorm(128, bias=False)
        self.readout = torch.nn.Linear(128, 10)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        hidden = self.layers[1](torch.relu(self.layers[0](inputs)))
        logits: torch.Tensor = self.readout(torch.relu(self.norm(hidden)))
        return logits


def plan_of_own(plan: TransferPlan) -> TransferPlan:
    """The plan of an MLP as one of a module that has a norm, too."""
    bias = next(row for row in plan.tensors if row.role == "vector")
    gain = bias.model_copy(update={"name": "norm.weight", "init": "constant", "init_value": 1.0})
    family = plan.model.model_copy(update={"family": "module"})
    return plan.model_copy(update={"model": family, "tensors": [*plan.tensors[:4], gain, *plan.tensors[4:]]})


@pytest.mark.parametrize("kind", ["torch", "huggingface", "optax"])
def test_a_module_of_ones_own_is_taken_and_not_written_out(finish, plan_of, kind: str) -> None:
    plan = plan_of_own(plan_of(finish({}, {"learning_rate": 0.02, "output_multiplier": 4.0}), width=128))
    text = export(plan, kind)
    compile(text, "plan.py", "exec")
    assert "A module of your own of width 128" in text and "class MLP" not in text
    assert "family 'module'; allowed: transformer" in str(why_not(plan, "nanogpt"))
    if kind != "torch":
        return
    file: dict[str, Any] = {"__name__": "plan"}
    exec(compile(text, "plan.py", "exec"), file)
    theirs, ours = file["build_model"](Own()), Own()
    file["initialise"](theirs, 7)
    assert torch.equal(theirs.norm.weight, torch.ones(128))
    update, library = file["optimizer"](theirs), windtunnel.torch.optimizer(ours, plan, seed=7)
    schedule, clock = file["scheduler"](update), windtunnel.torch.schedule(library, plan)
    for inputs, labels in batches("digits"):
        library.zero_grad()
        loss = functional.cross_entropy(ours(inputs), labels)
        loss.backward()
        library.step()
        clock.step()
        assert file["train_step"](theirs, update, schedule, inputs, labels) == loss.item()


def test_a_multiplier_that_no_hook_can_give_is_told_when_the_file_is_used(finish, plan_of) -> None:
    plan = plan_of_own(plan_of(finish({}), width=128))
    rows = [row.model_copy(update={"multiplier": 0.5}) if row.name == "norm.weight" else row for row in plan.tensors]
    file: dict[str, Any] = {"__name__": "plan"}
    exec(compile(export(plan.model_copy(update={"tensors": rows}), "torch"), "plan.py", "exec"), file)
    with pytest.raises(TypeError, match=r"norm\.weight has multiplier 0\.5, which no hook of a LayerNorm can give it"):
        file["build_model"](Own())


@pytest.mark.parametrize("family", ["mlp", "resnet", "transformer"])
def test_a_state_dict_of_the_files_model_is_loaded_by_bare_ones_and_by_the_librarys(finish, plan_of, family) -> None:
    fields = {"mlp": {}, "resnet": FAMILIES["resnet"], "transformer": FAMILIES["transformer"]}[family]
    plan = plan_of(finish(fields, {"output_multiplier": 3.0, "embedding_multiplier": 0.7}), width=64, depth=2)
    file: dict[str, Any] = {"__name__": "plan"}
    exec(compile(export(plan, "torch"), "plan.py", "exec"), file)
    model, fresh, bare = file["build_model"](), file["build_model"](), file[file["build_model"]().__class__.__name__]()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 4)
    inputs = load(plan.task).train.inputs[:4]
    outputs, state = model(inputs), model.state_dict()
    windtunnel.torch.apply(planned := copy.deepcopy(bare), plan)
    for each in (bare, fresh, planned):
        each.load_state_dict(state)
        torch.testing.assert_close(each(inputs), outputs, rtol=1e-4, atol=1e-5)
        assert set(each.state_dict()) == set(state)
        assert all(torch.equal(value, state[name]) for name, value in each.state_dict().items())
    # As earlier files saved it: raw weights, and the multipliers beside them.
    earlier = dict(model.named_parameters()) | {
        name.replace(".weight", ".windtunnel_multiplier"): torch.tensor(factor)
        for name, factor in file["MULTIPLIERS"].items()
    }
    for each in (fresh, planned):
        each.load_state_dict(earlier)
        assert all(torch.equal(value, model.get_parameter(name)) for name, value in each.named_parameters())
    with pytest.raises(RuntimeError, match=r"Unexpected key\(s\) in state_dict: .*readout\.windtunnel_multiplier"):
        bare.load_state_dict(earlier)
    # What is written into a state dict is written into the model, as torch has it.
    with torch.no_grad():
        for value in fresh.state_dict().values():
            value.mul_(0.5)
    halved = {name: value / 2 for name, value in state.items()}
    bare.load_state_dict(halved)
    torch.testing.assert_close(fresh(inputs), bare(inputs), rtol=1e-4, atol=1e-5)
    assert all(torch.equal(value, halved[name]) for name, value in fresh.state_dict().items())


class Bounded(torch.nn.Module):
    """A multiplier of its embedding is no factor of the weight, whose rows are kept below a norm of 1."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.readout = torch.nn.Embedding(7, 4, max_norm=1.0), torch.nn.Linear(4, 3)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.readout(self.words(words))
        return logits


def test_a_multiplier_that_is_no_factor_is_saved_beside_the_weight_by_the_file() -> None:
    file: dict[str, Any] = {"torch": torch, "nn": torch.nn, "math": math, "partial": partial}
    exec(f"MULTIPLIERS = {{'words.weight': 0.5, 'readout.weight': 0.3}}\n{ATTACH}", file)
    model, fresh, words = file["attach_multipliers"](Bounded()), file["attach_multipliers"](Bounded()), torch.arange(7)
    outputs, state = model(words), model.state_dict()
    assert set(state) - set(Bounded().state_dict()) == {"words.windtunnel_multiplier"}
    fresh.load_state_dict(state)
    torch.testing.assert_close(fresh(words), outputs)
    with pytest.raises(RuntimeError, match=r"Unexpected key\(s\) in state_dict: .*words\.windtunnel_multiplier"):
        Bounded().load_state_dict(state)
    with pytest.raises(RuntimeError, match=r"words\.weight was saved without a multiplier, and here it is 0\.5"):
        fresh.load_state_dict(Bounded().state_dict(), strict=False)
    state["words.windtunnel_multiplier"] = torch.tensor(0.25)
    with pytest.raises(RuntimeError, match=r"words\.weight was saved with multiplier 0\.25, and here it is 0\.5"):
        fresh.load_state_dict(state, strict=False)
