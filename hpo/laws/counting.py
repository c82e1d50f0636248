"""Counting for scaling laws: N without embeddings, operations of a token, C = 6 N B S, bytes.

Kaplan et al. 2020, section 2.1 and table 1: forward 2 N + 2 n_layer n_ctx d_model operations a token, backward twice that.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from math import prod
from typing import TYPE_CHECKING, Any

from hpo.mup.proxies import EMBEDDINGS, proxy_tensors
from hpo.sizing.counts import STATE, footprint
from windtunnel.types.model import ModelSpec
from windtunnel.types.optimizer import OptimizerName
from windtunnel.types.results import TensorFacts
from windtunnel.types.roles import Role
from windtunnel.types.sizes import ModelCount
from windtunnel.types.tasks import TASKS

if TYPE_CHECKING:
    from torch import nn

BYTES = 4


def count(model: ModelSpec, task: str, optimizer: OptimizerName = "adamw") -> ModelCount:
    """Count a model of a built-in family, or of an installed task, from sizes alone.

    Args:
        model: family and size.
        task: name of the task whose data it takes.
        optimizer: whose state is counted.
    """
    info = TASKS[task]
    tensors = proxy_tensors(model, info)
    used = footprint(model, info)
    is_text = info.kind == "language"
    tokens = info.features if is_text else 1
    attention = model.depth * tokens * model.width if model.family == "transformer" else 0
    return _counted(
        tensors,
        looked_up={fact.name for fact in tensors if _looked_up(fact)},
        readout={fact.name for fact in tensors if is_text and fact.name.startswith("readout.")},
        context=6 * attention,
        exact=6 * used.multiply_adds / tokens,
        tokens=tokens,
        activation=BYTES * used.saved,
        optimizer=optimizer,
    )


def count_module(
    build: "Callable[[int], nn.Module]",
    width: int,
    *,
    base: int | None = None,
    overrides: Mapping[str, Role] | None = None,
    example: Any = None,
    optimizer: OptimizerName = "adamw",
) -> ModelCount:
    """Count any ``nn.Module`` by the role of each of its parameters, on torch's meta device.

    Embeddings are the tables of ``nn.Embedding``; the readout is the output matrix that has a row for each entry of the
    largest of them. Weights that are tied to a table count as the table. Attention's products over the context are
    counted where an example is given; without one they are left out, and the count says so.

    Args:
        build: width -> module.
        width: to count at.
        base: a smaller width, which tells roles; half of the width by default.
        overrides: name pattern -> role, as for ``windtunnel.roles``.
        example: one example as the module's ``forward`` takes it, with a batch dimension of 1, to count operations and
            what is kept for the backward pass; token ids are [1, context].
        optimizer: whose state is counted.

    Raises:
        RoleQuestion: a role cannot be told.
    """
    from hpo.laws.tracing import trace
    from hpo.mup.modules import modules_at, role_table
    from hpo.mup.owners import EMBEDDINGS as TABLES
    from hpo.mup.owners import owners

    pair = modules_at(build, base or max(1, width // 2), width)
    table = role_table(pair, base or max(1, width // 2), width, overrides)
    tensors = [TensorFacts(name=row.name, shape=list(row.delta), role=row.role) for row in table.rows]
    held = owners(pair.delta)
    looked_up = {name for name, layers in held.items() if any(isinstance(layer, TABLES) for layer, _ in layers)}
    vocabulary = max((fact.shape[0] for fact in tensors if fact.name in looked_up), default=0)
    output = {fact.name for fact in tensors if fact.role == "output" and fact.shape[0] == vocabulary}
    biases = {f"{name.rpartition('.')[0]}.bias" for name in output} & {fact.name for fact in tensors}
    traced = trace(build, width, example) if example is not None else None
    matrices = sum(prod(fact.shape) for fact in tensors if len(fact.shape) > 1 and fact.name not in looked_up)
    exact = 6.0 * matrices if traced is None else 3.0 * traced.flops / traced.tokens
    return _counted(
        tensors,
        looked_up=looked_up,
        readout=output | biases,
        context=max(0.0, exact - 6.0 * matrices) if traced is not None and vocabulary else 0.0,
        exact=exact,
        tokens=1 if traced is None else traced.tokens,
        activation=0 if traced is None else traced.kept_bytes,
        optimizer=optimizer,
        traced=traced is not None,
    )


def _counted(
    tensors: list[TensorFacts],
    *,
    looked_up: set[str],
    readout: set[str],
    context: float,
    exact: float,
    tokens: int,
    activation: int,
    optimizer: OptimizerName,
    traced: bool = True,
) -> ModelCount:
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
        optimizer_bytes=BYTES * STATE[optimizer] * total,
        optimizer=optimizer,
    )


def _left_out(counted: float, context: float, readout: float, exact: float, traced: bool) -> str:
    """What 6 N leaves out, with shares of 6 N."""
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
    return fact.name in EMBEDDINGS or (fact.role == "input" and fact.flipped)
