"""The result of a finished job, with its plans and figures."""
# Written by tools/sync_client.py from _async/result.py: change that one.

from typing import TYPE_CHECKING, Any, Self

import httpx
from pydantic import PrivateAttr

from windtunnel.client._answers import parse
from windtunnel.client._errors import InvalidRequest
from windtunnel.client._events import outer_step, read_events
from windtunnel.client._laws import Laws
from windtunnel.client._plan import Plan, create_plan
from windtunnel.client._plots import FROM_STEPS, NO_GRID, Plot, draw
from windtunnel.client._transport import Transport
from windtunnel.client._views import ResultView
from windtunnel.types import OuterStep
from windtunnel.types.laws import LawFit, LawName

if TYPE_CHECKING:
    import plotly.graph_objects as go


class Result(ResultView):
    """A tuning result that can plan and plot; it has all fields of ``TuneResult``."""

    _transport: Transport | None = PrivateAttr(None)
    _job_id: str = PrivateAttr("")

    @classmethod
    def received(cls, transport: Transport, job_id: str, response: httpx.Response) -> Self:
        """The result that an answer of the server holds."""
        result = parse(cls, response)
        result._transport = transport
        result._job_id = job_id
        return result

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
        """The config of a large model, with the arguments and errors of a job's ``plan``."""
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
        found = [outer_step(event) for event in read_events(self._connection(), self._job_id)]
        return [step for step in found if step is not None]

    def keep_fit(self, name: str = "", **options: Any) -> LawFit:
        """Store the laws of the job's grid as a fit on the server; plans and allocations take the fit by its id.

        ::

            fit = result.keep_fit("digits")
            plan = result.plan(width=1024, law_fit=fit.id)

        Args:
            name: name of the fit, for people.
            **options: the options of ``client.laws.fit``.

        Raises:
            InvalidRequest: the job has no grid.
            LawRefused: the grid does not determine any law, or one that was asked for.
        """
        if self.scaling is None:
            raise InvalidRequest(NO_GRID)
        return Laws(self._connection()).fit(jobs=[self._job_id], name=name, **options)

    def plot(self, which: Plot = "tuning", *, law: LawName | None = None) -> "go.Figure":
        """A plotly figure: ``tuning`` shows losses and hyperparameters before and after; the others are on the job's page.

        Args:
            which: name of the figure.
            law: fitted law to draw with ``scaling``; by default the one that uses most columns of a run.

        Raises:
            InvalidRequest: no figure has this name, or the job did not measure what it shows.
        """
        return draw(self, which, self.steps() if which in FROM_STEPS else [], law)

    def _connection(self) -> Transport:
        if self._transport is None:
            raise InvalidRequest("this result did not come from a client; use client.jobs.get(JOB_ID).result()")
        return self._transport
