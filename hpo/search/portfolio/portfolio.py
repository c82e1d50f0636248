"""``auto``: a scout, a sampler and bounded gradients with races, over one store of observations, under one account.

The sampler makes the large moves that lead to another basin, and the mean of the best points finds the basin's middle in
spite of noise; there a gradient pays, whatever the number of hyperparameters. Each outer step goes to the arm that lately
gained more for its cost.
"""

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
from hpo.search.portfolio.duels import Arena
from hpo.search.portfolio.sampler import ELITES, consensus, propose
from hpo.search.portfolio.scout import sampler_history, survey
from hpo.search.portfolio.witness import CHAOTIC, NEAR, witnessed
from hpo.search.protocol import SearchContext, SearchState
from hpo.search.readings import NOTHING_STOPPED, Chaos, Readings
from hpo.seeding import Purpose, number_of
from hpo.training.evaluation import SeedPath, diverged_to_infinity, mean_and_stderr
from windtunnel.types import OuterStep
from windtunnel.types.events import Arm

WIDTH, WIDEST, NARROWEST = 0.8, 2.0, 0.1
GROW, SHRINK = 1.5, 0.5


@dataclass(frozen=True)
class Pull:
    """What one outer step did."""

    arm: Arm
    reason: str
    gain: float = 0.0
    candidates: int = 0
    gradient: Tensor | None = None
    chaos: Chaos | None = None
    sweep: dict[str, list[float]] | None = None


class Portfolio:
    """Searches with all arms under one budget. Every arm sees and adds to the same observations."""

    def __init__(self, context: SearchContext) -> None:
        self.context = context
        self.readings = Readings()
        most = PANEL_SHARE * context.spec.inner.seeds
        brief = context.shorter(short_steps(context.spec.inner.steps))
        # Short runs only tell what is worth a run in full; of those, ranks count from the first to the last.
        self.arena, self.short = (
            Arena(problem, self._seed_path, most, context.population, context.account, early_stopping=stops)
            for problem, stops in ((context.problem, context.spec.outer.early_stopping), (brief, False))
        )
        self.width = WIDTH
        self.tallies: dict[PlayedArm, Tally] = {"gradient": Tally(), "sampler": Tally()}
        self.reigns: list[int] = []
        """Rows of the incumbents after each outer step, without repetitions."""

    def _seed_path(self, index: int) -> SeedPath:
        return (self.context.spec.seed, Purpose.PANEL, 0, index)

    @property
    def start(self) -> Tensor:
        """See the protocol."""
        return self.arena.seen.points[self.reigns[0]]

    def begin(self) -> OuterStep:
        """See the protocol.

        Raises:
            Diverged: no training run of the scout stayed finite at the full horizon.
        """
        arena, spec = self.arena, self.context.spec
        before = self.context.space.start()
        sweep = None
        if spec.outer.scout:
            sweep = survey(self.context, arena, self.short)
        else:
            self.context.account.enter("scout", 0, spec.inner.seeds * spec.inner.steps)
            arena.seen.add(before[None], "scout")
        for seed in range(arena.seeds_that_count):
            arena.run([arena.incumbent], seed)
        if not arena.seen.known(arena.incumbent).isfinite().any():
            raise Diverged(
                f"all {len(arena.seen.known(arena.incumbent))} training runs at the start diverged",
                "start from a lower optimizer.learning_rate, or let the scout choose one (outer.scout: true)",
            )
        return self._report(0, before, Pull("scout", "the start", candidates=len(arena.seen), sweep=sweep))

    def advance(self, outer_step: int) -> OuterStep:
        """See the protocol."""
        account, before = self.context.account, self.arena.best
        left = account.left
        arm, reason = choose(self.tallies, account.run_equivalents, self._without_gradient(left))
        spent = account.run_equivalents
        pull = self._descend(outer_step, reason) if arm == "gradient" else self._sample(outer_step, reason, left)
        self.tallies[arm] = self.tallies[arm].booking(pull.gain, account.run_equivalents - spent)
        return self._report(outer_step, before, pull)

    def _without_gradient(self, left: float) -> str | None:
        if self.context.spec.optimizer.info.pathwise:
            return self.context.spec.optimizer.info.pathwise
        seeds = self._seeds_to_differentiate()
        if not seeds:
            return f"the gradients of {self.arena.most_seeds} seeds at this point are known"
        if left < RUNS_PER_GRADIENT * len(seeds) + 1:
            return "the budget left does not pay for a gradient"
        return None

    def _seeds_to_differentiate(self) -> list[int]:
        """Seeds that no point has met, so that the incumbent is judged anew; none where enough had their turn there."""
        new = self.arena.seen.seeds
        enough = len(self.arena.seen.slopes_at(self.arena.incumbent)) >= self.arena.most_seeds
        return [] if enough else list(range(new, new + GRADIENT_SEEDS))

    def _sample(self, outer_step: int, reason: str, left: float) -> Pull:
        arena, space, spec = self.arena, self.context.space, self.context.spec
        affordable = int(min(left, SAMPLED + len(ELITES)))
        batch = max(0, affordable - len(ELITES))
        self.context.account.enter("tune", outer_step, (batch + len(ELITES) + arena.most_seeds) * spec.inner.steps)
        levels = arena.seen.levels()
        found = [consensus(arena.seen.points, levels, share) for share in ELITES][:affordable]
        if batch:
            seed = number_of((spec.seed, Purpose.SAMPLER, outer_step)) % 2**32
            found += propose(*sampler_history(arena.seen, self.short.seen), space.low, space.high, batch, seed)
        rows = arena.seen.add(space.clamp(torch.stack(found)), "sampler")
        # A seed that no point has met: neither the sampler nor the incumbent can owe their standing to it.
        first = arena.seen.seeds
        arena.race_incumbent(rows, first)
        return Pull("sampler", reason, arena.challenge(rows, first), len(rows))

    def _descend(self, outer_step: int, reason: str) -> Pull:
        arena, context, account = self.arena, self.context, self.context.account
        row, seeds = arena.incumbent, self._seeds_to_differentiate()
        point = arena.best
        member_steps = len(seeds) * context.estimator.member_steps(context.problem)
        racing = (2 * len(MOVE_LENGTHS) + arena.most_seeds) * context.spec.inner.steps
        account.enter("tune", outer_step, member_steps + racing)
        draw = context.problem.draw([self._seed_path(seed) for seed in seeds])
        estimate = context.estimator.estimate(context.problem, point.expand(len(seeds), -1), draw, account.step)
        account.spend(estimate.cost)
        losses = diverged_to_infinity(estimate.value.double())
        sound = losses.isfinite() & estimate.gradient.isfinite().all(dim=1)
        arena.dropped += int((~sound).sum())
        for index, seed in enumerate(seeds):
            # The runs of the estimator are runs like any other: the incumbent is judged by them too.
            arena.seen.record(row, seed, float(losses[index]))
            arena.seen.slopes.append(Slope(row, seed, estimate.gradient[index].double()))
        chaos = Chaos.read(estimate, sound)
        gradients = [slope.gradient for slope in arena.seen.slopes_at(row) if slope.is_sound]
        if not gradients:
            return Pull("gradient", reason, chaos=chaos)
        stacked = torch.stack(gradients)
        rows = [new for new in arena.seen.add(self._moves(row, stacked, chaos), "gradient") if new != row]
        # The incumbent's run with this seed is the estimator's, and nobody looked at it on the way: they race each other.
        arena.race(rows, seeds[0], MOVE_FINALISTS)
        gain = arena.challenge(rows, seeds[0])
        length = float((arena.best - point).abs().max())
        grown = min(max(GROW * length, NARROWEST), WIDEST)
        self.width = max(SHRINK * self.width, NARROWEST) if arena.incumbent == row else grown
        return Pull("gradient", reason, gain, len(rows), stacked.mean(dim=0), chaos)

    def _moves(self, row: int, gradients: Tensor, chaos: Chaos | None) -> Tensor:
        """Candidates [n, k] along the sure direction and along the gradient itself."""
        space, point = self.context.space, self.arena.seen.points[row]
        sure = confidence(gradients)
        if chaos is not None and chaos.bounded_share > CHAOTIC and len(gradients) > 1:
            sure = self._witnessed(row, gradients)
        found = []
        for direction in (sure, gradients.mean(dim=0)):
            free = to_unit(free_gradient(direction, point, space.low, space.high))
            found += [space.clamp(point - length * self.width * free) for length in MOVE_LENGTHS]
        return torch.stack(found)

    def _witnessed(self, row: int, gradients: Tensor) -> Tensor:
        """The sure direction by gradients and by the runs that were made nearby, [k]."""
        seen, levels = self.arena.seen, self.arena.seen.levels()
        offsets, known = seen.points - seen.points[row], seen.known(row)
        near = (offsets.abs().amax(dim=1) <= NEAR) & levels.isfinite()
        near[row] = False
        noise = float(known.std()) if len(known) > 1 and known.isfinite().all() else 0.0
        if not near.any() or noise == 0.0:
            return confidence(gradients)
        return witnessed(gradients, offsets[near], levels[near] - levels[row], noise)

    def _report(self, outer_step: int, before: Tensor, pull: Pull) -> OuterStep:
        arena, space, account = self.arena, self.context.space, self.context.account
        if not self.reigns or self.reigns[-1] != arena.incumbent:
            self.reigns.append(arena.incumbent)
        dropped = arena.dropped + self.short.dropped
        arena.dropped = self.short.dropped = 0
        early, arena.early = arena.early, NOTHING_STOPPED
        stops = arena.early_stopping
        self.readings = self.readings.dropping(dropped).adding(pull.chaos).stopping(early)
        mean, stderr, survivors = mean_and_stderr(arena.seen.known(arena.incumbent))
        gradient = {} if pull.gradient is None else dict(zip(space.labels, pull.gradient.tolist(), strict=True))
        chaos = pull.chaos
        return OuterStep(
            outer_step=outer_step,
            outer_steps=self.context.spec.outer.planned_steps,
            arm=pull.arm,
            reason=pull.reason,
            gain=pull.gain,
            candidates=pull.candidates,
            ended_early=early.stopped + early.diverged if stops else None,
            saved_steps=early.steps if stops else None,
            spent={arm: tally.spent for arm, tally in self.tallies.items()},
            loss=mean,
            stderr=stderr,
            seeds=survivors,
            dropped_members=dropped,
            hyperparameters=space.as_dict(arena.best),
            gradient=gradient,
            gradient_norm=None if pull.gradient is None else float(pull.gradient.norm()),
            bounded_share=None if chaos is None else chaos.bounded_share,
            mean_scale=None if chaos is None else chaos.mean_scale,
            step_length=float((arena.best - before).abs().max()),
            moved=not torch.equal(before, arena.best),
            rolled_back=False,
            sweep=pull.sweep,
            run_equivalents=account.run_equivalents,
        )

    def candidates(self) -> Tensor:
        """See the protocol: the start, and the last incumbents."""
        rows = dict.fromkeys([self.reigns[0], *reversed(self.reigns[-FORMER - 1 :])])
        return self.arena.seen.points[list(rows)]

    def answer(self) -> None:
        """See the protocol."""

    def state(self) -> SearchState:
        """See the protocol."""
        tensors: dict[str, Tensor] = {}
        numbers: dict[str, object] = {
            "width": self.width,
            "reigns": self.reigns,
            "incumbents": [self.arena.incumbent, self.short.incumbent],
            "tallies": {arm: asdict(tally) for arm, tally in self.tallies.items()},
        }
        for name, arena in (("full", self.arena), ("short", self.short)):
            stored, said = arena.seen.state()
            tensors |= {f"{name}.{key}": tensor for key, tensor in stored.items()}
            numbers[name] = said
        return tensors, numbers

    def load(self, state: SearchState) -> None:
        """See the protocol."""
        tensors, numbers = state
        self.width, self.reigns = numbers["width"], numbers["reigns"]
        self.tallies = {arm: Tally(**tally) for arm, tally in numbers["tallies"].items()}
        for name, arena, incumbent in zip(("full", "short"), (self.arena, self.short), numbers["incumbents"], strict=True):
            parts = {key.removeprefix(f"{name}."): part for key, part in tensors.items() if key.startswith(f"{name}.")}
            arena.seen, arena.incumbent = Observations.of_state(parts, numbers[name]), incumbent
