"""The search ``auto``: a scout, a sampler and bounded gradients with races, on shared observations and one account.

The sampler makes the large moves that lead to another basin. The mean of the best points finds the middle of the basin in
spite of noise, and there a gradient pays, whatever the number of hyperparameters. Each outer step goes to the arm that
recently gained more for its cost.
"""

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from hpo.errors import Diverged
from hpo.footprint.budget import (
    FORMER,
    GRADIENT_SEEDS,
    MOVE_FINALISTS,
    MOVE_LENGTHS,
    PANEL_SHARE,
    RUNS_PER_GRADIENT,
    SAMPLED,
    short_steps,
)
from hpo.search.descent.race import confidence, free_gradient, to_unit
from hpo.search.observations import Observations, Slope
from hpo.search.portfolio.arms import PlayedArm, Tally, choose
from hpo.search.portfolio.intensifier import Intensifier
from hpo.search.portfolio.sampler import ELITES, consensus, propose
from hpo.search.portfolio.scout import sampler_history, scout
from hpo.search.portfolio.slope_regression import CHAOTIC, NEAR, combined_confidence
from hpo.search.protocol import SearchContext, SearchState
from hpo.search.readings import NOTHING_STOPPED, Chaos, Readings
from hpo.seeding import Purpose, number_of
from hpo.training.evaluation import SeedPath, diverged_to_infinity, mean_and_stderr
from windtunnel.types import OuterStep, TriedPoints
from windtunnel.types.events import Arm

WIDTH, WIDEST, NARROWEST = 0.8, 2.0, 0.1
"""Size of the trust region: first, largest and smallest, in unconstrained units."""
GROW, SHRINK = 1.5, 0.5
"""Factors on the trust region: on the length of a move that won; on the present size if no candidate won."""


@dataclass(frozen=True)
class Pull:
    """Result of one outer step, which is one pull of an arm."""

    arm: Arm
    reason: str
    gain: float = 0.0
    candidates: int = 0
    gradient: Tensor | None = None
    chaos: Chaos | None = None
    sweep: dict[str, list[float]] | None = None


class Portfolio:
    """Searches with all arms under one budget. All arms read and add to the same observations."""

    def __init__(self, context: SearchContext) -> None:
        self.context = context
        self.readings = Readings()
        most = PANEL_SHARE * context.spec.inner.seeds
        brief = context.shorter(short_steps(context.spec.inner.steps))
        # Short runs choose the points that are run in full. All their ranks count, so none of them is ended early.
        self.full, self.short = (
            Intensifier(problem, self._seed_path, most, context.population, context.account, early_stopping=stops)
            for problem, stops in ((context.problem, context.spec.outer.early_stopping), (brief, False))
        )
        self.width = WIDTH
        self.tallies: dict[PlayedArm, Tally] = {"gradient": Tally(), "sampler": Tally()}
        self.incumbent_rows: list[int] = []
        """Rows of the incumbents so far, oldest first; a row is not repeated while it stays the incumbent."""
        self.reported = 0
        """Points of the full runs that the steps so far have reported: those before this row."""

    def _seed_path(self, index: int) -> SeedPath:
        return (self.context.spec.seed, Purpose.PANEL, 0, index)

    @property
    def start(self) -> Tensor:
        """The incumbent after outer step 0, [k]."""
        return self.full.seen.points[self.incumbent_rows[0]]

    def begin(self) -> OuterStep:
        """Outer step 0: takes the scout's best point, or the given start, as the incumbent and judges it.

        Raises:
            Diverged: no full run at the start stayed finite.
        """
        full, spec = self.full, self.context.spec
        before = self.context.space.start()
        sweep = None
        if spec.outer.scout:
            sweep = scout(self.context, full, self.short)
        else:
            self.context.account.enter("scout", 0, spec.inner.seeds * spec.inner.steps)
            full.seen.add(before[None], "scout")
        for seed in range(full.seeds_that_count):
            full.run([full.incumbent], seed)
        if not full.seen.known(full.incumbent).isfinite().any():
            raise Diverged(
                f"all {len(full.seen.known(full.incumbent))} training runs at the start diverged",
                "start from a lower optimizer.learning_rate, or let the scout choose one (outer.scout: true)",
            )
        return self._report(0, before, Pull("scout", "the start", candidates=len(full.seen), sweep=sweep))

    def advance(self, outer_step: int) -> OuterStep:
        """Pulls the arm of highest gain per cost once, books its cost, and reports the step."""
        account, before = self.context.account, self.full.best
        left = account.left
        arm, reason = choose(self.tallies, account.run_equivalents, self._without_gradient(left))
        spent = account.run_equivalents
        pull = self._descend(outer_step, reason) if arm == "gradient" else self._sample(outer_step, reason, left)
        self.tallies[arm] = self.tallies[arm].booking(pull.gain, account.run_equivalents - spent)
        return self._report(outer_step, before, pull)

    def _without_gradient(self, left: float) -> str | None:
        """The reason why the gradient arm cannot be chosen now; None if it can. ``left``: run-equivalents left."""
        if self.context.spec.optimizer.info.pathwise:
            return self.context.spec.optimizer.info.pathwise
        seeds = self._seeds_to_differentiate()
        if not seeds:
            return f"the gradients of {self.full.most_seeds} seeds at this point are known"
        if left < RUNS_PER_GRADIENT * len(seeds) + 1:
            return "the budget left does not pay for a gradient"
        return None

    def _seeds_to_differentiate(self) -> list[int]:
        """New seeds for the incumbent's hypergradients, which also judge it anew; [] if it already has enough of them."""
        new = self.full.seen.seeds
        enough = len(self.full.seen.slopes_at(self.full.incumbent)) >= self.full.most_seeds
        return [] if enough else list(range(new, new + GRADIENT_SEEDS))

    def _sample(self, outer_step: int, reason: str, left: float) -> Pull:
        full, space, spec = self.full, self.context.space, self.context.spec
        affordable = int(min(left, SAMPLED + len(ELITES)))
        batch = max(0, affordable - len(ELITES))
        self.context.account.enter("tune", outer_step, (batch + len(ELITES) + full.most_seeds) * spec.inner.steps)
        levels = full.seen.levels()
        found = [consensus(full.seen.points, levels, share) for share in ELITES][:affordable]
        if batch:
            seed = number_of((spec.seed, Purpose.SAMPLER, outer_step)) % 2**32
            found += propose(*sampler_history(full.seen, self.short.seen), space.low, space.high, batch, seed)
        rows = full.seen.add(space.clamp(torch.stack(found)), "sampler")
        # A new seed: neither the sampler's points nor the incumbent were chosen by their losses on it.
        first = full.seen.seeds
        full.race_incumbent(rows, first)
        return Pull("sampler", reason, full.challenge(rows, first), len(rows))

    def _descend(self, outer_step: int, reason: str) -> Pull:
        full, context, account = self.full, self.context, self.context.account
        row, seeds = full.incumbent, self._seeds_to_differentiate()
        point = full.best
        member_steps = len(seeds) * context.estimator.member_steps(context.problem)
        racing = (2 * len(MOVE_LENGTHS) + full.most_seeds) * context.spec.inner.steps
        account.enter("tune", outer_step, member_steps + racing)
        draw = context.problem.draw([self._seed_path(seed) for seed in seeds])
        estimate = context.estimator.estimate(context.problem, point.expand(len(seeds), -1), draw, account.step)
        account.spend(estimate.cost)
        losses = diverged_to_infinity(estimate.value.double())
        sound = losses.isfinite() & estimate.gradient.isfinite().all(dim=1)
        full.dropped += int((~sound).sum())
        for index, seed in enumerate(seeds):
            # The estimator's runs are full runs: they count for the incumbent too.
            full.seen.record(row, seed, float(losses[index]))
            full.seen.slopes.append(Slope(row, seed, estimate.gradient[index].double()))
        chaos = Chaos.read(estimate, sound)
        gradients = [slope.gradient for slope in full.seen.slopes_at(row) if slope.is_sound]
        if not gradients:
            return Pull("gradient", reason, chaos=chaos)
        stacked = torch.stack(gradients)
        rows = [new for new in full.seen.add(self._moves(row, stacked, chaos), "gradient") if new != row]
        # The incumbent's run with this seed has no losses at the looks, so the candidates race each other.
        full.race(rows, seeds[0], MOVE_FINALISTS)
        gain = full.challenge(rows, seeds[0])
        length = float((full.best - point).abs().max())
        grown = min(max(GROW * length, NARROWEST), WIDEST)
        self.width = max(SHRINK * self.width, NARROWEST) if full.incumbent == row else grown
        return Pull("gradient", reason, gain, len(rows), stacked.mean(dim=0), chaos)

    def _moves(self, row: int, gradients: Tensor, chaos: Chaos | None) -> Tensor:
        """Candidates [n, k] along the confidence in the signs and along the mean gradient."""
        space, point = self.context.space, self.full.seen.points[row]
        sure = confidence(gradients)
        if chaos is not None and chaos.bounded_share > CHAOTIC and len(gradients) > 1:
            sure = self._combined_confidence(row, gradients)
        found = []
        for direction in (sure, gradients.mean(dim=0)):
            free = to_unit(free_gradient(direction, point, space.low, space.high))
            found += [space.clamp(point - length * self.width * free) for length in MOVE_LENGTHS]
        return torch.stack(found)

    def _combined_confidence(self, row: int, gradients: Tensor) -> Tensor:
        """Confidence in each coordinate's sign from gradients and from nearby runs, [k]."""
        seen, levels = self.full.seen, self.full.seen.levels()
        offsets, known = seen.points - seen.points[row], seen.known(row)
        near = (offsets.abs().amax(dim=1) <= NEAR) & levels.isfinite()
        near[row] = False
        noise = float(known.std()) if len(known) > 1 and known.isfinite().all() else 0.0
        if not near.any() or noise == 0.0:
            return confidence(gradients)
        return combined_confidence(gradients, offsets[near], levels[near] - levels[row], noise)

    def _report(self, outer_step: int, before: Tensor, pull: Pull) -> OuterStep:
        full, space, account = self.full, self.context.space, self.context.account
        if not self.incumbent_rows or self.incumbent_rows[-1] != full.incumbent:
            self.incumbent_rows.append(full.incumbent)
        dropped = full.dropped + self.short.dropped
        full.dropped = self.short.dropped = 0
        early, full.early = full.early, NOTHING_STOPPED
        stops = full.early_stopping
        self.readings = self.readings.dropping(dropped).adding(pull.chaos, pull.gradient).stopping(early)
        mean, stderr, survivors = mean_and_stderr(full.seen.known(full.incumbent))
        gradient = {} if pull.gradient is None else dict(zip(space.labels, pull.gradient.tolist(), strict=True))
        chaos = pull.chaos
        return OuterStep(
            outer_step=outer_step,
            outer_steps=self.context.spec.outer.planned_steps,
            arm=pull.arm,
            reason=pull.reason,
            gain=pull.gain,
            candidates=pull.candidates,
            tried=self._tried(),
            ended_early=early.stopped + early.diverged if stops else None,
            saved_steps=early.steps if stops else None,
            spent={arm: tally.spent for arm, tally in self.tallies.items()},
            loss=mean,
            stderr=stderr,
            seeds=survivors,
            dropped_members=dropped,
            hyperparameters=space.as_dict(full.best),
            gradient=gradient,
            gradient_norm=None if pull.gradient is None else float(pull.gradient.norm()),
            bounded_share=None if chaos is None else chaos.bounded_share,
            mean_scale=None if chaos is None else chaos.mean_scale,
            step_length=float((full.best - before).abs().max()),
            moved=not torch.equal(before, full.best),
            rolled_back=False,
            sweep=pull.sweep,
            run_equivalents=account.run_equivalents,
        )

    def _tried(self) -> TriedPoints:
        """The points of full runs that no step has reported yet, without those that a race left unrun."""
        seen, first = self.full.seen, self.reported
        self.reported = len(seen)
        rows = [row for row in range(first, len(seen)) if not bool(seen.losses[row].isnan().all())]
        levels = seen.levels().tolist()
        values = [self.context.space.as_dict(seen.points[row]) for row in rows]
        return TriedPoints(
            hyperparameters={label: [each[label] for each in values] for label in self.context.space.labels},
            losses=[levels[row] if math.isfinite(levels[row]) else None for row in rows],
        )

    def candidates(self) -> Tensor:
        """Points to judge at the end, [n, k]: the start and the last incumbents."""
        rows = dict.fromkeys([self.incumbent_rows[0], *reversed(self.incumbent_rows[-FORMER - 1 :])])
        return self.full.seen.points[list(rows)]

    def answer(self) -> None:
        """Returns None: this search trains no best response."""

    def state(self) -> SearchState:
        """The observations of full and short runs, the incumbents, the tallies and the trust region."""
        # The keys are part of the format of saved states: they do not follow the names of the attributes.
        tensors: dict[str, Tensor] = {}
        numbers: dict[str, object] = {
            "width": self.width,
            "reigns": self.incumbent_rows,
            "incumbents": [self.full.incumbent, self.short.incumbent],
            "tallies": {arm: asdict(tally) for arm, tally in self.tallies.items()},
        }
        for name, intensifier in (("full", self.full), ("short", self.short)):
            stored, said = intensifier.seen.state()
            tensors |= {f"{name}.{key}": tensor for key, tensor in stored.items()}
            numbers[name] = said
        return tensors, numbers

    def load(self, state: SearchState) -> None:
        """Continues with the observations and the incumbents of a saved state."""
        tensors, numbers = state
        self.width, self.incumbent_rows = numbers["width"], numbers["reigns"]
        self.tallies = {arm: Tally(**tally) for arm, tally in numbers["tallies"].items()}
        intensifiers = (self.full, self.short)
        for name, intensifier, incumbent in zip(("full", "short"), intensifiers, numbers["incumbents"], strict=True):
            parts = {key.removeprefix(f"{name}."): part for key, part in tensors.items() if key.startswith(f"{name}.")}
            intensifier.seen, intensifier.incumbent = Observations.of_state(parts, numbers[name]), incumbent
        self.reported = len(self.full.seen)  # states are saved after a report
