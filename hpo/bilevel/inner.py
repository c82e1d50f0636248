"""Bilevel problem as the engine's inner problem: outer variables are its coordinates, plain functions its losses."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from hpo.bilevel.problem import Bilevel, Named
from hpo.bilevel.settings import Settings
from hpo.bilevel.variables import Variables
from hpo.errors import InvalidProblem
from hpo.layout import Layout
from hpo.noise import Step
from hpo.optimizers.rule import OptimizerState
from hpo.seeding import number_of
from hpo.training.coefficients import Coefficients, Tables
from hpo.training.problem import Batch, Draw, InnerProblem, groups
from hpo.training.space import Space
from windtunnel.types import TensorFacts

IN_LOSS, IN_INIT = "outer.", "init."
"""Beginnings of the names of the tables that hold outer variables for the losses and for the initial parameters."""


class Holder(nn.Module):
    """A module with parameters and no forward pass."""


class Coordinates(Space):
    """Space of k coordinates without names, bounds or bijections: the entries of the outer variables."""

    def __init__(self, count: int) -> None:
        self.hyperparameters = ()
        self._count = count

    def __len__(self) -> int:
        return self._count


@dataclass(frozen=True)
class Content:
    """Batch of a population: a nest of tensors, one for all members or each with an axis of members in front."""

    value: Any
    shared: bool

    def of(self, members: slice) -> "Content":
        """The batch of some members."""
        return self if self.shared else Content(pytree.tree_map(lambda part: part[members], self.value), shared=False)


class PlainProblem(InnerProblem):
    """Inner problem of a ``Bilevel``.

    Args:
        problem: the problem as it was stated.
        variables: names and shapes of the outer variables.
        outer: values of the outer variables, at which the parameters are looked at.
        seed: seed of the run that is looked at.
        dtype: dtype of the run; None: that of the initial parameters.

    Raises:
        InvalidProblem: the initial parameters are no dictionary of floating-point tensors.
    """

    ceiling = math.inf

    def __init__(
        self, problem: Bilevel, variables: Variables, outer: Named, seed: int, dtype: torch.dtype | None = None
    ) -> None:
        self.stated, self.variables = problem, variables
        self._loss, self._parts = problem.losses
        started = self.started({name: value.detach() for name, value in outer.items()}, seed)
        first = next(iter(started.values()))
        self.dtype, self.device = dtype or first.dtype, first.device
        self.names = list(started)
        self.layout = Layout([_facts(index, name, part) for index, (name, part) in enumerate(started.items())])
        self.steps, self.batch_size, self.together, self.tapes = problem.steps, 1, problem.together, 0
        self.settings = Settings.read(problem.optimizer, problem.steps, self.names)
        self.optimizer, self.rule = self.settings.info, self.settings.rule
        self.space = Coordinates(variables.size)
        self._constant = None if callable(problem.init) else {name: part.to(self.dtype) for name, part in started.items()}
        self._needs_curvature = False

    def started(self, outer: Named, seed: int) -> Named:
        """Initial parameters of a run, differentiable in the outer variables.

        Raises:
            InvalidProblem: they are no dictionary of floating-point tensors.
        """
        init = self.stated.init
        found = init(outer, seed) if callable(init) else init
        if not isinstance(found, Mapping) or not found:
            raise InvalidProblem(f"init gives {type(found).__name__}; it must give a dictionary of tensors")
        for name, part in found.items():
            if not isinstance(part, Tensor) or not part.is_floating_point():
                kind = part.dtype if isinstance(part, Tensor) else type(part).__name__
                raise InvalidProblem(f"init {name!r} is {kind}; parameters are floating-point tensors")
        return found

    def pad(self) -> None:
        """Give the training loss a curvature of 0 in every parameter: for losses linear in one, or without one."""
        self._needs_curvature = True

    def build_module(self) -> nn.Module:  # type: ignore[override]
        """A module that holds the parameters, for estimators that need one."""
        module = Holder()
        for name, shape in zip(self.layout.names, self.layout.shapes, strict=True):
            module.register_parameter(name, nn.Parameter(torch.zeros(shape, dtype=self.dtype)))
        return module

    def draw(self, seeds: Sequence[tuple[int, ...]]) -> Draw:
        """Random numbers of one member for each seed path: its number is what the user's functions are given."""
        return self.draw_of([number_of(seed) % 2**31 for seed in seeds])

    def draw_of(self, seeds: Sequence[int]) -> Draw:
        """Random numbers of one member for each seed."""
        nothing = torch.zeros(len(seeds), 0)
        return Draw(nothing, nothing, tuple(seeds), torch.tensor(seeds, dtype=torch.int64))

    def coefficients(self, points: Tensor) -> Coefficients:
        """Tables of a population at points [members, k]: outer variables as they are, and the optimizer's settings."""
        outer = self.variables.split(points.to(self.dtype))
        loss = {IN_LOSS + name: part for name, part in outer.items()}
        initial = (
            {IN_INIT + name: part for name, part in outer.items()}
            if callable(self.stated.init)
            else {IN_INIT: points[:, :0]}
        )
        like = points.new_zeros((), dtype=self.dtype)
        rows = [
            self.settings.tables({name: part[member] for name, part in outer.items()}, like)
            for member in range(len(points))
        ]
        updates, schedules = zip(*rows, strict=True)
        update = {name: torch.stack([row[name] for row in updates]) for name in updates[0]}
        scheduled = {name: torch.stack([row[name] for row in schedules], dim=1) for name in schedules[0]}
        return Coefficients(initial, loss, update, scheduled)

    def loss_tables(self, points: Tensor) -> dict[str, Tensor]:
        """Tables of the losses at points [members, k]."""
        return {IN_LOSS + name: part for name, part in self.variables.split(points.to(self.dtype)).items()}

    def initial(self, draw: Draw, table: Coefficients) -> OptimizerState:
        """State before the first update; differentiable in the outer variables that ``init`` uses."""
        members = len(draw.streams)
        if self._constant is not None:
            flat = torch.cat([part.detach().reshape(-1) for part in self._constant.values()])
            return self.rule.init(flat.expand(members, -1).clone())
        rows = []
        for member, seed in enumerate(draw.streams):
            found = self.started(_without(IN_INIT, table.initial, member), seed)
            if [*found] != self.names or [tuple(part.shape) for part in found.values()] != self.layout.shapes:
                raise InvalidProblem("init gives other names or shapes at another seed; they must stay the same")
            rows.append(torch.cat([part.to(self.dtype).reshape(-1) for part in found.values()]))
        return self.rule.init(torch.stack(rows))

    def batch(self, draw: Draw, step: Step) -> Batch:
        """Batch of every member at a step."""
        return self._batch(self._content(self.stated.batches, draw, int(step)), len(draw.streams))

    def spread_batch(self, draw: Draw, examples: int) -> Batch:  # noqa: ARG002
        """Batch number T, the one after the last update: the linear system of ``implicit`` is made of it."""
        return self.batch(draw, self.stated.steps)

    def _batch(self, content: Content, members: int) -> Batch:
        # The engine hands inputs on as they are, and reads of labels their number alone.
        return Batch(cast(Tensor, content), torch.zeros(members, 1))

    def _content(self, given: Any, draw: Draw, step: int) -> Content:
        if not callable(given):
            return Content(self._cast(given), shared=True)
        each = [self._cast(given(step, seed)) for seed in draw.streams]
        if len(each) == 1:
            return Content(pytree.tree_map(lambda part: part[None], each[0]), shared=False)
        try:
            return Content(pytree.tree_map(lambda *parts: torch.stack(parts), *each), shared=False)
        except (RuntimeError, ValueError) as error:
            raise InvalidProblem(
                f"the batches of step {step} differ in shape between seeds: {error}; give equal shapes, or together=1"
            ) from error

    def _cast(self, batch: Any) -> Any:
        def cast_part(part: Any) -> Tensor:
            try:
                tensor = torch.as_tensor(part, dtype=self.dtype if isinstance(part, float) else None)
            except (TypeError, ValueError, RuntimeError) as error:
                raise InvalidProblem(
                    f"a batch holds {type(part).__name__}; it may hold tensors, arrays and numbers"
                ) from error
            return tensor.to(self.dtype) if tensor.is_floating_point() else tensor

        return None if batch is None else pytree.tree_map(cast_part, batch)

    def training_loss(self, tensors: Sequence[Tensor], loss: Tables, batch: Batch) -> Tensor:
        """Training loss of each member on its own batch, [members]."""
        found = self._each(self._loss, "inner_loss", tensors, loss, cast(Content, batch.inputs))
        if self._needs_curvature:
            found = found + sum((part.flatten(1).square().sum(dim=1) * 0 for part in tensors), found.new_zeros(()))
        return found

    def outputs(
        self,
        tensors: Sequence[Tensor],
        loss: Tables,
        inputs: Tensor,
        noise: Mapping[str, Tensor] | None = None,  # noqa: ARG002
    ) -> Tensor:
        """Outputs of the model, the first part of the training loss, [members, ...]."""
        if self._parts is None:
            raise InvalidProblem("inner_loss is one function", "give a pair (model, fit) for adjoint 'gauss_newton'")
        return self._each(self._parts[0], None, tensors, loss, cast(Content, inputs))

    def data_loss(self, outputs: Tensor, loss: Tables, batch: Batch) -> Tensor:
        """Training loss of the model's outputs, [members]."""
        assert self._parts is not None
        fit = self._parts[1]

        def of_outputs(parameters: Named, outer: Named, content: Any) -> Tensor:
            return fit(parameters["outputs"], outer, content)

        return self._each(of_outputs, "inner_loss", [outputs], loss, cast(Content, batch.inputs), names=["outputs"])

    def validation_loss(self, parameters: Tensor, loss: Tables, draw: Draw, step: int | None = None) -> Tensor:
        """Outer loss of each member, [members], on batch number T of the outer batches, or on batch number ``step``."""
        content = self._content(self.stated.outer_batches, draw, self.stated.steps if step is None else step)
        tensors = self.layout.split(parameters)
        found = self._each(self.stated.outer_loss, "outer_loss", tensors, loss, content)
        # Estimators differentiate by the parameters and by every table, also where the loss leaves one out.
        return found + parameters.sum(dim=1) * 0 if not found.requires_grad and parameters.requires_grad else found

    @property
    def validation_batches(self) -> float:
        """Work of the outer loss, in training batches: taken as one."""
        return 1.0

    def _each(
        self,
        function: Callable[[Named, Named, Any], Tensor],
        loss_name: str | None,
        tensors: Sequence[Tensor],
        loss: Tables,
        content: Content,
        names: Sequence[str] | None = None,
    ) -> Tensor:
        """Value of a function for each member, [members, ...]: called once under ``vmap``, or member by member."""
        members, keys = len(tensors[0]), self.names if names is None else names

        def one(parameters: Sequence[Tensor], outer: Named, batch: Any) -> Tensor:
            value = function(dict(zip(keys, parameters, strict=True)), outer, batch)
            if loss_name is not None and (not isinstance(value, Tensor) or value.numel() != 1):
                given = f"shape {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
                raise InvalidProblem(f"{loss_name} gives {given}; it must give a tensor with one number")
            return value.reshape(()) if loss_name is not None else value

        outer = _without(IN_LOSS, loss)
        parts = groups(members, self.together)
        if members == 1 or self.together == 1:
            found = []
            for member in range(members):
                batch = (
                    content.value if content.shared else pytree.tree_map(lambda part, at=member: part[at], content.value)
                )
                found.append(one([part[member] for part in tensors], {n: part[member] for n, part in outer.items()}, batch))
            return torch.stack(found)
        whole = []
        for rows in parts:
            own = content.of(rows)
            axes = (0, 0, None if own.shared else 0)
            some = [part[rows] for part in tensors], {name: part[rows] for name, part in outer.items()}, own.value
            whole.append(torch.vmap(one, in_dims=axes)(*some))
        return torch.cat(whole) if len(whole) > 1 else whole[0]


def _without(start: str, tables: Tables, member: int | None = None) -> dict[str, Tensor]:
    """Tables whose names begin so, by the rest of their names; those of one member, or of all."""
    found = {name.removeprefix(start): table for name, table in tables.items() if name.startswith(start)}
    return found if member is None else {name: table[member] for name, table in found.items()}


def _facts(index: int, name: str, part: Tensor) -> TensorFacts:
    # Modules allow no dot in a parameter's name.
    return TensorFacts(
        name=f"{index}/{name.replace('.', '/')}", shape=list(part.shape), role="hidden" if part.dim() > 1 else "vector"
    )
