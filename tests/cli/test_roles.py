"""``windtunnel roles``: the table, the questions as usage errors, JSON for programs."""

import json

import pytest

MODULE = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.embedding = nn.Embedding(9, width)
        self.position = nn.Parameter(torch.zeros(4, width))
        self.head = nn.Linear(width, 9)


SIZE = 3
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    (tmp_path / "lying_here.py").write_text(MODULE)
    monkeypatch.setattr("sys.path", ["/nowhere", *__import__("sys").path])
    return "lying_here"


def test_it_shows_both_shapes_the_role_and_why(run):
    shown = run("roles", "--family", "transformer", "--delta", "96")
    assert shown.exit_code == 0
    rows = {line.split()[0]: line for line in shown.output.splitlines() if line}
    assert "[97, 48]" in rows["token_embedding.weight"] and "[97, 96]" in rows["token_embedding.weight"]
    assert rows["token_embedding.weight"].endswith("input   table of Embedding: its rows are looked up")
    assert "output" in rows["readout.weight"]
    assert "! Attention: shapes do not show" in shown.output


def test_a_role_that_cannot_be_told_is_asked_for_and_an_answer_settles_it(run, package):
    asked = run("roles", f"{package}:Net", "--base", "8", "--delta", "24")
    assert asked.exit_code == 2
    assert "tensor 'position' has shape [4, 8] at base and [4, 24] at delta" in asked.output
    assert "'position=input'" in asked.output
    told = run("roles", f"{package}:Net", "--base", "8", "--role", "pos*=input", "--json")
    assert told.exit_code == 0
    found = json.loads(told.output)
    assert (found["base"], found["delta"]) == (8, 16)
    assert {row["name"]: row["role"] for row in found["tensors"]} == {
        "position": "input",
        "embedding.weight": "input",
        "head.weight": "output",
        "head.bias": "scalar",
    }
    assert found["tensors"][0]["why"] == "given: pos*=input"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give one of PACKAGE.MODULE:NAME, --family and --task"),
        (("--family", "mlp", "a:b"), "give one of"),
        (("--family", "mpl"), "no family 'mpl'; allowed: mlp, resnet, transformer"),
        (("--task", "digits"), "no task of one's own is called 'digits'"),
        (("nowhere_at_all:x",), "cannot import 'nowhere_at_all'"),
        (("lying_here:SIZE",), "is int; give a function of the width, or a UserTask"),
        (("--family", "mlp", "--role", "x"), "write it like --role"),
        (("--family", "mlp", "--role", "x=input"), "'x' fits no tensor"),
        (("--family", "mlp", "--save", "file.json"), "only a UserTask has a table to write"),
        (("--family", "mlp", "--base", "64", "--delta", "32"), "allowed: 1 <= base < delta"),
    ],
)
def test_wrong_usage_is_told(run, package, arguments, message):
    answer = run("roles", *arguments)
    assert answer.exit_code == 2
    assert message in " ".join(answer.output.replace("│", " ").split())
