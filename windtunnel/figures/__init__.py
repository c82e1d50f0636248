"""Figures of a job, a result and a plan, built once: the status page, ``result.plot()`` and reports show the same.

Every function takes wire types and a theme and returns a ``plotly.graph_objects.Figure`` with a transparent background.
"""

from windtunnel.figures.comparing import importances, losses_over_cost, parallel_coordinates
from windtunnel.figures.coordinate import coordinate_check
from windtunnel.figures.job import comparison, gradients, hyperparameters, loss, schedule, scout, tuning
from windtunnel.figures.ladder import ladder
from windtunnel.figures.laws import law
from windtunnel.figures.response import regularisers, response
from windtunnel.figures.sensitivity import sensitivity

__all__ = [
    "comparison",
    "coordinate_check",
    "gradients",
    "hyperparameters",
    "importances",
    "ladder",
    "law",
    "loss",
    "losses_over_cost",
    "parallel_coordinates",
    "regularisers",
    "response",
    "schedule",
    "scout",
    "sensitivity",
    "tuning",
]
