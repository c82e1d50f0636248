"""Writes the whole transfer plan as YAML."""

import yaml

from hpo.exports.registry import Format
from windtunnel.types.plans import TransferPlan


class YAML(Format):
    """The export format ``yaml``; ``TransferPlan.model_validate`` reads it back from a YAML reader's output."""

    def write(self, plan: TransferPlan) -> str:
        return yaml.safe_dump(plan.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)

    def why_not(self, plan: TransferPlan) -> str | None:  # noqa: ARG002 - it can express every plan
        return None


FORMAT = YAML()
