"""``transfer`` in a spec: defaults, old specs, and rules that say nothing about the job."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from windtunnel.types import JobSpec, TransferPlan

RESNET = {"model": {"family": "resnet"}}


def refused(**fields: Any) -> tuple[str, str]:
    with pytest.raises(ValidationError) as caught:
        JobSpec.model_validate({"task": "digits", **fields})
    (error,) = caught.value.errors()
    return error["ctx"]["path"], error["msg"]


def test_a_spec_that_was_stored_before_there_was_a_transfer_has_the_defaults() -> None:
    stored = JobSpec(task="digits").model_dump(mode="json")
    given = stored.pop("transfer")
    assert (given["decay_rule"], given["depth_rule"], given["depth_exponent"]) == ("independent", None, None)
    spec = JobSpec.model_validate_json(json.dumps(stored))
    assert (spec.transfer.decay_rule, spec.depth_rule, spec.depth_exponent) == ("independent", "copy", None)
    assert spec == JobSpec(task="digits")


def test_a_spec_written_out_in_full_reads_back() -> None:
    given = {"decay_rule": "sqrt", "depth_rule": "completep", "depth_exponent": 0.5}
    spec = JobSpec.model_validate({"task": "digits", **RESNET, "parametrization": "spectral", "transfer": given})
    assert JobSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("fields", "field", "complaint"),
    [
        ({"transfer": {"depth_rule": "completep"}}, "depth_rule", "family 'mlp' has no residual branches"),
        (
            RESNET | {"optimizer": {"name": "sgd"}, "transfer": {"depth_rule": "completep"}},
            "depth_rule",
            "no entry for sgd",
        ),
        (
            RESNET | {"parametrization": "ntk", "transfer": {"depth_rule": "completep"}},
            "depth_rule",
            "not for parametrization 'ntk'; allowed: 'copy'",
        ),
        ({"transfer": {"depth_exponent": 0.5}}, "depth_exponent", "family 'mlp' has no residual branches"),
        (RESNET | {"transfer": {"depth_rule": "copy", "depth_exponent": 1}}, "depth_exponent", "depth_rule is 'copy'"),
        ({"optimizer": {"name": "sgd"}, "transfer": {"decay_rule": "sqrt"}}, "decay_rule", "not for sgd with 'mup'"),
        ({"parametrization": "ntk", "transfer": {"decay_rule": "sqrt"}}, "decay_rule", "not for adamw with 'ntk'"),
        (
            {"optimizer": {"name": "adam"}, "transfer": {"decay_rule": "none"}},
            "decay_rule",
            "L2 decay inside adam, which no rule carries",
        ),
    ],
)
def test_a_rule_that_says_nothing_about_the_job_is_refused(fields: dict[str, Any], field: str, complaint: str) -> None:
    path, message = refused(**fields)
    assert path == f"/transfer/{field}" and complaint in message


@pytest.mark.parametrize(
    "transfer", [{"depth_exponent": 0.4}, {"depth_exponent": 1.1}, {"decay_rule": "half"}, {"depth": "completep"}]
)
def test_values_outside_of_what_is_allowed_are_refused(transfer: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"transfer\."):
        JobSpec.model_validate({"task": "digits", **RESNET, "transfer": transfer})


def test_l2_inside_adam_is_refused_for_a_deeper_target_whose_blocks_are_scaled() -> None:
    adam = RESNET | {"optimizer": {"name": "adam"}, "target": {"width": 16, "depth": 4}}
    path, message = refused(**adam)
    assert path == "/optimizer/decay" and "no rule for another size" in message
    JobSpec.model_validate({"task": "digits", **adam, "transfer": {"depth_rule": "copy"}})


def test_a_plan_that_was_stored_before_there_was_a_depth_rule_copied() -> None:
    fields = TransferPlan.model_fields
    assert (fields["depth_rule"].default, fields["depth_ratio"].default, fields["decay_rule"].default) == (
        "copy",
        1.0,
        "independent",
    )


def test_a_schedule_may_be_called_by_its_short_name() -> None:
    spec = JobSpec.model_validate({"task": "digits", "schedule": {"name": "wsd", "decay_fraction": 0.3}})
    long = JobSpec.model_validate({"task": "digits", "schedule": {"name": "warmup-stable-decay", "decay_fraction": 0.3}})
    assert spec == long and spec.schedule.name == "warmup-stable-decay"
