"""Trains every seed of one width for a few steps on one batch, and records the quantities of the coordinate check."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from math import isfinite
from statistics import fmean

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from hpo.devices import moved
from hpo.evidence.apply import effective, initialise
from hpo.evidence.coordinates.kernel import linearisation_error, relative_change, tangent_kernel
from hpo.evidence.coordinates.spectral import relative_spectral_norm
from hpo.families.dials import NO_DIALS, Dials
from hpo.families.facts.registry import facts, proxy_tensors
from hpo.families.proxy import Proxy, places
from hpo.families.registry import build
from hpo.footprint.measurements import KERNEL_EXAMPLES, KERNEL_SEEDS, MOST_AT_ONCE
from hpo.layout import Layout
from hpo.mup.resolve import attention_multiplier, global_value, resolve
from hpo.mup.roles import EMBEDDINGS
from hpo.optimizers.registry import rule
from hpo.optimizers.rule import OptimizerState, Tables
from hpo.seeding import Purpose, Stream, generator_of
from hpo.tasks import TaskData
from hpo.tasks.losses import mean_loss
from hpo.training.problem import OnStep, with_buffers_on
from windtunnel.types import JobSpec, TensorRow

PerSeed = list[float]


@dataclass(frozen=True)
class Trace:
    """Measurements of one width, by seed. Sizes are means over examples and units."""

    activation: dict[str, list[PerSeed]]
    """Module -> mean |output| before each step 0, 1, ... and after the last."""
    change: dict[str, list[PerSeed]]
    """Module -> mean |output - output at initialisation| after step 1, 2, ..., last."""
    weight_norm: dict[str, PerSeed]
    """Matrix -> spectral norm after the last step over sqrt(fan_out / fan_in); with the forward multiplier."""
    update_norm: dict[str, PerSeed]
    """Matrix -> spectral norm of its change since initialisation over sqrt(fan_out / fan_in); with the multiplier."""
    kernel_change: PerSeed
    """Relative change |K - K_0| / |K_0| of the tangent kernel of a few examples since initialisation, first seeds only."""
    linearisation_error: PerSeed
    """Share of the change of these examples' logits that the model linearised at initialisation does not predict."""
    losses: list[PerSeed]
    """Training loss in nats before each step 0, 1, ... and after the last."""
    slope: dict[str, PerSeed]
    """Tensor -> largest |entry| of its gradient after the first step, in which a readout at 0 stops those of others."""

    @classmethod
    def joined(cls, parts: "Sequence[Trace]") -> "Trace":
        """One trace with the seeds of several traces, in order."""

        def whole(columns: Iterable[PerSeed]) -> PerSeed:
            return list(chain.from_iterable(columns))

        def by_step(tables: Sequence[list[PerSeed]]) -> list[PerSeed]:
            return [whole(columns) for columns in zip(*tables, strict=True)]

        first = parts[0]
        return cls(
            activation={name: by_step([part.activation[name] for part in parts]) for name in first.activation},
            change={name: by_step([part.change[name] for part in parts]) for name in first.change},
            weight_norm={name: whole(part.weight_norm[name] for part in parts) for name in first.weight_norm},
            update_norm={name: whole(part.update_norm[name] for part in parts) for name in first.update_norm},
            kernel_change=whole(part.kernel_change for part in parts),
            linearisation_error=whole(part.linearisation_error for part in parts),
            losses=by_step([part.losses for part in parts]),
            slope={name: whole(part.slope[name] for part in parts) for name in first.slope},
        )

    @property
    def learns(self) -> bool:
        """True if the mean loss is lower after the last step than before the first."""
        first, last = fmean(self.losses[0]), fmean(self.losses[-1])
        return isfinite(last) and last < first


class _Activations(nn.Module):
    """Module whose functional call returns the outputs of every layer, without hooks."""

    def __init__(self, model: Proxy, dials: Dials) -> None:
        super().__init__()
        self.model, self.dials = model, dials

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        return self.model.activations(inputs, self.dials)


@dataclass(frozen=True)
class _Width:
    """The model of one width as a function of its tensors."""

    model: _Activations
    rows: Sequence[TensorRow]
    layout: Layout
    over: Mapping[str, Sequence[int]]
    """Name -> dimensions that one output sums over, of tensors that are not stored as [fan_out, fan_in, ...]."""
    tables: frozenset[str]
    """Names of tensors whose rows are looked up or added."""

    def outputs(self, tensors: Sequence[Tensor], inputs: Tensor) -> dict[str, Tensor]:
        """Module -> its output, for tensors of one seed."""
        named = effective(dict(zip(self.layout.names, tensors, strict=True)), self.rows)
        held = places(self.model)
        weights = {place: tensor for name, tensor in named.items() for place in held[f"model.{name}"]}
        found: dict[str, Tensor] = functional_call(self.model, weights, (inputs,), tie_weights=False)
        return found

    def logits(self, tensors: Sequence[Tensor], inputs: Tensor) -> Tensor:
        """Logits [batch, classes], for text [batch, context, classes], for tensors of one seed."""
        return self.outputs(tensors, inputs)["readout"]


@dataclass(frozen=True)
class Probe:
    """Trains all seeds of one width as one batched computation, and records the outputs of its layers."""

    spec: JobSpec
    hyperparameters: Mapping[str, float]
    """Label -> value, without learning rates and decays."""
    data: TaskData
    seeds: int
    steps: int
    on_step: OnStep
    first: int = 0
    """Number of the first seed."""

    @property
    def device(self) -> torch.device:
        """The device that holds the data, and trains."""
        return self.data.validation.labels.device

    def trace(self, width: int, learning_rate: float) -> Trace:
        """Measurements of training at one width; the seeds and the rate at the proxy's width are the same at every width.

        ``MOST_AT_ONCE`` limits the seeds trained together: small models are slow one by one, large ones need the memory.
        """
        at = self._at(width, learning_rate)
        together = max(1, MOST_AT_ONCE // at.layout.parameters)
        parts = [
            replace(self, first=self.first + start, seeds=min(together, self.seeds - start))._together(at)
            for start in range(0, self.seeds, together)
        ]
        return Trace.joined(parts)

    def _together(self, at: _Width) -> Trace:
        inputs, labels = self._batch()
        task = self.spec.info
        optimizer = rule(self.spec.optimizer.name, self.spec.optimizer.options)
        start = self._initial(at.rows, at.layout)
        state = optimizer.init(start)
        tables = self._tables(at.rows)
        before: dict[str, Tensor] = {}
        activation: dict[str, list[PerSeed]] = {}
        change: dict[str, list[PerSeed]] = {}
        losses: list[PerSeed] = []
        largest = [torch.zeros(self.seeds, device=self.device) for _ in at.layout.names]
        for step in range(self.steps + 1):
            leaves = [tensor.detach().requires_grad_() for tensor in at.layout.split(state[0])]
            # No step follows the last pass: it keeps nothing for a backward one.
            with torch.set_grad_enabled(step < self.steps):
                found = vmap(at.outputs, in_dims=(0, None))(leaves, inputs)
                loss = mean_loss(task, found["readout"], labels)
            losses.append(loss.tolist())
            for module, output in found.items():
                activation.setdefault(module, []).append(_sizes(output.detach()))
                if step:
                    change.setdefault(module, []).append(_sizes(output.detach() - before[module]))
            if not step:
                before = {module: output.detach() for module, output in found.items()}
            if step < self.steps:
                # Members share nothing: the gradient of the sum of their losses holds the gradient of each.
                gradients = torch.autograd.grad(loss.sum(), leaves)
                if step:
                    sizes = zip(largest, gradients, strict=True)
                    largest = [torch.maximum(most, own.abs().reshape(len(own), -1).amax(1)) for most, own in sizes]
                state = optimizer.update(state, at.layout.join(gradients), tables, at.layout, step)
                del gradients
                self.on_step(self.seeds)
        weight_norm, update_norm = _norms(at, start, state[0])
        kernel_change, error = self._departure(at, start, state, tables, inputs[:KERNEL_EXAMPLES])
        slope = {name: most.tolist() for name, most in zip(at.layout.names, largest, strict=True)}
        return Trace(activation, change, weight_norm, update_norm, kernel_change, error, losses, slope)

    def _at(self, width: int, learning_rate: float) -> _Width:
        values = {**self.hyperparameters, "learning_rate": learning_rate, "weight_decay": 0.0, "l2": 0.0}
        task, base = self.spec.info, self.spec.model
        target = base.model_copy(update={"width": width})
        tensors = proxy_tensors(target, task)
        rows = resolve(self.spec, values, proxy_tensors(base, task), tensors)
        dials = self._dials()
        with torch.device("meta"):
            model = _Activations(with_buffers_on(build(target, task), self.device), dials)
        over = {fact.name: fact.over or [0, *range(2, len(fact.shape))] for fact in tensors if fact.over or fact.flipped}
        looked_up = frozenset(fact.name for fact in tensors if fact.is_table or fact.name in EMBEDDINGS)
        return _Width(model, rows, Layout(tensors), over, looked_up)

    def _departure(
        self, at: _Width, start: Tensor, state: OptimizerState, tables: Tables, examples: Tensor
    ) -> tuple[PerSeed, PerSeed]:
        """(change of the tangent kernel, linearisation error), seed by seed, because they hold gradients of examples."""
        first, last = at.layout.split(start), at.layout.split(state[0])
        optimizer = rule(self.spec.optimizer.name, self.spec.optimizer.options)
        changes: PerSeed = []
        errors: PerSeed = []
        for seed in range(min(self.seeds, KERNEL_SEEDS - self.first)):
            ends = [tensor[seed] for tensor in first], [tensor[seed] for tensor in last]
            if not state[0][seed].isfinite().all():
                changes.append(float("inf"))
                errors.append(float("inf"))
                continue
            path = (self.spec.seed, Purpose.COORDINATES, self.first + seed, Stream.MEASUREMENT)
            projection = torch.randn(self.spec.info.classes, generator=generator_of(path)).to(self.device)
            rates = optimizer.gradient_rates(at.rows, state, tables, at.layout, seed, self.steps)
            kernels = [tangent_kernel(at.logits, end, examples, projection, rates) for end in ends]
            changes.append(relative_change(*kernels))
            errors.append(linearisation_error(at.logits, *ends, examples))
        return changes, errors

    def _batch(self) -> tuple[Tensor, Tensor]:
        """(inputs [batch, ...], the same for all seeds; labels [seeds, batch, ...])."""
        train, check = self.data.train.sample(), facts(self.spec.model.family).check
        inputs, labels = train.inputs[: check.batch], train.labels[: check.batch]
        if check.context is not None:
            inputs, labels = inputs[:, : check.context], labels[:, : check.context]
        return inputs, labels.expand(self.seeds, *labels.shape)

    def _dials(self) -> Dials:
        """Dials of the check: only the multiplier of attention, the same at every width; regularisers are left out."""
        value = attention_multiplier(self.spec, self.hyperparameters)
        return NO_DIALS if value is None else {"attention_multiplier": torch.tensor(value).to(self.device)}

    def _initial(self, rows: Sequence[TensorRow], layout: Layout) -> Tensor:
        """Initial parameters, [seeds, P]."""
        seeds = range(self.first, self.first + self.seeds)
        draws = [initialise(rows, generator_of((self.spec.seed, Purpose.COORDINATES, seed))) for seed in seeds]
        return layout.join([torch.stack([draw[name] for draw in draws]) for name in layout.names]).to(self.device)

    def _tables(self, rows: Sequence[TensorRow]) -> Tables:
        """Coefficients of every update: rates, and the optimizer's own settings."""
        tables = {"learning_rate": torch.tensor([[row.learning_rate for row in rows]])}
        for name in self.spec.optimizer.info.settings:
            own = [getattr(row, name, None) for row in rows]
            value = global_value(self.spec, self.hyperparameters, name)
            by_row = any(each is not None for each in own)
            assert by_row or value is not None
            tables[name] = torch.tensor([[each or 0.0 for each in own] if by_row else [value]])
        return moved(tables, self.device)


def _norms(at: _Width, start: Tensor, end: Tensor) -> tuple[dict[str, PerSeed], dict[str, PerSeed]]:
    """(spectral norms of the tensors that the forward pass uses, spectral norms of their changes since initialisation)."""
    weights: dict[str, PerSeed] = {}
    updates: dict[str, PerSeed] = {}
    for row, first, last in zip(at.rows, at.layout.split(start), at.layout.split(end), strict=True):
        if len(row.shape) < 2 or row.role in ("vector", "scalar"):
            continue
        lookup = row.name in at.tables
        over = [] if lookup else at.over.get(row.name, [])

        def norms(
            matrices: Tensor, lookup: bool = lookup, over: Sequence[int] = over, multiplier: float = row.multiplier
        ) -> PerSeed:
            return [multiplier * relative_spectral_norm(matrix, lookup=lookup, over=over) for matrix in matrices]

        weights[row.name], updates[row.name] = norms(last), norms(last - first)
    return weights, updates


def _sizes(outputs: Tensor) -> PerSeed:
    """Mean absolute value of each seed's outputs [seeds, ...]."""
    return outputs.abs().flatten(1).mean(1, dtype=torch.float64).tolist()
