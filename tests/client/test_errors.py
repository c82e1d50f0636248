"""From a problem document to an exception."""

import pickle

import pytest

from hpo.errors import HpoError
from windtunnel import (
    ApiError,
    Conflict,
    NotFinished,
    NotFound,
    Problem,
    RateLimited,
    ServerError,
    TransferRefused,
    ValidationFailed,
)
from windtunnel.client import DatabaseAway, Forbidden, QuotaExceeded
from windtunnel.client._errors import JobFailed, api_error
from windtunnel.types import Failure


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (404, "about:blank", NotFound),
        (409, "not-finished", NotFinished),
        (409, "https://windtunnel.dev/problems/transfer-refused", TransferRefused),
        (409, "urn:problem:transfer-refused", TransferRefused),
        (409, "something-else", Conflict),
        (418, "about:blank", ApiError),
        (403, "quota", QuotaExceeded),
        (403, "something-new", Forbidden),
        (503, "database-away", DatabaseAway),
        (422, "validation", ValidationFailed),
        (429, "about:blank", RateLimited),
        (500, "about:blank", ServerError),
        (599, "about:blank", ServerError),
    ],
)
def test_the_type_decides_then_the_status(status, kind, expected):
    error = api_error(Problem(type=kind, title="short", status=status, detail="long"), None)
    assert type(error) is expected
    assert str(error) == "long"
    assert error.status == status


def test_a_refused_transfer_and_an_unfinished_job_are_conflicts():
    assert issubclass(TransferRefused, Conflict)
    assert issubclass(NotFinished, Conflict)


def test_the_text_of_a_failed_job_has_its_hint_once_and_is_one_sentence():
    said = JobFailed("job_1", Failure(type="diverged", message="every run diverged", hint="lower the rate"))
    assert str(said) == "job_1 failed (diverged): every run diverged; lower the rate"
    assert str(JobFailed("job_1", Failure(type="crashed", message="it crashed"))) == "job_1 failed (crashed): it crashed"
    error = HpoError("the loss is nan", "look at it")
    assert (str(error), error.message, error.hint) == ("the loss is nan; look at it", "the loss is nan", "look at it")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert str(HpoError("the loss is nan")) == "the loss is nan"
