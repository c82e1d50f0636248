"""``tune(progress=True)`` in a process whose output goes to a file."""

import torch
from torch import nn

import windtunnel


def test_progress_in_a_log_is_plain_lines_that_end_with_the_verdict(capfd):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(60, 4, generator=generator)
    part = (inputs, (inputs[:, 0] > 0).long())
    result = windtunnel.tune(
        lambda width: nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 2)),
        (part, part, part),
        base_width=8,
        inner={"steps": 6, "batch_size": 16, "seeds": 2},
        outer={"steps": 2, "finish_seeds": 2},
        progress=True,
    )
    out, err = capfd.readouterr()
    assert out == "" and "\x1b" not in err and "\r" not in err
    lines = [line.partition(": ")[2] for line in err.splitlines()]
    phases = [line.partition(",")[0] for line in lines]
    assert phases == [
        "scouting learning rates",
        "tuning 1/2",
        "tuning 2/2",
        "judging on fresh seeds",
        "checking the transfer",
        "done",
    ]
    assert all("%" in line and "runs" in line for line in lines[:-1])
    assert f"loss {windtunnel_loss(result)} on the search's seeds" in lines[2]
    assert lines[-1] == f"done, best loss {result.verdict}"
    assert f"best loss {result.verdict}" in str(result) and "coordinate check: " in str(result)


def windtunnel_loss(result) -> str:
    """Loss of the outer step before the last, as the line of the last step tells it."""
    step = result.steps()[1]
    return windtunnel.types.verdicts.estimate(step.loss, step.stderr)
