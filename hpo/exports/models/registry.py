"""Finds the source of a family's model by the family's name. Imports no torch."""

from hpo.errors import Refused
from hpo.exports.models.model import ModelSource
from hpo.kinds import answering
from windtunnel.types.families import FAMILIES


def model_of(family: str) -> ModelSource:
    """The object that writes the source of the family's model.

    Raises:
        Refused: no module answers for the family, so its models cannot be written into a file.
    """
    return answering("hpo.exports.models", family, "MODEL", ModelSource)  # type: ignore[type-abstract]


def why_no_model(family: str) -> str | None:
    """Reason why models of a family cannot be written into a file, with the families that can; None if they can."""
    if written(family):
        return None
    allowed = ", ".join(filter(written, FAMILIES))
    return f"this format writes out the model, and there is no source of a model of family {family!r}; allowed: {allowed}"


def written(family: str) -> bool:
    """Whether models of the family can be written into a file."""
    try:
        model_of(family)
    except Refused:
        return False
    return True
