"""Scaling-law fits are kept."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "law_fits",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("laws", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("fit", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_law_fits")),
    )
    op.create_index(op.f("ix_law_fits_owner_id"), "law_fits", ["owner", "id"], unique=False)


def downgrade() -> None:
    op.drop_table("law_fits")
