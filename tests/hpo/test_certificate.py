"""The certificate: it passes for every family and optimizer, fails on planted errors, and is not fooled by kinks."""

from dataclasses import replace
from typing import Any

import pytest
import torch

import hpo.training.problem
from hpo.certificate import certificate
from hpo.errors import CertificateFailed
from hpo.estimators.reverse import Reverse
from hpo.estimators.unrolled import Unrolled
from hpo.optimizers.clipping import Clip
from hpo.study import Study
from hpo.tasks import Split, load
from hpo.training.coefficients import Coefficients
from windtunnel.types import CertificatePoint, JobSpec

RATES = {"name": "learning_rate", "scope": "role", "low": 1e-5, "high": 10}
SEARCH = [RATES, {"name": "weight_decay", "scope": "role"}, {"name": "init_scale"}]
SMALL: dict[str, Any] = {
    "task": "digits",
    "model": {"width": 16, "depth": 2},
    "inner": {"steps": 60, "batch_size": 16, "seeds": 1},
    "search": SEARCH,
}


def certified(**fields: Any) -> CertificatePoint:
    spec = JobSpec.model_validate({**SMALL, **fields})
    whole = load(spec.task)
    few = slice(0, 64)
    validation = Split(whole.validation.inputs[few], whole.validation.labels[few], whole.validation.sources[few])
    study = Study(spec, data=replace(whole, validation=validation))
    point = study.space.start()
    return certificate.certify(study.problem, study.estimator, point, "start", study.population)


JOBS: dict[str, dict[str, Any]] = {
    "mlp, adamw": {},
    "mlp, adam": {"optimizer": {"name": "adam"}},
    "mlp, sgd, no clipping": {"optimizer": {"name": "sgd", "learning_rate": 0.3, "clip_norm": None}},
    "resnet": {"model": {"family": "resnet", "width": 4, "depth": 1}},
    "transformer": {"task": "python-text", "model": {"width": 16, "depth": 1}, "inner": {"steps": 20, "batch_size": 2}},
    "regression": {"task": "diabetes"},
    "estimator higher": {"method": {"estimator": "higher"}},
    "estimator es": {"method": {"estimator": "es"}},
    "regularisers": {
        "regularization": {"dropout": 0.2, "label_smoothing": 0.1},
        "search": [{"name": name} for name in ("dropout", "input_noise", "l2", "mixture_weight")],
    },
    "nothing that acts": {"optimizer": {"clip_norm": 90}, "search": [{"name": "clip_norm"}]},
    "two steps": {"inner": {"steps": 2, "batch_size": 16}},
    "a rate at the edge of chaos": {"optimizer": {"learning_rate": 0.3}},
}


@pytest.mark.parametrize("name", JOBS)
def test_every_family_and_optimizer_passes(name: str) -> None:
    found = certified(**JOBS[name])
    assert found.passed and found.point == "start"
    assert max(found.relative_error, found.doubt) <= certificate.TOLERANCE
    if "steps" in JOBS[name].get("inner", {}):
        assert found.steps == JOBS[name]["inner"]["steps"]


def test_the_whole_schedule_is_in_the_short_run() -> None:
    study = Study(JobSpec.model_validate(SMALL))
    points = study.space.start()[None]
    whole = study.problem.coefficients(points).scheduled["learning_rate"]
    short = certificate.ShortRun(study.problem, 20).coefficients(points).scheduled["learning_rate"]
    assert len(short) == 20
    torch.testing.assert_close(short[[0, -1]], whole[[0, -1]].double(), rtol=1e-6, atol=0)


def test_a_clip_norm_that_is_not_differentiated_fails(monkeypatch) -> None:
    """The error of a published library: the norm taken under no_grad."""

    def only_scaled(clip: Any, adjoint: torch.Tensor) -> torch.Tensor:
        to_threshold = honest(clip, adjoint.clone())
        adjoint.mul_(clip.scale)
        return to_threshold

    honest = Clip.pull_back_
    monkeypatch.setattr(Clip, "pull_back_", only_scaled)
    with pytest.raises(CertificateFailed, match="relative error") as error:
        certified(optimizer={"name": "sgd", "learning_rate": 0.1, "clip_norm": 0.5})
    assert "start point" in error.value.message and "differentiable" in str(error.value.hint)


def test_one_hyperparameter_of_wrong_sign_fails(monkeypatch) -> None:
    honest = hpo.training.problem.coefficients

    def mirrored(*arguments: Any) -> Coefficients:
        found = honest(*arguments)
        decay = found.scheduled["shrink"]
        # The value is right, its derivative is the negative.
        return replace(found, scheduled={**found.scheduled, "shrink": 2 * decay.detach() - decay})

    monkeypatch.setattr(hpo.training.problem, "coefficients", mirrored)
    with pytest.raises(CertificateFailed):
        certified(optimizer={"weight_decay": 0.1})


def test_a_failing_job_stops_at_its_start_and_one_whose_best_point_fails_has_no_result(monkeypatch) -> None:
    fields = {**SMALL, "outer": {"steps": 1, "scout": False, "finish_seeds": 2}, "inner": {"steps": 6, "seeds": 1}}
    steps: list[int] = []
    monkeypatch.setattr(certificate, "TOLERANCE", 0.0)
    study = Study(JobSpec.model_validate(fields))
    with pytest.raises(CertificateFailed, match="at the start point"):
        steps.extend(step.outer_step for step in study)
    assert not steps
    monkeypatch.undo()
    study = Study(JobSpec.model_validate(fields))
    assert [step.outer_step for step in study] == [0, 1]
    monkeypatch.setattr(certificate, "TOLERANCE", 0.0)
    with pytest.raises(CertificateFailed, match="at the best point"):
        study.finish()


def test_the_result_shows_both_points() -> None:
    fields = {**SMALL, "outer": {"steps": 1, "scout": False, "finish_seeds": 2}, "inner": {"steps": 6, "seeds": 1}}
    study = Study(JobSpec.model_validate(fields))
    list(study)
    shown = study.finish().certificate
    assert shown is not None and shown.engine == "population" and shown.tolerance == certificate.TOLERANCE
    assert [point.point for point in shown.points] == ["start", "best"]
    assert all(point.passed and point.steps == 6 for point in shown.points)


def test_what_is_certified_is_the_exact_adjoint_of_the_jobs_engine_and_storage() -> None:
    assert certificate.exact(Reverse("none", "bounded")) == Reverse("none", "exact")
    assert isinstance(certificate.exact(Unrolled()), Unrolled)


def with_jump(place: float) -> certificate.Loss:
    """A ReLU that switches makes the loss jump. Its slope at 0 is 1."""
    return lambda offsets: torch.sin(offsets) + 1.0 + 1e-6 * (offsets > place)


@pytest.mark.parametrize("place", [1.1e-6, 3e-6, 1.1e-5, 2e-5, 3e-4])
def test_a_jump_beside_the_point_raises_no_false_alarm(place: float) -> None:
    """The rules inside of it are smooth and agree."""
    value, doubt = certificate.slope(with_jump(place), 1e-3)
    assert abs(value - 1.0) < 1e-7 and doubt < 1e-7


@pytest.mark.parametrize("place", [1e-9, 1e-7, 7e-7])
def test_a_jump_nearer_than_the_narrow_rules_is_told_as_doubt(place: float) -> None:
    _, doubt = certificate.slope(with_jump(place), 1e-3)
    assert doubt > certificate.TOLERANCE


def test_a_run_that_diverges_beside_the_point_is_doubt_and_no_crash() -> None:
    _, doubt = certificate.slope(lambda offsets: torch.where(offsets > 3e-6, torch.nan, offsets), 1e-3)
    assert doubt < 1e-7, "the narrow widths are clean"
    _, doubt = certificate.slope(lambda offsets: torch.full_like(offsets, torch.nan), 1e-3)
    assert doubt == float("inf") or doubt != doubt
