"""Peak memory of a whole job in bytes: that of its largest phase. Imports no torch."""

from hpo.footprint.budget import (
    MOST_AUTO_CANDIDATES,
    MOST_CANDIDATES,
    RACERS,
    SCOUT_PER_DIMENSION,
    SCOUT_POINTS,
    SCOUT_RATES,
    STARTS_SPREAD,
    SWEEP,
    SWEEP_FINALISTS,
)
from hpo.footprint.memory import (
    RETAINED,
    Memory,
    at_once,
    held_together,
    plain_bytes,
    plain_members,
)
from hpo.footprint.sizes import Sizes
from hpo.sizing.checks import checks_bytes
from hpo.sizing.hypergradients import certificate_bytes, hypergradient_bytes
from hpo.sizing.work import AUTO_RUNS, perturbed_rates


def members_at_once(sizes: Sizes) -> int:
    """Members of the largest plain population: those that can train together, but no more than one phase has runs."""
    return min(plain_members(sizes), runs_at_once(sizes))


def runs_at_once(sizes: Sizes) -> int:
    """Most plain runs that one phase trains together: in the scout, an outer step, or the finish."""
    spec = sizes.spec
    seeds, outer = spec.inner.seeds, spec.outer
    most = MOST_AUTO_CANDIDATES if spec.method.info.has_sampler else MOST_CANDIDATES
    finish = (min(most, 1 + outer.steps) + outer.starts - 1) * outer.finish_seeds
    step = AUTO_RUNS if spec.method.info.has_sampler else RACERS * outer.starts
    scout = max(seeds, STARTS_SPREAD * (outer.starts - 1))
    if outer.scout and spec.method.info.has_sampler:
        spread = 1 + SCOUT_RATES + SCOUT_PER_DIMENSION * sizes.coordinates
        scout = max(min(1 + SCOUT_POINTS, spread), 2 * perturbed_rates(sizes))
    elif outer.scout and spec.searches("learning_rate"):
        scout = max(scout, SWEEP, SWEEP_FINALISTS * seeds)
    return max(scout, step, finish)


def waiting_bytes(sizes: Sizes) -> int:
    """Bytes of the candidates that wait in a race: early stopping trains all of them in turn, a part of the run each."""
    spec = sizes.spec
    if not spec.outer.early_stopping:
        return 0
    raced = AUTO_RUNS if spec.method.info.has_sampler else max(RACERS, SWEEP_FINALISTS * spec.inner.seeds)
    # Counted twice: a second copy exists while the candidates that go on are put together.
    return 2 * max(0, raced - members_at_once(sizes)) * Memory(sizes).state


def population_bytes(sizes: Sizes, limit: int, members: int) -> int:
    """Peak of plain populations of ``members``, of the hypergradient and of the certificate, whichever is largest.

    Memory of a plain population's update stays with the process's allocator while a hypergradient is computed.
    """
    memory = Memory(sizes)
    retained = held_together(sizes, members) * RETAINED * memory.parameters
    working = max(plain_bytes(sizes, members), hypergradient_bytes(sizes, limit) + retained)
    if held_together(sizes, members) < members:
        # The allocator keeps blocks of one member, which are too small for the certificate in float64 to reuse.
        return working + certificate_bytes(sizes)
    return max(working, certificate_bytes(sizes))


def peak_bytes(sizes: Sizes, limit: int) -> int:
    """Peak of the whole job in bytes, with all starts that run together, and with its measurements for the transfer.

    Args:
        sizes: sizes of the job.
        limit: memory for populations in bytes; decides what ``checkpointing: auto`` means.
    """
    populations = population_bytes(at_once(sizes), limit, members_at_once(sizes))
    return max(populations + waiting_bytes(sizes), checks_bytes(sizes))
