"""The short form of the abuse suite: a real server withstands every kind, and another caller does not notice."""

import pytest

from benchmarks import abuse


@pytest.mark.timeout(180)
def test_a_server_withstands_every_kind_of_abuse() -> None:
    rows = abuse.run(1)
    if not all(row.passed for row in rows):  # once more: on a machine that does other things, seconds are not the server's
        rows = abuse.run(1)
    assert len(rows) == len(abuse.KINDS)
    assert all(row.passed for row in rows), "\n" + abuse.table(rows)
