"""Copies of the parameters in an optimizer's state. Imports no torch."""

from windtunnel.types.spec import JobSpec


def state_copies(spec: JobSpec) -> int:
    """Copies of the parameters in the optimizer's state."""
    return spec.optimizer.info.state
