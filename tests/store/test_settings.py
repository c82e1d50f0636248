"""Settings from the environment: defaults, and a clear word on each malformed value."""

from pathlib import Path

import pytest

from store.errors import SettingsError
from store.settings import StoreSettings, read


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "DATA_DIR", "MAX_POPULATION_BYTES"):
        monkeypatch.delenv(f"WINDTUNNEL_{name}", raising=False)


def test_the_database_lies_in_the_data_folder_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WINDTUNNEL_DATA_DIR", str(tmp_path))
    assert read(StoreSettings).url == f"sqlite:///{tmp_path}/windtunnel.db"


def test_what_is_given_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WINDTUNNEL_DATA_DIR", "/elsewhere")
    settings = read(StoreSettings, data_dir=tmp_path, max_population_bytes=None)
    assert (settings.data_dir, settings.max_population_bytes) == (tmp_path, 4 * 2**30)


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("MAX_POPULATION_BYTES", "lots", "integer"),
        ("MAX_POPULATION_BYTES", "0", "greater than 0"),
        ("DATABASE_URL", "nonsense", "sqlite:///path"),
        ("DATABASE_URL", "mysql://host/name", "'mysql' is not supported"),
        ("DATABASE_URL", "sqlite://", "must be a file"),
    ],
)
def test_a_malformed_value_names_its_variable_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, word: str
) -> None:
    monkeypatch.setenv(f"WINDTUNNEL_{name}", value)
    with pytest.raises(SettingsError) as caught:
        read(StoreSettings)
    message = str(caught.value)
    assert f"WINDTUNNEL_{name}" in message and word in message and repr(value) in message
