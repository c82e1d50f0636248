"""A loss of one's own: the built-in one's numbers where it is the same, central differences where it is not."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import windtunnel
import windtunnel.torch
from hpo.errors import InvalidData
from hpo.estimators.forward import Forward
from hpo.estimators.reverse import Reverse
from hpo.families.facts.registry import proxy_tensors
from hpo.families.own.describing import describe
from hpo.layout import Layout
from hpo.mup.rules import base_init_std
from hpo.tasks import data_of
from hpo.tasks.losses import per_example
from hpo.training.problem import InnerProblem
from hpo.training.space import Space
from windtunnel import InvalidRequest, UserTask
from windtunnel.types import JobSpec

LEAN: dict[str, Any] = {
    "base_width": 8,
    "parametrization": "standard",
    "inner": {"steps": 6, "batch_size": 16, "seeds": 2},
    "outer": {"steps": 1, "finish_seeds": 2},
    "method": {"estimator": "reverse"},
}


def data(outputs: int = 2, sources: int = 0) -> list[tuple[Tensor, ...]]:
    """Points and the side of a plane that they lie on, or their distance from it."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(192, 5, generator=generator)
    labels = (points.sum(1) > 0).long() if outputs > 1 else points.sum(1)
    parts = [points.split(64), labels.split(64)]
    if sources:
        parts.append((torch.arange(192) % sources).split(64))
    return list(zip(*parts, strict=True))


class Net(nn.Module):
    """Two layers."""

    def __init__(self, width: int, outputs: int = 2) -> None:
        super().__init__()
        self.first = nn.Linear(5, width)
        self.head = nn.Linear(width, outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(torch.tanh(self.first(inputs)))


def squared_hinge(outputs: Tensor, labels: Tensor) -> Tensor:
    """Multi-class squared hinge, one an example: sum over wrong classes of max(0, 1 + wrong - right)^2."""
    right = outputs.gather(-1, labels[..., None])
    wrong = torch.ones_like(outputs).scatter(-1, labels[..., None], 0.0)
    return (wrong * functional.relu(1 + outputs - right).square()).sum(-1)


def brier(outputs: Tensor, labels: Tensor) -> Tensor:
    """Mean squared distance of the probabilities from the labels."""
    wanted = functional.one_hot(labels, outputs.shape[-1])
    return (outputs.softmax(-1) - wanted).square().sum(-1).mean()


def same(one: windtunnel.Result, other: windtunnel.Result) -> None:
    for mine, built_in in ((one.best.validation, other.best.validation), (one.best.test, other.best.test)):
        assert mine.mean == pytest.approx(built_in.mean, rel=1e-4)
    for label, value in one.hyperparameters.items():
        assert value == pytest.approx(other.hyperparameters[label], rel=1e-3)


def test_cross_entropy_given_as_a_loss_is_the_built_in_one():
    same(windtunnel.tune(Net, data(), loss=functional.cross_entropy, **LEAN), windtunnel.tune(Net, data(), **LEAN))


def test_a_regression_gives_its_loss_outputs_of_the_shape_of_the_labels():
    fields = {"kind": "regression", "data": data(1), **LEAN}

    def huberless(outputs: Tensor, labels: Tensor) -> Tensor:
        assert outputs.shape == labels.shape
        return (outputs - labels).square().mean()

    build = lambda width: Net(width, 1)  # noqa: E731 - as users write it
    same(windtunnel.tune(model=build, loss=huberless, **fields), windtunnel.tune(build, **fields))


def test_mixture_weights_act_on_each_example_of_a_loss_that_gives_a_mean():
    fields = {"data": data(2, sources=2), "sources": ("a", "b"), "search": [{"name": "mixture_weight"}], **LEAN}
    same(windtunnel.tune(Net, loss=functional.cross_entropy, **fields), windtunnel.tune(Net, **fields))


@pytest.mark.parametrize("estimator", [Reverse("none", "exact"), Forward()])
@pytest.mark.parametrize("loss", [squared_hinge, brier])
def test_the_hypergradient_of_a_loss_is_the_central_difference_of_training_runs(loss, estimator):
    task = UserTask(
        name="own", input_shape=(5,), classes=2, examples=(64, 64, 64), load=data, build=lambda width, _: Net(width),
        loss=loss, depth=1,
    )  # fmt: skip
    info = task.info_with(describe(task))
    search = [{"name": "learning_rate", "scope": "role"}, {"name": "weight_decay"}]
    spec = JobSpec.of({"task": "own", "model": {"width": 8}, "inner": LEAN["inner"], "search": search}, info)
    tensors = proxy_tensors(spec.model, info)
    std = [base_init_std(fact, spec.model.activation) for fact in tensors]
    space = Space.from_spec(spec, tensors)
    problem = InnerProblem(spec, Layout(tensors), std, space, data_of(spec), torch.float64)
    point = space.with_value(space.start(), "learning_rate", 0.05)
    draw = problem.draw([(0, 0, 0, 0)])
    gradient = estimator.estimate(problem, point[None], draw).gradient[0]

    def judged(points: Tensor) -> Tensor:
        """By the plain loss of the module, run by run."""
        trained = problem.train(points, draw.select([0] * len(points)))
        found = []
        for row in range(len(points)):
            weights = [value[row] for value in problem.layout.split(trained.parameters)]
            module = Net(8).double()
            names = dict(zip(problem.layout.names, weights, strict=True))
            outputs = torch.func.functional_call(module, names, (data()[1][0].double(),))
            found.append(loss(outputs, data()[1][1]).mean().detach())
        return torch.stack(found)

    width = 1e-4
    steps = torch.eye(len(point), dtype=torch.float64) * width
    near, far = (judged(point + k * steps) - judged(point - k * steps) for k in (1, 2))
    torch.testing.assert_close(gradient, (8 * near - far) / (12 * width), rtol=1e-5, atol=1e-8)
    assert gradient.norm() > 1e-3


def test_a_plan_remembers_the_loss_and_nothing_uses_another_in_silence():
    result = windtunnel.tune(Net, data(), loss=squared_hinge, **LEAN)
    plan = result.plan(width=16, force=True)
    assert plan.loss == "squared_hinge"
    with pytest.raises(windtunnel.torch.PlanMismatch, match="squared_hinge; give it"):
        windtunnel.torch.criterion(plan)
    inputs, labels = data()[0]
    outputs = Net(16)(inputs)
    criterion = windtunnel.torch.criterion(plan, loss=squared_hinge)
    torch.testing.assert_close(criterion(outputs, labels), squared_hinge(outputs, labels).mean())
    made: dict[str, Any] = {"__name__": "large"}
    exec(compile(plan.to("torch"), "large.py", "exec"), made)
    model = made["build_model"](Net(16))
    with pytest.raises(NotImplementedError, match="squared_hinge"):
        made["training_loss"](model, inputs, labels)
    made["own_loss"] = squared_hinge
    torch.testing.assert_close(made["training_loss"](model, inputs, labels), squared_hinge(model(inputs), labels).mean())
    plain = windtunnel.tune(Net, data(), **LEAN).plan(width=16, force=True)
    with pytest.raises(windtunnel.torch.PlanMismatch, match="leave loss out"):
        windtunnel.torch.criterion(plain, loss=squared_hinge)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda outputs, labels: squared_hinge(outputs, labels).sum(), "no sum over the batch"),
        (lambda outputs, labels: outputs, "the mean over the batch"),
        (lambda outputs, labels: 1.0, "gives float"),
        (lambda outputs, labels: outputs[labels], "failed on outputs|IndexError|gives shape"),
        (lambda outputs, labels: squared_hinge(outputs, labels).mean().item() * outputs.sum(), "differentiated twice"),
        (lambda outputs, labels: squared_hinge(outputs.detach(), labels), "nothing in it may be detached"),
        (nn.CrossEntropyLoss, r"give an object of it: CrossEntropyLoss\(\)"),
        (
            lambda outputs, labels: functional.cross_entropy(outputs, labels) + (outputs - outputs.mean(0)).square().mean(),
            "nothing that compares examples",
        ),
    ],
)
def test_a_loss_that_cannot_be_used_is_refused_with_what_would_do(loss, message):
    with pytest.raises((InvalidData, InvalidRequest)) as caught:
        windtunnel.tune(Net, data(), loss=loss, **LEAN)
    assert any(part in str(caught.value) or re.search(part, str(caught.value)) for part in message.split("|"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"build": None}, "build is missing"),
        ({"build": Net(8)}, "a width, or a width and a depth|build must take"),
        ({"build": "net"}, "build is str"),
        ({"model": Net}, "given twice"),
        ({"model": {"width": 16}}, "base_width 8 and model.width 16"),
        ({"data": None}, "data is missing"),
        ({"loss": "hinge"}, "loss is 'hinge'"),
    ],
)
def test_what_is_missing_or_said_twice_is_told(fields, message):
    with pytest.raises(InvalidRequest, match=message):
        windtunnel.tune(**{"build": Net, "data": data(), **LEAN, **fields})


def test_label_smoothing_belongs_to_the_cross_entropy():
    with pytest.raises(ValueError, match="has a loss of its own, brier"):
        windtunnel.tune(Net, data(), loss=brier, regularization={"label_smoothing": 0.1}, **LEAN)


def test_base_width_is_the_width_of_the_proxy_and_the_result_can_be_drawn():
    result = windtunnel.tune(model=Net, data=data(), loss=brier, **LEAN)
    assert result.spec.model.width == 8
    assert result.plot().data and result.plot("loss").data


def test_an_installed_task_names_its_loss_which_the_listing_tells_and_workers_import():
    task = UserTask(
        name="named", input_shape=(5,), classes=2, examples=(64, 64, 64), load=data, build=lambda width, _: Net(width),
        loss="torch.nn.functional:cross_entropy", depth=1,
    )  # fmt: skip
    info = task.info_with(describe(task))
    assert info.loss == "torch.nn.functional:cross_entropy"
    outputs, labels = torch.randn(2, 4, 3), torch.randint(0, 3, (2, 4))
    plain = info.model_copy(update={"loss": None})
    torch.testing.assert_close(per_example(info, outputs, labels), per_example(plain, outputs, labels))
