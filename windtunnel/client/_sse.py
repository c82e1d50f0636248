"""Reads a server-sent event stream, as the WHATWG HTML standard section 9.2.6 says."""

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_LINE_END = re.compile("\r\n|\n|\r")


@dataclass(frozen=True)
class Message:
    """One dispatched event: its type, its data, and the id to resume after."""

    type: str
    data: str
    id: str


def messages(chunks: Iterable[bytes]) -> Iterator[Message]:
    """Events of a stream that arrives in arbitrary pieces; an event that is cut off by the end is dropped."""
    kind, data, last_id = "", list[str](), ""
    for line in _lines(chunks):
        if not line:
            if data:
                yield Message(kind or "message", "\n".join(data), last_id)
            kind, data = "", []
            continue
        # A line that starts with a colon is a comment: its field name is empty.
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "event":
                kind = value
            case "data":
                data.append(value)
            case "id" if "\0" not in value:
                last_id = value


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Lines that have ended. Only CR, LF and CRLF end one, unlike in ``str.splitlines``."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
    rest = ""
    for chunk in chunks:
        rest += decoder.decode(chunk)
        # A CR at the very end may be half of a CRLF: it waits for the next piece.
        held = "\r" if rest.endswith("\r") else ""
        *ended, rest = _LINE_END.split(rest.removesuffix(held))
        yield from ended
        rest += held
    if rest.endswith("\r"):
        yield from _LINE_END.split(rest)[:-1]
