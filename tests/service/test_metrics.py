"""Prometheus reads the whole fleet from any server."""

from datetime import UTC, datetime

from prometheus_client.parser import text_string_to_metric_families

from store import leases, outbox, workers
from store.tables import jobs as jobs_table
from windtunnel.types import Failure


def samples(text: str) -> dict[tuple[str, str], float]:
    """(sample, its label's value) -> value."""
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_an_idle_fleet_has_every_number_that_can_be_zero(either):
    seen = samples(either.get("/metrics").text)
    assert seen["windtunnel_queue_depth", ""] == seen["windtunnel_queue_oldest_seconds", ""] == 0
    assert seen["windtunnel_jobs_failed_total", "diverged"] == seen["windtunnel_jobs", "running"] == 0
    assert seen["windtunnel_ring_to_start_seconds_bucket", "+Inf"] == 0


def test_the_fleet_is_counted_as_it_is(either, work_on_either, database):
    work = work_on_either
    running = work.running()
    for _ in range(2):
        work.queued()
    work.failed()
    with database.transaction() as s:
        s.execute(jobs_table.update().values(renewed_at=jobs_table.c.renewed_at - 7, queued_at=jobs_table.c.queued_at - 30))
        facts = {"host": "h", "device": "cpu", "threads": 1, "started_at": datetime.now(UTC)}
        workers.seen(s, "test-worker", **facts, job_id=running.job_id)
        workers.seen(s, "idle", **facts, job_id=None)
        workers.computes(s, "test-worker", 123.0)
        rung = outbox.due(s, 1)
        lease = leases.claim(s, rung[0], "other", 60)
        assert lease is not None
        leases.crashed(s, lease, Failure(type="crashed", message="killed"))
    answer = either.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    seen = samples(answer.text)
    assert seen["windtunnel_queue_depth", ""] == seen["windtunnel_jobs", "queued"] == 2
    assert 30 <= seen["windtunnel_queue_oldest_seconds", ""] < 60
    assert 7 <= seen["windtunnel_lease_age_seconds", "test-worker"] < 60
    assert seen["windtunnel_leases_overdue", ""] == 0
    assert seen["windtunnel_steps_per_second", "test-worker"] == 123
    assert (seen["windtunnel_workers", "busy"], seen["windtunnel_workers", "free"]) == (1, 1)
    assert seen["windtunnel_jobs_failed_total", "diverged"] == 1
    assert (seen["windtunnel_attempts_total", "failed"], seen["windtunnel_attempts_total", "crashed"]) == (1, 1)
    buckets = [value for (name, _), value in seen.items() if name == "windtunnel_ring_to_start_seconds_bucket"]
    assert buckets == sorted(buckets) and buckets[-1] == seen["windtunnel_ring_to_start_seconds_count", ""] == 1
