"""Data that are handed to ``windtunnel.tune``: each kind runs as the same numbers, or is refused by the part's name."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import windtunnel
from windtunnel import InvalidRequest
from windtunnel.handing import parts_of
from windtunnel.types.families import TaskKind

LEAN: dict[str, Any] = {
    "base_width": 8,
    "parametrization": "standard",
    "inner": {"steps": 6, "batch_size": 16, "seeds": 1},
    "outer": {"steps": 1, "finish_seeds": 2},
    "method": {"estimator": "reverse"},
}
Pair = tuple[Any, Any]


def points() -> list[tuple[Tensor, Tensor]]:
    """Whole numbers of five features with three classes, as floats."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(-3, 9, (96, 5), generator=generator).float()
    labels = (inputs @ torch.randn(5, 3, generator=generator, dtype=torch.float32)).argmax(1)
    return list(zip(inputs.split(32), labels.split(32), strict=True))


def each(change: Callable[[Tensor, Tensor], Pair]) -> list[Pair]:
    return [change(inputs, labels) for inputs, labels in points()]


def one(number: int, change: Callable[[Tensor, Tensor], Pair]) -> list[Pair]:
    return [change(*part) if place == number else part for place, part in enumerate(points())]


def net(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(5, width), nn.Tanh(), nn.Linear(width, 3))


class Convolved(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, width, 3)
        self.head = nn.Linear(width, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(torch.tanh(self.first(inputs)).mean((2, 3)))


def images() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [(torch.randint(0, 256, (32, 1, 6, 6), generator=generator, dtype=torch.uint8), y) for _, y in points()]


SAME: dict[str, tuple[Callable[[Tensor, Tensor], Pair], TaskKind]] = {
    "float64": (lambda x, y: (x.double(), y), "classification"),
    "bfloat16": (lambda x, y: (x.bfloat16(), y.to(torch.uint8)), "classification"),
    "big-endian arrays": (lambda x, y: (x.numpy().astype(">f8"), y.numpy().astype(">i2")), "classification"),
    "reversed arrays": (lambda x, y: (x.flip(1).numpy()[:, ::-1], y.numpy().astype("uint16")), "classification"),
    "lists": (lambda x, y: (x.tolist(), y.tolist()), "classification"),
    "lists of tensors": (lambda x, y: (list(x), tuple(y)), "classification"),
    "with a graph": (lambda x, y: (x.clone().requires_grad_() * 1, y), "classification"),
    "targets of whole numbers": (lambda x, y: (x, y.int()), "regression"),
}


@pytest.mark.parametrize("name", SAME)
def test_the_same_numbers_in_another_kind_of_array_are_the_same_data(name):
    change, kind = SAME[name]
    for found, part in zip(parts_of(each(change), kind, None), points(), strict=True):
        for mine, plain in zip(found, part, strict=True):
            torch.testing.assert_close(mine.double(), plain.double(), rtol=0, atol=0)
            assert mine.is_contiguous() and not mine.requires_grad


def test_memory_that_may_not_be_written_is_copied():
    frozen = np.zeros((4, 5))
    frozen.setflags(write=False)
    part = (frozen, np.arange(4) % 2)
    for data in ([part] * 3, tuple([part] * 3), iter([part] * 3)):
        assert parts_of(data, "classification", None)[0][0].shape == (4, 5)


def test_what_is_said_about_the_inputs_is_honoured_and_no_setting_of_torch_is_in_the_way():
    plain = windtunnel.tune(net, points(), **LEAN)
    whole = windtunnel.tune(net, each(lambda x, y: (x.long(), y)), inputs="floats", **LEAN)
    assert whole.best == plain.best
    torch.set_default_dtype(torch.float64)
    try:
        double = windtunnel.tune(net, each(lambda x, y: (x.double(), y)), **LEAN)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert double.best == plain.best
    scaled = [(x.float() / 255, y) for x, y in images()]
    assert windtunnel.tune(Convolved, scaled, **LEAN).best.validation.mean < 2
    features = each(lambda x, y: (x > 0, y))
    asfloat = each(lambda x, y: ((x > 0).float(), y))
    assert windtunnel.tune(net, features, **LEAN).best == windtunnel.tune(net, asfloat, **LEAN).best


REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "pixels": (images, {"build": Convolved}, r"data\[0\]\[0\] \(training inputs\) are uint8.*x.float\(\) / 255"),
    "measurements": (
        lambda: each(lambda x, y: (x.abs().long(), y)),
        {},
        r"are int64, whole numbers from 0 to .* as x.float\(\)|inp",
    ),
    "below 0": (
        lambda: each(lambda x, y: (x.long(), y)),
        {},
        "whole numbers from -3 on, and tokens begin at 0.*inputs='floats'",
    ),
    "said tokens": (points, {"inputs": "tokens"}, "are float32, and tokens are whole numbers"),
    "other features": (
        lambda: each(lambda x, y: (x[:, :4], y)),
        {},
        r"module failed on two examples .*\[2, 4\] of float32",
    ),
    "objects": (lambda: each(lambda x, y: (x.numpy().astype(object), y)), {}, r"\(training inputs\) are objects, such as"),
    "text": (lambda: each(lambda x, y: (x, np.array(["a", "b", "c"])[y])), {}, r"\(training labels\) are text, such as"),
    "ragged": (lambda: each(lambda x, y: ([row[: 3 + i % 2] for i, row in enumerate(x.tolist())], y)), {}, "are no array"),
    "other shapes": (lambda: each(lambda x, y: ([x[0], x[1, :3]], y)), {}, "tensors of different shapes"),
    "complex": (lambda: each(lambda x, y: (x.to(torch.complex64), y)), {}, "are complex64; give real numbers"),
    "sparse": (lambda: each(lambda x, y: (x.to_sparse(), y)), {}, "sparse, quantized or meta"),
    "not parts": (lambda: {"train": 1}, {}, "it is a dict"),
    "not pieces": (lambda: [torch.utils.data.TensorDataset(*part) for part in points()], {}, "is a TensorDataset"),
    "float labels": (lambda: each(lambda x, y: (x, y.float())), {}, r"are float32; give whole numbers.*y.long\(\)"),
    "one-hot": (lambda: each(lambda x, y: (x, functional.one_hot(y, 3))), {}, r"shape \[32, 3\]; give \[32\].*argmax"),
    "a column": (lambda: each(lambda x, y: (x, y[:, None])), {}, r"y.squeeze\(1\)"),
    "targets in a column": (lambda: each(lambda x, y: (x, x[:, :1])), {"kind": "regression"}, r"y.squeeze\(1\)"),
    "-100": (
        lambda: one(1, lambda x, y: (x, torch.where(y == 0, -100, y))),
        {},
        r"\(validation labels\) are -100 at the least.* leave those examples out of the data",
    ),
    "-100 in text": (
        lambda: each(lambda x, y: (x.long().abs(), torch.where(x > 0, -100, 1))),
        {"kind": "language"},
        r"\(training labels\) are -100 at the least.* a token of its own.* ignore_index=0",
    ),
    "too many classes": (points, {"classes": 2}, r"have class 2 in row \d+; classes=2 allows 0 to 1"),
    "one class": (lambda: each(lambda x, y: (x, 0 * y)), {}, "nothing to tell apart"),
    "fewer labels": (lambda: one(1, lambda x, y: (x, y[:-3])), {}, r"\(validation labels\) have 29 examples, .* 32"),
    "nothing": (lambda: one(2, lambda x, y: (x[:0], y[:0])), {}, r"at least one example; data\[2\]\[0\] \(test inputs\)"),
    "nan": (
        lambda: one(1, lambda x, y: (torch.where(torch.arange(160).view(32, 5) == 13, float("nan"), x), y)),
        {},
        r"data\[1\]\[0\] \(validation inputs\) are nan in row 2, column 3;",
    ),
    "nan targets": (
        lambda: each(lambda x, _: (x, torch.where(torch.arange(32) == 4, float("inf"), x[:, 0]))),
        {"kind": "regression"},
        r"\(training labels\) are inf in row 4",
    ),
    "parts that differ": (lambda: one(2, lambda x, y: (x[:, :4], y)), {}, r"\(test inputs\) have examples of shape \[4\]"),
    "types that differ": (lambda: one(2, lambda x, y: (x.long(), y)), {}, r"\(test inputs\) are int64, and .* float32"),
    "float sources": (lambda: [(x, y, y.float()) for x, y in points()], {"sources": ("a", "b", "c")}, "training sources"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_data_that_cannot_be_used_are_refused_by_the_name_of_the_part(name):
    make, fields, message = REFUSED[name]
    with pytest.raises(InvalidRequest, match=f"(?s){message}"):
        windtunnel.tune(**{"build": net, "data": make(), **LEAN, **fields})


def test_large_inputs_are_warned_of_by_feature():
    data = [(x * torch.tensor([1.0, 1.0, 1e6, 1.0, 1.0]), y) for x, y in points()]
    with pytest.warns(UserWarning, match=r"run up to \de\+06 in feature 2\. .*standard deviation"):
        windtunnel.tune(net, data, **LEAN)
