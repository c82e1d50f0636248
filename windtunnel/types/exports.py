"""The table of export formats of a transfer plan: their names and their files.

``hpo.exports`` has a module for each format, which writes it.
"""

from dataclasses import dataclass
from typing import Annotated

from windtunnel.types.kinds import OneOf


@dataclass(frozen=True)
class ExportInfo:
    """Facts of an export format: title, name and media type of the file, content."""

    title: str
    suffix: str
    """End of the file's name, after the plan's id."""
    media: str
    """Media type of the file over HTTP."""
    says: str
    """Content of the file, in words."""
    shown: bool = False
    """Whether the page of a plan shows it as text to copy, beside the link to the file."""


PYTHON = "text/x-python; charset=utf-8"

EXPORTS: dict[str, ExportInfo] = {
    "json": ExportInfo("JSON", ".json", "application/json", "the plan"),
    "yaml": ExportInfo("YAML", ".yaml", "application/yaml", "the same", shown=True),
    "torch": ExportInfo(
        "PyTorch", ".py", PYTHON, "a Python file with model, optimizer, schedule and loss; needs torch only", shown=True
    ),
    "huggingface": ExportInfo(
        "Hugging Face",
        "_huggingface.py",
        PYTHON,
        "the torch file with TrainingArguments and a Trainer; needs torch, transformers and accelerate",
    ),
    "optax": ExportInfo(
        "optax",
        "_optax.py",
        PYTHON,
        "a Python file with initial values, optimizer and schedule for a dict of JAX arrays; needs jax and optax",
    ),
    "nanogpt": ExportInfo(
        "nanoGPT",
        "_nanogpt.py",
        PYTHON,
        "a config file of nanoGPT's train.py, with functions for what its flags cannot say; for a transformer under AdamW "
        "with a cosine schedule",
    ),
}
"""Every export format by name."""
WHOLE = "json"
"""Format of a request that names none: the whole plan, which reads back as the same plan."""
ExportFormat = Annotated[str, OneOf(EXPORTS)]
"""A name of the table of export formats."""
