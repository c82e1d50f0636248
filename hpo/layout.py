"""Maps named tensors to places in the flat parameter vector of a member."""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from windtunnel.types import TensorFacts


class Layout:
    """Map between named tensors and slices of a flat vector of P parameters, with any number of members in front.

    With one flat vector an optimizer update takes a few kernels, however many tensors a model has.
    """

    def __init__(self, tensors: Sequence[TensorFacts]) -> None:
        self.tensors = tuple(tensors)
        self.names = [tensor.name for tensor in tensors]
        self.shapes = [tuple(tensor.shape) for tensor in tensors]
        self.sizes = [prod(shape) for shape in self.shapes]

    @property
    def parameters(self) -> int:
        """Number P of parameters of a member."""
        return sum(self.sizes)

    def split(self, flat: Tensor) -> list[Tensor]:
        """Views [members, *shape] of a flat [members, P], in order."""
        parts = torch.split_with_sizes(flat, self.sizes, dim=1)
        return [part.view(len(flat), *shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def leaves(self, flat: Tensor) -> list[Tensor]:
        """Views [members, *shape] as leaves to differentiate by; they share their memory with ``flat`` [members, P]."""
        return [part.requires_grad_() for part in self.split(flat.detach())]

    def join(self, tensors: Sequence[Tensor]) -> Tensor:
        """Flat vector [members, P] of tensors [members, *shape]: the inverse of ``split``."""
        return torch.cat([tensor.reshape(len(tensor), -1) for tensor in tensors], dim=1)

    def expand(self, per_tensor: Tensor) -> Tensor:
        """One value per parameter, [members, P], from one value per tensor, [members, tensors]; differentiable."""
        members = per_tensor.shape[0]
        columns = per_tensor.unbind(dim=1)
        return torch.cat(
            [column[:, None].expand(members, size) for column, size in zip(columns, self.sizes, strict=True)], dim=1
        )

    def multiply_(self, flat: Tensor, per_tensor: Tensor) -> Tensor:
        """Multiplies each tensor of a flat [members, P], in place, by its value of [members, tensors], or of [members, 1].

        ``expand`` would write another vector of the size of the parameters, and every kernel would read it.
        """
        if per_tensor.shape[1] == 1:
            return flat.mul_(per_tensor)
        torch._foreach_mul_(self.slices(flat), per_tensor.tensor_split(per_tensor.shape[1], dim=1))
        return flat

    def add_(self, flat: Tensor, per_tensor: Tensor) -> Tensor:
        """Adds to each tensor of a flat [members, P] its value of [members, tensors], or to all [members, 1]; in place."""
        if per_tensor.shape[1] == 1:
            return flat.add_(per_tensor)
        torch._foreach_add_(self.slices(flat), per_tensor.tensor_split(per_tensor.shape[1], dim=1))
        return flat

    def sums(self, flat: Tensor) -> Tensor:
        """Sum over each tensor of a flat [members, P], [members, tensors]: the transpose of ``expand``."""
        return torch.cat([part.sum(dim=1, keepdim=True) for part in self.slices(flat)], dim=1)

    def slices(self, flat: Tensor) -> tuple[Tensor, ...]:
        """Views [members, size] of each tensor of a flat [members, P], in order."""
        return torch.split_with_sizes(flat, self.sizes, dim=1)
