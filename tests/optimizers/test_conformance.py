"""What every optimizer of the table must be and do. An entry gets these tests by being in the table.

A record says what needs no tensor, a rule does the rest, and torch's and optax's optimizers are the oracles of both.
"""

import importlib
import json
import pkgutil
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

import hpo.optimizers
import windtunnel.torch
from hpo.errors import Refused
from hpo.estimators.reverse import Reverse
from hpo.estimators.unrolled import Unrolled
from hpo.exports.optax import optax_file
from hpo.exports.torch import torch_file
from hpo.families.registry import build
from hpo.layout import Layout
from hpo.mup.rules import role_rule
from hpo.mup.tables import TABLES
from hpo.optimizers.registry import rule
from hpo.optimizers.rule import Applied, Rule, by_autograd
from service.problems.problems import field_errors
from windtunnel.tasks import TASKS
from windtunnel.types import JobSpec, OptimizerSpec, TensorFacts, TransferPlan
from windtunnel.types.hyperparameters import DEFAULT_RANGES, HARD_RANGES
from windtunnel.types.optimizers import BOUNDS, OPTIMIZERS, DecayKind, OptimizerInfo, OptionName, OptionValue
from windtunnel.types.tensors import ROLES

NAMES = list(OPTIMIZERS)
CASES = [(name, decay) for name, info in OPTIMIZERS.items() for decay in info.decays]
OPTIONS: dict[OptionName, OptionValue] = {
    name: value for info in OPTIMIZERS.values() for name, value in info.options.items()
}
STEPS = 20
FACTS = [
    TensorFacts(name="first.weight", shape=[3, 5], role="input"),
    TensorFacts(name="second.weight", shape=[4, 3], role="hidden"),
    TensorFacts(name="bias", shape=[4], role="vector"),
]
LAYOUT = Layout(FACTS)
DECAYS: dict[DecayKind, str] = {"decoupled": "shrink", "independent": "shrink", "l2": "coupled_decay"}


def model_of(plan: TransferPlan) -> nn.Module:
    """A model with the tensors of a plan, in float64."""
    return build(plan.model, TASKS[plan.task]).double()


def gradients(layout: Layout, count: int = STEPS) -> Tensor:
    """[steps, P]; some parameters get no gradient at first, some never, and some steps are above the clip threshold."""
    found = torch.randn(count, layout.parameters, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found[:, 0], found[:3, 1] = 0.0, 0.0
    return found * torch.linspace(0.05, 0.5, count, dtype=torch.float64)[:, None]


def tables_of(plan: TransferPlan) -> dict[str, Tensor]:
    """Coefficients of an update at a schedule of 1, as ``Coefficients.at`` gives them."""

    def row(values: list[float | None]) -> Tensor:
        return torch.tensor([values], dtype=torch.float64)

    rates, decays = row([each.learning_rate for each in plan.tensors]), row([each.weight_decay for each in plan.tensors])
    assert plan.clip_norm is not None
    found = {"learning_rate": rates, "clip_norm": row([plan.clip_norm])}
    found[DECAYS[plan.decay]] = rates * decays if plan.decay == "decoupled" else decays
    for name, value in plan.optimizer_settings.items():
        found[name] = row([value])
    if "eps" in plan.optimizer_info.settings:
        found["eps"] = row([each.eps or 0.0 for each in plan.tensors])
    return found


def layout_of(plan: TransferPlan) -> Layout:
    return Layout([TensorFacts(name=row.name, shape=row.shape, role=row.role) for row in plan.tensors])


def start_of(layout: Layout) -> Tensor:
    return torch.linspace(-1, 1, layout.parameters, dtype=torch.float64)


def trained(plan: TransferPlan, *, in_place: bool) -> Tensor:
    """Parameters [P] after the updates of the plan's rule."""
    optimizer, layout, tables = rule(plan.optimizer), layout_of(plan), tables_of(plan)
    state = optimizer.init(start_of(layout)[None])
    with torch.no_grad():
        for step, gradient in enumerate(gradients(layout)):
            if in_place:
                optimizer.in_place(state, gradient[None].clone(), tables, layout, step)
            else:
                state = optimizer.update(state, gradient[None], tables, layout, step)
    return state[0][0]


def trained_by_torch(plan: TransferPlan, model: nn.Module, optimizer: torch.optim.Optimizer, clip: bool) -> Tensor:
    """Parameters [P] after the same updates by a torch optimizer over the model's parameters."""
    layout, parameters = layout_of(plan), dict(model.named_parameters())
    with torch.no_grad():
        for name, value in zip(layout.names, layout.split(start_of(layout)[None]), strict=True):
            parameters[name].copy_(value[0])
    for gradient in gradients(layout):
        for name, part in zip(layout.names, layout.split(gradient[None]), strict=True):
            parameters[name].grad = part[0].clone()
        if clip:
            assert plan.clip_norm is not None
            nn.utils.clip_grad_norm_(parameters.values(), plan.clip_norm)
        optimizer.step()
    return torch.cat([parameters[name].detach().flatten() for name in layout.names])


@pytest.mark.parametrize("name", NAMES)
def test_the_record_is_complete(name: str) -> None:
    info = OPTIMIZERS[name]
    assert info.name == name and info.title and info.label and info.source
    assert set(info.decays) <= set(get_args(DecayKind)) and len(set(info.decays)) == len(info.decays) >= 1
    assert set(info.settings) <= set(BOUNDS)
    for setting, value in info.settings.items():
        bounds, (low, high) = BOUNDS[setting], HARD_RANGES[setting]
        assert bounds.low <= value <= bounds.high and low <= value <= high
        assert DEFAULT_RANGES[setting][0] <= value <= DEFAULT_RANGES[setting][1]
    assert info.state == len(rule(name).init(torch.zeros(1, 2)))
    assert info.coordinate_rate > 0 and set(info.torch.lacks) < {"decoupled", "independent", "l2"}
    if info.why_no_l2:
        assert "0.1 * w" in info.why_no_l2.format(term="0.1 * w")
    assert set(info.huggingface) <= set(info.settings)


def test_the_rules_are_those_of_the_table_and_no_name_is_taken_for_another() -> None:
    modules = [module.name for module in pkgutil.iter_modules(hpo.optimizers.__path__)]
    answering = [name for name in modules if hasattr(importlib.import_module(f"hpo.optimizers.{name}"), "RULE")]
    assert {name.replace("_", "-") for name in answering} == set(OPTIMIZERS)
    assert all(isinstance(rule(name), Rule) for name in OPTIMIZERS)
    for stranger in ("shampoo", "rule", "clipping"):
        with pytest.raises(Refused, match=stranger):
            rule(stranger)


@pytest.mark.parametrize("name", NAMES)
def test_the_theory_has_a_law_for_every_role_under_every_table(name: str) -> None:
    info = OPTIMIZERS[name]
    for parametrization, role, decay in product(TABLES, ROLES, info.decays):
        found = role_rule(parametrization, info, decay, role)
        assert (found.weight_decay is None) == (not info.carries(decay))
        assert found.formulas(role)["learning_rate"].startswith("eta")


@pytest.mark.parametrize(("name", "decay"), CASES)
def test_the_rule_pure_and_in_place_is_torchs_optimizer(plan_under, name: str, decay: DecayKind) -> None:
    """Through ``windtunnel.torch``: its class, groups, clipping, and the decay that the class lacks; in float64."""
    plan = plan_under(name, decay)
    pure = trained(plan, in_place=False)
    torch.testing.assert_close(trained(plan, in_place=True), pure, rtol=1e-12, atol=1e-13)
    model = model_of(plan)
    built = windtunnel.torch.optimizer(model, plan)
    found = trained_by_torch(plan, model, built, clip=False)
    torch.testing.assert_close(found, pure, rtol=1e-12, atol=1e-13)
    assert not torch.allclose(pure, start_of(layout_of(plan)), atol=1e-3)


@pytest.mark.parametrize(("name", "decay"), CASES)
def test_the_exported_torch_file_takes_the_same_steps(plan_under, name: str, decay: DecayKind) -> None:
    plan = plan_under(name, decay)
    file: dict[str, Any] = {}
    exec(compile(torch_file(plan), "plan.py", "exec"), file)
    model = model_of(plan)
    found = trained_by_torch(plan, model, file["optimizer"](model), clip=True)
    torch.testing.assert_close(found, trained(plan, in_place=False), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_pulled_back_is_what_autograd_says(plan_under, name: str) -> None:
    """On every path: clipped or not, every decay or none, the first step and a later one, one eps or one a tensor."""
    optimizer, generator = rule(name), torch.Generator().manual_seed(0)

    def normal() -> Tensor:
        return torch.randn(3, LAYOUT.parameters, generator=generator, dtype=torch.float64)

    def uniform(columns: int, low: float, high: float) -> Tensor:
        return torch.rand(3, columns, generator=generator, dtype=torch.float64) * (high - low) + low

    for clip, decay, step, columns in product((None, 0.3, 1e3), (None, "shrink", "coupled_decay"), (0, 6), (1, 3)):
        tables = {"learning_rate": uniform(3, 0.01, 0.5)}
        tables |= {setting: uniform(1, 0.3, 0.9) for setting in OPTIMIZERS[name].settings if setting != "eps"}
        if "eps" in OPTIMIZERS[name].settings:
            tables["eps"] = uniform(columns, 1e-4, 1e-2)
        if decay is not None:
            tables[decay] = uniform(3, 0.01, 0.3)
        if clip is not None:
            tables["clip_norm"] = clip * uniform(1, 0.5, 1.5)
        before, gradient = optimizer.init(normal()), normal()
        if step > 0:
            before = (before[0], *(normal() if index == 0 else normal().square() for index in range(len(before) - 1)))
        gradient[:, :3], gradient[2] = 0.0, 0.0
        for part in before[1:]:
            part[:, :3] = 0.0
        after = optimizer.update(before, gradient, tables, LAYOUT, step)
        update = Applied(before, tuple(part.detach() for part in after), gradient, tables, LAYOUT, step)
        adjoint = tuple(normal() for _ in before)
        state, slope, cotangents = by_autograd(optimizer, update, adjoint, tables)
        found = optimizer.pull_back(update, tuple(part.clone() for part in adjoint), tables)
        pairs = [*zip(found[0], state, strict=True), (found[1], slope)]
        assert found[2].keys() == cotangents.keys()
        for mine, expected in [*pairs, *((found[2][key], cotangents[key]) for key in tables)]:
            scale = max(float(expected.abs().max()), 1e-12)
            torch.testing.assert_close(mine, expected, rtol=1e-11, atol=1e-12 * scale, msg=f"{clip} {decay} {step}")


def settings_searched(info: OptimizerInfo) -> list[dict[str, str]]:
    return [{"name": "learning_rate"}, {"name": "weight_decay"}, *({"name": setting} for setting in info.settings)]


@pytest.mark.parametrize("name", NAMES)
def test_its_form_for_higher_gives_the_hypergradient_of_replay(problem_under, name: str) -> None:
    info = OPTIMIZERS[name]
    if info.pathwise:
        problem = problem_under(name, info.decay, search=settings_searched(info), method={"estimator": "es"})
        points, draw = problem.space.start()[None], problem.draw([(0, 0)])
        for estimator in (Reverse(), Unrolled()):
            with pytest.raises(Refused, match="differentiates through the updates"):
                estimator.estimate(problem, points, draw)
        return
    problem = problem_under(name, info.decay, search=settings_searched(info))
    points, draw = problem.space.start()[None], problem.draw([(0, 0)])
    if problem.rule.for_higher() is None:
        with pytest.raises(Refused, match="no form of optimizer"):
            Unrolled().estimate(problem, points, draw)
        return
    replayed = Reverse("none", "exact").estimate(problem, points, draw)
    unrolled = Unrolled().estimate(problem, points, draw)
    torch.testing.assert_close(unrolled.value, replayed.value, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(unrolled.gradient, replayed.gradient, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_request_takes_its_settings_and_no_others(name: str) -> None:
    info = OPTIMIZERS[name]
    given: dict[str, Any] = {**info.settings}
    spec = OptimizerSpec.model_validate({"name": name, **given})
    assert {setting: spec.default(setting) for setting in info.settings} == given
    assert spec.decay_kind == info.decay
    assert spec.options == {**info.options}
    for foreign in set(get_args(OptionName)) - set(info.options):
        with pytest.raises(ValueError, match=f"{foreign} is no option of optimizer '{name}'"):
            OptimizerSpec.model_validate({"name": name, foreign: OPTIONS[foreign]})
    for foreign in set(BOUNDS) - set(info.settings):
        with pytest.raises(ValueError, match=f"{foreign} is no setting of optimizer '{name}'"):
            OptimizerSpec.model_validate({"name": name, foreign: 0.5})
        with pytest.raises(ValueError, match=f"{foreign} is a hyperparameter of"):
            JobSpec.model_validate({"task": "digits", "optimizer": {"name": name}, "search": [{"name": foreign}]})
    for decay in set(get_args(DecayKind)) - set(info.decays):
        with pytest.raises(ValueError, match=f"allowed for {name}: {', '.join(info.decays)}"):
            OptimizerSpec.model_validate({"name": name, "decay": decay})


def test_schemas_list_the_table() -> None:
    assert OptimizerSpec.model_json_schema()["properties"]["name"]["enum"] == NAMES
    assert TransferPlan.model_json_schema()["properties"]["optimizer"]["enum"] == NAMES


LOOP = """
import json, runpy, sys
import numpy as np
import jax
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
import optax

for name in json.load(open("cases.json")):
    file, given = runpy.run_path(f"{name}.py"), np.load("given.npz")
    tensors = list(file["TENSORS"])
    params = {tensor: jnp.asarray(given[tensor]) for tensor in tensors}
    update = file["optimizer"]()
    state = update.init(params)
    for index in range(int(given["count"])):
        gradients = {tensor: jnp.asarray(given[f"{index} {tensor}"]) for tensor in tensors}
        changes, state = update.update(gradients, state, params)
        params = optax.apply_updates(params, changes)
    np.savez(f"{name}_end.npz", **{tensor: np.asarray(value) for tensor, value in params.items()})
"""


def test_the_exported_optax_file_takes_the_same_steps(plan_under, tmp_path: Path) -> None:
    """With every decay, in one process of real JAX; optax clips without torch's 1e-6, so nothing is clipped."""
    pytest.importorskip("optax")
    plans = {f"{name}_{decay}": plan_under(name, decay, clip_norm=1e6) for name, decay in CASES}
    layout = layout_of(next(iter(plans.values())))
    given: dict[str, Any] = {"count": 8}
    for name, value in zip(layout.names, layout.split(start_of(layout)[None]), strict=True):
        given[name] = value[0].numpy()
    for index, gradient in enumerate(gradients(layout)[:8]):
        for name, part in zip(layout.names, layout.split(gradient[None]), strict=True):
            given[f"{index} {name}"] = part[0].numpy()
    np.savez(tmp_path / "given.npz", **given)
    for key, plan in plans.items():
        (tmp_path / f"{key}.py").write_text(optax_file(plan))
    (tmp_path / "cases.json").write_text(json.dumps([*plans]))
    subprocess.run([sys.executable, "-c", LOOP], cwd=tmp_path, check=True, timeout=300)
    for key, plan in plans.items():
        end = np.load(tmp_path / f"{key}_end.npz")
        found = torch.cat([torch.from_numpy(end[name]).flatten() for name in layout.names])
        optimizer, tables = rule(plan.optimizer), tables_of(plan)
        state = optimizer.init(start_of(layout)[None])
        with torch.no_grad():
            for step, gradient in enumerate(gradients(layout)[:8]):
                state = optimizer.update(state, gradient[None], tables, layout, step)
        torch.testing.assert_close(found, state[0][0], rtol=1e-9, atol=1e-11, msg=key)


def test_a_name_that_the_table_does_not_have_is_refused_with_those_that_it_has() -> None:
    with pytest.raises(ValidationError) as caught:
        JobSpec.model_validate({"task": "digits", "optimizer": {"name": "adamv"}})
    (error,) = field_errors(caught.value.errors(), JobSpec)
    assert error.pointer == "/optimizer/name" and error.given == "adamv"
    assert "'adamv'; did you mean 'adam'" in error.message and error.message.endswith(f"allowed: {', '.join(NAMES)}")
