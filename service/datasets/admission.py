"""Checks a spec that names an uploaded data set against what is known of the data set, if its sender may see it."""

from pydantic import ValidationError

from service.caller import Caller
from service.problems.answers import invalid
from service.problems.problems import field_errors
from store import datasets
from store.database import Database
from store.errors import DatasetNotFound
from windtunnel.types import Dataset, FieldError, JobSpec, is_dataset
from windtunnel.types.carry import CarryRequest


def checked(spec: JobSpec, database: Database, caller: Caller) -> JobSpec:
    """The spec as it came, or filled up and checked with the facts of its data set.

    Raises:
        ProblemError: there is no such data set, or a field does not fit it.
    """
    if not is_dataset(spec.task):
        return spec
    try:
        with database.snapshot() as session:
            dataset = datasets.get(session, spec.task, owner=caller.owner)
        return spec.check(dataset.task)
    except DatasetNotFound as error:
        raise missing(error) from error
    except ValidationError as error:
        raise invalid(field_errors(error.errors(), JobSpec)) from error


def carried_request(wanted: CarryRequest, database: Database, caller: Caller) -> tuple[CarryRequest, Dataset | None]:
    """(request to carry values, checked with the facts of its data set; the data set, None where it names a task).

    Raises:
        ProblemError: there is no such data set, or a field does not fit it.
    """
    if not is_dataset(wanted.task):
        return wanted, None
    try:
        with database.snapshot() as session:
            dataset = datasets.get(session, wanted.task, owner=caller.owner)
        return wanted.check(dataset.task), dataset
    except DatasetNotFound as error:
        raise missing(error) from error
    except ValidationError as error:
        raise invalid(field_errors(error.errors(), CarryRequest)) from error


def missing(error: DatasetNotFound) -> Exception:
    """422 for a job whose data set is not there."""
    message = f"{error.message}; GET /v1/datasets lists those that there are"
    return invalid([FieldError(pointer="/task", message=message, given=error.dataset_id)])
