"""DIRT's tables, as in its own migration 0001, with the names of the release

The choices of DIRT's fields (steps, displays, verdicts) are rows of lookup tables. These are part
of the first revision, because SQLite cannot add a foreign key to an existing table.

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

STEPS = (
    {"id": 0, "name": "MASK", "judged_by": "clicks"},
    {"id": 1, "name": "SPATIAL_NORMALIZATION", "judged_by": "clicks"},
    {"id": 2, "name": "SURFACE_LOCALIZATION", "judged_by": "clicks"},
    {"id": 3, "name": "FMAP_COREGISTRATION", "judged_by": "verdict"},
    {"id": 4, "name": "DTIFIT", "judged_by": "verdict"},
)
DISPLAYS = ({"id": 0, "name": "X"}, {"id": 1, "name": "Y"}, {"id": 2, "name": "Z"})
CREATED = {
    # SQLite checks that a day or an hour exists only when it has to calculate with it.
    "sqlite": (
        "created GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9] "
        "[0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]' "
        "AND datetime(substr(created, 1, 19), '+0 days') IS substr(created, 1, 19) "
        "AND substr(created, 1, 4) > '0000'"
    ),
    "postgresql": (
        "created >= '0001-01-01 00:00:00+00'::timestamptz "
        "AND created < '10000-01-01 00:00:00+00'::timestamptz"
    ),
}
VERDICTS = ({"id": 0, "name": "PASS"}, {"id": 1, "name": "UNSURE"}, {"id": 2, "name": "FAIL"})


def upgrade() -> None:
    op.bulk_insert(create_lookup("step", judged_by()), list(STEPS))
    op.bulk_insert(create_lookup("display"), list(DISPLAYS))
    op.bulk_insert(create_lookup("verdict"), list(VERDICTS))
    op.create_table(
        "session",
        sa.Column("id", BIGINT, nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("user", sa.Text(), nullable=True),
        sa.Column("created", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_session"),
        created_is_a_time("session"),
        named_in("session", "step", "step"),
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
        sa.UniqueConstraint("slice", "file1", "display", "step", name="image_meta"),
        created_is_a_time("image"),
        named_in("image", "display", "display"),
        named_in("image", "step", "step"),
    )
    op.create_table(
        "rating",
        sa.Column("id", BIGINT, nullable=False),
        sa.Column("source_data_issue", sa.Boolean(), nullable=False),
        sa.Column("rating", sa.Integer(), nullable=False),
        *review_columns(),
        *review_constraints("rating"),
        named_in("rating", "rating", "verdict"),
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
    for table in ("coordinate", "rating", "image", "session", "verdict", "display", "step"):
        op.drop_table(table)


def create_lookup(table: str, *more: sa.schema.SchemaItem) -> sa.Table:
    return op.create_table(
        table,
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        *more,
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        sa.UniqueConstraint("name", name=f"uq_{table}_name"),
    )


def judged_by() -> sa.Column[str]:
    allowed = sa.CheckConstraint(
        "judged_by IN ('clicks', 'verdict')", name=op.f("ck_step_judged_by")
    )
    return sa.Column("judged_by", sa.Text(), allowed, nullable=False)


def created_is_a_time(table: str) -> sa.CheckConstraint:
    condition = CREATED[op.get_context().dialect.name]
    return sa.CheckConstraint(condition, name=op.f(f"ck_{table}_created"))


def named_in(table: str, column: str, lookup: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{lookup}.id"], name=f"fk_{table}_{column}_{lookup}")


def review_columns() -> list[sa.schema.SchemaItem]:
    """Return the columns that verdicts and clicks have in common."""
    return [
        sa.Column("img_id", BIGINT, nullable=False),
        sa.Column("session", BIGINT, nullable=False),
        sa.Column("created", INSTANT, nullable=False),
    ]


def review_constraints(table: str) -> list[sa.schema.SchemaItem]:
    """Return the constraints of reviews, which are deleted with their image or session."""
    return [
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        created_is_a_time(table),
        sa.ForeignKeyConstraint(
            ["img_id"], ["image.id"], name=f"fk_{table}_img_id_image", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["session"], ["session.id"], name=f"fk_{table}_session_session", ondelete="CASCADE"
        ),
    ]
