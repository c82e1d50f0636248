"""A transfer plan as text in one of the formats, each of them one module that answers for its name. Imports no torch."""

from abc import ABC, abstractmethod

from hpo.kinds import answering
from windtunnel.types.base import misfit
from windtunnel.types.exports import EXPORTS, ExportFormat
from windtunnel.types.plans import TransferPlan


class Format(ABC):
    """One export format: the object ``FORMAT`` of the module ``hpo.exports.NAME``, named as in ``EXPORTS``."""

    @abstractmethod
    def write(self, plan: TransferPlan) -> str:
        """Text of the plan, ending in a newline; for a plan that ``why_not`` has nothing against."""

    @abstractmethod
    def why_not(self, plan: TransferPlan) -> str | None:
        """Every reason why the format cannot express this plan, with what is allowed; None where it can."""


def format_of(name: ExportFormat) -> Format:
    """The format of that name.

    Raises:
        ValueError: no such format.
        Refused: a format that nothing answers for.
    """
    if name not in EXPORTS:
        raise ValueError(f"no export format {name!r}; allowed: {', '.join(EXPORTS)}")
    return answering("hpo.exports", name, "FORMAT", Format)  # type: ignore[type-abstract]


def export(plan: TransferPlan, format: ExportFormat) -> str:  # noqa: A002 - the API's own name
    """The plan in one of the export formats, ending in a newline.

    ``json`` and ``yaml`` hold the whole plan and read back as the same plan. The others are Python files that need the
    library that they are for and nothing of ours; ``EXPORTS`` says what is in them.

    Raises:
        ValueError: no such format.
        PydanticCustomError: the format cannot express this plan; it says why.
    """
    found = format_of(format)
    reason = found.why_not(plan)
    if reason is not None:
        raise misfit("/format", reason, format)
    return found.write(plan)


def why_not(plan: TransferPlan, format: ExportFormat) -> str | None:  # noqa: A002 - the API's own name
    """Why a format cannot express this plan; None where it can."""
    return format_of(format).why_not(plan)
