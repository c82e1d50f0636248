"""Finds the source of a family's model by the family's name. Imports no torch."""

from hpo.errors import Refused
from hpo.exports.models.model import ModelSource
from hpo.kinds import answering


def model_of(family: str) -> ModelSource:
    """The source of the family's model.

    Raises:
        Refused: nothing answers for the family: its models cannot be written into a file.
    """
    return answering("hpo.exports.models", family, "MODEL", ModelSource)  # type: ignore[type-abstract]


def why_no_model(family: str) -> str | None:
    """Why models of a family cannot be written into a file; None where they can."""
    try:
        model_of(family)
    except Refused as refused:
        return refused.message
    return None
