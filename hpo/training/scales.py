"""Names data whose numbers are too large for training, as the likely cause of losses that are too large."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from hpo.errors import Diverged, InvalidData
from hpo.seeding import Purpose
from hpo.tasks import Split
from hpo.training.evaluation import DIVERGED_LOSS
from hpo.training.problem import Draw, InnerProblem

LARGE = 100.0
"""Size of an input, or of a target, above which it is named as the cause of a loss that is too large."""
HOPELESS = 100 * DIVERGED_LOSS
"""Loss before the first update that ends above ``DIVERGED_LOSS`` even where training takes away 99 % of it."""
EXAMPLES = 256
"""Examples of a part on which the loss at the start is computed."""
SCALE = "subtract its mean over the training part and divide by its standard deviation, in float64, in all three parts"

Cause = tuple[str, str]
"""(what is too large, what to do)"""


def too_large(problem: InnerProblem) -> Cause | None:
    """Inputs or targets of the training part that are too large to train on; None if neither are."""
    train = problem.data.train.sample()
    if problem.task.kind == "regression" and float(train.labels.abs().max()) > LARGE:
        low, high = float(train.labels.min()), float(train.labels.max())
        said = f"targets of the train part run from {low:.6g} to {high:.6g}"
        return said, f"scale the targets: {SCALE}; multiply predictions by that deviation and add the mean"
    if train.inputs.is_floating_point():
        flat = train.inputs.flatten(1).abs()
        sizes = flat.amax(0)
        feature = int(sizes.argmax())
        if float(sizes[feature]) > LARGE:
            where = f", in feature {feature} of {len(sizes)}" if len(sizes) > 1 else ""
            return f"inputs of the train part run up to {float(sizes[feature]):.6g}{where}", f"scale the inputs: {SCALE}"
    return None


def highest_rate(problem: InnerProblem, point: Tensor) -> float:
    """Highest learning rate of the job at a point [k]."""
    return problem.space.largest(point, "learning_rate") or problem.spec.optimizer.learning_rate


@contextmanager
def divergence_explained(problem: InnerProblem) -> Iterator[None]:
    """Context that adds to ``Diverged`` the loss before the first update, and names data that are too large before rates.

    Raises:
        Diverged: as it was raised, with that loss, and with the advice that fits the cause.
    """
    try:
        yield
    except Diverged as error:
        start = problem.space.start()
        (loss, *_), _ = _beginning(problem, start)
        above = loss > DIVERGED_LOSS
        limit = f", and a run above {DIVERGED_LOSS:,.0f} counts as diverged" if above else ""
        rate = "" if "learning rate" in error.message else f" (started at learning rate {highest_rate(problem, start):g})"
        said, hint = f"{error.message}{rate}; the loss before the first update is {loss:.4g}{limit}", error.hint
        if (cause := too_large(problem)) is not None:
            said, hint = f"{said}: {cause[0]}", cause[1]
        elif above and problem.task.loss is not None:
            hint = f"divide loss {problem.task.loss}, or what it is of, so that it begins below that"
        raise Diverged(said, hint) from error


def check_beginning(problem: InnerProblem, point: Tensor) -> None:
    """Check that the loss and its gradient at the start are finite, and that the loss is not that of a diverged run.

    Args:
        problem: the inner problem.
        point: unconstrained coordinates of the start, [k].

    Raises:
        InvalidData: they are not, and no choice of rates could help: the message names the part, and the likely cause.
    """
    losses, loss_of = _beginning(problem, point)
    for (name, split), loss in zip(_few(problem), losses, strict=True):
        _check_loss(problem, name, split, loss, loss_of)
    table = problem.coefficients(point[None])
    draw = _draw(problem)
    parameters = problem.initial(draw, table)[0].detach()
    gradient = problem.gradient(parameters, table, problem.batch(draw, problem.at_step(0)))
    for fact, part in zip(problem.layout.tensors, problem.layout.split(gradient), strict=True):
        if not part.isfinite().all():
            raise InvalidData(
                f"the loss is finite before the first update, and its gradient with respect to {fact.name} is not",
                "model and loss need a finite derivative where training begins, with outputs of 0 where the readout starts "
                "at 0: no root or norm of what is 0 there, no log, no division; add a small number under it",
            )


def _few(problem: InnerProblem) -> list[tuple[str, Split]]:
    """The first examples of the training and the validation part, by name."""
    return [(name, getattr(problem.data, name).sample().batch(0, EXAMPLES)) for name in ("train", "validation")]


def _draw(problem: InnerProblem) -> Draw:
    return problem.draw([(problem.spec.seed, Purpose.CERTIFICATE, 0)])


def _beginning(problem: InnerProblem, point: Tensor) -> tuple[list[float], Callable[[Split], float]]:
    """(losses of the first training and validation examples before the first update, the same of any examples)."""
    with torch.no_grad():
        table = problem.coefficients(point[None])
        parameters = problem.initial(_draw(problem), table)[0]

    def loss_of(split: Split) -> float:
        with torch.no_grad():
            return float(problem.evaluate(parameters, table.loss, split)[0])

    return [loss_of(split) for _, split in _few(problem)], loss_of


def _check_loss(problem: InnerProblem, name: str, split: Split, loss: float, loss_of: Callable[[Split], float]) -> None:
    """Raise InvalidData where a loss at the start cannot be trained from."""
    if loss <= DIVERGED_LOSS:
        return
    cause = too_large(problem)
    before = f"the loss of the {name} part before the first update is {loss:.6g}"
    if _is_finite(loss):
        said = f"{before}, and a run that ends above {DIVERGED_LOSS:,.0f} counts as diverged"
        if loss > HOPELESS and cause is not None:
            raise InvalidData(f"{said}: {cause[0]}", cause[1])
        if loss > HOPELESS and problem.task.loss is not None:
            raise InvalidData(said, f"divide loss {problem.task.loss}, or what it is of, so that it begins below that")
        # Training may bring it down, or the search find smaller initial values.
        return
    lost = next((row for row in range(len(split)) if not _is_finite(loss_of(_one(split, row)))), None)
    which = (
        "" if lost is None else f"; that of example {lost} (label {split.labels[lost].flatten()[0].item():g}) is not finite"
    )
    what, advice = cause or (
        "outputs, or their loss, overflow or are not numbers",
        "look at forward and loss at that example",
    )
    raise InvalidData(f"{before}{which}: {what}", advice)


def _is_finite(value: float) -> bool:
    return abs(value) < float("inf")


def _one(split: Split, row: int) -> Split:
    return Split(split.inputs[row : row + 1], split.labels[row : row + 1], split.sources[row : row + 1])
