"""Ladder certificate: trains carried values, times several factors, at several widths, and tests if the optimum moves.

Tensor Programs V, section 6 and figure 1: under muP the curves of loss over learning rate have their minimum at the same
place at every width.
"""

from collections.abc import Mapping, Sequence
from math import inf, isfinite, log2, prod

import torch

from hpo.evidence.optimum import drift, optimum
from hpo.evidence.scaled import ScaledProblem
from hpo.families.facts.registry import proxy_tensors
from hpo.footprint.measurements import FACTORS
from hpo.mup.penalty import drift_verdict
from hpo.mup.roles import EMBEDDINGS
from hpo.seeding import Purpose
from hpo.tasks import TaskData, data_of
from hpo.training.evaluation import SeedPath, judge
from hpo.training.problem import OnStep, silent
from windtunnel.types import JobSpec
from windtunnel.types.checks.transfer import ladder_widths
from windtunnel.types.ladders import Ladder, LadderCertificate, LadderRung, Varied
from windtunnel.types.transfer import LadderSpec


def ladder_certificate(
    spec: JobSpec,
    hyperparameters: Mapping[str, float],
    asked: LadderSpec,
    *,
    population: int = 1,
    on_step: OnStep = silent,
    data: TaskData | None = None,
) -> LadderCertificate:
    """The optimum and its drift over widths, from runs with the carried values times each factor.

    Args:
        spec: the job.
        hyperparameters: label -> tuned value at the proxy's width.
        asked: widths, seeds (the same everywhere), and quantities to vary.
        population: members trained as one computation at the proxy's width, at most; fewer at larger widths.
        on_step: called with the number of member-steps.
        data: the task; None: it is loaded.

    Raises:
        Refused: a tuned value has no rule for another width.
    """
    widths = ladder_widths(spec.model, asked)
    data = data_of(spec) if data is None else data
    paths: list[SeedPath] = [(spec.seed, Purpose.LADDER, 0, index) for index in range(asked.seeds)]

    def climbed(of: JobSpec, quantity: Varied) -> Ladder:
        rungs = [_rung(of, hyperparameters, width, quantity, paths, population, on_step, data) for width in widths]
        return _ladder(quantity, of.parametrization, rungs)

    usual = spec.model_copy(update={"parametrization": "standard"})
    kinds: list[Varied] = ["learning_rate"]
    if asked.weight_decay and decays(spec, hyperparameters):
        kinds.append("weight_decay")
    found = {quantity: climbed(spec, quantity) for quantity in kinds}
    beside = climbed(usual, "learning_rate") if asked.standard else None
    return LadderCertificate(
        factors=list(FACTORS),
        seeds=asked.seeds,
        steps=spec.inner.steps,
        learning_rate=found["learning_rate"],
        weight_decay=found.get("weight_decay"),
        standard=beside,
        run_equivalents=(len(found) + (beside is not None)) * asked.seeds * len(FACTORS) * _cost(spec, widths),
    )


def decays(spec: JobSpec, hyperparameters: Mapping[str, float]) -> bool:
    """True if any weight decay is above 0, so that it can be varied."""
    tuned = [value for label, value in hyperparameters.items() if label.partition(".")[0] == "weight_decay"]
    return any(value > 0 for value in tuned) if tuned else bool(spec.start_value("weight_decay"))


def ladder_steps(spec: JobSpec) -> int:
    """Member-steps of the ladders that a spec asks for, for progress bars; a step counts the same at every width."""
    asked = spec.transfer.ladder
    if asked is None:
        return 0
    runs = (1 + asked.weight_decay + asked.standard) * len(FACTORS) * asked.seeds
    return runs * len(ladder_widths(spec.model, asked)) * spec.inner.steps


def _cost(spec: JobSpec, widths: Sequence[int]) -> float:
    """Multiply-adds of one run at each width, in runs of the proxy."""

    def entries(width: int) -> int:
        tensors = proxy_tensors(spec.model.model_copy(update={"width": width}), spec.info)
        return sum(prod(fact.shape) for fact in tensors if len(fact.shape) > 1 and fact.name not in EMBEDDINGS)

    return sum(entries(width) for width in widths) / entries(spec.model.width)


def _rung(
    spec: JobSpec,
    hyperparameters: Mapping[str, float],
    width: int,
    quantity: Varied,
    paths: Sequence[SeedPath],
    population: int,
    on_step: OnStep,
    data: TaskData,
) -> LadderRung:
    problem = ScaledProblem(spec, hyperparameters, width, data)
    logs = torch.tensor(FACTORS, dtype=torch.float64).log()
    points = torch.zeros(len(FACTORS), 2, dtype=torch.float64)
    points[:, 0 if quantity == "learning_rate" else 1] = logs
    together = max(1, int(population * min(1.0, (spec.model.width / width) ** 2)))
    losses: list[list[float]] = judge(problem, points, paths, together, on_step).validation.tolist()
    rows = [[loss if isfinite(loss) else None for loss in row] for row in losses]
    try:
        found = optimum([log2(factor) for factor in FACTORS], losses)
    except ValueError:
        # At every factor some run diverged.
        return LadderRung(width=width, losses=rows, optimum=None, low=None, high=None)
    return LadderRung(
        width=width,
        losses=rows,
        optimum=found.location,
        low=_end(found.low),
        high=_end(found.high),
    )


def _end(value: float) -> float | None:
    return value if isfinite(value) else None


def _ladder(quantity: Varied, parametrization: str, rungs: list[LadderRung]) -> Ladder:
    losses = [[[inf if loss is None else loss for loss in row] for row in rung.losses] for rung in rungs]
    found = drift([log2(rung.width) for rung in rungs], [log2(factor) for factor in FACTORS], losses)
    known = found is not None and isfinite(found.low) and isfinite(found.high)
    return Ladder(
        quantity=quantity,
        parametrization=parametrization,
        rungs=rungs,
        drift=found.slope if found is not None and known else None,
        low=found.low if found is not None and known else None,
        high=found.high if found is not None and known else None,
        curvature=found.curvature if found is not None else 0.0,
        verdict=drift_verdict(found.slope, found.low, found.high) if found is not None and known else "inconclusive",
    )
