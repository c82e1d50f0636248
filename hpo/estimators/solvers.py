"""Approximate solutions of A x = b for many members at once, with A known only by its products."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hpo.devices import at_once

Product = Callable[[Tensor], Tensor]
"""v -> A v, separate for each member, [members, P] -> [members, P]. A is symmetric."""

POWER_STEPS = 10
"""Products that the Neumann series spends on estimating the size of the largest eigenvalue."""


def conjugate_gradient(product: Product, right: Tensor, steps: int) -> Tensor:
    """Approximate A^-1 b, [members, P], after at most ``steps`` iterations of conjugate residuals from 0.

    Conjugate residuals (Stiefel 1955; Saad 2003, algorithm 6.20) are the residual-minimising form of the conjugate gradient
    method. They take as many products as plain conjugate gradients (Hestenes & Stiefel 1952) and end at the same solution.
    On the way they give the x of least |b - A x| in the Krylov space, even if A is not positive definite, as the Hessian of
    a network in training is not: the plain form would then divide by curvatures near 0. A member stops once its residual is
    down to rounding.

    Args:
        product: product with A.
        right: b, [members, P].
        steps: most products spent.
    """
    found, rest, direction = torch.zeros_like(right), right, right
    image = product(right)
    pushed = image
    inner = _dot(rest, image)
    floor = _dot(right, right) * torch.finfo(right.dtype).eps ** 2
    for step in range(steps):
        size = _dot(pushed, pushed)
        live = (_dot(rest, rest) > floor) & (size > 0) & (inner != 0)
        length = torch.where(live, inner / torch.where(live, size, 1.0), 0.0)
        found = found + length * direction
        rest = rest - length * pushed
        # Where a look would wait for the device, members that are done go on without a change.
        if step + 1 == steps or (at_once(right.device) and not live.any()):
            break
        image = product(rest)
        after = _dot(rest, image)
        turn = torch.where(live, after / torch.where(live, inner, 1.0), 0.0)
        direction, pushed = rest + turn * direction, image + turn * pushed
        inner = torch.where(live, after, 0.0)
    return found


def neumann(product: Product, right: Tensor, steps: int, start: Tensor) -> Tensor:
    """x = a sum_(j <= steps) (I - a A)^j b (Lorraine et al. 2020), with a = 1 / |largest eigenvalue| of each member.

    The series converges if A is positive definite, at the rate 1 - smallest / largest eigenvalue.

    Args:
        product: product with A.
        right: b, [members, P].
        steps: terms beyond the first.
        start: random vectors from which the power iteration for the largest eigenvalue begins, [members, P].
    """
    vector = start
    for _ in range(POWER_STEPS):
        vector = product(vector / vector.norm(dim=1, keepdim=True))
    largest = vector.norm(dim=1, keepdim=True)
    rate = torch.where(largest > 0, 1 / torch.where(largest > 0, largest, 1.0), 0.0)
    term = rate * right
    found = term
    for _ in range(steps):
        term = term - rate * product(term)
        found = found + term
    return found


def nystrom(product: Product, right: Tensor, damping: float, directions: Tensor) -> Tensor:
    """(H + rho I)^-1 b by the Nystrom approximation of H: no iteration, no step size.

    H ~ C M^-1 C^T with C = H S, M = S^T C (Hataya & Yamada 2023; there S picks columns of H). Here S is an orthonormal
    basis of H times random directions: one such turn towards the large eigenvalues makes up for their being few among many
    (Halko et al. 2011, section 4.5). With U diag(l) U^T its eigendecomposition,
    x = U diag(1 / (l + rho)) U^T b + (b - U U^T b) / (l_r + rho): directions outside of the basis count with the smallest
    curvature found inside it (Frangella et al. 2023, section 5); the plain inverse would divide them by rho alone.
    Directions in which H curves downward are left out.

    Args:
        product: product with H, without damping.
        right: b, [members, P].
        damping: rho.
        directions: random, [members, P, r]; two products are spent on each.
    """
    sketch = torch.linalg.qr(_images(product, directions)).Q
    columns = _images(product, sketch).double()
    middle = sketch.double().mT @ columns
    curvature, turn = torch.linalg.eigh((middle + middle.mT) / 2)
    upward = curvature > curvature.amax(dim=1, keepdim=True) * curvature.shape[1] * torch.finfo(right.dtype).eps
    scale = torch.where(upward, torch.where(upward, curvature, 1.0).rsqrt(), 0.0)
    basis, root, _ = torch.linalg.svd((columns @ turn) * scale[:, None], full_matrices=False)
    # Columns left out are 0 and sort last.
    kept = torch.arange(root.shape[1], device=root.device) < upward.sum(dim=1, keepdim=True)
    values = root.square()
    least = torch.where(kept, values, math.inf).amin(dim=1, keepdim=True)
    wide = right.double()
    seen = torch.where(kept, (basis.mT @ wide[:, :, None])[:, :, 0], 0.0)
    known = (basis @ (seen / (values + damping)).where(kept, 0.0)[:, :, None])[:, :, 0]
    unknown = (wide - (basis @ seen[:, :, None])[:, :, 0]) / (least + damping)
    found: Tensor = (known + unknown).to(right.dtype)
    return found


def _images(product: Product, directions: Tensor) -> Tensor:
    """Product with each column of the directions, [members, P, r]."""
    return torch.stack([product(directions[:, :, rank]) for rank in range(directions.shape[2])], dim=2)


@dataclass
class Counted:
    """A product that counts its calls."""

    product: Product
    count: int = 0

    def __call__(self, vector: Tensor) -> Tensor:
        """A v, [members, P]."""
        self.count += 1
        return self.product(vector)


def _dot(left: Tensor, right: Tensor) -> Tensor:
    """Inner product of each member's vectors, [members, 1]."""
    found: Tensor = torch.linalg.vecdot(left, right)[:, None]
    return found
