"""The sampler arm: proposes points by Optuna and the weighted mean of the best, from everything judged so far.

The sampler is made anew for each outer step from the observations, so only the observations are saved.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import optuna
import torch
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import TPESampler
from optuna.trial import create_trial
from torch import Tensor

ELITES = (0.1, 0.2)
"""Shares of the points over which a consensus is taken: a narrow one and a wide one."""
FEWEST = 3
"""Least number of points in a consensus, if there are as many."""
STARTUP = 8
"""Number of judged points from which the sampler fits its model; before, it draws uniformly."""


@contextmanager
def _quietly() -> Iterator[None]:
    """Context that silences Optuna's message about every study and its warnings about experimental arguments."""
    logger = logging.getLogger("optuna")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def propose(points: Tensor, levels: Tensor, low: Tensor, high: Tensor, count: int, seed: int) -> Tensor:
    """New points inside a box, by a tree-structured Parzen estimator (Bergstra et al. 2011), [count, k].

    Args:
        points: judged points in the box, [n, k].
        levels: losses of the points, [n]; infinite where a run diverged.
        low: lower corner, [k].
        high: upper corner, [k].
        count: number of points; each takes the earlier ones into account (constant liar).
        seed: seed of the sampler, below 2^32; the same seed and observations give the same points.
    """
    names = [str(index) for index in range(points.shape[1])]
    ends: dict[str, BaseDistribution] = {
        name: FloatDistribution(least, most) for name, least, most in zip(names, low.tolist(), high.tolist(), strict=True)
    }
    with _quietly():
        study = optuna.create_study(sampler=TPESampler(seed=seed, constant_liar=True, n_startup_trials=STARTUP))
        study.add_trials(
            [
                create_trial(params=dict(zip(names, point, strict=True)), distributions=ends, value=level)
                for point, level in zip(points.tolist(), levels.tolist(), strict=True)
            ]
        )
        trials = [study.ask(ends) for _ in range(count)]
    return torch.tensor([[trial.params[name] for name in names] for trial in trials], dtype=torch.float64)


def consensus(points: Tensor, levels: Tensor, share: float) -> Tensor:
    """Mean of the best points, [k], weighted by the logarithm of their rank as CMA-ES weighs its parents.

    The best of many noisy points is lucky; their mean is not. Along coordinates that hardly matter the noise averages out;
    along coordinates that matter the mean lies where the good points agree (Hansen & Ostermeier 2001, equation 3; "genetic
    repair", Beyer 1995).

    Args:
        points: judged points, [n, k], n >= 1.
        levels: losses of the points, [n].
        share: share of the points that enter the mean.
    """
    count = min(len(points), max(FEWEST, int(share * len(points))))
    best = levels.argsort(stable=True)[:count]
    weights = torch.log(torch.tensor(count + 0.5)) - torch.log(torch.arange(1, count + 1, dtype=torch.float64))
    return (weights / weights.sum()) @ points[best]
