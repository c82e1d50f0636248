"""Study: a job's spec in, outer steps out, one at a time; stop it anywhere, load its state, and it goes on bit for bit."""

from collections.abc import Iterator

import torch
from torch import Tensor

from hpo.account import Account, OnProgress
from hpo.certificate import certificate, certify
from hpo.errors import Diverged
from hpo.estimators.choice import choose_estimator
from hpo.evaluation import SeedPath, judge, mean_and_stderr
from hpo.inner import InnerProblem
from hpo.layout import Layout
from hpo.memory import allocation_failures_named
from hpo.mup.coordcheck import check_steps, coordinate_check
from hpo.mup.proxies import proxy_tensors
from hpo.mup.rules import base_init_std
from hpo.outer import Move, Trail, Visit, advance
from hpo.race import FINALISTS, LENGTHS
from hpo.readings import Readings
from hpo.report import evaluation, provenance, schedule_curve, winner
from hpo.saving import StudyState, load_state, save_state
from hpo.scout import FINALISTS as SCOUT_FINALISTS
from hpo.scout import scout, short_steps
from hpo.sizing.memory import plain_members
from hpo.space import Space
from hpo.tasks import TaskData, load
from windtunnel.types import TASKS, CertificatePoint, CoordinateCheck, Cost, JobSpec, OuterStep, ProxyFacts, TuneResult
from windtunnel.types.results import CertifiedPoint

SCOUT, MOVE, FINISH = 0, 1, 2
"""Purpose of a run: the second part of its seed path, so that no two purposes ever share a seed."""
SCOUT_RATES = 16
LATEST = 3
CHEAPEST = 3
"""The last points and those of lowest loss are judged again at the end, beside the start."""
GIBIBYTE = 2**30


class Study:
    """Tunes one job's hyperparameters.

    ``for step in study`` yields the outer steps that are still to do: step 0 is the start (scouted or given), steps
    1 to ``spec.outer.steps`` each take one hypergradient and one move. ``finish()`` then gives the result.

    Args:
        spec: the job.
        threads: torch threads of this process. Results are equal bit for bit at an equal number of threads.
        max_bytes: memory for populations; decides whether ``checkpointing: auto`` keeps every state.
        on_progress: called after every inner step; what it raises stops the study and passes through.
        data: the task's data; loaded by name when left out.
        dtype: float32, or float64 for oracles.

    Raises:
        Refused: the search acts on no tensor of this proxy.
        CertificateFailed: while iterating, at outer step 0: the hypergradient at the start is wrong.
    """

    def __init__(
        self,
        spec: JobSpec,
        *,
        threads: int = 1,
        max_bytes: int = 4 * GIBIBYTE,
        on_progress: OnProgress = lambda _: None,
        data: TaskData | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        torch.set_num_threads(threads)
        self.spec, self.threads = spec, threads
        self.data = load(spec.task) if data is None else data
        self.tensors = proxy_tensors(spec.model, TASKS[spec.task])
        self.space = Space.from_spec(spec, self.tensors)
        self.problem = self._problem(spec, dtype)
        self.account = Account(spec.outer.steps, spec.inner.steps, on_progress)
        self.estimator, self.choice = choose_estimator(spec, max_bytes)
        self.population = plain_members(spec)
        self._trail: Trail | None = None
        self._start: Visit | None = None
        self._readings = Readings()
        self._certified: CertificatePoint | None = None
        self.outer_step = 0

    def _problem(self, spec: JobSpec, dtype: torch.dtype) -> InnerProblem:
        std = [base_init_std(tensor, spec.model.activation) for tensor in self.tensors]
        return InnerProblem(spec, Layout(self.tensors), std, self.space, self.data, dtype)

    def seeds(self, purpose: int, outer_step: int, count: int) -> list[SeedPath]:
        """Seed paths of the runs of one outer step."""
        return [(self.spec.seed, purpose, outer_step, index) for index in range(count)]

    def __iter__(self) -> Iterator[OuterStep]:
        while self.outer_step <= self.spec.outer.steps:
            with allocation_failures_named(self.spec):
                step = self._begin() if self._trail is None else self._advance(self._trail)
            self.outer_step += 1
            self.account.lap()
            yield step

    def _begin(self) -> OuterStep:
        """Outer step 0: choose the start and judge it."""
        spec, count = self.spec, self.spec.inner.seeds
        seeds = self.seeds(SCOUT, 0, count)
        searches_rate = any(item.name == "learning_rate" for item in self.space.hyperparameters)
        sweep: dict[str, list[float]] | None = None
        if spec.outer.scout and searches_rate:
            brief = short_steps(spec.inner.steps)
            self.account.enter("scout", 0, SCOUT_RATES * brief + SCOUT_FINALISTS * count * spec.inner.steps)
            shorter = spec.model_copy(update={"inner": spec.inner.model_copy(update={"steps": brief})})
            short = self._problem(shorter, self.problem.dtype)
            found = scout(self.problem, short, SCOUT_RATES, seeds, self.population, self.account.step)
            self.account.spend(found.member_steps)
            point, losses = found.point, found.losses
            sweep = {"learning_rate": found.rates, "loss": found.sweep}
        else:
            self.account.enter("scout", 0, count * spec.inner.steps)
            point = self.space.start()
            losses = judge(self.problem, point[None], seeds, self.population, self.account.step).validation[0]
            self.account.spend(count * spec.inner.steps)
        mean, stderr, survivors = mean_and_stderr(losses)
        if survivors == 0:
            raise Diverged(
                f"all {count} training runs at the start diverged",
                "start from a lower optimizer.learning_rate, or let the scout choose one (outer.scout: true)",
            )
        self._certified = self._certify(point, "start")
        self._start = Visit(0, point, mean, stderr)
        self._trail = Trail(point, torch.zeros_like(point), torch.zeros_like(point), visits=(self._start,))
        self._readings = self._readings.dropping(count - survivors)
        start = Move(mean, stderr, survivors, count - survivors, torch.empty(0), None, None)
        return self._outer_step(point, point, start, sweep)

    def _advance(self, trail: Trail) -> OuterStep:
        count, steps = self.spec.inner.seeds, self.spec.inner.steps
        racing = len(LENGTHS) * 2 + FINALISTS * (count - 1)
        estimating = count * self.estimator.member_steps(self.problem)
        self.account.enter("tune", self.outer_step, estimating + racing * steps)
        seeds = self.seeds(MOVE, self.outer_step, count)
        after, move = advance(self.problem, self.estimator, trail, seeds, self.outer_step, self.population, self.account)
        self._trail = after
        self._readings = self._readings.adding(move)
        return self._outer_step(trail.point, after.point, move, None)

    def _outer_step(self, before: Tensor, after: Tensor, move: Move, sweep: dict[str, list[float]] | None) -> OuterStep:
        gradient = dict(zip(self.space.labels, move.gradient.tolist(), strict=True)) if len(move.gradient) else {}
        return OuterStep(
            outer_step=self.outer_step,
            outer_steps=self.spec.outer.steps,
            loss=move.loss if move.seeds else None,
            stderr=move.stderr,
            seeds=move.seeds,
            dropped_members=move.dropped,
            hyperparameters=self.space.as_dict(before),
            gradient=gradient,
            gradient_norm=float(move.gradient.norm()) if gradient else None,
            bounded_share=move.bounded_share,
            mean_scale=move.mean_scale,
            step_length=move.length,
            moved=not torch.equal(before, after),
            rolled_back=move.rolled_back,
            sweep=sweep,
            run_equivalents=self.account.run_equivalents,
        )

    def finish(self) -> TuneResult:
        """Judge the last candidates on fresh seeds, on validation to choose and on test to report; check the coordinates.

        Raises:
            Diverged: no candidate has a finite run on the fresh seeds.
            CertificateFailed: the hypergradient is not what finite differences say.
            OutOfMemory: a population does not fit.
            RuntimeError: outer steps are still to do.
        """
        if self._trail is None or self._start is None or self.outer_step <= self.spec.outer.steps:
            raise RuntimeError(f"outer step {self.outer_step} of {self.spec.outer.steps} is still to do")
        with allocation_failures_named(self.spec):
            return self._finish(self._trail, self._start)

    def _finish(self, trail: Trail, start: Visit) -> TuneResult:
        points = _candidates(trail, start)
        count = self.spec.outer.finish_seeds
        work = len(points) * count * self.spec.inner.steps
        self.account.enter("finish", self.spec.outer.steps, work)
        seeds = self.seeds(FINISH, 0, count)
        judged = judge(self.problem, points, seeds, self.population, self.account.step, with_test=self.data.test)
        self.account.spend(work)
        best = winner(judged)
        values = self.space.as_dict(points[best])
        check: CoordinateCheck | None = None
        if self.spec.parametrization == "mup":
            self.account.enter("check", self.spec.outer.steps, check_steps(self.spec))
            check = coordinate_check(self.spec, values, on_step=self.account.step, data=self.data)
        certified = [self._certified or self._certify(points[0], "start"), self._certify(points[best], "best")]
        wall_seconds = self.account.lap()
        result = TuneResult(
            spec=self.spec,
            start=evaluation(self.space, points[0], judged, 0),
            best=evaluation(self.space, points[best], judged, best),
            schedule=schedule_curve(self.spec, self.space, points[0], points[best]),
            estimator=self.choice,
            chaos=self._readings.chaos(),
            certificate=certificate(self.estimator, certified),
            cost=Cost(
                run_equivalents=self.account.run_equivalents,
                gradient_evaluations=self.account.spent,
                wall_seconds=wall_seconds,
            ),
            proxy=ProxyFacts(
                tensors=list(self.tensors),
                parameters=self.problem.layout.parameters,
                features=self.data.features,
                classes=self.data.classes,
            ),
            coordinate_check=check,
            dropped_members=self._readings.dropped,
            provenance=provenance(self.spec, self.data.sha256, self.threads),
        )
        self.account.enter("done", self.spec.outer.steps, 1)
        return result

    def _certify(self, point: Tensor, which: CertifiedPoint) -> CertificatePoint:
        """Check the engine there; at the start before anything is spent on gradients."""
        return certify(self.problem, self.estimator, point, which, self.population, self.account.step)

    def state_dict(self) -> dict[str, bytes]:
        """The state between two outer steps as named files."""
        self.account.lap()
        return save_state(
            StudyState(
                self.outer_step, self._trail, self._start, self._readings, self.account.spent, self.account.wall_seconds
            ),
            self.spec,
        )

    def load_state_dict(self, files: dict[str, bytes]) -> None:
        """Go on from a saved state of the same spec.

        Raises:
            InvalidData: the state is damaged or belongs to another spec.
        """
        state = load_state(files, self.spec)
        self.outer_step, self._trail, self._start = state.outer_step, state.trail, state.start
        self._readings = state.readings
        self.account.spent, self.account.wall_seconds = state.spent, state.wall_seconds


def _candidates(trail: Trail, start: Visit) -> Tensor:
    """Points for the final judgement, [n, k]: the start first, then the present, the cheapest, the latest; no doubles."""
    cheapest = sorted(trail.visits, key=lambda visit: visit.loss)[:CHEAPEST]
    found: list[Tensor] = []
    for point in (start.point, trail.point, *(visit.point for visit in (*cheapest, *trail.visits[-LATEST:]))):
        if not any(torch.equal(point, other) for other in found):
            found.append(point)
    return torch.stack(found)
