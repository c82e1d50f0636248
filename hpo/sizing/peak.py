"""Peak memory of a whole job in bytes: the largest of its phases. Imports no torch."""

from hpo.footprint.budget import (
    MOST_AUTO_CANDIDATES,
    MOST_CANDIDATES,
    RACERS,
    STARTS_SPREAD,
    SURVEY,
    SURVEY_PER_DIMENSION,
    SURVEY_RATES,
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
from hpo.sizing.work import AUTO_RUNS, tilted


def members_at_once(sizes: Sizes) -> int:
    """Members of the largest population of plain runs: what may train at once, as far as any phase has so many runs."""
    return min(plain_members(sizes), runs_at_once(sizes))


def runs_at_once(sizes: Sizes) -> int:
    """Most plain runs that one phase asks for together: of the scout, an outer step, or the finish."""
    spec = sizes.spec
    seeds, outer = spec.inner.seeds, spec.outer
    most = MOST_AUTO_CANDIDATES if spec.method.info.has_sampler else MOST_CANDIDATES
    finish = (min(most, 1 + outer.steps) + outer.starts - 1) * outer.finish_seeds
    step = AUTO_RUNS if spec.method.info.has_sampler else RACERS * outer.starts
    scout = max(seeds, STARTS_SPREAD * (outer.starts - 1))
    if outer.scout and spec.method.info.has_sampler:
        spread = 1 + SURVEY_RATES + SURVEY_PER_DIMENSION * sizes.coordinates
        scout = max(min(1 + SURVEY, spread), 2 * tilted(sizes))
    elif outer.scout and spec.searches("learning_rate"):
        scout = max(scout, SWEEP, SWEEP_FINALISTS * seeds)
    return max(scout, step, finish)


def waiting_bytes(sizes: Sizes) -> int:
    """States of the candidates of a race that wait for their turn, where early stopping trains all from look to look."""
    spec = sizes.spec
    if not spec.outer.early_stopping:
        return 0
    raced = AUTO_RUNS if spec.method.info.has_sampler else max(RACERS, SWEEP_FINALISTS * spec.inner.seeds)
    # Once as they are, and once more while those that go on are put together.
    return 2 * max(0, raced - members_at_once(sizes)) * Memory(sizes).state


def population_bytes(sizes: Sizes, limit: int, members: int) -> int:
    """Peak of plain populations of so many members, of the hypergradient and of the certificate, whichever is largest.

    What an update of a plain population took stays with the process's allocator while a hypergradient is computed.
    """
    memory = Memory(sizes)
    retained = held_together(sizes, members) * RETAINED * memory.parameters
    working = max(plain_bytes(sizes, members), hypergradient_bytes(sizes, limit) + retained)
    if held_together(sizes, members) < members:
        # One member's blocks are small enough for the allocator to keep, and too small for the certificate in float64.
        return working + certificate_bytes(sizes)
    return max(working, certificate_bytes(sizes))


def peak_bytes(sizes: Sizes, limit: int) -> int:
    """Peak of the whole job, of all the starts that are at work at once, and of its checks for the transfer.

    Args:
        sizes: of the job.
        limit: memory for populations in bytes; decides what ``checkpointing: auto`` means.
    """
    populations = population_bytes(at_once(sizes), limit, members_at_once(sizes))
    return max(populations + waiting_bytes(sizes), checks_bytes(sizes))
