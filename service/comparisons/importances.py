"""Importances of hyperparameters from the points that a job tried: PED-ANOVA (Watanabe et al. 2023), by Optuna.

The server computes them itself, so Optuna belongs to its extra. It is imported on first use, which
takes a quarter of a second.
"""

import logging
import warnings

from windtunnel.types.comparisons import FEWEST_POINTS, Points
from windtunnel.types.hyperparameters import coordinate


def importances(points: Points) -> dict[str, float] | None:
    """Share of each hyperparameter in being among the best tenth of the points, largest first; None for too few points.

    A value is taken in the coordinate that the search moves in (logarithm or logit), from the least to the largest tried.
    """
    judged = [row for row, loss in enumerate(points.losses) if loss is not None]
    columns = {
        label: [coordinate(label, values[row]) for row in judged] for label, values in points.hyperparameters.items()
    }
    if len(judged) < FEWEST_POINTS or not columns:
        return None
    import optuna
    from optuna.distributions import BaseDistribution, FloatDistribution
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
    from optuna.trial import create_trial

    ends: dict[str, BaseDistribution] = {label: FloatDistribution(min(each), max(each)) for label, each in columns.items()}
    logger = logging.getLogger("optuna")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it tells of every study
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an experimental class
            study = optuna.create_study()
            study.add_trials(
                [
                    create_trial(
                        params={label: column[index] for label, column in columns.items()},
                        distributions=ends,
                        value=points.losses[row],
                    )
                    for index, row in enumerate(judged)
                ]
            )
            found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    finally:
        logger.setLevel(level)
    return {label: float(share) for label, share in found.items()}
