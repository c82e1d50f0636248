"""``python -m benchmarks.peers.measure``: measures one contender's time, memory and derivatives, and prints JSON."""

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass

import torch

from benchmarks.engine import reset_peak, resident
from benchmarks.peers.contenders import CONTENDERS, Outcome, Work, torch_loop
from benchmarks.peers.problem import MODELS, OPTIMIZERS, STEPS, Optimizer, build

LEAST_RUNS = 3
LEAST_SECONDS = 3.0


@dataclass(frozen=True)
class Measured:
    """Time, memory and outcome of one contender."""

    seconds: float
    """Processor seconds of the fastest run."""
    torch_seconds: float
    """Processor seconds of the fastest plain torch run; both kinds alternate in the same process."""
    megabytes: float
    """Growth of the resident size over that before the first run, megabytes."""
    outcome: Outcome


def timed(work: Work) -> tuple[float, Outcome]:
    """(seconds of processor time, outcome) of one run, on one thread without input or output."""
    began = time.process_time()
    outcome = work()
    return time.process_time() - began, outcome


def measure(model: str, optimizer: Optimizer, contender: str, steps: int = STEPS) -> Measured:
    """Measurement of one contender in this process, on one thread, after a short warm-up run of the same kind."""
    torch.set_num_threads(1)
    run, brief = build(model, optimizer, steps), build(model, optimizer, 2)
    plain, work = torch_loop(run), CONTENDERS[contender](run)
    torch_loop(brief)()
    CONTENDERS[contender](brief)()
    reset_peak()
    before = resident("VmRSS")
    seconds, outcome = timed(work)
    megabytes = (resident("VmHWM") - before) / 1e6
    torch_seconds = math.inf
    runs, started = 0, time.perf_counter()
    while runs < LEAST_RUNS or time.perf_counter() - started < LEAST_SECONDS:
        torch_seconds = min(torch_seconds, timed(plain)[0])
        seconds = min(seconds, timed(work)[0])
        runs += 1
    return Measured(seconds, torch_seconds, megabytes, outcome)


def main() -> None:
    """Print the measurement that the parent process asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=list(MODELS), required=True)
    parser.add_argument("--optimizer", choices=list(OPTIMIZERS), required=True)
    parser.add_argument("--contender", choices=list(CONTENDERS), required=True)
    asked = parser.parse_args()
    print(json.dumps(asdict(measure(asked.model, asked.optimizer, asked.contender))))


if __name__ == "__main__":
    main()
