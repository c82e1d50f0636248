"""Looks at the functions of a bilevel problem once: what each outer variable acts on, and whether they can be used."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from hpo.bilevel.inner import IN_LOSS, PlainProblem
from hpo.bilevel.problem import Named
from hpo.errors import InvalidProblem, Refused
from windtunnel.types.estimators import ESTIMATORS, that_can
from windtunnel.types.hyperparameters import HyperparameterName

Place = Literal["the losses", "the initial parameters", "the optimizer"]
ALIKE: dict[Place, HyperparameterName] = {
    "the losses": "l2",
    "the initial parameters": "init_scale",
    "the optimizer": "learning_rate",
}
"""Place -> a hyperparameter that acts there. An estimator differentiates both or neither."""
Uses = Mapping[str, Sequence[Place]]
"""Outer variable -> the places that it acts on."""


def uses(problem: PlainProblem, outer: Named, seed: int) -> Uses:
    """Places that each outer variable acts on, from one look at every function.

    Raises:
        InvalidProblem: a loss does not depend on the parameters, gives another value when it is called again, or leaves
            no trace of a derivative; or a variable acts on nothing.
    """
    draw = problem.draw_of([seed])
    leaves = {name: value.detach().to(problem.dtype).clone().requires_grad_() for name, value in outer.items()}
    with torch.enable_grad():
        tables = {IN_LOSS + name: leaf[None] for name, leaf in leaves.items()}
        like = next(iter(leaves.values())).new_zeros(())
        update, scheduled = problem.settings.tables(leaves, like)
        started = [*problem.started(leaves, seed).values()]
        flat = torch.cat([part.detach().to(problem.dtype).reshape(-1) for part in started])[None]
        tensors = problem.layout.leaves(flat)
        batch = problem.batch(draw, 0)
        inner, again = (problem.training_loss(tensors, tables, batch) for _ in range(2))
        if not torch.equal(inner.nan_to_num(), again.nan_to_num()):
            raise InvalidProblem(
                "inner_loss gives another value when it is called again at the same arguments",
                "take random numbers from the batch, which is drawn by (step, seed), and leave out dropout of its own",
            )
        if not inner.requires_grad:
            raise InvalidProblem("inner_loss does not depend on the parameters; check that nothing is detached")
        slopes = torch.autograd.grad(inner.sum(), tensors, create_graph=True, allow_unused=True, retain_graph=True)
        if all(slope is None for slope in slopes):
            raise InvalidProblem("inner_loss does not depend on the parameters; check that nothing is detached")
        if any(slope is None or not slope.requires_grad for slope in slopes):
            problem.pad()
        parameters = flat.detach().requires_grad_()
        judged = problem.validation_loss(parameters, tables, draw)
        if (
            not judged.requires_grad
            or torch.autograd.grad(judged.sum(), parameters, allow_unused=True, retain_graph=True)[0] is None
        ):
            raise InvalidProblem("outer_loss does not depend on the parameters; check that nothing is detached")
        seen: dict[Place, list[Tensor]] = {
            "the losses": [inner, judged],
            "the initial parameters": started,
            "the optimizer": [*update.values(), *scheduled.values()],
        }
        reached = {place: _reached(heads, leaves) for place, heads in seen.items()}
    found = {name: [place for place in seen if name in reached[place]] for name in outer}
    idle = [name for name, places in found.items() if not places]
    if idle:
        raise InvalidProblem(
            f"outer {idle[0]!r} acts on nothing: neither losses nor initial parameters nor optimizer depend on it",
            "leave it out, or check that nothing is detached on its way",
        )
    return found


def refuse_what_it_cannot_reach(estimator: str, used: Uses) -> None:
    """Refuse an estimator whose answer for a variable would be 0, or lack a part.

    Raises:
        Refused: a variable acts on a place through which the estimator cannot differentiate.
    """
    info = ESTIMATORS[estimator]
    for name, places in used.items():
        for place in places:
            if not info.can(ALIKE[place]):
                able = ", ".join(one for one in that_can(ALIKE[place]) if not ESTIMATORS[one].is_best_response)
                raise Refused(
                    f"estimator {estimator!r} cannot differentiate outer {name!r}, which acts on {place}: {info.why}",
                    f"use an estimator that can ({able})",
                )


def _reached(heads: Sequence[Tensor], leaves: Mapping[str, Tensor]) -> set[str]:
    """Names of the leaves that one of the heads depends on."""
    live = [head.sum() for head in heads if head.requires_grad]
    if not live:
        return set()
    slopes = torch.autograd.grad(
        torch.stack([head.to(live[0].dtype) for head in live]).sum(),
        [*leaves.values()],
        allow_unused=True,
        retain_graph=True,
    )
    return {name for name, slope in zip(leaves, slopes, strict=True) if slope is not None}
