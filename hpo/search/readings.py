"""Sums up a job's diagnostics over its outer steps: chaos, diverged runs, early stopping."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hpo.estimators.protocol import Estimate
from hpo.training.smoothness import Smoothness
from windtunnel.types.results import ChaosReading, EarlyStopping

PARTS = 20
"""Number of equal parts of a run in the profile of its chaos."""


@dataclass(frozen=True)
class Chaos:
    """Diagnostics of the bounded adjoint in one outer step, averaged over members."""

    bounded_share: float
    mean_scale: float
    exponent: float | None = None
    """Mean of ln(growth of the adjoint) over backward steps, before bounding."""
    profile: tuple[float, ...] = ()
    """Share of bounded steps in each of ``PARTS`` equal parts of the run, first to last."""

    @classmethod
    def read(cls, estimate: Estimate, sound: Tensor) -> "Chaos | None":
        """Diagnostics over the members that did not diverge; None for an exact adjoint, or if every member diverged.

        Args:
            estimate: the hypergradients.
            sound: True for each member that did not diverge, [members].
        """
        if estimate.bounded_share is None or estimate.mean_scale is None or not sound.any():
            return None
        found = cls(float(estimate.bounded_share[sound].mean()), float(estimate.mean_scale[sound].mean()))
        if estimate.growth is not None:
            growth = estimate.growth[:, sound].double()
            # An adjoint of 0 has no finite growth factor: such steps are left out.
            found = replace(found, exponent=float(growth[growth.isfinite()].mean()) if growth.isfinite().any() else None)
        if estimate.scales is not None:
            bounded = (estimate.scales[:, sound] < 1).double().mean(dim=1)
            parts = [bounded[len(bounded) * part // PARTS : len(bounded) * (part + 1) // PARTS] for part in range(PARTS)]
            found = replace(found, profile=tuple(float(part.mean()) if len(part) else 0.0 for part in parts))
        return found


@dataclass(frozen=True)
class EarlyStopped:
    """Counts of early stopping over one or more races."""

    candidates: int = 0
    """Points that raced; one that races twice counts twice."""
    stopped: int = 0
    """Points that were ended because they could not win."""
    diverged: int = 0
    """Points that were ended because the loss of a run was not finite."""
    steps: int = 0
    """Member-steps saved: those that the ended runs had still to do."""

    def __add__(self, other: "EarlyStopped") -> "EarlyStopped":
        """Sum of two counts."""
        return EarlyStopped(
            self.candidates + other.candidates,
            self.stopped + other.stopped,
            self.diverged + other.diverged,
            self.steps + other.steps,
        )


NOTHING_STOPPED = EarlyStopped()


@dataclass(frozen=True)
class Readings:
    """Sums of a job's diagnostics over its outer steps."""

    dropped: int = 0
    early: EarlyStopped = NOTHING_STOPPED
    readings: int = 0
    bounded_share: float = 0.0
    mean_scale: float = 0.0
    exponents: int = 0
    exponent: float = 0.0
    profile: tuple[float, ...] = ()
    direction: tuple[float, ...] = ()
    """Last mean hypergradient, one number a coordinate; empty before the first."""

    def dropping(self, members: int) -> "Readings":
        """A copy with ``members`` more diverged members."""
        return replace(self, dropped=self.dropped + members)

    def stopping(self, early: EarlyStopped) -> "Readings":
        """A copy with the early stopping of one more outer step added."""
        return replace(self, early=self.early + early)

    def adding(self, chaos: Chaos | None, gradient: Tensor | None = None) -> "Readings":
        """A copy with the chaos of one more outer step added, and its mean hypergradient [k] kept; unchanged for None."""
        if chaos is None:
            return self
        found = replace(
            self,
            direction=self.direction if gradient is None else tuple(gradient.tolist()),
            readings=self.readings + 1,
            bounded_share=self.bounded_share + chaos.bounded_share,
            mean_scale=self.mean_scale + chaos.mean_scale,
        )
        if chaos.exponent is not None:
            found = replace(found, exponents=self.exponents + 1, exponent=self.exponent + chaos.exponent)
        if chaos.profile:
            sums = torch.tensor(self.profile or (0.0,) * PARTS, dtype=torch.float64)
            added = sums + torch.tensor(chaos.profile, dtype=torch.float64)
            found = replace(found, profile=tuple(added.tolist()))
        return found

    def early_stopping(self, steps: int) -> EarlyStopping:
        """Early stopping over the whole job, as a wire type; ``steps`` are the inner steps of a full run."""
        early = self.early
        return EarlyStopping(
            candidates=early.candidates,
            stopped=early.stopped,
            diverged=early.diverged,
            saved_steps=early.steps,
            saved_run_equivalents=early.steps / steps,
        )

    def chaos(self, smooth: Smoothness | None = None) -> ChaosReading | None:
        """Mean chaos over outer steps, as a wire type, with the smoothness measured; None if no adjoint was bounded."""
        if self.readings == 0:
            return None
        return ChaosReading(
            bounded_share=self.bounded_share / self.readings,
            mean_scale=self.mean_scale / self.readings,
            growth_exponent=self.exponent / self.exponents if self.exponents else None,
            bounded_profile=tuple(share / self.readings for share in self.profile),
            curvature=None if smooth is None else smooth.curvature,
            sign_agreement=None if smooth is None else smooth.agreement,
        )
