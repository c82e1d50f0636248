"""A job's grid of proxies over N and D: its points against single runs, its laws, its cost, what is refused."""

import pytest

from hpo.evidence.scaling import member_steps_of_grid, scaling_report
from hpo.footprint.sizes import Sizes
from hpo.laws.counting import count
from hpo.seeding import Purpose
from hpo.sizing.checks import check_parts
from hpo.sizing.work import phases
from hpo.study import Study
from hpo.training.evaluation import judge
from windtunnel.types import JobSpec
from windtunnel.types.checks.transfer import scaling_steps, scaling_widths

SMALL = {
    "task": "digits",
    "model": {"width": 16},
    "inner": {"steps": 40, "batch_size": 16},
    "search": [{"name": "learning_rate"}],
    "transfer": {"scaling": {"widths": [8, 16, 32, 64], "steps": [8, 20, 50, 120], "seeds": 2}},
}
POINT = {"learning_rate": 0.01}


def test_the_grid_holds_every_run_fits_laws_and_counts_its_cost() -> None:
    spec = JobSpec.model_validate(SMALL)
    done: list[int] = []
    found = scaling_report(spec, POINT, spec.transfer.scaling, population=8, on_step=done.append)
    assert [(point.width, point.steps) for point in found.points] == [
        (w, s) for w in (8, 16, 32, 64) for s in (8, 20, 50, 120)
    ]
    assert sum(done) == member_steps_of_grid(spec) == 2 * 4 * (8 + 20 + 50 + 120)
    for point in found.points:
        assert point.parameters == count(spec.model.model_copy(update={"width": point.width}), spec.info).non_embedding
        assert point.tokens == 16 * point.steps
    # Every law is there, or says why not.
    assert len(found.laws) + len(found.refusals) == 7
    law = next(each for each in found.laws if each.law == "loss_parameters")
    assert law.constant("alpha_N").low > 0
    assert found.run_equivalents > 2 * 4 * (8 + 20 + 50 + 120) / 40


def test_a_point_at_the_proxys_width_and_length_is_a_run_of_the_job() -> None:
    spec = JobSpec.model_validate(SMALL | {"transfer": {"scaling": {"widths": [8, 16, 32], "steps": [8, 20, 40]}}})
    found = scaling_report(spec, POINT, spec.transfer.scaling)
    (here,) = [point for point in found.points if (point.width, point.steps) == (16, 40)]
    study = Study(spec)
    seeds = [(spec.seed, Purpose.SCALING, 0, index) for index in range(2)]
    losses = judge(study.problem, study.space.from_dict(POINT)[None], seeds, 1, lambda _: None).validation[0]
    assert here.loss == float(losses.mean())


def test_defaults_are_the_ladders_widths_and_doublings_of_the_length() -> None:
    spec = JobSpec.model_validate({"task": "digits", "transfer": {"scaling": {}}})
    assert scaling_widths(spec.model, spec.transfer.scaling) == [32, 64, 128, 256]
    assert scaling_steps(200, spec.transfer.scaling) == [25, 50, 100, 200, 400]
    plain = JobSpec.model_validate({"task": "digits"})
    counted = [phases(Sizes.of(each, each.info), 1 << 32) for each in (plain, spec)]
    check = [next(phase.plain for phase in parts if phase.name == "check") for parts in counted]
    assert check[1] > check[0]
    assert "/transfer/scaling" in check_parts(Sizes.of(spec, spec.info))


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ({"transfer": {"scaling": {"steps": [100, 50, 200]}}}, "/steps"),
        ({"task": "python-text", "transfer": {"scaling": {"widths": [16, 40, 48]}}}, "/transfer/scaling/widths"),
        (
            {
                "optimizer": {"name": "adam", "decay": "l2", "weight_decay": 0.1},
                "transfer": {"scaling": {}},
                "search": [{"name": "learning_rate"}],
            },
            "/transfer/scaling",
        ),
    ],
)
def test_a_grid_that_could_only_fail_at_the_end_is_refused(given: dict[str, object], pointer: str) -> None:
    with pytest.raises(ValueError) as refused:
        JobSpec.model_validate({"task": "digits", **given})
    assert refused.value.errors()[0]["ctx"]["path"] == pointer  # type: ignore[attr-defined]


def test_a_job_that_asks_for_a_grid_has_it_in_its_result_and_rows_for_a_table() -> None:
    asked = {"scaling": {"widths": [8, 16, 32], "steps": [4, 8, 16], "seeds": 1}, "noise_scale": False}
    spec = SMALL | {"inner": {"steps": 8, "batch_size": 16, "seeds": 2}, "outer": {"steps": 1, "finish_seeds": 2}}
    study = Study(JobSpec.model_validate(spec | {"transfer": asked}))
    list(study)
    found = study.finish().scaling
    assert found is not None and len(found.points) == 9
    rows = found.rows(16)
    assert rows[0] == {
        "parameters": float(found.points[0].parameters),
        "tokens": 64.0,
        "batch_size": 16.0,
        "steps": 4.0,
        "loss": found.points[0].loss,
    }
