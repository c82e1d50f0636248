"""``windtunnel.roles`` and ``windtunnel.count``: what a module of one's own is under muP, and how large for scaling laws.

Both need torch when they are called.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from windtunnel.types.modules import Role
from windtunnel.types.sizes import ModelCount

if TYPE_CHECKING:
    from hpo.families.modules import RoleTable


def roles(
    build: Callable[[int], Any], *, base: int = 64, delta: int = 128, overrides: Mapping[str, Role] | None = None
) -> "RoleTable":
    """The role of every parameter of the modules that a factory makes; print it to check it.

    The factory is called at two widths, where possible on torch's meta device, which allocates nothing. What grows with the
    width, and the types of the layers, tell the role. ``table.rows`` has name, both shapes, growth of both fans, role and
    why; ``table.warnings`` what shapes cannot show, and where muP is known to break.

    Args:
        build: width -> torch.nn.Module.
        base: a width.
        delta: a larger one.
        overrides: name pattern (``*.embedding.weight``, as in ``fnmatch``) -> role; the first that fits decides.

    Raises:
        ValueError: a role cannot be told, and the message asks for it by tensor; or the widths or overrides are wrong.
        ModuleNotFoundError: torch is not installed: pip install 'windtunnel[worker]'.
    """
    from hpo.families.modules import roles as inferred

    return inferred(build, base=base, delta=delta, overrides=overrides)


def count(
    build: Callable[[int], Any],
    width: int,
    *,
    base: int | None = None,
    overrides: Mapping[str, Role] | None = None,
    example: Any = None,
    optimizer: str = "adamw",
) -> ModelCount:
    """N, FLOPs of a token and memory of any module, by the role of each of its parameters, without allocating it.

    ``found.compute(batch_size, steps)`` is C = 6 N B S; ``found.left_out`` says in words what 6 N leaves out.

    Args:
        build: width -> torch.nn.Module.
        width: to count at.
        base: a smaller width, which tells roles; half of the width by default.
        overrides: name pattern -> role, as for ``roles``.
        example: one example as ``forward`` takes it, with a batch dimension of 1 (token ids [1, context]). With it
            attention's products over the context and the bytes kept for the backward pass are counted; without it both are
            left out, and ``left_out`` says so.
        optimizer: whose state is counted.

    Raises:
        ValueError: a role cannot be told, and the message asks for it by tensor; or the widths or overrides are wrong.
        ModuleNotFoundError: torch is not installed: pip install 'windtunnel[worker]'.
    """
    from hpo.laws.modules import count_module

    return count_module(build, width, base=base, overrides=overrides, example=example, optimizer=optimizer)
