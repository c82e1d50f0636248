"""What a spec states beyond its defaults: the base of its hash."""

from typing import Any

import pytest

from hpo.saving import spec_sha256
from windtunnel.types import JobSpec
from windtunnel.types.base import stated

SPECS: list[dict[str, Any]] = [
    {"task": "digits"},
    {"task": "mnist5k"},
    {"task": "digits", "schedule": {"name": "constant"}},
    {"task": "digits", "schedule": {"name": "exponential"}},
    {"task": "digits", "schedule": {"name": "cosine-restarts"}},
    {"task": "digits", "optimizer": {"name": "sgd"}},
    {"task": "digits", "optimizer": {"name": "adam"}},
    {"task": "digits", "search": [{"name": "learning_rate"}]},
    {"task": "digits", "search": [{"name": "learning_rate", "scope": "role"}]},
    {"task": "digits", "inner": {"steps": 7}},
    {"task": "digits", "target": {"width": 1024}},
]


@pytest.mark.parametrize("fields", SPECS, ids=str)
def test_a_spec_is_read_back_from_what_it_states(fields: dict[str, Any]) -> None:
    spec = JobSpec.model_validate(fields)
    assert JobSpec.model_validate(stated(spec)) == spec


def test_different_specs_state_different_things() -> None:
    said = [stated(JobSpec.model_validate(fields)) for fields in SPECS]
    assert all(one != other for i, one in enumerate(said) for other in said[:i])


def test_a_default_that_is_spelled_out_states_nothing() -> None:
    spec = JobSpec.model_validate({"task": "digits"})
    assert stated(JobSpec.model_validate(spec.model_dump(mode="json"))) == stated(spec) == {"task": "digits"}


def test_the_hash_of_a_spec_outlives_a_new_field() -> None:
    class Later(JobSpec):
        added: int | None = None

    fields = {"task": "digits", "schedule": {"name": "constant"}, "seed": 3}
    now, later = JobSpec.model_validate(fields), Later.model_validate(fields)
    assert spec_sha256(later) == spec_sha256(now)
    assert spec_sha256(Later.model_validate({**fields, "added": 1})) != spec_sha256(now)


def test_name_and_target_do_not_decide_the_numbers() -> None:
    named = JobSpec.model_validate({"task": "digits", "name": "a", "target": {"width": 1024}})
    assert spec_sha256(named) == spec_sha256(JobSpec.model_validate({"task": "digits"}))
