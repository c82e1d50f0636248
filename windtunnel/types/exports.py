"""The formats that a transfer plan can be had in: their names, and what they are as files."""

from dataclasses import dataclass
from typing import Literal

ExportFormat = Literal["json", "yaml", "torch", "huggingface", "optax", "nanogpt"]


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


PYTHON = "text/x-python; charset=utf-8"

EXPORTS: dict[ExportFormat, ExportInfo] = {
    "json": ExportInfo("JSON", ".json", "application/json", "the plan"),
    "yaml": ExportInfo("YAML", ".yaml", "application/yaml", "the same"),
    "torch": ExportInfo(
        "PyTorch", ".py", PYTHON, "a Python file with model, optimizer, schedule and loss; needs torch only"
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
