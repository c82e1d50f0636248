"""Each module of the table learns: it is tuned, planned, trained by the plan, saved, loaded and folded."""

import copy
import io
import math
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from tests.user_modules.modules_that_learn import ENTRIES, Entry, Part
from torch import Tensor, nn

import windtunnel
import windtunnel.torch

LARGE = 2
"""The plan is for a model so many times as wide as the proxy."""


def loss_of(outputs: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy over all labels."""
    return F.cross_entropy(outputs.flatten(0, -2), labels.flatten())


def constant(entry: Entry) -> float:
    """Validation loss of the best constant: the logarithms of the training labels' shares."""
    train, valid, _ = entry.data()
    counts = torch.bincount(train[1].flatten()).float()
    return loss_of((counts / counts.sum()).log().expand(valid[1].numel(), -1), valid[1]).item()


def batches(part: Part, steps: int, size: int) -> Iterator[Part]:
    """Batches drawn with replacement, the same at every call."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        chosen = torch.randint(0, len(part[0]), (size,), generator=generator)
        yield part[0][chosen], part[1][chosen]


def plain_adam(entry: Entry) -> float:
    """Validation loss of the module's own start, trained by torch's Adam at the best of three rates."""
    train, valid, _ = entry.data()
    losses = []
    for rate in (0.003, 0.01, 0.03):
        torch.manual_seed(0)
        model = entry.build(LARGE * entry.width)
        optimizer = torch.optim.Adam([value for value in model.parameters() if value.requires_grad], rate)
        for inputs, labels in batches(train, entry.steps, 32):
            optimizer.zero_grad()
            loss_of(model(inputs), labels).backward()
            optimizer.step()
        with torch.no_grad():
            losses.append(loss_of(model(valid[0]), valid[1]).item())
    return min(losses)


def loaded(entry: Entry, state: dict[str, Tensor]) -> nn.Module:
    """A fresh module that knows no plan, with this state, by way of a file."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    torch.manual_seed(9)
    model = entry.build(LARGE * entry.width)
    model.load_state_dict(torch.load(file, weights_only=True))
    return model


@pytest.mark.parametrize("name", ENTRIES)
def test_a_module_learns_by_its_plan_and_is_the_same_after_loading(name: str) -> None:
    """A plan's training closes nine tenths of the gap that plain Adam closes, from the loss of a constant downwards.

    Adam has the same steps, batches and examples, and the best of three rates by the loss that is compared, which is to its
    advantage.
    """
    entry = ENTRIES[name]
    train, valid, _ = entry.data()
    torch.manual_seed(0)
    result = windtunnel.tune(
        model=entry.build,
        base_width=entry.width,
        data=entry.data(),
        progress=False,
        inner={"steps": entry.steps, "batch_size": 32, "seeds": 2},
        outer={"steps": 1},
        **entry.more,
    )
    assert result.coordinate_check is not None
    assert result.coordinate_check.verdict != "fail", result.coordinate_check
    plan = result.plan(width=LARGE * entry.width, force=True)

    torch.manual_seed(3)
    model = entry.build(LARGE * entry.width)
    optimizer = windtunnel.torch.optimizer(model, plan)
    schedule = windtunnel.torch.schedule(optimizer, plan)
    for inputs, labels in batches(train, entry.steps, 32):
        optimizer.zero_grad()
        loss_of(model(inputs), labels).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        outputs = model(valid[0])
        flown = loss_of(outputs, valid[1]).item()
    nothing, adam = constant(entry), plain_adam(entry)
    assert math.isfinite(flown)
    assert adam < 0.95 * nothing, f"plain Adam learns nothing here: {adam:.3f} against {nothing:.3f}"
    assert nothing - flown >= 0.9 * (nothing - adam), f"plan {flown:.3f}, Adam {adam:.3f}, a constant {nothing:.3f}"

    for again in (loaded(entry, model.state_dict()), windtunnel.torch.fold(copy.deepcopy(model))):
        with torch.no_grad():
            torch.testing.assert_close(again(valid[0]), outputs, rtol=1e-4, atol=1e-5)
