"""Streams of tokens through the API: read in each form, refused where they are wrong, held to no memory, deleted."""

import io
import struct
from pathlib import Path

import httpx
import numpy as np
import pytest
from safetensors.numpy import load_file

from service.app import create_app
from service.datasets.errors import BadData
from service.datasets.tokens import read_tokens
from service.datasets.writing import write
from service.serve import background
from service.settings import ServiceSettings
from store.files import FILE, digest, sampled_digest
from windtunnel.token_files import ENDINGS
from workers.datasets import tokens_of

GENERATOR = np.random.Generator(np.random.PCG64(3))
TOKENS = GENERATOR.integers(0, 500, 20_000)
TOKENS[7] = 499
CONTEXT = 16


def of(dtype: str, write=np.save) -> bytes:
    file = io.BytesIO()
    write(file, **{"tokens" if write is not np.save else "arr": TOKENS.astype(dtype)})
    return file.getvalue()


def with_header(magic: int, version: int, promised: int, dtype: str) -> bytes:
    words = struct.pack("<3i", magic, version, promised).ljust(1024, b"\0")
    return words + TOKENS.astype(dtype).tobytes()


FORMS = {
    "raw of two bytes": (TOKENS.astype("<u2").tobytes(), "train.bin", {"dtype": "uint16"}),
    "raw of four bytes": (TOKENS.astype("<u4").tobytes(), "train.bin", {"dtype": "uint32"}),
    "header of two bytes": (with_header(20240520, 1, 20_000, "<u2"), "train.bin", {}),
    "header of four bytes": (with_header(20240801, 7, 20_000, "<u4"), "train.bin", {}),
    "npy": (of("int64"), "train.npy", {}),
    "npy, highest byte first": (of(">u2"), "train.npy", {}),
    "npz": (of("uint16", np.savez), "train.npz", {}),
}


def read(content: bytes, file: str, *, dtype: str | None = None, vocabulary: int | None = None):
    """Tokens of an upload, as the process reads it that reads uploads."""
    ending = ENDINGS[Path(file).suffix]
    return read_tokens(io.BytesIO(content), ending, dtype, vocabulary, CONTEXT)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_stored_as_the_same_stream(form, tmp_path):
    content, file, fields = FORMS[form]
    known = write(read(content, file, **fields), tmp_path)
    assert known["task"]["classes"] == 500 and known["task"]["train_examples"] == 15_999 // CONTEXT
    assert known["task"]["stream"] == {"train": 16_000, "validation": 2000, "test": 2000}
    assert known["sha256"] == digest(tmp_path / FILE) and known["sample_sha256"] == sampled_digest(tmp_path / FILE)
    stored, row = load_file(tmp_path / FILE)["tokens"], tokens_of(tmp_path / FILE)
    assert stored.dtype == np.uint16
    assert np.array_equal(stored, TOKENS)
    assert np.array_equal(
        row.part(5, len(row)).windows(np.array([0, 19_000]), 90), TOKENS[np.array([[5], [19_005]]) + np.arange(90)]
    )


RAW = TOKENS.astype("<u2").tobytes()
BAD = {
    "nothing": (b"", "a.bin", {"dtype": "uint16"}, "/file", "the file is empty"),
    "no type": (RAW, "a.bin", {}, "/dtype", "give dtype: uint8, uint16 or uint32"),
    "odd": (RAW[:-1], "a.bin", {"dtype": "uint16"}, "/file", "39,999 bytes of tokens, which is no whole number of uint16"),
    "cut off": (with_header(20240520, 1, 20_001, "<u2"), "a.bin", {}, "/file", "promises 20,001 tokens, and 20,000 follow"),
    "other type": (with_header(20240520, 1, 20_000, "<u2"), "a.bin", {"dtype": "uint32"}, "/dtype", "says uint16"),
    "wrong type": (RAW, "a.bin", {"dtype": "uint32"}, "/file", "was the file written with another dtype?"),
    "beyond": (RAW, "a.bin", {"dtype": "uint16", "vocabulary": 499}, "/vocabulary", "token 499 at position 7 is beyond"),
    "short array": (of("uint16")[:-10], "a.npy", {}, "/file", "promises 20,000 tokens, and 19,995 follow"),
    "floats": (of("float32"), "a.npy", {}, "/file", "is of type float32; allowed: whole numbers"),
    "type of an array": (of("uint16"), "a.npy", {"dtype": "uint16"}, "/dtype", "an array has its own type"),
    "no array": (RAW, "a.npy", {}, "/file", "no header that numpy wrote"),
    "below 0": (of("int8", np.save), "a.npy", {}, "/file", "is below 0; allowed: whole numbers from 0 on"),
    "compressed": (
        of("u2", np.savez_compressed),
        "a.npz",
        {},
        "/file",
        "write it with numpy.savez and not",
    ),
    "no archive": (RAW, "a.npz", {}, "/file", "no npz archive"),
    "few": (RAW[:1000], "a.bin", {"dtype": "uint16"}, "/file", "allowed: at least 50 windows"),
    "one token": (b"\1" * 8000, "a.bin", {"dtype": "uint8"}, "/vocabulary", "every token is 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_stream_is_refused_with_the_field(case):
    content, file, fields, pointer, message = BAD[case]
    with pytest.raises(BadData) as refused:
        read(content, file, **fields)
    assert refused.value.pointer == pointer and message in refused.value.message


def test_a_long_file_is_known_by_pieces_of_it(tmp_path):
    path = tmp_path / "long"
    with path.open("wb") as file:
        file.truncate(10**9)
    known = sampled_digest(path)
    with path.open("r+b") as file:
        file.write(b"x")
    begun = sampled_digest(path)
    with path.open("r+b") as file:
        file.truncate(10**9 - 1)
    assert len({known, begun, sampled_digest(path)}) == 3


def test_the_context_is_the_jobs_to_choose(client):
    def send(content: bytes, file: str, **fields: object) -> httpx.Response:
        given = {"context": str(CONTEXT), **{name: str(value) for name, value in fields.items()}}
        return client.post("/v1/datasets", files={"file": (file, content)}, data=given)

    served, answer = client, send(RAW, "a.bin", dtype="uint16", vocabulary=50_257)
    assert answer.status_code == 201, answer.text
    dataset = answer.json()
    assert dataset["format"] == "tokens" and dataset["task"]["classes"] == 50_257
    (error,) = send(RAW, "a.bin").json()["errors"]
    assert error["pointer"] == "/dtype"
    (error,) = send(b"a,b\n1,2\n", "a.csv", vocabulary=5).json()["errors"]
    assert "says nothing of a file of format csv" in error["message"]

    def estimate(**inner: int) -> httpx.Response:
        given = {
            "task": dataset["id"],
            "model": {"width": 16, "depth": 1},
            "inner": {"steps": 10, "batch_size": 8, **inner},
        }
        return served.post("/v1/estimates", json=given)

    usual, longer = estimate().json(), estimate(context=128).json()
    assert "one run reads 1,280 tokens, 0.08 epochs of the 16,000 in the training part" in usual["notes"]
    assert "one run reads 10,240 tokens, 0.64 epochs of the 16,000 in the training part" in longer["notes"]
    # A table of positions has a row for each token of the context.
    assert longer["parameters"] - usual["parameters"] == (128 - CONTEXT) * 16
    logits = 8 * 128 * 50_257 * 4
    assert longer["memory"]["plain"] > logits
    (error,) = estimate(context=2000).json()["errors"]
    assert error["pointer"] == "/inner/context" and "allowed: at most 1,999" in error["message"]
    other = served.post("/v1/estimates", json={"task": "python-text", "inner": {"context": 32}})
    (error,) = other.json()["errors"]
    assert error["pointer"] == "/inner/context" and "each with 64 tokens; allowed: leave it out" in error["message"]


def test_tokens_have_a_limit_of_their_own(sqlite, tmp_path):
    limits = ServiceSettings(data_dir=tmp_path, max_dataset_bytes=1000, max_stream_bytes=50_000)
    with background(create_app(limits, database=sqlite)) as url, httpx.Client(base_url=url) as client:
        answer = client.post("/v1/datasets", files={"file": ("a.csv", b"a,b\n" + b"1,2\n" * 500)})
        assert answer.status_code == 413 and "allowed for format csv: 1,000" in answer.json()["detail"]
        for tokens, status in ((TOKENS, 201), (np.tile(TOKENS, 2), 413)):
            given = {"files": {"file": ("a.bin", tokens.astype("<u2").tobytes())}, "data": {"dtype": "uint16"}}
            assert client.post("/v1/datasets", **given).status_code == status
