"""What a job process writes: each outer step once, even if the confirmation of a commit gets lost."""

import pytest

from store import checkpoints, events, jobs, metrics
from store.database import Database
from store.keys import LOCAL
from windtunnel.types import JobSpec, OuterStep, Progress
from workers.record import Record, series
from workers.settings import WorkerSettings

SPEC = "5" * 64


def step(number: int, loss: float | None) -> OuterStep:
    return OuterStep(
        outer_step=number,
        outer_steps=3,
        loss=loss,
        stderr=0.1,
        seeds=2,
        dropped_members=0,
        hyperparameters={"learning_rate": 0.1},
        gradient={"learning_rate": -2.0} if number else {},
        gradient_norm=2.0 if number else None,
        bounded_share=None,
        mean_scale=None,
        step_length=0.3,
        moved=True,
        rolled_back=False,
        run_equivalents=4.0 + number,
    )


@pytest.fixture
def record(settings: WorkerSettings, sqlite: Database, tiny: JobSpec, claimed) -> Record:
    return Record(sqlite, claimed(tiny), settings.data_dir, SPEC)


def test_an_outer_step_that_is_written_twice_is_told_once(record: Record, sqlite: Database) -> None:
    for _ in range(2):
        record.outer_step(step(0, 1.0), {"state.json": b"{}"})
    job_id = record.lease.job_id
    with sqlite.snapshot() as s:
        assert [event.type for event in events.after(s, job_id, 0, owner=LOCAL)] == ["queued", "started", "outer_step"]
        assert len(checkpoints.newest_first(s, job_id)) == 1


def test_the_best_point_is_that_of_lowest_loss_also_after_a_restart(
    record: Record, settings: WorkerSettings, sqlite: Database
) -> None:
    record.outer_step(step(0, 1.0), {})
    record.outer_step(step(1, 0.5), {})
    again = Record(sqlite, record.lease, settings.data_dir, SPEC)
    again.outer_step(step(2, 0.7), {})
    with sqlite.snapshot() as s:
        job = jobs.get(s, record.lease.job_id, owner=LOCAL)
    assert job.best is not None and (job.best.outer_step, job.best.loss) == (1, 0.5)
    assert job.current is not None and job.current.outer_step == 2
    assert (job.progress.outer_step, job.progress.run_equivalents) == (2, 6.0)


def test_a_step_whose_runs_all_diverged_has_no_loss_and_moves_no_point(record: Record, sqlite: Database) -> None:
    record.outer_step(step(0, 1.0), {})
    record.outer_step(step(1, None), {})
    with sqlite.snapshot() as s:
        job = jobs.get(s, record.lease.job_id, owner=LOCAL)
        (losses,) = metrics.points(s, record.lease.job_id, ["loss"], owner=LOCAL)
    assert losses.steps == [0]
    assert job.current is not None and job.current.outer_step == 0


def test_progress_is_written_at_most_once_a_second(record: Record, sqlite: Database) -> None:
    def report(inner_steps: int) -> None:
        record.progress(
            Progress(outer_step=0, outer_steps=3, inner_steps=inner_steps, phase="scout", fraction=0.1, run_equivalents=0.0)
        )

    for inner_steps in range(1, 50):
        report(inner_steps)
    with sqlite.snapshot() as s:
        assert jobs.get(s, record.lease.job_id, owner=LOCAL).progress.inner_steps == 1


def test_series_are_named_by_what_they_are() -> None:
    assert series(step(1, 0.5)) == {
        "loss": 0.5,
        "loss_stderr": 0.1,
        "gradient_norm": 2.0,
        "step_length": 0.3,
        "run_equivalents": 5.0,
        "hyperparameter.learning_rate": 0.1,
        "gradient.learning_rate": -2.0,
    }
