"""Trains a sharded model by a plan, in one of two processes, and writes losses and whole weights for test_sharding.py."""

import json
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
    set_state_dict,
)
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.nn import functional
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

import windtunnel.torch
from windtunnel.torch._sharding import fill
from windtunnel.types import TransferPlan

WHOLE = StateDictOptions(full_state_dict=True)


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


def shard(model: Net, case: str) -> None:
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16) if "bf16" in case else MixedPrecisionPolicy()
    for layer in model.layers:
        fully_shard(layer, mp_policy=policy)
    if "layers only" not in case:
        fully_shard(model, mp_policy=policy)


def train(case: str, plan: TransferPlan) -> tuple[list[float], dict[str, Tensor]]:
    """Losses over the whole batch, and the whole weights after the last step."""
    rank = dist.get_rank()
    torch.manual_seed(rank)
    with torch.device("meta" if "meta" in case else "cpu"):
        model = Net(plan.width)
    if "compiled" in case:
        for index, layer in enumerate(model.layers):
            model.layers[index] = torch.compile(layer, backend="eager")
    if "before" in case:
        update = windtunnel.torch.optimizer(model, plan)
        shard(model, case)
    else:
        shard(model, case)
        if "meta" in case:
            model.to_empty(device="cpu")
        if "called" in case:
            model(torch.randn(2, 6))
        update = windtunnel.torch.optimizer(model, plan)
    return run(model, update, plan, case)


def run(model: Net, update: Optimizer, plan: TransferPlan, case: str) -> tuple[list[float], dict[str, Tensor]]:
    """Six steps; between the third and the fourth of a case that is resumed, both go on in a new model and optimizer."""
    rank = dist.get_rank()
    clock = windtunnel.torch.schedule(update, plan)
    inputs = torch.randn(16, 6, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(16) % 3
    mine = slice(None) if "layers only" in case else slice(8 * rank, 8 * rank + 8)
    losses = []
    for step in range(6):
        if step == 3 and "resumed" in case:
            model, update, clock = resumed(model, update, clock, plan, case)
        update.zero_grad()
        loss = functional.cross_entropy(model(inputs[mine]), labels[mine])
        loss.backward()
        update.step()
        clock.step()
        total = loss.detach().clone()
        dist.all_reduce(total)
        losses.append(total.item() / 2)
    return losses, get_model_state_dict(model, options=WHOLE)


def resumed(
    model: Net, update: Optimizer, clock: LambdaLR, plan: TransferPlan, case: str
) -> tuple[Net, Optimizer, LambdaLR]:
    """Another model, optimizer and schedule that take over by torch's own functions for whole state dicts."""
    weights, state = get_state_dict(model, update, options=WHOLE)
    twin = Net(plan.width)
    if "before" in case:
        other = windtunnel.torch.optimizer(twin, plan, seed=99)
        shard(twin, case)
    else:
        shard(twin, case)
        other = windtunnel.torch.optimizer(twin, plan, seed=99)
    ticks = windtunnel.torch.schedule(other, plan)
    if "broadcast" in case:
        # One process has the state; torch copies it into the parts of the parameters, then loads these.
        options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True, strict=False)
        given = (weights, state) if dist.get_rank() == 0 else ({}, {})
        part = {"readout.bias": weights["readout.bias"]} if given[0] else {}
        set_model_state_dict(twin, dict(part), options=options)
        set_model_state_dict(twin, given[0], options=options)
        set_optimizer_state_dict(twin, other, given[1], options=options)
        set_model_state_dict(twin, dict(part), options=options)
    elif "written" in case:
        # In place, as torch.distributed.checkpoint.load does.
        for name, value in get_model_state_dict(twin).items():
            fill(value, weights[name])
        twin.state_dict()
        set_optimizer_state_dict(twin, other, state, options=WHOLE)
    else:
        set_state_dict(twin, other, model_state_dict=weights, optim_state_dict=state, options=WHOLE)
    ticks.load_state_dict(clock.state_dict())
    return twin, other, ticks


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, plans = Path(sys.argv[1]), json.loads(Path(sys.argv[1], "plans.json").read_text())
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=int(os.environ["RANK"]), world_size=2)
    found = {case: train(case, TransferPlan.model_validate(plan)) for case, plan in plans.items()}
    if dist.get_rank() == 0:
        torch.save(found, folder / "found.pt")
    dist.barrier()
    dist.destroy_process_group()
