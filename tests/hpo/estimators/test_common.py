"""Every estimator of the table: its record, facts and kind are there, and say the same of it as it does."""

import importlib
import pkgutil
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from pydantic import ValidationError

import hpo.estimators
import hpo.estimators.facts
from hpo.errors import Refused
from hpo.estimators.best_response import BestResponse
from hpo.estimators.choice import choose_estimator
from hpo.estimators.facts.registry import facts, response_facts
from hpo.estimators.finite_difference import FiniteDifference
from hpo.estimators.registry import estimator_kind, response_objectives
from hpo.footprint.sizes import Sizes
from hpo.search.choice import search_of
from hpo.study import Study
from windtunnel.types import ESTIMATORS, JobSpec
from windtunnel.types.checks.best_response import check_that_estimators_take
from windtunnel.types.estimators import BEST_RESPONSES, MethodSetting, SearchName
from windtunnel.types.hyperparameters import HyperparameterName
from windtunnel.types.method import MethodSpec

LIMIT = 2**32
SEARCHED: tuple[HyperparameterName, ...] = ("learning_rate", "weight_decay", "l2", "init_scale")
UNABLE = [(name, item) for name, info in ESTIMATORS.items() for item in SEARCHED if not info.can(item)]


def spec_of(name: str, *searched: str, **fields: Any) -> JobSpec:
    """A small smooth job of an estimator, exact where it has a choice; it searches all that the estimator can."""
    info = ESTIMATORS[name]
    method = {"estimator": name} | ({"adjoint": "exact"} if "adjoint" in info.settings else {})
    common = {
        "task": "digits",
        "model": {"width": 4, "depth": 1, "activation": "tanh"},
        "inner": {"steps": 6, "batch_size": 16, "seeds": 2},
        "outer": {"steps": 2, "scout": False, "finish_seeds": 2},
        "regularization": {"l2": 0.01},
        "search": [{"name": item} for item in searched or SEARCHED if searched or info.can(item)],
        "method": method,
    }
    return JobSpec.model_validate(common | fields)


def names_in(package: Any, attribute: str) -> set[str]:
    """Modules of a package that answer for a kind."""
    modules = [found.name for found in pkgutil.iter_modules(package.__path__)]
    return {name for name in modules if hasattr(importlib.import_module(f"{package.__name__}.{name}"), attribute)}


def test_the_table_the_facts_and_the_kinds_have_the_same_names() -> None:
    assert names_in(hpo.estimators.facts, "FACTS") == names_in(hpo.estimators, "ESTIMATOR") == set(ESTIMATORS)
    assert all(name == info.name for name, info in ESTIMATORS.items())


def test_the_json_schema_lists_the_table() -> None:
    fields = MethodSpec.model_json_schema()["properties"]
    assert fields["estimator"]["enum"] == list(ESTIMATORS)
    (beside,) = [option["enum"] for option in fields["best_response"]["anyOf"] if "enum" in option]
    assert beside == list(BEST_RESPONSES) == [name for name, info in ESTIMATORS.items() if info.is_best_response]


@pytest.mark.parametrize("name", ["annealing", "registry", "protocol", "facts"])
def test_what_is_in_no_table_is_refused_by_type(name: str) -> None:
    for answer in (facts, estimator_kind, response_facts, response_objectives):
        with pytest.raises(Refused):
            answer(name)
    with pytest.raises(ValidationError, match="'auto', 'reverse'"):
        MethodSpec.model_validate({"estimator": name})


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_record_is_complete(name: str) -> None:
    info = ESTIMATORS[name]
    assert info.title and info.time and info.memory and info.bias
    assert set(info.settings) | set(info.fixed) | set(info.defaults) <= set(get_args(MethodSetting))
    assert not set(info.settings) & set(info.fixed) and set(info.defaults) <= set(info.settings)
    assert info.search in get_args(SearchName)
    assert bool(info.why) == (info.only is not None or bool(info.never))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_facts_are_positive_and_grow_with_the_run(name: str) -> None:
    found, spec = facts(name), spec_of(name)
    sizes = Sizes.of(spec, spec.info)
    longer = sizes.with_run(steps=50 * spec.inner.steps)
    assert 0 < found.gradient_evaluations(sizes, LIMIT) < found.gradient_evaluations(longer, LIMIT)
    assert 0 < found.bytes(sizes, LIMIT) <= found.bytes(sizes.with_run(seeds=8), LIMIT)
    assert found.seconds_factor >= 1
    assert found.why(sizes, LIMIT) in found.reason(sizes, LIMIT)
    assert found.in_force(spec) in ESTIMATORS


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimate_has_a_gradient_for_each_member_and_costs_what_the_facts_say(name: str) -> None:
    spec = spec_of(name)
    study = Study(spec, dtype=torch.float64)
    estimator, choice = choose_estimator(spec, LIMIT)
    assert choice.estimator == facts(name).in_force(spec)
    steps: list[int] = []
    draw = study.problem.draw([(0, 0), (0, 1)])
    found = estimator.estimate(study.problem, study.space.start().expand(2, -1), draw, steps.append)
    assert found.value.shape == (2,) and found.gradient.shape == (2, len(study.space))
    assert found.value.isfinite().all() and found.gradient.isfinite().all() and (found.gradient != 0).any()
    assert found.cost / 2 == pytest.approx(facts(name).gradient_evaluations(Sizes.of(spec, spec.info), LIMIT))
    assert sum(steps) == 2 * estimator.member_steps(study.problem)


@pytest.mark.parametrize("name", [name for name, info in ESTIMATORS.items() if info.bias.startswith("none")])
def test_an_estimator_without_bias_agrees_with_finite_differences(name: str) -> None:
    study = Study(spec_of(name), dtype=torch.float64)
    draw, points = study.problem.draw([(0, 0), (0, 1)]), study.space.start().expand(2, -1)
    found = choose_estimator(study.spec, LIMIT)[0].estimate(study.problem, points, draw)
    numeric = FiniteDifference(sigma=1e-4).estimate(study.problem, points, draw)
    torch.testing.assert_close(found.value, numeric.value)
    torch.testing.assert_close(found.gradient, numeric.gradient, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(("name", "item"), UNABLE)
def test_what_it_cannot_differentiate_is_refused_by_the_spec_and_by_itself(name: str, item: str) -> None:
    why = ESTIMATORS[name].why
    with pytest.raises(ValidationError) as refused:
        spec_of(name, item)
    assert f"cannot differentiate {item}" in str(refused.value) and why in str(refused.value)
    study = Study(spec_of("reverse", item))
    estimator = choose_estimator(spec_of(name), LIMIT)[0]
    with pytest.raises(Refused, match=f"{name!r} cannot differentiate"):
        estimator.estimate(study.problem, study.space.start()[None], study.problem.draw([(0, 0)]))


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("beside", BEST_RESPONSES)
def test_a_best_response_goes_beside_it_or_is_refused_with_the_reason(name: str, beside: str) -> None:
    info = ESTIMATORS[name]
    if not info.why_alone:
        assert MethodSpec(estimator=name, best_response=beside).response == beside
        return
    with pytest.raises(ValidationError) as refused:
        MethodSpec(estimator=name, best_response=beside)
    assert info.why_alone in str(refused.value)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_module_of_ones_own_is_taken_or_refused_with_the_reason(name: str) -> None:
    why = ESTIMATORS[name].why_own_models
    if not why:
        check_that_estimators_take(MethodSpec(estimator=name))
        return
    with pytest.raises(Exception, match=f"{name} {why.partition(' (')[0]}"):
        check_that_estimators_take(MethodSpec(estimator=name))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_setting_of_another_estimator_is_refused(name: str) -> None:
    info, defaults = ESTIMATORS[name], {"window": 7, "samples": 3, "solver": "cg", "warmup": 0.2, "adjoint": "bounded"}
    for setting, value in defaults.items():
        if setting in info.settings:
            assert MethodSpec.model_validate({"estimator": name, setting: value}).info is info
            continue
        with pytest.raises(ValidationError, match=f"{setting} is no setting of '{name}'"):
            MethodSpec.model_validate({"estimator": name, setting: value})
    for fixed, only in info.fixed.items():
        assert MethodSpec.model_validate({"estimator": name, fixed: only}).info is info


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_search_that_follows_it_is_the_one_of_its_record(name: str) -> None:
    rooms = {"portfolio": "portfolio", "descent": "descent", "best_response": "best_response"}
    study = Study(spec_of(name))
    assert rooms[ESTIMATORS[name].search] in type(search_of(study.context)).__module__.split(".")


@pytest.mark.parametrize("name", BEST_RESPONSES)
def test_a_best_response_brings_objectives_of_its_name(name: str) -> None:
    objectives = response_objectives(name)
    assert objectives.name == name
    settings = MethodSpec(estimator=name).best_response_settings
    costs = response_facts(name)
    assert costs.step_cost(replace(settings, control_variate=True)) > costs.step_cost(settings) == costs.update_cost > 1
    assert isinstance(choose_estimator(spec_of(name), LIMIT)[0], BestResponse)
