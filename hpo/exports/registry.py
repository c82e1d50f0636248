"""A transfer plan as text: the plan itself, or a file for another library. Imports no torch."""

import yaml

from hpo.exports.huggingface import huggingface_file
from hpo.exports.nanogpt import nanogpt_file, unlike_nanogpt
from hpo.exports.optax_file import optax_file
from hpo.exports.torch_file import torch_file
from windtunnel.types.base import misfit
from windtunnel.types.exports import EXPORTS, ExportFormat
from windtunnel.types.plans import TransferPlan


def export(plan: TransferPlan, format: ExportFormat) -> str:  # noqa: A002 - the API's own name
    """The plan in one of the export formats, ending in a newline.

    ``json`` and ``yaml`` hold the whole plan and read back as the same plan. The others are Python files that need the
    library that they are for and nothing of ours; ``EXPORTS`` says what is in them.

    Raises:
        ValueError: no such format, or one that cannot express this plan (``why_not``).
    """
    reason = why_not(plan, format)
    if reason is not None:
        raise misfit("/format", reason, format)
    match format:
        case "json":
            return plan.model_dump_json(indent=2) + "\n"
        case "yaml":
            return yaml.safe_dump(plan.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)
        case "torch":
            return torch_file(plan)
        case "huggingface":
            return huggingface_file(plan)
        case "optax":
            return optax_file(plan)
        case "nanogpt":
            return nanogpt_file(plan)
        case _:
            raise ValueError(f"no export format {format!r}; allowed: {', '.join(EXPORTS)}")


def why_not(plan: TransferPlan, format: ExportFormat) -> str | None:  # noqa: A002 - the API's own name
    """Why a format cannot express this plan; None where it can."""
    return unlike_nanogpt(plan) if format == "nanogpt" else None
