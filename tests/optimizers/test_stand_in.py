"""An optimizer that comes in by a record, a rule and a class for torch: nothing else has to know of it.

The stand-in steps by the sign of a momentum. A step's sign hides what a hyperparameter did before it, so estimators that
differentiate through updates must refuse it; torch has no class for it; and two laws of transfer are left out in turn.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

import windtunnel.torch
import windtunnel.torch.optimizers
from hpo.errors import Refused
from hpo.estimators.es import EvolutionStrategies
from hpo.estimators.finite_difference import FiniteDifference
from hpo.estimators.forward import Forward
from hpo.estimators.greedy import Greedy
from hpo.estimators.pes import PersistentEvolutionStrategies
from hpo.estimators.reverse import Reverse
from hpo.estimators.truncated import Truncated
from hpo.estimators.unrolled import Unrolled
from hpo.exports import own_optimizer
from hpo.exports.huggingface import huggingface_file
from hpo.exports.nanogpt import unlike_nanogpt
from hpo.exports.torch import torch_file
from hpo.families.registry import build
from hpo.layout import Layout
from hpo.mup.rules import role_rule
from hpo.optimizers.rule import Rule, seen_gradient, shrunk, spread
from hpo.plans.translation import translate
from hpo.study import Study
from windtunnel.tasks import TASKS
from windtunnel.types import JobSpec, OptimizerSpec, Target, TensorFacts
from windtunnel.types.optimizers import OPTIMIZERS, OptimizerInfo, TorchForm

NAME = "stand-in"
REASON = "a sign has no slope, so a derivative sees nothing of what a value did to later signs"
RECORD = replace(
    OPTIMIZERS["adamw"],
    name=NAME,
    title="Stand-in",
    label="Stand-in",
    settings={"beta1": 0.8},
    decays=("decoupled", "independent"),
    state=2,
    torch=TorchForm("windtunnel.torch.optimizers.stand_in.StandIn", {"beta1": "beta1", "weight_decay": "weight_decay"}),
    optax="optax.chain(optax.ema({beta1!r}, debias=False), optax.scale_by_sign())",
    huggingface={},
    pathwise=REASON,
)
TORCH = '''"""The stand-in for torch."""

import math

import torch
from torch import Tensor
from torch.optim import Optimizer


def _moved(buffer: Tensor, gradient: Tensor, memory: float) -> Tensor:
    return buffer.mul_(memory).add_(gradient, alpha=1 - memory)


class StandIn(Optimizer):
    """Steps by the sign of an average of gradients, with decoupled decay."""

    def __init__(self, params, lr: float = 1e-3, beta1: float = 0.9, weight_decay: float = 0.0) -> None:
        assert math.isfinite(lr)
        super().__init__(params, {"lr": lr, "beta1": beta1, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    memory = self.state[parameter]
                    buffer = memory.setdefault("average", torch.zeros_like(parameter))
                    move = _moved(buffer, parameter.grad, group["beta1"]).sign()
                    parameter.mul_(1 - group["lr"] * group["weight_decay"]).sub_(move, alpha=group["lr"])
'''


class StandIn(Rule):
    """m <- beta1 m + (1 - beta1) g, w <- w - lr sign(m); everything that has a default is by default."""

    def init(self, parameters):
        return parameters, torch.zeros_like(parameters)

    def update(self, state, gradient, tables, layout, step):
        parameters, average = state
        terms = spread(tables, layout)
        seen = seen_gradient(gradient, parameters, terms)
        average = torch.lerp(seen, average, terms["beta1"].expand_as(average))
        return torch.addcmul(shrunk(parameters, terms), terms["learning_rate"], average.sign(), value=-1), average

    def gradient_rates(self, rows, state, tables, layout, member, steps):
        sizes = [part[member].abs().mean().item() for part in layout.split(state[1])]
        return [row.learning_rate / size if size else 0.0 for row, size in zip(rows, sizes, strict=True)]


@pytest.fixture(autouse=True)
def stand_in(monkeypatch, tmp_path: Path) -> Iterator[OptimizerInfo]:
    """The record in the table, the rule in its module, the class in its file."""
    module = ModuleType("hpo.optimizers.stand_in")
    module.RULE = StandIn()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(OPTIMIZERS, NAME, RECORD)
    (tmp_path / "stand_in.py").write_text(TORCH)
    monkeypatch.setattr(windtunnel.torch.optimizers, "__path__", [str(tmp_path)])
    monkeypatch.setattr(own_optimizer, "ROOM", tmp_path)
    yield RECORD
    sys.modules.pop("windtunnel.torch.optimizers.stand_in", None)


def job(estimator: str, **fields: Any) -> dict[str, Any]:
    return {
        "task": "breast-cancer",
        "model": {"width": 4, "depth": 2},
        "optimizer": {"name": NAME, "learning_rate": 0.01},
        "inner": {"steps": 6, "batch_size": 8, "seeds": 2},
        "method": {"estimator": estimator},
        **fields,
    }


def test_the_schema_lists_it_and_a_request_takes_it() -> None:
    assert OptimizerSpec.model_json_schema()["properties"]["name"]["enum"][-1] == NAME
    assert OptimizerSpec(name=NAME).default("beta1") == 0.8
    with pytest.raises(ValueError, match="eps is no setting of optimizer 'stand-in'; allowed: beta1"):
        OptimizerSpec(name=NAME, eps=1e-8)


@pytest.mark.parametrize("estimator", ["reverse", "higher", "forward", "truncated", "greedy"])
def test_a_request_with_an_estimator_that_goes_through_updates_is_refused_with_the_reason(estimator: str) -> None:
    with pytest.raises(
        ValueError, match=f"estimator '{estimator}' differentiates through .* optimizer 'stand-in': {REASON}"
    ):
        JobSpec.model_validate(job(estimator))


def test_a_request_for_the_engine_higher_is_refused_too() -> None:
    with (
        pytest.warns(DeprecationWarning, match=r"method\.engine is out of date"),
        pytest.raises(ValueError, match="estimator 'higher' differentiates through"),
    ):
        JobSpec.model_validate(job("auto", method={"engine": "higher"}))


def test_estimators_themselves_refuse_it_by_type(problem_under) -> None:
    problem = problem_under(NAME, "decoupled", method={"estimator": "es"})
    points, draw = problem.space.start()[None], problem.draw([(0, 0)])
    for estimator in (Reverse(), Forward(), Truncated(2), Greedy(), Unrolled()):
        with pytest.raises(Refused, match=REASON):
            estimator.estimate(problem, points, draw)


def test_estimators_that_only_train_tune_it(problem_under) -> None:
    problem = problem_under(NAME, "decoupled", method={"estimator": "es"})
    points, draw = problem.space.start()[None], problem.draw([(0, 0)])
    for estimator in (
        EvolutionStrategies(2, 0.1, 8),
        PersistentEvolutionStrategies(2, 0.1, 3, 8),
        FiniteDifference(0.01, 8),
    ):
        found = estimator.estimate(problem, points, draw)
        assert found.gradient.isfinite().all() and found.gradient.abs().sum() > 0


def test_an_optimizer_without_a_form_for_higher_is_refused(monkeypatch, problem_under) -> None:
    monkeypatch.setitem(OPTIMIZERS, NAME, replace(RECORD, pathwise=""))
    problem = problem_under(NAME, "decoupled")
    with pytest.raises(Refused, match="no form of optimizer 'stand-in'"):
        Unrolled().estimate(problem, problem.space.start()[None], problem.draw([(0, 0)]))


@pytest.mark.parametrize("estimator", ["auto", "es"])
def test_a_job_runs_without_one_gradient_through_updates(estimator: str) -> None:
    spec = JobSpec.model_validate(job(estimator, outer={"steps": 2, "finish_seeds": 2}))
    study = Study(spec)
    steps = list(study)
    result = study.finish()
    assert result.certificate is None
    assert result.coordinate_check is not None
    if estimator == "auto":
        assert {step.arm for step in steps} == {"scout", "sampler"}
        assert result.estimator.estimator == "auto" and REASON in result.estimator.reason


def test_a_law_that_is_missing_is_refused_and_no_other_is_taken(finished_under, monkeypatch) -> None:
    lawless = replace(RECORD, rate=lambda laws, role: None, batch=None)
    monkeypatch.setitem(OPTIMIZERS, NAME, lawless)
    with pytest.raises(Refused, match="no rule says how the learning rate of a tensor of role 'hidden'"):
        role_rule("mup", lawless, "decoupled", "hidden")
    found = translate(finished_under(job("auto")), Target(width=4, batch_size=16), {})
    assert found.learning_rate == 1 and found.objection is not None
    assert "no rule says how the learning rate of optimizer 'stand-in' goes with the batch size" in str(found.objection)


def test_torchs_optimizer_and_the_exported_file_are_the_class_that_it_brings(plan_under) -> None:
    plan = plan_under(NAME, "decoupled", clip_norm=1e6)
    source = torch_file(plan)
    assert "windtunnel" not in source.split('"""')[2] and source.count("import torch\n") == 1
    assert "from torch.optim import Optimizer\n" in source and "class StandIn(Optimizer):" in source
    file: dict[str, Any] = {}
    exec(compile(source, "plan.py", "exec"), file)
    models = [build(plan.model, TASKS[plan.task]).double() for _ in range(2)]
    mine = windtunnel.torch.optimizer(models[0], plan)
    assert type(mine).__name__ == "StandIn" and mine.param_groups[0]["beta1"] == 0.8
    file["initialise"](models[1])
    theirs = file["optimizer"](models[1])
    inputs = torch.randn(8, plan.features, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    start = Layout([TensorFacts(name=row.name, shape=row.shape, role=row.role) for row in plan.tensors])
    before = start.join([parameter.detach()[None] for parameter in models[0].parameters()])
    for model, update in zip(models, (mine, theirs), strict=True):
        for _ in range(5):
            update.zero_grad()
            nn.functional.cross_entropy(model(inputs), torch.zeros(8, dtype=torch.long)).backward()
            update.step()
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert not torch.equal(before, start.join([parameter.detach()[None] for parameter in models[0].parameters()]))


def test_other_formats_hold_it_or_say_why_not(plan_under) -> None:
    plan = plan_under(NAME, "decoupled")
    source = huggingface_file(plan)
    assert "class StandIn(Optimizer):" in source and "adam_beta1" not in source
    text = plan_under(NAME, "decoupled", task="python-text", model={"family": "transformer", "width": 16, "depth": 1})
    assert "nanoGPT trains with AdamW, and this plan's optimizer is 'stand-in'; allowed: adamw" in str(unlike_nanogpt(text))
