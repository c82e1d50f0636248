"""Delays between tries, and how long a lost server is waited for."""

import pytest

from windtunnel import Pacing
from windtunnel.client._pacing import Patience


def test_delays_double_from_half_a_second_to_eight():
    pacing = Pacing(jitter=lambda: 0.0)
    assert [pacing.delay(attempt) for attempt in range(7)] == [0.5, 1, 2, 4, 8, 8, 8]
    assert pacing.delay(10_000) == 8


def test_jitter_takes_away_up_to_a_quarter():
    assert Pacing(jitter=lambda: 1.0).delay(1) == 0.75
    assert len({Pacing().delay(0) for _ in range(5)}) > 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 0 ", 0.0),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("soon", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header, seconds):
    assert Pacing(now=lambda: 100.0).retry_after(header) == seconds


def test_there_is_no_patience_before_the_first_contact(pacing):
    with pytest.raises(ConnectionError):
        Patience(pacing).next_delay(ConnectionError())


def test_patience_lasts_as_long_as_it_says(pacing, time):
    patience = Patience(pacing)
    patience.contact()
    begin = time.now

    def lose_it() -> None:
        while True:
            pacing.sleep(patience.next_delay(ConnectionError()))

    with pytest.raises(ConnectionError):
        lose_it()
    assert pacing.patience < time.now - begin <= pacing.patience + pacing.longest_delay


def test_progress_makes_the_next_delay_short_again(pacing):
    patience = Patience(pacing)
    patience.contact()
    delays = [patience.next_delay(ConnectionError()) for _ in range(3)]
    patience.progress()
    assert [*delays, patience.next_delay(None)] == [0.5, 1, 2, 0.5]


def test_a_delay_is_no_longer_than_the_time_left(pacing):
    patience = Patience(pacing)
    patience.contact()
    assert patience.next_delay(ConnectionError(), at_most=0.1) == 0.1
