"""A population of networks whose weights respond to hyperparameters: forward passes, effective weights, their norms."""

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from hpo.best_response.layers import ANSWER, BIAS_ANSWER, BIAS_GAIN, GAIN, MOVED, Responding, respond
from hpo.families.dials import NO_NOISE
from hpo.layout import Layout
from hpo.seeding import Stream, generator_of
from hpo.training.coefficients import Tables
from hpo.training.problem import DIALS, InnerProblem, with_buffers_on
from windtunnel.types import TensorFacts


class ResponseNetwork:
    """The job's model with a response in every layer that has weights.

    Args:
        problem: inner problem of the job.
        coordinates: number k of hyperparameters that the weights respond to.
    """

    def __init__(self, problem: InnerProblem, coordinates: int) -> None:
        self.problem, self.coordinates = problem, coordinates
        with torch.device("meta"):
            self.model = with_buffers_on(problem.build_module().to(problem.dtype), problem.device)
            self.layers = respond(self.model, coordinates)
        shapes = {name: list(value.shape) for name, value in self.model.named_parameters()}
        own = set(problem.layout.names)
        # The layout of a response is read for names and sizes only.
        facts = [TensorFacts(name=name, shape=shape, role="vector") for name, shape in shapes.items() if name not in own]
        self.layout = Layout(facts)
        self._weights = {name: index for index, name in enumerate(problem.layout.names)}
        self._parts = {name: index for index, name in enumerate(self.layout.names)}
        self._embeddings = {name for name in self.layers if self._is_embedding(name)}
        covered = {f"{layer}.weight": layer for layer in self.layers}
        self._penalised = [(index, covered.get(problem.layout.names[index])) for index in problem.penalised]

    def _is_embedding(self, layer: str) -> bool:
        return cast("Responding", self.model.get_submodule(layer)).is_embedding

    def outputs(
        self,
        weights: Sequence[Tensor],
        response: Sequence[Tensor],
        moved: Tensor,
        inputs: Tensor,
        dials: Tables,
        noise: Mapping[str, Tensor],
    ) -> Tensor:
        """Outputs of every member, each example under its own h.

        Args:
            weights: tensors as the forward pass uses them, each [members, *shape].
            response: parts of ``layout``, each [members, *shape].
            moved: input h of the response, [members, batch, k].
            inputs: inputs of the model, [members, batch, ...].
            dials: dials of the model, each [members], or [members, batch] if examples differ in it.
            noise: random numbers of the regularisers, each [members, ...].
        """
        names = self.problem.layout.names

        def one(
            own: Sequence[Tensor],
            answers: Sequence[Tensor],
            at: Tensor,
            features: Tensor,
            settings: Mapping[str, Tensor],
            random: Mapping[str, Tensor],
        ) -> Tensor:
            state = dict(zip(names, own, strict=True)) | dict(zip(self.layout.names, answers, strict=True))
            state |= {f"{layer}.{MOVED}": at for layer in self.layers}
            found: Tensor = functional_call(self.model, state, (features, settings, random))
            return found

        arguments = (list(weights), list(response), moved, inputs, dict(dials), dict(noise))
        if len(moved) == 1:
            weights, response, moved, inputs = [w[0] for w in weights], [r[0] for r in response], moved[0], inputs[0]
            alone = [{name: table[0] for name, table in group.items()} for group in (dials, noise)]
            return one(weights, response, moved, inputs, *alone)[None]
        found: Tensor = vmap(one)(*arguments)
        return found

    def training_outputs(
        self,
        weights: Sequence[Tensor],
        response: Sequence[Tensor],
        moved: Tensor,
        inputs: Tensor,
        loss: Tables,
        noise: Mapping[str, Tensor],
    ) -> Tensor:
        """Outputs of every member under the tables of the loss, with multipliers and dials."""
        own = self.problem.multiplied(weights, loss)
        dials: dict[str, Tensor] = {name: loss[name] for name in DIALS if name in loss}
        return self.outputs(own, self._multiplied(response, loss), moved, inputs, dials, noise)

    def plain_outputs(
        self, weights: Sequence[Tensor], response: Sequence[Tensor], moved: Tensor, inputs: Tensor, loss: Tables
    ) -> Tensor:
        """Outputs of every member without regularisers, as a validation loss needs them."""
        own = self.problem.multiplied(weights, loss)
        dials: dict[str, Tensor] = {name: loss[name] for name in DIALS[:1] if name in loss}
        return self.outputs(own, self._multiplied(response, loss), moved, inputs, dials, NO_NOISE)

    def _multiplied(self, response: Sequence[Tensor], loss: Tables) -> list[Tensor]:
        """Parts of the response, with its rows multiplied by the multiplier of the tensor that they change."""
        found = list(response)
        for layer in self.layers:
            name = self.problem.multipliers[self._weights[f"{layer}.weight"]]
            factor = None if name is None else loss.get(name)
            if factor is not None:
                place = self._parts[f"{layer}.{ANSWER}"]
                found[place] = found[place] * factor.view(-1, *[1] * (found[place].dim() - 1))
        return found

    def effective(self, weights: Tensor, response: Tensor, moved: Tensor) -> Tensor:
        """Weights of members whose examples all share one h, [members, P].

        Args:
            weights: weights at h = 0, [members, P].
            response: response, [members, R].
            moved: h, [members, k].
        """
        found, parts = self.problem.layout.split(weights), self.layout.split(response)
        for layer in self.layers:
            own, gains = self._weights[f"{layer}.weight"], self._gains(parts, f"{layer}.{GAIN}", moved[:, None])[:, 0]
            rows = self._rows(layer, parts[self._parts[f"{layer}.{ANSWER}"]]) * gains[:, :, None]
            found[own] = found[own] + self._unrows(layer, rows, found[own])
            bias = self._weights.get(f"{layer}.bias")
            if bias is not None:
                gains = self._gains(parts, f"{layer}.{BIAS_GAIN}", moved[:, None])[:, 0]
                found[bias] = found[bias] + gains * parts[self._parts[f"{layer}.{BIAS_ANSWER}"]]
        return self.problem.layout.join(found)

    def squares(self, weights: Sequence[Tensor], response: Sequence[Tensor], moved: Tensor) -> Tensor:
        """Squared norm |w(h)|^2 of every penalised tensor for each example, [members, batch, tensors].

        |W + diag(g) W_r|^2 = |W|^2 + 2 sum_r g_r <W, W_r>_r + sum_r g_r^2 |W_r|_r^2, so no example needs its own weights.
        """
        found = []
        for index, layer in self._penalised:
            own = weights[index]
            if layer is None:
                found.append(own.flatten(1).square().sum(dim=1)[:, None].expand(moved.shape[:2]))
                continue
            rows = self._rows(layer, own)
            answers = self._rows(layer, response[self._parts[f"{layer}.{ANSWER}"]])
            gains = self._gains(response, f"{layer}.{GAIN}", moved)
            crossed, squared = (rows * answers).sum(dim=2)[:, None], answers.square().sum(dim=2)[:, None]
            fixed = rows.square().sum(dim=(1, 2))[:, None]
            found.append(fixed + (gains * (2 * crossed + gains * squared)).sum(dim=2))
        return torch.stack(found, dim=2)

    def _gains(self, response: Sequence[Tensor], name: str, moved: Tensor) -> Tensor:
        """Gains V h of a layer, [members, batch, channels]."""
        return moved @ response[self._parts[name]].mT

    def _rows(self, layer: str, tensor: Tensor) -> Tensor:
        """A weight as one row per channel, [members, channels, row]."""
        return tensor.mT if layer in self._embeddings else tensor.flatten(2)

    def _unrows(self, layer: str, rows: Tensor, like: Tensor) -> Tensor:
        """Rows [members, channels, row] in the shape of the weight ``like``: the inverse of ``_rows``."""
        return rows.mT if layer in self._embeddings else rows.view_as(like)

    def initial(self, streams: Sequence[int]) -> Tensor:
        """Initial response, [members, R]: it is zero, and can grow.

        W_r and b_r are 0, and V and C normal with variance 1 / k, so that an h of order 1 moves a row by W_r times order 1.
        """
        rows = []
        for stream in streams:
            generator = generator_of((stream, Stream.RESPONSE))
            parts = [
                torch.randn(size, generator=generator, dtype=torch.float64) / self.coordinates**0.5
                if name.endswith((f".{GAIN}", f".{BIAS_GAIN}"))
                else torch.zeros(size, dtype=torch.float64)
                for name, size in zip(self.layout.names, self.layout.sizes, strict=True)
            ]
            rows.append(torch.cat(parts))
        return torch.stack(rows).to(self.problem.dtype)
