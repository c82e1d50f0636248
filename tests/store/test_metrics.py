"""Metric series: upsert, thinning, fencing, on both databases."""

import pytest

from store import metrics
from store.database import Database
from store.errors import JobNotFound
from store.keys import LOCAL
from store.leases import Lease
from windtunnel.types import MetricPoints


def test_a_step_that_is_computed_again_overwrites_itself(database: Database, lease: Lease) -> None:
    with database.transaction() as s:
        metrics.record(s, lease, 0, {"loss": 2.0, "step_length": 0.1})
        metrics.record(s, lease, 1, {"loss": 1.5})
        metrics.record(s, lease, 0, {"loss": 1 / 3})
    with database.snapshot() as s:
        assert metrics.points(s, lease.job_id, owner=LOCAL) == [
            MetricPoints(series="loss", steps=[0, 1], values=[1 / 3, 1.5]),
            MetricPoints(series="step_length", steps=[0], values=[0.1]),
        ]


def test_only_the_series_asked_for_are_given(database: Database, lease: Lease) -> None:
    with database.transaction() as s:
        metrics.record(s, lease, 0, {"loss": 2.0, "hyperparameter.learning_rate.hidden": 0.1})
    with database.snapshot() as s:
        names = [
            entry.series
            for entry in metrics.points(s, lease.job_id, ["hyperparameter.learning_rate.hidden", "no"], owner=LOCAL)
        ]
    assert names == ["hyperparameter.learning_rate.hidden"]


@pytest.mark.parametrize(("count", "most"), [(1, 2), (2, 2), (3, 2), (100, 7), (100, 99), (100, 100), (100, 101), (9, 5)])
def test_a_long_series_is_thinned_evenly_between_its_ends(database: Database, lease: Lease, count: int, most: int) -> None:
    with database.transaction() as s:
        for step in range(count):
            metrics.record(s, lease, 10 * step, {"loss": float(step)})
    with database.snapshot() as s:
        (entry,) = metrics.points(s, lease.job_id, max_points=most, owner=LOCAL)
    assert len(entry.steps) <= most
    assert (entry.steps[0], entry.steps[-1]) == (0, 10 * (count - 1))
    assert entry.values == [step / 10 for step in entry.steps]
    gaps = {after - before for before, after in zip(entry.steps[:-1], entry.steps[1:-1], strict=False)}
    assert len(gaps) <= 1


def test_a_value_that_is_not_finite_is_refused(database: Database, lease: Lease) -> None:
    with database.transaction() as s, pytest.raises(ValueError, match="not finite"):
        metrics.record(s, lease, 0, {"loss": float("inf")})


def test_fewer_than_two_points_are_no_series(database: Database, lease: Lease) -> None:
    with database.snapshot() as s, pytest.raises(ValueError, match="at least 2"):
        metrics.points(s, lease.job_id, max_points=1, owner=LOCAL)


def test_metrics_of_an_unknown_job_are_an_error(database: Database) -> None:
    with database.snapshot() as s, pytest.raises(JobNotFound):
        metrics.points(s, "job_nowhere", owner=LOCAL)
