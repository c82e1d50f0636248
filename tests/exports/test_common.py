"""What every export format does, whichever it is: a new one gets these tests by being in the table."""

import itertools
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from pydantic_core import PydanticCustomError

from hpo.errors import Refused
from hpo.exports import registry
from hpo.exports.registry import Format, export, format_of, why_not
from service.plans.schemas import PlanQuery
from windtunnel.types import JobSpec, ModelSpec, OptimizerSpec, TransferPlan
from windtunnel.types.exports import EXPORTS, PYTHON, WHOLE, ExportInfo

OWN_TASK = {"transformer": "python-text"}
"""Family -> the task of its plans, where it does not learn from digits."""
SIZES = {"mlp": {"width": 16}, "resnet": {"width": 8, "depth": 1}, "transformer": {"width": 32, "depth": 1}}
"""Family -> a size that takes little time; without an entry its own default."""


def names(model: type[BaseModel], field: str) -> list[str]:
    """What a field of a spec may be."""
    found: list[str] = model.model_json_schema()["properties"][field]["enum"]
    return found


FAMILIES = [name for name in names(ModelSpec, "family") if name != "module"]
OPTIMIZERS = names(OptimizerSpec, "name")
TERMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "regularised": {"regularization": {"dropout": 0.1, "label_smoothing": 0.1, "input_noise": 0.1, "l2": 1e-3}},
}
CASES = [pytest.param(*case, id=" ".join(case)) for case in itertools.product(FAMILIES, OPTIMIZERS, TERMS)]


def spec(family: str, **fields: Any) -> dict[str, Any]:
    task = OWN_TASK.get(family, "digits")
    return {"task": task, "model": {"family": family} | SIZES.get(family, {})} | fields


@pytest.fixture
def plan(finish, plan_of, family: str, optimizer: str, terms: str) -> TransferPlan:
    """The plan of a job of that family, under that optimizer, with those regularisers, at the size that was tuned."""
    fields = spec(family, optimizer={"name": optimizer}, **TERMS[terms])
    made: TransferPlan = plan_of(finish(fields, {}), width=JobSpec.model_validate(fields).model.width)
    return made


@pytest.mark.parametrize("name", EXPORTS)
@pytest.mark.parametrize(("family", "optimizer", "terms"), CASES)
def test_a_plan_is_written_as_text_that_its_reader_takes_or_refused_with_what_is_allowed(plan, name: str) -> None:
    reason = why_not(plan, name)
    if reason is not None:
        assert "allowed: " in reason
        with pytest.raises(PydanticCustomError) as refusal:
            export(plan, name)
        assert refusal.value.message() == reason and refusal.value.context is not None
        assert (refusal.value.context["path"], refusal.value.context["given"]) == ("/format", name)
        return
    text = export(plan, name)
    assert text.endswith("\n") and text == export(plan, name)
    if EXPORTS[name].media == PYTHON:
        compile(text, f"{plan.id}{EXPORTS[name].suffix}", "exec")
        assert plan.id in text
    else:  # YAML reads JSON too
        assert TransferPlan.model_validate(yaml.safe_load(text)) == plan


@pytest.mark.parametrize("name", EXPORTS)
def test_every_format_can_express_some_plan(finish, plan_of, name: str) -> None:
    plan = plan_of(finish({"task": "python-text", "model": {"width": 32, "depth": 1}}), width=64)
    assert why_not(plan, name) is None


@pytest.mark.parametrize("name", EXPORTS)
def test_every_format_is_answered_for_and_its_file_is_told_apart(name: str) -> None:
    assert isinstance(format_of(name), Format)
    assert EXPORTS[name].says and EXPORTS[name].title
    assert [info.suffix for info in EXPORTS.values()].count(EXPORTS[name].suffix) == 1


def test_the_api_takes_the_formats_of_the_table_and_sends_the_whole_plan_where_none_is_asked_for() -> None:
    field = PlanQuery.model_json_schema()["properties"]["format"]
    assert field["enum"] == [*EXPORTS]
    assert all(f"{name}: {info.says}." in field["description"] for name, info in EXPORTS.items())
    assert PlanQuery().format == WHOLE


def test_a_format_of_the_table_that_nothing_answers_for_is_refused_and_never_taken_for_another(
    finish, plan_of, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(finish({}), width=128)
    monkeypatch.setitem(registry.EXPORTS, "onnx", EXPORTS[WHOLE])
    with pytest.raises(Refused, match=r"'onnx' is nothing that hpo\.exports answers for"):
        export(plan, "onnx")


def test_a_format_that_leaves_a_question_open_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.EXPORTS, "header", EXPORTS[WHOLE])
    with pytest.raises(Refused, match=r"hpo\.exports\.header does not answer for 'header'"):
        format_of("header")


def test_the_format_of_the_page_about_adding_one_is_offered_written_and_refused(
    finish, plan_of, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "contributing" / "add-an-export.md").read_text()
    row, source = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.setattr(registry, "EXPORTS", dict(EXPORTS))
    exec(row, {"EXPORTS": registry.EXPORTS, "ExportInfo": ExportInfo})
    module = ModuleType("hpo.exports.csv")
    exec(source, module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    plan = plan_of(finish({}), width=128)
    assert [line.split(",")[0] for line in export(plan, "csv").splitlines()] == [row.name for row in plan.tensors]
    weighted = plan.model_copy(update={"mixture_weights": {"web": 1.0}})
    with pytest.raises(PydanticCustomError, match="no place for mixture weights"):
        export(weighted, "csv")
