"""The state dict of a model with a plan: what loads it has the same outputs, or refuses it."""

import copy
import io
from collections.abc import Callable
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

import windtunnel.torch
from tests.torch_plans.conftest import Net
from windtunnel.torch import PlanMismatch
from windtunnel.torch._multipliers import scale
from windtunnel.types import TransferPlan

POWERS = (2.0, 0.25, 0.125)
"""Multipliers by which no weight is rounded."""


INPUTS = torch.randn(16, 6, generator=torch.Generator().manual_seed(0))


def step(model: nn.Module, update: torch.optim.Optimizer) -> None:
    update.zero_grad()
    functional.cross_entropy(model(INPUTS), torch.arange(16) % 3).backward()
    update.step()


def trained(plan: TransferPlan, steps: int = 3) -> Net:
    model = Net()
    update = windtunnel.torch.optimizer(model, plan)
    for _ in range(steps):
        step(model, update)
    return model


def planned(plan: TransferPlan) -> Net:
    model = Net()
    windtunnel.torch.apply(model, plan, seed=99)
    return model


def through_torch(state: dict[str, Tensor], folder: Any) -> dict[str, Tensor]:
    torch.save(state, folder / "state.pt")
    loaded: dict[str, Tensor] = torch.load(folder / "state.pt")
    return loaded


def through_safetensors(state: dict[str, Tensor], folder: Any) -> dict[str, Tensor]:
    safetensors.torch.save_file(state, folder / "state.safetensors")
    loaded: dict[str, Tensor] = safetensors.torch.load_file(folder / "state.safetensors")
    return loaded


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return set(first) == set(second) and all(torch.equal(value, second[name]) for name, value in first.items())


def parameters(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def as_before(model: nn.Module) -> dict[str, Tensor]:
    """A state dict as earlier versions saved it: raw weights, and the multiplier of each beside it."""
    state = parameters(model)
    for name, multiplier in zip(("layers.0", "layers.1", "readout"), (1.7, 0.3, 0.11), strict=True):
        state[f"{name}.windtunnel_multiplier"] = torch.tensor(multiplier)
    return state


@pytest.mark.parametrize("through", [through_torch, through_safetensors])
@pytest.mark.parametrize("assign", [False, True])
def test_a_bare_module_has_the_outputs_of_what_it_loads(make_plan, tmp_path, through, assign: bool) -> None:
    model, bare = trained(make_plan()), Net()
    state = through(model.state_dict(), tmp_path)
    assert set(state) == set(bare.state_dict())
    bare.load_state_dict(state, assign=assign)
    torch.testing.assert_close(bare(INPUTS), model(INPUTS), rtol=1e-5, atol=1e-6)
    for name, multiplier in zip(("layers.0", "layers.1", "readout"), (1.7, 0.3, 0.11), strict=True):
        assert torch.equal(state[f"{name}.weight"], model.get_parameter(f"{name}.weight") * multiplier)
        assert torch.equal(state[f"{name}.bias"], model.get_parameter(f"{name}.bias"))


@pytest.mark.parametrize("through", [through_torch, through_safetensors])
@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("multipliers", [POWERS, (1.7, 0.3, 0.11)])
def test_a_model_with_the_plan_loads_its_own_weights(make_plan, tmp_path, through, assign: bool, multipliers) -> None:
    plan = make_plan(multipliers)
    model, fresh = trained(plan), planned(plan)
    state = through(model.state_dict(), tmp_path)
    for _ in range(2):
        fresh.load_state_dict(state, assign=assign)
        # What bare modules are given stays, bit for bit, however often it is loaded and saved.
        assert equal(fresh.state_dict(), state)
    if multipliers == POWERS:
        assert torch.equal(fresh(INPUTS), model(INPUTS)) and equal(parameters(fresh), parameters(model))
    for name, value in fresh.named_parameters():
        # One unit of the last of 24 bits.
        torch.testing.assert_close(value, model.get_parameter(name), rtol=2**-23, atol=0)


@pytest.mark.parametrize("changes", [{}, {"clip_norm": 0.1}, {"optimizer": "sgd", "momentum": 0.9}])
@pytest.mark.parametrize("multipliers", [POWERS, (1.7, 0.3, 0.11)])
def test_a_run_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(make_plan, tmp_path, changes, multipliers) -> None:
    plan = make_plan(multipliers, **changes)
    model, resumed = Net(), Net()
    update = windtunnel.torch.optimizer(model, plan)
    clock = windtunnel.torch.schedule(update, plan)
    for _ in range(3):
        step(model, update)
        clock.step()
    torch.save([model.state_dict(), update.state_dict(), clock.state_dict()], tmp_path / "run.pt")
    again = windtunnel.torch.optimizer(resumed, plan, seed=99)
    ticks = windtunnel.torch.schedule(again, plan)
    for part, state in zip((resumed, again, ticks), torch.load(tmp_path / "run.pt"), strict=True):
        part.load_state_dict(state)
    for _ in range(5):
        for net, optimizer, schedule in ((model, update, clock), (resumed, again, ticks)):
            step(net, optimizer)
            schedule.step()
    if multipliers == POWERS:
        assert equal(parameters(resumed), parameters(model))
    for name, value in resumed.named_parameters():
        torch.testing.assert_close(value, model.get_parameter(name), rtol=1e-4, atol=1e-5)


def test_weights_of_another_plan_or_of_none_are_the_same_function_here(make_plan) -> None:
    other, bare = trained(make_plan((1.7, 0.3, 0.22))), Net()
    for source in (other, bare):
        model = planned(make_plan())
        model.load_state_dict(source.state_dict())
        torch.testing.assert_close(model(INPUTS), source(INPUTS), rtol=1e-5, atol=1e-6)


def test_a_part_of_a_model_and_a_part_of_a_state_dict(make_plan) -> None:
    model, bare, fresh = trained(make_plan()), Net(), planned(make_plan())
    state = model.state_dict()
    bare.layers.load_state_dict(model.layers.state_dict())
    bare.readout.load_state_dict(model.readout.state_dict())
    torch.testing.assert_close(bare(INPUTS), model(INPUTS), rtol=1e-5, atol=1e-6)
    before = parameters(fresh)
    told = fresh.load_state_dict({"readout.weight": state["readout.weight"]}, strict=False)
    assert len(told.missing_keys) == 5 and not told.unexpected_keys
    assert torch.equal(fresh.state_dict()["readout.weight"], state["readout.weight"])
    assert all(torch.equal(value, before[name]) for name, value in fresh.named_parameters() if name != "readout.weight")
    outer = model.state_dict(prefix="inner.")
    holder = nn.ModuleDict({"inner": planned(make_plan())})
    holder.load_state_dict(outer)
    assert equal(holder.state_dict(), outer)
    with pytest.raises(RuntimeError, match=r"size mismatch for readout\.weight"):
        planned(make_plan()).load_state_dict(Net(34).state_dict())


def test_a_state_dict_of_an_earlier_version_is_read(make_plan) -> None:
    model = trained(make_plan())
    state = as_before(model)
    same, other, none = planned(make_plan()), planned(make_plan((1.7, 0.3, 0.22))), planned(make_plan((1.0, 1.0, 1.0)))
    for fresh in (same, other, none):
        fresh.load_state_dict(state)
        torch.testing.assert_close(fresh(INPUTS), model(INPUTS), rtol=1e-5, atol=1e-6)
        assert set(fresh.state_dict()) == set(Net().state_dict())
    assert torch.equal(same(INPUTS), model(INPUTS)) and equal(parameters(same), parameters(model))
    with pytest.raises(RuntimeError, match=r"Unexpected key\(s\) in state_dict: .*readout\.windtunnel_multiplier"):
        Net().load_state_dict(state)


def test_weights_with_gradients_are_in_a_state_dict_of_variables(make_plan) -> None:
    model = trained(make_plan())
    kept = model.state_dict(keep_vars=True)
    assert equal({name: value.detach() for name, value in kept.items()}, model.state_dict())
    model.zero_grad()
    kept["readout.weight"].sum().backward()
    torch.testing.assert_close(model.readout.weight.grad, torch.full((3, 33), 0.11))


def test_a_call_with_other_weights_takes_parameters_and_a_state_dict_for_what_they_are(make_plan) -> None:
    model, other, tokens = planned(make_plan()), trained(make_plan()), torch.arange(7)
    wanted, state = other(INPUTS), other.state_dict()
    torch.testing.assert_close(functional_call(model, parameters(other), INPUTS), wanted)
    torch.testing.assert_close(functional_call(other, state, INPUTS), wanted, rtol=1e-5, atol=1e-6)
    assert torch.equal(other(INPUTS), wanted)
    for value in state.values():
        value.mul_(2.0)
    bare = Net()
    bare.load_state_dict(copy.deepcopy(state))
    for _ in range(2):
        torch.testing.assert_close(functional_call(other, state, INPUTS), bare(INPUTS), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(other(INPUTS), bare(INPUTS), rtol=1e-5, atol=1e-6)
    words = with_multiplier(nn.Sequential(nn.Embedding(7, 4)), "0", 0.3)
    torch.testing.assert_close(functional_call(words, words.state_dict(), tokens), words(tokens))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_types_round_trip_and_a_cast_on_loading_is_that_of_a_bare_module(make_plan, dtype: torch.dtype) -> None:
    model = trained(make_plan())
    twin = copy.deepcopy(model).to(dtype)
    state = twin.state_dict()
    assert all(value.dtype == dtype for value in state.values())
    fresh = planned(make_plan()).to(dtype)
    fresh.load_state_dict(state)
    assert equal(fresh.state_dict(), state)
    # A checkpoint in another type than the model's.
    fresh.load_state_dict(model.state_dict())
    bare = Net().to(dtype)
    bare.load_state_dict(model.state_dict())
    for name, value in bare.state_dict().items():
        # Where no weight has that product in the type, the nearest one has.
        torch.testing.assert_close(fresh.state_dict()[name], value, rtol=torch.finfo(dtype).eps, atol=0)
    # Assigned as they are: the model takes the type of the checkpoint.
    fresh.load_state_dict(model.state_dict(), assign=True)
    assert equal(fresh.state_dict(), model.state_dict())


def test_every_weight_of_a_model_made_on_the_meta_device_is_loaded(make_plan) -> None:
    plan = make_plan()
    model = trained(plan)
    with torch.device("meta"):
        empty, assigned = Net(), Net()
    empty.to_empty(device="cpu")
    for value in empty.parameters():
        value.data = torch.full(value.shape, 1e9)  # what the memory happens to hold
    windtunnel.torch.apply(empty, plan)
    assert equal(parameters(empty), parameters(trained(plan, steps=0)))
    empty.load_state_dict(model.state_dict())
    assert equal(empty.state_dict(), model.state_dict())
    assigned.load_state_dict(model.state_dict(), assign=True)
    torch.testing.assert_close(assigned(INPUTS), model(INPUTS), rtol=1e-5, atol=1e-6)


def test_torch_may_swap_the_values_of_parameters_when_it_loads_and_converts(make_plan) -> None:
    model, fresh, bare = trained(make_plan()), planned(make_plan()), Net()
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        for _ in range(2):
            fresh.load_state_dict(model.state_dict())
            assert equal(fresh.state_dict(), model.state_dict())
        bare.load_state_dict(fresh.double().state_dict())
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)
    torch.testing.assert_close(bare(INPUTS), model(INPUTS), rtol=1e-5, atol=1e-6)


def test_a_state_dict_is_made_and_loaded_in_inference_mode(make_plan) -> None:
    model, bare = trained(make_plan()), Net()
    with torch.inference_mode():
        state, inner = model.state_dict(), planned(make_plan())
        inner.load_state_dict(state)
        torch.testing.assert_close(inner(INPUTS), model(INPUTS), rtol=1e-5, atol=1e-6)
    bare.load_state_dict(state)
    torch.testing.assert_close(bare(INPUTS), model(INPUTS), rtol=1e-5, atol=1e-6)


def test_a_module_that_is_written_and_read_as_a_whole_has_its_multipliers(make_plan) -> None:
    model = trained(make_plan())
    model.state_dict()
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    again = torch.load(file, weights_only=False)
    assert torch.equal(again(INPUTS), model(INPUTS)) and equal(again.state_dict(), model.state_dict())
    with pytest.raises(PlanMismatch, match="were loaded after a plan was applied"):
        windtunnel.torch.optimizer(again, make_plan())
    copied = copy.deepcopy(model)
    again.load_state_dict(copied.state_dict())
    assert equal(again.state_dict(), model.state_dict())
    windtunnel.torch.optimizer(copied, make_plan())


def averaged_by_torch(average: nn.Module, model: nn.Module) -> None:
    """As ``torch.optim.swa_utils.AveragedModel``: over parameters."""
    with torch.no_grad():
        for mean, value in zip(average.parameters(), model.parameters(), strict=True):
            mean.lerp_(value, 0.5)


def averaged_in_the_state_dict(average: nn.Module, model: nn.Module) -> None:
    """As several libraries do: in place, in the values of a state dict."""
    state = model.state_dict()
    for name, mean in average.state_dict().items():
        mean *= 0.5  # noqa: PLW2901 - a write into the tensor
        mean += 0.5 * state[name].detach()  # noqa: PLW2901


def averaged_and_copied(average: nn.Module, model: nn.Module) -> None:
    """Another common way."""
    with torch.no_grad():
        for mean, value in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
            mean.copy_(0.5 * mean + 0.5 * value)


def averaged_and_loaded(average: nn.Module, model: nn.Module) -> None:
    state = model.state_dict()
    average.load_state_dict({name: 0.5 * mean + 0.5 * state[name] for name, mean in average.state_dict().items()})


@pytest.mark.parametrize("way", [averaged_by_torch, averaged_in_the_state_dict, averaged_and_copied, averaged_and_loaded])
def test_averages_of_weights_are_those_of_bare_modules(make_plan, way: Callable[[nn.Module, nn.Module], None]) -> None:
    model = Net()
    update = windtunnel.torch.optimizer(model, make_plan())
    average = copy.deepcopy(model)
    plain, wanted = Net(), Net()
    wanted.load_state_dict(average.state_dict())
    for _ in range(3):
        step(model, update)
        way(average, model)
        plain.load_state_dict(model.state_dict())
        averaged_by_torch(wanted, plain)
        torch.testing.assert_close(average(INPUTS), wanted(INPUTS), rtol=1e-5, atol=1e-6)
    for name, value in wanted.state_dict().items():
        torch.testing.assert_close(average.state_dict()[name], value, rtol=1e-5, atol=1e-7)


def test_a_state_dict_that_was_written_into_does_not_undo_what_was_loaded_later(make_plan) -> None:
    model, other = trained(make_plan()), trained(make_plan(), steps=5)
    state = model.state_dict()
    state["readout.weight"].zero_()
    model.load_state_dict(other.state_dict())
    assert equal(model.state_dict(), other.state_dict())
    state = model.state_dict()
    state["readout.weight"].zero_()
    assert torch.equal(model(INPUTS), model.readout.bias.expand(16, 3))


def test_a_state_dict_that_is_kept_stays_the_models_own(make_plan) -> None:
    """As torch's, whose values are views of the parameters."""
    plan = make_plan()
    model, bare = Net(), Net()
    update = windtunnel.torch.optimizer(model, plan)
    kept = model.state_dict()
    for _ in range(3):
        step(model, update)
        assert equal(model.state_dict(), kept)
        for value in kept.values():
            value.mul_(0.5)
        bare.load_state_dict(kept)
        torch.testing.assert_close(model(INPUTS), bare(INPUTS), rtol=1e-5, atol=1e-6)
        assert equal(model.state_dict(), bare.state_dict())
    copied = copy.deepcopy(kept)
    step(model, update)
    assert not torch.equal(model.state_dict()["readout.weight"], copied["readout.weight"])


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(7, 4), nn.Linear(4, 7, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.head(self.table(tokens))
        return logits


class Standardised(nn.Linear):
    """Its output does not change when its weight is multiplied."""

    def forward(self, inputs: Tensor) -> Tensor:
        return functional.linear(inputs, self.weight / self.weight.std(), self.bias)


class Adapted(nn.Linear):
    def __init__(self) -> None:
        super().__init__(4, 4)
        self.low = nn.Parameter(torch.ones(4, 4))

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs) + inputs @ self.low


def tied() -> nn.Module:
    model = Tied()
    model.head.weight = model.table.weight
    return model


WORDS, POINTS = torch.tensor([[0, 2, 6]]), torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
NO_FACTORS: dict[str, tuple[Callable[[], nn.Module], str, Tensor]] = {
    "max_norm": (lambda: nn.Sequential(nn.Embedding(7, 4, max_norm=1.0)), "0", WORDS),
    "tied": (tied, "head", WORDS),
    "a forward of its own": (lambda: nn.Sequential(Standardised(4, 4)), "0", POINTS),
    "other parameters": (lambda: nn.Sequential(Adapted()), "0", POINTS),
    "parametrised": (lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))), "0", POINTS),
}


def with_multiplier(model: nn.Module, layer: str, factor: float) -> nn.Module:
    from windtunnel.torch._saving import keep_record, renew_buffer, watch_sharing

    scale(model.get_submodule(layer), factor)
    keep_record(model.get_submodule(layer))
    watch_sharing(model)
    renew_buffer(model.get_submodule(layer))
    return model


@pytest.mark.parametrize("kind", NO_FACTORS)
def test_a_multiplier_that_is_no_factor_of_its_weight_is_saved_beside_it(kind: str) -> None:
    build, layer, inputs = NO_FACTORS[kind]
    model = with_multiplier(build(), layer, 0.3)
    state = copy.deepcopy(model.state_dict())
    with pytest.raises(RuntimeError, match=rf"Unexpected key\(s\) in state_dict: .*{layer}\.windtunnel_multiplier"):
        build().load_state_dict(state)
    again = with_multiplier(build(), layer, 0.3)
    again.load_state_dict(state)
    assert equal(again.state_dict(), state) and torch.equal(again(inputs), model(inputs))
    plain = {name: value for name, value in state.items() if "windtunnel" not in name}
    for given, strict in ((plain, True), (plain, False)):
        with pytest.raises(
            RuntimeError, match=rf"{layer}\.weight has forward multiplier 0\.3 here, which cannot be divided"
        ):
            again.load_state_dict(given, strict=strict)
    other = with_multiplier(build(), layer, 0.6)
    with pytest.raises(RuntimeError, match=r"It was saved with forward multiplier 0\.3: apply the plan"):
        other.load_state_dict(state, strict=False)


def test_weights_that_are_tied_after_the_plan_was_applied_are_saved_with_the_multiplier_beside() -> None:
    model = with_multiplier(Tied(), "head", 0.3)
    assert set(model.state_dict()) == {"table.weight", "head.weight"}
    model.head.weight = model.table.weight
    assert "head.windtunnel_multiplier" in model.state_dict()
    with pytest.raises(RuntimeError, match="Unexpected key"):
        tied().load_state_dict(model.state_dict())
    model.head.weight = nn.Parameter(model.head.weight.detach().clone())
    assert set(model.state_dict()) == {"table.weight", "head.weight"}


def test_float16_weights_that_a_product_would_lose_are_saved_beside_their_multiplier() -> None:
    model = with_multiplier(nn.Sequential(nn.Linear(4, 4).half()), "0", 1e-7)
    state = copy.deepcopy(model.state_dict())
    again = with_multiplier(nn.Sequential(nn.Linear(4, 4).half()), "0", 1e-7)
    again.load_state_dict(state)
    assert "0.windtunnel_multiplier" in state and equal(again.state_dict(), state)


@pytest.mark.parametrize("apply", [windtunnel.torch.apply, windtunnel.torch.optimizer])
def test_loaded_weights_are_drawn_over_only_on_demand(make_plan, apply) -> None:
    plan, model = make_plan(POWERS), trained(make_plan(POWERS))
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


def test_an_optimizer_does_not_go_on_with_the_multipliers_of_another_plan(make_plan) -> None:
    model = Net()
    first = windtunnel.torch.optimizer(model, make_plan())
    second = windtunnel.torch.optimizer(model, make_plan((1.7, 0.3, 0.22)))
    step(model, second)
    with pytest.raises(PlanMismatch, match=r"readout\.weight has forward multiplier 0\.22 in the model now, and 0\.11"):
        step(model, first)


def test_kept_weights_keep_their_outputs_whatever_the_multipliers(make_plan) -> None:
    """State dicts of a bare module, of another plan and of a folded model train on as the plan's own do."""
    model = trained(make_plan(POWERS))
    bare, other, folded = Net(), Net(), windtunnel.torch.fold(copy.deepcopy(model))
    bare.load_state_dict(model.state_dict())
    windtunnel.torch.apply(other, make_plan((4.0, 0.5, 1.0)))
    other.load_state_dict(model.state_dict())
    with pytest.raises(PlanMismatch, match=r"was folded, which froze the model"):
        windtunnel.torch.apply(folded, make_plan(POWERS), weights="keep")
    folded.requires_grad_(True)
    wanted = copy.deepcopy(model)
    step(wanted, windtunnel.torch.optimizer(wanted, make_plan(POWERS), weights="keep"))
    for each in (bare, other, folded):
        update = windtunnel.torch.optimizer(each, make_plan(POWERS), weights="keep")
        assert torch.equal(each(INPUTS), model(INPUTS))
        step(each, update)
        assert equal(parameters(each), parameters(wanted))


def test_a_multiplier_that_is_no_factor_is_not_kept_in_a_bare_module(make_plan) -> None:
    model = Net()
    model.readout = Standardised(33, 3)
    before = model(INPUTS)
    with pytest.raises(PlanMismatch, match=r"readout\.weight has forward multiplier 1 in the model and 0\.11 in the plan"):
        windtunnel.torch.apply(model, make_plan(), weights="keep")
    assert torch.equal(model(INPUTS), before)
