"""Writes a transfer plan as text in one of the export formats; each format is one module of that name. No torch here."""

from abc import ABC, abstractmethod

from hpo.kinds import answering
from windtunnel.types.base import misfit
from windtunnel.types.exports import EXPORTS, ExportFormat
from windtunnel.types.plans import TransferPlan


class Format(ABC):
    """One export format: the object ``FORMAT`` of the module ``hpo.exports.NAME``, named as in ``EXPORTS``."""

    @abstractmethod
    def write(self, plan: TransferPlan) -> str:
        """Text of the plan, ending in a newline, if ``why_not`` gives None for the plan."""

    @abstractmethod
    def why_not(self, plan: TransferPlan) -> str | None:
        """Every reason why the format cannot express this plan, with the allowed values; None if it can."""


def format_of(name: ExportFormat) -> Format:
    """The format of that name.

    Raises:
        ValueError: there is no format of that name.
        Refused: no module answers for the format.
    """
    if name not in EXPORTS:
        raise ValueError(f"no export format {name!r}; allowed: {', '.join(EXPORTS)}")
    return answering("hpo.exports", name, "FORMAT", Format)  # type: ignore[type-abstract]


def export(plan: TransferPlan, format: ExportFormat) -> str:  # noqa: A002 - the API's own name
    """The plan in one of the export formats, ending in a newline.

    ``json`` and ``yaml`` hold the whole plan and can be read back. The other formats are Python files that need only the
    library of their name; ``EXPORTS`` describes their content.

    Raises:
        ValueError: there is no format of that name.
        PydanticCustomError: the format cannot express this plan, with every reason.
    """
    found = format_of(format)
    reason = found.why_not(plan)
    if reason is not None:
        raise misfit("/format", reason, format)
    return found.write(plan)


def why_not(plan: TransferPlan, format: ExportFormat) -> str | None:  # noqa: A002 - the API's own name
    """Every reason why a format cannot express this plan, in one text; None if it can."""
    return format_of(format).why_not(plan)
