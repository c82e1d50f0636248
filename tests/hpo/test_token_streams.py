"""Streams of tokens in the numerics: which windows are read, how they are held out, and what is trained on them."""

import numpy as np
import pytest
import torch
from torch import nn

import windtunnel
from hpo.errors import InvalidData
from hpo.seeding import generator_of
from hpo.study import Study
from hpo.tasks.registry import data_of
from hpo.tasks.stream import TokenPart, held_out
from windtunnel.client import InvalidRequest
from windtunnel.tasks.user import UserTask
from windtunnel.token_files import TokenArray
from windtunnel.token_rows import TokensInMemory, TokensOnDisk
from windtunnel.types.streams import StreamInfo, held_windows

COUNT, CONTEXT = 5000, 12
TOKENS = np.random.Generator(np.random.PCG64(1)).integers(0, 40, COUNT)
BEGINS = [2533, 3507, 1445, 1445, 894, 1933]
"""Where the first windows of seed path (3, 1, 4) begin: the same on every machine."""


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory) -> TokensOnDisk:
    path = tmp_path_factory.mktemp("stream") / "tokens.bin"
    path.write_bytes(b"head" + TOKENS.astype("<u2").tobytes())
    return TokensOnDisk(path, TokenArray(4, "<u2", COUNT))


@pytest.mark.parametrize("kind", ["int8", "uint8", "int32", "uint32", "int64", ">u4"])
def test_windows_in_memory_and_on_the_disk_are_the_same_tokens(kind, on_disk):
    rows = torch.tensor([[0, 3, 4987], [100, 4000, 17]])
    expected = torch.tensor(TOKENS)[rows[..., None] + torch.arange(CONTEXT + 1)]
    for row in (on_disk, TokensInMemory(TOKENS.astype(kind))):
        inputs, labels = TokenPart(row, CONTEXT, 40, "stream").take(rows)
        assert torch.equal(inputs, expected[..., :-1]) and torch.equal(labels, expected[..., 1:])
        assert b"".join(row.content()) == TOKENS.astype("<i8").tobytes()


def test_a_seed_path_gives_the_same_windows_everywhere(on_disk):
    part = TokenPart(on_disk, CONTEXT, 40, "stream")
    order = part.order(2, 3, generator_of((3, 1, 4)))
    assert order.flatten().tolist() == BEGINS
    many = part.order(1000, 50, generator_of((3, 1, 4)))
    assert torch.equal(many.flatten()[:6], order.flatten())
    assert int(many.min()) == 0 and int(many.max()) == COUNT - CONTEXT - 1


def test_held_out_windows_are_fixed_spread_over_their_part_and_share_no_label(on_disk):
    part = held_out(on_disk.part(1000, 3000), CONTEXT, 40, "stream")
    assert len(part) == held_windows(2000, CONTEXT) == 1999 // CONTEXT
    begins = TokenPart(on_disk.part(1000, 3000), CONTEXT, 40, "stream").spread(len(part))
    assert begins[0] == 0 and begins[-1] == 2000 - CONTEXT - 1 and int(begins.diff().min()) >= CONTEXT
    assert torch.equal(part.inputs[1], torch.tensor(TOKENS[1000 + begins[1] :][:CONTEXT]))


def test_a_stream_is_held_out_at_its_end_and_a_long_one_no_more_than_is_read():
    assert StreamInfo.split(1000) == StreamInfo(train=800, validation=100, test=100)
    long = StreamInfo.split(25 * 10**9)
    assert long.validation == long.test == 2**21
    assert long.examples(1024)[1:] == (128, 128) and long.examples(16)[1:] == (500, 500)


def test_a_token_beyond_the_vocabulary_is_found_when_its_window_is_read(on_disk):
    part = TokenPart(on_disk, CONTEXT, 39, "stream")
    first = int((TOKENS == 39).argmax())
    with pytest.raises(InvalidData, match=f"token 39 at position {first}; allowed: 0 to 38"):
        part.take(torch.tensor([[max(first - 5, 0)]]))


def test_a_file_that_is_cut_off_meanwhile_is_an_error_of_the_job(tmp_path):
    path = tmp_path / "tokens.bin"
    path.write_bytes(TOKENS.astype("<u2").tobytes())
    part = TokenPart(TokensOnDisk(path, TokenArray(0, "<u2", COUNT)), CONTEXT, 40, "stream")
    path.write_bytes(TOKENS[:100].astype("<u2").tobytes())
    part.take(torch.tensor([[50]]))
    with pytest.raises(InvalidData, match=r"ends before token 213: it was cut off"):
        part.take(torch.tensor([[50, 200]]))


def reader(width: int) -> nn.Module:
    return nn.Sequential(nn.Embedding(40, width), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 40))


SMALL = {
    "inner": {"steps": 6, "batch_size": 8, "seeds": 1},
    "outer": {"steps": 1, "finish_seeds": 2, "budget": 20},
    "base_width": 8,
}


def test_a_module_learns_a_stream_that_has_something_to_learn(tmp_path):
    # Each token is the one before plus 1, or once in a while any other.
    jumps = np.random.Generator(np.random.PCG64(2)).random(30_000) < 0.05
    tokens = np.cumsum(np.where(jumps, 7, 1)) % 40
    path = tmp_path / "train.npy"
    np.save(path, tokens.astype(np.uint8))
    stream = windtunnel.TokenStream(path, context=CONTEXT)
    assert stream.vocabulary == 40
    inner = {"steps": 40, "batch_size": 16, "seeds": 1}
    result = windtunnel.tune(model=reader, data=stream, **SMALL | {"inner": inner})
    info = result.spec.info
    assert info.stream == StreamInfo(train=24_000, validation=3000, test=3000)
    assert (info.features, info.classes, info.train_examples) == (CONTEXT, 40, 23_999 // CONTEXT)
    assert result.best.test.mean < 0.7 * result.constant.loss < 0.75 * np.log(40)


def test_three_streams_are_tuned_at_the_context_of_the_job():
    parts = [windtunnel.TokenStream(torch.tensor(TOKENS[:end])) for end in (COUNT, 900, 800)]
    inner = {**SMALL["inner"], "context": 20}
    info = windtunnel.tune(model=reader, data=parts, **SMALL | {"inner": inner}).spec.info
    assert info.stream == StreamInfo(train=COUNT, validation=900, test=800)
    assert (info.features, info.train_examples, info.test_examples) == (20, 4999 // 20, 799 // 20)


REFUSED = {
    "a mixture of kinds": lambda stream: (stream, stream, (TOKENS, TOKENS)),
    "short": lambda stream: (stream, stream, windtunnel.TokenStream(TOKENS[:30], vocabulary=40)),
    "contexts": lambda stream: (stream, stream, windtunnel.TokenStream(TOKENS, vocabulary=40, context=9)),
}

SAID = ["TokenStream, TokenStream, tuple", "30 tokens", "64, 64, 9"]


@pytest.mark.parametrize(("case", "message"), list(zip(REFUSED, SAID, strict=True)))
def test_data_that_are_no_streams_are_refused(case, message):
    with pytest.raises(InvalidRequest, match=message):
        windtunnel.tune(model=reader, data=REFUSED[case](windtunnel.TokenStream(TOKENS)), base_width=8)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (TOKENS.reshape(10, -1), "of shape \\[10, 500\\]; allowed: whole numbers in one dimension"),
        (TOKENS / 2, "float64 of shape"),
        (TOKENS[:0], "at least one"),
        (TOKENS - 1, "tokens run from -1 to 38"),
        ("tokens.csv", "a name that ends in .bin, .npy, .npz"),
        ("nowhere.npy", "cannot be read: No such file"),
    ],
)
def test_tokens_that_cannot_be_read_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        windtunnel.TokenStream(given)


def test_a_long_stream_needs_its_vocabulary(tmp_path):
    path = tmp_path / "long.bin"
    with path.open("wb") as file:
        file.truncate(2 * 10**9)
    with pytest.raises(ValueError, match="vocabulary is missing, and 1,000,000,000 tokens"):
        windtunnel.TokenStream(path, dtype="uint16")
    assert len(windtunnel.TokenStream(path, dtype="uint16", vocabulary=50_257)) == 10**9


def test_a_task_of_a_package_brings_a_stream():
    def task(tokens: tuple[int, int, int]) -> UserTask:
        return UserTask(
            name="streamed",
            kind="language",
            inputs="tokens",
            input_shape=(CONTEXT,),
            classes=40,
            tokens=tokens,
            load=lambda: windtunnel.TokenStream(TOKENS),
            build=lambda width, depth: reader(width),
        )

    from hpo.families.own.describing import describe

    own = task((4000, 500, 500))
    assert own.examples == (3999 // CONTEXT, 499 // CONTEXT, 499 // CONTEXT)
    spec = windtunnel.JobSpec.of({"task": "streamed", "inner": {"steps": 4}}, own.info_with(describe(own)))
    data = data_of(spec)
    assert len(data.train) == own.examples[0] and Study(spec).problem.examples.shape == (CONTEXT,)
    wrong = task((4000, 500, 400))
    with pytest.raises(InvalidData, match=r"\[4000, 500, 500\] tokens; say so: tokens=\(4000, 500, 500\)"):
        data_of(windtunnel.JobSpec.of({"task": "streamed"}, wrong.info_with(describe(own))))
