"""Closed-form vector-Jacobian products of clipping and of the update rules, on flat tensors, in place.

``hpo.updates`` defines the rules; autograd through it gives the same numbers, with three times the kernels and with
cotangents of tables that nobody asked for.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from hpo.layout import Layout
from hpo.optimizers.clipping import STABILITY
from hpo.training.problem import InnerProblem
from hpo.updates import OptimizerState
from windtunnel.types import OptimizerName

Cotangents = dict[str, Tensor]
"""By name of the table, in the table's shape."""


@dataclass(frozen=True)
class Applied:
    """One update, as it was made."""

    before: OptimizerState
    after: OptimizerState
    gradient: Tensor
    """Of the training loss, before clipping, [members, P]."""
    tables: Mapping[str, Tensor]
    """``Coefficients.at`` of that step."""
    layout: Layout
    step: int

    def total(self, name: str, flat: Tensor) -> Tensor:
        """Cotangent of a table that was spread over [members, P]: summed over the parameters that share a value."""
        return flat.sum(dim=1, keepdim=True) if self.tables[name].shape[1] == 1 else self.layout.sums(flat)


def pull_back(
    problem: InnerProblem, update: Applied, adjoint: OptimizerState, wanted: Collection[str]
) -> tuple[OptimizerState, Tensor, Cotangents]:
    """Vector-Jacobian product of clip and update.

    Args:
        problem: whose update it is.
        update: what was done.
        adjoint: of each part of the state after, [members, P]; its memory may be used for what is returned.
        wanted: names of the tables whose cotangents are needed.

    Returns:
        The adjoint of the state before, without what reaches the parameters through the loss; that of the gradient,
        [members, P]; and the cotangents.
    """
    if not problem.closed_form:
        return by_autograd(problem, update, adjoint, wanted)
    found: Cotangents = {}
    to_gradient = _through_update(problem.spec.optimizer.name, update, adjoint, wanted, found)
    return adjoint, to_gradient, found


def by_autograd(
    problem: InnerProblem, update: Applied, adjoint: OptimizerState, wanted: Collection[str]
) -> tuple[OptimizerState, Tensor, Cotangents]:
    """``pull_back`` through the graph of ``InnerProblem.apply_update``: for any update, and what the closed forms equal."""
    inputs = [part.detach().requires_grad_() for part in (*update.before, update.gradient)]
    tables = {name: table.detach().requires_grad_() for name, table in update.tables.items()}
    with torch.enable_grad():
        after = problem.apply_update(tuple(inputs[:-1]), inputs[-1], tables, update.step)
        leaves = [*inputs, *(tables[name] for name in wanted)]
        found = torch.autograd.grad(after, leaves, grad_outputs=adjoint, materialize_grads=True)
    count = len(inputs)
    return tuple(found[: count - 1]), found[count - 1], dict(zip(wanted, found[count:], strict=True))


def _through_update(
    name: OptimizerName, update: Applied, adjoint: OptimizerState, wanted: Collection[str], found: Cotangents
) -> Tensor:
    """Closed form: moves the adjoint in place, adds to ``found``, returns the adjoint of the gradient."""
    parameters, tables = update.before[0], update.tables
    clip = _Clip(update.gradient, tables["clip_norm"]) if "clip_norm" in tables else None
    seen = update.gradient.clone() if clip is None else clip.scale * update.gradient
    if "coupled_decay" in tables:
        seen += update.layout.multiply_(parameters.clone(), tables["coupled_decay"])
    if "shrink" in wanted:
        found["shrink"] = -update.total("shrink", adjoint[0] * parameters)
    to_gradient = PRODUCTS[name](update, seen, adjoint, wanted, found)
    if "shrink" in tables:
        update.layout.multiply_(adjoint[0], 1 - tables["shrink"])
    if "coupled_decay" in wanted:
        found["coupled_decay"] = update.total("coupled_decay", to_gradient * parameters)
    if "coupled_decay" in tables:
        adjoint[0].add_(update.layout.multiply_(to_gradient.clone(), tables["coupled_decay"]))
    if clip is not None:
        to_threshold = clip.pull_back_(to_gradient)
        if "clip_norm" in wanted:
            found["clip_norm"] = to_threshold
    return to_gradient


def sgd_product_(
    update: Applied, seen: Tensor, adjoint: OptimizerState, wanted: Collection[str], found: Cotangents
) -> Tensor:
    """Of b' = momentum b + g, w' = w - lr b'.

    Args:
        update: what was done.
        seen: the gradient that the rule saw: clipped, and with the optimizer's own L2, [members, P]; is used up.
        adjoint: of (w', b'); that of b' becomes that of b.
        wanted: see ``pull_back``.
        found: gets the cotangents.

    Returns:
        The adjoint of what the rule saw, [members, P].
    """
    (_, buffer), (_, moved), tables = update.before, update.after, update.tables
    if "learning_rate" in wanted:
        found["learning_rate"] = -update.total("learning_rate", adjoint[0] * moved)
    to_seen = adjoint[1].sub_(update.layout.multiply_(seen.copy_(adjoint[0]), tables["learning_rate"]))
    if "momentum" in wanted:
        found["momentum"] = torch.linalg.vecdot(to_seen, buffer)[:, None]
    to_gradient = to_seen.clone()
    adjoint[1].mul_(tables["momentum"])
    return to_gradient


def adam_product_(
    update: Applied, seen: Tensor, adjoint: OptimizerState, wanted: Collection[str], found: Cotangents
) -> Tensor:
    """Of m' = b1 m + (1 - b1) g, v' = b2 v + (1 - b2) g^2, w' = w - lr / (1 - b1^t) m' / (sqrt(v') / c + eps).

    c is sqrt(1 - b2^t). Where v' is 0 a parameter has never had a gradient: its root counts as a constant there, as in
    ``hpo.updates``. Arguments and result as of ``sgd_product_``.
    """
    (_, before_first, before_second), (_, first, second) = update.before, update.after
    layout, tables = update.layout, update.tables
    beta1, beta2, count = tables["beta1"], tables["beta2"], update.step + 1
    unbias1, unbias2 = 1 - beta1**count, (1 - beta2**count).sqrt()
    rate = tables["learning_rate"] * (unbias2 / unbias1)

    # With d = sqrt(v') + c eps the step is rate m' / d, rate having c / (1 - b1^t) in it.
    root = second.sqrt()
    denominator = layout.add_(root.clone(), tables["eps"] * unbias2)
    to_move = adjoint[0] / denominator
    along = to_move * first
    if "learning_rate" in wanted or "beta1" in wanted:
        by_rate = -layout.sums(along)
        if "learning_rate" in wanted:
            found["learning_rate"] = by_rate * (unbias2 / unbias1)
    to_denominator = layout.multiply_(along.div_(denominator), rate)
    if "eps" in wanted:
        found["eps"] = update.total("eps", to_denominator) * unbias2
    if "beta2" in wanted:
        through_unbias = torch.linalg.vecdot(to_denominator, root)[:, None] / (2 * unbias2**2)
    to_first = adjoint[1].sub_(layout.multiply_(to_move, rate))
    # Divided by the root, and 0 where that is 0: the sign is a mask whose kernel is 20 times faster than masked_fill.
    to_root = to_denominator.mul_(root.sign()).div_(root.clamp_min_(torch.finfo(root.dtype).tiny))
    to_second = adjoint[2].add_(to_root, alpha=0.5)

    if "beta1" in wanted:
        direct = torch.linalg.vecdot(to_first, before_first - seen)[:, None]
        turned = (by_rate * rate).sum(dim=1, keepdim=True) / unbias1
        found["beta1"] = direct + turned * count * beta1**update.step
    if "beta2" in wanted:
        direct = torch.linalg.vecdot(to_second, before_second - seen.square())[:, None]
        found["beta2"] = direct + through_unbias * count * beta2**update.step
    to_gradient = seen.mul_(to_second).mul_(2 * (1 - beta2)).addcmul_(to_first, 1 - beta1)
    to_first.mul_(beta1)
    to_second.mul_(beta2)
    return to_gradient


PRODUCTS: dict[OptimizerName, Callable[[Applied, Tensor, OptimizerState, Collection[str], Cotangents], Tensor]] = {
    "sgd": sgd_product_,
    "adam": adam_product_,
    "adamw": adam_product_,
}
"""Optimizer -> vector-Jacobian product of its rule, without decay and clipping."""


class _Clip:
    """Scale of one clipped gradient, and its derivative.

    Args:
        gradient: [members, P].
        threshold: [members, 1].
    """

    def __init__(self, gradient: Tensor, threshold: Tensor) -> None:
        self.gradient, self.threshold = gradient, threshold
        self.norm: Tensor = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
        scale = threshold / (self.norm + STABILITY)
        # A zero gradient is not clipped, whatever the threshold.
        self.active = (scale <= 1) & (self.norm > 0)
        self.scale = torch.where(self.active, scale, 1.0)

    def pull_back_(self, adjoint: Tensor) -> Tensor:
        """Turns the adjoint of the clipped gradient into that of the gradient; returns the threshold's, [members, 1]."""
        along = torch.linalg.vecdot(adjoint, self.gradient)[:, None]
        to_threshold = torch.where(self.active, along / (self.norm + STABILITY), 0.0)
        inward = torch.where(self.active, to_threshold * self.scale / self.norm, 0.0)
        adjoint.mul_(self.scale).addcmul_(inward, self.gradient, value=-1)
        return to_threshold
