"""Every hyperparameter, in every scope that it has, against central differences; and what its noise and its terms are."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from hpo.estimators.reverse import Reverse
from hpo.families.dials import add_noise, gaussian_dropout
from hpo.families.facts.registry import proxy_tensors
from hpo.layout import Layout
from hpo.mup.rules import base_init_std
from hpo.tasks import Split, TaskData, load
from hpo.training.problem import InnerProblem
from hpo.training.space import Space
from windtunnel.types import HyperparameterName, JobSpec
from windtunnel.types.hyperparameters import scopes_of
from windtunnel.types.tasks import TaskInfo

TEXT = TaskInfo(
    name="tiny-text",
    title="Random tokens",
    kind="language",
    features=5,
    classes=7,
    sources=("a", "b"),
    train_examples=24,
    validation_examples=8,
    test_examples=8,
    source="drawn in this test",
    families=("transformer",),
)
SGD: dict[str, Any] = {"name": "sgd", "learning_rate": 0.05, "weight_decay": 0.1, "clip_norm": 0.5}
ADAM: dict[str, Any] = {"name": "adamw", "learning_rate": 0.02, "weight_decay": 0.1, "eps": 1e-4, "clip_norm": 0.5}
SHAPED: dict[HyperparameterName, dict[str, Any]] = {
    "decay_gamma": {"name": "exponential"},
    # No kink of the triangles on a step.
    "cycle_length": {"name": "cyclic", "cycle_length": 0.37},
    "decay_fraction": {"name": "warmup-stable-decay", "decay_fraction": 0.41},
    "knot": {"name": "knots"},
}
REGULARISATION = {"l2": 0.02, "dropout": 0.2, "label_smoothing": 0.1, "input_noise": 0.3, "augmentation": 0.7}


def text_data() -> TaskData:
    generator = torch.Generator().manual_seed(0)

    def split(examples: int) -> Split:
        tokens = torch.randint(TEXT.classes, (examples, TEXT.features + 1), generator=generator)
        return Split(tokens[:, :-1], tokens[:, 1:], torch.arange(examples) % 2)

    return TaskData(
        name=TEXT.name,
        train=split(TEXT.train_examples),
        validation=split(TEXT.validation_examples),
        test=split(TEXT.test_examples),
        classes=TEXT.classes,
        sha256="",
    )


def problem_of(dtype: torch.dtype = torch.float64, **fields: Any) -> InnerProblem:
    is_text = fields.get("task") == TEXT.name
    spec = JobSpec.of(fields, TEXT) if is_text else JobSpec.model_validate({"task": "digits", **fields})
    data = text_data() if is_text else load(spec.task)
    tensors = proxy_tensors(spec.model, spec.info)
    std = [base_init_std(tensor, spec.model.activation) for tensor in tensors]
    return InnerProblem(spec, Layout(tensors), std, Space.from_spec(spec, tensors), data, dtype)


def small(name: HyperparameterName, scope: str, optimizer: dict[str, Any], family: str) -> InnerProblem:
    """A run of a few steps in which that hyperparameter has something to act on."""
    schedule = SHAPED.get(name, {"name": "cosine", "warmup_fraction": 0.23, "floor": 0.1})
    text = family == "transformer"
    return problem_of(
        task=TEXT.name if text else "digits",
        model={"family": family, "width": 4, "depth": 1 if text and scope != "layer" else 2}
        | ({"d_head": 2} if text else {"activation": "tanh"}),
        optimizer=optimizer,
        schedule=schedule,
        regularization={name: REGULARISATION[name]} if name in REGULARISATION else {},
        inner={"steps": 9, "batch_size": 8, "seeds": 2},
        search=[{"name": name, "scope": scope}],
    )


DECAYS = {
    "sgd, l2": SGD,
    "sgd, decoupled": SGD | {"decay": "decoupled"},
    "sgd, independent": SGD | {"decay": "independent"},
    "adam, l2": ADAM | {"name": "adam"},
    "adamw, decoupled": ADAM,
    "adamw, independent": ADAM | {"decay": "independent"},
}


def cases() -> Iterator[Any]:
    """Every (hyperparameter, scope) with an optimizer that has it; the kinds of decay each; both families for the dials."""
    for name in get_args(HyperparameterName):
        # Shifted edges of digits give gradients as small as Adam's eps, and a loss that bends too fast for differences.
        plain = name in ("momentum", "augmentation")
        rules = {"sgd": SGD} if plain else DECAYS if name == "weight_decay" else {"adamw": ADAM}
        families = ["transformer"] if name == "attention_multiplier" else ["mlp"]
        if name in ("embedding_multiplier", "mixture_weight", *REGULARISATION):
            families = ["mlp", "resnet" if name == "augmentation" else "transformer"]
        for scope, rule, family in product(scopes_of(name), rules, families):
            yield pytest.param(name, scope, rules[rule], family, id=f"{name}-{scope}-{rule}-{family}")


@pytest.mark.parametrize(("name", "scope", "optimizer", "family"), list(cases()))
def test_the_hypergradient_equals_central_differences(central_differences, name, scope, optimizer, family) -> None:
    problem = small(name, scope, optimizer, family)
    draw = problem.draw([(0, 0), (0, 1)])
    # Off the start: where all mixture weights are equal, or all scopes alike, mistakes could cancel.
    shift = torch.linspace(-0.2, 0.2, len(problem.space), dtype=torch.float64) if len(problem.space) > 1 else 0.0
    points = (problem.space.start() + shift).expand(2, -1).clone()
    reverse = Reverse("sqrt", "exact").estimate(problem, points, draw)
    numeric = central_differences(problem, points, draw)
    assert (numeric.abs().amax(dim=0) > 1e-7).all(), "a hyperparameter without effect would prove nothing"
    torch.testing.assert_close(reverse.gradient, numeric, rtol=2e-6, atol=2e-11)


# Noise


def noisy_problem(dtype: torch.dtype = torch.float64) -> InnerProblem:
    return problem_of(
        dtype,
        model={"width": 8, "depth": 2},
        regularization={"dropout": 0.3, "input_noise": 0.2},
        inner={"steps": 6, "batch_size": 8, "seeds": 3},
        search=[{"name": "dropout"}, {"name": "learning_rate", "scope": "role"}],
    )


def test_noise_is_the_same_at_the_same_member_and_step_and_no_other() -> None:
    problem = noisy_problem()
    draw = problem.draw([(0, 0), (0, 1)])
    first = problem.batch(draw, 2).noise
    problem.batch(draw, 3)
    again = problem.batch(draw, 2).noise
    assert set(first) == {"input", "dropout.layers.0", "dropout.layers.1"}
    for name, values in first.items():
        assert torch.equal(values, again[name])
        assert not torch.equal(values, problem.batch(draw, 3).noise[name])
        assert not torch.equal(values[0], values[1])


def test_a_member_does_not_depend_on_who_trains_beside_it() -> None:
    problem = noisy_problem()
    draw = problem.draw([(0, seed) for seed in range(3)])
    points = problem.space.start() + torch.tensor([[0.0], [0.3], [-0.3]], dtype=torch.float64)
    together = problem.train(points, draw).parameters
    swapped = problem.train(points[[2, 0, 1]], draw.select([2, 0, 1])).parameters
    pair = problem.train(points[[1, 2]], draw.select([1, 2])).parameters
    torch.testing.assert_close(together[[2, 0, 1]], swapped, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(together[[1, 2]], pair, rtol=1e-12, atol=1e-13)
    for row in range(3):
        alone = problem.train(points[[row]], draw.select([row])).parameters
        torch.testing.assert_close(together[[row]], alone, rtol=1e-12, atol=1e-13)
    gradients = Reverse("none", "exact").estimate(problem, points, draw).gradient
    lonely = Reverse("sqrt", "exact").estimate(problem, points[[1]], draw.select([1])).gradient
    torch.testing.assert_close(gradients[[1]], lonely, rtol=1e-9, atol=1e-13)


def test_evaluation_has_no_noise() -> None:
    problem = noisy_problem()
    quiet = problem_of(model={"width": 8, "depth": 2}, search=[{"name": "learning_rate", "scope": "role"}])
    draw = problem.draw([(0, 0)])
    table = problem.coefficients(problem.space.start()[None])
    noisy_loss, _ = problem.evaluate(draw.noise, table.loss, problem.data.validation)
    quiet_loss, _ = quiet.evaluate(draw.noise, {}, quiet.data.validation)
    assert torch.equal(noisy_loss, quiet_loss)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_gaussian_dropout_has_the_mean_and_variance_of_bernoulli_dropout(rate) -> None:
    """Bernoulli dropout multiplies by 0 or 1 / (1 - p): mean 1, variance p / (1 - p)."""
    draws = 400_000
    noise = torch.randn(draws, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    factors = gaussian_dropout(torch.ones(draws, dtype=torch.float64), torch.tensor(rate).double(), noise)
    variance = rate / (1 - rate)
    # Standard errors: sqrt(v / n) of the mean, v sqrt(2 / n) of the variance; four of them.
    assert abs(factors.mean().item() - 1) < 4 * (variance / draws) ** 0.5
    assert abs(factors.var().item() - variance) < 4 * variance * (2 / draws) ** 0.5


def test_input_noise_has_its_deviation() -> None:
    noise = torch.randn(400_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    moved = add_noise(torch.full_like(noise, 3.0), torch.tensor(0.7).double(), noise)
    assert abs(moved.std().item() - 0.7) < 4 * 0.7 * (0.5 / len(noise)) ** 0.5
    assert abs(moved.mean().item() - 3) < 4 * 0.7 * len(noise) ** -0.5


# What the terms are


def plain_sgd(**fields: Any) -> InnerProblem:
    return problem_of(
        model={"width": 8, "depth": 2},
        inner={"steps": 15, "batch_size": 16, "seeds": 1},
        search=[{"name": "learning_rate"}],
        **fields,
    )


def final(problem: InnerProblem) -> Tensor:
    return problem.train(problem.space.start()[None], problem.draw([(0, 0)])).parameters


def test_under_plain_sgd_an_l2_penalty_is_decoupled_decay_with_the_same_lambda() -> None:
    """w - lr (g + lambda w) = (1 - lr lambda) w - lr g, where nothing is clipped and nothing remembered."""
    rule = {"name": "sgd", "learning_rate": 0.1, "momentum": 0.0, "clip_norm": None}
    penalty = final(plain_sgd(optimizer=rule | {"weight_decay": 0.0}, regularization={"l2": 0.03}))
    decay = final(plain_sgd(optimizer=rule | {"decay": "decoupled", "weight_decay": 0.03}))
    coupled = final(plain_sgd(optimizer=rule | {"decay": "l2", "weight_decay": 0.03}))
    without = final(plain_sgd(optimizer=rule | {"weight_decay": 0.0}))
    torch.testing.assert_close(penalty, decay, rtol=1e-10, atol=1e-13)
    torch.testing.assert_close(penalty, coupled, rtol=1e-10, atol=1e-13)
    assert (penalty - without).abs().max() > 1e-3


def test_momentum_and_adam_tell_the_penalty_from_decoupled_decay() -> None:
    for rule in ({"name": "sgd", "momentum": 0.9, "clip_norm": None}, {"name": "adam", "clip_norm": None}):
        penalty = final(plain_sgd(optimizer=rule | {"weight_decay": 0.0}, regularization={"l2": 0.1}))
        decay = final(plain_sgd(optimizer=rule | {"decay": "decoupled", "weight_decay": 0.1}))
        assert (penalty - decay).abs().max() > 1e-4


def test_only_ratios_of_mixture_weights_matter_and_a_heavier_source_is_learned_better() -> None:
    problem = problem_of(
        model={"width": 8, "depth": 2},
        inner={"steps": 40, "batch_size": 64, "seeds": 1},
        search=[{"name": "mixture_weight"}],
    )
    draw = problem.draw([(0, 0)])
    start = problem.space.start()[None]
    even = problem.train(start, draw).parameters
    torch.testing.assert_close(even, problem.train(start + 0.7, draw).parameters, rtol=1e-9, atol=1e-12)
    heavy = start.clone()
    heavy[:, 3] += 2.0
    chosen = problem.data.train.sources == 3
    only = replace(
        problem.data.train,
        inputs=problem.data.train.inputs[chosen],
        labels=problem.data.train.labels[chosen],
        sources=problem.data.train.sources[chosen],
    )
    before, _ = problem.evaluate(even, {}, only)
    after, _ = problem.evaluate(problem.train(heavy, draw).parameters, {}, only)
    assert after < before


def test_multipliers_scale_the_tensors_of_their_role_and_nothing_else() -> None:
    problem = problem_of(
        model={"width": 8, "depth": 2},
        search=[{"name": "output_multiplier"}, {"name": "embedding_multiplier"}],
    )
    draw = problem.draw([(0, 0)])
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(draw.noise.shape, generator=generator, dtype=torch.float64)
    tables = {"output_multiplier": torch.tensor([3.0]).double(), "embedding_multiplier": torch.tensor([0.5]).double()}
    inputs = problem.examples.sample().inputs[:4]
    scaled = problem.outputs(problem.layout.split(weights), tables, inputs)
    by_hand = dict(zip(problem.layout.names, (part.clone() for part in problem.layout.split(weights)), strict=True))
    by_hand["readout.weight"] *= 3
    by_hand["layers.0.weight"] *= 0.5
    torch.testing.assert_close(scaled, problem.outputs(list(by_hand.values()), {}, inputs), rtol=1e-12, atol=1e-12)


def test_label_smoothing_is_torchs_own() -> None:
    problem = problem_of(regularization={"label_smoothing": 0.2}, search=[{"name": "label_smoothing"}])
    draw = problem.draw([(0, 0)])
    weights = torch.randn(draw.noise.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) / 8
    table = problem.coefficients(problem.space.start()[None])
    batch = problem.batch(draw, 0)
    parts = problem.layout.split(weights)
    logits = problem.outputs(parts, {}, batch.inputs)[0]
    expected = torch.nn.functional.cross_entropy(logits, batch.labels[0], label_smoothing=0.2)
    torch.testing.assert_close(problem.training_loss(parts, table.loss, batch)[0], expected, rtol=1e-12, atol=0)
