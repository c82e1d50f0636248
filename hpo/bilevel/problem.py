"""Bilevel problem as a user states it: plain functions of (parameters, outer, batch), an optimizer, a number of steps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from hpo.errors import InvalidProblem

Named = Mapping[str, Tensor]
"""Name -> tensor."""
LossFunction = Callable[[Named, Named, Any], Tensor]
"""(parameters, outer, batch) -> loss, a tensor with one number."""
Split = tuple[Callable[[Named, Named, Any], Tensor], Callable[[Tensor, Named, Any], Tensor]]
"""(model, fit): (parameters, outer, batch) -> outputs, and (outputs, outer, batch) -> loss."""
Start = Named | Callable[[Named, int], Named]
"""Initial parameters, or (outer, seed) -> initial parameters."""


@dataclass(frozen=True)
class Bilevel:
    """minimise outer_loss(w_T, outer) over ``outer``, where w_T is the end of ``steps`` updates on inner_loss.

    All functions are plain, as in ``torch.func``: they take dictionaries of tensors, return a tensor, keep nothing, and
    give the same value at the same arguments, because runs are replayed. Random numbers come from the seed of a run.

    ```python
    problem = windtunnel.Bilevel(
        inner_loss=lambda w, outer, batch: (torch.sigmoid(outer["weights"])[batch["index"]] * losses(w, batch)).mean(),
        outer_loss=lambda w, outer, batch: losses(w, batch).mean(),
        init={"weight": torch.zeros(10, 64)},
        optimizer={"name": "sgd", "learning_rate": lambda outer: outer["log_rate"].exp()},
        steps=100, batches=draw, outer_batches=validation,
    )
    ```

    Args:
        inner_loss: (parameters, outer, batch) -> training loss. A pair (model, fit) with outputs = model(parameters, outer,
            batch) and loss = fit(outputs, outer, batch) says the same, and lets ``adjoint="gauss_newton"`` work.
        outer_loss: (parameters, outer, batch) -> the loss that judges the run.
        init: initial parameters, or a function (outer, seed) of them.
        optimizer: ``name`` of an optimizer and its settings: ``learning_rate``, ``weight_decay``, ``decay``, ``clip_norm``,
            ``momentum``, ``beta1``, ... Each is a number, a tensor [] or [steps], a function of ``outer`` that gives one,
            or a dictionary of these by the name of the parameter. An update rule of one's own is ``update``, a function
            (parameters, gradient, memory, settings, step) -> (parameters, memory) of flat tensors, elementwise, and
            ``memory``, the number of tensors that it remembers, 0 at first; all other entries are its settings.
        steps: number of updates T.
        batches: function (step, seed) -> batch, any nest of tensors; or one batch for all steps. ``implicit`` takes batch
            number T for its linear system.
        outer_batches: the same for the outer loss: batch number T judges the run, ``greedy`` takes one at each step.
        together: most runs of a population trained as one computation. They go through ``torch.vmap``; with 1 each is
            called by itself, and the functions may branch on values.

    Raises:
        InvalidProblem: something is no function, or a number is out of range.
    """

    inner_loss: LossFunction | Split
    outer_loss: LossFunction
    init: Start
    optimizer: Mapping[str, Any] = field(kw_only=True)
    steps: int = field(kw_only=True)
    batches: Any = field(default=None, kw_only=True)
    outer_batches: Any = field(default=None, kw_only=True)
    together: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        functions: dict[str, object] = {"inner_loss": self.inner_loss, "outer_loss": self.outer_loss}
        if isinstance(self.inner_loss, tuple):
            if len(self.inner_loss) != 2:
                raise InvalidProblem(
                    f"inner_loss has {len(self.inner_loss)} parts; give a function, or a pair (model, fit)"
                )
            functions = {"inner_loss[0]": self.inner_loss[0], "inner_loss[1]": self.inner_loss[1], **functions}
            del functions["inner_loss"]
        for name, function in functions.items():
            if not callable(function):
                raise InvalidProblem(f"{name} is {type(function).__name__}; give a function of (parameters, outer, batch)")
        if not callable(self.init) and not (isinstance(self.init, Mapping) and self.init):
            raise InvalidProblem(
                f"init is {type(self.init).__name__}; give a dictionary of tensors, or a function (outer, seed) of them"
            )
        if not isinstance(self.optimizer, Mapping):
            raise InvalidProblem(
                f"optimizer is {type(self.optimizer).__name__}; give its name and settings: "
                '{"name": "adam", "learning_rate": 0.01}'
            )
        for name, least in (("steps", self.steps), ("together", self.together)):
            if least is not None and (isinstance(least, bool) or not isinstance(least, int) or least < 1):
                raise InvalidProblem(f"{name} is {least!r}; give a whole number from 1")

    @property
    def losses(self) -> tuple[LossFunction, Split | None]:
        """(training loss, its two parts); None in place of the parts where the loss was given as one function."""
        if not isinstance(self.inner_loss, tuple):
            return self.inner_loss, None
        model, fit = self.inner_loss

        def whole(parameters: Named, outer: Named, batch: Any) -> Tensor:
            return fit(model(parameters, outer, batch), outer, batch)

        return whole, (model, fit)
