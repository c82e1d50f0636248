"""Submit, claim, beat, expire, pause, cancel, complete and crash in any order: the state machine keeps its promises."""

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import delete

from store import checkpoints, events, jobs, leases, metrics, outbox
from store.database import Database
from store.errors import LeaseLost
from store.keys import LOCAL
from store.leases import Lease
from store.tables import metadata
from windtunnel.types import TERMINAL_STATES, Failure, Job, JobSpec, TuneResult

WRITES = ["beat", "expire", "outer_step", "succeed", "fail", "crash", "release", "shrink"]
CRASH = Failure(type="crashed", message="killed")


@dataclass
class Known:
    """What must be true of a job by all that was done to it."""

    lease: Lease | None = None
    """The only lease that may write."""
    epoch: int = 0
    steps: int = 0
    told: list[tuple[int, str]] = field(default_factory=list)
    end: Job | None = None


@pytest.mark.slow
def test_the_state_machine_keeps_its_promises(database: Database, tune_result: TuneResult) -> None:
    class Jobs(RuleBasedStateMachine):
        ids = Bundle("ids")
        held = Bundle("held")

        def __init__(self) -> None:
            super().__init__()
            with database.transaction() as s:
                for table in reversed(metadata.sorted_tables):
                    s.execute(delete(table))
            self.known: dict[str, Known] = {}

        @rule(target=ids)
        def submit(self) -> str:
            with database.transaction() as s:
                job_id = jobs.submit(s, JobSpec(task="digits"), owner=LOCAL).id
            self.known[job_id] = Known()
            return job_id

        @rule(target=held, job_id=ids, late=st.booleans())
        def claim(self, job_id: str, late: bool) -> Lease | None:
            with database.transaction() as s:
                queued = jobs.get(s, job_id, owner=LOCAL).state == "queued"
                lease = leases.claim(s, job_id, "worker", -1 if late else 60)
            assert (lease is not None) == queued
            if lease is not None:
                known = self.known[job_id]
                assert known.lease is None and lease.epoch == known.epoch + 1
                known.lease, known.epoch = lease, lease.epoch
            return lease

        def attempt(self, lease: Lease | None, write: str) -> None:
            """Write under a lease: it works for the living one and raises LeaseLost for every other."""
            if lease is None:
                return
            known = self.known[lease.job_id]
            alive = known.lease == lease
            try:
                with database.transaction() as s:
                    match write:
                        case "beat":
                            leases.beat(s, lease, 60)
                        case "expire":
                            leases.beat(s, lease, -1)
                        case "outer_step":
                            metrics.record(s, lease, known.steps, {"loss": 1.0})
                            events.append(s, lease.job_id, "outer_step", {"outer_step": known.steps})
                            path = f"{lease.epoch}-{known.steps}"
                            checkpoints.record(s, lease, outer_step=known.steps, path=path, manifest_sha256="0" * 64)
                        case "succeed":
                            leases.succeed(s, lease, tune_result)
                        case "fail":
                            leases.fail(s, lease, CRASH)
                        case "crash":
                            leases.crashed(s, lease, CRASH)
                        case "release":
                            leases.release(s, lease, "drain")
                        case "shrink":
                            leases.shrink(s, lease, 4, "out of memory")
            except LeaseLost:
                assert not alive
                return
            assert alive
            if write == "outer_step":
                known.steps += 1
            elif write not in ("beat", "expire"):
                known.lease = None

        @rule(lease=held, write=st.sampled_from(WRITES))
        def write(self, lease: Lease | None, write: str) -> None:
            self.attempt(lease, write)

        @rule(job_id=ids)
        def cancel(self, job_id: str) -> None:
            with database.transaction() as s:
                before = jobs.get(s, job_id, owner=LOCAL).state
                after = jobs.request_cancel(s, job_id, owner=LOCAL)
            assert after.state == ("cancelled" if before in ("queued", "paused") else before)

        @rule(job_id=ids)
        def pause(self, job_id: str) -> None:
            with database.transaction() as s:
                before = jobs.get(s, job_id, owner=LOCAL).state
                after = jobs.request_pause(s, job_id, owner=LOCAL)
            assert after.state == ("paused" if before == "queued" else before)

        @rule(job_id=ids)
        def resume(self, job_id: str) -> None:
            with database.transaction() as s:
                before = jobs.get(s, job_id, owner=LOCAL).state
                after = jobs.resume(s, job_id, owner=LOCAL)
            assert after.state == ("queued" if before == "paused" else before)
            assert not after.pause_requested

        @rule()
        def reap(self) -> None:
            with database.transaction() as s:
                for job_id in leases.reap(s):
                    assert self.known[job_id].lease is not None
                    self.known[job_id].lease = None

        @rule()
        def ring(self) -> None:
            with database.transaction() as s:
                for job_id in outbox.due(s, 5):
                    assert jobs.get(s, job_id, owner=LOCAL).state == "queued"

        @invariant()
        def promises_hold(self) -> None:
            with database.snapshot() as s:
                running = {lease.job_id: lease for lease in leases.running(s)}
                assert running == {job_id: known.lease for job_id, known in self.known.items() if known.lease is not None}
                for job_id, known in self.known.items():
                    job = jobs.get(s, job_id, owner=LOCAL)
                    told = [(event.seq, event.type) for event in events.after(s, job_id, 0, owner=LOCAL)]
                    assert [seq for seq, _ in told] == list(range(1, len(told) + 1))
                    assert told[: len(known.told)] == known.told
                    known.told = told
                    assert sum(kind in TERMINAL_STATES for _, kind in told) == (job.state in TERMINAL_STATES)
                    assert known.end is None or job == known.end
                    known.end = job if job.state in TERMINAL_STATES else None
                    open_attempts = [a.epoch for a in jobs.attempts(s, job_id, owner=LOCAL) if a.ended_at is None]
                    assert open_attempts == ([known.lease.epoch] if known.lease else [])
                    steps = [entry.steps for entry in metrics.points(s, job_id, owner=LOCAL)]
                    assert steps == ([list(range(known.steps))] if known.steps else [])

    run_state_machine_as_test(
        Jobs,
        settings=settings(
            max_examples=20,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
