"""``windtunnel.torch.optimizer`` before and after ``fully_shard``: two processes against one on the whole batch."""

import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import fully_shard
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

import windtunnel.torch
from windtunnel.torch import PlanMismatch
from windtunnel.types import TransferPlan

SGD = {"optimizer": "sgd", "momentum": 0.9, "decay": "decoupled"}
MUON = {"optimizer": "muon", "momentum": 0.9}
CASES: dict[str, dict[str, Any]] = {
    "before": {},
    "after": {},
    "before, clipped": {"clip_norm": 0.05},
    "after, clipped, meta": {"clip_norm": 0.05},
    "before, sgd with decoupled decay": SGD | {"clip_norm": 0.1},
    "after, sgd with decoupled decay": SGD,
    "before, layers only, clipped": {"clip_norm": 0.05},
    "after, layers only, clipped": {"clip_norm": 0.05},
    "before, compiled": {},
    "after, compiled": {},
    "after, called": {},
    "after, bf16": {},
    "before, l2": {"l2": 0.3},
    "before, resumed": {"clip_norm": 0.05},
    "after, resumed": {},
    "after, resumed, sgd with decoupled decay": SGD,
    "after, resumed, l2": {"l2": 0.3},
    "before, resumed, broadcast": {},
    "after, resumed, broadcast": {"clip_norm": 0.05},
    "before, muon, clipped": MUON | {"clip_norm": 0.05},
    "after, meta, resumed, muon": MUON | {"optimizer_options": {"adjust_lr_fn": "original"}},
    "before, layers only, muon": MUON,
    "before, resumed, written": {},
    "after, resumed, written": {},
}
PROGRAM = Path(__file__).with_name("two_processes.py")


class Net(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(6, width), nn.Linear(width, width)])
        self.readout = nn.Linear(width, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        for layer in self.layers:
            inputs = torch.relu(layer(inputs))
        logits: Tensor = self.readout(inputs)
        return logits


def with_penalty(plan: TransferPlan, penalty: float) -> TransferPlan:
    rows = [row.model_copy(update={"l2": penalty, "weight_decay": 0.0}) for row in plan.tensors]
    return plan.model_copy(update={"tensors": rows})


def in_one_process(plan: TransferPlan) -> tuple[list[float], dict[str, Tensor]]:
    """Torch's own optimizer of one process on the whole batch."""
    model = Net(plan.width)
    update = windtunnel.torch.optimizer(model, plan)
    clock = windtunnel.torch.schedule(update, plan)
    inputs, labels = torch.randn(16, 6, generator=torch.Generator().manual_seed(0)), torch.arange(16) % 3
    losses = []
    for _ in range(6):
        update.zero_grad()
        loss = functional.cross_entropy(model(inputs), labels)
        loss.backward()
        update.step()
        clock.step()
        losses.append(loss.item())
    return losses, model.state_dict()


@pytest.mark.slow
def test_two_processes_train_a_sharded_model_as_one_trains_the_whole(make_plan, tmp_path: Path) -> None:
    plans = {}
    for case, changes in CASES.items():
        fields = {key: value for key, value in changes.items() if key != "l2"}
        plan = make_plan(**fields)
        plans[case] = with_penalty(plan, changes["l2"]) if "l2" in changes else plan
    (tmp_path / "plans.json").write_text(json.dumps({case: plan.model_dump(mode="json") for case, plan in plans.items()}))
    processes = [
        subprocess.Popen(
            [sys.executable, str(PROGRAM), str(tmp_path)],
            env=os.environ | {"RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        complaints = [process.communicate(timeout=200)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], complaints
    found = torch.load(tmp_path / "found.pt")
    for case, plan in plans.items():
        wanted, weights = in_one_process(plan)
        losses, state = found[case]
        # bfloat16 has 8 bits of mantissa: 2^-8 of a loss of 1.
        assert losses == pytest.approx(wanted, rel=1e-2 if "bf16" in case else 1e-5), case
        assert wanted[-1] < wanted[0]
        assert set(state) == set(weights)
        if "bf16" not in case:
            # Adam divides by gradients near 0: rounding of a gradient moves a weight by a part of its rate.
            for name, value in weights.items():
                assert torch.allclose(state[name], value, rtol=1e-3, atol=1e-4), (case, name)
        bare, whole = Net(plan.width), Net(plan.width)
        windtunnel.torch.apply(whole, make_plan())
        for each in (bare, whole):
            each.load_state_dict(state)
        torch.testing.assert_close(bare(torch.ones(2, 6)), whole(torch.ones(2, 6)), rtol=1e-5, atol=1e-6)


def test_weights_that_were_replaced_after_the_optimizer_was_made_are_trained(make_plan) -> None:
    plan = make_plan((2.0, 0.25, 0.125), clip_norm=0.1)
    trained, twin = Net(plan.width), Net(plan.width)
    first, second = windtunnel.torch.optimizer(trained, plan), windtunnel.torch.optimizer(twin, plan)
    twin.load_state_dict(copy.deepcopy(trained.state_dict()), assign=True)
    inputs = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    for model, update in ((trained, first), (twin, second)):
        model(inputs).square().sum().backward()
        update.step()
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(trained.parameters(), twin.parameters(), strict=True))
    assert not torch.equal(twin.layers[0].weight, Net(plan.width).layers[0].weight)
    # In the middle of a run the optimizer's state goes along.
    twin.load_state_dict(copy.deepcopy(trained.state_dict()), assign=True)
    for model, update in ((trained, first), (twin, second)):
        update.zero_grad()
        model(inputs).square().sum().backward()
        update.step()
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(trained.parameters(), twin.parameters(), strict=True))


def test_a_parameter_that_is_gone_is_told_at_the_next_step(make_plan) -> None:
    plan = make_plan()
    model = Net(plan.width)
    update = windtunnel.torch.optimizer(model, plan)
    weight_norm(model.layers[1])
    model(torch.ones(2, 6)).sum().backward()
    with pytest.raises(PlanMismatch, match=r"has no parameter layers\.1\.weight any more"):
        update.step()


def test_a_parameter_that_was_flattened_is_told_at_the_next_step(make_plan) -> None:
    """As ``FullyShardedDataParallel(use_orig_params=True)`` does to the parameters it keeps."""
    model = Net(33)
    update = windtunnel.torch.optimizer(model, make_plan())
    model.layers[1].weight.data = model.layers[1].weight.data.flatten()[:40]
    with pytest.raises(PlanMismatch, match=r"layers\.1\.weight was \[33, 33\] .* is \[40\] now; Fully"):
        update.step()


# dynamo looks at the gradient of every input that it traces.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_blocks_that_were_compiled_before_the_plan_have_its_multipliers(make_plan) -> None:
    plan = make_plan()
    model, plain = Net(plan.width), Net(plan.width)
    model.layers = nn.ModuleList(torch.compile(nn.Sequential(layer), backend="eager") for layer in model.layers)
    names = {"layers.{i}.0.{part}": "layers.{i}.{part}"}
    inputs = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    model(inputs)  # compiles without the multipliers
    groups = windtunnel.torch.apply(model, plan, names=names)
    windtunnel.torch.apply(plain, plan)
    assert sum(len(group["params"]) for group in groups) == len(plan.tensors)
    torch.testing.assert_close(model(inputs), plain(inputs))
    windtunnel.torch.fold(model)
    torch.testing.assert_close(model(inputs), plain(inputs))


def test_an_unknown_word_for_the_weights_is_refused(make_plan) -> None:
    with pytest.raises(ValueError, match="weights is 'redraw'; allowed: 'draw', 'keep'"):
        windtunnel.torch.apply(Net(33), make_plan(), weights="redraw")


@pytest.fixture
def process_group() -> Iterator[None]:
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def test_an_optimizer_with_state_of_whole_weights_refuses_sharded_ones(make_plan, process_group) -> None:
    model = Net(33)
    update = windtunnel.torch.optimizer(model, make_plan())
    model(torch.ones(2, 6)).sum().backward()
    update.step()
    fully_shard(model)
    model(torch.ones(2, 6)).sum().backward()
    with pytest.raises(PlanMismatch, match=r"layers\.0\.weight was sharded after the optimizer had state of it"):
        update.step()


def test_a_sharded_model_is_folded_in_its_parts(make_plan, process_group) -> None:
    model, inputs = Net(33), torch.ones(2, 6)
    windtunnel.torch.apply(model, make_plan())
    fully_shard(model)
    before = model(inputs)
    windtunnel.torch.fold(model)
    torch.testing.assert_close(model(inputs), before)
    whole = Net(33)
    whole.load_state_dict(get_model_state_dict(model, options=StateDictOptions(full_state_dict=True)))
    torch.testing.assert_close(whole(inputs), before)


def test_weights_that_are_gathered_when_the_plan_is_applied_are_put_back_first(make_plan, process_group) -> None:
    model, plain = Net(33), Net(33)
    fully_shard(model, reshard_after_forward=False)
    model(torch.ones(2, 6))
    update, other = windtunnel.torch.optimizer(model, make_plan()), windtunnel.torch.optimizer(plain, make_plan())
    for each, optimizer in ((model, update), (plain, other)):
        for _ in range(2):
            optimizer.zero_grad()
            each(torch.ones(2, 6)).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(model(torch.ones(2, 6)), plain(torch.ones(2, 6)))
