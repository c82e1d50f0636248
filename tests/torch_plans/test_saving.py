"""The state dict of a model with a plan: what loads it has the same outputs, or refuses it."""

import copy
import io
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional

import windtunnel.torch
from windtunnel.torch import PlanMismatch
from windtunnel.types import TransferPlan


class Net(nn.Module):
    def __init__(self, width: int = 33) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(6, width), nn.Linear(width, width)])
        self.readout = nn.Linear(width, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        for layer in self.layers:
            inputs = torch.relu(layer(inputs))
        logits: Tensor = self.readout(inputs)
        return logits


INPUTS = torch.randn(16, 6, generator=torch.Generator().manual_seed(0))
KEYS = {"layers.0.windtunnel_multiplier", "layers.1.windtunnel_multiplier", "readout.windtunnel_multiplier"}


def step(model: nn.Module, update: torch.optim.Optimizer) -> None:
    update.zero_grad()
    functional.cross_entropy(model(INPUTS), torch.arange(16) % 3).backward()
    update.step()


def trained(plan: TransferPlan) -> Net:
    model = Net()
    update = windtunnel.torch.optimizer(model, plan)
    for _ in range(3):
        step(model, update)
    return model


def through_torch(state: dict[str, Tensor], folder: Any) -> dict[str, Tensor]:
    torch.save(state, folder / "state.pt")
    loaded: dict[str, Tensor] = torch.load(folder / "state.pt")
    return loaded


def through_safetensors(state: dict[str, Tensor], folder: Any) -> dict[str, Tensor]:
    safetensors.torch.save_file(state, folder / "state.safetensors")
    loaded: dict[str, Tensor] = safetensors.torch.load_file(folder / "state.safetensors")
    return loaded


@pytest.mark.parametrize("through", [through_torch, through_safetensors])
@pytest.mark.parametrize("assign", [False, True])
def test_a_model_with_the_plan_loads_its_own_outputs(make_plan, tmp_path, through, assign: bool) -> None:
    model, fresh = trained(make_plan()), Net()
    state = through(model.state_dict(), tmp_path)
    assert set(state) - set(dict(model.named_parameters())) == KEYS
    windtunnel.torch.apply(fresh, make_plan(), seed=99)
    fresh.load_state_dict(state, assign=assign)
    assert torch.equal(fresh(INPUTS), model(INPUTS))
    assert set(fresh.state_dict()) == set(state)


@pytest.mark.parametrize("through", [through_torch, through_safetensors])
def test_a_model_without_the_plan_refuses_to_load_it(make_plan, tmp_path, through) -> None:
    state = through(trained(make_plan()).state_dict(), tmp_path)
    with pytest.raises(RuntimeError, match=r"Unexpected key\(s\) in state_dict: .*readout\.windtunnel_multiplier"):
        Net().load_state_dict(state)
    assert set(Net().load_state_dict(state, strict=False).unexpected_keys) == KEYS


def test_a_plan_without_multipliers_saves_plain_weights(make_plan) -> None:
    model, fresh = trained(make_plan((1.0, 1.0, 1.0))), Net()
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh(INPUTS), model(INPUTS))


def test_plain_weights_are_refused_by_a_model_with_the_plan(make_plan) -> None:
    model = Net()
    windtunnel.torch.apply(model, make_plan())
    with pytest.raises(RuntimeError, match=r"Missing key\(s\) in state_dict: .*readout\.windtunnel_multiplier"):
        model.load_state_dict(Net().state_dict())
    assert set(model.load_state_dict(Net().state_dict(), strict=False).missing_keys) == KEYS


@pytest.mark.parametrize("strict", [False, True])
def test_the_multipliers_of_another_plan_are_refused(make_plan, strict: bool) -> None:
    model = Net()
    windtunnel.torch.apply(model, make_plan((1.7, 0.3, 0.22)))
    with pytest.raises(RuntimeError, match=r"readout\.weight was saved with forward multiplier 0\.11, .* gives it 0\.22"):
        model.load_state_dict(trained(make_plan()).state_dict(), strict=strict)


def test_a_plan_with_fewer_multipliers_takes_the_others_off(make_plan) -> None:
    model, plain = Net(), Net()
    windtunnel.torch.apply(model, make_plan())
    windtunnel.torch.apply(model, make_plan((1.0, 1.0, 0.11)))
    windtunnel.torch.apply(plain, make_plan((1.0, 1.0, 0.11)))
    assert torch.equal(model(INPUTS), plain(INPUTS))
    assert set(model.state_dict()) == set(plain.state_dict())


def test_a_cast_to_a_shorter_type_and_back_does_not_round_the_multipliers(make_plan) -> None:
    model = trained(make_plan())
    twin = copy.deepcopy(model).bfloat16()
    state = twin.state_dict()
    assert all(state[key].dtype == torch.float32 and torch.equal(state[key], model.state_dict()[key]) for key in KEYS)
    windtunnel.torch.apply(fresh := Net().bfloat16(), make_plan(), seed=99)
    fresh.load_state_dict(state)
    assert torch.equal(fresh(INPUTS.bfloat16()), twin(INPUTS.bfloat16()))
    # A whole state dict in bfloat16, as some programs save it.
    fresh.load_state_dict({name: value.bfloat16() for name, value in state.items()})
    assert torch.equal(fresh.state_dict()["readout.windtunnel_multiplier"], torch.tensor(0.11))


def test_a_module_that_is_written_and_read_as_a_whole_has_its_multipliers(make_plan) -> None:
    model = trained(make_plan())
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    again = torch.load(file, weights_only=False)
    assert torch.equal(again(INPUTS), model(INPUTS))
    with pytest.raises(PlanMismatch, match="were loaded after a plan was applied"):
        windtunnel.torch.optimizer(again, make_plan())
    copied = copy.deepcopy(model)
    again.load_state_dict(copied.state_dict())
    windtunnel.torch.optimizer(copied, make_plan())


@pytest.mark.parametrize("apply", [windtunnel.torch.apply, windtunnel.torch.optimizer])
def test_loaded_weights_are_drawn_over_only_on_demand(make_plan, apply) -> None:
    plan, model = make_plan(), trained(make_plan())
    fresh = Net()
    apply(fresh, plan, seed=99)
    fresh.load_state_dict(model.state_dict())
    with pytest.raises(PlanMismatch, match=r"layers\.0\.weight among them.*weights='keep' keeps them, weights='draw'"):
        apply(fresh, plan)
    apply(fresh, plan, weights="keep")
    assert torch.equal(fresh(INPUTS), model(INPUTS))
    with pytest.raises(PlanMismatch, match="weights='keep'"):
        apply(fresh, plan)
    apply(fresh, plan, weights="draw")
    start = Net()
    apply(start, plan)
    assert torch.equal(fresh(INPUTS), start(INPUTS)) and not torch.equal(fresh(INPUTS), model(INPUTS))
    apply(fresh, plan)


def test_a_run_goes_on_from_kept_weights_bit_for_bit(make_plan) -> None:
    plan = make_plan(clip_norm=0.1)
    model = Net()
    update = windtunnel.torch.optimizer(model, plan)
    step(model, update)
    resumed = Net()
    windtunnel.torch.apply(resumed, plan, seed=99)
    resumed.load_state_dict(copy.deepcopy(model.state_dict()))
    again = windtunnel.torch.optimizer(resumed, plan, weights="keep")
    again.load_state_dict(copy.deepcopy(update.state_dict()))
    for trained_model, optimizer in ((model, update), (resumed, again)):
        step(trained_model, optimizer)
    for ours, theirs in zip(resumed.parameters(), model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_an_optimizer_does_not_go_on_with_the_multipliers_of_another_plan(make_plan) -> None:
    model = Net()
    first = windtunnel.torch.optimizer(model, make_plan())
    second = windtunnel.torch.optimizer(model, make_plan((1.7, 0.3, 0.22)))
    step(model, second)
    with pytest.raises(PlanMismatch, match=r"readout\.weight has forward multiplier 0\.22 in the model now, and 0\.11"):
        step(model, first)


def test_weights_that_are_used_without_the_plans_multipliers_cannot_be_kept(make_plan) -> None:
    model = Net()
    before = model(INPUTS)
    with pytest.raises(PlanMismatch, match=r"layers\.0\.weight has forward multiplier 1 in the model and 1\.7 in the plan"):
        windtunnel.torch.apply(model, make_plan(), weights="keep")
    assert torch.equal(model(INPUTS), before)
    windtunnel.torch.apply(model, make_plan((1.0, 1.0, 1.0)), weights="keep")
    assert torch.equal(model(INPUTS), before)
