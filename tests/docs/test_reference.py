"""The documentation is checked: everything it must name is named, its links lead somewhere, its specs and programs work."""

import ast
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import pytest
import torch
import yaml
from pydantic import BaseModel
from typer.main import get_command

from hpo.training.space import BIJECTIONS
from service.app import create_app
from service.serve import background
from service.settings import ServiceSettings
from store import schema
from store.database import Database
from store.settings import PREFIX, StoreSettings
from windtunnel.cli.app import app
from windtunnel.cli.exits import ExitCode
from windtunnel.client import ServerError
from windtunnel.client._errors import BY_STATUS, BY_TYPE
from windtunnel.tasks import TASKS
from windtunnel.types import ESTIMATORS, EventType, HyperparameterName, JobSpec
from windtunnel.types.carry import CarryRequest
from windtunnel.types.hyperparameters import DEFAULT_RANGES, HARD_RANGES, scopes_of
from windtunnel.types.jobs import FailureType, Job
from windtunnel.types.schedules import FIELDS, SCHEDULES, ScheduleSpec
from workers.local import LocalDispatcher
from workers.settings import WorkerSettings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in (ROOT / "README.md", *DOCS.rglob("*.md")) if path.is_file())
REFERENCE = {path.stem: path.read_text() for path in (DOCS / "reference").glob("*.md")}
COMMANDS = get_command(app).commands  # type: ignore[attr-defined]
HEADING = re.compile(r"^#+ +(.+?)\s*$", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```([\w-]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
WORDS = {"log": "log x", "logit": "logit x", "complement_logit": "-logit x"}


def blocks(text: str, *languages: str) -> list[str]:
    """The fenced blocks in one of the languages."""
    return [content for language, content in FENCE.findall(text) if language in languages]


def cells(text: str, heading: str) -> dict[str, list[str]]:
    """First cell -> the other cells of the tables under a heading, up to the next heading."""
    found = re.search(rf"^#+ {re.escape(heading)}$(.*?)(?=^#+ |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"no heading {heading!r}"
    lines = [line for line in found[1].splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {name: rest for first, *rest in rows for name in re.findall(r"`([^`]+)`", first)}


def page_id(path: Path) -> str:
    return str(path.relative_to(ROOT))


# What must be named


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models inside of a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from models(inner)


def fields_by_heading() -> Iterator[tuple[str, str]]:
    """(heading of the spec page, field) for every field of a JobSpec, however deep."""
    for name, field in JobSpec.model_fields.items():
        yield "Top level", name
        annotation = ScheduleSpec if name == "schedule" else field.annotation
        for model in models(annotation):
            for inner in model.model_fields:
                yield ("schedules" if name == "schedule" else name), inner


@pytest.mark.parametrize(("heading", "field"), sorted(set(fields_by_heading())))
def test_every_field_of_a_spec_is_explained_where_it_belongs(heading, field):
    section = REFERENCE["spec"].split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    assert f"`{field}`" in section


def test_defaults_in_the_spec_page_are_those_of_the_code():
    for section, model in (("model", "model"), ("inner", "inner"), ("method", "method"), ("outer", "outer")):
        table = cells(REFERENCE["spec"], section)
        for name, value in getattr(JobSpec(task="digits"), model):
            if value is not None:
                shown = str(value).lower() if isinstance(value, bool) else str(value)
                assert f"`{shown}`" in table[name][0], f"{section}.{name}"


@pytest.mark.parametrize("name", get_args(HyperparameterName))
def test_every_hyperparameter_has_its_row(name):
    row = cells(REFERENCE["spec"], "search")[name]
    assert row[0] == WORDS[BIJECTIONS[name]]
    for cell, (low, high) in zip(row[1:3], (DEFAULT_RANGES[name], HARD_RANGES[name]), strict=True):
        assert [float(end) for end in cell.split(" to ")] == [low, high]
    assert row[3].startswith(", ".join(scopes_of(name)))


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_its_row(name):
    task = TASKS[name]
    sizes = f"{task.train_examples} / {task.validation_examples} / {task.test_examples}"
    assert cells(REFERENCE["spec"], "tasks")[name][:3] == [str(task.features), str(task.classes), sizes]


def test_every_schedule_is_named():
    union = get_args(ScheduleSpec)[0] if get_origin(ScheduleSpec) is Annotated else ScheduleSpec
    table = cells(REFERENCE["spec"], "schedules")
    assert {kind.model_fields["name"].default for kind in get_args(union)} <= set(table)


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_has_its_section_with_formula_fields_defaults_and_what_is_searchable(name):
    kind, page = SCHEDULES[name], REFERENCE["schedules"]
    section = page.split(f"\n## {name}\n", 1)[1].split("\n## ", 1)[0]
    assert section.lstrip().startswith(f"`{kind.formula}`")
    assert "torch" in section
    rows = cells(page, name)
    assert set(rows) == set(kind.model_fields) - {"name"}
    for field, (default, _, meaning) in rows.items():
        value = kind.model_fields[field].default
        shown = json.dumps(value) if not isinstance(value, str) else value
        assert f"`{shown}`" in default, field
        assert ("Searchable" in meaning) == (field in {FIELDS[item] for item in kind.shape}), field


@pytest.mark.parametrize("name", FIELDS)
def test_every_shape_parameter_says_which_schedules_have_it(name):
    told = cells(REFERENCE["spec"], "search")[name][4]
    named = set(re.split(r"[, ]+", told)) & set(SCHEDULES)
    having = {kind for kind, described in SCHEDULES.items() if name in described.shape}
    assert having == (set(SCHEDULES) - named if "but" in told else named)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimator_has_its_row_and_its_section(name):
    info = ESTIMATORS[name]
    title, time, memory, bias, settings, cannot, source = cells(REFERENCE["estimators"], "Catalogue")[name]
    assert (title, time, memory, bias) == (info.title, info.time, info.memory, info.bias)
    assert source == (info.source or "none")
    assert re.findall(r"`(\w+)`", settings) == list(info.settings)
    named = set(re.findall(r"`(\w+)`", cannot))
    able = {item for item in get_args(HyperparameterName) if info.can(item)}
    assert named == (able if cannot.startswith("all but") else set(get_args(HyperparameterName)) - able)
    assert f"\n## {name}\n" in REFERENCE["estimators"]


def test_every_route_is_named_and_no_other(tmp_path):
    document = create_app(ServiceSettings(data_dir=tmp_path)).openapi()
    routes = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    assert set(cells(REFERENCE["api"], "Routes")) == routes


def problem_types() -> dict[str, int | None]:
    """Every problem type in the source of the service -> its status where it is written there as a number."""
    found: dict[str, int | None] = {}
    for path in (ROOT / "service").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
                continue
            named = {keyword.arg: keyword.value for keyword in call.keywords}
            if call.func.id == "problem" and len(call.args) >= 2:
                named = {"status": call.args[0], "type": call.args[1]}
            match named:
                case {"type": ast.Constant(value=str(kind)), "status": ast.Constant(value=int(status))}:
                    found[kind] = status
                case {"type": ast.Constant(value=str(kind)), "status": _}:
                    found.setdefault(kind, None)
    return found


def test_every_problem_type_has_its_row():
    table = cells(REFERENCE["api"], "Problems")
    kinds = problem_types()
    assert len(kinds) > 10
    assert set(kinds) == set(table)
    assert {kind: int(table[kind][0]) for kind, status in kinds.items() if status} == {
        kind: status for kind, status in kinds.items() if status
    }


def test_every_problem_type_has_an_exception_of_its_own_below_that_of_its_status():
    kinds = problem_types()
    assert set(BY_TYPE) == set(kinds)
    assert len(set(BY_TYPE.values())) == len(kinds)
    for kind, row in cells(REFERENCE["api"], "Problems").items():
        status = int(row[0])
        # A law that is refused has no bad field to name.
        if kind != "law-refused":
            assert issubclass(BY_TYPE[kind], ServerError if status >= 500 else BY_STATUS[status]), kind


def test_every_event_type_and_failure_type_has_its_row():
    assert set(cells(REFERENCE["api"], "Events")) == set(get_args(EventType))
    assert set(cells(REFERENCE["api"], "Job")) == set(get_args(FailureType))
    section = REFERENCE["api"].split("### Job\n", 1)[1].split("\n### ", 1)[0]
    assert not [name for name in Job.model_fields if f"`{name}`" not in section]


def test_every_command_and_option_is_named_where_it_belongs():
    page = REFERENCE["cli"]
    for name, command in COMMANDS.items():
        section = page.split(f"\n## {name}\n", 1)[1].split("\n## ", 1)[0]
        inner = getattr(command, "commands", {})
        assert not [word for word in inner if f"windtunnel {name} {word}" not in section]
        for parameter in [parameter for each in (command, *inner.values()) for parameter in each.params]:
            for option in parameter.opts:
                everywhere = option in ("--url", "--json", "-h", "--help")
                if option.startswith("-"):
                    assert f"`{option}" in (page if everywhere else section), f"{name} {option}"


def test_every_exit_code_has_its_row():
    section = REFERENCE["cli"].split("## Exit codes\n", 1)[1]
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)] == sorted(ExitCode)


def test_every_variable_has_its_row_with_its_default():
    page = REFERENCE["settings"]
    rows: dict[str, list[str]] = {}
    for heading in HEADING.findall(page)[1:]:
        rows |= cells(page, heading)
    settings = {StoreSettings, WorkerSettings, ServiceSettings}
    fields = {PREFIX + name.upper(): field for kind in settings for name, field in kind.model_fields.items()}
    assert {name for name in rows if name.startswith(PREFIX)} == {*fields, "WINDTUNNEL_URL", "WINDTUNNEL_API_KEY"}
    for name, field in fields.items():
        if isinstance(field.default, int | float):
            assert f"`{field.default:g}`" in rows[name][1] or f"`{field.default}`" in rows[name][1], name


# What is written must be so


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = HEADING.findall(FENCE.sub("", path.read_text()))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_links_lead_to_a_file_and_a_heading(path):
    for link in LINK.findall(FENCE.sub("", path.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), f"{link}: no such file"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


def test_the_index_lists_every_page():
    index = (DOCS / "README.md").read_text()
    pages = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")} - {"README.md"}
    assert pages <= set(LINK.findall(index))


def specs() -> Iterator[tuple[str, Any]]:
    """Every whole spec in the documentation: JSON and YAML blocks, and JSON in what curl and echo send.

    The generated page of routes is left out: what is recorded there are answers, and bodies that its own tests send.
    """
    for path in (each for each in PAGES if each.name != "openapi.md"):
        text = path.read_text()
        found = [json.loads(block) for block in blocks(text, "json")]
        found += [yaml.safe_load(block) for block in blocks(text, "yaml")]
        for block in blocks(text, "sh"):
            found += [json.loads(quoted) for quoted in re.findall(r"'(\{.*?\})'", block, re.DOTALL)]
        yield from ((page_id(path), value) for value in found if "task" in value)


def test_specs_in_the_documentation_are_valid():
    found = [(page, (CarryRequest if "values" in value else JobSpec).model_validate(value)) for page, value in specs()]
    assert {page for page, _ in found} >= {"docs/reference/spec.md", "docs/tutorial.md"}


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_commands_in_the_documentation_exist(path):
    for block in blocks(path.read_text(), "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if "windtunnel" not in words:
                continue
            name, *arguments = words[words.index("windtunnel") + 1 :]
            command = COMMANDS[name]
            if hasattr(command, "commands"):
                name, *arguments = arguments
                command = command.commands[name]
            # Parsing checks names and values of options; nothing is run.
            command.make_context(name, arguments, resilient_parsing=False)


# The tutorial is run

TUTORIAL = blocks((DOCS / "tutorial.md").read_text(), "python")
SMALLER = (('"steps": 100', '"steps": 10'), ('outer={"steps": 4}', 'outer={"steps": 1}'))
"""So that the test takes seconds; all else is run as it is written."""


@pytest.fixture
def service(tmp_path) -> Iterator[str]:
    """Address of the real service with one real worker."""
    settings = ServiceSettings(data_dir=tmp_path, event_poll=0.02)
    schema.upgrade(settings.url)
    database = Database(settings.url)
    dispatcher = LocalDispatcher(database, WorkerSettings(data_dir=tmp_path, threads=1, poll=0.05))
    with background(create_app(settings, database=database, dispatcher=dispatcher)) as url:
        yield url
    database.dispose()


@pytest.mark.slow
def test_the_tutorial_runs_from_top_to_bottom(service, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WINDTUNNEL_URL", service)
    monkeypatch.chdir(tmp_path)
    source = "\n".join(TUTORIAL)
    for written, smaller in SMALLER:
        assert written in source
        source = source.replace(written, smaller)
    torch.manual_seed(0)
    names: dict[str, Any] = {"__name__": "tutorial"}
    try:
        exec(compile(source, "docs/tutorial.md", "exec"), names)
    finally:
        if "client" in names:
            names["client"].close()
    printed = capsys.readouterr().out
    refused = "/model/wdith unknown field 'wdith'; did you mean 'width'? allowed: family, width, depth, activation"
    assert refused in printed and refused in (DOCS / "tutorial.md").read_text()
    # Chance is ln 10 = 2.3 nats: the large model has learned.
    assert float(printed.rsplit("test loss", 1)[1]) < 0.5
    # The file is a program of its own.
    made: dict[str, Any] = {"__name__": "large_model"}
    exec(compile((tmp_path / "large_model.py").read_text(), "large_model.py", "exec"), made)
    model = made["build_model"]()
    assert {name: tuple(value.shape) for name, value in model.named_parameters()} == {
        row.name: tuple(row.shape) for row in names["plan"].tensors
    }
