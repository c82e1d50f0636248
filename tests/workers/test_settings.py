"""Settings of a worker."""

import pytest
from pydantic import ValidationError

from store.errors import SettingsError
from store.settings import read
from workers.settings import WorkerSettings, available_cores


def test_slots_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WINDTUNNEL_SLOTS", "1")
    assert read(WorkerSettings).threads_per_job == max(1, available_cores() - 1)
    assert read(WorkerSettings, slots=1000).threads_per_job == 1
    assert read(WorkerSettings, threads=3).threads_per_job == 3


@pytest.mark.parametrize(
    ("name", "value", "word"), [("SLOTS", "0", "greater than or equal to 1"), ("THREADS", "two", "valid integer")]
)
def test_a_malformed_value_names_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str, word: str) -> None:
    monkeypatch.setenv(f"WINDTUNNEL_{name}", value)
    with pytest.raises(SettingsError, match=f"WINDTUNNEL_{name}.*{word}"):
        read(WorkerSettings)


def test_a_lease_that_beats_too_rarely_is_refused() -> None:
    with pytest.raises(SettingsError, match="beat 30 s needs lease_ttl of 90 s or more, got 60 s"):
        read(WorkerSettings, beat=30.0)


def test_a_gpu_is_one_place_and_a_cpu_as_many_as_it_has_slots() -> None:
    settings = WorkerSettings(devices=("cuda:1", "cpu"), slots=2, threads=1)
    assert settings.places == ("cuda:1", "cpu", "cpu")


@pytest.mark.parametrize("devices", ["", "gpu", "cuda", "cuda:0,cuda:0"])
def test_devices_that_cannot_be_are_refused(devices: str) -> None:
    with pytest.raises(ValidationError, match="device"):
        WorkerSettings(devices=tuple(devices.split(",")))
