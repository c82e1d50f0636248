"""The engine on a device that holds no values, the choice of a device, and noise that is the same on each.

Torch's meta device stands for any device that computes while the host goes on: it refuses to be read and to be mixed with
tensors of the CPU. So a training run that reaches its end there waits for no value and leaves no tensor behind.
"""

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

import windtunnel
from hpo.devices import device_of, facts_of, torch_build
from hpo.errors import InvalidData, NoDevice
from hpo.estimators.choice import choose_estimator
from hpo.families.facts.registry import proxy_tensors
from hpo.families.own.describing import describe
from hpo.families.own.user_module import build_module
from hpo.families.registry import family
from hpo.layout import Layout
from hpo.mup.rules import base_init_std
from hpo.noise import keys_of, normal, random_bits
from hpo.study import Study
from hpo.tasks import Split, TaskData, load
from hpo.training.noising import Noise
from hpo.training.problem import InnerProblem, with_buffers_on
from hpo.training.space import Space
from windtunnel.tasks import UserTask
from windtunnel.types import ESTIMATORS, JobSpec, ModelSpec, TaskInfo
from windtunnel.types.checks.pathwise import without_derivative
from windtunnel.types.families import FAMILIES
from windtunnel.types.hyperparameters import HyperparameterName
from windtunnel.types.optimizers import OPTIMIZERS
from windtunnel.types.tasks import BUILT_IN

META = torch.device("meta")
SEARCHED: tuple[HyperparameterName, ...] = ("learning_rate", "init_scale", "clip_norm", "l2", "dropout")
BRIEFLY = ("samples", "solver_steps")
REGULARISERS = {"l2": 0.01, "dropout": 0.1, "label_smoothing": 0.1, "input_noise": 0.1}


class Own(nn.Module):
    """A module of one's own with a buffer, which must follow it to the device."""

    scale: Tensor

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.full((3,), 0.5))
        self.stem = nn.Linear(3, width)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.readout = nn.Linear(width, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.stem(inputs * self.scale)
        for block in self.blocks:
            hidden = hidden + block(functional.tanh(hidden))
        logits: Tensor = self.readout(hidden)
        return logits


@pytest.fixture(scope="module")
def own() -> tuple[TaskInfo, TaskData]:
    """A task that brings a module of one's own, and its data."""
    task = UserTask(
        name="own", input_shape=(3,), classes=2, examples=(24, 24, 24), load=lambda: None, build=Own, width=16, depth=1
    )
    part = Split(torch.zeros(24, 3), torch.zeros(24, dtype=torch.int64), torch.zeros(24, dtype=torch.int64))
    return task.info_with(describe(task)), TaskData("own", part, part, part, 2, "")


def brief(data: TaskData) -> TaskData:
    """A few examples of each part, on the meta device."""
    parts = {name: getattr(data, name) for name in ("train", "validation", "test")}
    few: dict[str, Any] = {
        name: Split(part.inputs[:24], part.labels[:24], part.sources[:24]) for name, part in parts.items()
    }
    return replace(data, **few).on(META)


def problem_of(family: str, optimizer: str, estimator: str, own: tuple[TaskInfo, TaskData]) -> InnerProblem:
    """A job's inner problem on the meta device, with all the hyperparameters that its estimator can differentiate."""
    known = FAMILIES[family]
    name = "python-text" if known.learns == ("language",) else "digits"
    task, data = own if known.from_task else (BUILT_IN[name], load(name))
    terms = {term: value for term, value in REGULARISERS.items() if term in (*known.dials, "l2", "label_smoothing")}
    searched = [
        term for term in SEARCHED if ESTIMATORS[estimator].can(term) and (term not in REGULARISERS or term in terms)
    ]
    fields: dict[str, Any] = {
        "task": task.name,
        "model": {"family": family, "width": 16, "depth": 1},
        "inner": {"steps": 2, "batch_size": 4, "seeds": 2},
        "outer": {"steps": 2},
        "optimizer": {"name": optimizer, "clip_norm": 1.0},
        "regularization": terms,
        "search": [{"name": term} for term in searched],
        "method": {"estimator": estimator, **{name: 2 for name in BRIEFLY if name in ESTIMATORS[estimator].settings}},
    }
    spec = JobSpec.of(fields, task)
    tensors = proxy_tensors(spec.model, task)
    std = [base_init_std(fact, spec.model.activation) for fact in tensors]
    return InnerProblem(spec, Layout(tensors), std, Space.from_spec(spec, tensors), brief(data))


def is_refused(family: str, optimizer: str, estimator: str) -> bool:
    """Whether no job combines them: updates without a derivative, or an estimator that builds models by itself."""
    info, through = ESTIMATORS[estimator], "reverse" if estimator == "auto" else estimator
    builds = info.is_best_response or estimator == "higher"
    return (FAMILIES[family].from_task and builds) or without_derivative(through, OPTIMIZERS[optimizer]) is not None


CASES = [case for case in product(FAMILIES, OPTIMIZERS, ESTIMATORS) if not is_refused(*case)]


@pytest.mark.parametrize(("family", "optimizer", "estimator"), CASES)
def test_the_whole_engine_runs_where_nothing_can_be_read(
    own: tuple[TaskInfo, TaskData], family: str, optimizer: str, estimator: str
) -> None:
    problem = problem_of(family, optimizer, estimator, own)
    draw, points = problem.draw([(0, 0), (0, 1)]), problem.space.start().expand(2, -1).to(META)
    found = choose_estimator(problem.spec, 2**32)[0].estimate(problem, points, draw)
    assert found.value.device == found.gradient.device == META
    assert found.value.shape == (2,) and found.gradient.shape == points.shape


class Forgetful(Own):
    """A module whose constant is no buffer."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__(width, depth)
        self.bias = torch.ones(3)

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs + self.bias)


@pytest.mark.parametrize("kind", [Own, Forgetful])
def test_a_module_that_leaves_a_tensor_behind_is_refused_before_it_trains_elsewhere(kind: type[nn.Module]) -> None:
    task = UserTask(
        name="left", input_shape=(3,), classes=2, examples=(8, 8, 8), load=lambda: None, build=kind, width=16, depth=1
    )
    info = task.info_with(describe(task))
    model = with_buffers_on(build_module(ModelSpec(family="module", width=16, depth=1), info), META)
    shapes = [tuple(value.shape) for value in model.parameters()]
    if kind is Own:
        family("module").follow(model, shapes, info)
    else:
        with pytest.raises(InvalidData, match=r"'left' cannot follow its inputs to a GPU.*register_buffer"):
            family("module").follow(model, shapes, info)


def test_the_cases_that_are_left_out_are_refused(own: tuple[TaskInfo, TaskData]) -> None:
    for case in set(product(FAMILIES, OPTIMIZERS, ESTIMATORS)) - set(CASES):
        # Under an optimizer without a derivative ``auto`` is the sampler alone, which takes no hypergradient.
        if case[2] != "auto":
            with pytest.raises(ValidationError):
                problem_of(*case, own)


def test_noise_is_the_output_of_splitmix64() -> None:
    # The first outputs of the published generator for the seed 1234567.
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
    found = random_bits(torch.tensor([1234567]), 5)[0]
    assert [number % 2**64 for number in found.tolist()] == expected


def test_noise_is_standard_normal_and_independent() -> None:
    count = 200_000
    numbers = normal(keys_of(torch.tensor([1, 2]), 0), count, torch.float64)
    assert normal(keys_of(torch.tensor([1]), 1), 3, torch.float64)[0, 0] != numbers[0, 0]
    error = count**-0.5
    moments = {1: (0.0, 1.0), 2: (1.0, 2.0), 3: (0.0, 15.0), 4: (3.0, 96.0)}
    for power, (mean, variance) in moments.items():
        assert (numbers.pow(power).mean(dim=1) - mean).abs().max() < 4 * error * variance**0.5
    # Between streams, between neighbours, and between the two numbers of one output.
    half = count // 2
    pairs = (numbers, numbers[:1].unfold(1, 2, 1)[0].T, torch.stack([numbers[0, :half], numbers[0, half:]]))
    for pair in pairs:
        for power in (1, 2):
            assert torch.corrcoef(pair.pow(power))[0, 1].abs() < 5 * error
    tail = (numbers.abs() > 3).double().mean()
    assert tail == pytest.approx(0.0027, rel=0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_replayed_step_gets_its_noise_again_whatever_else_is_drawn(dtype: torch.dtype) -> None:
    shapes = {"input": (3, 7), "dropout": (5,)}
    keys = torch.tensor([11, 2**62, 13])
    noise = Noise(shapes, dtype)
    first = noise.at(keys, 9)
    assert {name: part.shape for name, part in first.items()} == {"input": (3, 3, 7), "dropout": (3, 5)}
    noise.at(keys, 100_000)
    alone = Noise(shapes, dtype).at(keys[1:2], 9)
    as_tensor = Noise(shapes, dtype).at(keys, torch.tensor(9))
    single = Noise(shapes, torch.float32).at(keys, 9)
    for name, part in noise.at(keys, 9).items():
        assert torch.equal(part, first[name])
        torch.testing.assert_close(alone[name][0], part[1], rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(as_tensor[name], part, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(single[name].to(dtype), part, rtol=1e-4, atol=1e-5)


def test_a_device_that_is_not_here_is_refused_with_what_is_missing() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(NoDevice, match=r"cuda:0 is not here: this is torch .* built for the CPU alone|finds no GPU"):
        device_of("cuda:0")
    with pytest.raises(NoDevice, match="cuda is not here"):
        Study(JobSpec.model_validate({"task": "digits"}), device="cuda")
    with pytest.raises(NoDevice, match="cuda is not here"):
        windtunnel.tune(model=lambda width: Own(width, 1), data=(None, None, None), device="cuda")
    assert device_of("auto") == device_of("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["tpu", "meta", "cuda:x", ""])
def test_what_is_no_device_is_refused(name: str) -> None:
    with pytest.raises(NoDevice, match="is no device; allowed: cpu, cuda"):
        device_of(name)


def test_the_facts_of_the_cpu_name_the_torch_build() -> None:
    facts = facts_of(device_of("cpu"))
    assert facts.words == "cpu" and facts.memory_bytes is None and facts.driver is None
    assert facts.build == torch_build() and torch.__version__ in facts.build
