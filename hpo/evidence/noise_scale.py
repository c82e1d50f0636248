"""Measures a proxy's gradient noise scale along its runs: the batch size from which a larger one stops to pay."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from hpo.footprint.measurements import NOISE_BATCHES, NOISE_RUNS, NOISE_TIMES
from hpo.seeding import Purpose, Stream, generator_of
from hpo.training.problem import InnerProblem, OnStep, silent
from windtunnel.types.translations import NoiseScale

Z = 1.96


def noise_scale_steps(steps: int) -> int:
    """Member-steps of a measurement, for progress bars."""
    return NOISE_RUNS * (round(NOISE_TIMES[-1] * steps) + len(NOISE_TIMES) * NOISE_BATCHES)


def noise_scale(
    problem: InnerProblem,
    point: Tensor,
    *,
    runs: int = NOISE_RUNS,
    batches: int = NOISE_BATCHES,
    times: Sequence[float] = NOISE_TIMES,
    on_step: OnStep = silent,
) -> NoiseScale:
    """The gradient noise scale tr(Sigma) / |G|^2 at a point of the search space, in examples.

    At each time of each run, ``batches`` batches of the run's own size b are drawn with replacement. With their
    gradients g_j, mean g and V = sum |g_j - g|^2 / (batches - 1), unbiased estimates are tr(Sigma) = b V and
    |G|^2 = |g|^2 - V / batches. Both are averaged over runs before one is divided by the other.

    Args:
        problem: the inner problem.
        point: unconstrained coordinates, [k].
        runs: at least 2, for the interval.
        batches: at least 2.
        times: rising shares of the run, above 0 and up to 1.
        on_step: called with the number of member-steps.

    Raises:
        ValueError: fewer than two runs or batches.
    """
    if runs < 2 or batches < 2:
        raise ValueError(f"a noise scale needs at least two runs and two batches, got {runs} and {batches}")
    paths = [(problem.spec.seed, Purpose.NOISE_SCALE, 0, index) for index in range(runs)]
    draw = problem.draw(paths)
    table = problem.coefficients(point.expand(runs, -1))
    state, done = problem.initial(draw, table), 0
    noises: list[Tensor] = []
    signals: list[Tensor] = []
    generators = [generator_of((*path, Stream.MEASUREMENT)) for path in paths]
    for time in times:
        stop = max(1, round(time * problem.steps))
        state = problem.reach(state, table, draw, done, stop, on_step)
        done = stop
        total, squares = torch.zeros_like(state[0]), state[0].new_zeros(runs, dtype=torch.float64)
        for _ in range(batches):
            index = torch.stack([problem.examples.drawn(problem.batch_size, each) for each in generators]).to(
                problem.device
            )
            own = problem.batch(draw, problem.at_step(stop - 1))
            sources = None if problem.sources is None else problem.sources[index]
            inputs, labels = problem.examples.take(index)
            batch = replace(own, inputs=inputs, labels=labels, sources=sources)
            gradient = problem.gradient(state[0], table, batch)
            total += gradient
            squares += gradient.double().square().sum(dim=1)
            on_step(runs)
        mean = total.double().square().sum(dim=1) / batches**2
        scatter = (squares - batches * mean) / (batches - 1)
        noises.append(problem.batch_size * scatter)
        signals.append(mean - scatter / batches)
    return _summary(torch.stack(noises), torch.stack(signals), times, batches)


def _summary(noises: Tensor, signals: Tensor, times: Sequence[float], batches: int) -> NoiseScale:
    """The noise scale and its interval, from estimates [times, runs] of tr(Sigma) and |G|^2."""
    runs = noises.shape[1]
    pairs = list(zip(noises, signals, strict=True))
    at = [_ratio(noise, signal) for noise, signal in pairs]
    whole = _mean(at)
    # Leave one run out, in logarithms: a ratio of means is skewed.
    kept = [[run for run in range(runs) if run != left] for left in range(runs)]
    parts = [_mean([_ratio(noise[rows], signal[rows]) for noise, signal in pairs]) for rows in kept]
    known = [math.log(part) for part in parts if part is not None and part > 0]
    if whole is None or whole <= 0 or len(known) < runs:
        # The gradient drowns in noise. Its size is below twice what noise leaves of an average over all batches.
        bound = [_ratio(noise, signal.clamp(min=0) + 2 * noise / (runs * batches)) for noise, signal in pairs]
        return NoiseScale(
            examples=None, low=_mean(bound) or 0.0, high=None, times=list(times), at=at, runs=runs, batches=batches
        )  # fmt: skip
    centre = sum(known) / runs
    error = math.sqrt((runs - 1) / runs * sum((value - centre) ** 2 for value in known))
    return NoiseScale(
        examples=whole,
        low=whole * math.exp(-Z * error),
        high=whole * math.exp(Z * error),
        times=list(times),
        at=at,
        runs=runs,
        batches=batches,
    )


def _ratio(noise: Tensor, signal: Tensor) -> float | None:
    below = float(signal.mean())
    return float(noise.mean()) / below if below > 0 else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None
