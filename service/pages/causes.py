"""Likely causes of a failure, from what the job asked for and how far it came: where to look first, in words."""

from collections.abc import Sequence

from windtunnel.types import Attempt, Job, OuterStep
from windtunnel.types.verdicts import number

NEAR_AN_END = 1.05
"""Factor within which a value counts as at the end of its range."""


def likely_causes(job: Job, steps: Sequence[OuterStep], attempts: Sequence[Attempt]) -> list[tuple[str, str]]:
    """(field of the spec or thing, what speaks for it) of each likely cause, likeliest first; [] without a failure."""
    spec = job.spec
    found: list[tuple[str, str]] = []
    match job.failure.type if job.failure else None:
        case "diverged":
            found = _of_divergence(job, steps)
        case "out_of_memory":
            runs = f"{spec.model.width} wide, {spec.model.depth} deep, {spec.inner.seeds} seeds at once"
            found = [("model, inner.seeds", runs), ("inner.batch_size", f"{spec.inner.batch_size} examples in an update")]
        case "poison" | "crashed":
            ended = [each for each in attempts if each.reason]
            found = [(f"worker {each.worker}", str(each.reason)) for each in ended[-1:]]
        case "certificate_failed":
            found = [("method.estimator", f"{spec.method.estimator}: its gradient is not that of the job's own runs")]
        case "invalid_data":
            found = [("task", f"{spec.info.title}: its data, module or loss")]
        case "refused" | "quota" | None:  # the message says all there is to say
            pass
    return found


def _of_divergence(job: Job, steps: Sequence[OuterStep]) -> list[tuple[str, str]]:
    spec = job.spec
    if steps:  # it trained: the search went too far
        last = steps[-1].hyperparameters
        rates = sorted((value, label) for label, value in last.items() if label.partition(".")[0] == "learning_rate")
        found = [(label, f"{number(value)} at outer step {steps[-1].outer_step}") for value, label in rates[-1:]]
        highest = {item.name: item.high for item in spec.search}
        for label, value in last.items():
            high = highest.get(label.partition(".")[0])  # type: ignore[call-overload]
            if high is not None and value * NEAR_AN_END >= high and label not in dict(found):
                found.append((label, f"{number(value)}, at the upper end of its range"))
        return found
    found = [("optimizer.learning_rate", f"{number(spec.optimizer.learning_rate)}, where every run began")]
    if not spec.outer.scout:
        found.append(("outer.scout", "off: nothing looked for a learning rate that trains"))
    if spec.optimizer.clip_norm is None:
        found.append(("optimizer.clip_norm", "none: no update was bounded"))
    return found
