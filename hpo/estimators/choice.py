"""Which estimator a job gets, with the settings in force and the reason."""

from typing import Literal

from hpo.estimators.protocol import Estimator
from hpo.estimators.reverse import Reverse
from hpo.estimators.unrolled import Unrolled
from windtunnel.types import EstimatorChoice, JobSpec
from windtunnel.types.sizing import checkpointing_kind

GIBIBYTE = 2**30


def choose_estimator(spec: JobSpec, max_bytes: int) -> tuple[Estimator, EstimatorChoice]:
    """The estimator of a job, and why it was chosen."""
    method = spec.method
    asked = "asked for" if method.estimator != "auto" else "chosen by auto: every hyperparameter of the space is continuous"
    if method.engine == "higher":
        reason = f"{asked}; engine higher differentiates the whole unrolled graph, one seed at a time"
        return Unrolled(), EstimatorChoice(
            estimator="reverse", engine="higher", adjoint="exact", checkpointing="graph", reason=reason
        )
    storage: Literal["none", "sqrt"] = "none" if checkpointing_kind(spec, max_bytes) == "none" else "sqrt"
    kept = "keeps every optimizer state" if storage == "none" else "keeps about every sqrt(steps)-th optimizer state"
    why = "as asked for" if method.checkpointing != "auto" else f"by {max_bytes / GIBIBYTE:.3g} GiB of memory"
    estimator = Reverse(storage, method.adjoint_kind, method.growth_budget)
    return estimator, EstimatorChoice(
        estimator="reverse",
        engine="population",
        adjoint=method.adjoint_kind,
        checkpointing=storage,
        reason=f"{asked}, and its cost does not grow with their number; {kept}, {why}",
    )
