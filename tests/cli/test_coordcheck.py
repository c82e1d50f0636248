"""``coordcheck``: a check of one's own, and that of a job."""

import json
from importlib import metadata

import pytest

from windtunnel.types import CoordinateCheck

QUICK = ("--widths", "32,64,128", "--seeds", "2")


def test_a_task_is_checked_here_and_drawn(run, tmp_path):
    done = run("coordcheck", "digits", *QUICK, "--figure", "check.html")
    assert done.exit_code == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0][0] == "verdict"
    headings = next(line for line in lines if line and line[0] == "module")
    assert headings[1:4] == ["32", "64", "128"]
    assert {"layers.0", "layers.1", "readout", "readout.weight"} <= {line[0] for line in lines if line}
    assert "linearisation error" in done.stdout
    assert "layers.1:" in (tmp_path / "check.html").read_text()


def test_a_failed_check_ends_in_4_and_says_what_failed(run):
    done = run("coordcheck", "digits", *QUICK, "--seeds", "3", "--parametrization", "standard", "--optimizer", "sgd")
    assert done.exit_code == 4, done.stdout
    assert "fails beyond 0.3" in done.stdout


def test_a_spec_is_checked_without_its_target(run, tmp_path, small):
    (tmp_path / "spec.yaml").write_text(json.dumps(small | {"target": {"width": 64}}))
    done = run("coordcheck", "spec.yaml", *QUICK, "--steps", "2", "--learning-rate", "0.02", "--json", "--set", "seed=3")
    check = CoordinateCheck.model_validate_json(done.stdout)
    assert (check.widths, check.seeds, check.steps, check.learning_rate) == ([32, 64, 128], 2, 2, 0.02)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("digits", "--widths", "64"), "at least two"),
        (("digits", "--widths", "64,large"), "not a list of widths"),
        (("python-text", "--widths", "50,100"), "no multiple of d_head"),
        (("digits", "--set", "inner.steps=0"), "/inner/steps"),
        (("digits", "--parametrization", "best"), "/parametrization"),
        (("nothing.yaml",), "cannot read nothing.yaml"),
        (("digits", "--figure", "check.txt"), "ends in none of"),
        (("job_0", "--widths", "64,128"), "only shown"),
    ],
)
def test_what_cannot_be_checked_ends_in_2(run, arguments, complaint):
    done = run("coordcheck", *arguments)
    assert done.exit_code == 2
    assert complaint in " ".join(done.stderr.replace("│", " ").split())


def test_pictures_need_kaleido(run, monkeypatch):
    monkeypatch.setattr("windtunnel.cli.coordcheck.find_spec", lambda _: None)
    done = run("coordcheck", "digits", "--figure", "check.png")
    assert done.exit_code == 7
    assert "pip install kaleido" in done.stderr


def test_without_the_worker_extra_the_way_out_is_named(run, monkeypatch):
    def version(name: str) -> str:
        if name == "torch":
            raise metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr("windtunnel.cli.extras.metadata.version", version)
    done = run("coordcheck", "digits")
    assert done.exit_code == 7
    assert "windtunnel[worker]" in done.stderr and "windtunnel coordcheck ID" in done.stderr


def test_the_check_of_a_job_is_shown(ask, finished):
    done = ask("coordcheck", finished, "--json")
    check = CoordinateCheck.model_validate_json(done.stdout)
    assert done.exit_code == (4 if check.verdict == "fail" else 0)
    assert check.kernel_change and check.update_norms
    assert check.verdict in ask("coordcheck", finished).stdout


def test_a_job_that_has_not_ended_has_none_yet(ask_idle, queued):
    done = ask_idle("coordcheck", queued)
    assert done.exit_code == 4
    assert "has no result yet" in done.stderr
