"""The local tables: targets, pictures, what was loaded and what was found in it

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BIGINT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)

# The first of each covers what the queries ask for, so that they never read a picture's page.
INDEXES = {
    "ix_image_narrow": ("image", ["step", "file1", "display", "slice", "id", "file2", "created"]),
    "ix_rating_image": ("rating", ["img_id", "session", "created", "rating", "source_data_issue"]),
    "ix_rating_rating": ("rating", ["rating", "img_id"]),
    "ix_rating_session": ("rating", ["session"]),
    "ix_coordinate_image": (
        "coordinate",
        ["img_id", "session", "created", "x", "y", "source_data_issue"],
    ),
    "ix_coordinate_session": ("coordinate", ["session"]),
}


def upgrade() -> None:
    op.create_table(
        "target",
        sa.Column("id", BIGINT, nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("file1", sa.Text(), nullable=False),
        sa.Column("sub", sa.Text(), nullable=True),
        sa.Column("ses", sa.Text(), nullable=True),
        sa.Column("task", sa.Text(), nullable=True),
        sa.Column("run", sa.Integer(), nullable=True),
        sa.Column("scan", sa.Text(), nullable=True),
        sa.Column("space", sa.Text(), nullable=True),
        sa.Column("desc", sa.Text(), nullable=True),
        sa.Column("suffix", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_target"),
        sa.CheckConstraint("step IN (0, 1, 2, 3, 4)", name=op.f("ck_target_step")),
        sa.UniqueConstraint("step", "file1", name="uq_target_step_file1"),
    )
    op.create_table(
        "picture",
        sa.Column("img_id", BIGINT, autoincrement=False, nullable=False),
        sa.Column("target_id", BIGINT, nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("n_bytes", BIGINT, nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("img_id", name="pk_picture"),
        sa.CheckConstraint("format IN ('PNG', 'GIF')", name=op.f("ck_picture_format")),
        sa.ForeignKeyConstraint(
            ["img_id"], ["image.id"], name="fk_picture_img_id_image", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["target_id"], ["target.id"], name="fk_picture_target_id_target", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_picture_target_id", "picture", ["target_id", "img_id"])
    op.create_table(
        "release",
        sa.Column("id", BIGINT, nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("loaded_at", INSTANT, nullable=False),
        sa.Column("dirtmodel_version", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_release"),
    )
    op.create_table(
        "release_file",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("n_rows", BIGINT, nullable=False),
        sa.Column("n_empty_rows", BIGINT, nullable=False),
        sa.Column("n_bytes", BIGINT, nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_release_file"),
    )
    op.create_table(
        "finding",
        sa.Column("id", BIGINT, nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("n", BIGINT, nullable=False),
        sa.Column("examples", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_finding"),
        sa.CheckConstraint("severity IN ('error', 'warning')", name=op.f("ck_finding_severity")),
    )
    op.create_table(
        "quarantine",
        sa.Column("table", sa.Text(), nullable=False),
        sa.Column("file_row", BIGINT, autoincrement=False, nullable=False),
        sa.Column("id", BIGINT, nullable=True),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("row", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("table", "file_row", name="pk_quarantine"),
    )
    for name, (table, columns) in INDEXES.items():
        op.create_index(name, table, columns)
    if op.get_context().dialect.name == "postgresql":
        # PNG and GIF do not compress; trying would only cost time.
        op.execute("ALTER TABLE image ALTER COLUMN img SET STORAGE EXTERNAL")


def downgrade() -> None:
    for name, (table, _) in reversed(INDEXES.items()):
        op.drop_index(name, table_name=table)
    for table in ("quarantine", "finding", "release_file", "release", "picture", "target"):
        op.drop_table(table)
