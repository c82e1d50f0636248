"""The form for a job: fields and JSON say the same, whichever was changed; mistakes stand at their field."""

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest

from service.pages.spec_form import GROUPS, in_text, merged, put, shown
from service.pages.submitting import example_text
from tests.service.test_page_forms import opened, send
from windtunnel.tasks import TASKS
from windtunnel.types import JobSpec
from windtunnel.types.families import FAMILIES
from windtunnel.types.optimizers import OPTIMIZERS


class Fields(HTMLParser):
    """What a browser would send of the form with the id ``submit``, and the mistakes that stand in it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.mistakes: dict[str, str] = {}
        self.options: dict[str, list[str]] = {}
        self._select = self._text = self._mistake = ""
        self.feed(page[page.index('id="submit"') - 200 :].partition("</form>")[0])

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        name = given.get("name") or ""
        if tag == "input" and (given.get("type") != "checkbox" or "checked" in given) and name:
            self.fields[name] = given.get("value", "on") or ""
        if tag == "select":
            self._select = name
        if tag == "option":
            self.options.setdefault(self._select, []).append(given["value"] or "")
            if "selected" in given or self._select not in self.fields:
                self.fields[self._select] = given["value"] or ""
        if tag == "textarea":
            self._text = name
            self.fields[name] = ""
        if tag == "span" and given.get("class") == "mistake":
            self._mistake = given["id"] or ""

    def handle_endtag(self, tag):
        self._text = "" if tag == "textarea" else self._text
        self._mistake = "" if tag == "span" else self._mistake

    def handle_data(self, data):
        if self._text:
            self.fields[self._text] += data
        if self._mistake and data.strip():
            self.mistakes[self._mistake.removesuffix("-mistake")] = data


def form(client: httpx.Client, **changes: str | None) -> Fields:
    """The form of the jobs page with fields changed by hand, as it comes back from an estimate; None: left blank."""
    fields = Fields(client.get("/").text).fields
    return again(client, fields, **changes)


def again(client: httpx.Client, fields: dict[str, str], **changes: str | None) -> Fields:
    sent = {name: value for name, value in {**fields, **changes}.items() if value}
    answer = send(client, "/jobs", **sent, do="estimate")
    assert answer.status_code == 200, answer.text
    return Fields(answer.text)


def written(found: Fields) -> dict:
    return json.loads(found.fields["spec"])


def test_a_form_that_nobody_touched_is_the_job_of_its_json(client):
    fields = Fields(client.get("/").text).fields
    assert fields["spec"] == fields["base"] == example_text()
    job_id = opened(send(client, "/jobs", **{name: value for name, value in fields.items() if value}, do="start"))
    spec = client.get(f"/v1/jobs/{job_id}").json()["spec"]
    assert spec == JobSpec.model_validate_json(example_text()).model_dump(mode="json")


CHANGES = [
    ({"model.width": "96"}, ("model", "width"), 96),
    ({"inner.steps": "50"}, ("inner", "steps"), 50),
    ({"optimizer.name": "sgd"}, ("optimizer", "name"), "sgd"),
    ({"name": "12"}, ("name",), "12"),
    ({"target.width": "512"}, ("target", "width"), 512),
    ({"outer.budget": "150.5"}, ("outer", "budget"), 150.5),
    ({"low.learning_rate": "1e-3"}, ("search", 0, "low"), 1e-3),
    ({"scope.weight_decay": "global"}, ("search", 1, "scope"), "global"),
    ({"search.weight_decay": None}, ("search",), [{"name": "learning_rate", "scope": "role"}]),
    ({"search.beta1": "on", "high.beta1": "0.95"}, ("search", 2), {"name": "beta1", "high": 0.95}),
]


@pytest.mark.parametrize(("changes", "path", "value"), CHANGES)
def test_a_field_changed_by_hand_is_written_into_the_json_and_nothing_else_is(client, changes, path, value):
    before, found = json.loads(example_text()), form(client, **changes)
    inside = written(found)
    for part in path:
        inside = inside[part]
    assert inside == value
    assert {name for name, given in written(found).items() if given != before.get(name)} == {path[0]}
    assert found.mistakes == {}


def test_json_changed_by_hand_is_shown_in_the_fields(client):
    spec = {
        "task": "breast-cancer",
        "model": {"width": 24},
        "search": [{"name": "beta2", "low": 0.9}],
        "outer": {"budget": 40},
    }
    found = form(client, spec=json.dumps(spec))
    told = found.fields
    assert (told["task"], told["model.width"], told["outer.budget"]) == ("breast-cancer", "24", "40")
    assert told["search.beta2"] == "on" and told["low.beta2"] == "0.9"
    assert "search.learning_rate" not in told and told["target.width"] == told["name"] == ""
    assert told["spec"] == told["base"] == json.dumps(spec), "the text stays as it was typed"


def test_a_field_and_the_json_changed_at_once_are_both_taken(client):
    spec = {"task": "digits", "seed": 5}
    found = form(client, spec=json.dumps(spec), **{"model.width": "32"})
    assert written(found) == {**spec, "model": {"width": 32}}


def test_sizes_follow_the_task_and_steps_follow_a_budget(client):
    text = next(name for name, info in TASKS.items() if info.kind == "language")
    found = form(client, task=text)
    assert found.mistakes == {} and "model" not in written(found)
    assert found.options["model.family"] == [
        "",
        *(name for name in TASKS[text].families if name != TASKS[text].families[0]),
    ]
    budgeted = written(form(client, **{"outer.budget": "100"}))
    assert budgeted["outer"] == {"scout": True, "budget": 100}
    assert "target" not in written(form(client, **{"target.width": None}))


MISTAKES = [
    ({"model.width": "2"}, "field-model-width", "width is 2; allowed: 4 to 8,192"),
    ({"model.width": "wide"}, "field-model-width", "width must be a whole number, got 'wide'"),
    ({"inner.steps": "1"}, "field-inner-steps", "steps is 1; allowed: 2 to 100,000"),
    ({"outer.budget": "3"}, "field-outer-budget", "allowed: 20 to 1,000,000"),
    ({"target.depth": "9999"}, "field-target-depth", "allowed: 1 to 1,024"),
    ({"low.learning_rate": "5"}, "search-learning_rate", "low must be below high"),
    ({"high.weight_decay": "1e+20"}, "search-weight_decay", "leaves what is allowed"),
    ({"optimizer.name": "sgd", "search.beta1": "on"}, "search-beta1", "beta1"),
    ({"model.width": "8192", "target.width": "16384"}, "field-model-depth", "the population needs"),
]


@pytest.mark.parametrize(("changes", "at", "reason"), MISTAKES)
def test_a_mistake_stands_at_its_field_with_the_reason_and_what_was_typed(client, changes, at, reason):
    found = form(client, **changes)
    assert reason in found.mistakes[at]
    for name, value in changes.items():
        assert found.fields[name] == value
    corrected = again(client, found.fields, spec=example_text())
    assert corrected.mistakes == {} or corrected.fields["spec"] != example_text()


def test_json_that_is_none_keeps_the_fields_as_they_were_typed(client):
    for text in ("{", "[1]", "null", "1" * 5000, "[" * 10_000):
        found = form(client, spec=text, **{"model.width": "77"})
        assert found.fields["spec"] == text
        if found.fields["base"] != text:
            assert found.fields["model.width"] == "77"
            mended = again(client, found.fields, spec=example_text())
            assert written(mended)["model"]["width"] == 77


@pytest.mark.parametrize(
    "search", [5, {}, [], [5], [{"name": 5}], [{"nom": "beta1"}], [{"name": "beta1", "low": [1]}], None]
)
def test_a_search_of_any_shape_comes_back(client, search):
    found = form(client, spec=json.dumps({"task": "digits", "search": search}))
    assert written(found)["search"] == search
    assert written(again(client, found.fields, **{"search.eps": "on"}))["search"][-1] == {"name": "eps"}


def test_every_choice_comes_from_the_tables(client):
    found = Fields(client.get("/").text)
    assert set(found.options["optimizer.name"]) >= {*OPTIMIZERS} - {""}
    assert set(found.options["task"]) == {*TASKS}
    assert set(found.options["model.family"]) - {""} <= {*FAMILIES}


def test_no_template_and_no_script_of_the_form_names_a_kind():
    kinds = {*FAMILIES, *OPTIMIZERS, *TASKS} - {"module"}
    for path in ("templates/job_form.html", "static/forms.js"):
        text = (Path("service") / path).read_text()
        assert not [kind for kind in kinds if re.search(rf"\\b{re.escape(kind)}\\b", text)], path


def test_data_sets_of_the_caller_are_tasks_of_the_form(client):
    rows = "a,b,kind\n" + "".join(f"{n % 7},{n % 5},{'x' if n % 3 else 'y'}\n" for n in range(90))
    dataset = client.post("/v1/datasets", files={"file": ("pets & co.csv", rows)}).json()["id"]
    found = form(client, task=dataset)
    assert found.mistakes == {} and written(found)["task"] == dataset
    assert "pets &amp; co" in client.get("/").text


def test_paths_are_written_and_read_alike():
    content: dict = {"task": "digits", "model": 5}
    for _, entries in GROUPS:
        for name, _ in entries:
            put(content, name, "v")
            assert shown(content, name) == "v"
            put(content, name, "")
            assert shown(content, name) == ""
    assert content == {}
    assert merged({}, None, {"task": "digits"}) == ({"task": "digits"}, False)
    assert JobSpec.model_validate_json(in_text(json.loads(example_text()))) == JobSpec.model_validate_json(example_text())
    assert html.unescape(in_text({})) == "{}"
