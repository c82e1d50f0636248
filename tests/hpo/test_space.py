"""Search space: bijections, scopes, bounds."""

import pytest
import torch

from hpo.errors import Refused
from hpo.families.facts.mlp import mlp_tensors
from hpo.training.space import BIJECTIONS, Space, constrain, unconstrain
from windtunnel.types import JobSpec
from windtunnel.types.hyperparameters import DEFAULT_RANGES

TENSORS = mlp_tensors(features=5, classes=3, width=8, depth=2)


def space(*search: dict[str, object], **fields: object) -> Space:
    return Space.from_spec(JobSpec.model_validate({"task": "digits", "search": search, **fields}), TENSORS)


@pytest.mark.parametrize("name", sorted(BIJECTIONS))
def test_every_bijection_is_undone_by_its_inverse(name: str) -> None:
    low, high = DEFAULT_RANGES[name]
    values = torch.linspace(low, min(high, 0.999), 7, dtype=torch.float64)
    back = constrain(unconstrain(values, BIJECTIONS[name]), BIJECTIONS[name])
    torch.testing.assert_close(back, values, rtol=1e-12, atol=0)


def test_betas_are_searched_as_the_logit_of_one_minus_beta() -> None:
    point = space({"name": "beta1"}).start()
    torch.testing.assert_close(point, torch.logit(torch.tensor([1 - 0.9], dtype=torch.float64)))


def test_a_role_scope_has_one_coordinate_for_each_role_it_acts_on() -> None:
    rates = space({"name": "learning_rate", "scope": "role"})
    assert rates.labels == [f"learning_rate.{role}" for role in ("input", "vector", "hidden", "output", "scalar")]
    decays = space({"name": "weight_decay", "scope": "role"})
    assert decays.labels == [f"weight_decay.{role}" for role in ("input", "hidden", "output")]


def test_a_tensor_scope_names_tensors_and_leaves_biases_undecayed() -> None:
    decays = space({"name": "weight_decay", "scope": "tensor"})
    assert decays.labels == [f"weight_decay.{name}.weight" for name in ("layers.0", "layers.1", "readout")]


def test_clamping_keeps_values_inside_the_bounds_also_for_decreasing_bijections() -> None:
    found = space({"name": "beta2", "low": 0.9, "high": 0.99}, {"name": "learning_rate", "low": 1e-3, "high": 1e-1})
    for push in (-100.0, 100.0):
        values = found.values(found.clamp(found.start() + push))
        assert 0.9 - 1e-12 <= values[0] <= 0.99 + 1e-12
        assert 1e-3 * (1 - 1e-12) <= values[1] <= 1e-1 * (1 + 1e-12)


def test_a_point_survives_the_way_through_labels_and_values() -> None:
    found = space({"name": "learning_rate", "scope": "role"}, {"name": "floor"})
    point = found.start() + torch.linspace(-0.5, 0.5, len(found), dtype=torch.float64)
    torch.testing.assert_close(found.from_dict(found.as_dict(point)), point, rtol=0, atol=1e-12)


def test_a_start_given_by_label_goes_before_the_optimizers_own() -> None:
    searched = ({"name": "learning_rate", "scope": "role"}, {"name": "beta1"})
    found = space(*searched, initial={"learning_rate.hidden": 0.5, "beta1": 0.75})
    starts = found.as_dict(found.start())
    assert starts["learning_rate.hidden"] == pytest.approx(0.5) and starts["beta1"] == pytest.approx(0.75)
    assert starts["learning_rate.input"] == pytest.approx(JobSpec(task="digits").optimizer.default("learning_rate"))


def test_a_start_of_a_role_that_the_proxy_has_not_is_refused() -> None:
    with pytest.raises(Refused, match=r"initial names 'learning_rate\.embedding'"):
        space({"name": "learning_rate", "scope": "role"}, initial={"learning_rate.embedding": 0.5})


def test_a_start_outside_of_its_range_is_moved_to_the_nearest_bound() -> None:
    found = space({"name": "weight_decay", "low": 0.1, "high": 1.0})
    assert found.as_dict(found.start()) == pytest.approx({"weight_decay": 0.1})


def test_what_acts_on_no_tensor_is_refused() -> None:
    only_biases = [tensor for tensor in TENSORS if tensor.role in ("vector", "scalar")]
    spec = JobSpec.model_validate({"task": "digits", "search": [{"name": "weight_decay", "scope": "role"}]})
    with pytest.raises(Refused, match="acts on no tensor"):
        Space.from_spec(spec, only_biases)
