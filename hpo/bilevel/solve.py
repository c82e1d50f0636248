"""Descends the outer loss by hypergradients, with an outer optimizer of torch; a stopped solve goes on bit for bit."""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hpo.bilevel import checkpoint as files
from hpo.bilevel.certificate import PlainCertificate, certify
from hpo.bilevel.hypergradient import Hypergradient, estimator_of, of_estimate
from hpo.bilevel.inner import PlainProblem
from hpo.bilevel.problem import Bilevel, Named
from hpo.bilevel.uses import refuse_what_it_cannot_reach, uses
from hpo.bilevel.variables import Variables
from hpo.errors import InvalidProblem
from hpo.estimators.protocol import Estimator
from hpo.seeding import Purpose, number_of
from hpo.training.smoothness import Smoothness, smoothness

OuterOptimizer = Callable[[list[Tensor]], torch.optim.Optimizer]
"""Class of torch.optim, or a function that makes its object: ``lambda tensors: torch.optim.Adam(tensors, lr=0.1)``."""


CHAOTIC = 1e3
"""Growth of the adjoint over a run above which a solution says that it is chaotic."""


@dataclass(frozen=True)
class SolveStep:
    """One outer step: readings taken before the variables moved."""

    step: int
    loss: float
    """Mean outer loss over seeds."""
    norm: float
    """Length of the hypergradient before clipping."""
    clipped: bool
    diverged: int
    """Seeds left out because they were not finite."""
    growth_exponent: float | None
    """Mean logarithm of the growth of a backward step; above 0 is chaos; None: not measured by this estimator."""
    bounded_share: float | None


@dataclass(frozen=True)
class Solution:
    """Outcome of ``solve``."""

    outer: dict[str, Tensor]
    """Outer variables after the last step."""
    best: dict[str, Tensor]
    """Outer variables at the step with the lowest outer loss; with fresh seeds that is partly luck."""
    steps: list[SolveStep]
    certificate: PlainCertificate
    smoothness: Smoothness | None
    """Answer of training to the last move repeated twice, over h of that move; None: nothing moved, or a run diverged."""
    cost: float
    """Training gradients spent, with the certificate left out."""
    seconds: float
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def losses(self) -> list[float]:
        """Outer loss at each step, before its move."""
        return [step.loss for step in self.steps]

    @property
    def chaos(self) -> float | None:
        """Mean growth exponent of the backward steps over the outer steps; None: the estimator does not measure it."""
        found = [step.growth_exponent for step in self.steps if step.growth_exponent is not None]
        return sum(found) / len(found) if found else None

    def __str__(self) -> str:
        first, last, low = self.steps[0].loss, self.steps[-1].loss, min(self.losses)
        lines = [f"outer loss {first:.4g} -> {last:.4g} in {len(self.steps)} steps, lowest {low:.4g}"]
        lines.append(
            f"certificate {self.certificate.outcome}" + (f": {self.certificate.why}" if self.certificate.why else "")
        )
        if self.chaos is not None:
            grown = math.exp(min(700.0, self.chaos * self.settings["inner_steps"]))
            advice = ", chaotic: try adjoint='bounded'" if grown > CHAOTIC else ""
            lines.append(f"adjoint over a run times {grown:.2g}{advice}")
        if self.smoothness is not None:
            lines.append(f"sign agreement of parameter moves {self.smoothness.agreement:.2f} (1 is smooth)")
        return "; ".join(lines)


def solve(
    problem: Bilevel,
    outer: Named,
    outer_optimizer: OuterOptimizer = torch.optim.Adam,
    steps: int = 100,
    *,
    estimator: str | Estimator = "reverse",
    seeds: int | Sequence[int] = 1,
    seed: int = 0,
    clip: float | None = None,
    project: Callable[[dict[str, Tensor]], Named] | None = None,
    progress: Callable[[SolveStep], None] | None = None,
    checkpoint: str | Path | None = None,
    every: int = 1,
    **settings: Any,
) -> Solution:
    """Minimise the outer loss by hypergradients.

    ```python
    found = windtunnel.solve(problem, {"log_rate": torch.tensor(-3.0)}, torch.optim.Adam, steps=50)
    ```

    First the hypergradient is certified in float64, as that of every job. Then each step takes a hypergradient, clips it
    and lets the outer optimizer move. Variables are neither raced nor searched: there may be millions of them.

    Args:
        problem: the bilevel problem.
        outer: start of the outer variables; it is not changed.
        outer_optimizer: class of torch.optim, or a function of a list of tensors that makes its object.
        steps: outer steps.
        estimator: as of ``hypergradient``.
        seeds: runs of each step, with seeds that no other step has; or the seeds that every step has.
        seed: number from which the fresh seeds are made.
        clip: largest length of the hypergradient over all variables; None: as it is.
        project: function (outer) -> outer, called after each move: bounds, norms, sums.
        progress: called after each step; an exception that it raises passes through, and the checkpoint stays.
        checkpoint: file that holds the state after every ``every``-th step. If it is there, the solve goes on from it, and
            ends with the bits of one that was not stopped.
        every: outer steps from one checkpoint to the next.
        **settings: settings of the estimator, as of ``hypergradient``.

    Raises:
        InvalidProblem: a function, a value or a setting cannot be used.
        Refused: the estimator cannot differentiate a variable.
        CertificateFailed: the hypergradient differs from finite differences.
        Diverged: no seed of a step is finite.
        InvalidData: the checkpoint is damaged or belongs to another problem.
    """
    for name, value in (("steps", steps), ("every", every)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InvalidProblem(f"{name} is {value!r}; give a whole number from 1")
    if isinstance(seeds, int) and seeds < 1:
        raise InvalidProblem(f"seeds is {seeds!r}; give a number from 1, or a list of seeds")
    if clip is not None and not clip > 0:
        raise InvalidProblem(f"clip is {clip!r}; give a length above 0, or None")
    solver = _Solver(problem, outer, outer_optimizer, estimator, settings, seeds, seed, clip, project)
    same = {
        "inner_steps": problem.steps,
        "shapes": {name: list(value.shape) for name, value in outer.items()},
        "seeds": seeds if isinstance(seeds, int) else list(seeds),
        "seed": seed,
        "clip": clip,
        "estimator": estimator if isinstance(estimator, str) else repr(estimator),
        "settings": json.loads(json.dumps(settings, default=repr)),
    }
    path = None if checkpoint is None else Path(checkpoint)
    if path is not None and path.exists():
        solver.resume(path, same)
    while len(solver.done) < steps:
        solver.advance()
        if path is not None and (len(solver.done) % every == 0 or len(solver.done) == steps):
            solver.save(path, same)
        if progress is not None:
            progress(solver.done[-1])
    return solver.solution(same)


class _Solver:
    """State of a solve between two outer steps."""

    def __init__(
        self,
        problem: Bilevel,
        outer: Named,
        outer_optimizer: OuterOptimizer,
        estimator: str | Estimator,
        settings: Mapping[str, Any],
        seeds: int | Sequence[int],
        seed: int,
        clip: float | None,
        project: Callable[[dict[str, Tensor]], Named] | None,
    ) -> None:
        self.variables = Variables.of(outer)
        self.seeds, self.seed, self.clip, self.project = seeds, seed, clip, project
        self.problem = PlainProblem(problem, self.variables, outer, self.seeds_of(0)[0])
        used = uses(self.problem, outer, self.seeds_of(0)[0])
        self.estimator = estimator_of(estimator, settings)
        if isinstance(estimator, str):
            refuse_what_it_cannot_reach(estimator, used)
        self.certificate = certify(problem, outer, self.estimator, self.seeds_of(0)[0])
        self.outer = {name: value.detach().clone().requires_grad_() for name, value in outer.items()}
        self.optimizer = outer_optimizer([*self.outer.values()])
        if not isinstance(self.optimizer, torch.optim.Optimizer):
            raise InvalidProblem(
                f"outer_optimizer makes {type(self.optimizer).__name__}; give a class of torch.optim, or a function of a "
                "list of tensors that makes its object"
            )
        self.done: list[SolveStep] = []
        self.best = self.values()
        self.before = self.variables.flat(self.outer)
        self.cost, self.seconds = 0.0, 0.0

    def values(self) -> dict[str, Tensor]:
        """Copies of the outer variables."""
        return {name: value.detach().clone() for name, value in self.outer.items()}

    def seeds_of(self, step: int) -> list[int]:
        """Seeds of the runs of an outer step."""
        if not isinstance(self.seeds, int):
            return [*self.seeds]
        # So small that a user's own arithmetic with a seed stays a 64-bit number.
        return [number_of((self.seed, Purpose.MOVE, step, member)) % 2**31 for member in range(self.seeds)]

    def advance(self) -> None:
        """One outer step."""
        begun, step = time.perf_counter(), len(self.done)
        self.before = self.variables.flat(self.outer)
        seeds = self.seeds_of(step)
        points = self.before.expand(len(seeds), -1)
        estimate = self.estimator.estimate(self.problem, points, self.problem.draw_of(seeds))
        found = of_estimate(estimate, self.variables, self.outer)
        self.cost += found.cost
        if found.loss < min((one.loss for one in self.done), default=math.inf):
            self.best = self.values()
        clipped = self._move(found)
        self.seconds += time.perf_counter() - begun
        self.done.append(
            SolveStep(step, found.loss, found.norm, clipped, found.diverged, found.growth_exponent, found.bounded_share)
        )

    def _move(self, found: Hypergradient) -> bool:
        """Clip, move and project; returns whether the hypergradient was clipped."""
        clipped = self.clip is not None and found.norm > self.clip
        factor = self.clip / found.norm if clipped and self.clip is not None else 1.0
        for name, value in self.outer.items():
            value.grad = found.gradient[name] * factor if clipped else found.gradient[name].clone()
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.project is not None:
            placed = self.project(self.values())
            with torch.no_grad():
                for name, value in self.outer.items():
                    value.copy_(placed[name])
        return clipped

    def save(self, path: Path, same: Mapping[str, Any]) -> None:
        """Write the state."""
        kept = self.values() | {f"best/{name}": value for name, value in self.best.items()} | {"before/": self.before}
        numbers = {"done": [asdict(step) for step in self.done], "cost": self.cost, "seconds": self.seconds, **same}
        files.save(path, kept, self.optimizer, numbers)

    def resume(self, path: Path, same: Mapping[str, Any]) -> None:
        """Read the state."""
        best = {name: value.detach().clone() for name, value in self.outer.items()}
        kept = {**self.outer, **{f"best/{name}": value for name, value in best.items()}, "before/": self.before}
        numbers = files.load(path, kept, self.optimizer, same)
        self.best = best
        self.done = [SolveStep(**step) for step in numbers["done"]]
        self.cost, self.seconds = numbers["cost"], numbers["seconds"]

    def solution(self, settings: Mapping[str, Any]) -> Solution:
        """Outcome, with the smoothness along the last move."""
        move = self.variables.flat(self.outer) - self.before
        length = float(torch.linalg.vector_norm(move.double()))
        draw = self.problem.draw_of(self.seeds_of(len(self.done) - 1))
        smooth = smoothness(self.problem, self.before, move, length, draw) if length > 0 else None
        cost = self.cost + (3.0 * self.problem.steps if length > 0 else 0.0)
        return Solution(self.values(), self.best, self.done, self.certificate, smooth, cost, self.seconds, dict(settings))
