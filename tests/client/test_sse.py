"""The event-stream parser against the examples and rules of the WHATWG HTML standard, section 9.2."""

from collections.abc import Iterable, Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.client._sse import EventStream, Message


def messages(pieces: Iterable[bytes]) -> Iterator[Message]:
    stream = EventStream()
    for piece in pieces:
        yield from stream.feed(piece)
    yield from stream.end()


def parse(text: str) -> list[Message]:
    return list(messages([text.encode()]))


def test_lines_of_data_are_joined():
    assert parse("data: YHOO\ndata: +2\ndata: 10\n\n") == [Message("message", "YHOO\n+2\n10", "")]


def test_comments_fields_and_ids_follow_the_standards_example():
    stream = ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"
    assert parse(stream) == [
        Message("message", "first event", "1"),
        Message("message", "second event", ""),
        Message("message", " third event", ""),
    ]


def test_an_event_without_data_is_not_dispatched_but_an_empty_line_of_data_is():
    assert parse("event: ping\n\ndata\n\ndata\ndata\n\ndata:") == [Message("message", "", ""), Message("message", "\n", "")]


def test_the_type_holds_for_one_event_and_the_id_for_all_that_follow():
    stream = "event: outer_step\nid: 7\ndata: a\n\ndata: b\n\n"
    assert parse(stream) == [Message("outer_step", "a", "7"), Message("message", "b", "7")]


def test_an_id_with_a_null_is_ignored():
    assert parse("id: 3\ndata: a\n\nid: 4\0\ndata: b\n\n")[1].id == "3"


def test_an_event_that_is_cut_off_is_dropped():
    assert parse("data: whole\n\ndata: cut") == [Message("message", "whole", "")]
    assert parse("data: whole\n\ndata: no blank line\n") == [Message("message", "whole", "")]


def test_unknown_fields_are_ignored():
    assert parse("retry: 1000\nflavour: odd\ndata: a\n\n") == [Message("message", "a", "")]


def test_a_byte_order_mark_is_skipped_once():
    assert list(messages([b"\xef\xbb\xbfdata: a\n\n"])) == [Message("message", "a", "")]


def test_only_cr_and_lf_end_a_line():
    separators = "\x0b\x0c\x1c\x85\u2028\u2029"
    assert parse(f"data: {separators}\n\n") == [Message("message", separators, "")]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_every_line_end_of_the_standard_is_one(end):
    assert parse(f"id: 1{end}data: a{end}{end}data: b{end}{end}") == [
        Message("message", "a", "1"),
        Message("message", "b", "1"),
    ]


@given(st.lists(st.integers(0, 60), max_size=8), st.sampled_from(["\n", "\r", "\r\n"]))
def test_where_the_pieces_are_cut_does_not_matter(cuts, end):
    stream = f": hi{end}{end}event: e{end}id: 1{end}data: grün{end}data: ✈{end}{end}data: b{end}{end}".encode()
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[a:b] for a, b in pairwise(places)]
    assert list(messages(pieces)) == [Message("e", "grün\n✈", "1"), Message("message", "b", "1")]
