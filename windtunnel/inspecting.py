"""``windtunnel.roles`` and ``windtunnel.count``: muP roles of a user's own module, and its size for scaling laws.

They need torch when they are called.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from windtunnel.types.sizes import ModelCount
from windtunnel.types.tensors import Role

if TYPE_CHECKING:
    from hpo.families.own.modules import RoleTable


def roles(
    build: Callable[[int], Any],
    *,
    base: int = 64,
    delta: int = 128,
    overrides: Mapping[str, Role] | None = None,
    inputs: Any = None,
) -> "RoleTable":
    """Table with the muP role of every parameter of the modules that a factory builds; print it to check it.

    The factory is called at two widths, if possible on torch's meta device, which allocates nothing. The dimensions that
    grow with the width and the types of the layers tell the role. ``table.rows`` has name, both shapes, growth of both
    fans, role and reason; ``table.warnings`` has what shapes cannot show, and cases in which muP is known to break.

    Args:
        build: width -> torch.nn.Module.
        base: first width.
        delta: second, larger width.
        overrides: name pattern (``*.embedding.weight``, as in ``fnmatch``) -> role; the first match decides.
        inputs: a tensor with a batch for ``forward``, if it is at hand. Both modules are then made on the CPU and called
            once, and how forward uses a parameter tells its role where shapes and layers do not.

    Raises:
        ValueError: a role cannot be told, and the message asks for it by tensor; or the widths or overrides are wrong.
        ModuleNotFoundError: torch is not installed: pip install 'windtunnel[worker]'.
    """
    from hpo.families.own.modules import roles as inferred

    return inferred(build, base=base, delta=delta, overrides=overrides, inputs=inputs)


def count(
    build: Callable[[int], Any],
    width: int,
    *,
    base: int | None = None,
    overrides: Mapping[str, Role] | None = None,
    example: Any = None,
    optimizer: str = "adamw",
) -> ModelCount:
    """N, FLOPs of a token and memory of any module, by the role of each parameter, without allocating it.

    ``found.compute(batch_size, steps)`` is C = 6 N B S; ``found.left_out`` says in words what 6 N leaves out.

    Args:
        build: width -> torch.nn.Module.
        width: width of the module to count.
        base: smaller width, needed to tell the roles; None: half of ``width``.
        overrides: name pattern -> role, as for ``roles``.
        example: one example as ``forward`` takes it, with a batch dimension of 1 (token ids [1, context]). With it the
            count includes attention's products over the context and the bytes kept for the backward pass; without it
            both are left out, and ``left_out`` says so.
        optimizer: optimizer whose state is counted.

    Raises:
        ValueError: a role cannot be told, and the message asks for it by tensor; or the widths or overrides are wrong.
        ModuleNotFoundError: torch is not installed: pip install 'windtunnel[worker]'.
    """
    from hpo.laws.modules import count_module

    return count_module(build, width, base=base, overrides=overrides, example=example, optimizer=optimizer)
