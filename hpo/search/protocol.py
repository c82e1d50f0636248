"""The protocol between a study and its search, and the context that every search works with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from hpo.estimators.protocol import Estimator
from hpo.search.account import Account
from hpo.search.readings import Readings
from hpo.seeding import Purpose
from hpo.training.evaluation import SeedPath
from hpo.training.problem import InnerProblem
from hpo.training.space import Space
from windtunnel.types import JobSpec, OuterStep

if TYPE_CHECKING:
    from hpo.best_response.run import Answer


@dataclass(frozen=True)
class SearchContext:
    """A job as its search sees it: spec, inner problem, estimator and account."""

    spec: JobSpec
    problem: InnerProblem
    build: Callable[[JobSpec], InnerProblem]
    """The inner problem of a changed spec, on the same data and in the same precision."""
    estimator: Estimator
    population: int
    """Members that plain runs train as one computation, at most."""
    account: Account

    @property
    def space(self) -> Space:
        """The search space."""
        return self.problem.space

    def seeds(self, purpose: Purpose, outer_step: int, count: int) -> list[SeedPath]:
        """Seed paths of the runs of one outer step."""
        return [(self.spec.seed, purpose, outer_step, index) for index in range(count)]

    def shorter(self, steps: int) -> InnerProblem:
        """The inner problem with fewer inner steps; the whole schedule is squeezed into them."""
        return self.build(self.spec.model_copy(update={"inner": self.spec.inner.model_copy(update={"steps": steps})}))


SearchState = tuple[dict[str, Tensor], dict[str, Any]]
"""(tensors by name, JSON values by name): everything that a search needs to continue."""


class Search(Protocol):
    """Moves through the search space, one outer step at a time."""

    readings: Readings

    @property
    def start(self) -> Tensor:
        """The point at which outer step 1 begins, [k]; known after ``begin``."""
        ...

    def begin(self) -> OuterStep:
        """Outer step 0: chooses the start and judges it."""
        ...

    def advance(self, outer_step: int) -> OuterStep:
        """Does one outer step and reports it."""
        ...

    def candidates(self) -> Tensor:
        """Points for the final judgement, the start first, [n, k]; each point once.

        If the search has an ``answer``, its last values are among them.
        """
        ...

    def answer(self) -> "Answer | None":
        """The last best-response run; None if the search trained none."""
        ...

    def state(self) -> SearchState:
        """Everything that decides the next outer steps."""
        ...

    def load(self, state: SearchState) -> None:
        """Continues from a saved state."""
        ...
