"""Losses of batches: a mean by class weights is torch's own; what is no mean is found whatever the order of the data."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import windtunnel
import windtunnel.torch
from hpo.errors import InvalidData
from hpo.families.facts.registry import proxy_tensors
from hpo.families.own.describing import describe
from hpo.families.own.loss_examples import choose
from hpo.families.own.own_loss import check_loss
from hpo.layout import Layout
from hpo.mup.rules import base_init_std
from hpo.tasks import Split, data_of
from hpo.training.problem import InnerProblem
from hpo.training.space import Space
from windtunnel import UserTask
from windtunnel.types import JobSpec
from windtunnel.types.families import TaskKind
from windtunnel.types.modules import ModuleInfo

WEIGHTS = torch.tensor([1.0, 20.0, 0.5])
Data = list[tuple[Tensor, Tensor]]
TABLES: dict[Any, ModuleInfo] = {}
"""Tables of the modules that were described before: they do not depend on the loss."""
LEAN: dict[str, Any] = {
    "base_width": 8,
    "parametrization": "standard",
    "inner": {"steps": 6, "batch_size": 16, "seeds": 2},
    "outer": {"steps": 1, "finish_seeds": 2},
    "method": {"estimator": "reverse"},
}


def points() -> Data:
    """Points with three classes."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(192, 5, generator=generator)
    labels = (inputs @ torch.randn(5, 3, generator=generator)).argmax(1)
    return list(zip(inputs.split(64), labels.split(64), strict=True))


ORDERS: dict[str, Callable[[Tensor], Tensor]] = {
    "as drawn": lambda labels: torch.arange(len(labels)),
    "sorted": lambda labels: labels.argsort(stable=True),
    "sorted downwards": lambda labels: labels.argsort(descending=True, stable=True),
    "one class first": lambda labels: torch.cat([(labels == 1).nonzero()[:, 0], (labels != 1).nonzero()[:, 0]]),
}


def ordered(data: Data, order: str) -> Data:
    rows = [ORDERS[order](labels if labels.dim() == 1 else labels[:, 0]) for _, labels in data]
    return [(inputs[own], labels[own]) for (inputs, labels), own in zip(data, rows, strict=True)]


class Net(nn.Module):
    def __init__(self, width: int, outputs: int = 3) -> None:
        super().__init__()
        self.first = nn.Linear(5, width)
        self.head = nn.Linear(width, outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(torch.tanh(self.first(inputs)))


def one_output(width: int) -> Net:
    return Net(width, 1)


class Reader(nn.Module):
    """One logit for each of 9 tokens at each place of a text."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(9, width)
        self.head = nn.Linear(width, 9)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(torch.tanh(self.embedding(tokens)))


def job(loss: Any, data: Data, kind: TaskKind = "classification", build: Any = Net, **fields: Any) -> JobSpec:
    text, first = kind == "language", data[0][0]
    task = UserTask(
        name="own",
        kind=kind,
        inputs="tokens" if text else "floats",
        input_shape=tuple(first.shape[1:]),
        classes=9 if text else 1 if kind == "regression" else 3,
        examples=tuple(len(labels) for _, labels in data),
        load=lambda: data,
        build=lambda width, _: build(width),
        loss=loss,
        depth=1,
        width=8,
    )
    if (kind, build) not in TABLES:
        TABLES[kind, build] = describe(task)
    return JobSpec.of({"task": "own", "inner": LEAN["inner"], **fields}, task.info_with(TABLES[kind, build]))


def checked(loss: Any, data: Data, kind: TaskKind = "classification", build: Any = Net, **fields: Any) -> None:
    spec = job(loss, data, kind, build, **fields)
    check_loss(spec, data_of(spec).parts)


def weighted(outputs: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(outputs, labels, weight=WEIGHTS.to(outputs.dtype))


def problem_of(spec: JobSpec) -> InnerProblem:
    tensors = proxy_tensors(spec.model, spec.info)
    std = [base_init_std(fact, spec.model.activation) for fact in tensors]
    return InnerProblem(spec, Layout(tensors), std, Space.from_spec(spec, tensors), data_of(spec), torch.float64)


# Means by weights


@pytest.mark.parametrize("order", ORDERS)
def test_class_weights_train_and_judge_as_torch_does_whatever_the_order_of_the_data(order):
    data = ordered(points(), order)
    checked(weighted, data)
    problem = problem_of(job(weighted, data))
    point = problem.space.start()[None]
    table, draw = problem.coefficients(point), problem.draw([(0, 0, 0, 0)])
    parameters = torch.randn(1, problem.layout.parameters, generator=torch.Generator().manual_seed(1)).double()
    module = Net(8).double()
    with torch.no_grad():
        for tensor, value in zip(module.parameters(), problem.layout.split(parameters), strict=True):
            tensor.copy_(value[0])
    criterion = nn.CrossEntropyLoss(weight=WEIGHTS.double())
    for step in range(3):
        rows = draw.batches[0, step]
        criterion(module(data[0][0][rows].double()), data[0][1][rows]).backward()
        own = torch.cat([tensor.grad.flatten() for tensor in module.parameters()])
        module.zero_grad()
        torch.testing.assert_close(problem.gradient(parameters, table, problem.batch(draw, step))[0], own)
    judged, _ = problem.evaluate(parameters, table.loss, problem.data.validation)
    torch.testing.assert_close(judged[0], criterion(module(data[1][0].double()), data[1][1]))


def test_a_tune_with_class_weights_differs_from_one_without():
    data = ordered(points(), "sorted")
    plain = windtunnel.tune(Net, data, **LEAN).best.validation.mean
    uneven = windtunnel.tune(Net, data, loss=weighted, **LEAN)
    assert abs(uneven.best.validation.mean - plain) > 1e-3
    assert uneven.certificate is not None and all(point.passed for point in uneven.certificate.points)
    criterion = windtunnel.torch.criterion(uneven.plan(width=16, force=True), loss=weighted)
    outputs, labels = torch.randn(64, 3), data[0][1]
    torch.testing.assert_close(criterion(outputs, labels), weighted(outputs, labels))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_weights_of_a_loss_that_is_a_module_are_taken_in_the_precision_of_the_outputs(dtype):
    data = points()
    own = nn.CrossEntropyLoss(weight=WEIGHTS.to(dtype))
    by_module, by_hand = (windtunnel.tune(Net, data, loss=loss, **LEAN) for loss in (own, weighted))
    assert by_module.best.validation == by_hand.best.validation
    assert own.weight.dtype == dtype
    outputs, labels = torch.randn(64, 3), data[0][1]
    criterion = windtunnel.torch.criterion(by_module.plan(width=16, force=True), loss=own)
    torch.testing.assert_close(criterion(outputs, labels), weighted(outputs, labels))


class LearnedTemperature(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(()))

    def forward(self, outputs: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(outputs / self.temperature, labels)


LEARNED = torch.zeros((), requires_grad=True)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda y, t: functional.cross_entropy(y, t, weight=WEIGHTS), r"float64.*weight=W.to\(outputs.dtype\)"),
        (lambda y, t: functional.cross_entropy(y, t, weight=WEIGHTS.double()), r"float32.*weight=W.to\(outputs.dtype\)"),
        (lambda y, t: functional.cross_entropy(y, t) * WEIGHTS.double()[0], "gives torch.float64 for outputs .*float32"),
        (LearnedTemperature(), "a parameter to train, 'temperature'.* move it into the module"),
        (lambda y, t: functional.cross_entropy(y, t) * (-LEARNED).exp() + LEARNED, "a tensor that requires a gradient"),
        (lambda y, t: (functional.cross_entropy(y, t), {}), "gives a tuple of 2, no tensor.* give one tensor"),
        (lambda y, t: functional.cross_entropy(y, t).detach().numpy(), "gives .*, no tensor.* must have a gradient"),
        (functional.multi_margin_loss, "no second derivative; write it out"),
        (lambda y, t: functional.cross_entropy(y.detach(), t), "nothing in it may be detached"),
        (nn.CrossEntropyLoss(weight=WEIGHTS, label_smoothing=0.1), "class weights together with label smoothing"),
        (lambda y, t: (y - functional.one_hot(t)).square().mean(), r"F.one_hot\(labels, outputs.shape\[-1\]\)"),
    ],
)
def test_a_loss_that_fails_is_told_what_would_do_in_its_case(loss, message):
    with pytest.raises(InvalidData, match=f"(?s){message}"):
        checked(loss, points())


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (nn.CrossEntropyLoss(), r"F.cross_entropy\(outputs.flatten\(0, 1\), labels.flatten\(\)\)"),
        (lambda y, t: functional.cross_entropy(y[t != 0], t[t != 0]), "multiply by it"),
    ],
)
def test_a_loss_of_text_that_fails_is_told_what_would_do(loss, message):
    with pytest.raises(InvalidData, match=message):
        checked(loss, texts(), "language", Reader)


def test_weights_of_sources_need_the_loss_of_each_example():
    data = points()
    labels = [(x, y, torch.arange(64) % 2) for x, y in data]
    fields = {"sources": ("a", "b"), "search": [{"name": "mixture_weight"}], **LEAN}
    with pytest.raises(InvalidData, match=r"\(label 1\) counts 20 times as much as .* \(label 0\)"):
        windtunnel.tune(Net, labels, loss=weighted, **fields)

    def each(outputs: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, labels, weight=WEIGHTS.to(outputs.dtype), reduction="none")

    windtunnel.tune(Net, labels, loss=each, **fields)


def test_parts_of_a_batch_need_a_plain_mean():
    with pytest.raises(InvalidData, match=r"counts 20 times as much.*inner\.micro_batch_size needs the loss of one"):
        windtunnel.tune(Net, points(), loss=weighted, **{**LEAN, "inner": {**LEAN["inner"], "micro_batch_size": 4}})


def texts(context: int = 6) -> Data:
    """Tokens and those that follow them; token 0 is padding of different lengths, never a whole text."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, 9, (96, context + 1), generator=generator)
    lengths = torch.randint(2, context + 1, (96,), generator=generator)
    tokens = torch.where(torch.arange(context + 1) < lengths[:, None], tokens, 0)
    return list(zip(tokens[:, :-1].split(32), tokens[:, 1:].split(32), strict=True))


def padded(outputs: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(outputs.flatten(0, 1), labels.flatten(), ignore_index=0)


@pytest.mark.parametrize("order", ["as drawn", "sorted", "sorted downwards"])
def test_padding_that_text_ignores_is_a_mean_by_weights(order):
    data = ordered(texts(), order)
    checked(padded, data, "language", Reader)
    problem = problem_of(job(padded, data, "language", Reader))
    parameters = torch.randn(1, problem.layout.parameters, generator=torch.Generator().manual_seed(1)).double()
    table = problem.coefficients(problem.space.start()[None])
    judged, _ = problem.evaluate(parameters, table.loss, problem.data.validation)
    outputs = problem.outputs(problem.layout.split(parameters), table.loss, data[1][0])[0]
    torch.testing.assert_close(judged[0], padded(outputs, data[1][1]))


# What is no mean


def contrastive(outputs: Tensor, labels: Tensor) -> Tensor:
    same = (labels[:, None] == labels).to(outputs.dtype)
    return ((outputs @ outputs.T).tanh() * (1 - 2 * same)).mean() + functional.cross_entropy(outputs, labels)


def each_loss(outputs: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(outputs, labels, reduction="none")


NO_MEANS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], str]] = {
    "sum": (lambda y, t: functional.cross_entropy(y, t, reduction="sum"), "it is their sum"),
    "sum over a fixed size": (lambda y, t: functional.cross_entropy(y, t, reduction="sum") / 16, "no sum over the batch"),
    "quantile": (lambda y, t: torch.quantile(each_loss(y, t), 0.9), "no quantile"),
    "hardest eight": (lambda y, t: each_loss(y, t).topk(min(8, len(t))).values.mean(), "in the mean over each"),
    "pairs": (contrastive, "nothing that compares examples"),
    "over the batch's deviation": (lambda y, t: each_loss(y / (1 + y.std(0, correction=0)), t), "in a batch of"),
    "ignored class": (nn.CrossEntropyLoss(ignore_index=0), r"is nan for example \d+ of the train part \(label 0\) alone"),
    "class of weight 0": (
        lambda y, t: functional.cross_entropy(y, t, weight=torch.tensor([1.0, 1.0, 0.0]).to(y)),
        r"is nan for example \d+ of the train part \(label 2\) alone",
    ),
    "log of a label": (lambda y, t: functional.cross_entropy(y, t) + t.to(y).log().mean(), r"is -inf for .* \(label 0\)"),
    "random": (lambda y, t: functional.cross_entropy(y + torch.rand_like(y), t), "when it is called again"),
    "casts": (lambda y, t: functional.cross_entropy(y.float(), t).to(y.dtype), "casts to float32"),
    "gives fewer digits": (lambda y, t: functional.cross_entropy(y.float(), t), "casts to fewer digits"),
}


@pytest.mark.parametrize("order", ["sorted", "one class first"])
@pytest.mark.parametrize("name", NO_MEANS)
def test_what_is_no_mean_over_examples_is_found_whatever_the_order_of_the_data(name, order):
    loss, message = NO_MEANS[name]
    with pytest.raises(InvalidData, match=message) as caught:
        checked(loss, ordered(points(), order))
    assert caught.value.hint in str(caught.value)


def test_a_rare_label_at_the_end_of_the_validation_part_is_tried():
    data = [(x, y.clamp(min=1)) for x, y in points()]
    checked(nn.CrossEntropyLoss(ignore_index=0), data)
    data[1][1][-1] = 0
    with pytest.raises(InvalidData, match=r"nan for example 63 of the validation part \(label 0\) alone"):
        checked(nn.CrossEntropyLoss(ignore_index=0), data)


def test_a_text_of_padding_alone_has_no_loss():
    data = texts()
    data[2][1][5] = 0
    with pytest.raises(InvalidData, match=r"nan for example 5 of the test part \(label 0\) alone"):
        checked(padded, data, "language", Reader)


def squares(outputs: Tensor, labels: Tensor) -> Tensor:
    return (outputs - labels).square()


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda y, t: squares(y, t).mean() / (t.var(correction=0) + 0.1), "in the mean over each"),
        (lambda y, t: squares(y, t).mean() / t.var(), "is nan for example"),
        (functional.huber_loss, r"write it out: \(outputs - labels\)"),
        (lambda y, t: squares(y, t).mean().sqrt(), "in the mean over each"),
        (lambda y, t: (y - t - (y - t).mean()).square().mean(), "in the mean over each"),
        (lambda y, t: (y - t.log()).square().mean(), "is nan for example"),
        (lambda y, t: 1 - torch.corrcoef(torch.stack([y, t]))[0, 1], "failed on|nan|differentiated twice"),
    ],
)
def test_losses_of_a_regression_that_are_no_means_are_found_when_targets_are_sorted(loss, message):
    data = [(x[rows], x[rows].sum(1)) for x, _ in points() for rows in [x.sum(1).argsort()]]
    with pytest.raises(InvalidData, match=message):
        checked(loss, data, "regression", one_output)


@pytest.mark.parametrize(
    "loss",
    [
        squares,
        lambda y, t: functional.softplus((y - t).abs()).mean(),
        lambda y, t: (y - t).cosh().log().mean(),
        lambda y, t: (squares(y, t) * t.abs()).sum() / t.abs().sum(),
    ],
)
def test_losses_of_a_regression_that_are_means_pass(loss):
    data = [(x, x.sum(1)) for x, _ in points()]
    checked(loss, data, "regression", one_output)


def test_a_loss_of_what_the_module_gives_is_not_judged_by_outputs_that_it_never_gives():
    """Random outputs below 0 have no logarithm; those of the module do."""

    class Positive(Net):
        def __init__(self, width: int) -> None:
            super().__init__(width, 1)

        def forward(self, inputs: Tensor) -> Tensor:
            return functional.softplus(super().forward(inputs))

    data = [(x, x.sum(1).abs()) for x, _ in points()]
    checked(lambda rate, count: (rate - count * rate.log()).mean(), data, "regression", Positive)


def test_every_label_is_among_the_examples_that_are_tried():
    generator = torch.Generator().manual_seed(0)
    classes = torch.randperm(300, generator=generator)
    parts = [Split(torch.zeros(len(own), 5), own, own) for own in classes.split(100)]
    info = job(None, points()).info.model_copy(update={"classes": 300})
    assert set(choose(info, parts).labels.tolist()) == set(range(300))
    tokens = torch.randint(0, 9, (40, 6), generator=generator)
    text = info.model_copy(update={"kind": "language", "classes": 9, "features": 6, "input_shape": (6,)})
    assert set(choose(text, [Split(tokens, tokens, tokens[:, 0])]).labels.flatten().tolist()) == set(range(9))
    targets = torch.randn(500, generator=generator)
    number = info.model_copy(update={"kind": "regression", "classes": 1})
    found = choose(number, [Split(torch.zeros(500, 5), targets, classes[:1].expand(500))])
    assert {targets.min().item(), targets.max().item()} <= set(found.labels.tolist())
    assert found.labels.abs().min() == targets.abs().min()
