"""Reads npz archives: inputs and labels, images among them, or tokens. Nothing in them is ever unpickled."""

import zipfile
import zlib
from math import prod
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from service.datasets.errors import BadData, TooLarge
from service.datasets.options import CONTEXT
from service.datasets.pool import Pool, Target, check_finite, check_range, check_size, pooled
from service.datasets.text import Windows, windows

INPUTS, LABELS, TOKENS = ("inputs", "x", "X"), ("labels", "y", "targets"), "tokens"
CHANNELS = (1, 2, 3, 4)
MOST_SYMBOLS = 65_536


def read_npz(file: BinaryIO, kind: str | None, context: int | None, most_bytes: int) -> Pool | Windows:
    """Arrays ``inputs`` and ``labels``, or ``tokens`` alone.

    Args:
        file: the archive.
        kind: classification or regression; None: as the labels look.
        context: tokens of an example, of an archive of tokens.
        most_bytes: of all arrays together, unpacked.

    Raises:
        BadData: it is no such archive.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            arrays = _arrays(archive, most_bytes)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise BadData(f"the file is no npz archive: {str(error)[:200] or type(error).__name__}") from error
    if set(arrays) == {TOKENS}:
        if kind is not None:
            raise BadData(f"kind says nothing of tokens, whose next one is learned; given '{kind}'", "/kind", kind)
        return windows(_tokens(arrays[TOKENS]), int(arrays[TOKENS].max()) + 1, CONTEXT if context is None else context)
    if context is not None:
        raise BadData("context is the length of an example of tokens; this archive has none", "/context", context)
    inputs, labels = _one_of(arrays, INPUTS, "inputs"), _one_of(arrays, LABELS, "labels")
    return _pool(inputs, labels, kind)


def _arrays(archive: zipfile.ZipFile, most_bytes: int) -> dict[str, NDArray[Any]]:
    members = archive.infolist()
    total = sum(member.file_size for member in members)
    if total > most_bytes:
        raise TooLarge(f"the archive unpacks to {total:,} bytes; allowed: {most_bytes:,}")
    if not members:
        raise BadData(f"the archive is empty; expected arrays {INPUTS[0]} and {LABELS[0]}, or {TOKENS} alone")
    known = {*INPUTS, *LABELS, TOKENS}
    for member in members:
        name = member.filename.removesuffix(".npy")
        if name not in known:
            raise BadData(
                f"the archive has '{member.filename[:60]}'; allowed: arrays {INPUTS[0]} and {LABELS[0]}, or {TOKENS} alone"
            )
    return {member.filename.removesuffix(".npy"): _array(archive, member) for member in members}


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    """One array, whose header is read before anything is allocated for it."""
    name = member.filename.removesuffix(".npy")
    with archive.open(member) as stream:
        try:
            version = npy.read_magic(stream)
            read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, fortran, dtype = read_header(stream)
        except (ValueError, KeyError) as error:
            raise BadData(f"array '{name}' has no header that numpy wrote: {str(error)[:200]}") from error
        if dtype.hasobject:
            raise BadData(
                f"array '{name}' holds Python objects, which are pickled; allowed: arrays of numbers, nothing is unpickled",
                given=str(dtype),
            )
        if dtype.kind not in "biuf":
            raise BadData(f"array '{name}' is of type {dtype}; allowed: numbers", given=str(dtype))
        size = prod(shape) * dtype.itemsize
        if size > member.file_size:
            raise BadData(f"array '{name}' is of shape {list(shape)}, for which the archive has too few bytes")
        content = stream.read(size)
    values = np.frombuffer(content, dtype=dtype).reshape(shape, order="F" if fortran else "C")
    if not values.size:
        raise BadData(f"array '{name}' is empty, of shape {list(shape)}")
    return values


def _one_of(arrays: dict[str, NDArray[Any]], names: tuple[str, ...], what: str) -> NDArray[Any]:
    found = [name for name in names if name in arrays]
    if len(found) != 1:
        raise BadData(
            f"the archive has {'no ' + what if not found else ' and '.join(found)} among its arrays "
            f"({', '.join(sorted(arrays))}); expected one of {', '.join(names)}"
        )
    return arrays[found[0]]


def _pool(inputs: NDArray[Any], labels: NDArray[Any], kind: str | None) -> Pool:
    if inputs.ndim not in (2, 3, 4):
        raise BadData(
            f"inputs are of shape {list(inputs.shape)}; allowed: [examples, features], [examples, height, width] or "
            "[examples, channels, height, width]",
            given=list(inputs.shape),
        )
    if labels.shape != (len(inputs),):
        raise BadData(
            f"labels are of shape {list(labels.shape)}; expected [{len(inputs)}], one for each of the inputs",
            given=list(labels.shape),
        )
    inputs, image = _images(inputs)
    check_size(len(inputs), prod(inputs.shape[1:]), "examples")
    check_finite(inputs, "array 'inputs'")
    flat = inputs.reshape(len(inputs), -1)
    if flat.dtype.itemsize >= 4 and flat.dtype != np.float32:
        flat = flat.astype(np.float64)
        names = ["array 'inputs'"] if image else [f"array 'inputs', feature {at + 1}," for at in range(flat.shape[1])]
        numbers = np.arange(1, len(flat) + 1).repeat(flat.shape[1] if image else 1)
        check_range(flat.reshape(-1, 1) if image else flat, names, numbers)
    return pooled(flat, _target(labels), kind, image=image)


def _target(labels: NDArray[Any]) -> Target:
    """Labels as numbers, and as the whole numbers or truth values that they are."""
    values = labels.astype(np.float64)
    check_finite(values, "array 'labels'")
    exact: NDArray[Any] | None = None
    if labels.dtype.kind == "b":
        exact = np.where(labels, "True", "False")
    elif labels.dtype.kind in "iu":
        exact = labels
    return Target(values, exact, "array 'labels'")


def _images(inputs: NDArray[Any]) -> tuple[NDArray[Any], tuple[int, int, int] | None]:
    """Channels first, and (channels, height, width); None for a table."""
    if inputs.ndim == 2:
        return inputs, None
    if inputs.ndim == 3:
        return inputs, (1, inputs.shape[1], inputs.shape[2])
    if inputs.shape[1] not in CHANNELS and inputs.shape[3] in CHANNELS:
        inputs = np.moveaxis(inputs, 3, 1)
    channels, height, width = inputs.shape[1:]
    if channels not in CHANNELS:
        raise BadData(
            f"images of shape {list(inputs.shape[1:])} have {channels} channels; allowed: {CHANNELS[0]} to {CHANNELS[-1]}",
            given=list(inputs.shape),
        )
    return inputs, (channels, height, width)


def _tokens(values: NDArray[Any]) -> NDArray[Any]:
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise BadData(
            f"array '{TOKENS}' is {values.dtype} of shape {list(values.shape)}; allowed: whole numbers in one dimension",
            given=list(values.shape),
        )
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= MOST_SYMBOLS or low == high:
        raise BadData(
            f"array '{TOKENS}' has values from {low} to {high}; allowed: at least two different ones, 0 to "
            f"{MOST_SYMBOLS - 1:,}"
        )
    return values.astype(np.uint16)
