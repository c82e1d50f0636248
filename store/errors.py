"""Errors of the store, each with a sentence that says what to do, and the errors of a driver that pass by themselves."""

from collections.abc import Sequence

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

DATABASE_ERRORS = (OperationalError, InterfaceError, PoolTimeout)
"""The database is away, restarts, or is too busy: the same may work a moment later. Any other error is a bug."""


def is_full(error: BaseException) -> bool:
    """True where a database refused to write because its disk is full."""
    original = getattr(error, "orig", error)
    return "disk is full" in str(original) or getattr(original, "sqlstate", None) == "53100"


class StoreError(Exception):
    """Base of every error of this package."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class SettingsError(StoreError):
    """A setting from the environment is malformed."""


class SchemaError(StoreError):
    """The database's schema is not one that this version knows."""


class JobNotFound(StoreError):
    """No job has this id."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"no job {job_id!r}")
        self.job_id = job_id


class JobLives(StoreError):
    """The job has not ended, so it cannot be deleted."""

    def __init__(self, job_id: str, state: str) -> None:
        super().__init__(f"job {job_id} is {state}; cancel it, and delete it when it has ended")


class TooManyPlans(StoreError):
    """The owner has as many transfer plans as one may have."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"you have {limit:,} plans; allowed: {limit:,}; delete one that is no longer needed, or its job")


class TooManyFits(StoreError):
    """The owner has as many stored scaling-law fits as one may have."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"you have {limit:,} fits; allowed: {limit:,}; delete one that is no longer needed")


class TooManyPings(StoreError):
    """The webhook has as many test messages that wait as it may have."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit} test messages to this webhook are still to be sent; allowed: {limit}; wait for one to end"
        )


class PlanNotFound(StoreError):
    """No transfer plan has this id."""

    def __init__(self, plan_id: str) -> None:
        super().__init__(f"no plan {plan_id!r}")
        self.plan_id = plan_id


class KeyNotFound(StoreError):
    """No API key of this owner has this id."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"no API key {key_id!r}")
        self.key_id = key_id


class TooManyKeys(StoreError):
    """The owner has as many API keys as one may have."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"you have {limit} API keys; allowed: {limit}; revoke one that is no longer used")


class TooManyJobs(StoreError):
    """The owner has as many jobs that have not ended as one may have."""

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(
            f"you have {count:,} jobs that have not ended; allowed: {limit:,}; wait for one to end, or cancel one"
        )


class DatasetNotFound(StoreError):
    """No data set has this id, or it was deleted, or it belongs to another owner."""

    def __init__(self, dataset_id: str, *, deleted: bool = False) -> None:
        what = "was deleted; upload the file again, and it has the same id" if deleted else "is none of yours"
        super().__init__(f"data set {dataset_id!r} {what}")
        self.dataset_id = dataset_id


class DatasetInUse(StoreError):
    """Jobs that have not ended use the data set."""

    def __init__(self, dataset_id: str, job_ids: Sequence[str]) -> None:
        named = ", ".join(job_ids[:3]) + (f" and {len(job_ids) - 3} more" if len(job_ids) > 3 else "")
        super().__init__(
            f"data set {dataset_id!r} is used by {named}; delete it when they have ended, or cancel them first"
        )
        self.job_ids = list(job_ids)


class TooManyDatasets(StoreError):
    """The owner has as many data sets as are allowed."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"there are {limit} data sets already; allowed: {limit}. Delete one that is no longer needed")
        self.limit = limit


class DatasetsTooLarge(StoreError):
    """The owner's data sets would take more room together than is allowed."""

    def __init__(self, kept: int, more: int, limit: int) -> None:
        super().__init__(
            f"this data set takes {more:,} bytes and your others take {kept:,}; allowed together: {limit:,}. Delete one "
            "that is no longer needed"
        )


class LawFitNotFound(StoreError):
    """No scaling-law fit has this id."""

    def __init__(self, fit_id: str) -> None:
        super().__init__(f"no fit {fit_id!r}")
        self.fit_id = fit_id


class WebhookNotFound(StoreError):
    """No webhook of this owner has this id."""

    def __init__(self, webhook_id: str) -> None:
        super().__init__(f"no webhook {webhook_id!r}")
        self.webhook_id = webhook_id


class TooManyWebhooks(StoreError):
    """The owner has as many webhooks as one may have."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"you have {limit} webhooks; allowed: {limit}; delete one that is no longer needed")


class LeaseLost(StoreError):
    """The job is no longer this worker's: the lease ran out, or the job has ended. Write nothing and stop."""

    def __init__(self, job_id: str, epoch: int) -> None:
        super().__init__(f"epoch {epoch} no longer holds job {job_id!r}")
        self.job_id = job_id
        self.epoch = epoch


class IdempotencyConflict(StoreError):
    """The idempotency key was used before, for another request."""

    def __init__(self, key: str) -> None:
        super().__init__(
            f"idempotency key {key!r} was used for a different job spec; send the same spec again, or take a new key"
        )
        self.key = key


class InvalidCursor(StoreError):
    """The cursor of a page was not made by this store."""

    def __init__(self, cursor: str) -> None:
        super().__init__(f"cursor {cursor!r} is not one that a page of jobs gave; leave it out to start at the newest job")
        self.cursor = cursor
