"""Bad fields are named as the sender knows them, with what was given and what is allowed."""

import pytest
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from service.problems.problems import field_errors, misfit_error
from windtunnel.types import SCHEDULES, FieldError, JobSpec, ModelSpec, Target


def errors_of(**spec) -> list[FieldError]:
    with pytest.raises(ValidationError) as caught:
        JobSpec(**{"task": "digits", **spec})
    return field_errors(caught.value.errors(), JobSpec)


def only(**spec) -> FieldError:
    found = errors_of(**spec)
    assert len(found) == 1, found
    return found[0]


def test_unknown_field_is_answered_with_the_nearest_name_and_every_allowed_one():
    error = only(model={"widht": 32})
    assert error.pointer == "/model/widht"
    assert error.message == f"unknown field 'widht'; did you mean 'width'? allowed: {', '.join(ModelSpec.model_fields)}"
    assert error.given == 32


def test_unknown_field_without_a_near_name_lists_the_allowed_ones():
    assert only(model={"zzz": 1}).message == f"unknown field 'zzz'; allowed: {', '.join(ModelSpec.model_fields)}"


@pytest.mark.parametrize(
    ("spec", "pointer", "message", "given"),
    [
        ({"model": {"width": -3}}, "/model/width", "width is -3; allowed: 4 to 8,192", -3),
        ({"inner": {"steps": "x"}}, "/inner/steps", "steps must be a whole number, got 'x'; allowed: 2 to 100,000", "x"),
        ({"inner": {"seeds": 1.5}}, "/inner/seeds", "seeds must be a whole number, got 1.5; allowed: 1 to 64", 1.5),
        ({"inner": {"seeds": True}}, "/inner/seeds", "seeds must be a number, got true", True),
        ({"optimizer": {"beta1": False}}, "/optimizer/beta1", "beta1 must be a number, got false", False),
        ({"seed": 2**31}, "/seed", "seed is 2147483648; allowed: at least 0 and below 2,147,483,648", 2**31),
        ({"model": []}, "/model", "model must be an object, got a list", []),
        ({"model": None}, "/model", "model must be an object, got null", None),
        ({"search": 3}, "/search", "search must be a list, got 3; allowed: 1 to 32 items", 3),
        ({"search": []}, "/search", "search has 0 items; allowed: 1 to 32 items", []),
        ({"outer": {"scout": "perhaps"}}, "/outer/scout", "scout must be true or false, got 'perhaps'", "perhaps"),
        ({"optimizer": {"beta1": 1}}, "/optimizer/beta1", "beta1 is 1; allowed: at least 0 and below 1", 1),
        (
            {"method": {"adjoint": "bound"}},
            "/method/adjoint",
            "adjoint cannot be 'bound'; did you mean 'bounded'? allowed: bounded, exact, gauss_newton",
            "bound",
        ),
        (
            {"task": "digts"},
            "/task",
            "no task 'digts'; allowed: breast-cancer, diabetes, digits, mnist5k, python-text, synthetic",
            "digts",
        ),
        ({"task": 5}, "/task", "task must be a string, got 5; allowed: at most 200 characters", 5),
        ({"name": "x" * 201}, "/name", "name has 201 characters; allowed: at most 200 characters", "x" * 199 + "…"),
        (
            {"name": "\ud800"},
            "/name",
            "name must be a string of valid Unicode, got '?'; allowed: at most 200 characters",
            "?",
        ),
        ({"target": {}}, "/target/width", "width is required and was not given; allowed: 4 to 1,048,576", None),
    ],
)
def test_wrong_value_is_shown_beside_what_is_allowed(spec, pointer, message, given):
    assert only(**spec) == FieldError(pointer=pointer, message=message, given=given)


def test_range_upside_down_points_at_its_lower_end():
    error = only(search=[{"name": "learning_rate", "low": 1.0, "high": 0.1}])
    assert error == FieldError(pointer="/search/0/low", message="low must be below high, got low 1 and high 0.1", given=1.0)


def test_bad_item_is_not_also_reported_as_a_list_that_is_too_short():
    assert [error.pointer for error in errors_of(search=[{"name": "learning_rate"}, {"name": "momentun"}])] == [
        "/search/1/name"
    ]


def test_item_of_the_wrong_type_is_named_by_its_place():
    assert only(search=[3]).message == "search[0] must be an object, got 3"


def test_tag_of_a_union_is_no_part_of_the_pointer():
    error = only(schedule={"name": "cosine", "floor": 7})
    assert error == FieldError(pointer="/schedule/floor", message="floor is 7; allowed: 0 to 1", given=7)


def test_field_with_the_name_of_the_tag_keeps_its_place_in_the_pointer():
    error = only(schedule={"name": "cosine", "cosine": 1})
    assert (error.pointer, error.message) == (
        "/schedule/cosine",
        "unknown field 'cosine'; allowed: name, warmup_fraction, floor",
    )


def test_unknown_member_of_a_union_lists_the_members():
    error = only(schedule={"name": "cosin"})
    assert error.pointer == "/schedule/name"
    assert error.message == f"name cannot be 'cosin'; did you mean 'cosine'? allowed: {', '.join(SCHEDULES)}"
    assert error.given == "cosin"


def test_missing_tag_is_asked_for():
    assert only(schedule={"floor": 0.2}).message == f"name is missing; allowed: {', '.join(SCHEDULES)}"


def test_what_a_schedule_lacks_or_cannot_be_is_told_by_field():
    error = only(schedule={"name": "knots", "knots": [1, 0, 2]})
    assert (error.pointer, error.given) == ("/schedule/knots/1", 0)
    assert only(schedule={"name": "knots", "knots": [1]}).message == "knots has 1 item; allowed: 2 to 32 items"
    late = only(schedule={"name": "multistep", "milestones": [0.5, 0.2]})
    assert (late.pointer, late.message) == (
        "/schedule/milestones",
        "milestones are [0.5, 0.2]; allowed: each later than the one before",
    )
    alone = only(schedule={"name": "gpt3", "warmup_tokens": 5})
    assert (alone.pointer, "both or neither" in alone.message) == ("/schedule/decay_tokens", True)
    search = only(schedule={"name": "exponential"}, search=[{"name": "floor"}])
    assert search.message == "schedule 'exponential' has no floor; it has warmup_fraction, decay_gamma"


def test_a_warmup_of_tokens_that_outlasts_the_run_says_how_tokens_are_counted():
    error = only(schedule={"name": "gpt3", "warmup_tokens": 375_000_000, "decay_tokens": 260_000_000_000})
    assert error.pointer == "/schedule/warmup_tokens"
    assert "200 steps of 64 examples, and an example of 'digits' is one token" in error.message


def test_misfit_deep_in_the_request_points_at_the_field_to_change():
    assert only(inner={"batch_size": 5000}).pointer == "/inner/batch_size"
    assert only(optimizer={"name": "sgd", "beta1": 0.5}).pointer == "/optimizer/beta1"


def test_misfit_outside_of_a_validator_points_from_the_root():
    with pytest.raises(PydanticCustomError) as caught:
        JobSpec(task="digits").check_target(Target(width=16), "")
    assert misfit_error(caught.value).pointer == "/width"


def test_pointers_escape_tilde_and_slash():
    assert only(model={"a/b~c": 1}).pointer == "/model/a~1b~0c"


def test_values_that_json_or_a_reader_cannot_take_are_shown_as_text():
    assert only(seed=float("nan")).given == "nan"
    assert only(inner={"steps": 10**400}).given == "an integer of 1329 bits"
    assert only(inner={"steps": 10**30}).given == "1" + "0" * 30


def test_long_values_are_cut():
    given = only(task=["x" * 1000] * 50).given
    assert given[0] == "x" * 199 + "…"
    assert given[-1] == "… 30 more"
