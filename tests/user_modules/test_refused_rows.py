"""Every row of the page's table of refusals is produced: its examples are refused when they are tuned."""

import re

import pytest
import torch
from torch import Tensor, nn

import windtunnel
from hpo.errors import InvalidData
from tests.user_modules.test_layer_refusals import REFUSED, Build, points, tokens
from tests.user_modules.test_page import PAGE
from tests.user_modules.test_refusals import Branching, Counting, InPlace, OnceOnly, Unused


class Product(nn.Module):
    """Two factors that start at 0."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(5, width), nn.Linear(width, 2)
        self.gain, self.scale = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(inputs))
        return self.head(hidden + self.gain * self.scale * inputs.sum(1, keepdim=True))


class Ramp(Product):
    """A parameter that starts at a ramp."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.gain = nn.Parameter(torch.linspace(0, 1, width))


def refused(*cases: str) -> list[Build]:
    """Modules of the table of layers."""
    return [REFUSED[case][0] for case in cases]


ROWS: dict[str, list[Build]] = {
    "dropout, anything random": refused("dropout of a function", "randomised slope", "encoder"),
    "BatchNorm, or anything else": refused("batch statistics", "running statistics", "synchronised", "coupled"),
    "buffers, parameters or attributes that change": [Counting, *refused("memory", "changed weight", "mode")],
    "`.item()`, branches on values": [Branching, InPlace, *refused("checkpoint")],
    "`nn.LSTM`, `nn.GRU`, their cells": refused("LSTM", "GRU", "cell", "bag"),
    "`weight_norm`, `spectral_norm`": refused("weight_norm", "spectral_norm", "own parametrization"),
    "an embedding with `max_norm`": refused("max_norm", "sparse", "by frequency", "tied padding"),
    "`.detach()`, `.half()`, rounding": refused("half detached", "rounded", "straight through", "hook on a parameter"),
    "an operation without a second": [OnceOnly, *refused("no second derivative", "wrong tangent")],
    "a parameter in a plain list or dict": refused("list", "dict", "lazy"),
    "a trained parameter that is complex": refused("complex", "half", "bfloat16", "all frozen"),
    "a parameter without a part in the logits": [Unused],
    "a parameter whose gradient is exactly 0": [Product],
    "a parameter that starts at fixed numbers": [Ramp],
}


def test_the_rows_are_those_of_the_page():
    table = PAGE.split("| refused | instead |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (?!-)(.+?) \| .+ \|$", table, re.MULTILINE)
    assert [next((key for key in ROWS if row.startswith(key)), row) for row in rows] == list(ROWS)


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.filterwarnings("ignore:.*Lazy modules are a new feature", "ignore:.*performance drop")
@pytest.mark.filterwarnings("ignore:.*Casting complex values", "ignore:.*enable_nested_tensor")
def test_the_examples_of_a_row_are_refused(row: str):
    for build in ROWS[row]:
        try:
            looks_up = any(isinstance(layer, (nn.Embedding, nn.EmbeddingBag)) for layer in build(8).modules())
        except RuntimeError:  # a lazy layer has no module list before it has its sizes
            looks_up = False
        with pytest.raises(InvalidData) as caught:
            windtunnel.tune(build, tokens() if looks_up else points(), model={"width": 8})
        assert caught.value.hint, build
