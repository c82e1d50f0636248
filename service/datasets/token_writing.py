"""Writes a stream of tokens as a safetensors file, piece by piece: the library itself wants the whole array in memory."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path

from service.datasets.tokens import Tokens

TENSOR = "tokens"
"""Name of the one tensor in the file, [n]."""
ALIGNED = 8
"""The tokens begin at a multiple of so many bytes."""


def write_stream(tokens: Tokens, path: Path, metadata: Mapping[str, str]) -> None:
    """Write the tokens, and what is known of them, in the format of safetensors.

    Zeros are left out where the file system can do without them.

    Raises:
        OSError: the disk is full.
    """
    size = tokens.stored.itemsize
    whole = tokens.place.count * size
    header = json.dumps(
        {
            "__metadata__": dict(metadata),
            TENSOR: {"dtype": f"U{8 * size}", "shape": [tokens.place.count], "data_offsets": [0, whole]},
        },
        separators=(",", ":"),
    ).encode()
    header += b" " * (-len(header) % ALIGNED)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for piece in tokens.pieces():
            if piece.any():
                file.write(piece.data)
            else:
                file.seek(piece.nbytes, 1)
        file.truncate()
