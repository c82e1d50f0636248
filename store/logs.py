"""Logs of every process of a fleet: lines for people, or JSON for programs, each with the job and epoch that it is about.

Modules log with the standard library. What ``about`` binds goes into every line of its thread, those of libraries too.
"""

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

LogFormat = Literal["text", "json"]

FIRST = ("timestamp", "level", "event")
"""Keys that come first in a line of JSON, for the eye."""


def configure(kind: LogFormat, stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Send everything that is logged in this process to a stream; standard error by default."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    match kind:
        case "json":
            last: list[structlog.typing.Processor] = [
                structlog.processors.ExceptionRenderer(),
                _ordered,
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ]
        case "text":
            # Its colours are for a terminal of one's own; these lines go to files and pagers as well.
            # Tracebacks are plain, too: the renderer's own show local variables, and those hold keys.
            plain = structlog.dev.plain_traceback
            last = [structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0, exception_formatter=plain)]
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in ("alembic", "kombu", "celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


@contextlib.contextmanager
def about(**facts: object) -> Iterator[None]:
    """Put these facts into every line of this thread until the block ends."""
    with structlog.contextvars.bound_contextvars(**facts):
        yield


def bind(**facts: object) -> None:
    """Put these facts into every line of this thread from now on."""
    structlog.contextvars.bind_contextvars(**facts)


def _ordered(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {**{key: event[key] for key in FIRST if key in event}, **event}
