"""TuneResult: the findings of a finished job, their cost, and the evidence that they may be trusted."""

from typing import Literal

from pydantic import Field

from windtunnel.types import tensors
from windtunnel.types.base import Response
from windtunnel.types.ladders import LadderCertificate
from windtunnel.types.responses import BestResponseReport
from windtunnel.types.scaling import ScalingReport
from windtunnel.types.spec import JobSpec
from windtunnel.types.translations import HorizonFit, NoiseScale
from windtunnel.types.verdicts import ConstantAnswer, Gain, estimate

Role = tensors.Role
TensorFacts = tensors.TensorFacts


class LossEstimate(Response):
    """Mean loss over seeds: nats, or the squared error of a regression."""

    mean: float
    stderr: float
    seeds: int
    accuracy: float | None = None
    """Share of examples classified correctly, in [0, 1]; none for a regression."""

    @property
    def words(self) -> str:
        """Mean and standard error as text."""
        return estimate(self.mean, self.stderr)


class PointEvaluation(Response):
    """One point of the search space judged on fresh seeds."""

    hyperparameters: dict[str, float]
    """Label (``learning_rate.hidden``, ``beta1``, ``weight_decay.layers.1.weight``) -> value."""
    validation: LossEstimate
    test: LossEstimate
    """Loss on the held-out test part, which no outer step ever sees."""

    def gain_over(self, start: "PointEvaluation") -> Gain:
        """Fall of the validation loss from ``start`` to this point, by the errors of both means."""
        before, after = start.validation, self.validation
        return Gain.between((before.mean, before.stderr), (after.mean, after.stderr))


class Cost(Response):
    """Cost of the job."""

    run_equivalents: float
    """Cost in plain training runs: gradient evaluations over the inner steps of one run."""
    gradient_evaluations: float
    wall_seconds: float


class ScheduleCurve(Response):
    """The learning-rate multiplier over normalised time in [0, 1]."""

    times: list[float]
    start: list[float]
    best: list[float]


class EstimatorChoice(Response):
    """Estimator that ran, and the reason."""

    estimator: str
    engine: str
    adjoint: str
    checkpointing: str
    reason: str


class ChaosReading(Response):
    """Chaos of the inner loop as the bounded adjoint met it, averaged over outer steps."""

    bounded_share: float
    """Share of backward steps whose Hessian term was scaled down."""
    mean_scale: float
    """Mean scale s in [0, 1] of the Hessian term; 1 is the exact adjoint."""
    growth_exponent: float | None = None
    """Mean natural logarithm of the factor by which an unbounded backward step lengthens the adjoint; above 0 is chaos."""
    bounded_profile: tuple[float, ...] = ()
    """Share of bounded steps in each of 20 equal parts of the run, from its start to its end; empty in older results."""


class EarlyStopping(Response):
    """Effect of ``outer.early_stopping`` on the races of the search."""

    candidates: int
    """Number of candidates that raced; a candidate that races twice counts twice."""
    stopped: int
    """Number of candidates ended early because their extrapolated loss could not win."""
    diverged: int
    """Number of candidates ended early because the loss of a run was no longer finite."""
    saved_steps: int
    """Inner steps that the ended runs did not have to run."""
    saved_run_equivalents: float
    """Saved inner steps in plain training runs; not part of the job's cost."""

    @property
    def sentence(self) -> str:
        """Summary in one line."""
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
    """Direction of the derivatives: of a random one and the gradient's, the one with the larger error."""
    reverse: float
    """Derivative of the validation loss along the direction, by the exact adjoint."""
    finite_difference: float
    """Derivative along the direction, by five-point central differences of training runs."""
    relative_error: float
    """Difference of the two derivatives over the gradient's norm, or over a thousandth of the loss where that is larger."""
    doubt: float
    """Difference between two neighbouring step widths of the finite differences, relative to the same size."""
    steps: int
    passed: bool
    through: CertifiedThrough = "run"
    """Function that was differentiated.

    run: the loss after a short run. response: the loss after a short run through a best response, as a function of the
    regularisers and the scales of their perturbations.
    """


class Certificate(Response):
    """Reverse mode against finite differences at the start and at the best point; a job that fails it has no result."""

    engine: Literal["population", "higher"]
    tolerance: float
    """Largest relative error that passes."""
    points: list[CertificatePoint]

    @property
    def sentence(self) -> str:
        """Relative error of every point in one line."""
        errors = ", ".join(
            f"{point.relative_error:.0e} at the {point.point} ({point.steps} steps"
            f"{', through the response' if point.through == 'response' else ''})"
            for point in self.points
        )
        return f"reverse against finite differences in float64: relative error {errors}; allowed {self.tolerance:.0e}"


CoordinateQuantity = Literal["activation", "change", "weight_norm", "update_norm", "kernel_change", "linearisation_error"]


class CoordinateSlope(Response):
    """Exponent of one measured size as a power of the width, at one step: the log-log slope, mean over seeds."""

    module: str
    """Name of a module; of a tensor for the norms; ``network`` for kernel and linearisation."""
    quantity: CoordinateQuantity
    step: int
    slope: float
    low: float | None = None
    """Lower end of the 95 % interval over seeds; None without an interval, as in results of older versions."""
    high: float | None = None
    """Upper end of the 95 % interval over seeds."""
    verdict: Literal["pass", "inconclusive", "fail", "exempt"]
    decides: bool = False
    """Whether the slope counts for the verdict of the check."""


class CoordinateCheck(Response):
    """Check that activations keep their size when the width grows; a plan is refused if it fails.

    Lists and mappings have one value a width, the mean over seeds. The ones with a default are empty in results of older
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
    """Training loss at the last step; under muP it falls with the width."""
    loss_errors: list[float] = Field(default_factory=list)
    """Standard error of the losses over seeds."""
    weight_norms: dict[str, list[float]] = Field(default_factory=dict)
    """Matrix -> spectral norm after the last step, over sqrt(fan_out / fan_in)."""
    update_norms: dict[str, list[float]] = Field(default_factory=dict)
    """Matrix -> spectral norm of its change since initialisation, over sqrt(fan_out / fan_in)."""
    kernel_change: list[float] = Field(default_factory=list)
    """Relative change |K - K_0| / |K_0| of the tangent kernel K after the last step."""
    linearisation_error: list[float] = Field(default_factory=list)
    """Share of the logits' change that the model linearised at initialisation misses: 0 lazy, 1 feature learning."""
    reasons: list[str] = Field(default_factory=list)
    """Reasons against a pass, the worst first."""
    unreached: list[str] = Field(default_factory=list)
    """Tensors whose gradient is exactly 0 in every step after the first, at some width, and layers that the steps change at
    no width: each is a failure."""

    @property
    def sentence(self) -> str:
        """Verdict in one line, with the worst reason against a pass."""
        more = f" (and {len(self.reasons) - 1} more)" if len(self.reasons) > 1 else ""
        reason = f": {self.reasons[0]}{more}" if self.reasons else ""
        return f"{self.verdict} over widths {', '.join(map(str, self.widths))}{reason}"

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
    device: str = "cpu"
    """Device that trained; a GPU with its model and memory."""


class TuneResult(Response):
    """The outcome of a job."""

    spec: JobSpec
    start: PointEvaluation
    """Point at which the outer steps began, after the scout."""
    best: PointEvaluation
    gain: Gain | None = None
    """Fall of the validation loss from start to best, seed by seed; None in results of older versions."""
    constant: ConstantAnswer | None = None
    """A constant answer, which a model that has learned is better than; None in results of older versions, and where a loss
    of one's own has none."""
    schedule: ScheduleCurve
    estimator: EstimatorChoice
    chaos: ChaosReading | None
    """Chaos met by the bounded adjoint; None for the exact adjoint."""
    certificate: Certificate | None = None
    """Certificate of the hypergradient; None under an optimizer without a hypergradient through its updates, and in results
    of versions without certificates."""
    cost: Cost
    proxy: ProxyFacts
    coordinate_check: CoordinateCheck | None
    """Check of the activations over widths; None under the standard parametrization, which has no rule over widths."""
    ladder: LadderCertificate | None = None
    """Ladder of widths; None unless ``transfer.ladder`` asked for it."""
    noise_scale: NoiseScale | None = None
    """Gradient noise scale; None where ``transfer.noise_scale`` is false, and in older results."""
    horizon: HorizonFit | None = None
    """Fit over lengths of the run; None unless ``transfer.horizons`` asked for it."""
    scaling: ScalingReport | None = None
    """Grid of runs and its scaling laws; None unless ``transfer.scaling`` asked for it."""
    best_response: BestResponseReport | None = None
    """Findings of the best response; None unless the job trained one."""
    early_stopping: EarlyStopping | None = None
    """Effect of early stopping; None unless ``outer.early_stopping`` asked for it."""
    dropped_members: int
    """Training runs that diverged and were left out of every mean."""
    provenance: Provenance

    @property
    def gained(self) -> Gain:
        """Gain of the job, from the errors of both means where the result does not hold it."""
        return self.gain or self.best.gain_over(self.start)

    @property
    def verdict(self) -> str:
        """The best loss in one line: on fresh seeds, whether it is lower than at the start beyond noise, and whether it is
        no better than a constant answer."""
        start, best = self.start.validation, self.best.validation
        unlearned = "" if self.constant is None else self.constant.words_on(best.mean)
        return f"{best.words} on {best.seeds} fresh seeds, {start.words} at the start: {self.gained.words}{unlearned}"
