"""What importing the client costs, and what it must not pull in."""

import subprocess
import sys

import pytest

import windtunnel

HEAVY = {"torch", "numpy", "plotly", "sqlalchemy", "fastapi", "hpo", "store", "service", "workers"}


def loaded(code: str) -> set[str]:
    program = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("code", ["import windtunnel", "from windtunnel import Client, JobSpec", "import windtunnel.cli"])
def test_the_client_and_the_command_line_load_nothing_heavy(code):
    assert not loaded(code) & HEAVY


def test_importing_the_package_alone_loads_nothing_but_itself():
    assert not loaded("import windtunnel") & {"httpx", "pydantic", "rich", "typer"}


def test_every_public_name_is_there_and_no_other():
    for name in windtunnel.__all__:
        assert getattr(windtunnel, name) is not None
    assert set(windtunnel.__all__) <= set(dir(windtunnel))
    with pytest.raises(AttributeError, match="Klient"):
        windtunnel.Klient  # noqa: B018
