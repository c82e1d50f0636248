"""Character language modelling on the source text of Python's own standard library."""

import sysconfig
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from hpo.errors import InvalidData
from hpo.tasks.split import Parts, Split
from windtunnel.types.tasks import TaskInfo

CHARACTERS = "\n" + "".join(chr(code) for code in range(ord(" "), ord("~") + 1))
"""Vocabulary: a token is an index in this string; any other character is the one unknown token after it."""
TOKENS = {character: token for token, character in enumerate(CHARACTERS)}
TAB = 4
TRAIN_WINDOWS, HELD_OUT_WINDOWS = 160, 100
"""Windows taken from the beginning of each file: of the training part, and of the other two parts. The files are longer
than that in every supported version of Python, so the number of examples does not depend on the version; the text does."""

TRAIN_FILES: dict[str, tuple[str, ...]] = {
    "networking": (
        "ftplib.py",
        "http/client.py",
        "http/cookiejar.py",
        "http/server.py",
        "imaplib.py",
        "ipaddress.py",
        "smtplib.py",
        "socketserver.py",
        "ssl.py",
        "urllib/parse.py",
        "urllib/request.py",
        "xmlrpc/client.py",
    ),
    "text": (
        "codecs.py",
        "configparser.py",
        "csv.py",
        "difflib.py",
        "email/feedparser.py",
        "email/generator.py",
        "email/message.py",
        "html/parser.py",
        "locale.py",
        "re/_compiler.py",
        "re/_parser.py",
        "textwrap.py",
    ),
    "data": (
        "_pydecimal.py",
        "calendar.py",
        "collections/__init__.py",
        "dataclasses.py",
        "fractions.py",
        "functools.py",
        "heapq.py",
        "pickle.py",
        "plistlib.py",
        "random.py",
        "statistics.py",
        "xml/etree/ElementTree.py",
    ),
    "concurrency": (
        "asyncio/base_events.py",
        "asyncio/events.py",
        "asyncio/locks.py",
        "asyncio/proactor_events.py",
        "asyncio/selector_events.py",
        "asyncio/sslproto.py",
        "asyncio/streams.py",
        "asyncio/tasks.py",
        "multiprocessing/connection.py",
        "multiprocessing/managers.py",
        "subprocess.py",
        "threading.py",
    ),
    "tools": (
        "argparse.py",
        "ast.py",
        "bdb.py",
        "dis.py",
        "doctest.py",
        "inspect.py",
        "logging/__init__.py",
        "optparse.py",
        "pdb.py",
        "pydoc.py",
        "traceback.py",
        "unittest/mock.py",
    ),
}
"""Source -> paths of the training part's files in the standard library."""
VALIDATION_FILES: dict[str, tuple[str, ...]] = {
    "networking": ("xmlrpc/server.py",),
    "text": ("email/header.py",),
    "data": ("enum.py",),
    "concurrency": ("multiprocessing/pool.py",),
    "tools": ("trace.py",),
}
TEST_FILES: dict[str, tuple[str, ...]] = {
    "networking": ("socket.py",),
    "text": ("xml/dom/minidom.py",),
    "data": ("_pyio.py",),
    "concurrency": ("concurrent/futures/process.py",),
    "tools": ("unittest/case.py",),
}


def python_text(info: TaskInfo) -> Parts:
    """The three parts: windows of tokens with the next tokens as labels, split by file.

    Inputs are [examples, context] and labels the tokens one position later, both int64. Windows of a file do not overlap.

    Raises:
        InvalidData: this Python has no sources of its standard library, or unexpected ones.
    """
    parts = ((TRAIN_FILES, TRAIN_WINDOWS), (VALIDATION_FILES, HELD_OUT_WINDOWS), (TEST_FILES, HELD_OUT_WINDOWS))
    train, validation, test = (_part(files, windows, info) for files, windows in parts)
    return train, validation, test


def _part(files: dict[str, tuple[str, ...]], windows: int, info: TaskInfo) -> Split:
    texts = [(source, encode(path, windows * info.features + 1)) for source, path in _named(files)]
    inputs = torch.cat([tokens[:-1].view(windows, info.features) for _, tokens in texts])
    labels = torch.cat([tokens[1:].view(windows, info.features) for _, tokens in texts])
    sources = [info.sources.index(source) for source, _ in texts for _ in range(windows)]
    return Split(inputs, labels, torch.tensor(sources))


def _named(files: dict[str, tuple[str, ...]]) -> Iterator[tuple[str, str]]:
    for source, paths in files.items():
        yield from ((source, path) for path in paths)


def encode(path: str, length: int) -> Tensor:
    """The first ``length`` tokens of a file of the standard library, [length] int64.

    Raises:
        InvalidData: there is no such file, or it is shorter.
    """
    file = Path(sysconfig.get_path("stdlib")) / path
    hint = "run the workers with a CPython 3.11 or later that has the .py files of its standard library installed"
    try:
        text = file.read_text(encoding="utf-8").expandtabs(TAB)
    except OSError as error:
        raise InvalidData(f"task 'python-text' reads {file}, which cannot be opened: {error.strerror}", hint) from error
    if len(text) < length:
        raise InvalidData(f"task 'python-text' takes {length:,} characters of {file}, which has {len(text):,}", hint)
    return torch.tensor([TOKENS.get(character, len(CHARACTERS)) for character in text[:length]])
