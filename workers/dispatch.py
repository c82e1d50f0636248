"""What finds jobs that wait and has them run: the protocol that every dispatcher fulfils."""

from typing import Protocol


class Dispatcher(Protocol):
    """Level-triggered: it looks at the database again and again, so that a missed or doubled call changes nothing."""

    def start(self) -> None:
        """Begin to take jobs; returns at once."""

    def stop(self) -> None:
        """Take no more jobs, let go of those that run (they go back to the queue), return when that is done."""

    @property
    def alive(self) -> bool:
        """Does it look for jobs?"""
