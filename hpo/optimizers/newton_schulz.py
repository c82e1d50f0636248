"""Newton-Schulz: makes the singular values of matrices about 1 and keeps their singular vectors, by matrix products alone.

X <- a X + (b G + c G^2) X with G = X X^T, from X = M / |M|. The polynomial is steep at 0, so that small singular values
grow fast; it does not settle at 1 but between about 0.7 and 1.2 (Jordan et al. 2024, whose coefficients these are).
"""

import torch
from torch import Tensor

A, B, C = 3.4445, -4.7750, 2.0315
LEAST_NORM = 1e-7
"""Norm under which a matrix is divided by this in place of its norm, as torch.optim.Muon does."""


def orthogonalised(matrices: Tensor, steps: int) -> Tensor:
    """Matrices [n, rows, columns] with singular values about 1, in their own precision; differentiable, in every mode.

    A matrix of zeros stays one, and counts as a constant: nothing has moved it yet.
    """
    tall = _tall(matrices)
    found = _unit(matrices.mT if tall else matrices)
    for _ in range(steps):
        gram = found @ found.mT
        found = torch.baddbmm(found, _mixed(gram), found, beta=A)
    return found.mT if tall else found


class Orthogonalised:
    """Orthogonalised matrices, and the derivative: closed form of ``orthogonalised``, which holds one matrix an iteration.

    Args:
        matrices: [n, rows, columns]; they are not changed.
        steps: iterations.
    """

    def __init__(self, matrices: Tensor, steps: int) -> None:
        self.tall = _tall(matrices)
        wide = matrices.mT if self.tall else matrices
        self.norm = torch.linalg.vector_norm(wide, dim=(1, 2), keepdim=True)
        self.path = [_unit(wide)]
        for _ in range(steps):
            last = self.path[-1]
            self.path.append(torch.baddbmm(last, _mixed(last @ last.mT), last, beta=A))

    @property
    def result(self) -> Tensor:
        """The orthogonalised matrices, [n, rows, columns]."""
        return self.path[-1].mT if self.tall else self.path[-1]

    def pull_back(self, adjoint: Tensor) -> Tensor:
        """Adjoint of the matrices from that of the result, both [n, rows, columns]."""
        back = adjoint.mT if self.tall else adjoint
        for before in reversed(self.path[:-1]):
            gram = before @ before.mT
            direct = torch.baddbmm(back, _mixed(gram), back, beta=A)
            outer = back @ before.mT
            outer = outer + outer.mT
            crossed = gram @ outer
            to_gram = (crossed + crossed.mT).mul_(C).add_(outer, alpha=B)
            back = torch.baddbmm(direct, to_gram, before)
        # Through M / max(|M|, least): along M itself nothing changes where the norm divides.
        unit = self.path[0]
        along = (back * unit).sum(dim=(1, 2), keepdim=True)
        back = torch.where(self.norm > LEAST_NORM, back - along * unit, back) / self.norm.clamp(min=LEAST_NORM)
        found: Tensor = back * self.norm.sign()
        return found.mT if self.tall else found


def _tall(matrices: Tensor) -> bool:
    """Whether the matrices are transposed, so that the products are of the smaller side."""
    return matrices.shape[1] > matrices.shape[2]


def _mixed(gram: Tensor) -> Tensor:
    """B G + C G^2."""
    return torch.baddbmm(gram, gram, gram, beta=B, alpha=C)


def _unit(matrices: Tensor) -> Tensor:
    """Matrices over their Frobenius norms; the root has no derivative at 0, where a matrix counts as a constant."""
    square = matrices.square().sum(dim=(1, 2), keepdim=True)
    norm = torch.where(square > 0, square, 1.0).sqrt().clamp(min=LEAST_NORM)
    return matrices * torch.where(square > 0, 1 / norm, 0.0)
