"""TuneResult: what a finished job found, with what it cost and what may be trusted."""

from typing import Literal

from pydantic import Field

from windtunnel.types import modules
from windtunnel.types.base import Response
from windtunnel.types.ladders import LadderCertificate
from windtunnel.types.responses import BestResponseReport
from windtunnel.types.scaling import ScalingReport
from windtunnel.types.spec import JobSpec
from windtunnel.types.translations import HorizonFit, NoiseScale

Role = modules.Role
TensorFacts = modules.TensorFacts


class LossEstimate(Response):
    """Mean loss over seeds: nats, or the squared error of a regression."""

    mean: float
    stderr: float
    seeds: int
    accuracy: float | None = None
    """Share of examples classified correctly, in [0, 1]; none for a regression."""


class PointEvaluation(Response):
    """One point of the search space judged on fresh seeds."""

    hyperparameters: dict[str, float]
    """Label (``learning_rate.hidden``, ``beta1``, ``weight_decay.layers.1.weight``) -> value."""
    validation: LossEstimate
    test: LossEstimate
    """The held-out split, which no outer step ever sees."""


class Cost(Response):
    """What the job spent."""

    run_equivalents: float
    """Gradient evaluations over the inner steps of one plain run."""
    gradient_evaluations: float
    wall_seconds: float


class ScheduleCurve(Response):
    """The learning-rate multiplier over normalised time in [0, 1]."""

    times: list[float]
    start: list[float]
    best: list[float]


class EstimatorChoice(Response):
    """Which estimator ran, and why."""

    estimator: str
    engine: str
    adjoint: str
    checkpointing: str
    reason: str


class ChaosReading(Response):
    """How chaotic the inner loop was for the bounded adjoint, averaged over outer steps."""

    bounded_share: float
    """Share of backward steps whose Hessian term was scaled down."""
    mean_scale: float
    """Mean scale s in [0, 1] of the Hessian term; 1 is the exact adjoint."""
    growth_exponent: float | None = None
    """Mean ln of the factor by which one backward step, unbounded, lengthens the adjoint; above 0 is chaos."""
    bounded_profile: tuple[float, ...] = ()
    """Share of bounded steps in each of 20 equal parts of the run, from its begin to its end; empty in older results."""


class EarlyStopping(Response):
    """What ``outer.early_stopping`` did in the races of the search."""

    candidates: int
    """That raced; one that races twice counts twice."""
    stopped: int
    """Those of them that were ended because their extrapolated loss could not win."""
    diverged: int
    """Those that were ended because a run was no number any more."""
    saved_steps: int
    """Inner steps that the ended runs still had before them."""
    saved_run_equivalents: float
    """The same in plain runs; not in the cost."""

    @property
    def sentence(self) -> str:
        """All of it in one line."""
        diverged = f", {self.diverged} more because they diverged" if self.diverged else ""
        return (
            f"{self.stopped} of {self.candidates} candidates ended early because they could not win{diverged}: "
            f"{self.saved_steps:,} inner steps saved, {self.saved_run_equivalents:.1f} runs"
        )


CertifiedPoint = Literal["start", "best"]
CertifiedThrough = Literal["run", "response"]


class CertificatePoint(Response):
    """The hypergradient at one point against finite differences, over a short run of the job in float64."""

    point: CertifiedPoint
    direction: Literal["random", "gradient"]
    """Of two directions, the one with the larger error."""
    reverse: float
    """Derivative of the validation loss along the direction, by the exact adjoint."""
    finite_difference: float
    """The same by five-point central differences of training runs."""
    relative_error: float
    """Of the two, relative to the gradient's norm, or to a thousandth of the loss where that is larger."""
    doubt: float
    """How far two neighbouring widths of the differences are apart, relative likewise."""
    steps: int
    passed: bool
    through: CertifiedThrough = "run"
    """What was differentiated: the loss after a short run, or after it the loss through a best response by the regularisers
    and the scales of their perturbations."""


class Certificate(Response):
    """Reverse against finite differences at the start and at the best point. A job that fails it has no result."""

    engine: Literal["population", "higher"]
    tolerance: float
    """Largest relative error that passes."""
    points: list[CertificatePoint]

    @property
    def sentence(self) -> str:
        """All of it in one line."""
        errors = ", ".join(
            f"{point.relative_error:.0e} at the {point.point} ({point.steps} steps"
            f"{', through the response' if point.through == 'response' else ''})"
            for point in self.points
        )
        return f"reverse against finite differences in float64: relative error {errors}; allowed {self.tolerance:.0e}"


CoordinateQuantity = Literal["activation", "change", "weight_norm", "update_norm", "kernel_change", "linearisation_error"]


class CoordinateSlope(Response):
    """Exponent of one measured size in the width, at one step: the log-log slope, mean over seeds."""

    module: str
    """Module; tensor for the norms; ``network`` for kernel and linearisation."""
    quantity: CoordinateQuantity
    step: int
    slope: float
    low: float | None = None
    """Lower end of its interval over seeds (95 %); None where there is none, as in results of older versions."""
    high: float | None = None
    verdict: Literal["pass", "inconclusive", "fail", "exempt"]
    decides: bool = False
    """Whether it takes part in the verdict of the check."""


class CoordinateCheck(Response):
    """Do activations keep their size when the width grows? It gates the transfer.

    Lists and mappings below have one value a width, the mean over seeds; those with a default are empty in results of older
    versions.
    """

    verdict: Literal["pass", "inconclusive", "fail"]
    widths: list[int]
    steps: int
    seeds: int
    learning_rate: float
    slopes: list[CoordinateSlope]
    sizes: dict[str, list[float]]
    """Module -> mean absolute change of its output since initialisation at the last step."""
    losses: list[float]
    """Training loss at the last step: under muP wider is better."""
    loss_errors: list[float] = Field(default_factory=list)
    """Standard error of the losses over seeds."""
    weight_norms: dict[str, list[float]] = Field(default_factory=dict)
    """Matrix -> its spectral norm after the last step over sqrt(fan_out / fan_in)."""
    update_norms: dict[str, list[float]] = Field(default_factory=dict)
    """Matrix -> that of its change since initialisation."""
    kernel_change: list[float] = Field(default_factory=list)
    """|K - K_0| / |K_0| of the tangent kernel K after the last step."""
    linearisation_error: list[float] = Field(default_factory=list)
    """Share of the logits' change that the model linearised at initialisation does not have: 0 lazy, 1 feature learning."""
    reasons: list[str] = Field(default_factory=list)
    """What stands against a pass, the worst first."""

    def last(self, quantity: CoordinateQuantity) -> dict[str, CoordinateSlope]:
        """Module -> exponent of a quantity after the last step."""
        return {slope.module: slope for slope in self.slopes if slope.quantity == quantity and slope.step == self.steps}


class ProxyFacts(Response):
    """The proxy that was trained."""

    tensors: list[TensorFacts]
    parameters: int
    features: int
    classes: int


class Provenance(Response):
    """Everything needed to get the same numbers again."""

    spec_sha256: str
    data_sha256: str
    versions: dict[str, str]
    threads: int
    seed: int


class TuneResult(Response):
    """The outcome of a job."""

    spec: JobSpec
    start: PointEvaluation
    """Where the outer steps began (after the scout)."""
    best: PointEvaluation
    schedule: ScheduleCurve
    estimator: EstimatorChoice
    chaos: ChaosReading | None
    """None for the exact adjoint."""
    certificate: Certificate | None = None
    """None under an optimizer that has no hypergradient through its updates, and in a result that was stored by a version
    without certificates."""
    cost: Cost
    proxy: ProxyFacts
    coordinate_check: CoordinateCheck | None
    """None under the standard parametrization, which promises nothing over widths."""
    ladder: LadderCertificate | None = None
    """None unless ``transfer.ladder`` asked for one."""
    noise_scale: NoiseScale | None = None
    """None where ``transfer.noise_scale`` is false, and in older results."""
    horizon: HorizonFit | None = None
    """None unless ``transfer.horizons`` asked for a fit."""
    scaling: ScalingReport | None = None
    """None unless ``transfer.scaling`` asked for one."""
    best_response: BestResponseReport | None = None
    """None unless a best response was trained."""
    early_stopping: EarlyStopping | None = None
    """None unless ``outer.early_stopping`` asked for it."""
    dropped_members: int
    """Training runs that diverged and were left out of every mean."""
    provenance: Provenance
