"""Built-in data sets: what the catalogue says is what is loaded, and no example is in two splits."""

import sysconfig
from pathlib import Path

import pytest
import torch

from hpo.errors import InvalidData
from hpo.tasks import load
from hpo.tasks.python_text import CHARACTERS, TAB, TEST_FILES, TRAIN_FILES, VALIDATION_FILES, encode
from hpo.tasks.registry import load_built_in
from windtunnel.tasks import TASKS

POOLED = sorted(name for name, info in TASKS.items() if info.kind != "language")


def decoded(tokens: torch.Tensor) -> str:
    return "".join((CHARACTERS + "?")[token] for token in tokens.tolist())


@pytest.mark.parametrize("name", sorted(TASKS))
def test_loaded_data_is_what_the_catalogue_says(name: str) -> None:
    data, info = load(name), TASKS[name]
    splits = (data.train, data.validation, data.test)
    assert [len(split) for split in splits] == [info.train_examples, info.validation_examples, info.test_examples]
    assert (data.features, data.classes) == (info.features, info.classes)
    if info.image is not None:
        assert torch.Size(info.image).numel() == info.features
    for split in splits:
        assert split.inputs.shape == (len(split), info.features)
        assert split.labels.shape == (split.inputs.shape if info.kind == "language" else (len(split),))
        assert split.inputs.isfinite().all() and split.labels.isfinite().all()
    if info.kind == "classification":
        assert set(data.train.labels.tolist()) == set(range(info.classes))


@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_split_has_examples_of_every_source_and_of_no_other(name: str) -> None:
    data, info = load(name), TASKS[name]
    for split in (data.train, data.validation, data.test):
        assert split.sources.shape == (len(split),)
        assert set(split.sources.tolist()) == set(range(len(info.sources)))
        if info.kind == "classification":
            assert torch.equal(split.sources, split.labels)


@pytest.mark.parametrize("name", POOLED)
def test_inputs_are_standardised_on_the_training_split(name: str) -> None:
    inputs = load(name).train.inputs
    assert abs(float(inputs.mean())) < 1e-5
    assert abs(float(inputs.std()) - 1) < 1e-2


def test_targets_of_a_regression_are_standardised_on_the_training_split() -> None:
    data = load("diabetes")
    assert data.train.labels.mean().item() == pytest.approx(0, abs=1e-6)
    assert data.train.labels.std().item() == pytest.approx(1, rel=1e-6)
    # The held-out parts are scaled by numbers that are not their own.
    assert abs(data.test.labels.mean().item()) > 1e-3


def test_diabetes_is_learnable_by_least_squares() -> None:
    """A linear fit explains about half of the variance (Efron et al. 2004: R^2 .52 on all of the data)."""
    data = load("diabetes")
    fit = torch.linalg.lstsq(data.train.inputs, data.train.labels[:, None]).solution.squeeze(1)
    assert 0.3 < (data.validation.inputs @ fit - data.validation.labels).square().mean().item() < 0.7


@pytest.mark.parametrize("name", ["breast-cancer", "diabetes", "python-text", "synthetic"])
def test_no_example_is_in_two_splits(name: str) -> None:
    data = load(name)
    train, validation, test = (
        {tuple(row) for row in split.inputs.tolist()} for split in (data.train, data.validation, data.test)
    )
    assert not train & validation and not train & test and not validation & test
    # Text may repeat itself within a part, measurements do not.
    assert len(validation) == len(data.validation)


@pytest.mark.parametrize("name", ["python-text", "synthetic"])
def test_the_same_data_is_loaded_every_time(name: str) -> None:
    before = load(name).sha256
    load_built_in.cache_clear()
    assert load(name).sha256 == before


def test_an_unknown_task_names_the_known_ones() -> None:
    with pytest.raises(InvalidData, match="no task 'imagenet'") as refusal:
        load("imagenet")
    assert "digits" in str(refusal.value.hint)


def test_every_file_of_the_text_is_in_one_part_and_every_part_has_every_source() -> None:
    files = [path for part in (TRAIN_FILES, VALIDATION_FILES, TEST_FILES) for paths in part.values() for path in paths]
    assert len(files) == len(set(files)) == 70
    for part in (TRAIN_FILES, VALIDATION_FILES, TEST_FILES):
        assert tuple(part) == TASKS["python-text"].sources


def test_text_is_the_files_text_and_labels_are_the_next_characters() -> None:
    test = load("python-text").test
    text = (Path(sysconfig.get_path("stdlib")) / TEST_FILES["networking"][0]).read_text().expandtabs(TAB)
    assert decoded(test.inputs[:100].flatten()) == text[: 100 * 64]
    assert decoded(test.labels[:100].flatten()) == text[1 : 100 * 64 + 1]
    assert len(CHARACTERS) + 1 == TASKS["python-text"].classes


def test_characters_beyond_the_vocabulary_become_one_unknown_symbol(monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text("a\té\u2028~\n", encoding="utf-8")
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    assert decoded(encode("odd.py", 7)) == "a   ??~"
    with pytest.raises(InvalidData, match=r"takes 9 characters of .*odd\.py, which has 8"):
        encode("odd.py", 9)


def test_a_python_without_the_sources_of_its_library_is_told_apart(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    load_built_in.cache_clear()
    with pytest.raises(InvalidData, match=r"ftplib\.py, which cannot be opened: No such file") as refusal:
        load("python-text")
    assert "standard library installed" in str(refusal.value.hint)
