"""Looks for a worker's devices when it starts, in a process of its own: the worker itself never loads torch."""

import json
import subprocess
import sys
from collections.abc import Sequence

from store.errors import SettingsError
from workers.settings import AUTO, CPU, WorkerSettings

PATIENCE = 120.0
"""Seconds that the look may take: torch is loaded for it, and a GPU's driver."""


def present(settings: WorkerSettings) -> WorkerSettings:
    """The settings with the devices that are there: ``auto`` resolved, each with its model and memory for the fleet's list.

    Raises:
        SettingsError: a device is not there; the message says what is missing.
    """
    if set(settings.devices) == {CPU}:
        return settings
    command = [sys.executable, "-m", "workers.devices", *settings.devices]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise SettingsError(f"WINDTUNNEL_DEVICES: the look for devices took more than {PATIENCE:g} s") from error
    lines = done.stdout.splitlines()
    if done.returncode != 0 or not lines:
        said = lines[-1] if lines else done.stderr.strip()[-400:]
        raise SettingsError(f"WINDTUNNEL_DEVICES: {said}")
    titles: dict[str, str] = json.loads(lines[-1])
    return settings.on(titles)


def main(names: Sequence[str]) -> int:
    """Print device -> its words as JSON, or what is missing; the exit status is 1 then."""
    from hpo.devices import device_of, facts_of, gpus
    from hpo.errors import NoDevice

    wanted = (gpus() or [CPU]) if list(names) == [AUTO] else names
    try:
        found = {name: facts_of(device_of(name)).words for name in wanted}
    except NoDevice as error:
        sys.stdout.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{json.dumps(found)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
