"""Tasks that a package brings: found by server, workers and command line; a server needs no torch for them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from math import prod
from pathlib import Path

import httpx
import pytest

from service.app import create_app
from service.serve import background
from service.settings import ServiceSettings
from store import jobs, schema
from store.database import Database
from store.keys import LOCAL
from windtunnel import Client, UserTask, ValidationFailed
from windtunnel.client import Pacing
from windtunnel.tasks import TASKS, user_task
from windtunnel.tasks.references import BadReference, resolve
from windtunnel.tasks.user import read
from windtunnel.types import JobSpec
from workers.local import LocalDispatcher
from workers.settings import WorkerSettings

JOB = {
    "task": "example-sums",
    "model": {"width": 8},
    "inner": {"steps": 6, "batch_size": 16, "seeds": 2},
    "outer": {"steps": 1, "finish_seeds": 2},
    "method": {"estimator": "reverse"},
    "parametrization": "standard",
}


@pytest.fixture
def service(installed: str, tmp_path: Path) -> Iterator[str]:
    """Address of the real service with one real worker, where the package is installed."""
    settings = ServiceSettings(data_dir=tmp_path, event_poll=0.02)
    schema.upgrade(settings.url)
    database = Database(settings.url)
    dispatcher = LocalDispatcher(database, WorkerSettings(data_dir=tmp_path, threads=1, poll=0.05))
    with background(create_app(settings, database=database, dispatcher=dispatcher)) as url:
        yield url
    database.dispose()


def test_an_installed_task_is_in_the_catalogue_with_its_tensors(installed):
    info = TASKS[installed]
    assert installed in sorted(TASKS) and len(TASKS) == len(list(TASKS))
    assert info.module is not None and info.families == ("module",)
    assert {law.name: law.role for law in info.module.tensors}["embedding.weight"] == "input"
    spec = JobSpec(task=installed)
    assert (spec.model.family, spec.model.width, spec.model.depth, spec.inner.batch_size) == ("module", 16, 2, 16)
    assert JobSpec.model_validate_json(spec.model_dump_json()) == spec


def test_an_entry_point_that_gives_no_task_says_why_and_harms_no_other(installed):
    with pytest.raises(KeyError, match=r"'example-broken' is installed and cannot be used: BadReference: .*no 'NOTHING'"):
        TASKS["example-broken"]
    with pytest.raises(ValueError, match=r"is installed and cannot be used"):
        JobSpec(task="example-broken")
    assert "example-broken" not in TASKS and set(TASKS.broken) == {"example-broken"}


def test_a_server_that_lists_and_admits_such_tasks_loads_no_torch(installed):
    program = (
        "import sys, service.app\n"
        "from service.jobs.admission import population_errors\n"
        "from windtunnel.tasks import TASKS\n"
        "from windtunnel.types import JobSpec\n"
        f"spec = JobSpec(task='{installed}', model={{'width': 64, 'depth': 4}})\n"
        "assert population_errors(spec, 2**32) == []\n"
        "few = population_errors(spec, 2**19)\n"
        "print(len(few) > 0, 'torch' in sys.modules, sorted(TASKS)[3])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False", "example-sums"]


@pytest.mark.slow
def test_a_job_of_an_installed_task_runs_on_a_worker_and_gets_its_plan(service, installed):
    with Client(service, pacing=Pacing(poll=0.05)) as client:
        (listed,) = [task for task in client.tasks() if task.name == installed]
        assert listed.module is not None and listed.kind == "classification"
        assert client.estimate(JOB).parameters == sum(prod(fact.shape) for fact in listed.module.tensors_at(8, 2))
        job = client.jobs.create(JOB)
        job.wait(timeout=120, progress=False)
        result = job.result()
        assert result.certificate is not None and all(point.passed for point in result.certificate.points)
        assert [tensor.name for tensor in result.proxy.tensors] == [law.name for law in listed.module.tensors]
        plan = result.plan(width=64, depth=3, force=True)
        assert [row.name for row in plan.tensors if row.name.startswith("blocks.2.conv")] == [
            "blocks.2.conv.weight",
            "blocks.2.conv.bias",
        ]
        assert {row.name: row.init_value for row in plan.tensors}["blocks.2.norm.weight"] == 1
        with pytest.raises(ValidationFailed, match=r"this plan is for family 'module'"):
            plan.to("nanogpt")
        assert json.loads(plan.to("json"))["task"] == installed
        page = httpx.get(f"{service}/jobs/{job.id}")
        assert page.status_code == 200 and "module" in page.text


def test_a_server_without_the_package_shows_its_old_jobs_and_takes_no_new_ones(tmp_path):
    settings = ServiceSettings(data_dir=tmp_path)
    schema.upgrade(settings.url)
    database = Database(settings.url)
    with database.transaction() as session:
        spec = JobSpec.model_validate({"task": "gone", "model": {"family": "module", "width": 8}})
        job_id = jobs.submit(session, spec, owner=LOCAL).id
    database.dispose()
    with background(create_app(settings)) as url:
        for path in (f"v1/jobs/{job_id}", "v1/jobs", f"jobs/{job_id}", ""):
            answer = httpx.get(f"{url}/{path}")
            assert answer.status_code == 200 and "gone" in answer.text, path
        for path in ("jobs", "estimates"):
            answer = httpx.post(f"{url}/v1/{path}", json={"task": "gone", "model": {"family": "module"}})
            assert answer.status_code == 422
            assert answer.json()["errors"][0]["message"].startswith("no task 'gone'; allowed: breast-cancer")


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "windtunnel", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=os.environ, check=False)


def test_the_command_line_writes_the_table_that_is_shipped(installed, tmp_path):
    file = tmp_path / "module.json"
    done = run("roles", "example_modules.task:TASK", "--save", str(file), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "position" in done.stdout and "given: position=input" in done.stdout
    shipped = Path(__file__).parent / "installed" / "example_modules" / "module.json"
    assert json.loads(file.read_text()) == json.loads(shipped.read_text())


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nothing", "write it as package.module:attribute"),
        ("no.such:thing", "cannot import 'no.such'"),
        ("json:nothing", "has no 'nothing'"),
    ],
)
def test_references_that_lead_nowhere_say_so(reference, message):
    with pytest.raises(BadReference, match=message):
        resolve(reference)


def test_a_reference_to_something_else_is_no_task():
    with pytest.raises(BadReference, match=r"expected a windtunnel.UserTask"):
        read("json:loads.__name__")


def test_a_task_without_a_table_says_how_to_write_one():
    task = UserTask(name="bare", input_shape=(2,), examples=(4, 4, 4), classes=2, load="a:b", build="a:b")
    with pytest.raises(ValueError, match=r"windtunnel roles PACKAGE.MODULE:TASK --save FILE"):
        task.info()
    lost = UserTask(name="lost", input_shape=(2,), examples=(4, 4, 4), load="a:b", build="a:b", module="json:none.json")
    with pytest.raises(ValueError, match=r"'json:none.json' of task 'lost' cannot be read"):
        lost.info()


def test_built_in_names_are_taken(installed):
    from dataclasses import replace

    with pytest.raises(ValueError, match=r"'digits' is a built-in task"):
        TASKS.admitted(replace(user_task(TASKS[installed]), name="digits"))
