"""Rules by which values scale with the depth of a residual network: CompleteP and depth-muP. Imports no torch.

Source: Dey et al. 2025, "Don't be lazy: CompleteP enables compute-efficient deep transformers" (arXiv:2505.01618),
table 1 and equation 40, for pre-norm transformers under AdamW; alpha = 1 is CompleteP, alpha = 1/2 depth-muP (Yang et
al. 2023, Tensor Programs VI, arXiv:2310.02244). m_L is the target's number of blocks over the proxy's.

    residual branch                           x + m_L^-alpha * branch(x)
    learning rate of tensors in a block       * m_L^(alpha - 1)
    Adam's eps of tensors in a block          * m_L^-alpha
    weight decay, where a step is lr*lambda   as it is
    everything outside of blocks              as it is

**Derivation.** At init the branches are uncorrelated: L of them of size L^-alpha sum to L^(1/2 - alpha), bounded from
alpha = 1/2 on. What training adds is coherent over branches: L changes of size L^-alpha * rate are of order 1 where
the rate goes as L^(alpha - 1). Gradients of all tensors of a branch carry its factor L^-alpha once, and eps keeps its
ratio to them. At alpha = 1 each block's own weights move by order 1 against their initial values; below, they move
less and less ("lazy" layers). All of this holds for any update whose size does not depend on the gradient's. Muon's
matrices follow it, too: at alpha = 1 only the branch's factor 1/m_L moves. That is derived here from the same sums; the
paper trained with AdamW.

The factor is the forward multiplier of the branch's last matrix, in which the branch is linear. A bias of that matrix
cannot carry it, so it is folded in by abc-symmetry with theta = m_L^alpha: rate * m_L^-1, eps as it is.
"""

from dataclasses import replace

from hpo.mup.growth import BranchPart
from hpo.mup.tables import Entry
from windtunnel.types.powers import Power
from windtunnel.types.results import Role


def deepened(entry: Entry, role: Role, part: BranchPart, exponent: float) -> Entry:
    """The entry of a tensor with its powers of m_L, for updates whose size does not depend on the gradient's.

    Args:
        entry: power laws of the role in the width.
        role: role of the tensor.
        part: place of the tensor in a residual block.
        exponent: alpha.
    """
    if part == "outside":
        return entry
    if part == "end" and role in ("vector", "scalar"):
        return replace(entry, adam=entry.adam * Power(depth=-1))
    return replace(
        entry,
        adam=entry.adam * Power(depth=exponent - 1),
        orthogonal=None if entry.orthogonal is None else entry.orthogonal * Power(depth=exponent - 1),
        gradient=entry.gradient * Power(depth=-exponent),
        multiplier=entry.multiplier * Power(depth=-exponent) if part == "end" else entry.multiplier,
    )
