"""``submit`` and ``fork`` against a real server."""

import json

import pytest

from windtunnel.types import ConstantSchedule


def test_a_task_is_enough_and_the_id_is_all_that_standard_output_holds(ask_idle):
    done = ask_idle("submit", "--task", "digits")
    assert done.exit_code == 0
    assert done.stdout.startswith("job_")
    assert f"windtunnel follow {done.stdout.strip()}" in done.stderr


def test_files_options_and_overrides_are_laid_over_each_other(ask_idle, tmp_path):
    (tmp_path / "spec.yaml").write_text("task: digits\nname: from file\ninner: {steps: 5, seeds: 2}\n")
    done = ask_idle("submit", "spec.yaml", "--name", "from option", "--set", "inner.steps=7", "--json")
    job = json.loads(done.stdout)
    assert (job["name"], job["spec"]["inner"]["steps"], job["spec"]["inner"]["seeds"]) == ("from option", 7, 2)


def test_standard_input_is_a_file_too(ask_idle):
    done = ask_idle("submit", "-", "--json", input='{"task": "digits"}')
    assert json.loads(done.stdout)["spec"]["task"] == "digits"
    assert done.exit_code == 0


def test_bad_fields_are_a_table_of_pointer_given_and_allowed(ask_idle):
    done = ask_idle("submit", "--task", "digits", "--set", "model.width=-3", "--set", "widht=3")
    assert done.exit_code == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert any(line.startswith("/model/width  -3") and "allowed" in line for line in lines)
    assert any(line.startswith("/widht") and "unknown field" in line for line in lines)


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        ((), "mnist5k"),
        (("--task", "digits", "--follow", "--wait"), "choose one"),
        (("--task", "digits", "--timeout", "5"), "--wait"),
        (("none.json",), "cannot read none.json"),
        (("--set", "task"), "not an assignment"),
    ],
)
def test_what_cannot_be_submitted_ends_in_2(run, args, complaint):
    done = run("submit", *args)
    assert done.exit_code == 2
    assert complaint in done.stderr


def test_wait_ends_with_the_result(ask, small):
    done = ask("submit", "-", "--wait", "--json", input=json.dumps(small | {"parametrization": "standard"}))
    assert done.exit_code == 0, done.output
    job = json.loads(done.stdout)
    assert job["state"] == "succeeded"
    assert job["result"]["best"]["hyperparameters"]


def test_wait_that_is_too_short_ends_in_6(ask_idle):
    done = ask_idle("submit", "--task", "digits", "--wait", "--timeout", "0")
    assert done.exit_code == 6
    assert "goes on" in done.stderr


def test_follow_prints_a_line_for_each_outer_step_then_the_result(ask, small):
    done = ask("submit", "-", "--follow", input=json.dumps(small))
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("step ")] == ["0/2", "1/2", "2/2"]
    assert any(line.startswith("validation ") for line in lines)
    assert any(line.startswith("learning_rate.hidden ") for line in lines)


def test_an_estimate_is_told_by_phase_and_starts_nothing(ask_idle):
    done = ask_idle("estimate", "--task", "digits", "--set", "inner.steps=50")
    assert done.exit_code == 0
    assert "runs of the proxy" in done.stdout and "scout" in done.stdout and "MiB" in done.stdout
    stopping = ask_idle("estimate", "--task", "digits", "--set", "outer.early_stopping=true")
    assert "an upper bound" in stopping.stdout
    large = ask_idle("estimate", "--task", "digits", "--set", "model.width=8192", "--json")
    assert json.loads(large.stdout)["memory"]["fits"] is False
    told = ask_idle("estimate", "--task", "digits", "--set", "model.width=8192")
    assert "It does not fit" in told.stdout and "at most" in told.stdout


def test_a_fork_differs_in_what_is_set_and_in_nothing_else(ask_idle):
    spec = {
        "task": "digits",
        "search": [{"name": "learning_rate", "scope": "role"}, {"name": "weight_decay"}],
        "schedule": {"name": "cosine", "floor": 0.2},
        "model": {"width": 32},
    }
    parent = ask_idle("submit", "-", input=json.dumps(spec)).stdout.strip()
    before = json.loads(ask_idle("show", parent, "--json").stdout)["spec"]
    sets = ["search.0.low=1e-3", "model.width=64", "inner.steps=null", "schedule.name=constant"]
    done = ask_idle("fork", parent, "--name", "child", "--json", *[part for each in sets for part in ("--set", each)])
    after = json.loads(done.stdout)["spec"]
    assert after.pop("name") == "child" and before.pop("name") == ""
    # A schedule of another name takes nothing from the parent's.
    assert before.pop("schedule")["floor"] == 0.2
    assert after.pop("schedule") == ConstantSchedule().model_dump(mode="json")
    search = before["search"][0] | {"low": 1e-3}
    assert after == before | {"search": [search, before["search"][1]], "model": before["model"] | {"width": 64}}


def test_a_fork_without_changes_is_the_same_job_again_and_its_id_is_all_of_standard_output(ask_idle):
    parent = ask_idle("submit", "--task", "digits", "--set", "seed=7").stdout.strip()
    done = ask_idle("fork", parent)
    assert done.stdout.startswith("job_") and done.stdout.strip() != parent
    assert json.loads(ask_idle("show", done.stdout.strip(), "--json").stdout)["spec"]["seed"] == 7


def test_a_fork_that_cannot_be_says_why(ask_idle):
    parent = ask_idle("submit", "--task", "digits").stdout.strip()
    unfinished = ask_idle("fork", parent, "--from-best")
    assert (unfinished.exit_code, unfinished.stdout) == (4, "")
    assert "no result yet" in unfinished.stderr
    wrong = ask_idle("fork", parent, "--set", "model.width=-3")
    assert wrong.exit_code == 2 and "/overrides/model/width" in wrong.stderr
    assert ask_idle("fork", "job_none").exit_code == 4
    assert ask_idle("fork", parent, "--follow", "--wait").exit_code == 2


def test_a_fork_begins_where_its_parent_was_best(ask, finished):
    job = json.loads(ask("show", finished, "--json").stdout)
    child = json.loads(ask("fork", finished, "--from-best", "--set", "seed=1", "--json").stdout)
    assert child["spec"]["initial"] == job["result"]["best"]["hyperparameters"]
    assert ask("cancel", child["id"]).exit_code == 0
