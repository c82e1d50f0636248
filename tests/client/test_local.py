"""A server in this process: what it keeps, what it leaves behind, and what it needs."""

import subprocess
import sys

import pytest

from windtunnel import Client, ConnectionFailed, InvalidRequest, Pacing


def run(program: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, **options)


def test_nothing_is_left_of_a_server_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    # What the environment names is another server's.
    monkeypatch.setenv("WINDTUNNEL_DATABASE_URL", f"sqlite:///{tmp_path}/of-others.db")
    monkeypatch.setenv("WINDTUNNEL_API_KEY", "wt_of_others")
    with Client.local() as client:
        client.ready()
        assert [folder.name.startswith("windtunnel-") for folder in tmp_path.iterdir()] == [True]
        url = client.base_url
    client.close()
    assert list(tmp_path.iterdir()) == []
    with Client(url, pacing=Pacing(retries=0)) as client, pytest.raises(ConnectionFailed):
        client.ready()


def test_a_bad_argument_or_variable_is_named(monkeypatch, tmp_path):
    with pytest.raises(InvalidRequest, match=r"(?i)slots.*0"):
        Client.local(tmp_path, workers=0)
    monkeypatch.setenv("WINDTUNNEL_MAX_JOBS", "many")
    with pytest.raises(InvalidRequest, match="WINDTUNNEL_MAX_JOBS"):
        Client.local(tmp_path)


def test_a_program_that_never_closes_its_server_ends_in_order(tmp_path):
    done = run(
        "from windtunnel import Client\n"
        f"client = Client.local({str(tmp_path)!r})\n"
        "print(client.webhooks.create('https://example.com/', name='kept').id)"
    )
    assert (done.returncode, done.stderr) == (0, "")
    with Client.local(tmp_path) as client:
        assert [hook.id for hook in client.webhooks.list()] == done.stdout.split()


@pytest.mark.parametrize(("module", "named"), [("fastapi", "fastapi"), ("torch", "torch"), ("sqlalchemy", "sqlalchemy")])
def test_a_client_alone_says_what_a_local_server_takes(module, named):
    program = f"""
import importlib.abc, sys
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == {module!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == {module!r} else real(name, *rest)
sys.meta_path.insert(0, Absent())
from windtunnel import Client, NotInstalled
try:
    Client.local()
except NotInstalled as error:
    print(error)
"""
    done = run(program)
    assert f"needs {named}, which is not installed" in done.stdout, done.stderr
    assert "pip install 'windtunnel[server,worker]'" in done.stdout
