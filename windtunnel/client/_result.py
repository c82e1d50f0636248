"""Result: what a finished job found."""

from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import httpx
from pydantic import PrivateAttr

from windtunnel.client._errors import InvalidRequest
from windtunnel.client._events import outer_step, read_events
from windtunnel.client._laws import Laws
from windtunnel.client._plan import Plan, create_plan
from windtunnel.client._progress import standard_error
from windtunnel.client._transport import Transport
from windtunnel.types import LossEstimate, OuterStep, TuneResult
from windtunnel.types.laws import LawFit, LawName, LawResult

if TYPE_CHECKING:
    import plotly.graph_objects as go

Plot = Literal[
    "tuning",
    "loss",
    "hyperparameters",
    "gradients",
    "schedule",
    "scout",
    "coordinate_check",
    "ladder",
    "scaling",
    "regularisers",
    "response",
]


NO_GRID = "this job ran no grid of sizes and lengths; transfer.scaling in its spec asks for one"


class Result(TuneResult):
    """A tuning result that can plan and plot. All fields of ``TuneResult`` are there."""

    _transport: Transport | None = PrivateAttr(None)
    _job_id: str = PrivateAttr("")

    @classmethod
    def received(cls, transport: Transport, job_id: str, response: httpx.Response) -> Self:
        """The result in an answer of the server."""
        result = transport.parse(cls, response)
        result._transport = transport
        result._job_id = job_id
        return result

    @property
    def hyperparameters(self) -> dict[str, float]:
        """The tuned values of the proxy, by label such as ``learning_rate.hidden``."""
        return self.best.hyperparameters

    def plan(
        self,
        *,
        width: int,
        depth: int | None = None,
        steps: int | None = None,
        batch_size: int | None = None,
        examples: int | None = None,
        law_fit: str | None = None,
        force: bool = False,
    ) -> Plan:
        """The config of a large model; see ``Job.plan``."""
        size = {
            "width": width,
            "depth": depth,
            "steps": steps,
            "batch_size": batch_size,
            "examples": examples,
            "law_fit": law_fit,
        }
        return create_plan(self._connection(), self._job_id, size, force=force)

    def steps(self) -> list[OuterStep]:
        """Every outer step of the job."""
        events = read_events(self._connection(), self._job_id)
        return [step for step in map(outer_step, events) if step is not None]

    def keep_fit(self, name: str = "", **options: Any) -> LawFit:
        """Keep the laws of the job's grid as a fit of the server, which plans and allocations take by its id.

        ::

            fit = result.keep_fit("digits")
            plan = result.plan(width=1024, law_fit=fit.id)

        Args:
            name: for people.
            **options: as of ``client.laws.fit``.

        Raises:
            InvalidRequest: the job has no grid.
            LawRefused: the grid cannot answer for any law, or for one that was asked for.
        """
        if self.scaling is None:
            raise InvalidRequest(NO_GRID)
        return Laws(self._connection()).fit(jobs=[self._job_id], name=name, **options)

    def plot(self, which: Plot = "tuning", *, law: LawName | None = None) -> "go.Figure":  # noqa: PLR0912 - one a figure
        """A plotly figure: ``tuning`` shows losses and hyperparameters before and after; the others are the job page's.

        Args:
            which: the figure.
            law: with ``scaling``, which fitted law; by default the one that knows most of a run.

        Raises:
            InvalidRequest: no figure has this name, or the job has nothing of the kind to show.
        """
        # Plotly takes most of a second to import.
        from windtunnel import figures

        match which:
            case "tuning":
                figure = figures.tuning(self)
            case "loss":
                figure = figures.loss(self.steps())
            case "hyperparameters":
                roles = {tensor.name: tensor.role for tensor in self.proxy.tensors}
                figure = figures.hyperparameters(self.steps(), roles=roles)
            case "gradients":
                figure = figures.gradients(self.steps())
            case "schedule":
                figure = figures.schedule(self.schedule)
            case "scout":
                start = self.steps()[0]
                if start.sweep is None:
                    raise InvalidRequest(
                        "this job had no scout, so there is no sweep to plot: outer.scout is false or the search has no "
                        "learning_rate"
                    )
                figure = figures.scout(start)
            case "coordinate_check":
                if self.coordinate_check is None:
                    raise InvalidRequest("the standard parametrization has no coordinate check to plot")
                figure = figures.coordinate_check(self.coordinate_check)
            case "ladder":
                if self.ladder is None:
                    raise InvalidRequest("this job climbed no ladder of widths; transfer.ladder in its spec asks for one")
                figure = figures.ladder(self.ladder)
            case "scaling":
                figure = figures.law(self._law(law))
            case "regularisers" | "response":
                if self.best_response is None:
                    raise InvalidRequest(
                        "this job trained no best response; method.estimator 'delta_stn' does, or method.best_response "
                        "beside another estimator"
                    )
                draw = figures.regularisers if which == "regularisers" else figures.response
                figure = draw(self.best_response)
            case _:
                raise InvalidRequest(f"no figure {which!r}; allowed: {', '.join(get_args(Plot))}")
        return figure

    def _law(self, name: LawName | None) -> LawResult:
        if self.scaling is None:
            raise InvalidRequest(NO_GRID)
        found = self.scaling.best_informed if name is None else self.scaling.law(name)
        if found is None:
            fitted = ", ".join(law.law for law in self.scaling.laws) or "none"
            why = "; ".join(each.message for each in self.scaling.refusals if name in (None, each.law))
            raise InvalidRequest(f"the grid of this job has no law {name or 'of the loss'}: {why}; fitted: {fitted}")
        return found

    def _connection(self) -> Transport:
        if self._transport is None:
            raise InvalidRequest("this result did not come from a client; use client.jobs.get(JOB_ID).result()")
        return self._transport

    def __repr__(self) -> str:
        model = self.spec.model
        lines = [
            f"<Result {self.spec.task}, {model.family} of width {model.width} and depth {model.depth}, "
            f"{self.spec.optimizer.name}, {self.cost.run_equivalents:.1f} run-equivalents",
            f"  validation loss {_loss(self.start.validation)} -> {_loss(self.best.validation)}",
            f"  test loss       {_loss(self.start.test)} -> {_loss(self.best.test)}",
        ]
        start = self.start.hyperparameters
        width = max(map(len, self.hyperparameters), default=0)
        for label, value in self.hyperparameters.items():
            before = f"{start[label]:.4g} -> " if label in start else ""
            lines.append(f"  {label:<{width}}  {before}{value:.4g}")
        if self.best_response is not None and (compared := self.best_response.comparison) is not None:
            gain = standard_error(compared.gain_test.mean, compared.gain_test.stderr)
            lines.append(f"  schedule replayed: test loss lower by {gain} than with its last values held")
        if self.scaling is not None:
            lines.append(f"  scaling laws: {self.scaling.sentence}")
        if self.early_stopping is not None:
            lines.append(f"  early stopping: {self.early_stopping.sentence}")
        if self.certificate is not None:
            lines.append(f"  certificate: {self.certificate.sentence}")
        return "\n".join(lines) + ">"

    __str__ = __repr__


def _loss(estimate: LossEstimate) -> str:
    return standard_error(estimate.mean, estimate.stderr)
