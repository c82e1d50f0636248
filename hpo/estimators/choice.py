"""Which estimator a job gets, with the settings in force and the reason."""

from hpo.estimators.best_response import BestResponse
from hpo.estimators.es import EvolutionStrategies
from hpo.estimators.finite_difference import FiniteDifference
from hpo.estimators.forward import Forward
from hpo.estimators.greedy import Greedy
from hpo.estimators.implicit import Implicit
from hpo.estimators.pes import PersistentEvolutionStrategies
from hpo.estimators.protocol import Estimator
from hpo.estimators.reverse import Reverse
from hpo.estimators.truncated import Truncated
from hpo.estimators.unrolled import Unrolled
from hpo.sizing.memory import at_once, plain_members, storage_in_force
from hpo.sizing.sizes import Sizes
from windtunnel.types import EstimatorChoice, EstimatorName, JobSpec
from windtunnel.types.method import MethodSpec, Solver

GIBIBYTE = 2**30
SOLVERS: dict[Solver, str] = {
    "cg": "{} steps of conjugate gradients",
    "neumann": "{} terms of the Neumann series",
    "nystrom": "the Nystrom approximation of rank {}",
}


def choose_estimator(spec: JobSpec, max_bytes: int, population: int | None = None) -> tuple[Estimator, EstimatorChoice]:
    """The estimator of a job, and why it was chosen.

    Args:
        spec: the job.
        max_bytes: memory for populations; decides what ``checkpointing: auto`` means.
        population: members that its plain runs train as one computation, at most; None for what the spec's size says.
    """
    method = spec.method
    kind: EstimatorName = "higher" if method.uses_higher else method.estimator
    if kind == "auto" and spec.optimizer.info.pathwise:
        return _sampler_alone(spec, max_bytes)
    if kind in ("auto", "reverse"):
        return _reverse(spec, max_bytes)
    found, reason = _as_asked(kind, spec, population or plain_members(Sizes.of(spec, spec.info)))
    choice = EstimatorChoice(
        estimator=kind,
        engine="higher" if kind == "higher" else "population",
        adjoint="exact" if kind in ("higher", "truncated", "greedy") else "none",
        checkpointing="graph" if kind == "higher" else "none",
        reason=f"asked for; {reason}{_beside(spec)}",
    )
    return found, choice


def _reverse(spec: JobSpec, max_bytes: int) -> tuple[Estimator, EstimatorChoice]:
    method = spec.method
    storage = storage_in_force(at_once(Sizes.of(spec, spec.info)), max_bytes)
    every = {"none": "every", "sqrt": "about every sqrt(steps)-th"}.get(str(storage), f"every {storage}-th")
    kept = f"keeps {every} optimizer state"
    memory = "as asked for" if method.checkpointing != "auto" else f"by {max_bytes / GIBIBYTE:.3g} GiB of memory"
    asked = "asked for" if method.estimator != "auto" else "chosen by auto: every hyperparameter of the space is continuous"
    choice = EstimatorChoice(
        estimator="reverse",
        engine="population",
        adjoint=method.adjoint_kind,
        checkpointing=str(storage),
        reason=f"{asked}, and its cost does not grow with their number; {kept}, {memory}{_beside(spec)}",
    )
    return Reverse(storage, method.adjoint_kind, method.growth_budget), choice


def _sampler_alone(spec: JobSpec, max_bytes: int) -> tuple[Estimator, EstimatorChoice]:
    """What ``auto`` is under an optimizer whose updates have no derivative to follow; nobody asks the estimator."""
    estimator, _ = _reverse(spec, max_bytes)
    reason = f"chosen by auto: its sampler alone, without gradients; {spec.optimizer.info.pathwise}"
    choice = EstimatorChoice(estimator="auto", engine="population", adjoint="none", checkpointing="none", reason=reason)
    return estimator, choice


def _as_asked(kind: EstimatorName, spec: JobSpec, population: int) -> tuple[Estimator, str]:
    """Any estimator but reverse, and what there is to know about it in a few words."""
    method, steps = spec.method, spec.inner.steps
    found: Estimator
    match kind:
        case "auto" | "reverse":
            raise ValueError(f"estimator {kind!r} is chosen with its memory")
        case "higher":
            found, why = Unrolled(), "it differentiates the whole unrolled graph, one seed at a time"
        case "forward":
            found, why = Forward(method.samples), _of_forward(method)
        case "truncated":
            found, why = Truncated(method.window_steps), _of_truncated(method.window_steps, steps)
        case "greedy":
            found = Greedy()
            why = "it judges each step by the validation loss right after it, so what helps only later does not count"
        case "implicit":
            found = Implicit(method.solver_kind, method.iterations, method.diagonal)
            solver = SOLVERS[method.solver_kind].format(method.iterations)
            why = f"it takes the trained weights as stationary and solves by {solver}, damping {method.diagonal:g}"
        case "es":
            found = EvolutionStrategies(method.pairs, method.width, population)
            why = f"{_pairs(method)} of runs a seed; it differentiates nothing, so chaos does not inflate it"
        case "pes":
            found = PersistentEvolutionStrategies(method.pairs, method.width, method.window_steps, population)
            why = f"{_pairs(method)} of particles a seed, perturbed anew every {method.window_steps} steps"
        case "finite_difference":
            found = FiniteDifference(method.width, population)
            why = f"two runs a seed for each hyperparameter, sigma {method.width:g} to either side"
        case "stn" | "delta_stn":
            found, why = BestResponse(kind, method.best_response_settings), _of_best_response(spec)
    return found, why


def _of_forward(method: MethodSpec) -> str:
    if method.samples is None:
        return "one tangent for each hyperparameter is exact; time grows with their number, memory not with the steps"
    tangents = f"{method.samples} random tangent" + ("" if method.samples == 1 else "s")
    return f"{tangents} a seed: unbiased, noisier the more hyperparameters there are; memory does not grow with the steps"


def _of_truncated(window: int, steps: int) -> str:
    if window >= steps:
        return f"a window of {window} covers all {steps} steps, so it is exact"
    return f"it goes back through the last {window} of {steps} steps, and what a hyperparameter did before is left out"


def _beside(spec: JobSpec) -> str:
    """What tunes the regularisers of a job whose estimator tunes the rest."""
    kind = spec.method.best_response
    return "" if kind is None else f"; in turns with it {kind} tunes the regularisers: {_of_best_response(spec)}"


def _of_best_response(spec: JobSpec) -> str:
    settings, steps = spec.method.best_response_settings, spec.inner.steps
    looks = settings.looks(0, steps, steps)
    return (
        f"the weights learn to answer to the regularisers while they train, and {looks} validation steps move those in one "
        f"run, after a warm-up of {settings.warmup_steps(steps)} updates"
    )


def _pairs(method: MethodSpec) -> str:
    return f"{method.pairs} antithetic pair" + ("" if method.pairs == 1 else "s") + f", sigma {method.width:g},"
