"""Rules by which a weight decay scales with the width: one shrinkage per step, in either of two conventions. No torch.

A step shrinks a tensor by ``shrink * w``. Packages disagree about what their decay is:

    decoupled, and L2 under SGD    shrink = lr * lambda     (torch.optim.AdamW)
    independent                    shrink = lambda          (Loshchilov & Hutter 2019, section 3)

A rule says how the shrinkage scales with the width; lambda follows from the convention. For hidden matrices of muP
under Adam, whose rate is eta / m:

    rule           shrink      lambda in lr * lambda * w    lambda in lambda * w
    independent    1           lambda * m                   lambda
    sqrt           1/sqrt(m)   lambda * sqrt(m)             lambda / sqrt(m)
    none           1/m         lambda                       lambda / m

* ``independent`` (Wang & Aitchison 2024, arXiv:2405.13698; Dey et al. 2025, table 1): 1 / (lr * lambda) is the number
  of steps over which AdamW averages its updates, and it stays. Coherent weights settle at lr / (lr * lambda) =
  1/lambda, which falls like 1/m as muP's hidden updates do.
* ``sqrt`` (Fan et al. 2025, arXiv:2510.15262): keeps the top singular value of hidden matrices, measured to settle at
  about sqrt(lr / lambda) m^0.75. For hidden matrices under Adam and AdamW.
* ``none``: lambda is copied as the number that torch.optim.AdamW takes.

Over depth, lambda of lr * lambda is copied (Dey et al. 2025, table 1), so that 1/lambda stays where the rate goes
with m_L.

L2 inside Adam is divided by the gradient's size; entries of hidden weights are of order 1/sqrt(m) at init and what
they learn is of order 1/m, so ``lambda w / g`` has no single width exponent, and there is no rule.
"""

from windtunnel.types.optimizers import DecayKind, OptimizerInfo
from windtunnel.types.powers import ONE, Power
from windtunnel.types.results import Role
from windtunnel.types.transfer import DecayRule


def decay_power(
    rule: DecayRule, kind: DecayKind, optimizer: OptimizerInfo, role: Role, learning_rate: Power
) -> Power | None:
    """Power law of lambda in width and depth; None if no rule exists (L2 inside Adam).

    Args:
        rule: how the shrinkage scales with the width.
        kind: the convention of lambda.
        optimizer: the update rule.
        role: role of the tensor.
        learning_rate: power law of the tensor's learning rate, in width and depth.
    """
    if not optimizer.carries(kind):
        return None
    over_depth = Power(depth=learning_rate.depth)
    over_width = learning_rate / over_depth
    match rule:
        case "independent":
            shrink = ONE
        case "sqrt":
            shrink = Power(fan_in=-0.5) if role == "hidden" else ONE
        case "none":
            shrink = over_width
    return shrink * over_depth if kind == "independent" else shrink / over_width
