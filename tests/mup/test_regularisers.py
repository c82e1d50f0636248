"""The schedule of the regularisers in a plan: factors that reach every size, files that follow them at every update."""

from typing import Any

import pytest
import torch

from hpo.exports.registry import export, why_not
from windtunnel.types import TransferPlan
from windtunnel.types.responses import BestResponseReport, HeldAgainstReplayed, RegulariserSchedule, SeedLoss

STEPS = 4
SPEC: dict[str, Any] = {
    "optimizer": {"name": "sgd"},
    "inner": {"steps": STEPS},
    "search": [
        {"name": "l2", "scope": "role"},
        {"name": "dropout"},
        {"name": "label_smoothing"},
        {"name": "input_noise"},
        {"name": "augmentation"},
    ],
    "method": {"estimator": "delta_stn"},
}
BEST = {
    "l2.input": 0.02,
    "l2.hidden": 0.04,
    "l2.output": 0.01,
    "dropout": 0.2,
    "label_smoothing": 0.1,
    "input_noise": 0.5,
    "augmentation": 0.7,
}
LINE = [0.5, 1.0, 1.5]


def report(gain: float) -> BestResponseReport:
    def loss(mean: float) -> SeedLoss:
        return SeedLoss(mean=mean, stderr=0.01)

    return BestResponseReport(
        estimator="delta_stn",
        schedule=RegulariserSchedule(
            times=[0.0, 0.5, 1.0], values={label: [value * factor for factor in LINE] for label, value in BEST.items()}
        ),
        scales=dict.fromkeys(BEST, 0.3),
        comparison=HeldAgainstReplayed(
            replayed_validation=loss(0.2),
            replayed_test=loss(0.2),
            held_validation=loss(0.2 + gain),
            held_test=loss(0.2 + gain),
            gain_validation=loss(gain),
            gain_test=loss(gain),
            seeds=8,
        ),
        quality=[],
        validation_steps=40,
    )


@pytest.fixture
def plan_with(finish, plan_of):
    def made(gain: float, width: int = 128, **fields: Any) -> TransferPlan:
        result = finish(SPEC | fields, BEST).model_copy(update={"best_response": report(gain)})
        return plan_of(result, width=width)

    return made


def test_the_plan_holds_factors_on_its_own_values_whatever_the_width(plan_with) -> None:
    for width in (64, 1024):
        knots = plan_with(0.05, width).regulariser_schedule
        assert knots is not None and knots.pays and set(knots.factors) == set(BEST)
        assert knots.factor("dropout", 0.25) == pytest.approx(0.75) and knots.factor("l2.hidden", 2.0) == pytest.approx(1.5)
        assert knots.factors["l2.input"] == pytest.approx(LINE)


def test_the_loop_is_told_what_the_schedule_is_worth(plan_with, finish, plan_of) -> None:
    better, worse = plan_with(0.05).in_your_loop[-1], plan_with(-0.05).in_your_loop[-1]
    assert "multiply each by its factor" in better and "0.05 ± 0.01 nats better" in better
    assert "the plan holds them" in worse and "nats worse" in worse
    without = plan_of(finish(SPEC, BEST), width=128)
    assert without.regulariser_schedule is None and not any("Schedule of the reg" in item for item in without.in_your_loop)


def test_json_and_yaml_keep_the_knots(plan_with) -> None:
    plan = plan_with(0.05)
    assert TransferPlan.model_validate_json(export(plan, "json")) == plan
    assert "regulariser_schedule" in export(plan, "yaml")


def held(plan: TransferPlan, factor: float) -> TransferPlan:
    """A plan that holds the values that a schedule has at one time."""
    terms = {name: value * factor for name, value in plan.regularization if isinstance(value, float)}
    return plan.model_copy(
        update={
            "regulariser_schedule": None,
            "regularization": plan.regularization.model_copy(update=terms),
            "tensors": [row.model_copy(update={"l2": row.l2 * factor}) for row in plan.tensors],
        }
    )


def run(source: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(source, "plan.py", "exec"), names)
    return names


def loss(file: dict[str, Any], model: torch.nn.Module) -> float:
    generator = torch.Generator().manual_seed(1)
    inputs, labels = torch.randn(16, 64, generator=generator), torch.arange(16) % 10
    torch.manual_seed(3)
    return float(file["training_loss"](model, inputs, labels).detach())


@pytest.mark.parametrize("update", range(STEPS + 1))
def test_the_torch_file_has_at_each_update_the_loss_of_a_plan_that_holds_its_values(plan_with, update: int) -> None:
    plan = plan_with(0.05)
    follows, holds = run(export(plan, "torch")), run(export(held(plan, 0.5 + update / STEPS), "torch"))
    losses = []
    for file in (follows, holds):
        model = file["build_model"]()
        file["initialise"](model, 7)
        with torch.no_grad():
            model.readout.weight.normal_(generator=torch.Generator().manual_seed(2))
        losses.append((file, model))
    follows["UPDATE"][0] = update
    assert loss(*losses[0]) == pytest.approx(loss(*losses[1]), rel=1e-6)
    if update != 2:
        assert abs(loss(*losses[0]) - loss(run(export(held(plan, 1.0), "torch")), losses[0][1])) > 1e-3


def test_each_layer_of_the_torch_file_follows_its_own_factors_and_added_ones_those_of_the_last(finish, plan_of) -> None:
    rates, line = {"dropout.layers.0": 0.2, "dropout.layers.1": 0.4}, report(0.05)
    lines = {"dropout.layers.0": [0.1, 0.2, 0.3], "dropout.layers.1": [0.4, 0.4, 0.2]}
    line = line.model_copy(update={"schedule": line.schedule.model_copy(update={"values": lines})})
    spec = SPEC | {"search": [{"name": "dropout", "scope": "layer"}]}
    plan = plan_of(finish(spec, rates).model_copy(update={"best_response": line}), width=128, depth=3)
    assert plan.regularization.layer_dropout == {"layers.0": 0.2, "layers.1": 0.4, "layers.2": 0.4}
    assert (
        plan.regularization.dropout is None and "0.2 in layers.0, 0.4 in layers.1, 0.4 in layers.2" in plan.in_your_loop[0]
    )
    follows = run(export(plan, "torch"))
    follows["UPDATE"][0] = STEPS
    held_at_the_end = plan.regularization.model_copy(
        update={"layer_dropout": dict(zip("abc", (0.3, 0.2, 0.2), strict=True))}
    )
    ends = plan.model_copy(update={"regulariser_schedule": None, "regularization": held_at_the_end})
    holds = run(export(ends, "torch"))
    found = []
    for file in (follows, holds):
        model = file["build_model"]()
        file["initialise"](model, 7)
        torch.nn.init.ones_(model.readout.weight)
        found.append(loss(file, model))
    assert found[0] == pytest.approx(found[1], rel=1e-6)


def test_train_step_counts_the_updates(plan_with) -> None:
    file = run(export(plan_with(0.05), "torch"))
    model = file["build_model"]()
    file["initialise"](model, 7)
    optimizer = file["optimizer"](model)
    schedule = file["scheduler"](optimizer)
    for _ in range(3):
        file["train_step"](model, optimizer, schedule, torch.randn(8, 64), torch.arange(8))
    assert file["UPDATE"] == [3] and file["factor"]("dropout") == pytest.approx(1.25)


def test_a_schedule_that_does_not_pay_is_held_in_every_file(plan_with) -> None:
    plan = plan_with(-0.05)
    for kind in ("torch", "huggingface"):
        assert export(plan, kind).count("UPDATE") == 0
    assert "UPDATE[0] = self.state.global_step" in export(plan_with(0.05), "huggingface")


def test_the_optax_file_takes_the_step_where_its_penalty_moves(plan_with) -> None:
    follows, holds = export(plan_with(0.05), "optax"), export(plan_with(-0.05), "optax")
    assert "def penalty(params, step):" in follows and "+ penalty(params, step)" in follows and "def factor(" in follows
    assert "def penalty(params):" in holds and "+ penalty(params))" in holds and "FACTORS" not in holds
    for source in (follows, holds):
        compile(source, "plan.py", "exec")


def test_nanogpt_has_no_place_for_a_schedule_of_regularisers(finish, plan_of) -> None:
    fields = {
        "task": "python-text",
        "model": {"width": 32, "depth": 1},
        "search": [{"name": "dropout"}],
        "method": SPEC["method"],
    }
    result = finish(fields, {"dropout": 0.2})
    line = report(0.05)
    only = line.model_copy(update={"schedule": line.schedule.model_copy(update={"values": {"dropout": [0.1, 0.2, 0.3]}})})
    plan = plan_of(result.model_copy(update={"best_response": only}), width=64)
    assert "a schedule of its regularisers" in str(why_not(plan, "nanogpt"))
