"""``windtunnel.roles``: what every parameter of a module of one's own is under muP. Needs torch when it is called."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from windtunnel.types.roles import Role

if TYPE_CHECKING:
    from hpo.mup.modules import RoleTable


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
    from hpo.mup.modules import roles as inferred

    return inferred(build, base=base, delta=delta, overrides=overrides)
