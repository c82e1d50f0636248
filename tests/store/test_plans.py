"""Transfer plans in the database, on both kinds."""

from collections.abc import Callable

import pytest

from store import identifiers, jobs, plans
from store.database import Database
from store.errors import JobNotFound, PlanNotFound
from store.keys import LOCAL
from windtunnel.types import TransferPlan

MakePlan = Callable[[str, str], TransferPlan]


def test_a_plan_comes_back_bit_for_bit(database: Database, submitted: str, make_plan: MakePlan) -> None:
    plan = make_plan(identifiers.plan_id(), submitted)
    with database.transaction() as s:
        plans.save(s, plan, owner=LOCAL)
    with database.snapshot() as s:
        assert plans.get(s, plan.id, owner=LOCAL) == plan


def test_a_job_names_its_plans_oldest_first(database: Database, submitted: str, make_plan: MakePlan) -> None:
    made = [make_plan(identifiers.plan_id(), submitted) for _ in range(3)]
    for plan in made:
        with database.transaction() as s:
            plans.save(s, plan, owner=LOCAL)
    with database.snapshot() as s:
        assert plans.of_job(s, submitted, owner=LOCAL) == made
        assert jobs.get(s, submitted, owner=LOCAL).plans == [plan.id for plan in made]


def test_unknown_plans_and_jobs_are_errors(database: Database, make_plan: MakePlan) -> None:
    with database.transaction() as s:
        with pytest.raises(PlanNotFound, match="plan_nowhere"):
            plans.get(s, "plan_nowhere", owner=LOCAL)
        with pytest.raises(JobNotFound):
            plans.of_job(s, "job_nowhere", owner=LOCAL)
        with pytest.raises(JobNotFound):
            plans.save(s, make_plan("plan_1", "job_nowhere"), owner=LOCAL)
