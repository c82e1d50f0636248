"""A transfer plan as text: JSON, YAML, or a Python file that builds and trains the model. Imports no torch."""

from typing import Literal, get_args

import yaml

from hpo.mup.torch_script import torch_script
from windtunnel.types.plans import TransferPlan

ExportFormat = Literal["json", "yaml", "torch"]


def export(plan: TransferPlan, format: ExportFormat) -> str:  # noqa: A002 - the API's own name
    """The plan in one of the export formats, ending in a newline.

    ``json`` and ``yaml`` hold the whole plan and read back as the same plan. ``torch`` is a self-contained Python file
    that imports torch only; see ``torch_script``.

    Raises:
        ValueError: no such format.
    """
    match format:
        case "json":
            return plan.model_dump_json(indent=2) + "\n"
        case "yaml":
            return yaml.safe_dump(plan.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)
        case "torch":
            return torch_script(plan)
        case _:
            raise ValueError(f"no export format {format!r}; allowed: {', '.join(get_args(ExportFormat))}")
