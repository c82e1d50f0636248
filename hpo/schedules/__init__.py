"""Learning-rate schedules: differentiable multipliers of normalised time, one a file.

Update t = 0 ... T-1 of a run uses the multiplier of time t + 1, so that no update has a rate of exactly zero at its start.
At a jump it uses the value before the jump: a period of n updates has the times 1 ... n of that period, its end included.

Every schedule is a function of ``time`` [T, 1] in steps, the length T of the run, and its parameters: those that can be
searched are tensors [members] (knots [members, n]), the others plain numbers. Where a schedule is continuous in a
parameter it is differentiable in it but for kinks, such as a warmup of a whole number of steps, which has one derivative on
each side.

``windtunnel.schedules`` evaluates the same schedules as plain numbers, for the large run.
"""

from hpo.schedules.multipliers import multipliers

__all__ = ["multipliers"]
