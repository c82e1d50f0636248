"""``windtunnel datasets``: what people read, what programs read, and the exit codes."""

import json
from pathlib import Path

import pytest

from windtunnel.cli.exits import ExitCode

CSV = "a,b,kind\n" + "\n".join(f"{index * 7 % 11},{index * 5 % 13},{'dog' if index % 3 else 'cat'}" for index in range(60))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "animals.csv"
    path.write_text(CSV)
    return path


def test_upload_list_show_submit_delete(ask_idle, file):
    uploaded = ask_idle("datasets", "upload", str(file), "--name", "animals [red]")
    identity = uploaded.stdout.strip()
    assert uploaded.exit_code == 0 and "classification, 60 examples of 2 features, 2 classes" in uploaded.stderr
    listed = ask_idle("datasets", "list")
    assert identity in listed.stdout and "animals [red]" in listed.stdout
    shown = ask_idle("datasets", "show", identity)
    assert "cat, dog" in shown.stdout and "36 train, 12 validation, 12 test" in shown.stdout
    whole = json.loads(ask_idle("datasets", "show", identity, "--json").stdout)
    assert whole["id"] == identity and len(whole["scaling"]["mean"]) == 2
    assert [each["id"] for each in json.loads(ask_idle("datasets", "list", "--json").stdout)] == [identity]
    assert json.loads(ask_idle("datasets", "upload", str(file), "--json").stdout)["id"] == identity

    job = ask_idle("submit", "--task", "animals [red]").stdout.strip()
    shown = json.loads(ask_idle("show", job, "--json").stdout)
    assert (shown["spec"]["task"], shown["task_title"]) == (identity, "animals [red]")
    assert "animals [red]" in ask_idle("list", "--task", "animals [red]").stdout
    assert ask_idle("datasets", "show", identity[-6:]).stdout == ask_idle("datasets", "show", "animals [red]").stdout
    refused = ask_idle("datasets", "delete", identity)
    assert refused.exit_code == ExitCode.REFUSED and job in refused.stderr
    ask_idle("cancel", job)
    assert ask_idle("datasets", "delete", "animals [red]").exit_code == 0
    assert ask_idle("datasets", "show", identity).exit_code == ExitCode.REFUSED
    assert "no data sets" in ask_idle("datasets", "list").stderr


def test_a_bad_file_is_a_table_of_what_is_wrong(ask_idle, file):
    file.write_text(CSV.replace("\n0,", "\nlow,", 1))
    answer = ask_idle("datasets", "upload", str(file))
    assert answer.exit_code == ExitCode.USAGE
    assert "/file" in answer.stderr and answer.stderr.count("column 'a' has text in row 2: 'low'") == 1
    assert ask_idle("datasets", "upload", "missing.csv").exit_code == ExitCode.USAGE
    assert ask_idle("datasets").exit_code == ExitCode.USAGE


def test_a_coordinate_check_here_says_where_the_data_are(ask_idle, file, tmp_path):
    spec = tmp_path / "spec.json"
    spec.write_text('{"task": "ds_00000000000000000000000000"}')
    answer = ask_idle("coordcheck", str(spec))
    assert answer.exit_code == ExitCode.USAGE and "submit the job there, and" in answer.stderr
