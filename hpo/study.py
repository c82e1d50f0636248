"""Runs a job, one outer step at a time; a study that is stopped and loaded from its state goes on bit for bit."""

import functools
from collections.abc import Iterator

import torch
from torch import Tensor

from hpo.certificate.best_response import certify_response
from hpo.certificate.causes import TooHighRate, explained
from hpo.certificate.certificate import certificate, certify
from hpo.devices import CPU, at_once, device_of
from hpo.errors import CertificateFailed
from hpo.estimators.choice import choose_estimator
from hpo.estimators.registry import response_objectives
from hpo.evidence.gather import gather
from hpo.families.facts.registry import proxy_tensors
from hpo.families.registry import build as build_model
from hpo.families.registry import family
from hpo.footprint.memory import MOST_PLAIN_MEMBERS, plain_members
from hpo.footprint.sizes import Sizes
from hpo.layout import Layout
from hpo.mup.rules import base_init_std
from hpo.report import evaluation, gain, provenance, schedule_curve, winner
from hpo.saving import StudyState, load_state, save_state
from hpo.search.account import Account, OnProgress
from hpo.search.best_response.conclusion import conclude, conclusion_work
from hpo.search.choice import search_of
from hpo.search.protocol import SearchContext
from hpo.seeding import Purpose
from hpo.tasks import TaskData, data_of
from hpo.training.constant import constant_answer
from hpo.training.evaluation import judge
from hpo.training.memory import allocation_failures_named
from hpo.training.problem import InnerProblem, with_buffers_on
from hpo.training.scales import check_beginning, divergence_explained
from hpo.training.space import Space
from windtunnel.types import CertificatePoint, Cost, JobSpec, OuterStep, ProxyFacts, TuneResult
from windtunnel.types.results import CertifiedPoint

GIBIBYTE = 2**30
SCOUTED_RUNS = 40
"""Full runs that a scout takes, by which the progress of what comes before it is told; a rough guess is enough."""


class Study:
    """Tunes one job's hyperparameters.

    ``for step in study`` yields the outer steps that are still to do: step 0 is the start (scouted or given), then come
    moves until ``spec.outer.steps`` are done or ``spec.outer.budget`` is spent. ``finish()`` then gives the result.

    Args:
        spec: the job.
        threads: torch threads of this process. Results are equal bit for bit at an equal number of threads.
        max_bytes: memory for populations; decides whether ``checkpointing: auto`` keeps every state.
        population: members trained or differentiated as one computation, at most; None: chosen automatically. A job whose
            memory ran out goes on with fewer: its numbers differ then by rounding only.
        on_progress: called after every inner step; an exception that it raises stops the study and passes through.
        data: the task's data; None: loaded by the task's facts.
        dtype: float32, or float64 for exact comparisons.
        device: device that trains and differentiates: ``cpu``, ``cuda``, ``cuda:1``, or ``auto``, the first GPU if there is
            one. Seeds give the same numbers on each, up to rounding.

    Raises:
        NoDevice: the device is not there.
        Refused: the search acts on no tensor of this proxy.
        CertificateFailed: while iterating, at outer step 0: the hypergradient at the start is wrong.
    """

    def __init__(
        self,
        spec: JobSpec,
        *,
        threads: int = 1,
        max_bytes: int = 4 * GIBIBYTE,
        population: int | None = None,
        on_progress: OnProgress = lambda _: None,
        data: TaskData | None = None,
        dtype: torch.dtype = torch.float32,
        device: str = CPU,
    ) -> None:
        torch.set_num_threads(threads)
        self.spec, self.threads, self.device = spec, threads, device_of(device)
        self.data = data_of(spec) if data is None else data
        self.tensors = proxy_tensors(spec.model, spec.info)
        family(spec.model.family).prepare(spec, self.data.parts)
        if not at_once(self.device):
            model = with_buffers_on(build_model(spec.model, spec.info), torch.device("meta"))
            family(spec.model.family).follow(model, [tuple(fact.shape) for fact in self.tensors], spec.info)
        self._placed = self.data.on(self.device)
        self.space = Space.from_spec(spec, self.tensors)
        build = functools.partial(self._problem, dtype=dtype, most=population)
        self.problem = build(spec)
        self.account = Account(spec.outer.planned_steps, spec.inner.steps, on_progress, spec.outer.budget)
        self.population = min(plain_members(Sizes.of(spec, spec.info)), population or MOST_PLAIN_MEMBERS)
        self.estimator, self.choice = choose_estimator(spec, max_bytes, self.population)
        context = SearchContext(spec, self.problem, build, self.estimator, self.population, self.account)
        self.context = context
        self._search = search_of(context)
        self._certified: list[CertificatePoint] = []
        self.outer_step = 0

    def _problem(self, spec: JobSpec, dtype: torch.dtype, most: int | None) -> InnerProblem:
        std = [base_init_std(tensor, spec.model.activation) for tensor in self.tensors]
        return InnerProblem(spec, Layout(self.tensors), std, self.space, self._placed, dtype, most)

    @property
    def is_over(self) -> bool:
        """Whether the steps are done or the budget is spent, so that less than one run is left."""
        return self.outer_step > self.spec.outer.steps or (self.outer_step > 0 and self.account.left < 1)

    def __iter__(self) -> Iterator[OuterStep]:
        while not self.is_over:
            with allocation_failures_named(self.spec), divergence_explained(self.problem):
                if self.outer_step == 0:
                    # The share of the job that this takes is small: the whole scout comes after it.
                    self.account.enter("scout", 0, SCOUTED_RUNS * self.spec.inner.steps)
                    check_beginning(self.problem, self.space.start())
                    self._certified = self._certify_start()
                    step = self._search.begin()
                else:
                    step = self._search.advance(self.outer_step)
            self.outer_step += 1
            self.account.lap()
            yield step

    def finish(self) -> TuneResult:
        """Judges the last candidates on fresh seeds, runs the checks, and returns the result of the job.

        The best candidate is chosen on the validation split; losses on the test split are only reported.

        Raises:
            Diverged: every candidate has a diverged run on the fresh seeds.
            CertificateFailed: the hypergradient differs from finite differences.
            OutOfMemory: a population does not fit.
            RuntimeError: outer steps are still to do.
        """
        if not self.is_over:
            raise RuntimeError(f"outer step {self.outer_step} of {self.spec.outer.steps} is still to do")
        with allocation_failures_named(self.spec), divergence_explained(self.problem):
            return self._finish()

    def _finish(self) -> TuneResult:
        points = self._search.candidates()
        count = self.spec.outer.finish_seeds
        work = len(points) * count * self.spec.inner.steps
        answer = self._search.answer()
        concluding = 0 if answer is None else conclusion_work(answer, count)
        self.account.enter("finish", self.outer_step - 1, work + concluding)
        seeds = self.context.seeds(Purpose.FINISH, 0, count)
        judged = judge(self.problem, points, seeds, self.population, self.account.step, with_test=self._placed.test)
        report = None
        if answer is not None:
            (row, *_) = [row for row, point in enumerate(points) if torch.equal(point, answer.standing.point)]
            report = conclude(answer, judged, row, seeds, self.population, self.account.step)
        self.account.spend(work + concluding)
        best = winner(judged)
        values = self.space.as_dict(points[best])
        evidence = gather(
            self.spec,
            self.problem,
            points[best],
            values,
            population=self.population,
            enter=lambda steps: self.account.enter("check", self.outer_step - 1, steps),
            on_step=self.account.step,
            data=self._placed,
        )
        begun = self._certified or self._certify_start() or self._certify(points[0], "start")
        certified = [*begun, *self._certify(points[best], "best")]
        wall_seconds, stops = self.account.lap(), self.spec.outer.early_stopping
        result = TuneResult(
            spec=self.spec,
            start=evaluation(self.space, points[0], judged, 0),
            best=evaluation(self.space, points[best], judged, best),
            gain=gain(judged, best),
            constant=constant_answer(self.spec.info, self.data),
            schedule=schedule_curve(self.spec, self.space, points[0], points[best]),
            estimator=self.choice,
            chaos=self._search.readings.chaos(),
            certificate=certificate(self.estimator, certified) if certified else None,
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
            coordinate_check=evidence.coordinate_check,
            ladder=evidence.ladder,
            noise_scale=evidence.noise_scale,
            horizon=evidence.horizon,
            scaling=evidence.scaling,
            best_response=report,
            early_stopping=self._search.readings.early_stopping(self.spec.inner.steps) if stops else None,
            dropped_members=self._search.readings.dropped,
            provenance=provenance(self.spec, self.data.sha256, self.threads, self.device),
        )
        self.account.enter("done", self.outer_step - 1, 1)
        return result

    def _certify_start(self) -> list[CertificatePoint]:
        """Certificates at the start that the spec gives, before anything is spent; [] if there is none to certify.

        They are also [] where the rate of that start is all that stands in the way, and the scout chooses another: then the
        point that it chooses is certified at the end.

        Raises:
            CertificateFailed: a hypergradient differs from finite differences; the message names the likely cause.
        """
        try:
            return self._certify(self.space.start(), "start")
        except TooHighRate:
            if self.spec.outer.scout and self.spec.searches("learning_rate") and not self.spec.method.info.is_best_response:
                return []
            raise

    def _certify(self, point: Tensor, which: CertifiedPoint) -> list[CertificatePoint]:
        """Certificates of the estimators of the job at a point [k]; [] if it has none to certify.

        Raises:
            CertificateFailed: a hypergradient differs from finite differences; the message names the likely cause.
        """

        def passes(problem: InnerProblem, at: Tensor) -> list[CertificatePoint]:
            return self._compared(problem, at, which)

        try:
            return passes(self.problem, point)
        except CertificateFailed as failure:
            raise explained(
                failure, self.problem, point, which, functools.partial(self._calmer, point), passes
            ) from failure

    def _calmer(self, point: Tensor, rate: float) -> tuple[InnerProblem, Tensor]:
        """(problem, point [k]) with that learning rate, and all else as in the job at a point."""
        optimizer = self.spec.optimizer.model_copy(update={"learning_rate": rate})
        calm = self.context.build(self.spec.model_copy(update={"optimizer": optimizer}))
        return calm, self.space.with_value(point, "learning_rate", rate)

    def _compared(self, problem: InnerProblem, point: Tensor, which: CertifiedPoint) -> list[CertificatePoint]:
        """Certificates of the estimators of the job for a problem at a point [k].

        Raises:
            CertificateFailed: a hypergradient differs from finite differences.
        """
        found = []
        method = self.spec.method
        # Some optimizers have no hypergradient to certify.
        if not method.info.is_best_response and not self.spec.optimizer.info.pathwise:
            found.append(certify(problem, self.estimator, point, which, self.population, self.account.step))
        if method.response is not None:
            objectives, settings = response_objectives(method.response), method.best_response_settings
            found.append(certify_response(problem, objectives, settings, point, which, self.account.step))
        return found

    def state_dict(self) -> dict[str, bytes]:
        """The state between two outer steps as named files."""
        self.account.lap()
        search = self._search.state() if self.outer_step > 0 else None
        account, readings = self.account, self._search.readings
        return save_state(StudyState(self.outer_step, search, readings, account.spent, account.wall_seconds), self.spec)

    def load_state_dict(self, files: dict[str, bytes]) -> None:
        """Continues from a saved state of the same spec.

        Raises:
            InvalidData: the state is damaged or belongs to another spec.
        """
        state = load_state(files, self.spec)
        self.outer_step, self._search.readings = state.outer_step, state.readings
        if state.search is not None:
            self._search.load(state.search)
        self.account.spent, self.account.wall_seconds = state.spent, state.wall_seconds
