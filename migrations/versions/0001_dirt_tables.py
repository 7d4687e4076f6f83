"""DIRT's tables as its own migration 0001 made them, under the release's names

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIGINT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)
STEPS = "step IN (0, 1, 2, 3, 4)"


def review_columns() -> list[sa.schema.SchemaItem]:
    """What a verdict and a click have in common."""
    return [
        sa.Column("img_id", BIGINT, nullable=False),
        sa.Column("session", BIGINT, nullable=False),
        sa.Column("created", INSTANT, nullable=False),
    ]


def review_constraints(table: str) -> list[sa.schema.SchemaItem]:
    """Both point to their image and their session, and go with them."""
    return [
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        sa.ForeignKeyConstraint(
            ["img_id"], ["image.id"], name=f"fk_{table}_img_id_image", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["session"], ["session.id"], name=f"fk_{table}_session_session", ondelete="CASCADE"
        ),
    ]


def upgrade() -> None:
    op.create_table(
        "session",
        sa.Column("id", BIGINT, nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("user", sa.Text(), nullable=True),
        sa.Column("created", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_session"),
        sa.CheckConstraint(STEPS, name=op.f("ck_session_step")),
    )
    op.create_table(
        "image",
        sa.Column("id", BIGINT, nullable=False),
        sa.Column("slice", sa.Integer(), nullable=True),
        sa.Column("file1", sa.Text(), nullable=False),
        sa.Column("file2", sa.Text(), nullable=True),
        sa.Column("display", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("created", INSTANT, nullable=False),
        sa.Column("img", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_image"),
        sa.CheckConstraint("display IN (0, 1, 2)", name=op.f("ck_image_display")),
        sa.CheckConstraint(STEPS, name=op.f("ck_image_step")),
        sa.UniqueConstraint("slice", "file1", "display", "step", name="image_meta"),
    )
    op.create_table(
        "rating",
        sa.Column("id", BIGINT, nullable=False),
        sa.Column("source_data_issue", sa.Boolean(), nullable=False),
        sa.Column("rating", sa.Integer(), nullable=False),
        *review_columns(),
        *review_constraints("rating"),
        sa.CheckConstraint("rating IN (0, 1, 2)", name=op.f("ck_rating_rating")),
    )
    op.create_table(
        "coordinate",
        sa.Column("id", BIGINT, nullable=False),
        sa.Column("source_data_issue", sa.Boolean(), nullable=False),
        sa.Column("x", sa.Double(), nullable=True),
        sa.Column("y", sa.Double(), nullable=True),
        *review_columns(),
        *review_constraints("coordinate"),
    )


def downgrade() -> None:
    for table in ("coordinate", "rating", "image", "session"):
        op.drop_table(table)
