"""Plans of values that were given: a plan has an owner of its own, and may have no job."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("plans") as table:
        table.add_column(sa.Column("owner", sa.String(200), nullable=True))
    op.execute("UPDATE plans SET owner = (SELECT jobs.owner FROM jobs WHERE jobs.id = plans.job_id)")
    with op.batch_alter_table("plans") as table:
        table.alter_column("owner", existing_type=sa.String(200), nullable=False)
        table.alter_column("job_id", existing_type=sa.String(40), nullable=True)
    op.create_index(op.f("ix_plans_owner_id"), "plans", ["owner", "id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_plans_owner_id"), table_name="plans")
    op.execute("DELETE FROM plans WHERE job_id IS NULL")
    with op.batch_alter_table("plans") as table:
        table.alter_column("job_id", existing_type=sa.String(40), nullable=False)
        table.drop_column("owner")
