"""One best loss, on fresh seeds, in the same words on every page, in the client and on the command line."""

from typing import Any

import pytest
from sqlalchemy import update
from typer.testing import CliRunner

from store import jobs, leases
from store.keys import LOCAL
from store.tables import jobs as table
from tests.service.conftest import Jobs, tune_result
from windtunnel import Client
from windtunnel.cli.app import app
from windtunnel.types import BestPoint, Failure, TuneResult
from windtunnel.types.verdicts import ConstantAnswer, Gain

NONE = "no gain beyond noise"


def succeeded(work: Jobs, *, start: tuple[float, float], best: tuple[float, float], **facts: Any) -> str:
    """A job whose search saw a loss of 0.5 at its best, and whose fresh seeds say something else."""
    lease = work.running()
    with work.database.transaction() as session:
        whole = tune_result(jobs.get(session, lease.job_id, owner=LOCAL).spec, "pass")
        points = {"start": (whole.start, *start), "best": (whole.best, *best)}
        changed = {
            name: point.model_copy(
                update={"validation": point.validation.model_copy(update={"mean": mean, "stderr": stderr})}
            )
            for name, (point, mean, stderr) in points.items()
        }
        leases.succeed(session, lease, whole.model_copy(update={**changed, **facts}))
    return lease.job_id


def places(client, job_id: str) -> dict[str, str]:
    """Place -> what it says about the job."""
    url = str(client.base_url)
    cli = CliRunner()
    with Client(url) as windtunnel:
        job = windtunnel.jobs.get(job_id)
        said = {
            "list": client.get("/").text.split('id="new"')[0],
            "page": client.get(f"/jobs/{job_id}").text,
            "repr": repr(job),
            "cli list": cli.invoke(app, ["list", "--url", url], env={"COLUMNS": "400"}).stdout,
            "cli show": cli.invoke(app, ["show", job_id, "--url", url]).stdout,
        }
        if job.state == "succeeded":
            said["result"] = str(job.result())
            said["cli follow"] = cli.invoke(app, ["follow", job_id, "--url", url]).stdout
    return {place: text.replace("&#39;", "'") for place, text in said.items()}


@pytest.mark.parametrize(
    ("start", "best", "gain", "verdict"),
    [
        ((0.75, 0.01), (0.25, 0.01), None, "lower by 0.500 ± 0.014"),
        ((0.251, 0.01), (0.2503, 0.01), None, NONE),
        ((0.3, 0.2), (0.25, 0.1), Gain(mean=0.05, stderr=0.001), "lower by 0.0500 ± 0.0010"),
        ((0.75, 0.01), (0.25, 0.01), Gain(mean=0.5, stderr=0.3), NONE),
    ],
    ids=["gain", "noise", "gain seed by seed", "noise seed by seed"],
)
def test_the_best_loss_is_the_one_of_fresh_seeds_everywhere(client, work, start, best, gain, verdict):
    job_id = succeeded(work, start=start, best=best, gain=gain)
    told = client.get(f"/v1/jobs/{job_id}").json()["best"]
    result = TuneResult.model_validate(client.get(f"/v1/jobs/{job_id}/result").json())
    assert (told["loss"], told["stderr"], told["judged_on"]) == (*best, "fresh")
    assert told["gain"] == result.gained.model_dump()
    for place, text in places(client, job_id).items():
        assert result.best.validation.words in text, place
        assert verdict in text, place
        assert (NONE in text) is (verdict == NONE), place
        assert "search's seeds" not in text, place


@pytest.mark.parametrize("loss", [0.2499, 0.25, 0.2501])
def test_a_best_loss_that_is_no_better_than_a_constant_answer_is_called_that_everywhere(client, work, loss):
    constant = ConstantAnswer(answer="the mean of the training targets", loss=loss)
    job_id = succeeded(work, start=(0.75, 0.01), best=(0.25, 0.01), gain=None, constant=constant)
    said = f"no better than always answering the mean of the training targets, {loss:g}: nothing was learned"
    for place, text in places(client, job_id).items():
        assert (said in " ".join(text.split())) is (loss <= 0.25), place


def test_a_job_of_an_older_version_is_judged_by_its_result(client, work):
    job_id = succeeded(work, start=(0.26, 0.02), best=(0.25, 0.01))
    kept = {"outer_step": 1, "loss": 0.1234, "stderr": 0.01, "hyperparameters": {}}
    with work.database.transaction() as session:
        session.execute(update(table).where(table.c.id == job_id).values(best=kept))
    for place, text in places(client, job_id).items():
        assert "0.250 ± 0.010" in text and NONE in text and "0.123" not in text, place


def test_before_fresh_seeds_have_judged_every_place_says_whose_seeds_they_are(client, work):
    job_id = work.running().job_id
    for place, text in places(client, job_id).items():
        assert "0.500 ± 0.010" in text and "so far, on the search's seeds" in text, place


def test_a_job_that_failed_never_had_fresh_seeds(client, work):
    lease = work.running()
    with work.database.transaction() as session:
        leases.fail(session, lease, Failure(type="diverged", message="every run diverged"))
    for place, text in places(client, lease.job_id).items():
        assert "on the search's seeds" in text and "so far, on" not in text and NONE not in text, place


def test_the_coordinate_checks_verdict_is_printed_with_a_result(client, work):
    for verdict in ("pass", "inconclusive", "fail"):
        job_id = work.succeeded(verdict)
        with Client(str(client.base_url)) as windtunnel:
            text = str(windtunnel.jobs.get(job_id).result())
        assert f"coordinate check: {verdict} over widths 64, 128, 256" in text
        assert f"coordinate check: {verdict}" in places(client, job_id)["cli show"]


def test_a_later_report_of_progress_leaves_the_judged_point(work):
    job_id = succeeded(work, start=(0.5, 0.1), best=(0.4, 0.1))
    with work.database.snapshot() as session:
        best = jobs.get(session, job_id, owner=LOCAL).best
    assert isinstance(best, BestPoint) and (best.loss, best.outer_step) == (0.4, 1)


@pytest.mark.parametrize(("task", "unit"), [("digits", "nats"), ("diabetes", "squared error")])
def test_losses_on_the_page_have_the_unit_of_their_task(client, work, task, unit):
    text = client.get(f"/jobs/{work.succeeded(task=task)}").text
    assert f"Validation loss, {unit}<" in text and (f"Loss, {unit}<" in text) and ("nats<" in text) is (unit == "nats")
