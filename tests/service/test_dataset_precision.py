"""Values on a large offset or of a tiny spread are standardised as in exact arithmetic, and so a plan's user does it."""

import io
from fractions import Fraction
from math import copysign, sqrt
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from hpo.tasks.registry import TaskData
from hpo.tasks.uploaded import uploaded
from service.datasets.arrays import read_npz
from service.datasets.errors import BadData
from service.datasets.pool import Pool
from service.datasets.splitting import split_pool
from service.datasets.tables import read_csv
from service.datasets.text import Windows
from service.datasets.writing import write
from store.files import FILE
from windtunnel.types import Dataset

ROWS = 120
GENERATOR = np.random.Generator(np.random.PCG64(1))
SPREAD = GENERATOR.normal(size=ROWS)
TIMES = np.sort(GENERATOR.uniform(0, 3600, ROWS))


def npz(**arrays: object) -> Pool | Windows:
    file = io.BytesIO()
    np.savez(file, **arrays)
    file.seek(0)
    return read_npz(file, None, None, 1 << 30)


def csv(columns: dict[str, list[str]]) -> Pool:
    lines = [",".join(columns), *(",".join(row) for row in zip(*columns.values(), strict=True))]
    return read_csv(io.BytesIO("\n".join(lines).encode()), None, None)


def standardised(read: Pool | Windows, folder: Path) -> tuple[Dataset, TaskData]:
    """What a job trains on."""
    known = write(read, folder)
    task = {**known["task"], "name": "ds", "title": "", "source": ""}
    facts = {"id": "ds", "name": "", "file": "", "format": "csv", "bytes": 1, "created_at": "2026-01-01T00:00:00Z"}
    dataset = Dataset.model_validate({**known, **facts, "task": task})
    return dataset, uploaded(dataset, load_file(folder / FILE))


def exactly(values: list[Fraction], trained: np.ndarray) -> list[float]:
    """(value - mean) / deviation of the training part in rational numbers, the root alone rounded."""
    of = [values[row] for row in trained]
    mean = sum(of, Fraction(0)) / len(of)
    variance = sum((each - mean) ** 2 for each in of) / len(of)
    return [copysign(sqrt((each - mean) ** 2 / variance), each - mean) for each in values]


def parts_of(data: TaskData) -> list:
    return [data.train, data.validation, data.test]


@pytest.mark.parametrize(
    ("values", "digits"),
    [
        (5e8 + 3 * SPREAD, 1e-6),
        (1.7e9 + TIMES, 1e-6),
        (1.7e12 + TIMES, 1e-6),
        (1e15 + np.round(1000 * SPREAD), 1e-6),
        (273.15 + 1e-6 * SPREAD, 1e-5),
        (1e-9 * SPREAD, 1e-6),
        (3e-7 + 1e-11 * SPREAD, 1e-6),
        (1e-46 * SPREAD, 1e-6),
        (1e-200 * SPREAD, 1e-6),
        (1e30 + 1e20 * SPREAD, 1e-6),
        (SPREAD, 1e-6),
    ],
)
@pytest.mark.parametrize("of", ["feature", "target"])
def test_standardised_values_are_those_of_exact_arithmetic(values, digits, of, tmp_path):
    other = GENERATOR.normal(size=ROWS)
    x, y = (values, other) if of == "feature" else (other, values)
    texts = {"x": [repr(float(each)) for each in x], "y": [repr(float(each)) for each in y]}
    parts = split_pool(np.zeros(ROWS), 0)
    right = exactly([Fraction(text) for text in texts["x" if of == "feature" else "y"]], parts[0])
    for name, read in (("npz", npz(x=x[:, None], y=y)), ("csv", csv(texts))):
        folder = tmp_path / name
        folder.mkdir()
        dataset, data = standardised(read, folder)
        for part, rows in zip(parts_of(data), parts, strict=True):
            found = part.inputs[:, 0] if of == "feature" else part.labels
            assert found.dtype == torch.float32
            assert np.allclose(found.numpy(), [right[row] for row in rows], rtol=digits, atol=2e-5)
        # The user of a plan does the same with what the data set tells.
        assert dataset.scaling is not None
        mean, deviation = dataset.scaling.mean[0], dataset.scaling.deviation[0]
        if of == "target":
            assert dataset.scaling.target_mean is not None and dataset.scaling.target_deviation is not None
            mean, deviation = dataset.scaling.target_mean, dataset.scaling.target_deviation
        assert np.allclose([(float(each) - mean) / deviation for each in values], right, rtol=digits, atol=2e-5)


@pytest.mark.parametrize("constant", [7.0, 0.1, 0.0, 1234567890.123, -3e-12, 1e15 / 3])
def test_a_constant_is_zero_for_the_proxy_and_for_the_user_of_its_plan(constant, tmp_path):
    dataset, data = standardised(npz(x=np.column_stack([np.full(ROWS, constant), SPREAD]), y=SPREAD), tmp_path)
    assert dataset.scaling is not None
    assert all(not part.inputs[:, 0].any() for part in parts_of(data))
    assert abs(constant - dataset.scaling.mean[0]) / dataset.scaling.deviation[0] <= 1e-2


def test_rounding_of_a_constant_is_not_blown_up(tmp_path):
    values = np.where(np.arange(ROWS) % 2, 0.3, 0.1 + 0.2)
    assert len(set(values)) == 2
    _, data = standardised(npz(x=np.column_stack([values, SPREAD]), y=SPREAD), tmp_path)
    assert all(part.inputs[:, 0].abs().max() < 1e-4 for part in parts_of(data))


@pytest.mark.parametrize("scale", [1.0, 1e9, 1e-12])
def test_a_feature_that_is_constant_where_it_is_learned_from_stays_within_one_elsewhere(scale, tmp_path):
    values = np.full(ROWS, 5.0)
    values[split_pool(np.zeros(ROWS), 0)[2][0]] = 6.0
    _, data = standardised(npz(x=np.column_stack([scale * values, SPREAD]), y=SPREAD), tmp_path)
    assert not data.train.inputs[:, 0].any()
    assert sorted(set(data.test.inputs[:, 0].tolist())) == pytest.approx([0.0, 1.0])


def test_images_on_an_offset_are_standardised_together(tmp_path):
    pixels = 1e8 + GENERATOR.normal(size=(ROWS, 4, 4))
    dataset, data = standardised(npz(inputs=pixels, labels=np.arange(ROWS) % 3), tmp_path)
    trained = data.train.inputs.numpy()
    assert trained.mean() == pytest.approx(0, abs=1e-4) and trained.std() == pytest.approx(1, abs=1e-4)
    assert dataset.scaling is not None and dataset.scaling.deviation[0] == pytest.approx(pixels.std(), rel=0.05)


def test_ordinary_values_are_kept_in_single_precision_as_they_were():
    inputs = np.column_stack([SPREAD, 100 + 20 * SPREAD, np.round(2000 + 5 * SPREAD), np.full(ROWS, 0.1)])
    read = npz(x=inputs, y=400 + 30 * SPREAD)
    assert isinstance(read, Pool) and read.inputs.dtype == read.labels.dtype == np.float32
    assert np.array_equal(read.inputs, inputs.astype(np.float32))


def test_an_outlier_outside_the_training_part_hides_no_offset(tmp_path):
    values = 1.7e9 + TIMES
    parts = split_pool(np.zeros(ROWS), 0)
    values[parts[1][0]] = 0.0
    _, data = standardised(npz(x=values[:, None], y=SPREAD), tmp_path)
    right = exactly([Fraction(float(each)) for each in values], parts[0])
    assert np.allclose(data.train.inputs[:, 0].numpy(), [right[row] for row in parts[0]], atol=1e-5)


@pytest.mark.parametrize("largest", [2**53, 10**18, 2**62])
def test_whole_numbers_past_double_precision_are_refused_by_column(largest):
    ids = [str(largest + index) for index in range(ROWS)]
    numbers = [repr(float(each)) for each in SPREAD]
    with pytest.raises(BadData, match=r"column 'id' has numbers such as .* in row 2 whose differences double"):
        csv({"id": ids, "x": numbers, "y": numbers})
    with pytest.raises(
        BadData, match=r"column 'id' has values such as .* whose differences double precision does not hold"
    ) as err:
        csv({"x": numbers, "id": ids})
    assert err.value.pointer == "/target"
    with pytest.raises(BadData, match="array 'inputs', feature 2, has numbers such as"):
        npz(x=np.array([[index, largest + index] for index in range(ROWS)], dtype=np.uint64), y=SPREAD)


@pytest.mark.parametrize("start", [10**9, 10**15])
def test_whole_numbers_that_double_precision_holds_are_told_apart(start, tmp_path):
    numbers = [start + index % 7 for index in range(ROWS)]
    _, data = standardised(csv({"n": list(map(str, numbers)), "y": [repr(float(each)) for each in SPREAD]}), tmp_path)
    rows = split_pool(np.zeros(ROWS), 0)[0]
    right = exactly([Fraction(each) for each in numbers], rows)
    found = data.train.inputs[:, 0].double().numpy()
    assert np.allclose(found - found[0], [float(right[row] - right[rows[0]]) for row in rows], atol=1e-5)


def test_whole_numbers_that_would_be_taken_for_a_constant_are_refused():
    ids = [str(9 * 10**15 + index % 7) for index in range(ROWS)]
    numbers = [repr(float(each)) for each in SPREAD]
    with pytest.raises(BadData, match=r"column 'id' has numbers such as .* whose differences double"):
        csv({"id": ids, "x": numbers, "y": numbers})


def test_nanoseconds_over_an_hour_are_told_apart(tmp_path):
    ticks = [1_700_000_000_000_000_000 + int(1e9 * time) for time in TIMES]
    _, data = standardised(csv({"t": [str(each) for each in ticks], "y": [repr(float(each)) for each in SPREAD]}), tmp_path)
    parts = split_pool(np.zeros(ROWS), 0)
    right = exactly([Fraction(each) for each in ticks], parts[0])
    assert np.allclose(data.train.inputs[:, 0].numpy(), [right[row] for row in parts[0]], atol=1e-6)


def test_a_target_that_never_changes_where_it_is_learned_is_refused():
    values = np.full(ROWS, 2.5)
    values[split_pool(np.zeros(ROWS), 0)[2][0]] = 3.5
    with pytest.raises(BadData, match=r"array 'labels' is 2\.5 in all 72 examples of the training part"):
        npz(x=SPREAD[:, None], y=values)


def test_labels_of_arrays_are_named_without_rounding():
    large = np.array([2**53, 2**53 + 1, 2**64 - 1], dtype=np.uint64)
    read = npz(x=SPREAD[:, None], y=np.resize(large, ROWS))
    assert isinstance(read, Pool)
    assert [read.classes[label] for label in read.labels[:3]] == [str(each) for each in large]
    truth = npz(x=SPREAD[:, None], y=np.resize([True, False], ROWS))
    assert isinstance(truth, Pool) and truth.classes == ("False", "True") and list(truth.labels[:2]) == [1, 0]
    with pytest.raises(BadData, match=r"classes such as 9\.0072e\+15, which double precision does not tell"):
        npz(x=SPREAD[:, None], y=np.resize([2.0**53, 2.0**53 + 2], ROWS))
