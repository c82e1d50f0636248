"""JobSpec: one word is enough, and what cannot work is refused at the field to change."""

from typing import Any

import pytest
from pydantic import ValidationError

from windtunnel.tasks import TASKS
from windtunnel.types import JobSpec


def misfit_of(**fields: Any) -> tuple[str, str]:
    """(path below the model that refuses, message) of the only complaint."""
    with pytest.raises(ValidationError) as caught:
        JobSpec.model_validate({"task": "digits", **fields})
    # pydantic adds that a list whose item is bad is too short; the service leaves that out.
    (error,) = [error for error in caught.value.errors() if error["type"] == "misfit"]
    return error["ctx"]["path"], error["msg"]


@pytest.mark.parametrize("task", sorted(TASKS))
def test_a_task_alone_is_a_whole_job(task: str) -> None:
    spec = JobSpec.model_validate({"task": task})
    assert JobSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("fields", "path", "complaint"),
    [
        ({"inner": {"batch_size": 5000}}, "/inner/batch_size", "larger than the 1078 training examples"),
        ({"optimizer": {"name": "adamw", "decay": "l2"}}, "/decay", "allowed for adamw: decoupled, independent"),
        ({"optimizer": {"name": "sgd", "eps": 1e-8}}, "/eps", "no setting of optimizer 'sgd'; allowed: momentum"),
        ({"search": [{"name": "beta1", "scope": "role"}]}, "/scope", "beta1 is global"),
        ({"search": [{"name": "learning_rate", "low": 0.1, "high": 0.01}]}, "/low", "low 0.1 and high 0.01"),
        ({"search": [{"name": "learning_rate", "high": 1000}]}, "/high", "leaves what is allowed: 1e-09 to 100"),
        ({"search": [{"name": "momentum"}]}, "/search/0/name", "a hyperparameter of sgd and muon, not of adamw"),
        ({"search": [{"name": "eps"}, {"name": "eps"}]}, "/search/1/name", "searched twice"),
        (
            {"search": [{"name": "floor"}], "schedule": {"name": "constant"}},
            "/search/0/name",
            "schedule 'constant' has no floor",
        ),
        (
            {"search": [{"name": "clip_norm"}], "optimizer": {"clip_norm": None}},
            "/search/0/name",
            "optimizer.clip_norm is null",
        ),
        (
            {"search": [{"name": "eps"}], "optimizer": {"eps": 0.5}},
            "/optimizer/eps",
            "outside its search range 1e-12 to 0.01",
        ),
        (
            {"initial": {"beta1": 0.5}},
            "/initial/beta1",
            "starts what is not searched; searched: learning_rate, weight_decay",
        ),
        ({"initial": {"learning_rate": 0.5}}, "/initial/learning_rate", "has a value for each role; name one of them"),
        ({"initial": {"learning_rate.hidden": 2}}, "/initial/learning_rate.hidden", "outside its search range 1e-05 to 1"),
        (
            {"search": [{"name": "learning_rate"}], "initial": {"learning_rate.hidden": 0.5}},
            "/initial/learning_rate.hidden",
            "its only label is 'learning_rate'",
        ),
        (
            {"search": [{"name": "dropout", "scope": "layer"}], "initial": {"dropout.layers.7": 0.5}},
            "/initial/dropout.layers.7",
            "dropout has no layer 'layers.7'; allowed: layers.0, layers.1",
        ),
        ({"search": [{"name": "dropout", "scope": "role"}]}, "/scope", "dropout has no scope 'role'; it has global, layer"),
        ({"search": [{"name": "l2", "scope": "layer"}]}, "/scope", "scope 'layer' is allowed for dropout only"),
        ({"search": [{"name": "momentum", "scope": "layer"}]}, "/scope", "momentum is global"),
        (
            {"task": "python-text", "search": [{"name": "augmentation"}]},
            "/search/0/name",
            "augmentation shifts images, and examples of task 'python-text' are none; tasks that have images: "
            "digits, mnist5k",
        ),
        (
            {"task": "diabetes", "regularization": {"augmentation": 0.5}},
            "/regularization/augmentation",
            "examples of task 'diabetes' are none",
        ),
        ({"target": {"width": 32}}, "/target/width", "below the proxy's 64"),
        ({"target": {"width": 128, "depth": 1}}, "/target/depth", "below the proxy's 2"),
        ({"model": {"depth": 1}, "target": {"width": 128, "depth": 3}}, "/target/depth", "tune a proxy of depth 2"),
        ({"parametrization": "standard", "target": {"width": 128}}, "/parametrization", "would get no plan"),
        ({"optimizer": {"name": "adam"}, "target": {"width": 128}}, "/optimizer/decay", "would get no plan"),
        ({"regularization": {"l2": 0.1}, "target": {"width": 128}}, "/regularization/l2", "would get no plan"),
        (
            {"search": [{"name": "learning_rate"}, {"name": "l2"}], "target": {"width": 128}},
            "/search/1/name",
            "would get no plan",
        ),
        ({"method": {"estimator": "higher", "adjoint": "bounded"}}, "/adjoint", "no setting of 'higher'"),
        (
            {"outer": {"starts": 4}},
            "/outer/starts",
            "starts 4 with method.estimator 'auto', which makes its own starts; allowed: 1",
        ),
        ({"method": {"estimator": "higher", "checkpointing": "sqrt"}}, "/checkpointing", "no setting of 'higher'"),
    ],
)
def test_what_cannot_work_is_refused_at_the_field_to_change(fields: dict[str, Any], path: str, complaint: str) -> None:
    found, message = misfit_of(**fields)
    assert found == path and complaint in message


def test_an_estimator_by_name_may_have_several_starts() -> None:
    for method in ({"estimator": "es"}, {"estimator": "higher"}):
        assert JobSpec.model_validate({"task": "digits", "method": method, "outer": {"starts": 16}}).outer.starts == 16
    for starts in (0, 17):
        with pytest.raises(ValidationError, match=r"outer\.starts"):
            JobSpec.model_validate({"task": "digits", "method": {"estimator": "es"}, "outer": {"starts": starts}})


def test_without_decay_adam_may_have_a_target() -> None:
    JobSpec.model_validate(
        {
            "task": "digits",
            "optimizer": {"name": "adam", "weight_decay": 0},
            "search": [{"name": "learning_rate"}],
            "target": {"width": 128},
        }
    )


def test_an_example_of_text_has_its_context_in_tokens_and_any_other_is_one_token():
    text = JobSpec(task="python-text", inner={"batch_size": 4})
    assert text.tokens_per_step == 4 * TASKS["python-text"].features
    assert JobSpec(task="digits", inner={"batch_size": 4}).tokens_per_step == 4


def test_what_a_spec_leaves_out_follows_from_its_task() -> None:
    text = JobSpec(task="python-text")
    assert (text.model.family, text.model.width, text.inner.batch_size) == ("transformer", 48, 16)
    digits = JobSpec.model_validate({"task": "digits", "model": {"family": "resnet"}, "inner": {"steps": 5}})
    assert (digits.model.width, digits.inner.batch_size, digits.inner.steps) == (16, 64, 5)
    for spec in (text, digits):
        assert JobSpec.model_validate_json(spec.model_dump_json()) == spec
