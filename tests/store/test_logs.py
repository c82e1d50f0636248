"""Logs: an object a line, with the job and the epoch that the thread is about, also from libraries."""

import io
import json
import logging
import threading

from store import logs


def test_json_lines_say_which_attempt_they_are_about_in_their_own_thread_only() -> None:
    stream = io.StringIO()
    logs.configure("json", stream)
    with logs.about(job="job_1", epoch=3):
        logging.getLogger("some.library").warning("beat %d failed", 7)
        thread = threading.Thread(target=lambda: logging.getLogger("other").info("elsewhere"))
        thread.start()
        thread.join()
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("x").exception("an error")
    first, second, third = (json.loads(line) for line in stream.getvalue().splitlines())
    assert list(first)[:3] == ["timestamp", "level", "event"]
    assert (first["event"], first["level"], first["job"], first["epoch"]) == ("beat 7 failed", "warning", "job_1", 3)
    assert "job" not in second and second["logger"] == "other"
    assert "ValueError: broken" in third["exception"]


def test_no_log_shows_local_variables() -> None:
    def open_door(api_key: str) -> None:
        raise ValueError("broken")

    for kind in ("text", "json"):
        stream = io.StringIO()
        logs.configure(kind, stream)
        secret = "wt_" + "s3cret"
        try:
            open_door(secret)
        except ValueError:
            logging.getLogger("x").exception("an error")
        assert "ValueError: broken" in stream.getvalue() and "open_door" in stream.getvalue()
        assert secret not in stream.getvalue()


def test_text_lines_are_for_people() -> None:
    stream = io.StringIO()
    logs.configure("text", stream)
    with logs.about(job="job_1"):
        logging.getLogger("x").info("an attempt begins")
    assert "an attempt begins" in stream.getvalue() and "job=job_1" in stream.getvalue()
