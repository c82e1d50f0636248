"""``windtunnel.carry`` with modules of one's own, models of transformers as they are among them; and its command."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from pydantic_core import PydanticCustomError
from torch import nn
from typer.testing import CliRunner

import windtunnel
import windtunnel.torch
from hpo.errors import InvalidData
from windtunnel.cli.app import app
from windtunnel.client import InvalidRequest

VALUES = {"learning_rate": 0.01, "learning_rate.input": 0.02, "weight_decay": 0.1}


class Net(nn.Module):
    """Two layers and a readout, which start as torch starts them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, width), nn.Linear(width, width)
        self.last = nn.Linear(width, 3)

    def forward(self, inputs):
        return self.last(self.second(self.first(inputs).relu()).relu())


def test_at_the_base_width_a_plan_is_the_given_values_and_the_modules_own_start():
    """Uniform starts of torch have variance 1 / (3 fan_in); the estimate is from 4 modules."""
    plan = windtunnel.carry(VALUES, model=Net, base_width=64, width=64)
    rows = {row.name: row for row in plan.tensors}
    assert rows["first.weight"].learning_rate == 0.02 and rows["second.weight"].learning_rate == 0.01
    assert rows["second.weight"].init_std == pytest.approx((3 * 64) ** -0.5, rel=0.02)
    assert rows["last.weight"].init_std == pytest.approx((3 * 64) ** -0.5, rel=0.1)
    assert {row.multiplier for row in plan.tensors} == {1.0}


def test_values_are_carried_as_the_table_says_and_train_the_module():
    plan = windtunnel.carry(VALUES, model=Net, base_width=64, width=256, inner={"steps": 50, "batch_size": 8})
    base = windtunnel.carry(VALUES, model=Net, base_width=64, width=64, inner={"steps": 50, "batch_size": 8})
    assert plan.coordinate_check is not None and plan.coordinate_check.verdict == "pass" and not plan.forced
    wide, narrow = ({row.name: row for row in each.tensors} for each in (plan, base))
    hidden = wide["second.weight"]
    assert hidden.learning_rate == 0.0025 and hidden.weight_decay == pytest.approx(0.4)
    assert hidden.init_std == pytest.approx(narrow["second.weight"].init_std / 2)
    assert wide["last.weight"].multiplier == 0.25 and wide["last.weight"].init_std == narrow["last.weight"].init_std
    model = Net(256)
    update = windtunnel.torch.optimizer(model, plan)
    update.zero_grad()
    model(torch.randn(8, 6)).square().mean().backward()
    update.step()
    compile(plan.to("torch"), "plan.py", "exec")


def llama(width: int) -> nn.Module:
    """A model of transformers as it is: its outputs have ``logits``, attention is fused, and a cache is on."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=16,
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=1,
            num_attention_heads=width // 8,
            num_key_value_heads=width // 8,
            head_dim=8,
            max_position_embeddings=8,
        )
    )


def test_a_causal_model_of_transformers_is_carried_as_it_is():
    """Its names have no prefix, its own deviation of 0.02 is found, and its config tells tokens and context."""
    pytest.importorskip("transformers")
    plan = windtunnel.carry(VALUES, model=llama, base_width=16, width=16)
    assert plan.kind == "language" and plan.classes == 16 and plan.context == 8
    assert {row.name for row in plan.tensors} == {name for name, _ in llama(16).named_parameters()}
    assert plan.tensors[0].init_std == pytest.approx(0.02, rel=0.1)


def test_labels_that_are_the_inputs_are_shifted():
    pytest.importorskip("transformers")
    tokens = torch.arange(32).view(4, 8) % 16
    with pytest.warns(UserWarning, match="shifted by one token"):
        plan = windtunnel.carry(
            VALUES, model=llama, base_width=16, width=16, data={"input_ids": tokens, "labels": tokens.clone()}
        )
    assert plan.context == 7


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"model": lambda width: nn.Conv2d(1, width, 3)}, InvalidData, "first layer is Conv2d; give inputs"),
        ({"values": {"learning_rate.hiden": 1.0}}, PydanticCustomError, "no scope 'hiden'"),
        ({"values": {"lr": 1.0}}, ValidationError, "no hyperparameter 'lr'"),
        ({"model": None}, InvalidRequest, "model is no function"),
        ({"task": "digits"}, InvalidRequest, "the task is given twice"),
        ({"data": (torch.randn(8, 6), torch.full((8,), 7))}, InvalidData, "whole numbers from 0 to 2"),
        ({"data": (torch.randn(8, 6), torch.zeros(7))}, InvalidRequest, "labels have shape"),
        ({"base_depth": 2}, InvalidRequest, "base_depth 2 with a function of the width alone"),
        ({"optimiser": {}}, ValidationError, "optimiser"),
    ],
)
def test_what_cannot_be_carried_is_refused_in_words(change, error, words):
    given = {"values": VALUES, "model": Net, "base_width": 64, "width": 64, **change}
    with pytest.raises(error) as refused:
        windtunnel.carry(given.pop("values"), **given)
    assert words in str(refused.value)


def test_the_command_carries_values_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "values.yaml").write_text("learning_rate: 3e-3\nweight_decay: 0.1\nbeta2: 0.95\n")
    run = CliRunner().invoke
    module = ["carry", "values.yaml", "--model", "tests.user_modules.test_carrying:Net", "--base", "64"]
    made = run(app, [*module, "--width", "64", "--format", "torch", "-o", "large.py"])
    assert made.exit_code == 0, made.output
    compile((tmp_path / "large.py").read_text(), "large.py", "exec")
    table = run(app, [*module, "--width", "64", "--set", "optimizer.beta1=0.8"])
    assert "beta1 0.8, beta2 0.95" in table.output and "values that were given" in table.output
    assert run(app, ["carry", "values.yaml", "--width", "64"]).exit_code == 2
    (tmp_path / "values.yaml").write_text("learning_rat: 1\n")
    wrong = run(app, [*module, "--width", "64"])
    assert wrong.exit_code == 2 and "/values/learning_rat" in wrong.output


def test_the_command_checks_a_module_by_its_reference():
    """muP's table passes no verdict of fail; a module without a rule for its role is asked about by name."""
    module = "tests.user_modules.test_carrying:Net"
    run = CliRunner().invoke
    made = run(app, ["coordcheck", module, "--base", "16", "--widths", "16,32", "--seeds", "2", "--steps", "2", "--json"])
    assert made.exit_code in (0, 4), made.output
    assert '"widths"' in made.output and "second.weight" in made.output
    wrong = run(app, ["coordcheck", module, "--optimizer", "sdg"])
    assert wrong.exit_code == 2 and "/optimizer/name" in wrong.output
    absent = run(app, ["coordcheck", "tests.user_modules.test_carrying:Nett"])
    assert absent.exit_code == 2 and "has no 'Nett'" in absent.output


def test_roles_of_a_model_of_transformers_are_told_with_its_inputs():
    pytest.importorskip("transformers")
    table = windtunnel.roles(llama, base=16, delta=32, inputs=torch.zeros(2, 8, dtype=torch.int64))
    assert table.roles["lm_head.weight"] == "output" and table.roles["model.embed_tokens.weight"] == "input"
