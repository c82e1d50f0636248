"""The inner problem: training runs of the proxy, many members as one batched computation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hpo.devices import at_once, moved
from hpo.families.dials import NO_NOISE
from hpo.families.facts.registry import facts
from hpo.families.passes import Passes
from hpo.families.proxy import Proxy
from hpo.families.registry import build
from hpo.layout import Layout
from hpo.mup.resolve import acts
from hpo.mup.rules import multiplier_of
from hpo.noise import Step
from hpo.optimizers.registry import rule
from hpo.optimizers.rule import OptimizerState
from hpo.seeding import Stream, generator_of, number_of
from hpo.tasks import Split, TaskData
from hpo.tasks.losses import accuracy, mean_loss, mixed, per_example
from hpo.training.coefficients import Coefficients, Tables, coefficients, detached, loss_tables, of_members, row_of
from hpo.training.noising import Noise
from hpo.training.regularisers import moving_tables
from hpo.training.space import Space
from windtunnel.types import HyperparameterName, JobSpec

OnStep = Callable[[int], None]
"""Called after every inner step with the number of member-steps done; it may raise to stop the run."""

NOISY: tuple[HyperparameterName, ...] = ("dropout", "input_noise", "augmentation")
"""Regularisers that need random numbers at every step."""
DIALS = ("attention_multiplier", *NOISY)
"""Tables of the loss that act inside the model's forward pass."""


def groups(members: int, together: int | None) -> list[slice]:
    """Rows of a population in groups of at most ``together`` members, one after another; one group of all for None."""
    size = members if together is None else together
    return [slice(start, min(start + size, members)) for start in range(0, members, size)]


def silent(member_steps: int) -> None:
    """Callback that does nothing, for a run without progress."""


@dataclass(frozen=True)
class Draw:
    """Random numbers of a population's runs: initial values, batches and noise."""

    noise: Tensor
    """Initial parameters at unit init scale, [members, P]."""
    batches: Tensor
    """Rows of training examples, as their ``TrainingPart`` counts them, [members, T, batch]."""
    streams: tuple[int, ...]
    """Seed of each member's noise during training."""
    keys: Tensor
    """Seeds of ``streams`` as int64 on the device that trains, [members]."""

    def of(self, members: slice) -> "Draw":
        """The random numbers of some members."""
        return Draw(self.noise[members], self.batches[members], self.streams[members], self.keys[members])

    def select(self, rows: Sequence[int]) -> "Draw":
        """The random numbers of some members, in the order given; a member may occur more than once."""
        chosen = list(rows)
        streams = tuple(self.streams[row] for row in chosen)
        return Draw(self.noise[chosen], self.batches[chosen], streams, self.keys[chosen])


@dataclass(frozen=True)
class Batch:
    """Examples and noise of one training step."""

    inputs: Tensor
    """Inputs [members, batch, features]; token ids for text."""
    labels: Tensor
    """Labels [members, batch]; [members, batch, context] for text."""
    sources: Tensor | None = None
    """Data source of each example, [members, batch]; None if sources are not weighted."""
    noise: Mapping[str, Tensor] = field(default_factory=dict)
    """Standard normal numbers for the model's regularisers, each [members, ...]."""
    regularisers: Tables = field(default_factory=dict)
    """Tables of the regularisers that follow a schedule, at this step."""

    def tables(self, loss: Tables) -> Tables:
        """Tables of the training loss at this step: ``loss`` with the scheduled regularisers' present values."""
        return {**loss, **self.regularisers} if self.regularisers else loss


def constants(layout: Layout, dtype: torch.dtype, device: torch.device) -> Tensor | None:
    """Initial values of the tensors that start at a constant (gains of norms), 0 elsewhere, [P]; None if no tensor does."""
    values = [fact.init_value or 0.0 for fact in layout.tensors]
    if not any(values):
        return None
    sizes = torch.tensor(layout.sizes)
    return torch.tensor(values, dtype=dtype).repeat_interleave(sizes).to(device)


def with_buffers_on(model: Proxy, device: torch.device) -> Proxy:
    """The model with its buffers on a device; its parameters stay where they are, since every call brings its own."""
    for module in model.modules():
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else buffer.to(device)
    return model


class InnerProblem:
    """A proxy, its data and its optimizer: everything about a training run except hyperparameters and seed.

    Args:
        spec: the job.
        layout: the proxy's tensors.
        init_std: standard deviation of each tensor's initial values at init scale 1.
        space: meaning of the coordinates.
        data: the task; the device that holds it is the one that trains.
        dtype: float32 for work, float64 for oracles.
        most: members trained or differentiated as one computation, at most; None: the fastest number.
    """

    ceiling = 1e3
    """Loss above which a run counts as diverged, even if its loss is finite; nats."""
    by_hand = True
    """True if the training loss is the data loss plus the penalty; False if a subclass defines it anew."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        parts = ("training_loss", "outputs", "penalty")
        cls.by_hand = all(getattr(cls, part) is getattr(InnerProblem, part) for part in parts)

    def __init__(
        self,
        spec: JobSpec,
        layout: Layout,
        init_std: Sequence[float],
        space: Space,
        data: TaskData,
        dtype: torch.dtype = torch.float32,
        most: int | None = None,
    ) -> None:
        self.spec, self.layout, self.space, self.data, self.dtype = spec, layout, space, data, dtype
        self.device = data.validation.labels.device
        self.init_std = tuple(init_std)
        self.constants = constants(layout, dtype, self.device)
        self.steps, self.batch_size = spec.inner.steps, spec.inner.batch_size
        self.optimizer = spec.optimizer.info
        self.rule = rule(spec.optimizer.name, spec.optimizer.options)
        with torch.device("meta"):
            self.model = with_buffers_on(self.build_module().to(dtype), self.device)
        self.task = spec.info
        family = facts(spec.model.family)
        fastest = family.members_together(spec.model, self.task, self.batch_size)
        self.together = min((limit for limit in (fastest, most) if limit is not None), default=None)
        rows = self.batch_size * (self.together or 1)
        self.tapes = family.tapes_kept(spec.model, self.task, rows) if self.by_hand else 0
        self.examples = data.train.cast(dtype)
        self.sources = self.examples.sources if spec.searches("mixture_weight") else None
        if self.sources is not None:
            self.shares = torch.bincount(self.sources, minlength=len(self.task.sources)).to(dtype) / len(self.sources)
        self.regularisers = moved(moving_tables(spec, layout, dtype), self.device)
        noisy = [name for name in NOISY if spec.start_value(name) is not None]
        self.noise = Noise(self.model.noise_shapes(self.batch_size, noisy) if noisy else {}, dtype)
        self.penalised = [index for index, fact in enumerate(layout.tensors) if acts("l2", fact)]
        self.multipliers = [multiplier_of(fact) for fact in layout.tensors]

    def build_module(self) -> Proxy:
        """A module with the layout's tensors; its own initial values are not used."""
        return build(self.spec.model, self.spec.info)

    def draw(self, seeds: Sequence[tuple[int, ...]]) -> Draw:
        """Random numbers of one member for each seed path (job seed, purpose, outer step, index).

        Batches run through a fresh permutation of the training set in every epoch, or are windows at random places of a
        stream of tokens.
        """
        noises, batches = [], []
        for seed in seeds:
            generator = generator_of(seed)
            parts = [
                torch.randn(size, generator=generator, dtype=torch.float64) * std
                for size, std in zip(self.layout.sizes, self.init_std, strict=True)
            ]
            for part, fact in zip(parts, self.layout.tensors, strict=True):
                if fact.padding is not None:
                    part.view(fact.shape)[fact.padding] = 0
            noises.append(torch.cat(parts).to(self.dtype))
            batches.append(self.examples.order(self.steps, self.batch_size, generator))
        streams = tuple(number_of((*seed, Stream.NOISE)) for seed in seeds)
        drawn = (torch.stack(noises), torch.stack(batches), torch.tensor(streams, dtype=torch.int64))
        noise, order, keys = (each.to(self.device, non_blocking=True) for each in drawn)
        return Draw(noise, order, streams, keys)

    def coefficients(self, points: Tensor) -> Coefficients:
        """Coefficients of a population at unconstrained points [members, k], in this problem's dtype, on its device."""
        return coefficients(self.spec, self.space, self.layout, points.to(self.dtype)).on(self.device)

    def loss_tables(self, points: Tensor) -> dict[str, Tensor]:
        """Tables of the training loss at points [members, k], without a graph."""
        with torch.no_grad():
            return moved(loss_tables(self.spec, self.space, self.layout, points.to(self.dtype)), self.device)

    def initial(self, draw: Draw, table: Coefficients) -> OptimizerState:
        """State before the first update; differentiable in the init scale."""
        scaled = draw.noise * self.layout.expand(table.initial["init_scale"])
        return self.rule.init(scaled if self.constants is None else scaled + self.constants)

    def batch(self, draw: Draw, step: Step) -> Batch:
        """Examples and noise of one step; they depend on the member and the step, not on the other members."""
        index = row_of(draw.batches, step, dim=1)
        sources = None if self.sources is None else self.sources[index]
        regularisers = self.regularisers_at(step, len(draw.streams))
        return Batch(*self.examples.take(index), sources, self.noise.at(draw.keys, step), regularisers)

    def at_step(self, step: int) -> Step:
        """A step's number as this problem's device takes it: as a tensor there, if it computes while the host goes on."""
        return step if at_once(self.device) else torch.full((), step, dtype=torch.int64, device=self.device)

    def regularisers_at(self, step: Step, members: int) -> dict[str, Tensor]:
        """Tables of the regularisers that follow a schedule, before update ``step``; -1: after the last."""
        found = {name: row_of(table, step) for name, table in self.regularisers.items()}
        return {name: row.expand(members, *row.shape) for name, row in found.items()}

    def spread_batch(self, draw: Draw, examples: int) -> Batch:
        """Batch of evenly spaced training examples, at most that many, alike for all members but for their noise."""
        members, count = len(draw.streams), min(examples, len(self.examples))
        rows = self.examples.spread(count)
        inputs, labels = self.examples.take(rows)
        labels = labels.expand(members, *labels.shape)
        sources = None if self.sources is None else self.sources[rows].expand(members, -1)
        noisy = [name for name in NOISY if self.spec.start_value(name) is not None]
        shapes = self.model.noise_shapes(count, noisy) if noisy else {}
        # No update has this number: the noise is none that the weights were trained with.
        noise = Noise(shapes, self.dtype).at(draw.keys, self.at_step(self.steps))
        return Batch(inputs, labels, sources, noise, self.regularisers_at(-1, members))

    def outputs(
        self, tensors: Sequence[Tensor], loss: Tables, inputs: Tensor, noise: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """Outputs of the model: [members, batch, classes], for text [members, batch, context, classes].

        Args:
            tensors: parameters, each [members, *shape].
            loss: tables of the loss, of which the forward pass uses some.
            inputs: [members, batch, features], or [batch, features] for all members.
            noise: random numbers of the regularisers; None: regularisers are off.
        """
        wanted: tuple[str, ...] = DIALS if noise is not None else DIALS[:1]
        dials: dict[str, Tensor] = {name: loss[name] for name in wanted if name in loss}
        scaled, shared = self.multiplied(tensors, loss), inputs.dim() == 1 + len(self.examples.shape)
        return self.model.population(scaled, inputs, shared=shared, dials=dials, noise=noise or NO_NOISE)

    def multiplied(self, tensors: Sequence[Tensor], loss: Tables) -> list[Tensor]:
        """Parameters as the forward pass uses them: times the multiplier that acts on them, if it is searched."""
        found = []
        for tensor, name in zip(tensors, self.multipliers, strict=True):
            factor = None if name is None else loss.get(name)
            found.append(tensor if factor is None else tensor * factor.view(-1, *[1] * (tensor.dim() - 1)))
        return found

    def passes(self, tensors: Sequence[Tensor], loss: Tables, inputs: Tensor, noise: Mapping[str, Tensor]) -> Passes | None:
        """Forward and backward passes by hand, at the tensors times their multipliers; None if the model has none.

        A subclass that defines the training loss anew gets None, and automatic differentiation takes over.
        """
        if not self.by_hand:
            return None
        dials: dict[str, Tensor] = {name: loss[name] for name in DIALS if name in loss}
        return self.model.passes(self.multiplied(tensors, loss), inputs, dials, noise)

    def training_loss(self, tensors: Sequence[Tensor], loss: Tables, batch: Batch) -> Tensor:
        """Training loss of each member on its own batch, regularisers included, [members]; nats for classes and text."""
        loss = batch.tables(loss)
        mean = self.data_loss(self.outputs(tensors, loss, batch.inputs, batch.noise), loss, batch)
        return mean + self.penalty(tensors, loss["l2"]) if "l2" in loss else mean

    def data_loss(self, outputs: Tensor, loss: Tables, batch: Batch) -> Tensor:
        """Training loss of the model's outputs on their labels, [members]: the training loss without the penalty."""
        smoothing = loss.get("label_smoothing")
        if batch.sources is None:
            return mean_loss(self.task, outputs, batch.labels, smoothing)
        losses = per_example(self.task, outputs, batch.labels, smoothing)
        return mixed(losses, batch.sources, loss["mixture_weight"], self.shares)

    def penalty(self, tensors: Sequence[Tensor], l2: Tensor) -> Tensor:
        """L2 penalty lambda / 2 |w|^2 over matrices, [members]."""
        squares = [tensors[index].flatten(1).square().sum(dim=1) for index in self.penalised]
        return (l2[:, self.penalised] * torch.stack(squares, dim=1)).sum(dim=1) / 2

    def evaluate(self, parameters: Tensor, loss: Tables, split: Split) -> tuple[Tensor, Tensor]:
        """Mean loss without regularisers and accuracy on a whole split, each [members]; the loss is differentiable.

        Nats for classes and text; mean squared error, and accuracy NaN, for regression.
        """
        parts = groups(len(parameters), self.together)
        if len(parts) > 1:
            found = [self.evaluate(parameters[rows], of_members(loss, rows), split) for rows in parts]
            return torch.cat([losses for losses, _ in found]), torch.cat([shares for _, shares in found])
        kind = self.task.kind
        inputs = split.inputs.to(self.dtype) if split.inputs.is_floating_point() else split.inputs
        labels = split.labels.to(self.dtype) if kind == "regression" else split.labels
        outputs = self.outputs(self.layout.split(parameters), loss, inputs)
        labels = labels.expand(len(outputs), *labels.shape)
        return mean_loss(self.task, outputs, labels), accuracy(kind, outputs.detach(), labels)

    def validation_loss(self, parameters: Tensor, loss: Tables, draw: Draw, step: int | None = None) -> Tensor:  # noqa: ARG002
        """Loss [members] that judges the runs of ``draw``: of the validation split, or of its batch number ``step``."""
        split = self.data.validation
        return self.evaluate(parameters, loss, split if step is None else split.batch(step, self.batch_size))[0]

    @property
    def validation_batches(self) -> float:
        """Size of the validation split, in training batches."""
        return len(self.data.validation) / self.batch_size

    def gradient(self, parameters: Tensor, table: Coefficients, batch: Batch) -> Tensor:
        """Training gradient of each member, [members, P]."""
        return self.loss_gradient(parameters, table.loss, batch)

    def loss_gradient(self, parameters: Tensor, loss: Tables, batch: Batch) -> Tensor:
        """Training gradient of each member, [members, P], from the tables of the loss alone."""
        return self._gradient_at(self.layout.leaves(parameters), loss, batch)

    def chained(self, slopes: Sequence[Tensor], tensors: Sequence[Tensor], loss: Tables) -> Tensor:
        """Gradient of the training loss, [members, P], from that of the data loss by the multiplied tensors, ``slopes``.

        It is linear in ``slopes`` and in ``tensors``: their derivatives give the derivative of the result.
        """
        found = self.multiplied(slopes, loss)
        if "l2" in loss:
            for index in self.penalised:
                factor = loss["l2"][:, index].view(-1, *[1] * (tensors[index].dim() - 1))
                found[index] = torch.addcmul(found[index], tensors[index], factor)
        return self.layout.join(found)

    def _gradient_at(self, leaves: Sequence[Tensor], loss: Tables, batch: Batch) -> Tensor:
        loss = batch.tables(loss)
        passes = self.passes(leaves, loss, batch.inputs, batch.noise)
        if passes is not None:
            with torch.no_grad():
                outputs = passes.forward().requires_grad_()
                with torch.enable_grad():
                    (slope,) = torch.autograd.grad(self.data_loss(outputs, loss, batch).sum(), outputs)
                return self.chained(passes.backward(slope), leaves, loss)
        with torch.enable_grad():
            total = self.training_loss(leaves, loss, batch).sum()
        return self.layout.join(torch.autograd.grad(total, leaves))

    def apply_update(
        self, state: OptimizerState, gradient: Tensor, tables: Mapping[str, Tensor], step: Step
    ) -> OptimizerState:
        """State after clipping and one update with the tables of that step; differentiable in all arguments."""
        return self.rule.update(state, gradient, tables, self.layout, step)

    @torch.no_grad()
    def step_(self, state: OptimizerState, gradient: Tensor, table: Coefficients, step: Step) -> None:
        """Clip and update in place, without a graph; equals ``apply_update`` up to rounding. Overwrites the gradient."""
        self.rule.in_place(state, gradient, table.at(step), self.layout, step)

    @torch.no_grad()
    def stepped(self, state: OptimizerState, gradient: Tensor, table: Coefficients, step: Step) -> OptimizerState:
        """State after clipping and one update, without a graph; the given state and gradient stay unchanged."""
        after = tuple(part.clone() for part in state)
        self.step_(after, gradient.clone(), table, step)
        return after

    @torch.no_grad()
    def reach(
        self, state: OptimizerState, table: Coefficients, draw: Draw, start: int, stop: int, on_step: OnStep
    ) -> OptimizerState:
        """State after updates ``start`` ... ``stop - 1``, in its own memory; autograd records nothing."""
        parts = groups(len(state[0]), self.together)
        if len(parts) > 1:
            ends = [
                self.reach(tuple(part[rows] for part in state), table.of(rows), draw.of(rows), start, stop, on_step)
                for rows in parts
            ]
            return tuple(torch.cat(whole) for whole in zip(*ends, strict=True))
        running = tuple(part.clone() for part in state)
        # The leaves share their memory with the running parameters, so they move along.
        leaves = self.layout.leaves(running[0])
        for number in range(start, stop):
            step = self.at_step(number)
            self.step_(running, self._gradient_at(leaves, table.loss, self.batch(draw, step)), table, step)
            on_step(len(running[0]))
        return running

    def advance(
        self, state: OptimizerState, table: Coefficients, draw: Draw, start: int, stop: int, on_step: OnStep
    ) -> list[OptimizerState]:
        """States after updates ``start`` ... ``stop - 1``, the given one first; autograd records nothing."""
        states = [state]
        for step in range(start, stop):
            states.append(self.reach(states[-1], table, draw, step, step + 1, on_step))
        return states

    @torch.no_grad()
    def train(self, points: Tensor, draw: Draw, on_step: OnStep = silent, steps: int | None = None) -> "TrainedMembers":
        """Outcome of plain training runs; only the present state is kept in memory.

        Args:
            points: unconstrained coordinates [members, k].
            draw: random numbers of each member.
            on_step: called after every inner step.
            steps: number of updates after which to stop, under the same schedule; None: the whole run.
        """
        table = self.coefficients(points)
        stop = self.steps if steps is None else steps
        state = self.reach(self.initial(draw, table), table, draw, 0, stop, on_step)
        return TrainedMembers(state[0], detached(table.loss))


@dataclass(frozen=True)
class TrainedMembers:
    """Trained parameters, and the tables that evaluate them."""

    parameters: Tensor
    """Parameters after the last update, [members, P]."""
    loss: Tables
    """Tables of the training loss, which evaluation needs."""
