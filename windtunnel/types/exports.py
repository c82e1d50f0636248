"""The formats that a transfer plan can be had in: their names, and what they are as files.

``hpo.exports`` has a module for each, which writes it.
"""

from dataclasses import dataclass
from typing import Annotated

from windtunnel.types.kinds import OneOf


@dataclass(frozen=True)
class ExportInfo:
    """What a format is as a file."""

    title: str
    suffix: str
    """What follows the plan's id in the name of the file."""
    media: str
    """Media type of an answer over HTTP."""
    says: str
    """What is in it."""
    shown: bool = False
    """Whether the page of a plan shows it as text to copy, beside the link that all have."""


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
"""The format that is sent where none is asked for: the whole plan, which reads back as the same plan."""
ExportFormat = Annotated[str, OneOf(EXPORTS)]
"""A name of the table of export formats."""
