"""``serve`` and ``worker`` as processes: a job's whole way, and orderly ends."""

import json
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from windtunnel.client import Client, Job


def windtunnel(url: str, *args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """The command as a process of its own."""
    program = [sys.executable, "-m", "windtunnel", *args]
    return subprocess.run(program, input=stdin, capture_output=True, text=True, env=os.environ | {"WINDTUNNEL_URL": url})


def until_it_runs(job: Job) -> None:
    """Return when the job has made its first outer step."""
    next(job.follow())


def test_a_job_flies_from_submit_to_plan_and_sigterm_ends_the_server(serve, small):
    server = serve("--threads", "1")
    submitted = windtunnel(server.url, "submit", "-", stdin=json.dumps(small))
    assert submitted.returncode == 0, submitted.stderr
    job_id = submitted.stdout.strip()
    other = windtunnel(server.url, "submit", "--task", "digits", "--set", "outer.steps=1000").stdout.strip()

    followed = windtunnel(server.url, "follow", job_id)
    assert followed.returncode == 0, followed.stderr
    assert "step 2/2 loss" in followed.stdout

    shown = json.loads(windtunnel(server.url, "show", job_id, "--json").stdout)
    assert (shown["state"], shown["result"]["spec"]["model"]["width"]) == ("succeeded", 16)

    plan = windtunnel(server.url, "plan", job_id, "--width", "128", "--force", "--format", "torch")
    assert plan.returncode == 0, plan.stderr
    compile(plan.stdout, "plan.py", "exec")

    cancelled = windtunnel(server.url, "cancel", other)
    assert cancelled.returncode == 0, cancelled.stderr
    assert windtunnel(server.url, "follow", other).returncode == 1

    assert server.stop() == 0, server.log.read_text()
    assert "Traceback" not in server.log.read_text()
    assert windtunnel(server.url, "list").returncode == 3


def test_a_job_goes_on_when_the_server_is_started_again_and_its_follower_does_not_notice(serve, small):
    first = serve("--threads", "1")
    with Client(first.url) as follower, Client(first.url) as client, ThreadPoolExecutor(1) as aside:
        job = client.jobs.create(small | {"outer": {"steps": 1000}})
        followed = aside.submit(lambda: list(follower.jobs.get(job.id).events()))
        until_it_runs(job)
        assert first.stop() == 0, first.log.read_text()
        serve("--threads", "1", "--port", first.url.rpartition(":")[2])
        for event in job.events():
            if event.type == "outer_step" and job.refresh().wire.attempts == 2:
                job.cancel()
        events = followed.result(timeout=60)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    steps = [event.data["outer_step"] for event in events if event.type == "outer_step"]
    assert steps == list(range(len(steps)))
    kinds = [event.type for event in events]
    assert kinds.count("started") == 2
    assert kinds[-1] == "cancelled"


def test_a_worker_runs_the_jobs_of_a_server_without_one(serve, small, tmp_path):
    server = serve("--no-worker")
    with Client(server.url) as client:
        job = client.jobs.create(small)
        program = [
            sys.executable,
            "-m",
            "windtunnel",
            "worker",
            "--data-dir",
            str(server.folder / "data"),
            "--threads",
            "1",
        ]
        with (tmp_path / "worker-log").open("wb") as log:
            worker = subprocess.Popen(program, stderr=log)
        try:
            assert job.wait(timeout=120, progress=False).best
        finally:
            worker.send_signal(signal.SIGTERM)
            status = worker.wait(60)
    assert status == 0, (tmp_path / "worker-log").read_text()


def test_a_worker_is_rung_through_redis_by_a_server_that_runs_none_itself_and_drained_from_afar(
    serve, small, tmp_path, redis_server
):
    server = serve("--broker-url", redis_server.url)
    program = [sys.executable, "-m", "windtunnel", "worker", "--celery", "--broker-url", redis_server.url]
    program += ["--data-dir", str(server.folder / "data"), "--threads", "1"]
    environment = os.environ | {"WINDTUNNEL_LOG_FORMAT": "json", "WINDTUNNEL_POLL": "0.05", "WINDTUNNEL_BEAT": "0.2"}
    with (tmp_path / "worker-log").open("wb") as log:
        worker = subprocess.Popen(program, stderr=log, stdout=log, env=environment)
    try:
        with Client(server.url) as client:
            job = client.jobs.create(small)
            assert job.wait(timeout=120, progress=False).best
            (idle,) = httpx.get(f"{server.url}/v1/workers").json()["items"]
            drained = windtunnel(server.url, "drain", idle["id"])
            assert (drained.returncode, idle["id"] in drained.stderr) == (0, True)
        assert worker.wait(60) == 0, (tmp_path / "worker-log").read_text()
    finally:
        worker.kill()
        worker.wait()
    lines = [line for line in (tmp_path / "worker-log").read_text().splitlines() if line.startswith("{")]
    about = [json.loads(line) for line in lines if job.id in line]
    assert about and all(line["epoch"] == 1 for line in about if line.get("job") == job.id)


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (("worker", "--celery"), "WINDTUNNEL_BROKER_URL"),
        (("worker", "--broker-url", "redis://h/0"), "--celery"),
        (("worker", "--celery", "--broker-url", "amqp://h"), "redis://"),
        (("serve", "--no-worker", "--broker-url", "redis://h/0"), "--no-worker"),
        (("worker", "--devices", "gpu0"), "cuda:"),
        (("worker", "--devices", "cuda:99"), "cuda:99 is not here"),
    ],
)
def test_a_broker_or_a_device_that_cannot_be_is_a_sentence(run, args, word):
    done = run(*args)
    assert done.exit_code == 2
    assert word in done.stderr


def test_a_taken_port_ends_in_7(run):
    with socket.create_server(("127.0.0.1", 0)) as other:
        done = run("serve", "--no-worker", "--port", str(other.getsockname()[1]))
    assert done.exit_code == 7
    assert "--port" in done.stderr


@pytest.mark.parametrize(
    ("name", "value", "args"),
    [
        ("WINDTUNNEL_PORT", "many", ("serve", "--no-worker")),
        ("WINDTUNNEL_HOST", "0.0.0.0", ("serve", "--no-worker")),
        ("WINDTUNNEL_SLOTS", "0", ("worker",)),
        ("WINDTUNNEL_DATABASE_URL", "mysql://x", ("serve",)),
    ],
)
def test_a_malformed_setting_ends_in_2_and_names_the_variable(run, monkeypatch, name, value, args):
    monkeypatch.setenv(name, value)
    done = run(*args)
    assert done.exit_code == 2
    assert name in done.stderr
    assert value in done.stderr


def test_workers_and_no_worker_contradict_each_other(run):
    done = run("serve", "--no-worker", "--workers", "2")
    assert done.exit_code == 2
    assert "--no-worker" in done.stderr


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_a_database_that_does_not_answer_ends_in_7(run, command):
    done = run(command, "--database-url", "postgresql://ada:s3cret@127.0.0.1:9/wt")
    assert done.exit_code == 7
    assert "cannot open the database" in done.stderr
    assert "s3cret" not in done.stderr
