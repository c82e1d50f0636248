"""Memory of a reverse pass by where and how many states it keeps: as estimated, and the same bits."""

import json
import subprocess
import sys

import pytest

from hpo.estimators.facts.storage import Storage, replayed, states_held, states_kept, storage_in_force
from hpo.footprint.memory import Memory
from hpo.footprint.sizes import Sizes
from windtunnel.types import JobSpec

GIB = 2**30
MEGABYTE = 1e6

SWEEPS = """
import ctypes, gc, json, sys
from pathlib import Path

import torch

torch.set_num_threads(1)
from hpo.estimators.reverse import Reverse
from hpo.study import Study
from windtunnel.types import JobSpec


def resident(field):
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field)]
    return int(line.split()[1]) * 1024


def sweep(steps, seeds, how):
    spec = JobSpec.model_validate({**fields, "inner": {**fields["inner"], "steps": steps, "seeds": seeds}})
    problem = Study(spec).problem
    draw = problem.draw([(0, seed) for seed in range(seeds)])
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    found = how.estimate(problem, problem.space.start().expand(seeds, -1), draw)
    return resident("VmHWM") - before, found.gradient.double().flatten().tolist()


fields, storages = json.loads(sys.argv[1])
sweep(12, 1, Reverse("sqrt"))
inner = fields["inner"]
print(json.dumps([sweep(inner["steps"], inner["seeds"], Reverse(states, place=place)) for states, place in storages]))
"""
FIELDS = {
    "task": "digits",
    "model": {"width": 128, "depth": 2},
    "inner": {"steps": 60, "batch_size": 4, "seeds": 4},
    "method": {"estimator": "reverse"},
}


def sized(**fields: object) -> Sizes:
    spec = JobSpec.model_validate({**FIELDS, **fields})
    return Sizes.of(spec, spec.info)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of a process's memory from /proc")
def test_every_storage_takes_the_memory_that_is_estimated_and_gives_the_same_bits() -> None:
    storages = [Storage("none"), Storage("sqrt"), Storage("log"), Storage(10), Storage("sqrt", "file")]
    given = json.dumps([FIELDS, [(each.states, each.place) for each in storages]])
    done = subprocess.run([sys.executable, "-c", SWEEPS, given], check=True, capture_output=True, text=True)
    found, memory = json.loads(done.stdout), Memory(sized())
    for storage, (peak, gradient) in zip(storages, found, strict=True):
        guess = 4 * memory.reverse(states_held(60, storage))
        assert 1 / 1.3 < guess / peak < 1.3, f"{storage}: {peak / MEGABYTE:.1f} MB, estimated {guess / MEGABYTE:.1f}"
        assert gradient == found[0][1]


def test_a_tree_of_states_grows_with_the_logarithm_of_the_steps() -> None:
    assert [states_kept(steps, "log") for steps in (8**2, 8**3, 8**4, 8**5)] == [17, 24, 31, 38]
    # 1 + log_8(T) runs forward in all: the first is the run itself.
    for depth in (2, 3, 4, 5):
        assert depth - 2 < replayed(8**depth, "log") / 8**depth < depth - 1
    # 20,000 steps of an MLP of 26,000 parameters: the states of a tree, of the root, and all of them.
    memory = Memory(sized())
    kept = [memory.state * states_kept(20_000, states) / MEGABYTE for states in ("log", "sqrt", "none")]
    assert kept[0] < 11 < 85 < kept[1] < 100 < 6_000 < kept[2]


def test_auto_takes_the_cheapest_storage_that_fits() -> None:
    sizes = sized(inner={"steps": 20_000, "batch_size": 4, "seeds": 4})
    found = [storage_in_force(sizes, limit) for limit in (256 * GIB, 4 * GIB, GIB // 4, GIB // 16)]
    assert found == [Storage("none"), Storage("sqrt"), Storage("log"), Storage("sqrt", "file")]
    asked = sized(method={"estimator": "reverse", "states_in": "file"})
    assert storage_in_force(asked, 256 * GIB) == Storage("none", "file")
    assert storage_in_force(asked, GIB // 16) == Storage("sqrt", "file")
    assert storage_in_force(sized(method={"estimator": "reverse", "states_in": "device"}), 1) == Storage("log")
