"""``plan`` against a real server."""

import json
from typing import get_args

import pytest
import yaml

from windtunnel.cli.plans import Format
from windtunnel.client import Client
from windtunnel.types import TransferPlan
from windtunnel.types.exports import EXPORTS


@pytest.fixture(scope="module")
def made(server, finished):
    """A plan made before, with a width of its own."""
    with Client(server.url) as client:
        return client.jobs.get(finished).plan(width=64, force=True)


def test_the_table_has_a_row_for_each_role(ask, finished):
    done = ask("plan", finished, "--width", "256", "--force")
    assert done.exit_code == 0, done.stderr
    assert "width 16 -> 256" in done.stdout
    roles = {line.split()[0] for line in done.stdout.splitlines() if line}
    assert {"input", "hidden", "output", "vector", "scalar"} <= roles
    assert "->" in next(line for line in done.stdout.splitlines() if line.startswith("hidden"))


def test_torch_is_python_that_can_be_written_to_a_file(ask, finished, tmp_path):
    done = ask("plan", finished, "--width", "256", "--force", "--format", "torch", "-o", "large.py")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == ""
    text = (tmp_path / "large.py").read_text()
    assert "import torch" in text
    compile(text, "large.py", "exec")


def test_an_export_for_another_library_can_be_written_to_a_file(ask, made, tmp_path):
    done = ask("plan", made.id, "--format", "optax", "-o", "optimizer.py")
    assert done.exit_code == 0, done.stderr
    compile((tmp_path / "optimizer.py").read_text(), "optimizer.py", "exec")


def test_a_format_that_cannot_express_the_plan_ends_in_2_with_the_reason(ask, made):
    done = ask("plan", made.id, "--format", "nanogpt")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "nanoGPT has transformers" in " ".join(done.stderr.split())


def test_every_format_of_the_service_is_an_option():
    assert set(get_args(Format)) == {"table", *EXPORTS}


def test_a_plan_made_before_is_shown_by_its_id(ask, made):
    assert TransferPlan.model_validate_json(ask("plan", made.id, "--json").stdout).width == 64
    assert yaml.safe_load(ask("plan", made.id, "--format", "yaml").stdout)["id"] == made.id
    assert made.id in ask("plan", made.id).stdout


def test_a_job_alone_shows_its_last_plan(ask, finished, made):
    with_new = json.loads(ask("plan", finished, "--width", "32", "--force", "--json").stdout)
    assert json.loads(ask("plan", finished, "--json").stdout)["id"] == with_new["id"]


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (("--depth", "3"), "needs the width"),
        (("--width", "8"), "/width"),
        (("--width", "64", "--json", "--format", "torch"), "contradict"),
        (("--width", "64", "-o", "plan.py"), "say in which format"),
    ],
)
def test_what_is_no_target_ends_in_2(ask, finished, args, complaint):
    done = ask("plan", finished, *args)
    assert done.exit_code == 2
    assert complaint in done.stderr


def test_the_size_of_a_plan_is_fixed(ask, made):
    done = ask("plan", made.id, "--width", "128")
    assert done.exit_code == 2
    assert "give the id of its job" in done.stderr


def test_a_job_that_has_not_ended_ends_in_4(ask_idle, queued):
    done = ask_idle("plan", queued, "--width", "128")
    assert done.exit_code == 4
    assert "has no result yet" in done.stderr
    assert ask_idle("plan", queued).exit_code == 2


def test_a_file_that_cannot_be_written_ends_in_7(ask, made):
    done = ask("plan", made.id, "--format", "yaml", "-o", "no/such/folder/plan.yaml")
    assert done.exit_code == 7
    assert "cannot write no/such/folder/plan.yaml" in done.stderr


def test_the_table_tells_the_critical_batch_size(ask, finished):
    done = ask("plan", finished, "--width", "16")
    assert done.exit_code == 0, done.stderr
    assert any(line.startswith("critical batch") and "examples" in line for line in done.stdout.splitlines())


def test_a_batch_past_the_critical_one_ends_in_4_with_the_estimate(ask, finished):
    done = ask("plan", finished, "--width", "16", "--batch-size", "1000000")
    assert (done.exit_code, done.stdout) == (4, "")
    assert "past the critical batch size" in " ".join(done.stderr.split())


def test_a_larger_data_set_takes_less_decay(ask, finished):
    rows = []
    for extra in ([], ["--examples", "10780"]):
        done = ask("plan", finished, "--width", "16", *extra, "--json")
        assert done.exit_code == 0, done.stderr
        rows.append(TransferPlan.model_validate_json(done.stdout).tensors)
    assert all(b.weight_decay == pytest.approx(a.weight_decay / 10) for a, b in zip(*rows, strict=True))
