"""The design of each measurement for a transfer: steps, factors, seeds, batches. Imports no torch.

The measurements do what these numbers say, and the estimate of a job (``hpo.sizing``) counts with the same ones. Widths,
batch and seeds of a coordinate check depend on the model: ``hpo.sizing.coordinate_widths``.
"""

CHECK_STEPS = 4
"""Coordinate check: optimizer updates at each width."""
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Ladder and horizons: factors on the tuned learning rate (or weight decay), each a run on every seed."""
FIT_SEEDS = 4
"""Horizons: seeds of each factor."""
NOISE_TIMES = (0.25, 0.5, 0.75)
"""Noise scale: shares of the run at which gradients are taken."""
NOISE_RUNS = 4
"""Noise scale: runs, each with a seed of its own."""
NOISE_BATCHES = 32
"""Noise scale: gradients of each run at each time."""


def noise_scale_steps(steps: int) -> int:
    """Member-steps of a measurement of the noise scale, for progress bars.

    Args:
        steps: inner steps of a run.
    """
    return NOISE_RUNS * (round(NOISE_TIMES[-1] * steps) + len(NOISE_TIMES) * NOISE_BATCHES)
