"""The facts of a task travel with the spec that names it: handed over by its reader, beside the wire."""

import copy
import pickle
from typing import Any

import pytest
from pydantic import ValidationError

from service.problems.problems import field_errors
from windtunnel.tasks import TASKS
from windtunnel.types import Job, JobSpec, TaskInfo, TransferPlan, UnknownTask
from windtunnel.types.base import Response

DATASET = "ds_" + "0" * 26
FACTS = TaskInfo(
    name=DATASET,
    title="mine",
    kind="language",
    features=7,
    classes=5,
    sources=("all",),
    train_examples=40,
    validation_examples=10,
    test_examples=10,
    source="a test",
    families=("transformer",),
    batch_size=8,
)


class Holding(Response):
    """Something that has a spec among its fields, as a job and a result do."""

    spec: JobSpec


def errors_of(given: dict[str, Any], task: TaskInfo) -> dict[str, str]:
    with pytest.raises(ValidationError) as caught:
        JobSpec.of(given, task)
    return {error.pointer: error.message for error in field_errors(caught.value.errors(), JobSpec)}


def test_a_spec_is_filled_up_with_what_is_handed_over_and_knows_it() -> None:
    spec = JobSpec.of({"task": DATASET}, FACTS)
    assert (spec.model.family, spec.inner.batch_size, spec.tokens_per_step) == ("transformer", 8, 56)
    assert spec.info == FACTS


def test_a_spec_is_checked_against_what_is_handed_over() -> None:
    assert errors_of({"task": DATASET, "model": {"family": "mlp"}}, FACTS) == {
        "/model/family": f"family 'mlp' cannot learn task '{DATASET}'; allowed: transformer"
    }
    found = errors_of({"task": DATASET, "inner": {"batch_size": 41}}, FACTS)
    assert found["/inner/batch_size"].startswith("batch_size 41 is larger than the 40 training examples")


def test_a_spec_of_a_data_set_that_nobody_handed_over_is_read_as_it_is() -> None:
    spec = JobSpec.model_validate({"task": DATASET, "inner": {"batch_size": 41}})
    assert (spec.model.family, spec.inner.batch_size) == ("mlp", 41)
    with pytest.raises(UnknownTask, match=f"no task '{DATASET}'; allowed: breast-cancer"):
        _ = spec.info


def test_nothing_remembers_what_was_handed_over() -> None:
    JobSpec.of({"task": DATASET}, FACTS)
    assert DATASET not in TASKS
    with pytest.raises(UnknownTask):
        _ = JobSpec(task=DATASET).info


def test_what_the_sender_gave_is_checked_and_the_rest_filled_up_later() -> None:
    sent = JobSpec.model_validate({"task": DATASET, "model": {"depth": 3}})
    spec = sent.check(FACTS)
    assert (spec.model.family, spec.model.depth, spec.model.width, spec.inner.batch_size) == ("transformer", 3, 48, 8)
    assert spec == JobSpec.of({"task": DATASET, "model": {"depth": 3}}, FACTS)


def test_what_was_admitted_once_is_told_its_task_and_not_checked_again() -> None:
    admitted = JobSpec.model_validate({"task": DATASET, "inner": {"batch_size": 41}})
    spec = admitted.knowing(FACTS)
    assert spec.info is FACTS and spec.inner.batch_size == 41 and spec.model.family == "mlp"
    with pytest.raises(UnknownTask):
        _ = admitted.info
    with pytest.raises(ValueError, match="the facts are of task"):
        JobSpec(task="digits").knowing(FACTS)


def test_facts_are_no_part_of_the_wire_and_of_equality() -> None:
    spec = JobSpec.of({"task": DATASET}, FACTS)
    read = JobSpec.model_validate_json(spec.model_dump_json())
    assert read == spec and spec == read and spec != JobSpec(task="digits")
    assert "info" not in str(spec.model_dump()) and "_info" not in spec.model_dump_json()
    assert "_info" not in str(JobSpec.model_json_schema())


@pytest.mark.parametrize(
    "again",
    [
        lambda spec: spec.model_copy(update={"seed": 1}),
        copy.copy,
        copy.deepcopy,
        lambda spec: pickle.loads(pickle.dumps(spec)),
        lambda spec: Holding(spec=spec).spec,
        lambda spec: Holding.model_validate({"spec": spec}).model_copy().spec,
    ],
)
def test_facts_go_where_the_spec_goes(again) -> None:
    assert again(JobSpec.of({"task": DATASET}, FACTS)).info == FACTS
    assert again(JobSpec(task="digits").knowing(TASKS["digits"])).info == TASKS["digits"]


def test_a_copy_for_another_task_does_not_take_the_facts_of_the_first() -> None:
    spec = JobSpec.of({"task": DATASET}, FACTS).model_copy(update={"task": "digits"})
    assert spec.info == TASKS["digits"]
    with pytest.raises(ValidationError, match="cannot learn task 'digits'"):
        JobSpec.model_validate(spec)


def test_facts_of_another_task_are_not_taken_for_a_specs_own() -> None:
    assert JobSpec.of({"task": "digits"}, FACTS).info == TASKS["digits"]


@pytest.mark.parametrize("name", sorted(TASKS))
def test_built_in_tasks_are_known_without_being_handed_over(name) -> None:
    spec = JobSpec(task=name)
    assert spec.info == TASKS[name] and JobSpec.of({"task": name}, TASKS[name]) == spec


def test_a_finished_job_of_a_task_that_is_elsewhere_is_read_and_a_new_one_is_not() -> None:
    spec = JobSpec.model_validate({"task": "gone", "model": {"family": "module", "width": 8}})
    with pytest.raises(UnknownTask, match="no task 'gone'; allowed: breast-cancer"):
        _ = spec.info
    with pytest.raises(ValidationError, match="no task 'gone'; allowed: breast-cancer"):
        JobSpec(task="gone")


def test_the_types_that_name_a_task_say_nothing_of_facts_in_their_schema() -> None:
    for kind in (Job, TransferPlan):
        assert "_info" not in str(kind.model_json_schema())
