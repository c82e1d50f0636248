"""Counts any ``nn.Module`` for scaling laws, by the role of each parameter."""

from collections.abc import Mapping
from math import prod

from torch import Tensor

from hpo.families.own.modules import Factory, every_role, modules_at
from hpo.families.own.owners import EMBEDDINGS as TABLES
from hpo.families.own.owners import owners
from hpo.laws.counting import counted
from hpo.laws.tracing import trace
from windtunnel.types.optimizers import optimizer_info
from windtunnel.types.results import TensorFacts
from windtunnel.types.sizes import ModelCount
from windtunnel.types.tensors import Role


def count_module(
    build: Factory,
    width: int,
    *,
    base: int | None = None,
    overrides: Mapping[str, Role] | None = None,
    example: Tensor | None = None,
    optimizer: str = "adamw",
) -> ModelCount:
    """The count of any ``nn.Module``, by the role of each parameter, on torch's meta device.

    Embeddings are the tables of ``nn.Embedding``; the readout is the output matrix that has a row for each entry of the
    largest of them. Weights that are tied to a table count as the table. Attention's products over the context are
    counted if an example is given; without one they are left out, and the count says so.

    Args:
        build: width -> module.
        width: width of the module to count.
        base: smaller width, needed to tell the roles; None: half of ``width``.
        overrides: name pattern -> role, as for ``windtunnel.roles``.
        example: one example as the module's ``forward`` takes it, with a batch dimension of 1, to count operations and
            what is kept for the backward pass; token ids are [1, context].
        optimizer: optimizer whose state is counted.

    Raises:
        RoleQuestion: a role cannot be told.
    """
    pair = modules_at(build, base or max(1, width // 2), width)
    table = every_role(pair, base or max(1, width // 2), width, overrides)
    tensors = [TensorFacts(name=row.name, shape=list(row.delta), role=row.role) for row in table.rows]
    held = owners(pair.delta)
    looked_up = {name for name, layers in held.items() if any(isinstance(layer, TABLES) for layer, _ in layers)}
    vocabulary = max((fact.shape[0] for fact in tensors if fact.name in looked_up), default=0)
    output = {fact.name for fact in tensors if fact.role == "output" and fact.shape[0] == vocabulary}
    biases = {f"{name.rpartition('.')[0]}.bias" for name in output} & {fact.name for fact in tensors}
    traced = trace(build, width, example) if example is not None else None
    matrices = sum(prod(fact.shape) for fact in tensors if len(fact.shape) > 1 and fact.name not in looked_up)
    exact = 6.0 * matrices if traced is None else 3.0 * traced.flops / traced.tokens
    return counted(
        tensors,
        looked_up=looked_up,
        readout=output | biases,
        context=max(0.0, exact - 6.0 * matrices) if traced is not None and vocabulary else 0.0,
        exact=exact,
        tokens=1 if traced is None else traced.tokens,
        activation=0 if traced is None else traced.kept_bytes,
        optimizer=optimizer_info(optimizer),
        traced=traced is not None,
    )
