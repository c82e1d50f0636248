"""The blocking client is what its source, the asynchronous one, says; and both offer the same."""

import importlib.util
import inspect
import pathlib

import pytest

import windtunnel.client as package

TOOL = pathlib.Path(__file__).parents[2] / "tools" / "sync_client.py"
PAIRS = [(name, f"Async{name}") for name in package.__all__ if f"Async{name}" in package.__all__]


def test_the_blocking_modules_are_written_from_the_asynchronous_ones():
    spec = importlib.util.spec_from_file_location("sync_client", TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.stale() == [], "run: python tools/sync_client.py"


def surface(kind: type) -> dict[str, object]:
    return {name: inspect.getattr_static(kind, name) for name in dir(kind) if not name.startswith("_")}


@pytest.mark.parametrize(("blocking", "asynchronous"), PAIRS)
def test_the_twins_offer_the_same_calls_with_the_same_arguments(blocking, asynchronous):
    here, there = surface(getattr(package, blocking)), surface(getattr(package, asynchronous))
    assert here.keys() == there.keys()
    for name, call in here.items():
        if inspect.isfunction(call):
            parameters = [
                [(each.name, each.kind, each.default) for each in inspect.signature(twin).parameters.values()]
                for twin in (call, there[name])
            ]
            assert parameters[0] == parameters[1], name


@pytest.mark.parametrize(("blocking", "asynchronous"), PAIRS)
def test_a_call_that_asks_the_server_blocks_in_one_twin_and_is_awaited_in_the_other(blocking, asynchronous):
    here, there = getattr(package, blocking), getattr(package, asynchronous)
    for name, call in vars(here).items():
        # pydantic puts functions of its own into its models.
        if inspect.isfunction(call) and call.__module__.startswith("windtunnel.") and not name.startswith("_"):
            twin = vars(there)[name]
            assert not inspect.iscoroutinefunction(call) and not inspect.isasyncgenfunction(call)
            if inspect.isgeneratorfunction(call):
                assert inspect.isasyncgenfunction(twin), name
            else:
                # ``events`` hands on what another function yields.
                assert inspect.iscoroutinefunction(twin) or name == "events", name


def test_every_public_class_that_asks_the_server_has_a_twin():
    assert {blocking for blocking, _ in PAIRS} == {
        "Client", "Datasets", "Job", "Jobs", "Keys", "Laws", "Plan", "Plans", "Result", "Webhooks", "Workers",
    }  # fmt: skip
