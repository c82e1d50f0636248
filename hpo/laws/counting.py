"""Counts a model for scaling laws: N without embeddings, operations of a token, C = 6 N B S, bytes.

Kaplan et al. 2020, section 2.1 and table 1: forward 2 N + 2 n_layer n_ctx d_model operations a token, backward twice that.
"""

from collections import Counter
from math import prod

from hpo.families.facts.registry import facts
from hpo.mup.roles import EMBEDDINGS
from windtunnel.types.model import ModelSpec
from windtunnel.types.optimizers import OptimizerInfo, optimizer_info
from windtunnel.types.results import TensorFacts
from windtunnel.types.sizes import ModelCount
from windtunnel.types.tasks import TaskInfo

BYTES = 4


def count(model: ModelSpec, task: TaskInfo, optimizer: str = "adamw") -> ModelCount:
    """The count of a model of a built-in family or of an installed task, from sizes alone.

    Args:
        model: family and size.
        task: facts of the task whose data it takes.
        optimizer: optimizer whose state is counted.
    """
    family = facts(model.family)
    tensors, used = family.tensors(model, task), family.footprint(model, task)
    is_text = task.kind == "language"
    tokens = task.features if is_text else 1
    return counted(
        tensors,
        looked_up={fact.name for fact in tensors if _looked_up(fact)},
        readout={fact.name for fact in tensors if is_text and fact.name.startswith("readout.")},
        context=6 * family.context_products(model, task),
        exact=6 * used.multiply_adds / tokens,
        tokens=tokens,
        activation=BYTES * used.saved,
        optimizer=optimizer_info(optimizer),
    )


def counted(
    tensors: list[TensorFacts],
    *,
    looked_up: set[str],
    readout: set[str],
    context: float,
    exact: float,
    tokens: int,
    activation: int,
    optimizer: OptimizerInfo,
    traced: bool = True,
) -> ModelCount:
    """The count of a model from its tensors and its operations.

    Args:
        tensors: tensors of the model.
        looked_up: names of the embeddings, whose rows are looked up.
        readout: names of the tensors of a language model's readout.
        context: operations of attention over the context that 6 N leaves out, a token.
        exact: three times the operations of the forward pass, a token.
        tokens: tokens of an example.
        activation: bytes that the backward pass of one example needs.
        optimizer: optimizer whose state is counted.
        traced: whether operations were counted from a pass, attention's included.
    """
    sizes = {fact.name: prod(fact.shape) for fact in tensors}
    roles: Counter[str] = Counter()
    for fact in tensors:
        roles[fact.role] += sizes[fact.name]
    total, embedded, out = (sum(sizes[name] for name in names) for names in (sizes, looked_up, readout))
    rest = total - embedded - out
    matrices = sum(sizes[fact.name] for fact in tensors if fact.name in readout and len(fact.shape) > 1)
    return ModelCount(
        parameters=total,
        embedding=embedded,
        readout=out,
        non_embedding=rest,
        roles=dict(roles),
        flops_per_token=6.0 * rest,
        context_flops_per_token=float(context),
        readout_flops_per_token=6.0 * matrices,
        exact_flops_per_token=float(exact),
        left_out=_left_out(6.0 * rest, float(context), 6.0 * matrices, exact, traced),
        tokens_per_example=tokens,
        activation_bytes=activation,
        optimizer_bytes=BYTES * sum(optimizer.copies(fact.role) * sizes[fact.name] for fact in tensors),
        optimizer=optimizer.name,
    )


def _left_out(counted: float, context: float, readout: float, exact: float, traced: bool) -> str:
    """Text on the operations that 6 N leaves out, with their shares of 6 N."""
    parts = []
    if context:
        parts.append(f"attention over the context, {100 * context / counted:.0f} % on top")
    if readout:
        parts.append(f"the readout, {100 * readout / counted:.0f} % on top")
    if not traced:
        parts.append("attention over the context, if there is any: give an example to count it")
    if not parts and exact > 1.05 * counted:
        parts.append(f"that weights act at many positions: all of it is {exact / counted:.1f} times 6 N")
    return "; ".join(parts) or "nothing"


def _looked_up(fact: TensorFacts) -> bool:
    return fact.name in EMBEDDINGS or fact.is_table
