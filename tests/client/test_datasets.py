"""A user's own data through the client: from a file to a plan, and every refusal with its reason."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from windtunnel import Client, NotFound, TooLarge, ValidationFailed
from windtunnel.client import Conflict, InvalidRequest

GENERATOR = np.random.Generator(np.random.PCG64(0))


@pytest.fixture
def houses(tmp_path: Path) -> Path:
    """Prices that follow from two of three columns."""
    area, rooms, noise = GENERATOR.normal(100, 20, 200), GENERATOR.integers(1, 6, 200), GENERATOR.normal(size=200)
    price = 3000 * area + 20_000 * rooms
    rows = [f"{a:.3f},{r},{n:.3f},{p:.0f}" for a, r, n, p in zip(area, rooms, noise, price, strict=True)]
    file = tmp_path / "houses.csv"
    file.write_text("\n".join(["area,rooms,noise,price", *rows]))
    return file


def test_from_a_csv_to_a_plan(client: Client, houses: Path):
    dataset = client.datasets.upload(houses, name="house prices")
    assert (dataset.name, dataset.target, dataset.task.kind) == ("house prices", "price", "regression")
    assert dataset.columns == ["area", "rooms", "noise"] and dataset.scaling is not None
    assert client.datasets.upload(houses).id == dataset.id
    assert client.datasets.get(dataset.id) == dataset
    assert dataset.id in [each.id for each in client.datasets.list()]

    spec = {
        "model": {"width": 16},
        "inner": {"steps": 30, "batch_size": 32, "seeds": 2},
        "outer": {"steps": 1, "finish_seeds": 2},
        "transfer": {"noise_scale": False},
    }
    assert client.estimate(task=dataset, **spec).seconds > 0
    job = client.jobs.create(task=dataset, **spec, target={"width": 256})
    result = job.wait(timeout=120, progress=False)
    assert result.provenance.data_sha256 == dataset.sha256
    # Squared error of a standardised target: a network that has learned nothing has a loss of 1.
    assert result.best.test.mean < 0.2
    assert all(point.passed for point in result.certificate.points)
    plan = result.plan(width=512)
    assert (plan.task, plan.features, plan.classes) == (dataset.id, 3, 1)
    assert "FEATURES = 3" in plan.to("torch")
    client.datasets.delete(dataset.id)
    assert client.plans.get(plan.id).to("torch") == plan.to("torch")
    with pytest.raises(NotFound, match="was deleted"):
        client.datasets.get(dataset.id)
    with pytest.raises(ValidationFailed, match="was deleted"):
        client.jobs.create(task=dataset)


def test_a_bad_cell_is_told_by_column_and_row(idle: Client, houses: Path):
    lines = houses.read_text().splitlines()
    houses.write_text("\n".join([*lines[:9], "big,2,0.1,5", *lines[9:]]))
    with pytest.raises(ValidationFailed) as caught:
        idle.datasets.upload(houses)
    (error,) = caught.value.errors
    assert (error.pointer, error.given) == ("/file", "big")
    assert "column 'area' has text in row 10: 'big'" in str(caught.value)


def test_what_is_asked_about_can_be_answered(idle: Client, tmp_path: Path):
    file = tmp_path / "prices.csv"
    file.write_text("x;price\n" + "".join(f"{index};{1 + index % 9},{index % 10}00\n" for index in range(60)))
    with pytest.raises(
        ValidationFailed, match=r"has '1,000', which is 1000 .* say decimal point or decimal comma"
    ) as caught:
        idle.datasets.upload(file)
    assert [error.pointer for error in caught.value.errors] == ["/decimal"]
    point = idle.datasets.upload(file, decimal="point", delimiter="semicolon")
    comma = idle.datasets.upload(file, decimal="comma", kind="regression")
    assert point.scaling is not None and comma.scaling is not None
    assert point.task.kind == comma.task.kind == "regression" and point.ignored_columns == []
    assert point.scaling.target_mean == pytest.approx(1000 * (comma.scaling.target_mean or 0))
    with pytest.raises(ValidationFailed, match="delimiter"):
        idle.datasets.upload(file, delimiter="colon")  # type: ignore[arg-type]


def test_row_labels_that_are_left_aside_are_told(idle: Client, tmp_path: Path):
    numbers = GENERATOR.normal(size=(60, 2))
    table = pa.table({"x": numbers[:, 0], "y": numbers[:, 1], "__index_level_0__": np.arange(60)})
    pq.write_table(table, tmp_path / "frame.parquet")
    dataset = idle.datasets.upload(tmp_path / "frame.parquet")
    assert (dataset.columns, dataset.target, dataset.ignored_columns) == (["x"], "y", ["__index_level_0__"])
    assert idle.datasets.get(dataset.id).ignored_columns == ["__index_level_0__"]


def test_a_wrong_option_is_named(idle: Client, houses: Path):
    with pytest.raises(ValidationFailed, match="allowed: area, rooms, noise, price"):
        idle.datasets.upload(houses, target="prize")
    with pytest.raises(InvalidRequest, match=r"cannot read .*missing\.csv: No such file"):
        idle.datasets.upload(houses.with_name("missing.csv"))


def test_a_file_that_is_too_large_has_its_own_error(scripted, script, houses: Path):
    script.problem(413, "dataset-too-large")
    with pytest.raises(TooLarge, match="refused with 413"):
        scripted.datasets.upload(houses)


def test_a_data_set_in_use_stays(idle: Client, houses: Path):
    dataset = idle.datasets.upload(houses)
    job = idle.jobs.create(task=dataset)
    with pytest.raises(Conflict, match=job.id):
        idle.datasets.delete(dataset.id)
    assert [each.id for each in idle.jobs.list(task=dataset.id)] == [job.id]
    idle.jobs.cancel(job.id)
    idle.datasets.delete(dataset.id)
    with pytest.raises(NotFound):
        idle.datasets.delete(dataset.id)


def test_an_upload_is_sent_again_whole_when_the_server_was_away(scripted, script, houses: Path, job_json):
    script.problem(503, Retry_After="1").answer(200, {})
    with pytest.raises(Exception, match="does not understand"):
        scripted.datasets.upload(houses)
    first, second = script.requests
    assert first.body == second.body and houses.read_bytes() in first.body
