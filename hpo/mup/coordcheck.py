"""Coordinate check: do activations, and what training changes in them, keep their size when the width grows?

Tensor Programs V, appendix D: a few steps on one fixed batch at a large learning rate, over a ladder of widths. The runs
use the job's own optimizer, init scales and output multiplier, with two differences: one learning rate for every tensor,
so that no role hides behind a larger one, and neither decay nor clipping, which damp the growth that is looked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional

from hpo.families import MLP
from hpo.inner import OnStep, silent
from hpo.layout import Layout
from hpo.mup.apply import effective, initialise
from hpo.mup.proxies import mlp_tensors
from hpo.mup.resolve import global_value, resolve
from hpo.mup.slopes import finite, measured_slope, overall
from hpo.seeding import generator_of
from hpo.tasks import TaskData, load
from hpo.updates import RULES, StepCoefficients
from windtunnel.types import CoordinateCheck, HyperparameterName, JobSpec, OptimizerName, TensorFacts, TensorRow
from windtunnel.types.sizing import mlp_parameters
from windtunnel.types.tasks import TASKS

LEARNING_RATES: dict[OptimizerName, float] = {"sgd": 0.1, "adam": 0.01, "adamw": 0.01}
"""Large: a step moves activations by about their own size. Times 2 / depth for more than two layers, whose moves compound;
divided by 4 until the narrowest model learns from its steps."""
SEEDS, STEPS, BATCH = 3, 4, 128
MOST_PARAMETERS = 8_000_000
"""Over all widths of a ladder; bounds the check to seconds on one core and to some hundred megabytes."""
SMALLEST, DOUBLINGS, FEWEST_WIDTHS = 64, 4, 4
PURPOSE = 7_301
"""Second part of the seed path, so that the check shares no seed with the job's runs."""


@dataclass(frozen=True)
class Trace:
    """What one width showed. All sizes are means over seeds, examples and units."""

    activation: dict[str, list[float]]
    """Module -> mean |output| before step 0, 1, ..., and after the last."""
    change: dict[str, list[float]]
    """Module -> mean |output - output at initialisation| after step 1, 2, ..., last."""
    losses: list[float]
    """Training loss in nats before step 0, 1, ..., and after the last."""

    @property
    def learns(self) -> bool:
        """Whether the loss is lower after the last step than before the first."""
        return isfinite(self.losses[-1]) and self.losses[-1] < self.losses[0]


def ladder(spec: JobSpec) -> list[int]:
    """Widths of the check: doublings of the proxy's width, at least four widths.

    They begin at 64 or above (below, a model's own fluctuations hide the law), and go over four doublings as far as
    ``MOST_PARAMETERS`` allows. A large proxy is checked at and below its width.
    """
    task, depth = TASKS[spec.task], spec.model.depth

    def parameters(width: int) -> int:
        return mlp_parameters(task.features, task.classes, width, depth)

    lowest = spec.model.width
    while lowest < SMALLEST:
        lowest *= 2
    while parameters(lowest) > MOST_PARAMETERS // 2:
        lowest //= 2
    widths = [lowest]
    while len(widths) <= DOUBLINGS and sum(map(parameters, [*widths, 2 * widths[-1]])) <= MOST_PARAMETERS:
        widths.append(2 * widths[-1])
    while len(widths) < FEWEST_WIDTHS:
        widths.insert(0, max(widths[0] // 2, 1))
    return widths


def check_steps(spec: JobSpec) -> int:
    """Member-steps of a check with the defaults, for progress bars; a lower learning rate takes a few more."""
    return len(ladder(spec)) * SEEDS * STEPS


def coordinate_check(
    spec: JobSpec,
    hyperparameters: Mapping[str, float],
    widths: Sequence[int] | None = None,
    *,
    seeds: int = SEEDS,
    steps: int = STEPS,
    learning_rate: float | None = None,
    on_step: OnStep = silent,
    data: TaskData | None = None,
) -> CoordinateCheck:
    """Train a few steps at every width of a ladder and judge the slopes of what changed at the last step.

    Args:
        spec: the job; its parametrization is the one under test.
        hyperparameters: label -> value; learning rates and decays among them are not used (see the file's first lines).
        widths: at least two, rising; ``ladder(spec)`` by default.
        seeds: initialisations averaged at each width.
        steps: optimizer updates.
        learning_rate: for every tensor of the proxy; by default ``LEARNING_RATES``, lowered until the narrowest
            model learns.
        on_step: called with the number of member-steps after each update; it may raise to stop the check.
        data: the task, where it is loaded already.

    Raises:
        ValueError: fewer than two widths, or widths that do not rise.
    """
    widths = ladder(spec) if widths is None else list(widths)
    if len(widths) < 2 or any(a >= b for a, b in pairwise(widths)):
        raise ValueError(f"the widths of a coordinate check must rise and be at least two, got {widths}")
    data = load(spec.task) if data is None else data
    probe = _Probe(spec, _kept(hyperparameters), data, seeds, steps, on_step)
    large = LEARNING_RATES[spec.optimizer.name] * min(1.0, 2 / spec.model.depth)
    rate = large if learning_rate is None else learning_rate
    narrowest = probe.trace(widths[0], rate)
    while learning_rate is None and not narrowest.learns and rate > 1e-9:
        rate /= 4
        narrowest = probe.trace(widths[0], rate)
    traces = [narrowest, *(probe.trace(width, rate) for width in widths[1:])]
    modules = list(narrowest.change)
    slopes = [
        *(
            measured_slope(module, "activation", step, widths, [trace.activation[module][step] for trace in traces])
            for module in modules
            for step in range(steps + 1)
        ),
        *(
            measured_slope(module, "change", step, widths, [trace.change[module][step - 1] for trace in traces])
            for module in modules
            for step in range(1, steps + 1)
        ),
    ]
    return CoordinateCheck(
        verdict=overall(slopes, steps),
        widths=list(widths),
        steps=steps,
        seeds=seeds,
        learning_rate=rate,
        slopes=slopes,
        sizes={module: [finite(trace.change[module][-1]) for trace in traces] for module in modules},
        losses=[finite(trace.losses[-1]) for trace in traces],
    )


class _Activations(nn.Module):
    """The outputs of every linear layer as the value of a functional call: no hooks."""

    def __init__(self, model: MLP) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        return self.model.activations(inputs)


def _kept(hyperparameters: Mapping[str, float]) -> dict[str, float]:
    replaced = ("learning_rate", "weight_decay")
    return {label: value for label, value in hyperparameters.items() if label.partition(".")[0] not in replaced}


@dataclass(frozen=True)
class _Probe:
    """Trains all seeds of one width as one batched computation and records what its layers put out."""

    spec: JobSpec
    hyperparameters: Mapping[str, float]
    data: TaskData
    seeds: int
    steps: int
    on_step: OnStep

    def rows(self, width: int, learning_rate: float) -> list[TensorRow]:
        """The rule table at one width."""
        sizes, model = (self.data.features, self.data.classes), self.spec.model
        values = {**self.hyperparameters, "learning_rate": learning_rate, "weight_decay": 0.0}
        base, target = mlp_tensors(*sizes, model.width, model.depth), mlp_tensors(*sizes, width, model.depth)
        return resolve(self.spec, values, base, target)

    def trace(self, width: int, learning_rate: float) -> Trace:
        """Train at one width from the same seeds as at any other."""
        rows = self.rows(width, learning_rate)
        layout = Layout([TensorFacts(name=row.name, shape=row.shape, role=row.role) for row in rows])
        inputs, labels = self.data.train.inputs[:BATCH].float(), self.data.train.labels[:BATCH]
        shape = self.spec.model
        with torch.device("meta"):
            model = _Activations(MLP(self.data.features, self.data.classes, width, shape.depth, shape.activation))

        def outputs_of(tensors: Sequence[Tensor]) -> dict[str, Tensor]:
            named = effective(dict(zip(layout.names, tensors, strict=True)), rows)
            inside = {f"model.{name}": tensor for name, tensor in named.items()}
            found: dict[str, Tensor] = functional_call(model, inside, (inputs,))
            return found

        initial, update = RULES[self.spec.optimizer.name]
        state = initial(self._initial(rows, layout))
        terms = self._terms(rows, layout)
        outputs: list[dict[str, Tensor]] = []
        losses: list[float] = []
        for step in range(self.steps + 1):
            leaves = [tensor.detach().requires_grad_() for tensor in layout.split(state[0])]
            found = vmap(outputs_of)(leaves)
            loss = functional.cross_entropy(found["readout"].flatten(0, 1), labels.repeat(self.seeds))
            outputs.append({module: output.detach() for module, output in found.items()})
            losses.append(loss.item())
            if step < self.steps:
                # Members share nothing: the gradient of the sum of their losses holds the gradient of each.
                gradients = torch.autograd.grad(loss * self.seeds, leaves)
                state = update(state, layout.join(gradients), terms, step)
                self.on_step(self.seeds)
        return Trace(
            activation={name: [_size(found[name]) for found in outputs] for name in outputs[0]},
            change={name: [_size(found[name] - outputs[0][name]) for found in outputs[1:]] for name in outputs[0]},
            losses=losses,
        )

    def _initial(self, rows: Sequence[TensorRow], layout: Layout) -> Tensor:
        """[seeds, P]"""
        draws = [initialise(rows, generator_of((self.spec.seed, PURPOSE, seed))) for seed in range(self.seeds)]
        return layout.join([torch.stack([draw[name] for draw in draws]) for name in layout.names])

    def _terms(self, rows: Sequence[TensorRow], layout: Layout) -> StepCoefficients:
        def each(values: Sequence[float]) -> Tensor:
            return layout.expand(torch.tensor([values]))

        def shared(name: HyperparameterName) -> Tensor | None:
            value = global_value(self.spec, self.hyperparameters, name)
            return None if value is None else torch.tensor([[value]])

        is_sgd = self.spec.optimizer.name == "sgd"
        return StepCoefficients(
            learning_rate=each([row.learning_rate for row in rows]),
            shrink=None,
            l2=None,
            clip_norm=None,
            momentum=shared("momentum") if is_sgd else None,
            beta1=None if is_sgd else shared("beta1"),
            beta2=None if is_sgd else shared("beta2"),
            eps=None if is_sgd else each([row.eps for row in rows if row.eps is not None]),
        )


def _size(outputs: Tensor) -> float:
    return outputs.abs().mean(dtype=torch.float64).item()
