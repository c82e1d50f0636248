"""Writes the whole transfer plan as JSON."""

from hpo.exports.registry import Format
from windtunnel.types.plans import TransferPlan


class JSON(Format):
    """The export format ``json``; ``TransferPlan.model_validate_json`` reads it back."""

    def write(self, plan: TransferPlan) -> str:
        return plan.model_dump_json(indent=2) + "\n"

    def why_not(self, plan: TransferPlan) -> str | None:  # noqa: ARG002 - it can express every plan
        return None


FORMAT = JSON()
