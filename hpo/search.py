"""What a study asks of a search, whichever it is."""

from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from hpo.readings import Readings
from windtunnel.types import OuterStep

if TYPE_CHECKING:
    from hpo.best_response.answer import Answer

State = tuple[dict[str, Tensor], dict[str, Any]]
"""Tensors, and what JSON can say: all that a search needs to go on."""


class Search(Protocol):
    """Moves through the search space, one outer step at a time."""

    readings: Readings

    @property
    def start(self) -> Tensor:
        """Where outer step 1 begins, [k]; known after ``begin``."""
        ...

    def begin(self) -> OuterStep:
        """Outer step 0: choose the start and judge it."""
        ...

    def advance(self, outer_step: int) -> OuterStep:
        """One outer step."""
        ...

    def candidates(self) -> Tensor:
        """Points for the final judgement, the start first, [n, k]; no doubles.

        Where there is an ``answer``, its last values are among them.
        """
        ...

    def answer(self) -> "Answer | None":
        """What a best response learned; None where none was trained."""
        ...

    def state(self) -> State:
        """Everything that decides what comes next."""
        ...

    def load(self, state: State) -> None:
        """Go on from a state."""
        ...
