"""Coordinate check: do activations, and what training changes in them, keep their size when the width grows?

Tensor Programs V, appendix D: a few steps on one fixed batch at a large learning rate, over a ladder of widths. The runs
use the job's own optimizer, init scales and multipliers, with two differences: one learning rate for every tensor,
so that no role hides behind a larger one, and neither decay nor clipping nor regularisers, which damp the growth that is
looked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from hpo.families import NO_DIALS, Dials, Proxy, build
from hpo.inner import OnStep, silent
from hpo.layout import Layout
from hpo.losses import per_example
from hpo.mup.apply import effective, initialise
from hpo.mup.ladder import BATCHES, CONTEXT, SEEDS, ladder
from hpo.mup.proxies import proxy_tensors
from hpo.mup.resolve import global_value, resolve
from hpo.mup.slopes import finite, measured_slope, overall
from hpo.seeding import generator_of
from hpo.tasks import TaskData, load
from hpo.updates import RULES, StepCoefficients
from windtunnel.types import CoordinateCheck, HyperparameterName, JobSpec, OptimizerName, TensorFacts, TensorRow
from windtunnel.types.tasks import TASKS

LEARNING_RATES: dict[OptimizerName, float] = {"sgd": 0.1, "adam": 0.01, "adamw": 0.01}
"""Large: a step moves activations by about their own size. Times 2 / depth for more than two layers, whose moves compound;
divided by 4 until the narrowest model learns from its steps."""
STEPS = 4
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


def check_steps(spec: JobSpec) -> int:
    """Member-steps of a check with the defaults, for progress bars; a lower learning rate takes a few more."""
    return len(ladder(spec)) * SEEDS[spec.model.family] * STEPS


def coordinate_check(
    spec: JobSpec,
    hyperparameters: Mapping[str, float],
    widths: Sequence[int] | None = None,
    *,
    seeds: int | None = None,
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
        seeds: initialisations averaged at each width; by default as many as ``SEEDS`` says.
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
    seeds = SEEDS[spec.model.family] if seeds is None else seeds
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
    """The outputs of every layer as the value of a functional call: no hooks."""

    def __init__(self, model: Proxy, dials: Dials) -> None:
        super().__init__()
        self.model, self.dials = model, dials

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        return self.model.activations(inputs, self.dials)


def _kept(hyperparameters: Mapping[str, float]) -> dict[str, float]:
    replaced = ("learning_rate", "weight_decay", "l2")
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
        values = {**self.hyperparameters, "learning_rate": learning_rate, "weight_decay": 0.0, "l2": 0.0}
        task, base = TASKS[self.spec.task], self.spec.model
        target = base.model_copy(update={"width": width})
        return resolve(self.spec, values, proxy_tensors(base, task), proxy_tensors(target, task))

    def trace(self, width: int, learning_rate: float) -> Trace:
        """Train at one width from the same seeds as at any other."""
        rows = self.rows(width, learning_rate)
        layout = Layout([TensorFacts(name=row.name, shape=row.shape, role=row.role) for row in rows])
        task, shape = TASKS[self.spec.task], self.spec.model.model_copy(update={"width": width})
        inputs, labels = self._batch()
        dials = self._dials()
        with torch.device("meta"):
            model = _Activations(build(shape, task), dials)

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
            loss = per_example(task.kind, found["readout"], labels).mean()
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

    def _batch(self) -> tuple[Tensor, Tensor]:
        """Inputs [batch, ...] for all seeds alike, and labels [seeds, batch, ...]."""
        train, size = self.data.train, BATCHES[self.spec.model.family]
        inputs, labels = train.inputs[:size], train.labels[:size]
        if TASKS[self.spec.task].kind == "language":
            inputs, labels = inputs[:, :CONTEXT], labels[:, :CONTEXT]
        return inputs, labels.expand(self.seeds, *labels.shape)

    def _dials(self) -> Dials:
        """The multiplier of attention acts at every width alike; regularisers are left out, as decay is."""
        if self.spec.model.family != "transformer":
            return NO_DIALS
        value = global_value(self.spec, self.hyperparameters, "attention_multiplier")
        return NO_DIALS if value is None else {"attention_multiplier": torch.tensor(value)}

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
