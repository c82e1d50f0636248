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
    for part in ("tuning 1/12", "25%", "best loss 0.500 ± 0.010 so far, on the search's seeds", "3.0 runs"):
        assert part in text


def test_a_bar_tells_that_a_job_is_being_cancelled(job_json):
    assert "cancelling" in rendered(Job.model_validate(job_json | {"cancel_requested": True}), terminal=True, shown=None)
    assert "failed" in rendered(Job.model_validate(job_json | {"state": "failed"}), terminal=True, shown=None)


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_log_file_has_a_line_for_each_phase_and_outer_step_and_every_half_minute(job_json):
    stream, clock = io.StringIO(), Clock()
    progress = dict(job_json["progress"])
    with JobProgress(True, Console(file=stream, width=40), clock) as bar:
        for phase, step, seconds in (
            ("scout", 0, 0),
            ("scout", 0, 10),  # nothing new
            ("scout", 0, 45),  # but a long wait
            ("tune", 1, 50),
            ("tune", 1, 51),
            ("tune", 2, 52),
            ("finish", 2, 53),
        ):
            clock.now = seconds
            fraction = seconds / 100
            now = progress | {"phase": phase, "outer_step": step, "fraction": fraction, "run_equivalents": 2.0 * seconds}
            best = {"outer_step": step, "loss": 0.5, "stderr": 0.01, "hyperparameters": {}} if step else None
            bar.show(Job.model_validate(job_json | {"progress": now, "best": best}))
    loss = ", best loss 0.500 ± 0.010 so far, on the search's seeds"
    assert stream.getvalue().splitlines() == [
        "windtunnel 0 s: scouting learning rates, 0%, 0.0 runs",
        "windtunnel 45 s: scouting learning rates, 45%, 90.0 runs",
        f"windtunnel 50 s: tuning 1/12, 50%, 100.0 runs{loss}",
        f"windtunnel 52 s: tuning 2/12, 52%, 104.0 runs{loss}",
        f"windtunnel 53 s: judging on fresh seeds, 53%, 106.0 runs{loss}",
    ]


def test_the_end_of_a_job_is_a_line_with_its_verdict(job_json):
    best = {"outer_step": 1, "loss": 0.5, "stderr": 0.01, "hyperparameters": {}, "judged_on": "fresh"}
    done = job_json["progress"] | {"phase": "done", "fraction": 1.0}
    ended = job_json | {"state": "succeeded", "progress": done, "best": best | {"gain": {"mean": 0.0, "stderr": 0.0}}}
    text = rendered(Job.model_validate(ended), terminal=False, shown=True)
    assert "done, 100%, 3.0 runs, best loss 0.500 ± 0.010 on fresh seeds, no gain beyond noise\n" in text
    assert "\x1b" not in text and "\r" not in text
