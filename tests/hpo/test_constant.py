"""The constant answer that a job's result is held against, by scikit-learn's own; losses of straight pieces."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import log_loss, mean_squared_error
from torch import Tensor, nn
from torch.nn import functional

import windtunnel
from hpo.errors import InvalidData
from hpo.tasks import data_of
from hpo.training.constant import constant_answer
from windtunnel.types import JobSpec

LEAN: dict[str, Any] = {
    "base_width": 8,
    "parametrization": "standard",
    "inner": {"steps": 8, "batch_size": 16, "seeds": 2},
    "outer": {"steps": 1, "finish_seeds": 2},
    "method": {"estimator": "reverse"},
}
X = torch.randn(192, 5, generator=torch.Generator().manual_seed(0))
CLASSES, SUMS = X[:, :3].argmax(1), X.sum(1)
NOTHING = "nothing was learned"


def parts(inputs: Tensor, labels: Tensor) -> list[tuple[Tensor, Tensor]]:
    return list(zip(inputs.split(64), labels.split(64), strict=True))


def net(outputs: int) -> Any:
    return lambda width: nn.Sequential(nn.Linear(5, width), nn.Tanh(), nn.Linear(width, outputs))


def test_the_constant_answer_of_a_regression_is_scikit_learns():
    data = data_of(JobSpec(task="diabetes"))
    train, held = data.train.labels.numpy(), data.validation.labels.numpy()
    guess = DummyRegressor().fit(np.zeros((len(train), 1)), train).predict(np.zeros((len(held), 1)))
    found = constant_answer(JobSpec(task="diabetes").info, data)
    assert found is not None and found.loss == pytest.approx(mean_squared_error(held, guess), rel=1e-6)


def test_the_constant_answer_of_classes_is_their_shares_each_counted_once_more():
    data, info = data_of(JobSpec(task="digits")), JobSpec(task="digits").info
    labels = np.concatenate([data.train.labels.numpy(), np.arange(10)])
    shares = DummyClassifier(strategy="prior").fit(np.zeros((len(labels), 1)), labels)
    held = data.validation.labels.numpy()
    found = constant_answer(info, data)
    expected = log_loss(held, shares.predict_proba(np.zeros((len(held), 1))), labels=range(10))
    assert found is not None and found.loss == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("noise", [False, True])
def test_a_result_says_when_nothing_was_learned(noise):
    labels = torch.randn(3, 64, generator=torch.Generator().manual_seed(1))
    # No constant but the mean is better on the validation part, and there is nothing else to learn.
    labels = (labels - labels.mean(1, keepdim=True)).flatten() if noise else SUMS
    result = windtunnel.tune(net(1), parts(X, labels), kind="regression", **LEAN)
    said = f"no better than always answering the mean of the training targets, {result.constant.loss:.4g}"
    assert (NOTHING in str(result)) is (said in str(result)) is noise


@pytest.mark.filterwarnings("ignore:data.* run up to")
def test_inputs_so_large_that_no_gradient_arrives_are_named_as_the_cause():
    with pytest.raises(InvalidData, match=r"never learns.* inputs .* run up to 5.*e\+04.* scale the inputs"):
        windtunnel.tune(net(3), parts(X + 5e4, CLASSES), **LEAN)


def quantile(outputs: Tensor, labels: Tensor) -> Tensor:
    above = labels - outputs
    return torch.maximum(0.9 * above, -0.1 * above).mean()


def hinge(outputs: Tensor, labels: Tensor) -> Tensor:
    return ((1 + outputs - outputs.gather(1, labels[:, None])).clamp(min=0).sum(1) - 1).mean()


@pytest.mark.parametrize(
    ("build", "labels", "loss"),
    [
        (net(1), SUMS, quantile),
        (net(1), SUMS, nn.L1Loss()),
        (net(3), CLASSES, hinge),
        (lambda width: nn.Sequential(net(3)(width), nn.LogSoftmax(-1)), CLASSES, nn.NLLLoss()),
    ],
)
@pytest.mark.parametrize("estimator", ["reverse", "forward"])
def test_losses_of_straight_pieces_have_right_hypergradients(build, labels, loss, estimator):
    kind: Any = "regression" if labels.is_floating_point() else "classification"
    fields = {**LEAN, "method": {"estimator": estimator}}
    result = windtunnel.tune(build, parts(X, labels), loss=loss, kind=kind, **fields)
    assert result.certificate is not None and all(point.passed for point in result.certificate.points)
    assert NOTHING not in result.verdict


def test_a_loss_of_log_probabilities_is_refused_for_logits():
    with pytest.raises(InvalidData, match=r"let the module end in log_softmax"):
        windtunnel.tune(net(3), parts(X, CLASSES), loss=nn.NLLLoss(weight=torch.tensor([1.0, 2.0, 3.0])), **LEAN)


def test_a_constant_answer_of_a_loss_of_ones_own_is_judged_by_it():
    weight = torch.tensor([1.0, 9.0, 1.0])
    result = windtunnel.tune(net(3), parts(X, CLASSES), loss=nn.CrossEntropyLoss(weight=weight), **LEAN)
    train, held = CLASSES[:64], CLASSES[64:128]
    shares = (torch.bincount(train, minlength=3).double() + 1) / (len(train) + 3)
    expected = functional.cross_entropy(shares.log().expand(64, 3), held, weight=weight.double())
    assert result.constant.loss == pytest.approx(float(expected), rel=1e-6)
