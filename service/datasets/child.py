"""The process that reads an uploaded file, ``python -m service.datasets.child``: with limits, and nothing to steal.

Standard input has the order as JSON, standard output gets the answer; the file comes as an open descriptor. Whatever the
file does to this process, the server goes on.
"""

import errno
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

MOST_DESCRIPTORS = 64


def limit(memory: int, seconds: int, most_bytes: int) -> None:
    """Let the operating system stop this process where it takes too much.

    Args:
        memory: bytes of address space.
        seconds: of processor time.
        most_bytes: of a file that it writes.
    """
    for kind, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_DATA, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, most_bytes),
        (resource.RLIMIT_NOFILE, MOST_DESCRIPTORS),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (allowed, allowed))


def answer(order: dict[str, Any]) -> dict[str, Any]:
    """Read, check, write; what is known of the data, or what is wrong with them."""
    try:
        return {"known": _read(order)}
    except Exception as error:  # noqa: BLE001 - the boundary of the process: a library stumbled over the file
        return _told(order, error)


def _told(order: dict[str, Any], error: Exception) -> dict[str, Any]:
    """Answer for a file that was not kept: it is bad, it is too large, or the disk is full."""
    from service.datasets.errors import BadData, TooLarge

    what = f"{type(error).__name__}: {str(error)[:200]}"
    told: dict[str, Any]
    full = [number for number in (errno.ENOSPC, errno.EDQUOT) if _is(error, number)]
    if full:
        told = {"no_space": full[0]}
    elif isinstance(error, TooLarge):
        told = {"too_large": error.message}
    elif isinstance(error, BadData):
        told = {"bad": {"pointer": error.pointer, "message": error.message, "given": error.given}}
    elif isinstance(error, MemoryError):
        told = {"too_large": f"reading the file takes more than the {order['memory']:,} bytes of memory that are allowed"}
    elif "alloc" in what.lower() or "out of memory" in what.lower():
        told = {"too_large": f"reading the file takes more memory than is allowed ({what})"}
    else:
        told = {
            "bad": {"pointer": "/file", "message": f"the file cannot be read as {order['format']}: {what}", "given": None}
        }
    return told


def _is(error: Exception, number: int) -> bool:
    """True for this error of the operating system, also where a library written in Rust tells of it in words."""
    return getattr(error, "errno", None) == number or f"(os error {number})" in str(error)


def _read(order: dict[str, Any]) -> dict[str, Any]:
    from service.datasets.arrays import read_npz
    from service.datasets.pool import Pool
    from service.datasets.tables import read_csv, read_parquet
    from service.datasets.text import Windows, read_text
    from service.datasets.tokens import Tokens, read_tokens
    from service.datasets.writing import write

    with os.fdopen(order["descriptor"], "rb") as file:
        read: Pool | Windows | Tokens
        match order["format"]:
            case "npz":
                read = read_npz(file, order["kind"], order["context"], order["most_bytes"])
            case "csv":
                read = read_csv(
                    file,
                    order["target"],
                    order["kind"],
                    delimiter=order["delimiter"],
                    decimal=order["decimal"],
                    tabs=order["tabs"],
                )
            case "parquet":
                read = read_parquet(file, order["target"], order["kind"], decimal=order["decimal"])
            case "tokens":
                read = read_tokens(file, order["tokens"], order["dtype"], order["vocabulary"], order["context"])
            case _:
                read = read_text(file, order["context"])
        # Tokens are read again while they are written.
        return write(read, Path(order["folder"]))


def main() -> None:
    """Read one order from standard input, write one answer to standard output."""
    order = json.load(sys.stdin)
    limit(order["memory"], order["seconds"], order["most_bytes"])
    json.dump(answer(order), sys.stdout)


if __name__ == "__main__":
    main()
