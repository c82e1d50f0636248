"""The progress bar: shown where somebody watches, silent elsewhere."""

import io

import pytest
from rich.console import Console

from windtunnel.client import JobProgress
from windtunnel.types import Job


def rendered(job: Job, *, terminal: bool, shown: bool | None) -> str:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=120, color_system=None)
    with JobProgress(shown, console) as bar:
        bar.show(job)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("terminal", "shown", "visible"), [(True, None, True), (False, None, False), (True, False, False), (False, True, True)]
)
def test_a_bar_is_shown_on_a_terminal_or_where_asked_for(job_json, terminal, shown, visible):
    assert bool(rendered(Job.model_validate(job_json), terminal=terminal, shown=shown).strip()) is visible


def test_a_bar_tells_phase_share_loss_and_cost(job_json):
    best = {"outer_step": 1, "loss": 0.5, "stderr": 0.01, "hyperparameters": {}}
    text = rendered(Job.model_validate(job_json | {"best": best}), terminal=True, shown=None)
    for part in ("tuning 1/12", "25%", "loss 0.5000 ± 0.0100", "3.0 runs"):
        assert part in text


def test_a_bar_tells_that_a_job_is_being_cancelled(job_json):
    assert "cancelling" in rendered(Job.model_validate(job_json | {"cancel_requested": True}), terminal=True, shown=None)
    assert "failed" in rendered(Job.model_validate(job_json | {"state": "failed"}), terminal=True, shown=None)
