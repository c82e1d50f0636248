"""Derivatives by hand against automatic differentiation of what they are the derivatives of, in float64."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from hpo.families.nonlinearity import ACTIVATIONS
from hpo.families.passes import CURVES, Activation, Dropout, Linear, Normalisation
from hpo.families.proxy import Proxy
from hpo.families.transformer import Transformer, causal_attention
from hpo.families.transformer_passes import Attention

MEMBERS, EXAMPLES, CONTEXT = 2, 3, 4
ROWS = EXAMPLES * CONTEXT


class Normal:
    """Standard normal tensors, one after the other."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator, dtype=torch.float64)


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def by_autograd(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], directions: Sequence[Tensor], slope: Tensor, bent: Tensor
) -> tuple[Tensor, Sequence[Tensor], Tensor, Sequence[Tensor]]:
    """Outputs, gradient by the inputs of <outputs, slope>, and both derivatives along the directions.

    The slope moves, too, by ``bent``. The derivative of the gradient is from forward mode over reverse mode.
    """

    def both(*at: Tensor) -> tuple[Tensor, ...]:
        *points, weights = at
        outputs, pull = torch.func.vjp(function, *points)
        return outputs, *pull(weights)

    values, moved = torch.func.jvp(both, (*inputs, slope), (*directions, bent))
    return values[0], values[1:], moved[0], moved[1:]


@pytest.mark.parametrize("name", CURVES)
def test_an_activation(name: str) -> None:
    normal = Normal(0)
    inputs, direction, slope, bent = (normal(MEMBERS, ROWS, 5) for _ in range(4))
    layer = Activation(name)
    found = layer.forward(inputs), layer.backward(slope), layer.r_forward(direction), layer.r_backward(bent.clone())
    outputs, (gradient,), moved, (turned,) = by_autograd(ACTIVATIONS[name], [inputs], [direction], slope, bent)
    for mine, expected in zip(found, (outputs, gradient, moved, turned), strict=True):
        close(mine, expected)


def test_every_activation_of_the_families_has_its_derivatives() -> None:
    assert CURVES.keys() == ACTIVATIONS.keys()


def test_normalisation() -> None:
    normal = Normal(1)
    hidden, direction, slope, bent = (normal(MEMBERS, ROWS, 5) for _ in range(4))
    # Small enough that the constant beside the variance counts.
    hidden[0] *= 1e-2
    layer = Normalisation()
    found = layer.forward(hidden), layer.backward(slope), layer.r_forward(direction), layer.r_backward(bent)
    outputs, (gradient,), moved, (turned,) = by_autograd(
        lambda at: functional.layer_norm(at, [5]), [hidden], [direction], slope, bent
    )
    for mine, expected in zip(found, (outputs, gradient, moved, turned), strict=True):
        close(mine, expected)


def test_a_linear_layer() -> None:
    normal = Normal(2)
    inputs, inputs_move = normal(MEMBERS, ROWS, 5), normal(MEMBERS, ROWS, 5)
    weight, weight_moves = normal(MEMBERS, 3, 5), normal(MEMBERS, 3, 5)
    slope, bent = normal(MEMBERS, ROWS, 3), normal(MEMBERS, ROWS, 3)
    layer = Linear(weight)
    first = [layer.forward(inputs), *layer.backward(slope)]
    found = [*first, layer.r_forward(inputs_move, weight_moves), *layer.r_backward(bent)]
    outputs, gradients, moved, turned = by_autograd(
        lambda x, w: x @ w.mT, [inputs, weight], [inputs_move, weight_moves], slope, bent
    )
    for mine, expected in zip(found, [outputs, *gradients, moved, *turned], strict=True):
        close(mine, expected)


def test_dropout_and_its_rate() -> None:
    normal = Normal(3)
    hidden, direction, slope, bent, noise = (normal(MEMBERS, ROWS, 5) for _ in range(5))
    rate = torch.tensor([0.2, 0.7], dtype=torch.float64)

    def dropped(values: Tensor, p: Tensor) -> Tensor:
        return values * (1 + (p / (1 - p)).sqrt()[:, None, None] * noise)

    layer = Dropout(rate, noise)
    outputs, (gradient, _), moved, (turned, by_rate) = by_autograd(
        dropped, [hidden, rate], [direction, torch.zeros_like(rate)], slope, bent
    )
    close(layer.forward(hidden), outputs)
    close(layer.backward(slope), gradient)
    close(layer.r_forward(direction), moved)
    close(layer.r_backward(bent), turned)
    close(layer.r_rate(bent), by_rate)


@pytest.mark.parametrize("d_head", [2, 6])
def test_attention_and_its_multiplier(d_head: int) -> None:
    normal = Normal(4)
    qkv, direction = normal(MEMBERS, ROWS, 18), normal(MEMBERS, ROWS, 18)
    slope, bent = normal(MEMBERS, ROWS, 6), normal(MEMBERS, ROWS, 6)
    multiplier = torch.tensor([0.8, 2.5], dtype=torch.float64)

    def attention(values: Tensor, factors: Tensor) -> Tensor:
        apart = values.view(MEMBERS, EXAMPLES, CONTEXT, 18)
        members = [causal_attention(part, d_head, factor) for part, factor in zip(apart, factors, strict=True)]
        return torch.stack(members).view(MEMBERS, ROWS, 6)

    layer = Attention(EXAMPLES, d_head, multiplier)
    outputs, (gradient, _), moved, (turned, by_multiplier) = by_autograd(
        attention, [qkv, multiplier], [direction, torch.zeros_like(multiplier)], slope, bent
    )
    close(layer.forward(qkv), outputs)
    close(layer.backward(slope), gradient)
    close(layer.r_forward(direction), moved)
    mine, by_q = layer.r_backward(bent)
    close(mine, turned)
    close(layer.r_multiplier(by_q), by_multiplier)


@pytest.mark.parametrize("activation", CURVES)
@pytest.mark.parametrize("dials", [(), ("attention_multiplier",), ("attention_multiplier", "dropout", "input_noise")])
def test_a_transformers_passes_are_the_derivatives_of_its_population(activation: str, dials: tuple[str, ...]) -> None:
    """Against two backward passes of automatic differentiation, for a loss that bends at the outputs."""
    normal = Normal(5)
    model = Transformer(CONTEXT + 1, 7, 8, 2, 4, activation).double()
    tensors = [normal(MEMBERS, *tensor.shape).mul_(0.6).requires_grad_() for tensor in model.parameters()]
    # Shorter than the context: the last position is never seen.
    tokens = torch.randint(7, (MEMBERS, EXAMPLES, CONTEXT), generator=normal.generator)
    noise = {
        name: normal(MEMBERS, EXAMPLES, CONTEXT, 8)
        for name in model.noise_shapes(EXAMPLES, [name for name in dials if name != "attention_multiplier"])
    }
    settings = {name: torch.tensor([0.3, 0.6], dtype=torch.float64, requires_grad=True) for name in dials}
    if "dropout" in dials:
        settings["dropout"] = torch.tensor([[0.3, 0.5], [0.6, 0.2]], dtype=torch.float64, requires_grad=True)
    outputs = Proxy.population(model, tensors, tokens, shared=False, dials=settings, noise=noise)
    weights = normal(*outputs.shape)
    gradients = torch.autograd.grad((outputs.sin() * weights).sum(), tensors, create_graph=True)
    directions = [normal(*tensor.shape) for tensor in tensors]
    expected = torch.autograd.grad(gradients, [*tensors, *settings.values()], directions, materialize_grads=True)
    with torch.no_grad():
        passes = model.passes(tensors, tokens, settings, noise)
        found = passes.forward()
        close(found, outputs)
        for mine, gradient in zip(passes.backward(found.cos() * weights), gradients, strict=True):
            close(mine, gradient)
        moved = passes.r_forward(directions)
        turned, by_dial = passes.r_backward(-found.sin() * weights * moved, dials)
    assert by_dial.keys() == settings.keys()
    for mine, product in zip([*turned, *(by_dial[name] for name in settings)], expected, strict=True):
        close(mine, product)


def test_passes_refuse_a_dial_that_the_family_does_not_have() -> None:
    model = Transformer(CONTEXT, 7, 8, 1, 4)
    with pytest.raises(ValueError, match="momentum"):
        model.passes([], torch.zeros(1, 1, CONTEXT), {"momentum": torch.ones(1)})
