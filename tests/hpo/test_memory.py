"""Running out of memory is an error of its own, with what would need less."""

import subprocess
import sys

import pytest

from hpo.errors import OutOfMemory
from hpo.training.memory import allocation_failures_named
from windtunnel.types import JobSpec

STARVED = """
import resource
from hpo.errors import OutOfMemory
from hpo.study import Study
from windtunnel.types import JobSpec

spec = JobSpec.model_validate({"task": "digits", "model": {"width": 128},
                               "inner": {"steps": 250, "seeds": 8, "batch_size": 16}, "outer": {"scout": False},
                               "method": {"estimator": "reverse", "checkpointing": "none"}})
study = Study(spec, threads=1, population=POPULATION)
steps = iter(study)
next(steps)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 200_000_000, used + 200_000_000))
try:
    next(steps)
except OutOfMemory as error:
    print(error.message, "|", error.hint)
else:
    print("fits")
"""


def starved(population: int | None) -> str:
    """What a job of 8 seeds says with 200 MB, where so many members train at once."""
    program = STARVED.replace("POPULATION", str(population))
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space of a process, which Linux enforces")
def test_a_population_that_does_not_fit_says_so_and_what_needs_less_and_a_smaller_one_fits() -> None:
    found = starved(None)
    assert "out of memory with 8 seeds of a proxy of width 128" in found
    assert "4 need half of it" in found
    assert starved(1) == "fits\n"


def test_other_errors_pass_through() -> None:
    spec = JobSpec(task="digits")
    with pytest.raises(RuntimeError, match="something else") as error, allocation_failures_named(spec):
        raise RuntimeError("something else")
    assert not isinstance(error.value, OutOfMemory)
