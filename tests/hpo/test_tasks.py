"""Built-in data sets: what the catalogue says is what is loaded, and no example is in two splits."""

import pytest
import torch

from hpo.errors import InvalidData
from hpo.tasks import load
from windtunnel.types import TASKS


@pytest.mark.parametrize("name", sorted(TASKS))
def test_loaded_data_is_what_the_catalogue_says(name: str) -> None:
    data, info = load(name), TASKS[name]
    sizes = [len(split) for split in (data.train, data.validation, data.test)]
    assert sizes == [info.train_examples, info.validation_examples, info.test_examples]
    assert (data.features, data.classes) == (info.features, info.classes)
    assert set(data.train.labels.tolist()) == set(range(info.classes))
    assert torch.cat([data.train.inputs, data.validation.inputs, data.test.inputs]).isfinite().all()


@pytest.mark.parametrize("name", sorted(TASKS))
def test_inputs_are_standardised_on_the_training_split(name: str) -> None:
    inputs = load(name).train.inputs
    assert abs(float(inputs.mean())) < 1e-5
    assert abs(float(inputs.std()) - 1) < 1e-2


@pytest.mark.parametrize("name", ["breast-cancer", "synthetic"])
def test_no_example_is_in_two_splits(name: str) -> None:
    data = load(name)
    rows = [tuple(row) for split in (data.train, data.validation, data.test) for row in split.inputs.tolist()]
    assert len(rows) == len(set(rows))


def test_the_same_data_is_loaded_every_time() -> None:
    before = load("synthetic").sha256
    load.cache_clear()
    assert load("synthetic").sha256 == before


def test_an_unknown_task_names_the_known_ones() -> None:
    with pytest.raises(InvalidData, match="no task 'imagenet'") as refusal:
        load("imagenet")
    assert "digits" in str(refusal.value.hint)
