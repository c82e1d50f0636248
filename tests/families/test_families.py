"""Every family: the same function under vmap as alone, every derivative that the engine takes, its tensors, its dials."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, jvp, vmap
from torch.nn import functional

from hpo.families.dials import Dials, Noise, gaussian_dropout
from hpo.families.facts.registry import proxy_tensors
from hpo.families.mlp import MLP
from hpo.families.proxy import Proxy
from hpo.families.registry import build
from hpo.families.resnet import ResNet
from hpo.families.transformer import Transformer, causal_attention
from hpo.mup.rules import base_init_std
from windtunnel.tasks import TASKS
from windtunnel.types import ModelSpec, TaskInfo

Parameters = dict[str, Tensor]
MEMBERS, BATCH, DEPTH = 3, 4, 2


def task(kind: str, image: tuple[int, int, int] | None = None) -> TaskInfo:
    """A task of three classes, small enough for finite differences."""
    features = {"language": 5, "classification": 6}[kind] if image is None else torch.Size(image).numel()
    return TaskInfo.model_validate(
        {
            "name": "small",
            "title": "",
            "kind": kind,
            "features": features,
            "image": image,
            "classes": 3,
            "train_examples": 9,
            "validation_examples": 9,
            "test_examples": 9,
            "source": "",
        }
    )


# Smooth activations, so that finite differences see no kinks.
CASES: dict[str, tuple[ModelSpec, TaskInfo]] = {
    "mlp": (ModelSpec(family="mlp", width=5, depth=2, activation="tanh"), task("classification")),
    "resnet": (
        ModelSpec(family="resnet", width=4, depth=2, activation="gelu"),
        task("classification", (2, 4, 5)),
    ),
    "patched resnet": (
        ModelSpec(family="resnet", width=4, depth=1, activation="tanh"),
        task("classification", (1, 20, 12)),
    ),
    "transformer": (
        ModelSpec(family="transformer", width=8, depth=2, activation="gelu", d_head=4),
        task("language"),
    ),
    "llama": (
        ModelSpec(
            family="llama", width=8, depth=2, activation="silu", d_head=2, gqa_ratio=2, norm_gains=True, qk_norm=True
        ),
        task("language"),
    ),
}
each_family = pytest.mark.parametrize("name", CASES)


def meta(name: str) -> Proxy:
    with torch.device("meta"):
        return build(*CASES[name])


def drawn(name: str, members: int = MEMBERS, seed: int = 0) -> tuple[Parameters, Tensor, Tensor]:
    """Parameters [members, *shape] of order 1 / sqrt(fan-in), inputs and labels of each member, in float64."""
    _, info = CASES[name]
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    parameters = {
        fact.name: normal(members, *fact.shape) * torch.Size(fact.shape[1:]).numel() ** -0.5
        for fact in proxy_tensors(*CASES[name])
    }
    if info.kind == "language":
        tokens = torch.randint(info.classes, (members, BATCH, info.features + 1), generator=generator)
        return parameters, tokens[..., :-1], tokens[..., 1:]
    return (
        parameters,
        normal(members, BATCH, info.features),
        torch.randint(3, (members, BATCH), generator=generator),
    )


def member(parameters: Parameters, index: int) -> Parameters:
    return {name: tensor[index] for name, tensor in parameters.items()}


def loss_of(name: str, dials: Dials | None = None, noise: Noise | None = None) -> Callable[..., Tensor]:
    """(parameters, inputs, labels) of one member -> mean cross-entropy."""
    model = meta(name)

    def loss(parameters: Parameters, inputs: Tensor, labels: Tensor) -> Tensor:
        logits = functional_call(model, parameters, (inputs, dials or {}, noise or {}))
        return functional.cross_entropy(logits.reshape(-1, 3), labels.reshape(-1))

    return loss


@each_family
def test_tensors_are_those_of_the_module_in_its_order(name: str) -> None:
    expected = [(path, list(parameter.shape)) for path, parameter in meta(name).named_parameters()]
    assert [(fact.name, fact.shape) for fact in proxy_tensors(*CASES[name])] == expected
    assert not list(meta(name).buffers())


@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_task_builds_the_families_that_it_names(name: str) -> None:
    info = TASKS[name]
    for family in info.families:
        model = ModelSpec(family=family, width=16, depth=1)
        with torch.device("meta"):
            shapes = [list(parameter.shape) for parameter in build(model, info).parameters()]
        assert shapes == [fact.shape for fact in proxy_tensors(model, info)]


@each_family
def test_members_under_vmap_are_the_members_alone(name: str) -> None:
    parameters, inputs, _ = drawn(name)
    model = meta(name)
    together = vmap(lambda named, batch: functional_call(model, named, (batch,)))(parameters, inputs)
    alone = [functional_call(model, member(parameters, index), (inputs[index],)) for index in range(MEMBERS)]
    torch.testing.assert_close(together, torch.stack(alone), rtol=1e-10, atol=1e-12)
    info = CASES[name][1]
    tokens = (info.features,) if info.kind == "language" else ()
    assert together.shape == (MEMBERS, BATCH, *tokens, info.classes)


@each_family
def test_examples_do_not_see_each_other(name: str) -> None:
    parameters, inputs, _ = drawn(name)
    one, model = member(parameters, 0), meta(name)
    batch = functional_call(model, one, (inputs[0],))
    torch.testing.assert_close(functional_call(model, one, (inputs[0][1:2],)), batch[1:2], rtol=1e-10, atol=1e-12)


@each_family
def test_double_backward_and_forward_over_reverse_are_the_finite_difference_of_the_gradient(name: str) -> None:
    """Hessian-vector products of all members at once, by both ways that the estimators take."""
    parameters, inputs, labels = drawn(name)
    directions, _, _ = drawn(name, seed=1)
    gradient = vmap(grad(loss_of(name)), in_dims=(0, 0, 0))

    def gradient_at(step: float) -> Parameters:
        moved = {key: tensor + step * directions[key] for key, tensor in parameters.items()}
        return gradient(moved, inputs, labels)

    _, forward = jvp(lambda at: gradient(at, inputs, labels), (parameters,), (directions,))
    leaves = {key: tensor.clone().requires_grad_() for key, tensor in parameters.items()}
    losses = vmap(loss_of(name), in_dims=(0, 0, 0))(leaves, inputs, labels)
    first = torch.autograd.grad(losses.sum(), list(leaves.values()), create_graph=True)
    product = sum((slope * directions[key]).sum() for slope, key in zip(first, leaves, strict=True))
    assert isinstance(product, Tensor)
    reverse = torch.autograd.grad(product, list(leaves.values()), materialize_grads=True)
    width = 2e-4
    near, far = (
        {key: gradient_at(step)[key] - gradient_at(-step)[key] for key in parameters} for step in (width, 2 * width)
    )
    for (key, expected), backward in zip(near.items(), reverse, strict=True):
        expected = (8 * expected - far[key]) / (12 * width)  # noqa: PLW2901
        torch.testing.assert_close(backward, expected, rtol=1e-6, atol=1e-8, msg=key)
        torch.testing.assert_close(forward[key], expected, rtol=1e-6, atol=1e-8, msg=key)


SETTINGS = {"attention_multiplier": 1.7, "dropout": 0.2, "input_noise": 0.3, "augmentation": 0.6}


@pytest.mark.parametrize(("name", "dial"), [(name, dial) for name in CASES for dial in meta(name).dials])
def test_derivatives_in_dials_are_finite_differences_with_the_noise_held_fixed(name: str, dial: str) -> None:
    parameters, inputs, labels = drawn(name, 1)
    generator = torch.Generator().manual_seed(2)
    shapes = meta(name).noise_shapes(BATCH, meta(name).dials)
    noise = {key: torch.randn(shape, generator=generator, dtype=torch.float64) for key, shape in shapes.items()}
    settings = {key: torch.tensor(value, dtype=torch.float64) for key, value in SETTINGS.items() if key in meta(name).dials}
    # Layers differ in their dropout, and all of them move.
    layers = torch.linspace(0.5, 1.5, DEPTH, dtype=torch.float64)

    def loss(value: Tensor) -> Tensor:
        moved = settings | {dial: value}
        return loss_of(name, moved | {"dropout": moved["dropout"] * layers}, noise)(
            member(parameters, 0), inputs[0], labels[0]
        )

    at, width = settings[dial], 2e-4
    near, far = (loss(at + step) - loss(at - step) for step in (width, 2 * width))
    expected = (8 * near - far) / (12 * width)
    found = grad(loss)(at)
    assert found.item() == pytest.approx(expected.item(), rel=1e-7, abs=1e-10)
    assert abs(found.item()) > 1e-6
    _, tangent = jvp(loss, (at,), (torch.ones_like(at),))
    assert tangent.item() == pytest.approx(found.item(), rel=1e-9)


@each_family
def test_noise_is_asked_for_by_the_dials_that_are_on(name: str) -> None:
    model = meta(name)
    assert model.noise_shapes(BATCH, ()) == {}
    assert model.noise_shapes(BATCH, ("attention_multiplier",)) == {}
    assert set(model.noise_shapes(BATCH, ("input_noise",))) == {"input"}
    places = model.noise_shapes(BATCH, ("dropout",))
    assert places and all(place.startswith("dropout.") and shape[0] == BATCH for place, shape in places.items())
    parameters, inputs, _ = drawn(name, 1)
    for missing in places:
        noise = {place: torch.zeros(shape) for place, shape in places.items() if place != missing}
        with pytest.raises(KeyError, match=missing):
            functional_call(model, member(parameters, 0), (inputs[0], {"dropout": torch.full((DEPTH,), 0.1)}, noise))


@each_family
def test_noise_of_zero_changes_nothing_and_other_noise_does(name: str) -> None:
    parameters, inputs, _ = drawn(name, 1)
    model, one = meta(name), member(parameters, 0)
    plain = functional_call(model, one, (inputs[0],))
    for dial in ("dropout", "input_noise"):
        shapes = model.noise_shapes(BATCH, (dial,))
        value = torch.tensor(0.5, dtype=torch.float64)
        dials = {dial: value.expand(DEPTH) if dial == "dropout" else value}
        for value, same in ((0.0, True), (0.7, False)):
            noise = {place: torch.full(shape, value, dtype=torch.float64) for place, shape in shapes.items()}
            # A shift alone would be normalised away.
            noise = {place: tensor.cumsum(-1) for place, tensor in noise.items()}
            assert torch.equal(functional_call(model, one, (inputs[0], dials, noise)), plain) == same


def test_a_dial_that_the_family_does_not_have_is_refused() -> None:
    parameters, inputs, _ = drawn("mlp", 1)
    dials = {"attention_multiplier": torch.tensor(2.0)}
    with pytest.raises(ValueError, match=r"no dial 'attention_multiplier'.*allowed: dropout, input_noise"):
        functional_call(meta("mlp"), member(parameters, 0), (inputs[0], dials))


@each_family
def test_activations_are_the_outputs_of_the_layers_and_end_in_the_logits(name: str) -> None:
    parameters, inputs, _ = drawn(name, 1)
    model = build(*CASES[name]).double()
    model.load_state_dict(member(parameters, 0))
    seen: dict[str, Tensor] = {}
    for path, module in model.named_modules():
        if list(module.parameters(recurse=False)):
            module.register_forward_hook(lambda _, __, output, path=path: seen.update({path: output}))
    found = model.activations(inputs[0])
    assert list(found)[-1] == "readout"
    assert torch.equal(found["readout"], model(inputs[0]))
    assert found.keys() == seen.keys()
    assert all(torch.equal(found[path], seen[path]) for path in seen)


@each_family
def test_it_learns_from_the_initialisation_of_the_rules(name: str) -> None:
    """Plain gradient descent on one batch, the members side by side: the loss falls well below its start at ln 3."""
    model, info = CASES[name]
    _, inputs, labels = drawn(name)
    generator = torch.Generator().manual_seed(3)
    weights = {
        fact.name: torch.randn(MEMBERS, *fact.shape, generator=generator, dtype=torch.float64)
        * base_init_std(fact, model.activation)
        + (fact.init_value or 0.0)
        for fact in proxy_tensors(model, info)
    }
    step = vmap(torch.func.grad_and_value(loss_of(name)), in_dims=(0, 0, 0))
    losses = []
    for _ in range(30):
        gradients, values = step(weights, inputs, labels)
        weights = {key: weight - 0.3 * gradients[key] for key, weight in weights.items()}
        losses.append(values.mean().item())
    assert losses[0] == pytest.approx(torch.tensor(3.0).log().item(), rel=1e-6)
    assert losses[-1] < 0.6 * losses[0]
    assert all(late < early for early, late in pairwise(losses[::10]))


def test_dropout_has_the_moments_of_bernoulli_dropout() -> None:
    generator = torch.Generator().manual_seed(0)
    hidden, rate = torch.full((200_000,), 2.0), torch.tensor(0.3)
    found = gaussian_dropout(hidden, rate, torch.randn(200_000, generator=generator))
    bernoulli = functional.dropout(hidden, 0.3)
    # The standard error of a mean of 200,000 values of deviation 1.3 is .003, that of the variance .009.
    assert found.mean().item() == pytest.approx(2.0, abs=0.015)
    assert found.var().item() == pytest.approx(4 * 0.3 / 0.7, abs=0.04)
    assert bernoulli.var().item() == pytest.approx(found.var().item(), abs=0.05)


def test_attention_is_torchs_own_at_the_scale_alpha_over_d_head() -> None:
    generator = torch.Generator().manual_seed(0)
    qkv = torch.randn(2, 6, 3 * 12, generator=generator, dtype=torch.float64)
    found = causal_attention(qkv, 4, torch.tensor(1.5))
    q, k, v = (part.view(2, 6, 3, 4).transpose(1, 2) for part in qkv.split(12, dim=2))
    expected = functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1.5 / 4)
    torch.testing.assert_close(found, expected.transpose(1, 2).reshape(2, 6, 12), rtol=1e-10, atol=1e-12)


def test_a_token_sees_no_later_token() -> None:
    parameters, inputs, _ = drawn("transformer", 1)
    one, model = member(parameters, 0), meta("transformer")
    changed = inputs[0].clone()
    changed[:, 3] = (changed[:, 3] + 1) % 3
    before, after = (functional_call(model, one, (tokens,)) for tokens in (inputs[0], changed))
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.isclose(before[:, 3:], after[:, 3:]).all(-1).any()


def test_sizes_that_make_no_model_are_refused() -> None:
    with pytest.raises(ValueError, match="width 10 of a transformer is no multiple of d_head 4"):
        Transformer(5, 3, 10, 1, 4)
    with pytest.raises(ValueError, match="multiples of the stem's stride 4"):
        ResNet((1, 30, 28), 3, 4, 1)
    vectors = CASES["mlp"][1]
    for refuse in (build, proxy_tensors):
        with pytest.raises(ValueError, match="a resnet needs images, and examples of task 'small' are none"):
            refuse(ModelSpec(family="resnet"), vectors)
    with pytest.raises(ValueError, match="depth of a transformer is 0"):
        proxy_tensors(ModelSpec.model_construct(family="transformer", width=8, depth=0), CASES["transformer"][1])


def test_the_mlp_is_what_its_layers_say() -> None:
    model = MLP(6, 3, 5, 2, "relu").double()
    inputs = torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    hidden = torch.relu(model.layers[1](torch.relu(model.layers[0](inputs))))
    assert torch.equal(model(inputs), model.readout(hidden))
