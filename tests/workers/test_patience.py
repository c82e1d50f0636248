"""Database errors are waited out, bugs are not."""

import sqlite3

import pytest
from sqlalchemy.exc import OperationalError

from workers.patience import patiently


def failing(times: int, error: Exception) -> list[Exception]:
    return [error] * times


def locked() -> OperationalError:
    return OperationalError("UPDATE", {}, sqlite3.OperationalError("database is locked"))


def test_it_tries_until_it_works() -> None:
    errors = failing(2, locked())

    def action() -> str:
        if errors:
            raise errors.pop()
        return "done"

    assert patiently(action, 60) == "done"
    assert errors == []


def test_it_gives_up_when_the_time_is_over() -> None:
    tries = []

    def action() -> None:
        tries.append(1)
        raise locked()

    with pytest.raises(OperationalError, match="database is locked"):
        patiently(action, 0.0)
    assert len(tries) == 1


def test_a_bug_is_not_tried_again() -> None:
    errors = failing(2, ValueError("bug"))

    def action() -> None:
        raise errors.pop()

    with pytest.raises(ValueError, match="bug"):
        patiently(action, 60)
    assert len(errors) == 1
