"""Peak memory of a whole job in bytes: the largest of its phases. Imports no torch."""

from hpo.search.budget import (
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
from hpo.sizing.checks import checks_bytes
from hpo.sizing.counts import coordinates
from hpo.sizing.memory import (
    RETAINED,
    Memory,
    certificate_bytes,
    estimator_bytes,
    held_together,
    is_auto,
    plain_bytes,
    plain_members,
)
from hpo.sizing.starts import at_once
from hpo.sizing.work import AUTO_RUNS, tilted
from windtunnel.types.spec import JobSpec


def members_at_once(spec: JobSpec) -> int:
    """Members of the largest population of plain runs: what may train at once, as far as any phase has so many runs."""
    return min(plain_members(spec), runs_at_once(spec))


def runs_at_once(spec: JobSpec) -> int:
    """Most plain runs that one phase asks for together: of the scout, an outer step, or the finish."""
    seeds, outer = spec.inner.seeds, spec.outer
    most = MOST_AUTO_CANDIDATES if is_auto(spec) else MOST_CANDIDATES
    finish = (min(most, 1 + outer.steps) + outer.starts - 1) * outer.finish_seeds
    step = AUTO_RUNS if is_auto(spec) else RACERS * outer.starts
    scout = max(seeds, STARTS_SPREAD * (outer.starts - 1))
    if outer.scout and is_auto(spec):
        spread = 1 + SURVEY_RATES + SURVEY_PER_DIMENSION * coordinates(spec)
        scout = max(min(1 + SURVEY, spread), 2 * tilted(spec))
    elif outer.scout and spec.searches("learning_rate"):
        scout = max(scout, SWEEP, SWEEP_FINALISTS * seeds)
    return max(scout, step, finish)


def waiting_bytes(spec: JobSpec) -> int:
    """States of the candidates of a race that wait for their turn, where early stopping trains all from look to look."""
    if not spec.outer.early_stopping:
        return 0
    raced = AUTO_RUNS if is_auto(spec) else max(RACERS, SWEEP_FINALISTS * spec.inner.seeds)
    # Once as they are, and once more while those that go on are put together.
    return 2 * max(0, raced - members_at_once(spec)) * Memory(spec).state


def population_bytes(spec: JobSpec, limit: int, members: int) -> int:
    """Peak of plain populations of so many members, of the hypergradient and of the certificate, whichever is largest.

    What an update of a plain population took stays with the process's allocator while a hypergradient is computed.
    """
    memory = Memory(spec)
    retained = held_together(spec, members) * RETAINED * memory.parameters
    working = max(plain_bytes(spec, members), estimator_bytes(spec, limit) + retained)
    if held_together(spec, members) < members:
        # One member's blocks are small enough for the allocator to keep, and too small for the certificate in float64.
        return working + certificate_bytes(spec)
    return max(working, certificate_bytes(spec))


def peak_bytes(spec: JobSpec, limit: int) -> int:
    """Peak of the whole job, of all the starts that are at work at once, and of its checks for the transfer.

    Args:
        spec: the job.
        limit: memory for populations in bytes; decides what ``checkpointing: auto`` means.
    """
    populations = population_bytes(at_once(spec), limit, members_at_once(spec))
    return max(populations + waiting_bytes(spec), checks_bytes(spec))
