"""Noise of the regularisers during training, by member and step."""

from collections.abc import Mapping
from itertools import pairwise
from math import prod

import torch
from torch import Tensor

from hpo.devices import at_once
from hpo.noise import Step, keys_of, normal

TOGETHER = 2**16
"""Numbers that are made at once where one step needs fewer: the calls cost more than the numbers of a small model."""
HELD = 2**21
"""Most numbers that are kept, over all populations."""


class Noise:
    """Standard normal numbers of one step, as a model's regularisers need them.

    Args:
        shapes: name -> shape of the numbers of one member at one step.
        dtype: dtype of the numbers.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype) -> None:
        self.shapes, self.dtype = dict(shapes), dtype
        self._sizes = [prod(shape) for shape in self.shapes.values()]
        self._ends = [0, *(sum(self._sizes[: index + 1]) for index in range(len(self._sizes)))]
        self._blocks: dict[tuple[object, ...], Tensor] = {}

    def at(self, keys: Tensor, step: Step) -> dict[str, Tensor]:
        """Numbers of one step, each [members, *shape].

        Args:
            keys: seed of each member's stream, [members] int64.
            step: number of the step.
        """
        if not self.shapes:
            return {}
        numbers = self._whole(keys, step)
        parts = [numbers[:, low:high] for low, high in pairwise(self._ends)]
        return {name: part.view(-1, *shape) for part, (name, shape) in zip(parts, self.shapes.items(), strict=True)}

    def _whole(self, keys: Tensor, step: Step) -> Tensor:
        """All numbers of one step, [members, numbers]."""
        size = self._ends[-1]
        steps = TOGETHER // (size * len(keys))
        if steps < 2 or not isinstance(step, int) or not at_once(keys.device):
            return normal(keys_of(keys, step), size, self.dtype)
        number, place = divmod(step, steps)
        wanted = (tuple(keys.tolist()), number)
        if wanted not in self._blocks:
            several = torch.arange(number * steps, (number + 1) * steps)
            self._blocks[wanted] = normal(keys_of(keys[:, None], several), size, self.dtype)
            while sum(block.numel() for block in self._blocks.values()) > HELD:
                del self._blocks[next(iter(self._blocks))]
        return self._blocks[wanted][:, place]
