"""Computes spectral norms of weight matrices over sqrt(fan_out / fan_in).

Yang, Simon and Bernstein 2023, "A spectral condition for feature learning": features are learned at every width alike
if ``|W|_2`` and ``|change of W|_2`` are both of the order of sqrt(fan_out / fan_in). The norm over that root should then
have exponent 0 in the width.
"""

from collections.abc import Sequence
from math import prod, sqrt

import torch
from torch import Tensor

SMALL = 256
"""Largest smaller side of a matrix for which the eigenvalues of its smaller Gram matrix are cheaper than Lanczos."""
LANCZOS_STEPS = 40
"""Steps that find the largest of a random matrix's 1024 singular values to 4 digits, and a low-rank change's exactly."""


def relative_spectral_norm(matrix: Tensor, *, lookup: bool = False, over: Sequence[int] = ()) -> float:
    """Spectral norm |W|_2 over sqrt(fan_out / fan_in).

    A convolution is the matrix from its windows to its channels, and several matrices in one tensor, as of experts, are
    the matrix of all of their outputs. A lookup table [entries, width] outputs single rows, never
    sums of them, so its norm is that of the longest row over sqrt(width): the operator norm from the 1-norm of inputs to
    the 2-norm of outputs.

    Args:
        matrix: [fan_out, fan_in, ...]; [entries, width] for a table.
        lookup: whether the matrix is a lookup table.
        over: dimensions that one output sums over; by default all but the first.

    Returns:
        The norm; infinite if an entry is not finite.
    """
    flat = matrix.detach().flatten(1)
    if over:
        terms = prod(matrix.shape[axis] for axis in over)
        flat = matrix.detach().movedim(tuple(over), tuple(range(-len(over), 0))).reshape(-1, terms)
    if not flat.isfinite().all():
        return float("inf")
    rows, columns = flat.shape
    if lookup:
        return float(torch.linalg.vector_norm(flat, dim=1).amax()) / sqrt(columns)
    return spectral_norm(flat) / sqrt(rows / columns)


def spectral_norm(matrix: Tensor) -> float:
    """Largest singular value of a finite matrix [rows, columns]."""
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    if tall.shape[1] > SMALL:
        return _lanczos(tall)
    exact = tall.double()
    return sqrt(max(torch.linalg.eigvalsh(exact.T @ exact)[-1].item(), 0.0))


def _lanczos(matrix: Tensor) -> float:
    """Largest singular value by Lanczos on W^T W (Golub and Van Loan 2013, chapter 10), from a fixed start.

    There is no reorthogonalisation: it would only remove copies of converged Ritz values, which do not change the largest.
    """
    start = torch.randn(matrix.shape[1], generator=torch.Generator().manual_seed(0)).to(matrix)
    vector, previous, length = start / start.norm(), torch.zeros_like(start), 0.0
    diagonal: list[float] = []
    beside: list[float] = []
    for _ in range(LANCZOS_STEPS):
        image = matrix.T.mv(matrix.mv(vector)).sub_(previous, alpha=length)
        diagonal.append(image.dot(vector).item())
        image = image.sub_(vector, alpha=diagonal[-1])
        length = image.norm().item()
        if length <= 1e-6 * max(diagonal):
            break
        beside.append(length)
        previous, vector = vector, image / length
    sides = torch.tensor(beside[: len(diagonal) - 1], dtype=torch.float64)
    tridiagonal = torch.diag(torch.tensor(diagonal, dtype=torch.float64)) + torch.diag(sides, 1) + torch.diag(sides, -1)
    return sqrt(max(torch.linalg.eigvalsh(tridiagonal)[-1].item(), 0.0))
