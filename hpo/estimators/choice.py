"""Choice of a job's estimator, with the settings in force and the reason."""

from hpo.estimators.facts.registry import facts
from hpo.estimators.protocol import Estimator
from hpo.estimators.registry import estimator_kind
from hpo.footprint.memory import at_once, plain_members
from hpo.footprint.sizes import Sizes
from windtunnel.types import EstimatorChoice, JobSpec


def choose_estimator(spec: JobSpec, max_bytes: int, population: int | None = None) -> tuple[Estimator, EstimatorChoice]:
    """Estimator of a job, and the choice as a result shows it.

    Args:
        spec: the job.
        max_bytes: memory for populations, bytes; decides what ``checkpointing: auto`` means.
        population: most members that plain runs train as one computation; None: chosen by the size of the job.

    Raises:
        Refused: no estimator has that name.
    """
    name, sizes = spec.method.estimator, Sizes.of(spec, spec.info)
    made = estimator_kind(name).made(sizes, max_bytes, population or plain_members(sizes))
    own, together = facts(name), at_once(sizes)
    storage = own.storage(together, max_bytes)
    choice = EstimatorChoice(
        estimator=own.in_force(spec),
        engine=own.engine,
        adjoint=own.adjoint(spec),
        checkpointing=own.kept if storage is None else str(storage.states),
        states_in="device" if storage is None else storage.place,
        reason=own.reason(together, max_bytes) + _beside(together, max_bytes),
    )
    return made, choice


def _beside(sizes: Sizes, max_bytes: int) -> str:
    """Sentence about the best response that tunes the regularisers in such a job; empty if there is none."""
    name = sizes.spec.method.best_response
    return "" if name is None else f"; in turns with it {name} tunes the regularisers: {facts(name).why(sizes, max_bytes)}"
