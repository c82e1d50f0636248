"""The field ``engine`` of earlier releases: what it meant is kept for one more, what contradicts is refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from windtunnel.types import ESTIMATORS, JobSpec
from windtunnel.types.method import MethodSpec


@pytest.mark.parametrize("beside", [{}, {"estimator": "auto"}, {"estimator": "reverse"}, {"estimator": "higher"}])
def test_the_engine_higher_is_the_estimator_higher_with_a_warning(beside: dict[str, str]) -> None:
    with pytest.warns(DeprecationWarning, match=r"method\.engine is out of date.*method\.estimator is 'higher'"):
        found = MethodSpec.model_validate({"engine": "higher", **beside})
    assert found.estimator == "higher" and found.outdated is not None
    assert "engine" not in found.model_dump() and "engine" not in MethodSpec.model_json_schema()["properties"]


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_engine_population_means_nothing(name: str) -> None:
    found = MethodSpec.model_validate({"estimator": name, "engine": "population"})
    assert found == MethodSpec(estimator=name) and found.outdated is None


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name not in ("auto", "reverse", "higher")])
def test_an_engine_that_contradicts_the_estimator_is_refused_with_both_named(name: str) -> None:
    with pytest.raises(ValidationError) as refused:
        JobSpec.model_validate(
            {"task": "digits", "search": [{"name": "l2"}], "method": {"engine": "higher", "estimator": name}}
        )
    (error,) = refused.value.errors()
    assert error["ctx"]["path"] == "/engine" and "'higher'" in error["msg"] and repr(name) in error["msg"]


def test_an_engine_that_never_was_is_refused() -> None:
    with pytest.raises(ValidationError, match="engine 'replay' is not known; allowed: population, higher"):
        MethodSpec.model_validate({"engine": "replay"})


@pytest.mark.parametrize(("engine", "estimator"), [("population", "auto"), ("population", "higher"), ("higher", "auto")])
@pytest.mark.filterwarnings("ignore:method.engine is out of date:DeprecationWarning")
def test_a_spec_that_was_stored_with_an_engine_is_read(engine: str, estimator: str) -> None:
    """As earlier releases wrote it: in full, with every default."""
    stored: dict[str, Any] = JobSpec(task="digits", method={"estimator": estimator}).model_dump(mode="json")
    stored["method"]["engine"] = engine
    found = JobSpec.model_validate(stored)
    assert found.method.estimator == ("higher" if engine == "higher" else estimator)
    assert JobSpec.model_validate(found.model_dump(mode="json")).method.outdated is None
