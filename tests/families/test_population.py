"""A population's forward pass: every member as if it were alone."""

import pytest
import torch

from hpo.families.mlp import MLP
from hpo.families.proxy import Proxy

MEMBERS, BATCH = 3, 5


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh"])
@pytest.mark.parametrize("dials", [(), ("dropout",), ("dropout", "input_noise", "augmentation")])
def test_an_mlp_population_equals_the_forward_pass_of_each_member(shared: bool, activation: str, dials) -> None:
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    with torch.device("meta"):
        model = MLP(features=4, classes=3, width=6, depth=2, activation=activation, image=(1, 2, 2))
    tensors = [normal(MEMBERS, *tensor.shape).requires_grad_() for tensor in model.parameters()]
    inputs = normal(BATCH, 4) if shared else normal(MEMBERS, BATCH, 4)
    # Each layer has its own dropout.
    shapes = {name: (MEMBERS, 2) if name == "dropout" else (MEMBERS,) for name in dials}
    settings = {
        name: torch.rand(shape, generator=generator, dtype=torch.float64) * 0.8 + 0.1 for name, shape in shapes.items()
    }
    noise = {name: normal(MEMBERS, *shape) for name, shape in model.noise_shapes(BATCH, dials).items()}
    own = model.population(tensors, inputs, shared=shared, dials=settings, noise=noise)
    general = Proxy.population(model, tensors, inputs, shared=shared, dials=settings, noise=noise)
    torch.testing.assert_close(own, general, rtol=1e-12, atol=1e-13)
    weights = normal(*own.shape)
    slopes = [torch.autograd.grad((found * weights).sum(), tensors) for found in (own, general)]
    for mine, expected in zip(*slopes, strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-11, atol=1e-12)


def test_an_mlp_population_refuses_a_dial_that_it_does_not_have() -> None:
    model = MLP(features=2, classes=2, width=2, depth=1)
    tensors = [tensor[None] for tensor in model.parameters()]
    with pytest.raises(ValueError, match="attention_multiplier"):
        model.population(tensors, torch.zeros(1, 2), shared=True, dials={"attention_multiplier": torch.ones(1)})
