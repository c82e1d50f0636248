"""Settings of the inner optimizer as tables of a run: numbers, tensors over the steps, functions of the outer variables."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from hpo.errors import InvalidProblem, Refused
from hpo.layout import Layout
from hpo.noise import Step
from hpo.optimizers.registry import rule
from hpo.optimizers.rule import OptimizerState, Rule, Tables, spread
from windtunnel.types.hyperparameters import SCOPED
from windtunnel.types.optimizers import BOUNDS, OPTIMIZERS, Bounds, DecayKind, OptimizerInfo

OwnUpdate = Callable[..., tuple[Tensor, Sequence[Tensor]]]
"""(parameters, gradient, memory, settings, step) -> (parameters, memory), of flat tensors [members, P]."""


class OwnRule(Rule):
    """Update rule from a user's elementwise function; its derivative is taken by automatic differentiation.

    Args:
        function: (parameters, gradient, memory, settings, step) -> (parameters, memory).
        memory: number of tensors that it remembers.
    """

    def __init__(self, function: OwnUpdate, memory: int) -> None:
        self._function, self._memory = function, memory

    def init(self, parameters: Tensor) -> OptimizerState:
        """State before the first update: parameters, and a memory of zeros."""
        return parameters, *(torch.zeros_like(parameters) for _ in range(self._memory))

    def update(self, state: OptimizerState, gradient: Tensor, tables: Tables, layout: Layout, step: Step) -> OptimizerState:
        """State after the function was called once.

        Raises:
            InvalidProblem: the function returns other shapes than it was given.
        """
        parameters, *memory = state
        found = self._function(parameters, gradient, tuple(memory), spread(tables, layout), int(step))
        if not (isinstance(found, tuple) and len(found) == 2):
            raise InvalidProblem("optimizer['update'] must return a pair (parameters, memory)")
        after = (found[0], *found[1])
        if len(after) != len(state) or any(part.shape != parameters.shape for part in after):
            shapes = [list(part.shape) for part in after]
            raise InvalidProblem(
                f"optimizer['update'] gives {len(after)} tensors of shapes {shapes}; needed are {len(state)}, parameters "
                f"and memory, of shape {list(parameters.shape)} each"
            )
        return after

    def gradient_rates(self, *_: Any, **__: Any) -> list[float]:
        """No theory says how large the updates of a rule of one's own are.

        Raises:
            Refused: always.
        """
        raise Refused("an update rule of one's own has no known size of its updates", "use an optimizer of the table")


@dataclass(frozen=True)
class Settings:
    """Optimizer of a bilevel problem: its rule, its record, and its settings as they were given."""

    rule: Rule
    info: OptimizerInfo
    decay: DecayKind | None
    """Kind of the weight decay; None for a rule of one's own."""
    values: Mapping[str, Any]
    """Setting -> number, tensor, function of the outer variables, or a dictionary of these by parameter."""
    steps: int
    names: Sequence[str]
    """Names of the parameters, in the layout's order."""

    @classmethod
    def read(cls, given: Mapping[str, Any], steps: int, names: Sequence[str]) -> "Settings":
        """Settings of ``Bilevel.optimizer``.

        Raises:
            InvalidProblem: no optimizer has that name, or it has no such setting.
        """
        values = dict(given)
        if "update" in values:
            return cls._own(values, steps, names)
        if "name" not in values:
            raise InvalidProblem(
                f"optimizer has no name; allowed: {', '.join(OPTIMIZERS)}; or give an update rule of your own as 'update'"
            )
        name = values.pop("name")
        if name not in OPTIMIZERS:
            raise InvalidProblem(f"optimizer name is {name!r}; allowed: {', '.join(OPTIMIZERS)}")
        info = OPTIMIZERS[name]
        decay = values.pop("decay", info.decay)
        if decay not in info.decays:
            raise InvalidProblem(f"optimizer decay is {decay!r}; allowed for {name}: {', '.join(info.decays)}")
        limits: dict[str, Bounds] = {str(name): bounds for name, bounds in BOUNDS.items()}
        allowed = ("learning_rate", "weight_decay", "clip_norm", *info.settings)
        for setting, value in values.items():
            if setting not in allowed:
                raise InvalidProblem(
                    f"optimizer has no setting {setting!r}; allowed for {name}: {', '.join(allowed)}, decay"
                )
            bounds = limits.get(setting)
            if bounds is not None and isinstance(value, int | float) and not bounds.low <= value <= bounds.high:
                raise InvalidProblem(f"optimizer {setting} is {value}; allowed: {bounds.low:g} to {bounds.high:g}")
        if "learning_rate" not in values:
            raise InvalidProblem("optimizer has no learning_rate; give a number, or a function of the outer variables")
        return cls(
            rule(name),
            info,
            decay,
            {**{str(name): default for name, default in info.settings.items()}, **values},
            steps,
            names,
        )

    @classmethod
    def _own(cls, values: dict[str, Any], steps: int, names: Sequence[str]) -> "Settings":
        function, memory = values.pop("update"), values.pop("memory", 0)
        if not callable(function):
            raise InvalidProblem(
                f"optimizer update is {type(function).__name__}; give a function (parameters, gradient, memory, settings, "
                "step)"
            )
        if not isinstance(memory, int) or memory < 0:
            raise InvalidProblem(f"optimizer memory is {memory!r}; give the number of tensors that the rule remembers")
        title = getattr(function, "__name__", "update")
        info = replace(OPTIMIZERS["sgd"], name=title, title=title, settings={}, normalises=False, pathwise="")
        return cls(OwnRule(function, memory), info, None, values, steps, names)

    def tables(self, outer: Mapping[str, Tensor], like: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """(tables that are the same in every update, tables over the steps [T, n]) of one run.

        Args:
            outer: outer variables of the run.
            like: a tensor with the dtype and device of the parameters.

        Raises:
            InvalidProblem: a value has a shape that no setting has.
        """
        found = {name: self._value(name, value, outer, like) for name, value in self.values.items()}
        if self.decay is None:
            over_time = {name: value for name, value in found.items() if value.dim() == 2}
            return {name: value for name, value in found.items() if name not in over_time}, over_time
        rates = self._over_time(found.pop("learning_rate"))
        scheduled: dict[str, Tensor] = {"learning_rate": rates}
        update = found
        if "weight_decay" in update:
            decay = update.pop("weight_decay")
            if self.decay == "l2":
                update["coupled_decay"] = self._per_tensor("weight_decay", decay)
            else:
                shrink = self._over_time(decay)
                scheduled["shrink"] = shrink * rates if self.decay == "decoupled" else shrink
        for name, table in update.items():
            if table.dim() == 2:
                raise InvalidProblem(
                    f"optimizer {name} has a value for each step; only learning_rate and decays may change"
                )
            if len(table) > 1 and name not in ("coupled_decay", *SCOPED):
                raise InvalidProblem(f"optimizer {name} differs between parameters; give one value for all")
        return update, scheduled

    def _value(self, name: str, value: Any, outer: Mapping[str, Tensor], like: Tensor) -> Tensor:
        """Value of a setting: [1] for all parameters, [n] by parameter, [T, 1] or [T, n] over the steps."""
        if callable(value):
            return self._value(name, value(outer), outer, like)
        if isinstance(value, Mapping):
            missing = sorted(set(self.names) ^ set(value))
            if missing:
                raise InvalidProblem(f"optimizer {name} must name every parameter once; at fault: {', '.join(missing)}")
            columns = [self._value(name, value[key], outer, like) for key in self.names]
            longest = max(column.dim() for column in columns)
            spread_out = [column.expand(self.steps, 1) if longest == 2 else column for column in columns]
            return torch.cat(spread_out, dim=-1)
        try:
            table = torch.as_tensor(value, dtype=like.dtype, device=like.device)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InvalidProblem(f"optimizer {name} is {type(value).__name__}; give a number or a tensor") from error
        if table.dim() == 0:
            return table[None]
        if table.shape == (self.steps,):
            return table[:, None]
        raise InvalidProblem(f"optimizer {name} has shape {list(table.shape)}; allowed: one number, or [{self.steps}]")

    def _over_time(self, value: Tensor) -> Tensor:
        """Table [T, n] of a value [1], [n], [T, 1] or [T, n]."""
        return (value if value.dim() == 2 else value[None]).expand(self.steps, len(self.names))

    def _per_tensor(self, name: str, value: Tensor) -> Tensor:
        """Table [n] of a value [1] or [n]."""
        if value.dim() == 2:
            raise InvalidProblem(f"optimizer {name} has a value for each step, and decay 'l2' takes one for all")
        return value.expand(len(self.names))
