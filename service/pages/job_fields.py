"""The fields of the forms on a job's page: differences of another job from this one, a plan's model, labels."""

from collections.abc import Mapping

from service.pages.forms import Field, Form
from windtunnel.types import Job, Problem


def fork_form(job: Job, typed: Mapping[str, str] | None = None, problem: Problem | None = None) -> Form:
    """Form of a fork: the fields that may differ from the parent, which at first hold its values."""
    spec = job.spec
    fields = (
        Field("name", "Name", "/overrides/name", spec.name),
        Field("width", "Width", "/overrides/model/width", spec.model.width, 1),
        Field("depth", "Depth", "/overrides/model/depth", spec.model.depth, 1),
        Field("steps", "Inner steps", "/overrides/inner/steps", spec.inner.steps, 2),
        Field("batch_size", "Batch size", "/overrides/inner/batch_size", spec.inner.batch_size, 1),
        Field("outer_steps", "Outer steps", "/overrides/outer/steps", spec.outer.steps, 1),
        Field("seed", "Seed", "/overrides/seed", spec.seed, 0),
    )
    return Form("fork", fields, typed or {}, problem)


def labels_form(job: Job, typed: Mapping[str, str] | None = None, problem: Problem | None = None) -> Form:
    """Form of a job's name, tags and notes, with what they are at first. What was typed holds, empty fields included."""
    fields = (
        Field("name", "What it is called", "/name", job.name if typed is None else typed.get("name", "")),
        Field("tags", "Tags", "/tags", " ".join(job.tags) if typed is None else typed.get("tags", "")),
        Field("notes", "Notes", "/notes", job.notes if typed is None else typed.get("notes", "")),
    )
    return Form("labels", fields, typed or {}, problem)


def plan_form(job: Job, typed: Mapping[str, str] | None = None, problem: Problem | None = None) -> Form:
    """Form of a plan: the size of the large model; at first the job's target."""
    model, inner, target = job.spec.model, job.spec.inner, job.spec.target
    fields = (
        Field("width", "Width", "/width", target.width if target else 16 * model.width, model.width),
        Field("depth", "Depth", "/depth", (target and target.depth) or model.depth, model.depth),
        Field("steps", "Steps", "/steps", (target and target.steps) or inner.steps, 2),
        Field("batch_size", "Batch size", "/batch_size", (target and target.batch_size) or inner.batch_size, 1),
    )
    return Form("plan", fields, typed or {}, problem)
