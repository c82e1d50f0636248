"""The job process's work, run in this process: events in order, typed ends, resume at any inner step, bad checkpoints."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hpo.study import Study
from store import events, jobs, leases, metrics, plans
from store.database import Database
from store.errors import LeaseLost
from store.keys import LOCAL
from store.leases import Lease
from windtunnel.types import JobEvent, JobSpec, Progress, TuneResult
from workers.record import Record
from workers.run_slice import Pulse, StopRequested, _transfer, run
from workers.settings import WorkerSettings

Claim = Callable[[JobSpec | str], Lease]


class StopAt(Pulse):
    """Stops the study at its n-th inner step."""

    def __init__(self, dots: int, inner_step: int) -> None:
        super().__init__(dots)
        self.left = inner_step

    def __call__(self, progress: Progress) -> None:
        self.left -= 1
        if self.left == 0:
            raise StopRequested
        super().__call__(progress)


def told(database: Database, lease: Lease) -> list[JobEvent]:
    with database.snapshot() as s:
        return events.after(s, lease.job_id, 0, owner=LOCAL)


def types(database: Database, lease: Lease) -> list[str]:
    return [event.type for event in told(database, lease)]


def steps(database: Database, lease: Lease) -> list[int]:
    return [event.data["outer_step"] for event in told(database, lease) if event.type == "outer_step"]


def result(database: Database, lease: Lease) -> TuneResult:
    with database.snapshot() as s:
        found = jobs.result(s, lease.job_id, owner=LOCAL)
    assert found is not None
    return found


def timeless(result: TuneResult) -> TuneResult:
    """The result without the one number that no two runs share."""
    return result.model_copy(update={"cost": result.cost.model_copy(update={"wall_seconds": 0.0})})


def undisturbed(spec: JobSpec) -> TuneResult:
    study = Study(spec, threads=1)
    for _ in study:
        pass
    return timeless(study.finish())


def test_a_job_runs_to_its_end_and_tells_it_in_order(
    settings: WorkerSettings, sqlite: Database, tiny: JobSpec, claimed: Claim, pulse: Pulse
) -> None:
    spec = tiny.model_copy(update={"target": JobSpec(task="digits", target={"width": 128}).target})
    lease = claimed(spec)
    run(settings, lease, pulse)
    order = ["queued", "started", *["outer_step"] * 4, "finishing", "plan_created", "succeeded"]
    assert types(sqlite, lease) == order
    assert steps(sqlite, lease) == [0, 1, 2, 3]
    with sqlite.snapshot() as s:
        job = jobs.get(s, lease.job_id, owner=LOCAL)
        series = {entry.series: entry for entry in metrics.points(s, lease.job_id, owner=LOCAL)}
        (plan,) = plans.of_job(s, lease.job_id, owner=LOCAL)
        result = jobs.result(s, lease.job_id, owner=LOCAL)
    assert job.state == "succeeded" and job.progress.fraction == 1.0 and job.progress.phase == "done"
    assert job.current is not None and job.current.outer_step == 3
    assert job.best is not None and result is not None
    assert (job.best.loss, job.best.judged_on) == (result.best.validation.mean, "fresh")
    assert job.best.gain == result.gain is not None
    assert series["loss"].steps == [0, 1, 2, 3]
    asked = [event.data["outer_step"] for event in told(sqlite, lease) if event.data.get("arm") == "gradient"]
    assert series["gradient_norm"].steps == asked != []
    labels = tiny_labels(told(sqlite, lease))
    assert {f"hyperparameter.{label}" for label in labels} | {f"gradient.{label}" for label in labels} <= series.keys()
    assert (plan.id, plan.width, plan.job_id) == (job.plans[0], 128, job.id)
    assert timeless(result(sqlite, lease)) == undisturbed(spec)


def tiny_labels(log: list[JobEvent]) -> set[str]:
    return set(next(event.data["hyperparameters"] for event in log if event.type == "outer_step"))


@pytest.mark.parametrize("seed", range(3))
def test_stopped_at_any_inner_steps_it_ends_bit_for_bit_the_same(
    settings: WorkerSettings, sqlite: Database, tiny: JobSpec, claimed: Claim, dots: int, seed: int
) -> None:
    chance = random.Random(seed)
    lease = claimed(tiny)
    for _ in range(4):
        try:
            run(settings, lease, StopAt(dots, chance.randint(1, 120)))
        except StopRequested:
            with sqlite.transaction() as s:
                leases.release(s, lease, "stopped by the test")
            lease = claimed(lease.job_id)
        else:
            break
    else:
        run(settings, lease, Pulse(dots))
    assert steps(sqlite, lease) == [0, 1, 2, 3]
    assert timeless(result(sqlite, lease)) == undisturbed(tiny)


def interrupted(settings: WorkerSettings, sqlite: Database, lease: Lease, dots: int, last: int) -> None:
    """Run the job until outer step ``last`` is written, then let go of it."""

    class StopAfter(Pulse):
        def __call__(self, progress: Progress) -> None:
            if last in steps(sqlite, lease):
                raise StopRequested
            super().__call__(progress)

    with pytest.raises(StopRequested):
        run(settings, lease, StopAfter(dots))
    with sqlite.transaction() as s:
        leases.release(s, lease, "stopped by the test")


@pytest.mark.parametrize("damaged", [1, 2])
def test_a_truncated_checkpoint_falls_back_to_the_one_before_it(
    settings: WorkerSettings, sqlite: Database, tiny: JobSpec, claimed: Claim, dots: int, damaged: int
) -> None:
    first = claimed(tiny)
    interrupted(settings, sqlite, first, dots, last=2)
    folders = [settings.data_dir / f"jobs/{first.job_id}/1-{step}" for step in (2, 1)]
    assert all(folder.is_dir() for folder in folders)
    for folder in folders[:damaged]:
        state = folder / "state.safetensors"
        state.write_bytes(state.read_bytes()[:50])
    run(settings, claimed(first.job_id), Pulse(dots))
    rejected = [event.data for event in told(sqlite, first) if event.type == "checkpoint_rejected"]
    assert [(data["outer_step"], data["falls_back_to"]) for data in rejected] == [(2, 1), (1, None)][:damaged]
    assert "do not match" in rejected[0]["reason"]
    assert steps(sqlite, first) == [0, 1, 2, 3]  # computed again, told once
    assert timeless(result(sqlite, first)) == undisturbed(tiny)


def test_the_files_of_two_checkpoints_stay(
    settings: WorkerSettings, sqlite: Database, tiny: JobSpec, claimed: Claim, pulse: Pulse
) -> None:
    lease = claimed(tiny)
    run(settings, lease, pulse)
    folder = settings.data_dir / "jobs" / lease.job_id
    assert sorted(path.name for path in folder.iterdir()) == ["1-2", "1-3"]
    assert json.loads((folder / "1-3/manifest.json").read_text())["threads"] == 1


def test_a_job_that_is_taken_away_stops_and_writes_nothing(
    settings: WorkerSettings, sqlite: Database, tiny: JobSpec, claimed: Claim, dots: int
) -> None:
    lease = claimed(tiny)

    class TakenAway(Pulse):
        def __call__(self, progress: Progress) -> None:
            if steps(sqlite, lease) == [0, 1] and self.record is not None and self.record.lease == lease:
                with sqlite.transaction() as s:
                    leases.lost(s, lease, "taken away by the test")
                    self.log = events.after(s, lease.job_id, 0, owner=LOCAL)
                self.record = None
            super().__call__(progress)

    pulse = TakenAway(dots)
    with pytest.raises(LeaseLost):
        run(settings, lease, pulse)
    assert told(sqlite, lease) == pulse.log
    assert pulse.log[-1].type == "requeued"


def test_a_cancel_is_seen_at_the_next_report(
    settings: WorkerSettings, sqlite: Database, tiny: JobSpec, claimed: Claim, pulse: Pulse
) -> None:
    lease = claimed(tiny)
    with sqlite.transaction() as s:
        jobs.request_cancel(s, lease.job_id, owner=LOCAL)
    with pytest.raises(StopRequested):
        run(settings, lease, pulse)
    assert steps(sqlite, lease) == []


def test_a_stop_signal_ends_it_at_the_next_inner_step(
    settings: WorkerSettings, sqlite: Database, tiny: JobSpec, claimed: Claim, pulse: Pulse
) -> None:
    lease = claimed(tiny)
    pulse.ask_to_stop()
    with pytest.raises(StopRequested):
        run(settings, lease, pulse)
    with sqlite.snapshot() as s:
        assert jobs.get(s, lease.job_id, owner=LOCAL).state == "running"


def test_a_job_whose_runs_all_diverge_fails_with_that_type_and_a_hint(
    settings: WorkerSettings, sqlite: Database, claimed: Claim, pulse: Pulse
) -> None:
    spec = {
        "task": "digits",
        "model": {"width": 8},
        "parametrization": "standard",
        "optimizer": {"name": "sgd", "learning_rate": 100.0, "clip_norm": None, "weight_decay": 1000.0},
        "search": [{"name": "learning_rate", "low": 90.0, "high": 100.0}],
        "inner": {"steps": 60, "batch_size": 16, "seeds": 2},
        "outer": {"steps": 1, "scout": False, "finish_seeds": 2},
    }
    lease = claimed(JobSpec.model_validate(spec))
    run(settings, lease, pulse)
    with sqlite.snapshot() as s:
        job = jobs.get(s, lease.job_id, owner=LOCAL)
    assert job.state == "failed" and job.failure is not None
    assert job.failure.type == "diverged" and "diverged" in job.failure.message and job.failure.hint
    assert types(sqlite, lease) == ["queued", "started", "failed"]


def test_a_hypergradient_that_differences_contradict_fails_the_job_before_its_first_step(
    settings: WorkerSettings, sqlite: Database, tiny: JobSpec, claimed: Claim, pulse: Pulse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpo.certificate.certificate.TOLERANCE", 0.0)
    lease = claimed(tiny)
    run(settings, lease, pulse)
    with sqlite.snapshot() as s:
        job = jobs.get(s, lease.job_id, owner=LOCAL)
    assert job.state == "failed" and job.failure is not None
    assert job.failure.type == "certificate_failed" and "relative error" in job.failure.message and job.failure.hint
    assert types(sqlite, lease) == ["queued", "started", "failed"]


def test_a_refused_transfer_is_told_and_the_job_still_succeeds(
    settings: WorkerSettings, sqlite: Database, tiny: JobSpec, claimed: Claim
) -> None:
    spec = tiny.model_copy(update={"target": JobSpec(task="digits", target={"width": 128}).target})
    found = undisturbed(spec)
    assert found.coordinate_check is not None
    failed = found.coordinate_check.model_copy(update={"verdict": "fail"})  # no real spec makes it fail on purpose
    lease = claimed(spec)
    record = Record(sqlite, lease, settings.data_dir, "0" * 64)
    record.succeed(found, *_transfer(found.model_copy(update={"coordinate_check": failed}), lease))
    assert types(sqlite, lease)[-2:] == ["plan_refused", "succeeded"]
    refusal = told(sqlite, lease)[-2].data
    assert refusal["type"] == "refused" and refusal["message"]


def test_an_error_that_nobody_foresaw_is_a_crash_with_its_name(
    settings: WorkerSettings, sqlite: Database, tiny: JobSpec, claimed: Claim, dots: int, tmp_path: Path
) -> None:
    lease = claimed(tiny)
    (tmp_path / "jobs").write_text("a file where the folder of checkpoints should be")
    run(settings, lease, Pulse(dots))
    assert types(sqlite, lease) == ["queued", "started", "crashed", "requeued"]
    assert "NotADirectoryError" in told(sqlite, lease)[2].data["failure"]["message"]


def test_memory_that_runs_out_halves_the_population_and_is_a_failure_when_one_member_is_too_much(
    settings: WorkerSettings, sqlite: Database, tiny: JobSpec, claimed: Claim, dots: int
) -> None:
    class Greedy(Pulse):
        """Wants 128 TiB, which no process may address."""

        def __call__(self, progress: Progress) -> None:
            torch.empty(1 << 45)

    lease = claimed(tiny)
    tried: list[int | None] = []
    while True:
        tried.append(lease.population)
        run(settings, lease, Greedy(dots))
        with sqlite.snapshot() as s:
            job = jobs.get(s, lease.job_id, owner=LOCAL)
        if job.state != "queued":
            break
        lease = claimed(lease.job_id)
    assert tried == [None, 16, 8, 4, 2, 1]
    assert [event.data["population"] for event in told(sqlite, lease) if event.type == "population_reduced"] == tried[1:]
    assert "crashed" not in types(sqlite, lease)
    assert job.state == "failed" and job.failure is not None
    assert job.failure.type == "out_of_memory"
    assert "one member at a time" in job.failure.message and "inner.seeds" in (job.failure.hint or "")
    assert job.failure.suggested_spec is not None
    assert JobSpec.model_validate(job.failure.suggested_spec).method.checkpointing == "sqrt"


def test_a_job_with_a_smaller_population_finds_the_same_up_to_rounding(
    settings: WorkerSettings, sqlite: Database, tiny: JobSpec, claimed: Claim, dots: int
) -> None:
    lease = claimed(tiny)
    with sqlite.transaction() as s:
        leases.shrink(s, lease, 2, "memory ran out")
    lease = claimed(lease.job_id)
    assert lease.population == 2
    run(settings, lease, Pulse(dots))
    with sqlite.snapshot() as s:
        found = jobs.result(s, lease.job_id, owner=LOCAL)
    assert found is not None
    expected = undisturbed(tiny)
    assert found.best.hyperparameters == pytest.approx(expected.best.hyperparameters, rel=1e-3)
    assert found.best.test.mean == pytest.approx(expected.best.test.mean, rel=1e-3)


def test_a_supervisor_that_is_suspended_does_not_suspend_its_process(dots: int) -> None:
    pulse = Pulse(dots)
    for _ in range(100_000):
        pulse._dot()
