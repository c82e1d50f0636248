"""Sentences for the events of a job's log."""

from windtunnel.types import JobEvent, OuterStep
from windtunnel.types.jobs import out_of
from windtunnel.types.verdicts import estimate, number

PLAIN = {
    "queued": "waits for a worker",
    "finishing": "judges the last candidates on fresh seeds",
    "cancel_requested": "somebody asked for the job to stop",
    "pause_requested": "somebody asked for the job to pause",
    "paused": "waits until it is resumed",
    "resumed": "may go on",
}
"""Type of an event without data of interest -> its sentence."""


def sentence(event: JobEvent) -> str:
    """The event in words; name and value of its data where the type has no words of its own."""
    data = event.data
    match event.type:
        case "queued" | "cancel_requested" | "pause_requested" | "paused" | "resumed" | "finishing":
            text = PLAIN[event.type]
        case "started":
            resumed = data.get("resumed_from")
            text = f"claim {data.get('epoch')} by {data.get('worker')}"
            text += f", goes on from outer step {resumed}" if resumed is not None else ""
        case "outer_step":
            text = _outer_step(OuterStep.model_validate(data))
        case "plan_created":
            text = f"transfer plan {data.get('plan_id', '')}".rstrip()
        case "requeued" | "population_reduced":
            text = str(data["reason"])
        case "failed" | "plan_refused":
            text = ". ".join(str(data[part]) for part in ("message", "hint") if data.get(part))
        case "crashed":
            text = str(data["failure"]["message"])
        case "succeeded":
            judged = {part: estimate(data[part]["mean"], data[part]["stderr"]) for part in ("validation", "test")}
            text = f"best loss {judged['validation']} on fresh seeds, test loss {judged['test']}"
        case _:
            text = ", ".join(f"{name} {value}" for name, value in data.items() if value is not None)
    return text


def _outer_step(step: OuterStep) -> str:
    text = f"step {out_of(step.outer_step, step.outer_steps, ' of ')}: loss {estimate(step.loss, step.stderr)}"
    if step.rolled_back:
        text += ", rolled back"
    elif step.outer_step and not step.moved:
        text += ", stayed"
    elif step.moved and step.step_length:
        text += f", moved by {number(step.step_length, 2)}"
    if step.arm == "response":
        text += ", best response"
    if step.dropped_members:
        text += f", {step.dropped_members} diverged"
    if step.ended_early:
        text += f", {step.ended_early} candidate{'' if step.ended_early == 1 else 's'} ended early"
    if step.starts is not None:
        text += f"; {'1 start lives' if step.starts == 1 else f'{step.starts} starts live'}, start {step.leader} leads"
        text += f"; {step.reason}" if step.reason else ""
    return f"{text}; {number(step.run_equivalents, 3)} runs spent"
