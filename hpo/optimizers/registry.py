"""Registry of update rules, by the optimizer's name in ``windtunnel.types.optimizers.OPTIMIZERS``."""

from hpo.kinds import answering
from hpo.optimizers.rule import Rule


def rule(name: str) -> Rule:
    """Update rule ``RULE`` of the module ``hpo.optimizers.<name>``.

    Raises:
        Refused: no module has that name; an optimizer is never taken for another.
    """
    return answering("hpo.optimizers", name, "RULE", Rule)  # type: ignore[type-abstract]
