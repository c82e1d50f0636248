"""Optional parts: found by the distribution's own metadata, asked for by name."""

import pytest

from windtunnel.cli import extras
from windtunnel.cli.exits import SetupError


def test_the_extras_are_those_of_the_distribution():
    declared = extras.requirements()
    assert {"", "server", "worker", "postgresql"} <= set(declared)
    assert {"httpx", "pydantic", "typer"} <= set(declared[""])
    assert "torch" not in declared[""]
    assert "torch" in declared["worker"]
    assert "fastapi" in declared["server"]


def test_an_installed_extra_misses_nothing():
    assert extras.missing("server") == []
    extras.need("serve", "server", "worker")


def test_a_missing_extra_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(extras, "_installed", lambda name: name not in ("torch", "fastapi"))
    with pytest.raises(SetupError) as caught:
        extras.need("serve", "server", "worker", otherwise="; or not")
    assert "fastapi, torch" in str(caught.value)
    assert "pip install 'windtunnel[server,worker]'; or not" in str(caught.value)


@pytest.mark.parametrize(
    ("args", "extra"), [(("serve",), "server,worker"), (("serve", "--no-worker"), "server"), (("worker",), "worker")]
)
def test_a_command_without_its_extra_ends_in_7(run, monkeypatch, args, extra):
    monkeypatch.setattr(extras, "_installed", lambda name: False)
    done = run(*args)
    assert done.exit_code == 7
    assert f"pip install 'windtunnel[{extra}]'" in done.stderr
