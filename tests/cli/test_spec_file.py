"""Specs from files and standard input, and values laid over them."""

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.cli.exits import SpecError
from windtunnel.cli.spec_file import override, read_spec


@pytest.fixture
def file(tmp_path):
    """Writes a file and gives its name."""

    def write(name: str, text: str) -> str:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("spec.json", '{"task": "digits", "inner": {"steps": 5}, "low": 1e-5}'),
        ("spec.yaml", "task: digits\ninner:\n  steps: 5\nlow: 1e-5\n"),
        ("spec.yml", '{"task": "digits", "inner": {"steps": 5}, "low": 1e-5}'),
        ("spec", "{task: digits, inner: {steps: 5}, low: 1.0e-5}"),
    ],
)
def test_json_and_yaml_say_the_same(file, name, text):
    assert read_spec(file(name, text)) == {"task": "digits", "inner": {"steps": 5}, "low": 1e-5}


def test_standard_input_is_read(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"task": "digits"}'))
    assert read_spec("-") == {"task": "digits"}


@pytest.mark.parametrize("number", ["1e-5", "-2E3", "+.5e1", "3.e-2", "1.5e+3", "0.1", "7"])
def test_numbers_of_yaml_are_those_of_json(file, number):
    assert read_spec(file("spec.yaml", f"low: {number}"))["low"] == float(number)


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("spec.json", "{", "line 1"),
        ("spec.yaml", "a: [1,", "line 1"),
        ("spec.json", "[]", "holds a list; expected a mapping"),
        ("spec.yaml", "", "holds nothing"),
        ("spec.yaml", "just words", "holds text"),
        ("spec.json", '{"task": "digits", "task": "synthetic"}', "'task' is given twice"),
        ("spec.yaml", "inner:\n  steps: 1\n  steps: 2", "'steps' is given twice"),
        ("spec.yaml", "1: digits", "field name 1 is a number"),
        ("spec.yaml", "task: !!python/object:os.system x", "could not determine a constructor"),
    ],
)
def test_what_is_no_spec_is_refused_with_the_place(file, name, text, complaint):
    path = file(name, text)
    with pytest.raises(SpecError) as caught:
        read_spec(path)
    assert complaint in str(caught.value)
    assert path in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(SpecError, match=r"none\.json: No such file"):
        read_spec(str(tmp_path / "none.json"))
    with pytest.raises(SpecError, match="directory"):
        read_spec(str(tmp_path))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match="UTF-8"):
        read_spec(str(tmp_path / "binary"))


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("seed=3", {"seed": 3}),
        ("name=a=b", {"name": "a=b"}),
        ("name=", {"name": None}),
        ("inner.steps=100", {"inner": {"steps": 100}}),
        ("optimizer.clip_norm=null", {"optimizer": {"clip_norm": None}}),
        ("outer.scout=false", {"outer": {"scout": False}}),
        ("optimizer.learning_rate=1e-3", {"optimizer": {"learning_rate": 1e-3}}),
        ("schedule={name: constant}", {"schedule": {"name": "constant"}}),
        ("search.0.name=beta1", {"search": [{"name": "beta1"}]}),
        ('search=[{"name": "eps"}]', {"search": [{"name": "eps"}]}),
    ],
)
def test_a_value_is_set_where_its_path_leads(assignment, expected):
    spec = {}
    override(spec, [assignment])
    assert spec == expected


def test_later_values_win_and_what_is_not_named_stays():
    spec = {"inner": {"steps": 1, "seeds": 2}, "search": [{"name": "eps"}, {"name": "beta1"}]}
    override(spec, ["inner.steps=5", "inner.steps=6", "search.1.low=0.5", "search.2.name=beta2"])
    assert spec == {
        "inner": {"steps": 6, "seeds": 2},
        "search": [{"name": "eps"}, {"name": "beta1", "low": 0.5}, {"name": "beta2"}],
    }


@pytest.mark.parametrize(
    ("assignment", "complaint"),
    [
        ("inner.steps", "not an assignment"),
        ("=5", "not an assignment"),
        ("inner..steps=5", "not an assignment"),
        ("task.name=x", "task is text ('digits') and has no 'name'"),
        ("search.1.name=eps", "search is a list of 0; allowed after it: 0 to 0, got '1'"),
        ("search.first=eps", "search is a list of 0"),
        ("seed=[", "expected the node content"),
        ("inner={a: 1, a: 2}", "'a' is given twice"),
    ],
)
def test_an_assignment_that_leads_nowhere_is_refused(assignment, complaint):
    with pytest.raises(SpecError) as caught:
        override({"task": "digits", "search": []}, [assignment])
    assert complaint in str(caught.value)
    assert repr(assignment) in str(caught.value)


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=4), st.integers())
def test_what_was_set_is_there(path, value):
    spec = {}
    override(spec, [f"{'.'.join(path)}={value}"])
    for part in path:
        spec = spec[part]
    assert spec == value
