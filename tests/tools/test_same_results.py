"""The comparison of two checkouts: what it sees, what it leaves out, and which cases there are."""

import importlib
import pathlib
import subprocess
import sys

import pytest

from windtunnel import JobSpec

TOOLS = pathlib.Path(__file__).parents[2] / "tools"


@pytest.fixture(scope="module")
def same():
    """The package ``same``, which lies beside the script."""
    sys.path.insert(0, str(TOOLS))
    try:
        yield {name: importlib.import_module(f"same.{name}") for name in ("cases", "differences", "exported", "side")}
    finally:
        sys.path.remove(str(TOOLS))


def found(same, old, new, **more):
    read, differences = same["differences"].read, same["differences"].differences
    return [(each.path, each.old, each.new) for each in differences(read(old), read(new), **more)]


def test_a_float_that_differs_in_its_last_bit_is_named_with_its_path(same):
    old, new = '{"best": [{"mean": 0.1}]}', '{"best": [{"mean": 0.10000000000000002}]}'
    assert found(same, old, new) == [("best.0.mean", "0.1", "0.10000000000000002")]


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ('{"a": 0.0}', '{"a": -0.0}', "a"),
        ('{"a": 1}', '{"a": 1.0}', "a"),
        ('{"a": 1}', '{"a": "1"}', "a"),
        ('{"a": null}', "{}", "a"),
        ("{}", '{"a": null}', "a"),
        ('{"a": [1]}', '{"a": [1, 2]}', "a.length"),
        ('{"a": "x\\ny"}', '{"a": "x\\nz"}', "a line 2"),
    ],
)
def test_what_is_not_the_same_text_of_json_differs(same, old, new, path):
    assert [place for place, _, _ in found(same, old, new)] == [path]
    assert found(same, old, old) == []


def test_what_is_about_the_run_is_left_out_and_nothing_else(same):
    old = (
        '{"job": {"worker": "a", "loss": 1.0}, "cost": {"wall_seconds": 1.5, "runs": 2.0}, "provenance": {"versions": {}}}'
    )
    new = '{"job": {"worker": "b", "loss": 1.5}, "cost": {"wall_seconds": 2.5, "runs": 3.0}, "provenance": {"versions": 1}}'
    assert [path for path, _, _ in found(same, old, new)] == ["job.loss", "cost.runs"]
    assert found(same, old, new, excluded=("job", "cost", "versions")) == []


def test_no_part_of_an_answer_is_left_out_as_a_whole(same):
    parts = ("estimate", "events", "metrics", "result", "plans", "job", "exit", "stdout", "stderr")
    assert not set(same["differences"].EXCLUDED) & set(parts)


def test_ids_times_and_places_are_words_in_texts(same):
    text = "plan_01m8qrbm5me3qvvtgqdvhw01kn of 2026-12-01T02:53:48.596083Z in /tmp/a/b, lr 0.01"
    assert same["differences"].plain(text, {"/tmp/a": "FOLDER"}) == "plan_ID of TIME in FOLDER/b, lr 0.01"


def test_an_answer_stays_json_without_its_ids_and_times(same):
    answer = '{"id": "job_01m8qrbm5me3qvvtgqdvhw01kn", "at": "2026-12-01T02:53:48Z", "wall_seconds": 1.5e-3}'
    differences = same["differences"]
    read = differences.read(differences.plain(answer, {}))
    assert read == {"id": "job_ID", "at": "TIME", "wall_seconds": "1.5e-3"}


def test_every_case_is_a_job_by_a_name_of_its_own(same):
    names = same["side"].names()
    assert len(names) == len(set(names))
    specs = [case.spec for case in same["cases"].CASES]
    assert len(specs) >= 45
    for spec in specs:
        if spec["task"] != "same-sums" and not spec["task"].startswith("@"):
            JobSpec.model_validate(spec)


def test_the_cases_cover_the_kinds(same):
    specs = [case.spec for case in same["cases"].CASES]
    assert {spec["method"]["estimator"] for spec in specs} >= {
        "auto", "reverse", "higher", "forward", "truncated", "greedy", "implicit", "es", "pes", "finite_difference", "stn",
        "delta_stn",
    }  # fmt: skip
    assert {spec["parametrization"] for spec in specs} >= {"mup", "u-mup", "spectral", "ntk", "standard"}
    assert {spec.get("optimizer", {}).get("name", "adamw") for spec in specs} >= {"sgd", "adam", "adamw"}
    assert {spec.get("schedule", {}).get("name", "cosine") for spec in specs} >= {
        "constant", "warmup", "step", "multistep", "exponential", "cosine", "cosine-restarts", "cyclic", "inverse-sqrt",
        "warmup-stable-decay", "gpt3", "knots",
    }  # fmt: skip


def test_the_command_names_its_cases_and_refuses_what_is_no_checkout():
    script = [sys.executable, str(TOOLS / "same_results.py")]
    listed = subprocess.run([*script, "-", "-", "--list", "--only", "schedule-*"], capture_output=True, text=True)
    assert listed.returncode == 0 and "schedule-gpt3" in listed.stdout.split()
    nothing = subprocess.run([*script, "no-such-revision", ".", "--only", "listings"], capture_output=True, text=True)
    assert nothing.returncode == 2 and "no-such-revision is no checkout" in nothing.stdout


FILE = '''"""A plan."""

import math

STEPS = 4


class Floats:
    cos = math.cos


def half(xp, share):
    """Half a cosine."""
    return (1 + xp.cos(math.pi * share)) / 2


def multiplier(step):
    return half(Floats, (step + 1) / STEPS)


def rate(step):
    """Learning rate."""
    return {rate} * multiplier(step)  # peak
'''
CLASS = "class Floats:\n    cos = math.cos\n\n\n"
OLDER = FILE.replace(CLASS, "").replace("half(Floats, ", "half(").replace("def half(xp, ", "def half(")


def test_an_exported_file_is_compared_by_its_learning_rates_and_its_code(same):
    older = OLDER.replace("xp.cos", "math.cos").replace("Learning rate.", "Rate at a step.")
    new, old = (same["exported"].by_value(text.replace("{rate}", "0.5"), "torch") for text in (FILE, older))
    assert new == old and len(new["multipliers"]) == 4 and new["multipliers"][-1] == "0.0"
    changed = same["exported"].by_value(FILE.replace("{rate}", "0.25"), "torch")
    assert changed["code"] != new["code"] and changed["multipliers"] == new["multipliers"]
    moved = same["exported"].by_value(FILE.replace("{rate}", "0.5").replace("1 + xp", "2 + xp"), "torch")
    assert moved["multipliers"] != new["multipliers"]
