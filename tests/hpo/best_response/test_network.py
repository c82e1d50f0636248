"""The response network in float64: it is the plain model where nothing moved, and every shortcut equals the long way."""

from typing import Any

import pytest
import torch

from hpo.best_response.network import ResponseNetwork
from hpo.best_response.objectives import Objectives
from hpo.best_response.run import answered
from hpo.estimators.registry import response_objectives
from hpo.footprint.sizes import Sizes
from hpo.study import Study
from hpo.training.problem import InnerProblem
from windtunnel.types import JobSpec

SEARCH = [
    {"name": "l2", "scope": "role"},
    {"name": "dropout", "scope": "layer"},
    {"name": "label_smoothing"},
    {"name": "input_noise"},
]
MODELS: dict[str, dict[str, Any]] = {
    "mlp": {
        "task": "digits",
        "model": {"width": 8, "depth": 2, "activation": "tanh"},
        "search": [*SEARCH, {"name": "augmentation"}],
    },
    "resnet": {"task": "digits", "model": {"family": "resnet", "width": 4, "depth": 2, "activation": "tanh"}},
    "transformer": {"task": "python-text", "model": {"width": 16, "depth": 2, "d_head": 8}},
}
MEMBERS, BATCH = 2, 3


class Case:
    """Two members of one family with random weights and a random response."""

    def __init__(self, family: str) -> None:
        fields = {"inner": {"steps": 4, "batch_size": BATCH, "seeds": MEMBERS}, "search": SEARCH, **MODELS[family]}
        spec = JobSpec.model_validate({**fields, "method": {"estimator": "delta_stn"}})
        self.problem: InnerProblem = Study(spec, dtype=torch.float64).problem
        self.rows = answered(self.problem)
        self.network = ResponseNetwork(self.problem, len(self.rows))
        generator = torch.Generator().manual_seed(3)

        def normal(*shape: int) -> torch.Tensor:
            return 0.3 * torch.randn(*shape, generator=generator, dtype=torch.float64)

        self.weights, self.response = (
            normal(MEMBERS, self.problem.layout.parameters),
            normal(MEMBERS, self.network.layout.parameters),
        )
        self.centre = self.problem.space.start()
        self.eps = normal(MEMBERS, BATCH, len(self.rows))
        self.points = self.centre + self.eps
        self.draw = self.problem.draw([(0, 0), (0, 1)])
        self.batch = self.problem.batch(self.draw, 0)
        self.base = self.problem.loss_tables(self.centre.expand(MEMBERS, -1))

    def objectives(self, kind: str) -> Objectives:
        return response_objectives(kind)(self.network, self.rows)

    def parts(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        return self.problem.layout.split(self.weights), self.network.layout.split(self.response)


@pytest.fixture(scope="module", params=MODELS)
def case(request) -> Case:
    return Case(request.param)


def test_every_weight_of_the_families_responds(case: Case) -> None:
    moved = {name.removesuffix(".answer") for name in case.network.layout.names if name.endswith(".answer")}
    assert {f"{layer}.weight" for layer in moved} | {f"{layer}.bias" for layer in moved} >= set(case.problem.layout.names)


def test_its_size_is_known_before_it_is_built(case: Case) -> None:
    spec = case.problem.spec
    assert Sizes.of(spec, spec.info).response_parameters == case.network.layout.parameters


def test_where_nothing_moved_it_is_the_plain_model(case: Case) -> None:
    weights, answers = case.parts()
    at = torch.zeros_like(case.eps)
    found = case.network.training_outputs(weights, answers, at, case.batch.inputs, case.base, case.batch.noise)
    plain = case.problem.outputs(weights, case.base, case.batch.inputs, case.batch.noise)
    torch.testing.assert_close(found, plain, rtol=1e-10, atol=1e-12)
    loss = case.objectives("delta_stn").loss(
        found,
        weights,
        answers,
        at,
        case.objectives("delta_stn").example_tables(case.points - case.eps, case.base),
        case.batch,
    )
    torch.testing.assert_close(loss, case.problem.training_loss(weights, case.base, case.batch), rtol=1e-10, atol=1e-12)


def test_an_example_sees_the_weights_of_its_own_regularisers(case: Case) -> None:
    """One example at a time, with weights made for it: outputs, norms, and the mean of the loss over the batch."""
    weights, answers = case.parts()
    objectives = case.objectives("delta_stn")
    moved, tables = objectives.moved(case.points, case.centre), objectives.example_tables(case.points, case.base)
    outputs = case.network.training_outputs(weights, answers, moved, case.batch.inputs, tables, case.batch.noise)
    loss = objectives.loss(outputs, weights, answers, moved, tables, case.batch)
    losses = []
    for example in range(BATCH):
        own = case.problem.layout.split(case.network.effective(case.weights, case.response, moved[:, example]))
        alone = type(case.batch)(
            case.batch.inputs[:, [example]],
            case.batch.labels[:, [example]],
            None,
            {name: part[:, [example]] for name, part in case.batch.noise.items()},
        )
        at = case.problem.loss_tables(case.points[:, example])
        torch.testing.assert_close(outputs[:, [example]], case.problem.outputs(own, at, alone.inputs, alone.noise))
        losses.append(case.problem.training_loss(own, at, alone))
    torch.testing.assert_close(loss, torch.stack(losses).mean(dim=0), rtol=1e-9, atol=1e-12)


def test_the_linearised_outputs_are_a_difference_quotient_of_the_response(case: Case) -> None:
    weights, answers = case.parts()
    objectives = case.objectives("delta_stn")
    moved, tables = objectives.moved(case.points, case.centre), objectives.example_tables(case.points, case.base)

    def at(share: float) -> torch.Tensor:
        return case.network.training_outputs(weights, answers, share * moved, case.batch.inputs, tables, case.batch.noise)

    width = 1e-5
    numeric = at(0.0) + (at(width) - at(-width)) / (2 * width)
    torch.testing.assert_close(
        objectives.linearised(weights, answers, moved, case.batch, tables), numeric, rtol=1e-6, atol=1e-8
    )


@pytest.mark.parametrize("kind", ["stn", "delta_stn"])
def test_training_gradients_are_difference_quotients_of_their_objectives(case: Case, kind: str) -> None:
    objectives = case.objectives(kind)
    found = objectives.training_gradient(case.weights, case.response, case.centre, case.points, case.base, case.batch)
    moved, tables = objectives.moved(case.points, case.centre), objectives.example_tables(case.points, case.base)
    generator = torch.Generator().manual_seed(5)

    def objective(weights: torch.Tensor, response: torch.Tensor) -> torch.Tensor:
        own, answers = case.problem.layout.split(weights), case.network.layout.split(response)
        if kind == "stn":
            outputs = case.network.training_outputs(own, answers, moved, case.batch.inputs, tables, case.batch.noise)
        else:
            outputs = objectives.linearised(own, answers, moved, case.batch, tables)
        return objectives.loss(outputs, own, answers, moved, tables, case.batch)

    direction, width = torch.randn(case.response.shape, generator=generator, dtype=torch.float64), 1e-6
    ahead, behind = (objective(case.weights, case.response + sign * width * direction) for sign in (1, -1))
    torch.testing.assert_close((found.response * direction).sum(1), (ahead - behind) / (2 * width), rtol=1e-5, atol=1e-7)
    if kind == "delta_stn":
        # The weights are trained as if there were no response.
        plain = case.problem.loss_gradient(case.weights, case.base, case.batch)
        torch.testing.assert_close(found.weights, plain)
        return
    direction = torch.randn(case.weights.shape, generator=generator, dtype=torch.float64)
    ahead, behind = (objective(case.weights + sign * width * direction, case.response) for sign in (1, -1))
    torch.testing.assert_close((found.weights * direction).sum(1), (ahead - behind) / (2 * width), rtol=1e-5, atol=1e-7)


def test_the_control_variate_has_mean_zero_over_perturbations(case: Case) -> None:
    """It is linear in them: of opposite perturbations it is opposite."""
    weights, answers = case.parts()
    objectives = case.objectives("delta_stn")
    there = objectives.moved(case.points, case.centre)
    ahead, behind = (objectives.noise(weights, answers, sign * there, case.base, case.batch) for sign in (1, -1))
    torch.testing.assert_close(ahead, -behind)
    assert float(ahead.abs().max()) > 0
