"""What cannot be trained, or is not what the task says, is refused with its name and what to do instead."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import windtunnel
from hpo.errors import InvalidData
from hpo.families.own.describing import describe
from hpo.mup.roles import RoleQuestion
from hpo.tasks.user import user_parts
from windtunnel.tasks import UserTask

SMALL: dict[str, Any] = {"model": {"width": 8}, "inner": {"steps": 6, "batch_size": 16, "seeds": 2}}


def data() -> list[tuple[Tensor, Tensor]]:
    """Points and the side of a plane that they lie on."""
    points = torch.randn(192, 5, generator=torch.Generator().manual_seed(0))
    return list(zip(points.split(64), (points.sum(1) > 0).long().split(64), strict=True))


class Unfit(nn.Module):
    """A linear model that does one more thing."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.head = nn.Linear(width, 2)
        self.first = nn.Linear(5, width)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.more(self.first(inputs)))

    def more(self, hidden: Tensor) -> Tensor:
        return hidden


class Batched(Unfit):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.norm = nn.BatchNorm1d(width)

    def more(self, hidden: Tensor) -> Tensor:
        return self.norm(hidden)


class Dropped(Unfit):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.drop = nn.Dropout(0.1)


class Encoded(Unfit):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.layer = nn.TransformerEncoderLayer(width, 2)


class Random(Unfit):
    def more(self, hidden: Tensor) -> Tensor:
        return hidden * torch.rand_like(hidden)


class Counting(Unfit):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.register_buffer("calls", torch.zeros(()))

    def more(self, hidden: Tensor) -> Tensor:
        self.calls += 1
        return hidden


class Branching(Unfit):
    def more(self, hidden: Tensor) -> Tensor:
        return hidden if hidden.sum().item() > 0 else -hidden


class InPlace(Unfit):
    def more(self, hidden: Tensor) -> Tensor:
        made = torch.zeros(hidden.shape, dtype=hidden.dtype)
        made += hidden
        return made


class Detached(Unfit):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs).detach()


class Unused(Unfit):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.spare = nn.Linear(width, width)


class Once(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(hidden: Tensor) -> Tensor:
        return hidden.sin()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return slope * ctx.saved_tensors[0].cos()


class OnceOnly(Unfit):
    def more(self, hidden: Tensor) -> Tensor:
        return Once.apply(hidden)


class Misshapen(Unfit):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs)[:, :1]


class Halved(Unfit):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.half()


class BrainHalved(Unfit):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.bfloat16()


class InDouble(Unfit):
    """Computes in float64 whatever it is given."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.double()

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs.double())


class Recurrent(Unfit):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.first = nn.GRU(5, width)


class Probable(Unfit):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs).softmax(-1)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Halved, "parameter 'head.weight' .* is torch.float16; allowed .* build the module in float32"),
        (BrainHalved, "parameter 'head.weight' .* is torch.bfloat16; allowed .* build the module in float32"),
        (InDouble, "in layer 'first' .* float32 and float64 must pass: convert no dtype"),
        (Recurrent, "layer 'first' .* is a GRU which torch computes by fused code"),
        (Probable, "gives probabilities.*leave the softmax at the end of the module out"),
        (Batched, "layer 'norm' .* is a BatchNorm1d that keeps running statistics"),
        (Dropped, "layer 'drop' .* is a Dropout with dropout 0.1"),
        (Encoded, "dropout 0.1, which draws random numbers"),
        (Random, "it draws random numbers"),
        (Counting, "buffer 'calls' .* changes in forward"),
        (Branching, "no population of the module .* can be computed"),
        (InPlace, "no population of the module .* can be computed"),
        (Detached, "has no gradient"),
        (Unused, "parameter 'spare.weight' .* has no part in the logits"),
        (OnceOnly, "cannot be differentiated twice"),
        (Misshapen, r"gives shape \[.*, 1\] for .* examples; expected \[.*, 2\]"),
    ],
)
def test_what_the_engine_cannot_train_is_refused_with_the_layer_or_the_reason(module, message):
    with pytest.raises(InvalidData, match=message):
        windtunnel.tune(module, data(), **SMALL)


def test_a_module_in_float64_is_tuned_as_the_same_in_float32():
    class Doubled(Unfit):
        def __init__(self, width: int) -> None:
            super().__init__(width)
            self.double()

    lean = {**SMALL, "outer": {"steps": 1, "finish_seeds": 2}, "parametrization": "standard"}
    double, single = (windtunnel.tune(module, data(), **lean) for module in (Doubled, Unfit))
    assert double.best == single.best


def test_a_module_that_ends_in_a_softmax_may_have_a_loss_of_probabilities():
    lean = {**SMALL, "outer": {"steps": 1, "finish_seeds": 2}, "parametrization": "standard"}
    built_in = windtunnel.tune(Unfit, data(), **lean)
    own = windtunnel.tune(Probable, data(), loss=lambda p, labels: nn.functional.nll_loss(p.log(), labels), **lean)
    assert own.best.validation.mean == pytest.approx(built_in.best.validation.mean, rel=1e-3)


def test_a_start_that_no_plan_can_give_is_refused():
    class Slopes(Unfit):
        def __init__(self, width: int) -> None:
            super().__init__(width)
            self.slopes = nn.Parameter(torch.arange(3.0))

    with pytest.raises(InvalidData, match=r"'slopes' .* starts at fixed numbers that differ"):
        windtunnel.tune(Slopes, data(), **SMALL)


def test_a_loose_random_parameter_is_asked_for_its_deviation():
    class Loose(Unfit):
        def __init__(self, width: int) -> None:
            super().__init__(width)
            self.mix = nn.Parameter(torch.randn(5, width))

        def forward(self, inputs: Tensor) -> Tensor:
            # A transform of the parameter itself: where its entries went cannot be followed.
            return self.head(torch.tanh(inputs @ torch.fft.fft(self.mix).real + self.first(inputs)))

    with pytest.raises(RoleQuestion, match=r"'mix=input'"):
        windtunnel.tune(Loose, data(), **SMALL)
    with pytest.raises(RoleQuestion, match=r"init_std={'mix': 0.05}"):
        windtunnel.tune(Loose, data(), roles={"mix": "input"}, **SMALL)
    with pytest.raises(ValueError, match=r"init_std 'mux' fits no tensor"):
        windtunnel.tune(Loose, data(), roles={"mix": "input"}, init_std={"mux": 1.0}, **SMALL)


# Data


def user(**changes: Any) -> UserTask:
    """A task of the plain module with data to be spoiled."""
    parts = data()
    fields = {"name": "spoiled", "input_shape": (5,), "classes": 2, "examples": (64, 64, 64)}
    return UserTask(**{**fields, "load": lambda: parts, "build": lambda width, depth: Unfit(width), "depth": 1, **changes})


@pytest.mark.parametrize(
    ("load", "message"),
    [
        (lambda: 1 / 0, "load of task 'spoiled' failed: ZeroDivisionError"),
        (lambda: data()[:2], "must give \\(train, validation, test\\)"),
        (lambda: [1, 2, 3], "the train part must be"),
        (lambda: [(x[:9], y) for x, y in data()], r"inputs of the train part have shape \[9, 5\], not \[64, 5\]"),
        (lambda: [(x, y[:9]) for x, y in data()], r"labels of the train part have shape \[9\]"),
        (lambda: [(x / 0, y) for x, y in data()], "numbers that are not finite"),
        (lambda: [(x, y + 1) for x, y in data()], "labels of the train part run from 1 to 2; allowed: 0 to 1"),
        (lambda: [(x, y.float()) for x, y in data()], "labels of the train part are torch.float32, not whole numbers"),
        (
            lambda: [(1.7e9 + 100 * x.double(), y) for x, y in data()],
            r"inputs of the train part, feature 0, run from 1\d{9}.* the cast to float32 loses their differences",
        ),
        (
            lambda: [((2**53 + 1000 * x.double()).long(), y) for x, y in data()],
            "inputs of the train part, feature 0, run from 900719925",
        ),
        (lambda: [(x, y, y) for x, y in data()], "sources of the train part run from 0 to 1; allowed: 0 to 0"),
    ],
)
def test_data_that_are_not_what_the_task_says_are_refused(load, message):
    task = user(load=load)
    with pytest.raises(InvalidData, match=message):
        user_parts(task, task.info_with(describe(user())))


def test_targets_that_single_precision_loses_are_refused_and_others_kept():
    task = user(kind="regression", classes=1, load=lambda: [(x, 5e8 + 3 * x[:, 0].double()) for x, _ in data()])
    with pytest.raises(InvalidData, match=r"labels of the train part run from 49999.* subtract the mean and divide"):
        user_parts(task, task.info_with(describe(user())))
    constant = [(torch.cat([x[:, :4].double(), torch.full((64, 1), 0.1, dtype=torch.float64)], 1), y) for x, y in data()]
    task = user(load=lambda: constant)
    train, _, _ = user_parts(task, task.info_with(describe(user())))
    assert torch.equal(train.inputs, constant[0][0].float())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "1 to 200 printable"),
        ({"width": 0}, "width of task 'spoiled' is 0"),
        ({"examples": (1, 2)}, "train, validation and test"),
        ({"kind": "regression"}, "classes of regression 'spoiled' is 2; allowed: 1"),
        ({"kind": "language"}, "allowed: 'tokens'"),
        ({"kind": "language", "inputs": "tokens", "input_shape": (2, 3)}, "for text \\(context,\\)"),
    ],
)
def test_a_task_that_contradicts_itself_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        user(**changes)
