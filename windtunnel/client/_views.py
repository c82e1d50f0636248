"""Properties and text of a job, a plan and a result that need no request."""

from typing import Any

from windtunnel.markup import cell, facts, table
from windtunnel.report import role_table
from windtunnel.types import (
    TERMINAL_STATES,
    BestPoint,
    CurrentPoint,
    Failure,
    Job,
    JobSpec,
    JobState,
    Progress,
    RoleRow,
    TransferPlan,
    TuneResult,
)
from windtunnel.types.jobs import out_of
from windtunnel.types.verdicts import estimate


class JobView:
    """One job as it was when last looked at.

    Attributes:
        wire: everything the API says about the job.
    """

    wire: Job

    @property
    def id(self) -> str:
        """Id of the job, such as ``job_01K9ZQ...``."""
        return self.wire.id

    @property
    def name(self) -> str:
        """Name of the job, as its spec gave it or as it was renamed; may be empty."""
        return self.wire.name

    @property
    def tags(self) -> tuple[str, ...]:
        """Tags of the job, in order of the alphabet."""
        return self.wire.tags

    @property
    def notes(self) -> str:
        """Notes on the job; may be empty."""
        return self.wire.notes

    @property
    def state(self) -> JobState:
        """State of the job: queued, running, paused, succeeded, failed or cancelled."""
        return self.wire.state

    @property
    def finished(self) -> bool:
        """True once the state can no longer change."""
        return self.wire.state in TERMINAL_STATES

    @property
    def spec(self) -> JobSpec:
        """Spec of the job, with its defaults filled in."""
        return self.wire.spec

    @property
    def progress(self) -> Progress:
        """Progress of the job: phase, outer steps done, share done."""
        return self.wire.progress

    @property
    def current(self) -> CurrentPoint | None:
        """Hyperparameters and loss of the last outer step; None before the first."""
        return self.wire.current

    @property
    def best(self) -> BestPoint | None:
        """Hyperparameters and loss of the best point; None before the first outer step.

        Once the job has succeeded, the loss is the one on fresh seeds, as in its result; before, the one that the search
        saw. ``best.judged_on`` says which.
        """
        return self.wire.best

    @property
    def verdict(self) -> str:
        """Words on the best loss: the seeds that judged it, and whether it is lower than at the start beyond noise."""
        return self.wire.verdict

    @property
    def failure(self) -> Failure | None:
        """Reason why the job failed, and what to try; None if it did not fail."""
        return self.wire.failure

    @property
    def plans(self) -> list[str]:
        """Ids of the transfer plans made from this job, oldest first."""
        return self.wire.plans

    def __repr__(self) -> str:
        wire = self.wire
        parts: list[Any] = [wire.id, repr(wire.name) if wire.name else wire.spec.task, wire.state]
        if not self.finished:
            parts.append(f"step {out_of(wire.progress.outer_step, wire.progress.outer_steps)}")
        if wire.best is not None:
            parts.append(f"best loss {wire.best_loss} ({wire.verdict})")
        return f"<Job {' '.join(parts)}>"

    def _repr_html_(self) -> str:
        """The job as a notebook shows it."""
        wire = self.wire
        pairs: list[tuple[str, object]] = [
            ("job", wire.id),
            ("name", wire.name or None),
            ("task", wire.task_title or wire.spec.task),
            ("state", wire.state),
            ("outer step", out_of(wire.progress.outer_step, wire.progress.outer_steps, " of ")),
            ("cost", f"{wire.progress.run_equivalents:.4g} runs"),
            ("best loss", f"{wire.best_loss} {wire.verdict}" if wire.best else None),
            ("failure", wire.failure.message if wire.failure else None),
            ("plans", ", ".join(wire.plans) or None),
        ]
        return facts([(name, value) for name, value in pairs if value is not None])


class PlanView(TransferPlan):
    """A transfer plan that prints itself as a table of roles."""

    @property
    def rows(self) -> list[RoleRow]:
        """One row for each role: values in the proxy and in the target, and the formulas between them."""
        return self.roles

    def __repr__(self) -> str:
        rows = "\n".join(
            f"  {row.role:<6} learning rate {_value(row.learning_rate)}, weight decay {_value(row.weight_decay)}"
            for row in self.roles
        )
        forced = ", forced" if self.forced else ""
        check = "none" if self.coordinate_check is None else self.coordinate_check.verdict
        return (
            f"<Plan {self.id}: {self.task}, {self.parametrization}, width {self.model.width} -> {self.width}, "
            f"depth {self.model.depth} -> {self.depth}, {self.steps} steps, coordinate check {check}{forced}\n{rows}>"
        )

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """The plan as a notebook shows it."""
        check = "none" if self.coordinate_check is None else self.coordinate_check.verdict
        pairs: list[tuple[str, object]] = [
            ("plan", self.id + (" (forced)" if self.forced else "")),
            ("width", f"{self.model.width} -> {self.width}"),
            ("depth", f"{self.model.depth} -> {self.depth}"),
            ("steps", f"{self.steps:,} of batch {self.batch_size}"),
            ("coordinate check", check),
        ]
        return facts(pairs) + role_table(self)


class ResultView(TuneResult):
    """A tuning result that prints itself as a summary."""

    @property
    def hyperparameters(self) -> dict[str, float]:
        """Tuned values of the proxy, by label such as ``learning_rate.hidden``."""
        return self.best.hyperparameters

    def _repr_html_(self) -> str:
        """The result as a notebook shows it."""
        start = self.start.hyperparameters
        losses = [
            (name, estimate(each.validation.mean, each.validation.stderr), estimate(each.test.mean, each.test.stderr))
            for name, each in (("start", self.start), ("tuned", self.best))
        ]
        values = [(label, start.get(label), value) for label, value in self.hyperparameters.items()]
        return (
            f"<p><strong>{cell(self.gained.headline)}</strong></p>"
            + table(("", "validation loss", "test loss"), losses)
            + table(("", "start", "found"), values)
        )

    def __repr__(self) -> str:
        model = self.spec.model
        lines = [
            f"<Result {self.spec.task}, {model.family} of width {model.width} and depth {model.depth}, "
            f"{self.spec.optimizer.name}, {self.cost.run_equivalents:.1f} run-equivalents",
            f"  best loss {self.verdict}",
            f"  test loss {self.best.test.words}, {self.start.test.words} at the start",
        ]
        start = self.start.hyperparameters
        width = max(map(len, self.hyperparameters), default=0)
        for label, value in self.hyperparameters.items():
            before = f"{start[label]:.4g} -> " if label in start else ""
            lines.append(f"  {label:<{width}}  {before}{value:.4g}")
        if self.best_response is not None and (compared := self.best_response.comparison) is not None:
            gain = estimate(compared.gain_test.mean, compared.gain_test.stderr)
            lines.append(f"  schedule replayed: test loss lower by {gain} than with its last values held")
        if self.scaling is not None:
            lines.append(f"  scaling laws: {self.scaling.sentence}")
        if self.early_stopping is not None:
            lines.append(f"  early stopping: {self.early_stopping.sentence}")
        if self.certificate is not None:
            lines.append(f"  certificate: {self.certificate.sentence}")
        if self.coordinate_check is not None:
            lines.append(f"  coordinate check: {self.coordinate_check.sentence}")
        return "\n".join(lines) + ">"

    __str__ = __repr__


def _value(value: float | None) -> str:
    return "by tensor" if value is None else f"{value:.4g}"
