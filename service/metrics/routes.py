"""Route for Prometheus: the whole fleet, read from the database at each scrape."""

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.responses import Response

from service.dependencies import DatabaseDependency, OperatorDependency
from service.problems.answers import PROBLEMS
from store.measures import RING_BUCKETS, Measures, measure

router = APIRouter(tags=["health"], responses=PROBLEMS)


class Fleet(Collector):
    """Measures of the fleet as Prometheus metrics."""

    def __init__(self, seen: Measures, uses_not_noted: int) -> None:
        self.seen = seen
        self.uses_not_noted = uses_not_noted

    def collect(self) -> Iterator[Metric]:
        """Every metric that docs/how-to/fleet.md lists."""
        seen = self.seen
        yield _gauge("windtunnel_jobs", "Jobs by state.", "state", seen.jobs)
        yield GaugeMetricFamily("windtunnel_queue_depth", "Jobs that wait for a worker.", seen.jobs["queued"])
        yield GaugeMetricFamily(
            "windtunnel_queue_oldest_seconds", "For how long the job has waited that has waited longest.", seen.oldest_waits
        )
        yield _gauge("windtunnel_lease_age_seconds", "Since a running job's lease was renewed.", "worker", seen.lease_ages)
        yield GaugeMetricFamily("windtunnel_leases_overdue", "Leases that have run out and are still held.", seen.overdue)
        yield _gauge("windtunnel_steps_per_second", "Inner steps of members a second.", "worker", seen.steps_per_second)
        yield _gauge("windtunnel_workers", "Workers by what they do.", "status", seen.workers)
        yield GaugeMetricFamily("windtunnel_webhook_messages", "Messages that wait to be delivered.", seen.messages_wait)
        yield GaugeMetricFamily("windtunnel_webhook_oldest_seconds", "For how long the oldest has.", seen.oldest_message)
        yield _counter("windtunnel_jobs_failed", "Failed jobs by type.", "type", seen.failures)
        yield _counter("windtunnel_attempts", "Ended attempts by outcome.", "outcome", seen.attempts)
        yield CounterMetricFamily(
            "windtunnel_key_uses_not_noted", "Writes of when keys were used that failed here.", self.uses_not_noted
        )
        buckets = [(str(bound), float(count)) for bound, count in zip(RING_BUCKETS, seen.ring_buckets, strict=True)]
        yield HistogramMetricFamily(
            "windtunnel_ring_to_start_seconds",
            "From a ring to the start of the attempt that answered it.",
            buckets=[*buckets, ("+Inf", float(seen.rings))],
            sum_value=seen.ring_seconds,
        )


def _gauge(name: str, text: str, label: str, values: Mapping[Any, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _counter(name: str, text: str, label: str, values: Mapping[Any, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"description": "Prometheus text", "content": {"text/plain": {}}}},
)
def prometheus(request: Request, database: DatabaseDependency, _: OperatorDependency) -> Response:
    """Measures of the fleet, in Prometheus's text format."""
    with database.snapshot() as session:
        seen = measure(session)
    registry = CollectorRegistry()
    registry.register(Fleet(seen, request.app.state.key_uses.failures))
    return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST, "cache-control": "no-store"})
