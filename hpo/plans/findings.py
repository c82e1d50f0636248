"""Findings: values of a proxy and the evidence on them, which a plan is made from. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from windtunnel.types.ladders import LadderCertificate
from windtunnel.types.responses import BestResponseReport
from windtunnel.types.results import CoordinateCheck, LossEstimate, Provenance, ProxyFacts, TuneResult
from windtunnel.types.spec import JobSpec
from windtunnel.types.translations import HorizonFit, NoiseScale


@dataclass(frozen=True)
class Findings:
    """Values of a proxy, from a finished job or from runs of one's own, with everything that was measured on them."""

    spec: JobSpec
    """The proxy, its optimizer and its run."""
    values: Mapping[str, float]
    """Label (``learning_rate.hidden``) -> value in the proxy."""
    proxy: ProxyFacts
    coordinate_check: CoordinateCheck | None
    provenance: Provenance
    ladder: LadderCertificate | None = None
    noise_scale: NoiseScale | None = None
    horizon: HorizonFit | None = None
    best_response: BestResponseReport | None = None
    validation: LossEstimate | None = None
    """Loss of the proxy with these values; None for values that no job found."""
    gradient_evaluations: float | None = None
    """Cost of the tuning in gradients of a batch; None for values that no job found."""
    unmeasured: tuple[str, ...] = ()
    """Sentences on what the giver of the values left open."""

    @classmethod
    def of(cls, result: TuneResult) -> Self:
        """The findings of a finished job at its best point."""
        return cls(
            spec=result.spec,
            values=result.best.hyperparameters,
            proxy=result.proxy,
            coordinate_check=result.coordinate_check,
            provenance=result.provenance,
            ladder=result.ladder,
            noise_scale=result.noise_scale,
            horizon=result.horizon,
            best_response=result.best_response,
            validation=result.best.validation,
            gradient_evaluations=result.cost.gradient_evaluations,
        )

    @property
    def tuned(self) -> bool:
        """Whether a job found the values."""
        return self.validation is not None
