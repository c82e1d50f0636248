"""Settings of a worker."""

import pytest
from pydantic import ValidationError

from store.errors import SettingsError
from store.settings import read
from workers.child import _environment
from workers.devices import present
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


def test_auto_is_every_gpu_or_the_cpu_and_stands_alone() -> None:
    found = present(read(WorkerSettings, devices="auto"))
    assert found.devices == ("cpu",) or all(device.startswith("cuda:") for device in found.devices)
    assert all(found.title(device).startswith(device) for device in found.places)
    with pytest.raises(ValidationError, match="auto alone"):
        WorkerSettings(devices=("auto", "cpu"))


def test_a_gpu_that_is_not_there_is_refused_with_what_is_missing() -> None:
    with pytest.raises(SettingsError, match="WINDTUNNEL_DEVICES: device cuda:99 is not here: "):
        present(read(WorkerSettings, devices="cuda:99"))


def test_a_job_process_sees_the_gpu_that_its_worker_counts_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-5d3f")
    settings = WorkerSettings(threads=1)
    seen = [_environment(settings, 1, device)["CUDA_VISIBLE_DEVICES"] for device in ("cuda:0", "cuda:1")]
    assert seen == ["4", "GPU-5d3f"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert _environment(settings, 1, "cuda:2")["CUDA_VISIBLE_DEVICES"] == "2"
    assert "CUDA_VISIBLE_DEVICES" not in _environment(settings, 1, "cpu")
