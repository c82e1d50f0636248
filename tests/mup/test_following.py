"""A plan whose regularisers follow a schedule: the library's own run, ``windtunnel.torch`` and the exported file agree."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import windtunnel.torch
from hpo.exports.registry import export
from hpo.study import Study
from windtunnel.torch import GaussianDropout, GaussianNoise, PlanMismatch, RandomShift
from windtunnel.types import TransferPlan

STEPS = 6
TERMS = {"l2.input": [0.05, 0.4, 0.1], "l2.hidden": [0.3, 0.1, 0.2], "label_smoothing": [0.4, 0.2, 0.05]}
NOISES = {
    "dropout.layers.0": [0.4, 0.2, 0.1],
    "dropout.layers.1": [0.1, 0.3, 0.5],
    "input_noise": [0.1, 0.4, 0.2],
    "augmentation": [0.2, 0.8, 0.4],
}
SPEC: dict[str, Any] = {
    "optimizer": {"name": "sgd", "learning_rate": 0.1, "clip_norm": 0.5},
    "inner": {"steps": STEPS, "batch_size": 16},
    "search": [{"name": "learning_rate"}],
}


class Noisy(nn.Module):
    """The plan's MLP in a loop of one's own, with the plan's noise where the families have it."""

    def __init__(self, plan: TransferPlan) -> None:
        super().__init__()
        sizes = [plan.features, *[plan.width] * plan.depth]
        self.layers = nn.ModuleList(map(nn.Linear, sizes, sizes[1:]))
        self.readout = nn.Linear(plan.width, plan.classes)
        terms = plan.regularization
        self.noises = nn.Sequential()
        if terms.augmentation is not None:
            self.noises.append(RandomShift(terms.augmentation, (1, 8, 8)))
        if terms.input_noise is not None:
            self.noises.append(GaussianNoise(terms.input_noise))
        self.drops = nn.ModuleList(GaussianDropout(rate, layer) for layer, rate in terms.layer_dropout.items())

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.noises(inputs)
        for index, layer in enumerate(self.layers):
            hidden = torch.relu(layer(hidden))
            hidden = self.drops[index](hidden) if self.drops else hidden
        logits: Tensor = self.readout(hidden)
        return logits


def executed(plan: TransferPlan) -> dict[str, Any]:
    file: dict[str, Any] = {"__name__": "plan"}
    exec(compile(export(plan, "torch"), "plan.py", "exec"), file)
    return file


@pytest.fixture
def plan_with(finish, plan_of):
    def made(lines: dict[str, list[float]], **size: int) -> TransferPlan:
        result = finish(SPEC | {"regularization": {"schedule": lines}}, {"learning_rate": 0.1})
        return plan_of(result, **{"width": 64, **size})

    return made


def test_the_plan_has_the_last_values_and_the_factors_that_lead_to_them(plan_with) -> None:
    plan = plan_with(TERMS | NOISES, depth=3)
    terms, knots = plan.regularization, plan.regulariser_schedule
    assert knots is not None and knots.pays and knots.times == [0.0, 0.5, 1.0]
    assert (terms.label_smoothing, terms.input_noise, terms.augmentation, terms.dropout) == (0.05, 0.2, 0.4, None)
    assert terms.layer_dropout == {"layers.0": 0.1, "layers.1": 0.5, "layers.2": 0.5}
    assert {row.name: row.l2 for row in plan.tensors if row.l2} == {
        "layers.0.weight": 0.1,
        "layers.1.weight": 0.2,
        "layers.2.weight": 0.2,
    }
    for label, line in (TERMS | NOISES).items():
        assert [factor * line[-1] for factor in knots.factors[label]] == pytest.approx(line)
    assert any("as every run of the job did" in item for item in plan.in_your_loop)


def test_the_library_the_torch_package_and_the_file_train_alike_along_a_schedule(plan_with, finish) -> None:
    """Without random numbers, so that all three are one computation: penalties by role and label smoothing move."""
    plan = plan_with(TERMS)
    spec = finish(SPEC | {"regularization": {"schedule": TERMS}}).spec
    problem = Study(spec, dtype=torch.float64).problem
    draw = problem.draw([(0, 0)])
    point = problem.space.from_dict({"learning_rate": 0.1})[None]
    start = problem.layout.split(problem.initial(draw, problem.coefficients(point))[0])
    trained = problem.layout.split(problem.train(point, draw).parameters)

    file = executed(plan)
    theirs, ours = file["build_model"]().double(), Noisy(plan).double()
    update, optimizer = file["optimizer"](theirs), windtunnel.torch.optimizer(ours, plan)
    clocks = file["scheduler"](update), windtunnel.torch.schedule(optimizer, plan)
    criterion = windtunnel.torch.criterion(plan, optimizer=optimizer)
    with torch.no_grad():
        for model in (theirs, ours):
            for name, value in zip(problem.layout.names, start, strict=True):
                model.get_parameter(name).copy_(value[0])
    for step in range(STEPS):
        index = draw.batches[0, step]
        inputs, labels = problem.examples.sample().inputs[index], problem.examples.sample().labels[index]
        file["train_step"](theirs, update, clocks[0], inputs, labels)
        optimizer.zero_grad()
        criterion(ours(inputs), labels).backward()
        optimizer.step()
        clocks[1].step()
    for name, value in zip(problem.layout.names, trained, strict=True):
        torch.testing.assert_close(ours.get_parameter(name), value[0], rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(theirs.get_parameter(name), value[0], rtol=1e-6, atol=1e-9)


def test_noise_moves_in_the_torch_package_as_in_the_file_and_goes_on_from_a_checkpoint(plan_with) -> None:
    """The same random numbers in both, over the whole run; in the middle a fresh model takes over."""
    plan = plan_with(NOISES, depth=3)
    file = executed(plan)
    theirs, ours = file["build_model"](), Noisy(plan)
    file["initialise"](theirs, 7)
    update, optimizer = file["optimizer"](theirs), windtunnel.torch.optimizer(ours, plan, seed=7)
    clock, schedule = file["scheduler"](update), windtunnel.torch.schedule(optimizer, plan)
    loss = windtunnel.torch.criterion(plan)
    generator = torch.Generator().manual_seed(1)
    for step in range(STEPS + 1):
        if step == STEPS // 2:
            saved = ours.state_dict(), optimizer.state_dict(), schedule.state_dict()
            assert set(saved[0]) == set(theirs.state_dict()), "a checkpoint of a moving layer is that of a still one"
            ours = Noisy(plan)
            optimizer = windtunnel.torch.optimizer(ours, plan)
            schedule = windtunnel.torch.schedule(optimizer, plan)
            for part, state in zip((ours, optimizer, schedule), saved, strict=True):
                part.load_state_dict(state)
        inputs, labels = torch.randn(16, 64, generator=generator), torch.arange(16) % 10
        torch.manual_seed(step)
        expected = file["train_step"](theirs, update, clock, inputs, labels)
        torch.manual_seed(step)
        optimizer.zero_grad()
        found = loss(ours(inputs), labels)
        found.backward()
        optimizer.step()
        schedule.step()
        assert found.item() == pytest.approx(expected, rel=1e-5)
        rate = plan.regularization.layer_dropout["layers.2"]
        end = rate * plan.regulariser_schedule.factor("dropout.layers.1", (step + 1) / STEPS)
        assert float(ours.drops[2].current_strength()) == pytest.approx((end / (1 - end)) ** 0.5, rel=1e-6)
    quiet = ours.eval()(inputs)
    assert torch.equal(quiet, ours(inputs))


def test_a_plan_that_holds_its_values_puts_moved_layers_to_rest(plan_with) -> None:
    moving = plan_with(NOISES)
    still = moving.model_copy(update={"regulariser_schedule": None})
    model = Noisy(moving)
    windtunnel.torch.optimizer(model, moving)
    assert float(model.drops[0].current_strength()) == pytest.approx((0.4 / 0.6) ** 0.5)
    windtunnel.torch.optimizer(model, still)
    assert model.drops[0].current_strength() == pytest.approx((0.1 / 0.9) ** 0.5)


def test_what_cannot_know_how_far_the_run_is_refuses_a_schedule(plan_with) -> None:
    plan = plan_with(TERMS | NOISES)
    still = plan.model_copy(update={"tensors": [row.model_copy(update={"l2": 0.0}) for row in plan.tensors]})
    with pytest.raises(PlanMismatch, match=r"regularisers follow a schedule.*use windtunnel\.torch\.optimizer"):
        windtunnel.torch.apply(Noisy(plan), still)
    with pytest.raises(PlanMismatch, match="label smoothing follows a schedule"):
        windtunnel.torch.criterion(plan)
    model = Noisy(plan)
    other = windtunnel.torch.criterion(plan, optimizer=torch.optim.SGD(model.parameters()))
    with pytest.raises(PlanMismatch, match="does not count updates"):
        other(torch.zeros(2, 10), torch.zeros(2, dtype=torch.long))
