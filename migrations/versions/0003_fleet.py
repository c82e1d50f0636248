"""A fleet: fair shares, pauses, drains, attempts with their reasons, and what is measured of all that."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

COLUMNS: dict[str, dict[str, sa.types.TypeEngine[Any]]] = {
    "jobs": {
        "renewed_at": sa.Double(),
        "claimed_at": sa.Double(),
        "queued_at": sa.Double(),
        "rung_at": sa.Double(),
        "pause_requested_at": sa.Double(),
        "population": sa.Integer(),
    },
    "attempts": {"rung_at": sa.Double(), "reason": sa.Text()},
    "checkpoints": {"loss": sa.Double()},
    "workers": {"steps_per_second": sa.Double(), "drain_requested_at": sa.Double()},
}

BEFORE = (
    "type IN ('queued', 'started', 'outer_step', 'finishing', 'requeued', 'crashed', 'checkpoint_rejected', "
    "'cancel_requested', 'plan_created', 'plan_refused', 'succeeded', 'failed', 'cancelled')"
)
AFTER = (
    "type IN ('queued', 'started', 'outer_step', 'finishing', 'requeued', 'crashed', 'checkpoint_rejected', "
    "'population_reduced', 'cancel_requested', 'pause_requested', 'paused', 'resumed', 'plan_created', 'plan_refused', "
    "'succeeded', 'failed', 'cancelled')"
)


def upgrade() -> None:
    for table, columns in COLUMNS.items():
        for name, kind in columns.items():
            op.add_column(table, sa.Column(name, kind, nullable=True))
    # What waits has waited since it was submitted, as far as anybody knows.
    op.execute("UPDATE jobs SET queued_at = created_at")
    op.execute("UPDATE jobs SET claimed_at = (SELECT max(started_at) FROM attempts WHERE attempts.job_id = jobs.id)")
    op.execute("UPDATE jobs SET renewed_at = claimed_at WHERE state = 'running'")
    op.create_index(op.f("ix_jobs_owner_claimed_at"), "jobs", ["owner", "claimed_at"], unique=False)
    _allow_events(AFTER)


def downgrade() -> None:
    # The log's numbers have no gaps, so what the older version has no name for stays under one that it has.
    op.execute(
        "UPDATE events SET type = 'requeued' WHERE type IN ('population_reduced', 'pause_requested', 'paused', 'resumed')"
    )
    _allow_events(BEFORE)
    op.drop_index(op.f("ix_jobs_owner_claimed_at"), table_name="jobs")
    for table, columns in COLUMNS.items():
        for name in columns:
            op.drop_column(table, name)


def _allow_events(types: str) -> None:
    check = op.f("ck_events_known_type")
    with op.batch_alter_table("events") as table:
        table.drop_constraint(check, type_="check")
        table.create_check_constraint(check, types)
