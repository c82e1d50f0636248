"""The tables. Times are seconds since 1970 by the database's clock; states and types are strings with named checks."""

import typing

from sqlalchemy import (
    JSON,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

from windtunnel.types import DeliveryState, EventType, JobState

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _one_of(column: str, kind: object) -> CheckConstraint:
    """The column holds a value of a Literal type of the wire."""
    allowed = ", ".join(f"'{value}'" for value in typing.get_args(kind))
    return CheckConstraint(f"{column} IN ({allowed})", name=f"known_{column}")


def _json(name: str, *, nullable: bool = True) -> Column[typing.Any]:
    return Column(name, JSON(none_as_null=True), nullable=nullable)


jobs = Table(
    "jobs",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("owner", String(200), nullable=False),
    Column("name", String(200), nullable=False),
    Column("task", String(200), nullable=False),
    Column("tags", String(1000), nullable=False, server_default=""),  # each between spaces: " a b "
    Column("notes", Text, nullable=False, server_default=""),
    _json("spec", nullable=False),
    Column("state", String(16), nullable=False),
    Column("epoch", Integer, nullable=False),  # fencing token: raised by each claim, so also the number of attempts
    Column("worker_id", String(200)),
    Column("threads", Integer),  # of the first claim: later ones must compute with as many, or the sums round otherwise
    Column("lease_until", Double),
    Column("renewed_at", Double),  # the lease, most recently
    Column("claimed_at", Double),  # most recently: whose jobs were served longest ago is served next
    Column("queued_at", Double),  # since when it waits, most recently
    Column("next_ring_at", Double),  # outbox of the dispatcher
    Column("rings", Integer, nullable=False),
    Column("rung_at", Double),  # of the latest ring that nobody has answered
    Column("cancel_requested_at", Double),
    Column("pause_requested_at", Double),
    Column("population", Integer),  # members trained at once, at most; NULL until memory ran out
    # No foreign key: checkpoints refers to jobs, and the pointer moves in the transaction that writes the row it names.
    Column("checkpoint_id", Integer),
    Column("barren_crashes", Integer, nullable=False),  # crashes since the last checkpoint
    Column("last_seq", Integer, nullable=False),  # of the event log; its row lock keeps the numbers dense
    _json("progress", nullable=False),
    _json("current"),
    _json("best"),
    _json("failure"),
    _json("result"),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    _one_of("state", JobState),
    CheckConstraint("(state = 'running') = (lease_until IS NOT NULL)", name="lease_while_running"),
    CheckConstraint("(state = 'queued') = (next_ring_at IS NOT NULL)", name="ring_while_queued"),
    CheckConstraint("(state = 'succeeded') = (result IS NOT NULL)", name="result_when_succeeded"),
    CheckConstraint("(state = 'failed') = (failure IS NOT NULL)", name="failure_when_failed"),
    Index(None, "state", "next_ring_at"),
    Index(None, "state", "lease_until"),
    Index(None, "task", "id"),
    Index(None, "owner", "claimed_at"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("worker_id", String(200), nullable=False),
    Column("rung_at", Double),  # when the ring that led to it went out
    Column("started_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("outcome", String(16)),
    Column("reason", Text),  # why it ended, where the outcome does not say it
    CheckConstraint("outcome IN ('succeeded', 'failed', 'cancelled', 'released', 'crashed', 'lost')", name="known_outcome"),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job_id", ForeignKey("jobs.id"), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("outer_step", Integer, nullable=False),
    Column("path", Text, nullable=False),  # below the data folder
    Column("manifest_sha256", String(64), nullable=False),
    Column("loss", Double),  # of the best point known then
    Column("created_at", Double, nullable=False),
    Index(None, "job_id", "epoch", "outer_step", unique=True),
)

metrics = Table(
    "metrics",
    metadata,
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    Column("series", String(200), primary_key=True),
    Column("step", Integer, primary_key=True, autoincrement=False),
    Column("value", Double, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("type", String(32), nullable=False),
    _json("data", nullable=False),
    Column("at", Double, nullable=False),
    _one_of("type", EventType),
)

plans = Table(
    "plans",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("job_id", ForeignKey("jobs.id"), index=True),  # null: of values that were given
    Column("owner", String(200), nullable=False),
    _json("plan", nullable=False),
    Column("created_at", Double, nullable=False),
    Index(None, "owner", "id"),
)

datasets = Table(
    "datasets",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("owner", String(200), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("path", Text, nullable=False),  # below the data folder
    _json("facts", nullable=False),  # of a deleted one, too: its jobs and plans are still there
    Column("created_at", Double, nullable=False),
    Column("deleted_at", Double),
    Index(None, "owner", "created_at"),
)

law_fits = Table(
    "law_fits",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("owner", String(200), nullable=False),
    Column("name", String(200), nullable=False),
    Column("rows", Integer, nullable=False),
    _json("laws", nullable=False),  # their names, for the list
    _json("fit", nullable=False),
    Column("created_at", Double, nullable=False),
    Index(None, "owner", "id"),
)

workers = Table(
    "workers",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("host", String(200), nullable=False),
    Column("device", String(100), nullable=False),
    Column("threads", Integer, nullable=False),
    Column("job_id", String(40)),
    _json("speed"),  # as its last job process measured it
    Column("steps_per_second", Double),  # inner steps of members, of the job that it runs now
    Column("drain_requested_at", Double),
    Column("started_at", Double, nullable=False),
    Column("seen_at", Double, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("owner", String(200), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("request_sha256", String(64), nullable=False),
    Column("job_id", String(40), nullable=False),
    Column("created_at", Double, nullable=False),
    # Checked at the end of the transaction: the key goes in first, so that of two requests at once only one makes a job.
    ForeignKeyConstraint(["job_id"], ["jobs.id"], deferrable=True, initially="DEFERRED"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("owner", String(200), nullable=False),
    Column("name", String(200), nullable=False),
    Column("prefix", String(16), nullable=False),  # to know a key by, among others
    Column("sha256", String(64), nullable=False),
    Column("operator", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("used_at", Double),  # to the minute
    Column("revoked_at", Double),  # the row stays: a server whose last key has ended is not open
    CheckConstraint("operator IN (0, 1)", name="operator_or_not"),
    Index(None, "sha256", unique=True),
    Index(None, "owner", "id"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("sha256", String(64), primary_key=True),  # of the random id that the browser holds
    Column("key_id", ForeignKey("api_keys.id"), nullable=False, index=True),  # that was signed in with
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Index(None, "expires_at"),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("owner", String(200), nullable=False),
    Column("name", String(200), nullable=False),
    Column("url", Text, nullable=False),
    _json("events", nullable=False),
    Column("secret", String(100), nullable=False),  # as it is: a digest signs nothing
    Column("created_at", Double, nullable=False),
    Index(None, "owner", "id"),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("webhook_id", ForeignKey("webhooks.id"), nullable=False),
    Column("type", String(32), nullable=False),
    Column("body", Text, nullable=False),  # what is signed and sent, each time the same
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),  # begun; also the fencing token of the one in progress
    Column("next_attempt_at", Double),  # outbox; while an attempt is in progress, when it counts as lost
    Column("attempted_at", Double),  # most recently
    Column("status", Integer),  # of the last answer
    Column("answer", Text),  # its beginning
    Column("error", Text),  # why the last attempt failed
    Column("created_at", Double, nullable=False),
    Column("ended_at", Double),
    _one_of("state", DeliveryState),
    CheckConstraint("(state = 'pending') = (next_attempt_at IS NOT NULL)", name="attempt_while_pending"),
    Index(None, "next_attempt_at"),
    Index(None, "webhook_id", "id"),
)
