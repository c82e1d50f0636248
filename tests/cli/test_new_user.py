"""What somebody meets who comes with the client alone and an address: a key that is asked for, a regression."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.app import create_app
from service.serve import background
from service.settings import ServiceSettings
from store import keys, schema
from store.database import Database
from windtunnel.cli import watching
from windtunnel.cli.app import app
from windtunnel.types.results import LossEstimate


@pytest.fixture
def keyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A key of a server that asks for one; the server's address is in the environment."""
    settings = ServiceSettings(data_dir=tmp_path)
    schema.upgrade(settings.url)
    database = Database(settings.url)
    with database.transaction() as session:
        key = keys.create(session, "laptop", owner="ann").key
    with background(create_app(settings, database=database)) as url:
        monkeypatch.setenv("WINDTUNNEL_URL", url)
        yield key
    database.dispose()


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def test_a_command_without_a_key_says_where_a_key_goes(keyed, monkeypatch):
    refused = run("list")
    assert refused.exit_code == 4
    assert "WINDTUNNEL_API_KEY" in refused.stderr and "windtunnel keys create" in refused.stderr
    monkeypatch.setenv("WINDTUNNEL_API_KEY", keyed)
    assert run("list").exit_code == 0


def test_a_data_set_says_how_its_target_is_scaled(keyed, monkeypatch, tmp_path):
    monkeypatch.setenv("WINDTUNNEL_API_KEY", keyed)
    table = tmp_path / "houses.csv"
    table.write_text("area,price\n" + "".join(f"{i}.5,{1000 * i}.5\n" for i in range(80)))
    made = run("datasets", "upload", str(table))
    assert made.exit_code == 0, made.output
    shown = run("datasets", "show", made.stdout.strip()).stdout
    assert "price is standardised for training: " in shown and "predicting the mean gives a loss of 1" in shown


def test_losses_have_their_unit():
    assert watching.unit(LossEstimate(mean=0.5, stderr=0.1, seeds=2)) == "squared error"
    assert watching.unit(LossEstimate(mean=0.5, stderr=0.1, seeds=2, accuracy=0.9)) == "loss (nats)"


def test_applying_a_plan_without_torch_says_what_to_install():
    code = "import sys; sys.modules['torch'] = None; import windtunnel.torch"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].endswith("pip install torch")
