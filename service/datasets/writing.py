"""Writes what was read in one form: three parts and their scaling as safetensors, and what is known of them as JSON."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from hpo.families.facts.registry import learners
from service.datasets.pool import Pool
from service.datasets.scaling import Axis, scaling
from service.datasets.splitting import PARTS, split_pool, split_windows
from service.datasets.text import Windows
from service.datasets.token_writing import write_stream
from service.datasets.tokens import Tokens
from store.files import FILE, MANIFEST, digest, flush, sampled_digest

BATCH_SIZES = {"language": 16, "classification": 64, "regression": 64}


def write(read: Pool | Windows | Tokens, folder: Path) -> dict[str, Any]:
    """Write both files, flushed to the disk; what is known, as in the manifest.

    The data's SHA-256 is over the file that holds them, which holds what is known of them, too: it stands for the content.
    """
    if isinstance(read, Tokens):
        known = _of_tokens(read)
        write_stream(read, folder / FILE, _metadata(known))
        known["sample_sha256"] = sampled_digest(folder / FILE)
    else:
        known, arrays = _of_pool(read) if isinstance(read, Pool) else _of_windows(read)
        save_file(arrays, folder / FILE, metadata=_metadata(known))
    manifest = {"sha256": digest(folder / FILE), **known}
    (folder / MANIFEST).write_text(json.dumps(manifest, sort_keys=True, indent=1))
    for path in (folder / FILE, folder / MANIFEST, folder):
        flush(path)
    return manifest


def _metadata(known: dict[str, Any]) -> dict[str, str]:
    return {"known": json.dumps(known, sort_keys=True, separators=(",", ":"))}


def _of_tokens(read: Tokens) -> dict[str, Any]:
    parts = read.parts
    train, validation, test = parts.examples(read.context)
    return {
        "columns": [],
        "target": None,
        "scaling": None,
        "task": {
            "kind": "language",
            "features": read.context,
            "image": None,
            "classes": read.vocabulary,
            "sources": ("all",),
            "families": learners("language", None),
            "inputs": "tokens",
            "stream": parts.model_dump(),
            "train_examples": train,
            "validation_examples": validation,
            "test_examples": test,
            "batch_size": min(BATCH_SIZES["language"], train),
        },
    }


def _of_pool(pool: Pool) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    parts = split_pool(pool.labels, len(pool.classes))
    arrays: dict[str, NDArray[Any]] = {}
    for name, rows in zip(PARTS, parts, strict=True):
        arrays[f"{name}.inputs"] = np.ascontiguousarray(pool.inputs[rows])
        arrays[f"{name}.labels"] = np.ascontiguousarray(pool.labels[rows])
    axis: Axis = (0, 1) if pool.image else 0
    of_inputs = _scaling(arrays, "inputs", axis)
    kind = "classification" if pool.classes else "regression"
    of_targets = _scaling(arrays, "labels", 0) if not pool.classes else ([None], [None])
    known = {
        # Only where there are some: the digest of a data set that has none stays what it is.
        **({"ignored_columns": pool.ignored} if pool.ignored else {}),
        "columns": pool.columns,
        "target": pool.target,
        "scaling": {
            "mean": of_inputs[0],
            "deviation": of_inputs[1],
            "target_mean": of_targets[0][0],
            "target_deviation": of_targets[1][0],
        },
        "task": {
            "kind": kind,
            "features": pool.inputs.shape[1],
            "image": pool.image,
            "classes": max(1, len(pool.classes)),
            "sources": pool.classes or ("all",),
            "families": learners(kind, pool.image),
            **_sizes(parts, kind),
        },
    }
    return known, arrays


def _of_windows(read: Windows) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    parts = split_windows(len(read.inputs))
    arrays: dict[str, NDArray[Any]] = {}
    for name, rows in zip(PARTS, parts, strict=True):
        arrays[f"{name}.inputs"] = np.ascontiguousarray(read.inputs[rows])
        arrays[f"{name}.labels"] = np.ascontiguousarray(read.labels[rows])
    known: dict[str, Any] = {
        "columns": [],
        "target": None,
        "scaling": None,
        "task": {
            "kind": "language",
            "features": read.inputs.shape[1],
            "image": None,
            "classes": read.symbols,
            "sources": ("all",),
            "families": learners("language", None),
            **_sizes(parts, "language"),
        },
    }
    return known, arrays


def _sizes(parts: list[NDArray[np.int64]], kind: str) -> dict[str, int]:
    return {
        "train_examples": len(parts[0]),
        "validation_examples": len(parts[1]),
        "test_examples": len(parts[2]),
        "batch_size": min(BATCH_SIZES[kind], len(parts[0])),
    }


def _scaling(arrays: dict[str, NDArray[Any]], of: str, axis: Axis) -> tuple[list[float], list[float]]:
    train, *others = (arrays[f"{part}.{of}"] for part in PARTS)
    return scaling(train, tuple(others), axis)
