"""``windtunnel.torch`` on models that come in other names and other clothes: maps, wrappers, types, devices, ties."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DataParallel, DistributedDataParallel

import windtunnel.torch
from hpo.families.registry import build
from hpo.tasks import load
from windtunnel.tasks import TASKS
from windtunnel.torch import PlanMismatch
from windtunnel.types import TransferPlan

NAMES = {
    "transformer.wte.weight": "token_embedding.weight",
    "transformer.wpe.weight": "position_embedding.weight",
    "transformer.h.{i}.attn.c_attn.weight": "blocks.{i}.qkv.weight",
    "transformer.h.{i}.attn.c_proj.weight": "blocks.{i}.attention_out.weight",
    "transformer.h.{i}.mlp.c_fc.weight": "blocks.{i}.mlp_in.weight",
    "transformer.h.{i}.mlp.c_proj.weight": "blocks.{i}.mlp_out.weight",
    "lm_head.{part}": "readout.{part}",
}


class Part(nn.Module):
    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


class OwnGPT(nn.Module):
    """Somebody's transformer with the plan's shapes and GPT-2's names."""

    def __init__(self, plan: TransferPlan) -> None:
        super().__init__()
        width, self.head = plan.width, plan.model.head

        def linear(fan_in: int, fan_out: int) -> nn.Linear:
            return nn.Linear(fan_in, fan_out, bias=False)

        blocks = [
            Part(
                attn=Part(c_attn=linear(width, 3 * width), c_proj=linear(width, width)),
                mlp=Part(c_fc=linear(width, 4 * width), c_proj=linear(4 * width, width)),
            )
            for _ in range(plan.depth)
        ]
        embeddings = {"wte": nn.Embedding(plan.classes, width), "wpe": nn.Embedding(plan.features, width)}
        self.transformer = Part(**embeddings, h=nn.ModuleList(blocks))
        self.lm_head = nn.Linear(width, plan.classes)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, context = tokens.shape
        hidden = self.transformer.wte(tokens) + self.transformer.wpe(torch.arange(context))
        for block in self.transformer.h:
            qkv = block.attn.c_attn(functional.layer_norm(hidden, hidden.shape[-1:]))
            q, k, v = qkv.view(batch, context, 3, -1, self.head).permute(2, 0, 3, 1, 4).unbind(0)
            mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1 / self.head)
            hidden = hidden + block.attn.c_proj(mixed.transpose(1, 2).reshape(batch, context, -1))
            inside = functional.gelu(block.mlp.c_fc(functional.layer_norm(hidden, hidden.shape[-1:])))
            hidden = hidden + block.mlp.c_proj(inside)
        logits: Tensor = self.lm_head(functional.layer_norm(hidden, hidden.shape[-1:]))
        return logits


@pytest.fixture
def text_plan(finish, plan_of) -> TransferPlan:
    """Of a transformer of width 64 and depth 2, every multiplier that a plan can have among its rows."""
    tuned = {"learning_rate": 0.02, "output_multiplier": 3.0, "embedding_multiplier": 0.7}
    plan: TransferPlan = plan_of(
        finish({"task": "python-text", "model": {"width": 32, "depth": 1}}, tuned), width=64, depth=2
    )
    return plan


@pytest.fixture
def plan(finish, plan_of) -> TransferPlan:
    """Of an MLP of width 32."""
    made: TransferPlan = plan_of(finish({"model": {"width": 16}}, {"learning_rate": 0.02}), width=32)
    return made


class Net(nn.Module):
    """An MLP with the plan's own names."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(64, 32), nn.Linear(32, 32)])
        self.readout = nn.Linear(32, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = inputs
        for layer in self.layers:
            hidden = torch.relu(layer(hidden))
        logits: Tensor = self.readout(hidden)
        return logits


def train(model: nn.Module, plan: TransferPlan, names: dict[str, str] | None = None) -> list[float]:
    """Losses of a few steps."""
    update = windtunnel.torch.optimizer(model, plan, names=names)
    clock = windtunnel.torch.schedule(update, plan)
    data, losses = load(plan.task).train, []
    for step in range(4):
        inputs, labels = (part[8 * step : 8 * step + 8] for part in (data.inputs, data.labels))
        update.zero_grad()
        loss = functional.cross_entropy(model(inputs).flatten(0, -2), labels.flatten())
        loss.backward()
        update.step()
        clock.step()
        losses.append(loss.item())
    return losses


def test_a_model_with_other_names_takes_the_plan_through_a_map(text_plan) -> None:
    family = build(text_plan.model.model_copy(update={"width": 64, "depth": 2}), TASKS["python-text"])
    own = OwnGPT(text_plan)
    assert train(own, text_plan, NAMES) == pytest.approx(train(family, text_plan), rel=1e-4)
    groups = windtunnel.torch.apply(own, text_plan, names=NAMES)
    assert [name for group in groups for name in group["tensors"]].count("blocks.1.mlp_out.weight") == 1
    assert sum(len(group["params"]) for group in groups) == len(text_plan.tensors)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (
            {"transformer.h.{i}.attn.qkv.weight": "blocks.{i}.qkv.weight"},
            r"'transformer.h.{i}.attn.qkv.weight' fits no tensor",
        ),
        (
            {"transformer.wte.weight": "tokens.weight"},
            "the plan's tokens.weight, which it does not have; its tensors: blocks.0",
        ),
        (
            {"transformer.wte.weight": "readout.{what}"},
            "'readout.{what}' has {what}, which 'transformer.wte.weight' lacks",
        ),
        ({"transformer.wte.weight": "readout.weight"}, "transformer.wte.weight and lm_head.weight are both readout.weight"),
        ({"transformer.{t}.weight": "token_embedding.weight"}, "both fit transformer.wte.weight"),
        ({"lm_head.{part}": None}, r"the model lacks: readout.weight .*; the plan does not know: lm_head.weight"),
    ],
)
def test_a_map_that_does_not_fit_says_where(text_plan, changes: dict[str, Any], complaint: str) -> None:
    names = {pattern: target for pattern, target in (NAMES | changes).items() if target is not None}
    own = OwnGPT(text_plan)
    before = own.lm_head.weight.detach().clone()
    with pytest.raises(PlanMismatch, match=complaint.replace("{", r"\{").replace("}", r"\}")):
        windtunnel.torch.apply(own, text_plan, names=names)
    assert torch.equal(own.lm_head.weight, before)


def test_transposed_weights_are_called_so(text_plan) -> None:
    own = OwnGPT(text_plan)
    own.transformer.h[0].mlp.c_fc.weight = nn.Parameter(torch.zeros(64, 256))
    with pytest.raises(PlanMismatch, match=r"mlp_in.weight is \[64, 256\] in the model.*transposed, as in the Conv1D"):
        windtunnel.torch.apply(own, text_plan, names=NAMES)


def test_tied_weights_are_refused_where_the_plan_has_two_tensors(text_plan) -> None:
    own = OwnGPT(text_plan)
    own.lm_head.weight = own.transformer.wte.weight
    with pytest.raises(PlanMismatch, match=r"ties token_embedding.weight and readout.weight: one tensor"):
        windtunnel.torch.apply(own, text_plan, names=NAMES)


class Shared(Net):
    """Calls its second layer by two names."""

    def __init__(self) -> None:
        super().__init__()
        self.again = self.layers[1]


def test_a_layer_with_two_names_is_one_unless_its_multiplier_could_not_tell_them_apart(plan) -> None:
    model = Shared()
    assert len(windtunnel.torch.apply(model, plan)) == len(windtunnel.torch.apply(Net(), plan))
    rows = [row.model_copy(update={"multiplier": 0.5}) if row.role == "hidden" else row for row in plan.tensors]
    applied = plan.model_copy(update={"tensors": rows})
    windtunnel.torch.apply(Net(), applied)
    with pytest.raises(PlanMismatch, match="several layers of the model share it"):
        windtunnel.torch.apply(model, applied)


@pytest.fixture
def process_group() -> Iterator[None]:
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("wrap", [DataParallel, DistributedDataParallel])
def test_wrappers_for_several_devices_are_looked_through(plan, process_group, wrap) -> None:
    assert train(wrap(Net()), plan) == train(Net(), plan)


def test_a_compiled_model_is_refused_and_one_compiled_afterwards_has_the_multipliers(plan) -> None:
    compiled = torch.compile(Net(), backend="eager")
    with pytest.raises(PlanMismatch, match=r"apply the plan to the module first, then torch\.compile it"):
        windtunnel.torch.apply(compiled, plan)
    in_place = Net()
    in_place.layers[0].compile(backend="eager")
    with pytest.raises(PlanMismatch, match="the model is compiled"):
        windtunnel.torch.apply(in_place, plan)
    rows = [row.model_copy(update={"multiplier": 1.0}) for row in plan.tensors]
    assert windtunnel.torch.apply(compiled, plan.model_copy(update={"tensors": rows}))
    model = Net()
    windtunnel.torch.apply(model, plan)
    with torch.no_grad():
        model.readout.weight.normal_(generator=torch.Generator().manual_seed(0))
    inputs = load("digits").train.inputs[:8]
    assert torch.equal(torch.compile(model, backend="eager")(inputs), model(inputs))
    plain = Net()
    plain.load_state_dict(torch.compile(model, backend="eager").get_submodule("_orig_mod").state_dict())
    torch.testing.assert_close(plain(inputs), model(inputs))


def test_a_model_made_on_the_meta_device_takes_the_plan_once_it_has_storage(plan) -> None:
    with torch.device("meta"):
        model = Net()
    with pytest.raises(PlanMismatch, match="to_empty"):
        windtunnel.torch.apply(model, plan)
    assert train(model.to_empty(device="cpu"), plan) == train(Net(), plan)


def test_bfloat16_parameters_are_the_float32_ones_rounded(plan) -> None:
    model, plain = Net().bfloat16(), Net()
    windtunnel.torch.apply(model, plan)
    windtunnel.torch.apply(plain, plan)
    for rounded, parameter in zip(model.parameters(), plain.parameters(), strict=True):
        assert rounded.dtype == torch.bfloat16 and torch.equal(rounded, parameter.bfloat16())
    update = windtunnel.torch.optimizer(model, plan)
    model(load("digits").train.inputs[:8].bfloat16()).square().sum().backward()
    update.step()
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_float16_parameters_are_refused_under_adam_whose_eps_they_cannot_hold(finish, plan_of, plan) -> None:
    with pytest.raises(PlanMismatch, match=r"layers.0.weight is float16, in which Adam's eps of 5e-09 is 0"):
        windtunnel.torch.apply(Net().half(), plan)
    sgd = plan_of(finish({"model": {"width": 16}, "optimizer": {"name": "sgd"}}), width=32)
    assert windtunnel.torch.apply(Net().half(), sgd)


class Reading(Net):
    """Reads its readout's weight instead of calling the layer."""

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = inputs
        for layer in self.layers:
            hidden = torch.relu(layer(hidden))
        return functional.linear(hidden, self.readout.weight, self.readout.bias)


def test_a_multiplier_that_the_forward_pass_goes_around_is_told_at_the_first_step(plan) -> None:
    with pytest.raises(PlanMismatch, match="no forward pass has called readout: call the module instead"):
        train(Reading(), plan)
