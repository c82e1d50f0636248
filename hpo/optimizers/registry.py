"""Registry of update rules, by the optimizer's name in ``windtunnel.types.optimizers.OPTIMIZERS``."""

from hpo.kinds import answering
from hpo.optimizers.rule import Rule
from windtunnel.types.optimizers import Options


def rule(name: str, options: Options | None = None) -> Rule:
    """Update rule ``RULE`` of the module ``hpo.optimizers.<name>``, with the options given; others have their defaults.

    Raises:
        Refused: no module has that name; an optimizer is never taken for another.
    """
    found: Rule = answering("hpo.optimizers", name, "RULE", Rule)  # type: ignore[type-abstract]
    return found.with_options(options) if options else found
