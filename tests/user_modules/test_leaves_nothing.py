"""``windtunnel.tune`` leaves nothing behind in the process: no task, no data, no module; torch keeps its threads."""

import gc
import pickle
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import windtunnel
from hpo.errors import InvalidData
from windtunnel.tasks import TASKS
from windtunnel.types import TaskInfo

FEATURES = 512
PARTS = (8, 8, 240)
LEAN: dict[str, Any] = {
    "base_width": 4,
    "parametrization": "standard",
    "transfer": {"noise_scale": False},
    "inner": {"steps": 2, "batch_size": 4, "seeds": 1},
    "outer": {"steps": 1, "finish_seeds": 2, "scout": False},
    "method": {"estimator": "reverse"},
    "search": [{"name": "learning_rate"}],
    "progress": False,
}
MODULES: "weakref.WeakSet[nn.Module]" = weakref.WeakSet()


class Net(nn.Module):
    """Two layers; one of them saves its own output for its backward pass."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(FEATURES, width), nn.Linear(width, 2)
        MODULES.add(self)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(torch.tanh(self.first(inputs)))


def data() -> list[tuple[Tensor, Tensor]]:
    """256 points, 0.5 MB."""
    points = torch.randn(sum(PARTS), FEATURES, generator=torch.Generator().manual_seed(0))
    return list(zip(points.split(PARTS), (points.sum(1) > 0).long().split(PARTS), strict=True))


def tuned() -> "weakref.ref[Tensor]":
    """The data of one call, whose result nobody keeps."""
    given = data()
    windtunnel.tune(Net, given, **LEAN)
    return weakref.ref(given[0][0])


def resident() -> float:
    """MB of memory that this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


@pytest.fixture
def threads() -> Iterator[int]:
    """A number of threads that no call below asks for."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield 3
    torch.set_num_threads(before)


def test_data_modules_and_tasks_go_with_the_result() -> None:
    names = sorted(TASKS)
    given = data()
    result = windtunnel.tune(Net, given, **LEAN)
    kept = weakref.ref(given[0][0])
    del given
    gc.collect()
    assert kept() is not None, "while the result is held its data are, for its plans"
    assert sorted(TASKS) == names and result.spec.task not in TASKS
    del result
    gc.collect()
    assert kept() is None and not MODULES


@pytest.mark.slow
def test_memory_is_flat_over_two_hundred_calls() -> None:
    for _ in range(20):  # what is imported and cached once
        tuned()
    gc.collect()
    objects, before = len(gc.get_objects()), resident()
    kept = [tuned() for _ in range(200)]
    gc.collect()
    assert all(each() is None for each in kept) and not MODULES
    # The weak references of this test are 200 objects themselves; a call that left its spec behind would leave hundreds.
    assert len(gc.get_objects()) - objects < 200 * 10
    # The data of 200 calls are 105 MB; what the allocator does not give back was 20 MB at most.
    assert resident() - before < 50
    assert all(name in TASKS.built_in for name in TASKS)


def test_torch_has_as_many_threads_as_before(threads: int) -> None:
    windtunnel.tune(Net, data(), threads=1, **LEAN)
    assert torch.get_num_threads() == threads


def test_torch_has_as_many_threads_as_before_when_it_fails(threads: int) -> None:
    with pytest.raises(InvalidData):
        windtunnel.tune(Net, data(), threads=1, loss=lambda outputs, labels: outputs.sum().item(), **LEAN)
    assert torch.get_num_threads() == threads


def test_what_is_sent_to_another_process_is_facts_alone() -> None:
    spec = windtunnel.tune(Net, data(), **LEAN).spec
    sent = pickle.loads(pickle.dumps(spec))
    assert sent == spec and type(sent.info) is TaskInfo and sent.info.module == spec.info.module
