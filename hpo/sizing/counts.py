"""Copies of the parameters in an optimizer's state. Imports no torch."""

from windtunnel.types.spec import JobSpec

STATE = {"sgd": 2, "adam": 3, "adamw": 3}
"""Copies of the parameters in an optimizer's state, the parameters themselves included."""


def state_copies(spec: JobSpec) -> int:
    """Copies of the parameters in the optimizer's state."""
    return STATE[spec.optimizer.name]
