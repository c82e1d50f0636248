"""One best-response run: trains weights, response and regularisers together, a block of updates at a time."""

from dataclasses import dataclass, replace
from math import log

import torch
from torch import Tensor

from hpo.best_response.network import ResponseNetwork
from hpo.best_response.objectives import Objectives
from hpo.devices import at_once
from hpo.errors import Diverged
from hpo.noise import Step, keys_of, normal
from hpo.optimizers.adam import adam, adam_init
from hpo.optimizers.rule import OptimizerState, Tables
from hpo.seeding import Stream, number_of
from hpo.tasks import Split
from hpo.training.coefficients import Coefficients
from hpo.training.problem import Draw, InnerProblem, OnStep, groups, silent
from windtunnel.types.hyperparameters import REGULARISERS
from windtunnel.types.method import BestResponseSettings

NARROWEST, WIDEST = 0.02, 2.0
"""Bounds of the perturbations' standard deviations, in unconstrained units."""
BETA1, EPS = 0.9, 1e-8
RESPONSE_BETA2, REGULARISER_BETA2 = 0.999, 0.99
"""Adam's beta2 for the response and for the regularisers. The regularisers take only a few hundred steps: with a longer
memory the steep slopes of a poor start would slow them down to the end."""


def answered(problem: InnerProblem) -> list[int]:
    """Coordinates of the search space that a best response can tune: those of regularisers."""
    return [row for row, item in enumerate(problem.space.hyperparameters) if item.name in REGULARISERS]


@dataclass(frozen=True)
class Moment:
    """The regularisers after ``step`` updates of the weights."""

    step: int
    point: Tensor
    """Coordinates of the search space, [K]."""
    log_scales: Tensor
    """Logarithms of the perturbations' standard deviations, [k]."""


@dataclass(frozen=True)
class Standing:
    """State of a run between two updates."""

    step: int
    """Updates of the weights so far."""
    looks: int
    """Validation steps so far."""
    weights: OptimizerState
    """State of the job's optimizer of the weights, each part [members, P]."""
    response: OptimizerState
    """State of Adam on the response, each part [members, R]."""
    point: Tensor
    """Coordinates of the search space, [K]; those that the response does not tune stay fixed."""
    knobs: OptimizerState
    """State of Adam on the k regularisers and the logarithms of their perturbations' scales, each [1, 2k], float64."""
    trajectory: tuple[Moment, ...]
    slope: Tensor
    """Sum of the validation loss's derivatives by the regularisers since the block began, [k]."""
    slopes: int
    """Number of validation steps in the sum ``slope``."""

    @property
    def log_scales(self) -> Tensor:
        """Logarithms of the perturbations' standard deviations, [k]."""
        return self.knobs[0][0, self.knobs[0].shape[1] // 2 :]

    def on(self, device: torch.device) -> "Standing":
        """The state with its regularisers on a device; weights and response stay where they are."""
        moments = tuple(
            replace(each, point=each.point.to(device), log_scales=each.log_scales.to(device)) for each in self.trajectory
        )
        knobs = tuple(part.to(device) for part in self.knobs)
        return replace(self, point=self.point.to(device), knobs=knobs, trajectory=moments, slope=self.slope.to(device))


class BestResponseRun:
    """A run that trains one population with common regularisers.

    After a warm-up, ``training_steps`` updates of weights and response alternate with ``validation_steps`` updates of the
    regularisers. These descend the validation loss through the response, averaged over members, examples and perturbations,
    with an entropy term that keeps the perturbations from vanishing (MacKay et al. 2019, algorithm 1).

    Args:
        problem: inner problem of the job.
        objectives: objectives of the best response.
        settings: settings of the job's method.
        draw: initial values, batch order and noise of the members.
    """

    def __init__(
        self, problem: InnerProblem, objectives: type[Objectives], settings: BestResponseSettings, draw: Draw
    ) -> None:
        self.problem, self.settings, self.draw = problem, settings, draw
        self.rows = answered(problem)
        self.network = ResponseNetwork(problem, len(self.rows))
        self.objectives = objectives(self.network, self.rows, control_variate=settings.control_variate)
        self.warmup = settings.warmup_steps(problem.steps)
        self._training, self._validation = (
            torch.tensor([number_of((stream, kind)) for stream in draw.streams]).to(problem.device)
            for kind in (Stream.PERTURBATION, Stream.VALIDATION_PERTURBATION)
        )
        self._answered = torch.tensor(self.rows).to(problem.device)
        self._rate = settings.rate(problem.steps)

    @property
    def members(self) -> int:
        """Number of runs that share the regularisers."""
        return len(self.draw.streams)

    def begin(self, point: Tensor) -> Standing:
        """State before the first update, with regularisers at a point [K]."""
        weights = self.problem.initial(self.draw, self._tables(point))
        scale = torch.full_like(point[self.rows], log(self.settings.perturbation_scale), dtype=torch.float64)
        knobs = torch.cat([point[self.rows].double(), scale])[None]
        return Standing(
            0,
            0,
            tuple(part.detach() for part in weights),
            adam_init(self.network.initial(self.draw.streams).to(self.problem.device)),
            point.double(),
            adam_init(knobs),
            (Moment(0, point.double(), scale),),
            torch.zeros_like(scale),
            0,
        )

    def placed(self, standing: Standing) -> Standing:
        """The state with all of its tensors on the device that trains, as after loading it from files."""
        device = self.problem.device
        weights, response = (tuple(part.to(device) for part in parts) for parts in (standing.weights, standing.response))
        return replace(standing, weights=weights, response=response).on(device)

    def advance(self, standing: Standing, stop: int, on_step: OnStep = silent) -> Standing:
        """State after ``stop`` updates of the weights.

        Raises:
            Diverged: no member has finite weights.
        """
        state = self.placed(replace(standing, slope=torch.zeros_like(standing.slope), slopes=0))
        table = self._tables(state.point)
        while state.step < stop:
            state = self._train(state, table, on_step)
            if self.settings.looks_after(state.step, self.problem.steps):
                for _ in range(self.settings.validation_count):
                    state = self._look(state, table)
                table = replace(table, loss=self._tables(state.point, steps=False).loss)
        found = state.on(standing.point.device)
        # Regularisers that no run could judge are NaN from then on.
        if at_once(found.point.device) and not found.point.isfinite().all():
            raise self._lost(found.step)
        return found

    def _lost(self, step: int) -> Diverged:
        return Diverged(
            f"all {self.members} best-response runs diverged within {step} of {self.problem.steps} steps",
            "lower optimizer.learning_rate or method.response_rate, clip at a smaller norm, or warm the schedule up",
        )

    def _tables(self, point: Tensor, *, steps: bool = True) -> Coefficients:
        """Coefficients at a point [K], one row per member; without ``steps`` only those of the loss."""
        points = point.expand(self.members, -1)
        if steps:
            return self.problem.coefficients(points).detached()
        return Coefficients({}, self.problem.loss_tables(points), {}, {})

    def _train(self, state: Standing, table: Coefficients, on_step: OnStep) -> Standing:
        """State after one update of the weights and one of the response."""
        problem, step = self.problem, self.problem.at_step(state.step)
        noise = self._normal(self._training, step, problem.batch_size)
        points = state.point.expand(*noise.shape[:2], -1).clone()
        points[..., self._answered] += state.log_scales.exp() * noise
        by_weights, by_response = [], []
        for rows in groups(self.members, problem.together):
            part = table.of(rows)
            found = self.objectives.training_gradient(
                state.weights[0][rows],
                state.response[0][rows],
                state.point,
                points[rows],
                part.loss,
                problem.batch(self.draw.of(rows), step),
            )
            by_weights.append(found.weights)
            by_response.append(found.response)
        weights = problem.stepped(state.weights, torch.cat(by_weights), table, step)
        with torch.no_grad():
            rate = self.settings.response_rate * self._schedule(table)[state.step]
            response = adam(state.response, torch.cat(by_response), _adam(rate[:, None], RESPONSE_BETA2), step)
        on_step(self.members)
        return replace(state, step=state.step + 1, weights=weights, response=response)

    def _schedule(self, table: Coefficients) -> Tensor:
        """The job's schedule as a share of its peak, [T, members]."""
        rates = table.scheduled["learning_rate"][:, :, 0]
        found: Tensor = rates / rates.amax(dim=0)
        return found

    def _look(self, state: Standing, table: Coefficients) -> Standing:
        """State after one validation step: an update of the regularisers and of their perturbations' scales."""
        split = self.problem.data.validation.batch(state.looks, self.problem.batch_size)
        noise = self.validation_noise(state.looks, len(split))
        losses: list[Tensor] = []
        by_h: list[Tensor] = []
        by_scale: list[Tensor] = []
        for rows in groups(self.members, self.problem.together):
            found = self.objectives.validation_slope(
                state.weights[0][rows],
                state.response[0][rows],
                state.point,
                state.log_scales,
                noise[rows],
                table.of(rows).loss,
                split,
            )
            for whole, part in zip((losses, by_h, by_scale), found, strict=True):
                whole.append(part)
        slope, by_scales = torch.cat(by_h).double(), torch.cat(by_scale).double()
        sound = slope.isfinite().all(dim=1) & by_scales.isfinite().all(dim=1) & torch.cat(losses).isfinite()
        if at_once(slope.device) and not sound.any():
            raise self._lost(state.step)
        # The means over the runs that are finite, without waiting to learn which these are.
        slope, by_scales = (torch.where(sound[:, None], each, 0.0).sum(dim=0) / sound.sum() for each in (slope, by_scales))
        by_scales = by_scales - self.settings.entropy_weight
        # Weights at a small learning rate cannot follow the regularisers, so the regularisers slow down with them.
        slowed = self._rate * self._schedule(table)[state.step - 1, :1, None].double()
        rate = _adam(slowed, REGULARISER_BETA2)
        knobs = adam(state.knobs, torch.cat([slope, by_scales])[None], rate, self.problem.at_step(state.looks))
        point, knobs = self._bounded(state.point, knobs)
        moment = Moment(state.step, point, knobs[0][0, len(self.rows) :])
        return replace(
            state,
            looks=state.looks + 1,
            point=point,
            knobs=knobs,
            trajectory=(*state.trajectory, moment),
            slope=state.slope + slope,
            slopes=state.slopes + 1,
        )

    def _bounded(self, point: Tensor, knobs: OptimizerState) -> tuple[Tensor, OptimizerState]:
        """(point, state of the regularisers) clamped to the search space and to the bounds of the scales."""
        moved, count = point.clone(), len(self.rows)
        moved[self._answered] = knobs[0][0, :count]
        moved = self.problem.space.clamp(moved)
        scales = knobs[0][0, count:].clamp(log(NARROWEST), log(WIDEST))
        return moved, (torch.cat([moved[self._answered], scales])[None], *knobs[1:])

    def validation_noise(self, look: int, examples: int) -> Tensor:
        """Perturbations of one validation step at unit scale, [members, examples, k]."""
        return self._normal(self._validation, self.problem.at_step(look), examples)

    def _normal(self, streams: Tensor, step: Step, examples: int) -> Tensor:
        """Standard normal numbers of one step, [members, examples, k], float64."""
        found = normal(keys_of(streams, step), examples * len(self.rows), torch.float64)
        return found.view(len(streams), examples, len(self.rows))

    def parameters(self, state: Standing, offset: Tensor | None = None) -> Tensor:
        """Weights that the response gives at the present point, or at ``offset`` [k] from it, [members, P]."""
        centre = state.point.to(self.problem.device)
        point = centre.clone()
        if offset is not None:
            point[self._answered] += offset.to(point.device)
        moved = self.objectives.moved(point, centre).expand(self.members, -1)
        return self.network.effective(state.weights[0], state.response[0], moved)

    @torch.no_grad()
    def losses(self, state: Standing, split: Split, offset: Tensor | None = None) -> Tensor:
        """Loss without regularisers on a split, [members], float64, at the present point or ``offset`` [k] from it."""
        loss = self._tables(state.point, steps=False).loss
        return self.problem.evaluate(self.parameters(state, offset), loss, split)[0].double().to(state.point.device)


def _adam(rate: Tensor, memory: float) -> Tables:
    """Coefficients of Adam with this rate and beta2, in the rate's dtype."""
    settings = {"beta1": BETA1, "beta2": memory, "eps": EPS}
    return {"learning_rate": rate, **{name: torch.full_like(rate, value) for name, value in settings.items()}}


@dataclass(frozen=True)
class Answer:
    """A best-response run that has ended, with its last state."""

    run: BestResponseRun
    standing: Standing
