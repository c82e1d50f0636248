"""Trains a module of one's own for a few steps from the values that a job starts it at: does a gradient reach every tensor?

Two factors of a product that both start at 0 stay there: neither ever gets a gradient. Such a tensor is found here, before
anything is spent on it.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.func import functional_call

from hpo.errors import InvalidData
from hpo.families.own.user_module import UserModule, build_module
from hpo.tasks import Split
from hpo.tasks.losses import mean_loss
from windtunnel.types import ModelSpec, TaskInfo, TensorFacts

SEEDS = 2
STEPS = 4
"""Steps until the gradient has passed as many tensors that start at 0, one behind another."""
RATE = 0.02
LARGE = 100.0
"""Size of an input above which it is named as the cause of a gradient that is exactly 0."""
EXAMPLES = 64
Loss = Callable[[Tensor], Tensor]
"""Outputs [batch, ...] -> the loss, []."""


def silent(module: UserModule, facts: Sequence[TensorFacts], inputs: Tensor, loss: Loss) -> list[str]:
    """Names of the tensors whose gradient is exactly 0 in every step of short runs.

    Args:
        module: the module, in float64; its own values are not used.
        facts: its tensors, with how they start.
        inputs: a batch, float64 or tokens.
        loss: what the runs lower.
    """
    seen: set[str] = set()
    for seed in range(SEEDS):
        generator = torch.Generator().manual_seed(seed)
        values = {fact.name: _start(fact, generator).requires_grad_() for fact in facts}
        for _ in range(STEPS):
            found = loss(functional_call(module, values, (inputs,)))
            if not found.requires_grad:
                return []  # nothing has a gradient, which is refused elsewhere
            slopes = torch.autograd.grad(found, list(values.values()), allow_unused=True)
            # A slope that is not a number says nothing about zeros; one that is None is refused elsewhere.
            pairs = zip(values, slopes, strict=True)
            seen |= {name for name, slope in pairs if slope is None or bool((slope != 0).any())}
            if len(seen) == len(facts):
                return []
            moved = zip(values.items(), slopes, strict=True)
            values = {
                name: (value if slope is None else value - RATE * slope.sign()).detach().requires_grad_()
                for (name, value), slope in moved
            }
    return [fact.name for fact in facts if fact.name not in seen]


def _start(fact: TensorFacts, generator: torch.Generator) -> Tensor:
    drawn = torch.randn(fact.shape, generator=generator, dtype=torch.float64)
    return drawn * (fact.init_std or 0.0) if fact.random else torch.full_like(drawn, fact.init_value or 0.0)


def check_that_gradients_arrive(model: ModelSpec, info: TaskInfo, facts: Sequence[TensorFacts], train: Split) -> None:
    """Refuse a module in which a tensor would never learn, from the values that the job starts it at.

    Args:
        model: size of the proxy.
        info: the task.
        facts: tensors of the proxy.
        train: training examples; the first few are tried.

    Raises:
        InvalidData: the gradient of a tensor is exactly 0 in every one of a few steps.
    """
    module = build_module(model, info).double()
    inputs, labels = train.inputs[:EXAMPLES], train.labels[:EXAMPLES]
    inputs = inputs.double() if inputs.is_floating_point() else inputs
    labels = labels.double() if info.kind == "regression" else labels

    def loss(outputs: Tensor) -> Tensor:
        return mean_loss(info, outputs[None], labels[None]).sum()

    dead = silent(module, facts, inputs, loss)
    if dead and inputs.is_floating_point() and float(inputs.abs().max()) > LARGE:
        raise InvalidData(
            f"parameter {dead[0]!r} of task {info.name!r} never learns: in each of {STEPS} steps its gradient is exactly "
            f"0, and inputs of the training part run up to {float(inputs.abs().max()):.4g}, which saturates what follows",
            "scale the inputs: subtract their mean over the training part and divide by their standard deviation, in "
            "float64, in all three parts",
        )
    if dead:
        zeros = [fact.name for fact in facts if not fact.random and not fact.init_value]
        freed = [name for name in zeros if len(silent(module, _with_random(facts, name), inputs, loss)) < len(dead)]
        raise InvalidData(
            f"parameter {dead[0]!r} of task {info.name!r} never learns: in each of {STEPS} steps its gradient is exactly 0"
            + (f" (so it is for {len(dead) - 1} more: {', '.join(dead[1:4])})" if len(dead) > 1 else ""),
            f"{freed[0]} cuts it off, for it starts at 0 (biases and vectors that the module draws do, too): start it at a "
            f"constant in the module, or random by init_std={{{freed[0]!r}: 0.05}}"
            if freed
            else "more than one factor that starts at 0 cuts it off, or nothing that it does reaches the loss: start one "
            f"of them at a constant in the module, or leave {dead[0]!r} out",
        )


def _with_random(facts: Sequence[TensorFacts], name: str) -> list[TensorFacts]:
    """The tensors, with one of them random."""
    changed = {"init_std": 0.05, "init_value": None}
    return [fact.model_copy(update=changed) if fact.name == name else fact for fact in facts]
