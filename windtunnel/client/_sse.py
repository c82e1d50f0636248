"""Parses a server-sent event stream (WHATWG HTML standard, section 9.2.6)."""

# Not httpx-sse: after the first event with an id it gives an empty event for every comment that keeps the connection alive,
# and it takes a byte order mark for a part of the first field; the standard wants neither.

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

_LINE_END = re.compile("\r\n|\n|\r")


@dataclass(frozen=True)
class Message:
    """One dispatched event: its type, its data, and the id to resume after."""

    type: str
    data: str
    id: str


class EventStream:
    """Parser that takes a stream in arbitrary pieces and returns its events; an incomplete last event is dropped."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._rest = ""
        self._kind = ""
        self._data: list[str] = []
        self._last_id = ""

    def feed(self, piece: bytes) -> Iterator[Message]:
        """Yield the events that end in this piece. Only CR, LF and CRLF end a line, unlike in ``str.splitlines``."""
        text = self._rest + self._decoder.decode(piece)
        # A CR at the very end may be half of a CRLF: it waits for the next piece.
        held = "\r" if text.endswith("\r") else ""
        *ended, rest = _LINE_END.split(text.removesuffix(held))
        self._rest = rest + held
        for line in ended:
            yield from self._take(line)

    def end(self) -> Iterator[Message]:
        """Yield the event that a CR at the end of the stream completes, as no LF can follow it any more."""
        if self._rest.endswith("\r"):
            yield from self._take(self._rest.removesuffix("\r"))

    def _take(self, line: str) -> Iterator[Message]:
        if not line:
            if self._data:
                yield Message(self._kind or "message", "\n".join(self._data), self._last_id)
            self._kind, self._data = "", []
            return
        # A line that starts with a colon is a comment: its field name is empty.
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "event":
                self._kind = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self._last_id = value
