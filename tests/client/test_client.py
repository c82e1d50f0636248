"""The client itself: addresses, tasks, closing."""

import pytest

from windtunnel import Client, InvalidRequest, ServerError
from windtunnel.tasks import TASKS
from windtunnel.types import SCHEDULES
from windtunnel.types.listings import listed_estimators, listed_hyperparameters
from windtunnel.types.schedules import described


def test_the_address_comes_from_the_argument_then_the_environment_then_the_default(monkeypatch):
    monkeypatch.delenv("WINDTUNNEL_URL", raising=False)
    with Client() as client:
        assert client.base_url == "http://127.0.0.1:8000"
    monkeypatch.setenv("WINDTUNNEL_URL", "http://tunnel:9000/")
    with Client() as client:
        assert client.base_url == "http://tunnel:9000"
        assert repr(client) == "<Client http://tunnel:9000>"
    with Client("http://other") as client:
        assert client.base_url == "http://other"


def test_the_tasks_of_the_service_are_the_built_in_ones(client):
    assert {task.name: task for task in client.tasks()} == TASKS


def test_the_schedules_of_the_service_are_described_as_the_types_describe_themselves(client):
    assert client.schedules() == [described(name) for name in SCHEDULES]


def test_a_server_is_ready_or_says_why_not(client, script, scripted):
    client.ready()
    script.problem(503, "not-ready")
    with pytest.raises(ServerError, match="503"):
        scripted.ready()


def test_a_closed_client_does_not_work_on(service):
    client = Client(service)
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.tasks()


def test_estimators_and_hyperparameters_are_listed_as_the_types_list_themselves(client):
    assert client.estimators() == listed_estimators()
    assert client.hyperparameters() == listed_hyperparameters()


def test_an_estimate_takes_a_spec_or_its_fields(client):
    found = client.estimate(task="digits", inner={"steps": 50})
    assert found == client.estimate({"task": "digits", "inner": {"steps": 50}})
    assert found.memory.fits and found.run_equivalents > 10
    with pytest.raises(InvalidRequest, match="not both"):
        client.estimate({"task": "digits"}, task="digits")
