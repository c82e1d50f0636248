"""What every schedule has: a new one gets these tests by being in the table.

Over the same table run: torch and plain floats and torch's own schedulers (``test_schedules``), derivatives
(``test_schedule_derivatives``), and the source in exported files, on floats (``tests/exports/test_schedules``) and on JAX
arrays (``tests/exports/test_optax``).
"""

import inspect
import math

import pytest
import torch

from hpo.schedules import multipliers
from windtunnel.schedules import multiplier
from windtunnel.schedules.formulas import FORMULAS
from windtunnel.types import SCHEDULES

TOKENS = 64.0


def test_every_schedule_of_the_table_has_a_formula_and_no_formula_is_without_a_schedule() -> None:
    assert list(FORMULAS) == list(SCHEDULES)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_formula_takes_the_operations_the_time_the_steps_and_the_schedules_own_arguments(name: str) -> None:
    given = SCHEDULES[name]().arguments(100, TOKENS)
    assert list(inspect.signature(FORMULAS[name]).parameters) == ["xp", "time", "steps", *given]


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_and_each_of_its_settings_says_what_it_is(name: str) -> None:
    kind = SCHEDULES[name]
    assert kind.title and kind.formula and kind.__doc__
    settings = {field: about.description for field, about in kind.model_fields.items() if field != "name"}
    assert all(settings.values()), settings


@pytest.mark.parametrize("name", SCHEDULES)
def test_only_a_schedule_that_counts_tokens_asks_for_them_and_goes_on_after_the_run(name: str) -> None:
    schedule = SCHEDULES[name]()
    if schedule.counts_tokens:
        schedule = SCHEDULES[name](warmup_tokens=100, decay_tokens=10_000)
        assert schedule.arguments(10, TOKENS) != schedule.arguments(10, 2 * TOKENS)
        assert multiplier(schedule, 20, 10, TOKENS) != multiplier(schedule, 9, 10, TOKENS)
    else:
        assert schedule.arguments(10, TOKENS) == schedule.arguments(10, 2 * TOKENS)
        assert multiplier(schedule, 20, 10, TOKENS) == multiplier(schedule, 9, 10, TOKENS)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 3, 97])
def test_tensors_and_floats_give_the_same_finite_numbers(name: str, steps: int) -> None:
    schedule = SCHEDULES[name]()
    like = torch.zeros(3, 1, dtype=torch.float64)
    found = multipliers(schedule, steps, {}, like, TOKENS)
    floats = [multiplier(schedule, update, steps, TOKENS) for update in range(steps)]
    assert found.shape == (steps, 3) and found.dtype == like.dtype
    assert all(math.isfinite(value) for value in floats)
    for member in range(3):
        assert found[:, member].tolist() == pytest.approx(floats, abs=1e-12)
