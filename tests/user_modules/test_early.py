"""What cannot be trusted is told before anything is spent, with its likely cause and what to do in the error's text."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import windtunnel
from hpo.errors import CertificateFailed, Diverged, InvalidData
from hpo.families.own.describing import describe
from hpo.study import Study
from windtunnel import UserTask
from windtunnel.types import JobSpec
from windtunnel.types.families import TaskKind

LEAN: dict[str, Any] = {
    "inner": {"steps": 12, "batch_size": 16, "seeds": 1},
    "outer": {"steps": 1, "finish_seeds": 2},
    "parametrization": "standard",
}


def points(inputs: float = 1.0) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(96, 5, generator=generator)
    return list(zip((inputs * x).split(32), (x[:, :3]).argmax(1).split(32), strict=True))


def numbers(size: float) -> list[tuple[Tensor, Tensor]]:
    return [(x, size * x.sum(1)) for x, _ in points()]


class Net(nn.Module):
    def __init__(self, width: int, outputs: int = 3) -> None:
        super().__init__()
        self.first = nn.Linear(5, width)
        self.head = nn.Linear(width, outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.more(torch.tanh(self.first(inputs))))

    def more(self, hidden: Tensor) -> Tensor:
        return hidden


class Half(Net):
    def more(self, hidden: Tensor) -> Tensor:
        return hidden.half().to(hidden.dtype)


class StraightThrough(Net):
    def more(self, hidden: Tensor) -> Tensor:
        return hidden + (hidden.sign() - hidden).detach()


class PartlyDetached(Net):
    def more(self, hidden: Tensor) -> Tensor:
        return hidden * hidden.detach()


def one_output(width: int) -> Net:
    return Net(width, 1)


def study(build: Any, data: Any, kind: TaskKind = "classification", loss: Any = None, **fields: Any) -> Study:
    task = UserTask(
        name="own", kind=kind, input_shape=(5,), classes=1 if kind == "regression" else 3, examples=(32, 32, 32),
        load=lambda: data, build=lambda width, _: build(width), loss=loss, depth=1, width=8,
    )  # fmt: skip
    return Study(JobSpec.of({"task": "own", **LEAN, **fields}, task.info_with(describe(task))))


@pytest.mark.parametrize("build", [Half, StraightThrough, PartlyDetached])
def test_a_module_whose_gradient_is_not_its_slope_is_told_before_a_job_begins(build):
    with pytest.raises(InvalidData, match=r"gradient of parameter 'first.weight' .* is not the derivative") as caught:
        study(build, points())
    assert caught.value.hint in str(caught.value) and "shorter type" in str(caught.value)


def test_a_loss_whose_gradient_is_not_its_slope_is_told_before_the_scout():
    def partly(outputs: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(outputs * outputs.detach().cosh(), labels, reduction="none")

    job = study(Net, points(), loss=partly)
    with pytest.raises(CertificateFailed, match=r"the gradient of loss .*partly is not the slope"):
        list(job)
    assert job.account.spent == 0


def test_the_start_of_the_spec_is_certified_and_a_scouted_job_goes_on_the_same():
    early = study(Net, points())
    steps = list(early)
    found = early.finish().certificate
    assert found is not None and [point.point for point in found.points] == ["start", "best"]
    late = study(Net, points())
    late._certify_start = list  # type: ignore[method-assign,assignment] # nothing is certified before the scout
    assert list(late) == steps
    saved = study(Net, points())
    saved.load_state_dict(early.state_dict())
    again = saved.finish().certificate
    assert again == found


def test_a_rate_that_is_too_high_is_told_by_its_number_and_the_scout_may_choose_another():
    """Adam at 100 in a deep linear chain is chaotic from the first updates on."""

    class Chain(Net):
        def __init__(self, width: int) -> None:
            super().__init__(width)
            self.chain = nn.ModuleList(nn.Linear(width, width) for _ in range(12))

        def more(self, hidden: Tensor) -> Tensor:
            for layer in self.chain:
                hidden = layer(hidden)
            return hidden

    rates = {"optimizer": {"learning_rate": 100}, "search": [{"name": "learning_rate", "low": 1e-5, "high": 100}]}
    job = study(Chain, points(), **rates, outer={"steps": 1, "scout": False, "finish_seeds": 2})
    with pytest.raises((CertificateFailed, Diverged), match="at learning rate 100") as caught:
        list(job)
    assert "lower optimizer.learning_rate" in str(caught.value) and "report" not in str(caught.value)
    result = [*(job := study(Chain, points(), **rates)), job.finish()][-1]
    assert result.certificate is not None and all(point.passed for point in result.certificate.points)


@pytest.mark.parametrize("size", [3e3, 3e6, 1e12])
def test_targets_that_are_too_large_want_scaling_and_not_rates(size):
    job = study(one_output, numbers(size), "regression")
    with pytest.raises(
        InvalidData, match=r"before the first update is .* targets of the train part run from .*scale the"
    ) as caught:
        list(job)
    assert job.account.spent == 0 and "learning" not in str(caught.value)


def test_targets_of_some_size_are_trained_on():
    job = study(one_output, numbers(30.0), "regression", inner={"steps": 60, "batch_size": 16, "seeds": 1})
    list(job)
    assert job.finish().best.validation.mean < 600


def test_runs_that_diverge_name_large_inputs_before_rates_and_tell_the_first_loss():
    search = [{"name": "learning_rate", "low": 1, "high": 10}]
    fields: dict[str, Any] = {"optimizer": {"name": "sgd", "clip_norm": None, "learning_rate": 1}, "search": search}

    class Plain(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.first, self.head = nn.Linear(5, width), nn.Linear(width, 3)

        def forward(self, inputs: Tensor) -> Tensor:
            return self.head(self.first(inputs))

    with pytest.raises(
        Diverged, match=r"first update is 1.099: inputs of the train part run up to \d\.\d+e\+06, in feature"
    ):
        list(study(Plain, points(1e6), **fields))
    search = [{"name": "learning_rate", "low": 50, "high": 100}]
    with pytest.raises(Diverged, match=r"from 50 to 100; the loss before the first update is 1.099; lower the low end"):
        list(
            study(
                Plain,
                points(10.0),
                **{**fields, "optimizer": {**fields["optimizer"], "learning_rate": 50}, "search": search},
            )
        )


def test_a_loss_that_begins_above_what_counts_as_diverged_says_so():
    def huge(outputs: Tensor, labels: Tensor) -> Tensor:
        return 1e7 * functional.cross_entropy(outputs, labels)

    with pytest.raises(
        InvalidData, match=r"is 1\.0\d+e\+07, and a run that ends above 1,000 counts as diverged; divide loss"
    ):
        list(study(Net, points(), loss=huge))


def test_a_gradient_that_is_not_finite_at_the_start_is_told_by_its_tensor():
    def rooted(outputs: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, labels) + outputs.square().sum(-1).sqrt().mean()

    job = study(Net, points(), loss=rooted)
    with pytest.raises(InvalidData, match=r"gradient with respect to first.weight is not; .* no root or norm"):
        list(job)


def test_a_loss_that_is_not_finite_at_the_start_is_no_divergence():
    class Overflowing(Net):
        def forward(self, inputs: Tensor) -> Tensor:
            return super().forward(inputs) + (1e3 * inputs[:, :3]).exp()

    with pytest.raises(InvalidData, match=r"before the first update is (nan|inf); that of example \d+ .* is not finite"):
        windtunnel.tune(Overflowing, points(), base_width=8, **LEAN)
