"""The inner problem: training runs of the proxy, many members as one batched computation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional

from hpo.clipping import clip_by_global_norm
from hpo.coefficients import Coefficients, coefficients, expanded
from hpo.layout import Layout
from hpo.models import MLP
from hpo.seeding import generator_of
from hpo.space import Space
from hpo.tasks import Split, TaskData
from hpo.updates import RULES, State
from windtunnel.types import JobSpec

OnStep = Callable[[int], None]
"""Called after every inner step with the number of member-steps done; it may raise to stop the run."""


def silent(member_steps: int) -> None:
    """The callback of a run that nobody watches."""


@dataclass(frozen=True)
class Draw:
    """What chance decides in the runs of a population."""

    noise: Tensor
    """Initial parameters at unit init scale, [members, P]."""
    batches: Tensor
    """Indices of training examples, [members, T, batch]."""

    def select(self, rows: Sequence[int]) -> "Draw":
        """The draw of some members, in the order given; a member may be taken more than once."""
        return Draw(self.noise[list(rows)], self.batches[list(rows)])


class InnerProblem:
    """A proxy, its data, its optimizer: everything about a training run but the hyperparameters and the seed.

    Args:
        spec: the job.
        layout: the proxy's tensors.
        init_std: standard deviation of each tensor's initial values at init scale 1.
        space: meaning of the coordinates.
        data: the task.
        dtype: float32 for work, float64 for oracles.
    """

    def __init__(
        self,
        spec: JobSpec,
        layout: Layout,
        init_std: Sequence[float],
        space: Space,
        data: TaskData,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.spec, self.layout, self.space, self.data, self.dtype = spec, layout, space, data, dtype
        self.init_std = tuple(init_std)
        self.steps, self.batch_size = spec.inner.steps, spec.inner.batch_size
        self.initial_state, self.update = RULES[spec.optimizer.name]
        with torch.device("meta"):
            self.model = self.build_module()
        self.inputs = data.train.inputs.to(dtype)
        self.labels = data.train.labels

    def build_module(self) -> nn.Module:
        """A module with the layout's tensors; its own initial values mean nothing."""
        shape, data = self.spec.model, self.data
        return MLP(data.features, data.classes, shape.width, shape.depth, shape.activation)

    def draw(self, seeds: Sequence[tuple[int, ...]]) -> Draw:
        """Initial values and batch order of one member for each seed path (job seed, purpose, outer step, index).

        Batches run through a fresh permutation of the training set in every epoch.
        """
        noises, batches = [], []
        examples = len(self.labels)
        epochs = -(-self.steps * self.batch_size // examples)
        for seed in seeds:
            generator = generator_of(seed)
            parts = [
                torch.randn(size, generator=generator, dtype=torch.float64) * std
                for size, std in zip(self.layout.sizes, self.init_std, strict=True)
            ]
            noises.append(torch.cat(parts).to(self.dtype))
            order = torch.cat([torch.randperm(examples, generator=generator) for _ in range(epochs)])
            batches.append(order[: self.steps * self.batch_size].view(self.steps, self.batch_size))
        return Draw(torch.stack(noises), torch.stack(batches))

    def coefficients(self, points: Tensor) -> Coefficients:
        """Coefficients of a population at unconstrained points [members, k], in this problem's dtype."""
        return coefficients(self.spec, self.space, self.layout, points.to(self.dtype))

    def initial(self, draw: Draw, table: Coefficients) -> State:
        """State before the first update; differentiable in the init scale."""
        return self.initial_state(draw.noise * self.layout.expand(table.init_scale))

    def batch(self, draw: Draw, step: int) -> tuple[Tensor, Tensor]:
        """Inputs [members, batch, features] and labels [members, batch] of one step."""
        index = draw.batches[:, step]
        return self.inputs[index], self.labels[index]

    def logits(self, tensors: Sequence[Tensor], output_multiplier: Tensor, inputs: Tensor) -> Tensor:
        """Logits [members, batch, classes]; inputs are [members, batch, features], or [batch, features] for all alike."""
        names = self.layout.names

        def one(parameters: Sequence[Tensor], multiplier: Tensor, features: Tensor) -> Tensor:
            named = dict(zip(names, parameters, strict=True))
            named["readout.weight"] = named["readout.weight"] * multiplier
            outputs: Tensor = functional_call(self.model, named, (features,))
            return outputs

        if output_multiplier.shape[0] == 1:
            # A population of one pays for batching and gains nothing.
            alone = inputs if inputs.dim() == 2 else inputs[0]
            return one([tensor[0] for tensor in tensors], output_multiplier[0], alone)[None]
        axis = None if inputs.dim() == 2 else 0
        return vmap(one, in_dims=(0, 0, axis))(list(tensors), output_multiplier, inputs)

    def training_loss(self, tensors: Sequence[Tensor], output_multiplier: Tensor, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Mean cross-entropy of each member's own batch in nats, [members]."""
        inputs, labels = batch
        logits = self.logits(tensors, output_multiplier, inputs)
        members, size = labels.shape
        losses = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
        return losses.view(members, size).mean(dim=1)

    def evaluate(self, parameters: Tensor, output_multiplier: Tensor, split: Split) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy in nats and accuracy on a whole split, each [members]; the loss is differentiable."""
        logits = self.logits(self.layout.split(parameters), output_multiplier, split.inputs.to(self.dtype))
        members = logits.shape[0]
        labels = split.labels.expand(members, -1)
        losses = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
        accuracy = (logits.detach().argmax(dim=2) == labels).to(self.dtype).mean(dim=1)
        return losses.view(members, -1).mean(dim=1), accuracy

    def gradient(self, parameters: Tensor, table: Coefficients, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Training gradient of each member, [members, P]."""
        leaves = [part.detach().requires_grad_() for part in self.layout.split(parameters)]
        with torch.enable_grad():
            loss = self.training_loss(leaves, table.output_multiplier, batch).sum()
        return self.layout.join(torch.autograd.grad(loss, leaves))

    def apply_update(self, state: State, gradient: Tensor, tables: Mapping[str, Tensor], step: int) -> State:
        """Clip, then update, with the tables of that step; differentiable in all of its arguments."""
        terms = expanded(tables, self.layout)
        if terms.clip_norm is not None:
            gradient = clip_by_global_norm(gradient, terms.clip_norm)
        return self.update(state, gradient, terms, step)

    @torch.no_grad()
    def advance(self, state: State, table: Coefficients, draw: Draw, start: int, stop: int, on_step: OnStep) -> list[State]:
        """States after updates ``start`` ... ``stop - 1``, the given one first; nothing is recorded for autograd."""
        states = [state]
        for step in range(start, stop):
            gradient = self.gradient(states[-1][0], table, self.batch(draw, step))
            states.append(self.apply_update(states[-1], gradient, table.at(step), step))
            on_step(gradient.shape[0])
        return states

    @torch.no_grad()
    def train(self, points: Tensor, draw: Draw, on_step: OnStep = silent, steps: int | None = None) -> "TrainedMembers":
        """Plain training runs; only the running state is kept.

        Args:
            points: unconstrained coordinates [members, k].
            draw: one member each.
            on_step: called after every inner step.
            steps: stop after so many updates of the same schedule; the whole run by default.
        """
        table = self.coefficients(points)
        state = self.initial(draw, table)
        for step in range(self.steps if steps is None else steps):
            state = self.advance(state, table, draw, step, step + 1, on_step)[-1]
        return TrainedMembers(state[0], table.output_multiplier)


@dataclass(frozen=True)
class TrainedMembers:
    """The outcome of training runs."""

    parameters: Tensor
    """[members, P]"""
    output_multiplier: Tensor
    """[members]"""
