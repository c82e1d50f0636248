"""Curvature products of the training loss: the Hessian's and the Gauss-Newton matrix's, against the matrices themselves."""

from typing import Any

import pytest
import torch
from torch import Tensor

from hpo.estimators.hand_tape import HandTape, record
from hpo.estimators.tape import Tape
from hpo.training.problem import InnerProblem

INNER = {"steps": 4, "batch_size": 3, "seeds": 2}
PLAIN: dict[str, Any] = {"model": {"width": 4, "depth": 1, "activation": "tanh"}, "inner": INNER}
CASES: dict[str, dict[str, Any]] = {
    "classification": {
        **PLAIN,
        "search": [{"name": name} for name in ("l2", "label_smoothing", "output_multiplier", "dropout", "mixture_weight")],
        "task": "breast-cancer",
    },
    "regression": {**PLAIN, "search": [{"name": "l2"}, {"name": "input_noise"}], "task": "diabetes"},
    "language": {
        "model": {"family": "transformer", "width": 4, "depth": 1, "d_head": 4},
        "inner": {**INNER, "batch_size": 1},
        "search": [{"name": "attention_multiplier"}, {"name": "learning_rate"}],
        "task": "python-text",
    },
}


def matrices(problem: InnerProblem, tables, draw, state: Tensor, member: int) -> tuple[Tensor, Tensor]:
    """(Jacobian of the outputs [outputs, P], Hessian of the fit by the outputs) of one member, written out."""
    batch, layout = problem.batch(draw, 0), problem.layout

    def outputs(flat: Tensor) -> Tensor:
        others = torch.cat([state[:member], flat[None], state[member + 1 :]])
        return problem.outputs(layout.split(others), tables.loss, batch.inputs, batch.noise)[member].flatten()

    def fit(flat: Tensor) -> Tensor:
        whole = problem.outputs(layout.split(state), tables.loss, batch.inputs, batch.noise)
        parts = [part[None] for part in whole.detach().unbind()]
        parts[member] = flat.view_as(parts[member])
        return problem.data_loss(torch.cat(parts), tables.loss, batch)[member]

    jacobian = torch.autograd.functional.jacobian(outputs, state[member])
    hessian = torch.autograd.functional.hessian(fit, outputs(state[member]).detach())
    return jacobian, hessian


def prepared(build_proxy, fields: dict[str, Any]):
    problem = build_proxy(**fields)
    draw = problem.draw([(0, 0), (0, 1)])
    with torch.enable_grad():
        tables = problem.coefficients(problem.space.start().expand(2, -1).clone().requires_grad_())
    fixed = tables.detached()
    state = tuple(part.detach() for part in problem.initial(draw, fixed))
    vector = torch.randn(state[0].shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return problem, fixed, tables.live(), draw, state, vector


@pytest.mark.parametrize("name", ["classification", "regression"])
def test_a_gauss_newton_product_equals_the_matrix_written_out(build_proxy, name: str) -> None:
    """J^T H_out J v, plus lambda v on the matrices that the penalty acts on."""
    problem, fixed, wanted, draw, state, vector = prepared(build_proxy, CASES[name])
    found, _ = Tape.record_fit(problem, fixed, wanted, problem.batch(draw, 0), state[0]).curvature_product(vector)
    decay = torch.zeros_like(fixed.loss["l2"])
    decay[:, problem.penalised] = fixed.loss["l2"][:, problem.penalised]
    for member in range(2):
        jacobian, hessian = matrices(problem, fixed, draw, state[0], member)
        expected = (
            jacobian.T @ (hessian @ (jacobian @ vector[member])) + problem.layout.expand(decay)[member] * vector[member]
        )
        torch.testing.assert_close(found[member], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_both_tapes_have_the_same_gradient_and_mixed_derivatives(build_proxy, name: str) -> None:
    problem, fixed, wanted, draw, state, vector = prepared(build_proxy, CASES[name])
    whole = Tape.record(problem, fixed, wanted, problem.batch(draw, 0), state[0])
    parts = Tape.record_fit(problem, fixed, wanted, problem.batch(draw, 0), state[0])
    plain = problem.gradient(state[0], fixed, problem.batch(draw, 0))
    torch.testing.assert_close(whole.gradient, plain, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(parts.gradient, plain, rtol=1e-12, atol=1e-14)
    (_, mixed), (_, other) = whole.curvature_product(vector), parts.curvature_product(vector)
    assert mixed.keys() == other.keys() == wanted.keys() & fixed.loss.keys()
    for key in mixed:
        torch.testing.assert_close(other[key], mixed[key], rtol=1e-10, atol=1e-13)


IN_THE_LOSS = (
    "attention_multiplier",
    "output_multiplier",
    "embedding_multiplier",
    "dropout",
    "input_noise",
    "label_smoothing",
    "l2",
    "mixture_weight",
)


@pytest.mark.parametrize("gauss_newton", [False, True])
@pytest.mark.parametrize(
    "searched", [("learning_rate",), ("learning_rate", "l2"), ("dropout", "mixture_weight"), IN_THE_LOSS]
)
def test_the_tape_by_hand_equals_the_one_by_graph(build_proxy, searched: tuple[str, ...], gauss_newton: bool) -> None:
    fields = {**CASES["language"], "search": [{"name": name} for name in searched]}
    problem, fixed, wanted, draw, state, vector = prepared(build_proxy, fields)
    # The readout begins at 0, where much of the curvature is, too.
    state = (state[0] + 0.1 * torch.randn(state[0].shape, generator=torch.Generator().manual_seed(1)), *state[1:])
    mine = record(problem, fixed, wanted, draw, state, 0, gauss_newton=gauss_newton)
    assert isinstance(mine, HandTape)
    by_graph = (Tape.record_fit if gauss_newton else Tape.record)(problem, fixed, wanted, problem.batch(draw, 0), state[0])
    torch.testing.assert_close(mine.gradient, by_graph.gradient, rtol=1e-10, atol=1e-13)
    torch.testing.assert_close(problem.gradient(state[0], fixed, problem.batch(draw, 0)), mine.gradient, rtol=1e-12, atol=0)
    (found, mixed), (expected, other) = mine.curvature_product(vector), by_graph.curvature_product(vector)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    assert mixed.keys() == other.keys() == set(searched) - {"learning_rate"}
    for key in mixed:
        torch.testing.assert_close(mixed[key], other[key], rtol=1e-9, atol=1e-12)
        assert mixed[key].abs().max() > 0


def test_a_training_loss_of_a_subclass_is_left_to_the_graph(build_proxy) -> None:
    problem, fixed, wanted, draw, state, vector = prepared(build_proxy, CASES["language"])

    class Doubled(InnerProblem):
        def training_loss(self, tensors, loss, batch):
            return 2 * super().training_loss(tensors, loss, batch)

    other = Doubled(problem.spec, problem.layout, problem.init_std, problem.space, problem.data, problem.dtype)
    once, twice = (record(each, fixed, wanted, draw, state, 0, gauss_newton=False) for each in (problem, other))
    torch.testing.assert_close(twice.gradient, 2 * once.gradient, rtol=1e-10, atol=1e-13)
    torch.testing.assert_close(
        twice.curvature_product(vector)[0], 2 * once.curvature_product(vector)[0], rtol=1e-9, atol=1e-12
    )
