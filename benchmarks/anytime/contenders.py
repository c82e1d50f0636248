"""Contenders of the comparison: each yields its incumbent after every step, with its cost.

All search the same box of unconstrained coordinates (log, logit). The samplers pay one plain run per trial, on one seed for
all trials of a repeat, and their first trial is the job's start; a run that diverged or ended above the ceiling counts as
the ceiling, so that no sampler has to model an infinity.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hpo.errors import Diverged
from hpo.study import Study
from hpo.training.evaluation import SeedPath, judge

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

TRIAL = 101
"""Purpose, in the seed path, of trials: no run of a job has it."""


@dataclass(frozen=True)
class Incumbent:
    """The point that a contender would return now."""

    cost: float
    """Cost so far in run-equivalents: gradient evaluations over those of one plain run."""
    point: Tensor
    """Unconstrained coordinates, [k]."""
    loss: float
    """Loss of the point by the contender's own runs, nats."""


Contender = Callable[[Study, int], Iterator[Incumbent]]
"""Function (study, budget in run-equivalents) -> incumbents of rising cost, until the budget is spent."""


def ceiling(study: Study) -> float:
    """Loss, nats, that replaces those of useless runs: twice the loss of uniform guessing."""
    return 2 * math.log(study.data.classes)


def losses_of(study: Study, points: Tensor, seeds: list[SeedPath]) -> Tensor:
    """Validation losses of plain runs, at most the ceiling, [points, seeds]."""
    found = judge(study.problem, points, seeds, study.population, lambda _: None).validation
    return found.clamp(max=ceiling(study))


def windtunnel(study: Study, budget: int) -> Iterator[Incumbent]:
    """Yield this project's incumbent after each outer step; it has beaten the one before on common seeds."""
    try:
        for step in study:
            believed = math.inf if step.loss is None else step.loss
            yield Incumbent(step.run_equivalents, study.space.from_dict(step.hyperparameters), believed)
            if step.run_equivalents >= budget:
                return
    except Diverged:
        # The job gives up; what it has found stays.
        return


def random_search(study: Study, budget: int) -> Iterator[Incumbent]:
    """Yield the incumbents of random search: the start, then points drawn uniformly from the box, in populations."""
    space, repeat = study.space, study.spec.seed
    share = torch.rand(budget - 1, len(space), generator=torch.Generator().manual_seed(repeat), dtype=torch.float64)
    points = torch.cat([space.start()[None], space.low + share * (space.high - space.low)])
    best, loss = points[0], math.inf
    for begin in range(0, budget, study.population):
        chunk = points[begin : begin + study.population]
        for place, found in enumerate(losses_of(study, chunk, [trial_seed(study)])[:, 0].tolist()):
            if found < loss:
                best, loss = chunk[place], found
            yield Incumbent(begin + place + 1, best, loss)


def trial_seed(study: Study) -> SeedPath:
    """Seed path of every trial of a repeat."""
    return (study.spec.seed, TRIAL, 0, 0)


def sampled(make_sampler: Callable[[Study], "BaseSampler"]) -> Contender:
    """A contender that runs one of Optuna's samplers, one trial after another."""

    def contender(study: Study, budget: int) -> Iterator[Incumbent]:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        space = study.space
        ends = dict(zip(space.labels, zip(space.low.tolist(), space.high.tolist(), strict=True), strict=True))
        search = optuna.create_study(sampler=make_sampler(study))
        search.enqueue_trial(dict(zip(space.labels, space.start().tolist(), strict=True)))
        best, loss = space.start(), math.inf
        for number in range(budget):
            trial = search.ask()
            coordinates = [trial.suggest_float(label, *ends[label]) for label in space.labels]
            point = torch.tensor(coordinates, dtype=torch.float64)
            found = float(losses_of(study, point[None], [trial_seed(study)]))
            search.tell(trial, found)
            if found < loss:
                best, loss = point, found
            yield Incumbent(number + 1, best, loss)

    return contender


def tpe(study: Study) -> "BaseSampler":
    """Optuna's tree-structured Parzen estimator (Bergstra et al. 2011)."""
    from optuna.samplers import TPESampler

    return TPESampler(seed=study.spec.seed)


def cma_es(study: Study) -> "BaseSampler":
    """Optuna's CMA-ES (Hansen & Ostermeier 2001), from the start, a sixth of the box wide."""
    from optuna.samplers import CmaEsSampler

    start = dict(zip(study.space.labels, study.space.start().tolist(), strict=True))
    with warnings.catch_warnings():
        # Optuna 4.9 deprecates x0 without a replacement of its own; 6.0 is to remove it.
        warnings.filterwarnings("ignore", category=FutureWarning, message=".x0. has been deprecated")
        return CmaEsSampler(x0=start, seed=study.spec.seed)


def gaussian_process(study: Study) -> "BaseSampler":
    """Optuna's Bayesian optimization by a Gaussian process with log expected improvement."""
    from optuna.samplers import GPSampler

    return GPSampler(seed=study.spec.seed)


CONTENDERS: dict[str, Contender] = {
    "Windtunnel": windtunnel,
    "TPE": sampled(tpe),
    "GP": sampled(gaussian_process),
    "CMA-ES": sampled(cma_es),
    "random search": random_search,
}
