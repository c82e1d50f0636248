"""The rule of each optimizer, by its name in ``windtunnel.types.optimizers.OPTIMIZERS``."""

from hpo.kinds import answering
from hpo.optimizers.rule import Rule


def rule(name: str) -> Rule:
    """The update rule ``RULE`` of the module ``hpo.optimizers.<name>``.

    Raises:
        Refused: no module answers for that name; an optimizer is never taken for another.
    """
    return answering("hpo.optimizers", name, "RULE", Rule)  # type: ignore[type-abstract]
