"""``list``, ``show``, ``follow``, ``cancel`` against a real server."""

import json
import zipfile
from pathlib import Path

from windtunnel.client import Client
from windtunnel.types import TuneResult


def test_list_shows_a_row_for_each_job_and_names_as_they_are(ask_idle, queued):
    rows = {line.split()[0]: line for line in ask_idle("list").stdout.splitlines()}
    assert "long [red]job[/]" in rows[queued]
    assert "queued" in rows[queued]
    assert "0%" in rows[queued]


def test_list_can_be_narrowed_and_read_by_programs(ask_idle, queued):
    jobs = json.loads(ask_idle("list", "--state", "queued", "--task", "digits", "--json").stdout)
    assert queued in [job["id"] for job in jobs]
    assert {job["state"] for job in jobs} == {"queued"}
    assert json.loads(ask_idle("list", "--task", "mnist5k", "--json").stdout) == []
    found = json.loads(ask_idle("list", "--search", "Long [", "--json").stdout)
    assert queued in [job["id"] for job in found]
    assert json.loads(ask_idle("list", "--search", "long%", "--json").stdout) == []
    empty = ask_idle("list", "--task", "mnist5k")
    assert (empty.exit_code, empty.stdout) == (0, "")
    assert "no jobs like that" in empty.stderr


def test_list_says_where_there_is_more(ask_idle, idle):
    with Client(idle) as client:
        newest = [client.jobs.create(task="synthetic").id for _ in range(2)][-1]
    done = ask_idle("list", "--task", "synthetic", "--limit", "1")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["id", newest]
    assert "--limit 4" in done.stderr


def test_a_finished_job_is_listed_with_its_loss(ask, finished):
    row = next(line for line in ask("list").stdout.splitlines() if line.startswith(finished))
    assert row.split()[1:5] == ["small", "digits", "succeeded", "100%"]


def test_show_tells_state_losses_and_hyperparameters(ask, finished):
    done = ask("show", finished)
    assert done.exit_code == 0
    for part in (finished, "succeeded", "width 16", "validation", "test", "±", "learning_rate.hidden", "start", "best"):
        assert part in done.stdout


def test_show_tells_of_early_stopping_and_of_the_grid_whose_laws_can_be_kept_for_a_plan(ask, finished):
    told = " ".join(ask("show", finished).stdout.split())
    assert "candidates ended early because they could not win" in told and "scaling laws: L = " in told
    kept = json.loads(ask("laws", "fit", finished, "--law", "loss_tokens", "--json").stdout)
    assert (kept["rows"], kept["name"]) == (12, finished)
    plan = json.loads(ask("plan", finished, "--width", "32", "--law-fit", kept["id"], "--force", "--json").stdout)
    assert plan["predicted_loss"]["fit"] == kept["id"]


def test_show_as_json_holds_the_result(ask, finished):
    job = json.loads(ask("show", finished, "--json").stdout)
    assert job["id"] == finished
    assert TuneResult.model_validate(job["result"]).best.hyperparameters


def test_a_job_without_a_result_has_none(ask_idle, queued):
    assert json.loads(ask_idle("show", queued, "--json").stdout)["result"] is None
    assert "queued" in ask_idle("show", queued).stdout


def test_a_waiting_job_is_paused_at_once_and_resumed(ask_idle, queued):
    done = ask_idle("pause", queued)
    assert (done.exit_code, done.stderr) == (0, f"{queued} is paused\n")
    assert json.loads(ask_idle("show", queued, "--json").stdout)["state"] == "paused"
    done = ask_idle("resume", queued, "--json")
    assert (done.exit_code, json.loads(done.stdout)["state"]) == (0, "queued")
    assert ask_idle("resume", queued).stderr == f"{queued} is queued\n"


def test_a_waiting_job_is_cancelled_at_once(ask_idle, queued):
    done = ask_idle("cancel", queued)
    assert (done.exit_code, done.stderr) == (0, f"{queued} is cancelled\n")


def test_an_unknown_id_ends_in_4(ask_idle):
    for command in ("show", "follow", "pause", "resume", "cancel"):
        done = ask_idle(command, "job_none")
        assert done.exit_code == 4
        assert "job_none" in done.stderr


def test_follow_as_json_is_the_event_log(ask, finished):
    done = ask("follow", finished, "--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "succeeded"
    assert done.exit_code == 0


def test_a_running_job_is_shown_as_it_stands_and_once_cancelled_ends_follow_in_1(ask, server, small):
    with Client(server.url) as client:
        job = client.jobs.create(small | {"outer": {"steps": 1000}})
        next(job.follow())
    shown = ask("show", job.id).stdout
    assert "running" in shown
    assert "validation loss" in shown
    done = ask("cancel", job.id)
    assert done.exit_code == 0
    assert "asked to stop" in done.stderr
    followed = ask("follow", job.id)
    assert followed.exit_code == 1
    assert f"{job.id} was cancelled" in followed.stderr
    again = ask("cancel", job.id, "--json")
    assert json.loads(again.stdout)["state"] == "cancelled"
    assert "cancelled" in ask("show", job.id).stdout


def test_a_bundle_is_written_where_it_is_wanted(ask, finished, tmp_path):
    done = ask("bundle", finished)
    assert (done.exit_code, done.stdout) == (0, f"{finished}.zip\n")
    with zipfile.ZipFile(f"{finished}.zip") as bundle:
        assert f"{finished}/result.json" in bundle.namelist()
    told = json.loads(ask("bundle", finished, "-o", "here.zip", "--json").stdout)
    assert told["file"].endswith("/here.zip") and told["bytes"] == Path("here.zip").stat().st_size
    assert sorted(path.name for path in Path().glob("*zip*")) == sorted(["here.zip", f"{finished}.zip"])


def test_a_bundle_that_cannot_be_says_why(ask_idle, queued):
    assert ask_idle("bundle", "job_none").exit_code == 4
    done = ask_idle("bundle", queued, "-o", "nowhere/a.zip")
    assert done.exit_code == 2 and "cannot write nowhere/a.zip: No such file or directory" in done.stderr
