"""The inner problem at another width, with a plan's values for every tensor."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hpo.families.facts.registry import proxy_tensors
from hpo.layout import Layout
from hpo.mup.growth import counterparts
from hpo.mup.resolve import resolve
from hpo.mup.rules import base_init_std
from hpo.tasks import TaskData
from hpo.training.coefficients import Coefficients, Tables, coefficients
from hpo.training.problem import InnerProblem
from hpo.training.space import Space
from windtunnel.types import JobSpec
from windtunnel.types.plans import TensorRow


class ScaledProblem(InnerProblem):
    """Training runs of a wider or narrower proxy with tuned values carried over, times two factors.

    A member's coordinates are not hyperparameters but ln of a factor on every learning rate and ln of a factor on
    every decay: [members, 2]. Zeros are the plan's own values; at the proxy's own width these are the proxy's values and
    give the proxy's run.

    Args:
        spec: the job, with the parametrization that carries the values.
        hyperparameters: label -> tuned value at the proxy's width.
        width: width of the model to train.
        data: the task.
        dtype: float32 for work, float64 for oracles.

    Raises:
        Refused: a value has no rule for another width.
    """

    def __init__(
        self,
        spec: JobSpec,
        hyperparameters: Mapping[str, float],
        width: int,
        data: TaskData,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        task = spec.info
        base = proxy_tensors(spec.model, task)
        wide = spec.model_copy(update={"model": spec.model.model_copy(update={"width": width})})
        target = proxy_tensors(wide.model, task)
        sources = counterparts(base, target)
        near = {row.name: row for row in resolve(spec, hyperparameters, base, base)}
        pairs = [(near[sources[row.name].name], row) for row in resolve(spec, hyperparameters, base, target)]
        self.ratios = {quantity: _ratios(quantity, pairs) for quantity in CARRIED}
        stds = [base_init_std(sources[fact.name], spec.model.activation) for fact in target]
        space = Space.from_spec(spec, base)
        self.point = space.from_dict(hyperparameters)
        scaled = [std * ratio for std, ratio in zip(stds, self.ratios["init_std"], strict=True)]
        super().__init__(wide, Layout(target), scaled, space, data, dtype)
        if "l2" in self.regularisers:
            self.regularisers["l2"] = self.regularisers["l2"] * self._row("l2").to(self.device)

    def coefficients(self, points: Tensor) -> Coefficients:
        """Coefficients of members at points [members, 2]: ln of the factors on learning rates and on decays."""
        members = len(points)
        found = coefficients(self.spec, self.space, self.layout, self.point.to(self.dtype).expand(members, -1))
        rate, decay = points.to(self.dtype).exp().unbind(dim=1)
        of_rate = self._row("learning_rate") * rate[:, None]
        of_decay = self._row("weight_decay") * decay[:, None]
        shrinks = of_rate * of_decay if self.spec.optimizer.decay_kind == "decoupled" else of_decay
        factors = {
            "learning_rate": of_rate,
            "shrink": shrinks,
            "coupled_decay": of_decay,
            "eps": self._row("eps"),
            "l2": self._row("l2"),
        }

        def scaled(tables: Tables) -> dict[str, Tensor]:
            return {name: table * factors[name] if name in factors else table for name, table in tables.items()}

        groups = found.initial, scaled(found.loss), scaled(found.update), scaled(found.scheduled)
        return Coefficients(*groups).on(self.device)

    def multiplied(self, tensors: Sequence[Tensor], loss: Tables) -> list[Tensor]:
        """Parameters as the forward pass uses them, with the forward multipliers of this width."""
        found = super().multiplied(tensors, loss)
        return [
            tensor if ratio == 1 else tensor * ratio for tensor, ratio in zip(found, self.ratios["multiplier"], strict=True)
        ]

    def _row(self, quantity: str) -> Tensor:
        return torch.tensor(self.ratios[quantity], dtype=self.dtype)[None]


CARRIED = ("init_std", "learning_rate", "weight_decay", "eps", "l2", "multiplier")


def _ratios(quantity: str, pairs: Sequence[tuple[TensorRow, TensorRow]]) -> list[float]:
    """Value in the target over value in the proxy, for each tensor; 1 if the proxy's is 0 or absent."""
    found = []
    for near, far in pairs:
        old, new = getattr(near, quantity), getattr(far, quantity)
        found.append(new / old if old else 1.0)
    return found
