"""Derived tables, records of what was loaded, and views

This revision creates structure only: `dirtmodel upgrade` computes the derived rows afterwards.

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

INDEXES = {
    # A covering index: queries of all columns but img need not read the pages of pictures.
    "ix_image_narrow": ("image", ["step", "file1", "display", "slice", "id", "file2", "created"]),
    "ix_rating_image": ("rating", ["img_id", "session", "created", "rating", "source_data_issue"]),
    "ix_rating_rating": ("rating", ["rating", "img_id"]),
    "ix_rating_session": ("rating", ["session"]),
    "ix_coordinate_image": (
        "coordinate",
        ["img_id", "session", "created", "x", "y", "source_data_issue"],
    ),
    "ix_coordinate_session": ("coordinate", ["session"]),
    "ix_picture_target_id": ("picture", ["target_id", "img_id"]),
    "ix_review_target_id": ("review", ["target_id", "rater", "decides"]),
    "ix_tally_target_id": ("tally", ["target_id", "img_id"]),
}


COUNTS = ("n_reviews", "n_pass", "n_unsure", "n_fail", "n_clicks", "n_source_data_issues")


def upgrade() -> None:
    create_derived_tables()
    create_records()
    postgres = op.get_context().dialect.name == "postgresql"
    for name, (table, columns) in INDEXES.items():
        op.create_index(name, table, columns)
    for view in LABELS:
        op.execute(view)
    if postgres:
        # PNG and GIF are compressed already; compressing them again would only take time.
        op.execute("ALTER TABLE image ALTER COLUMN img SET STORAGE EXTERNAL")
        create_dirts_views_on_postgres()
    else:
        create_dirts_views_on_sqlite()


def downgrade() -> None:
    for view in (*DIRTS_VIEWS, "review_labels", "coordinate_labels", "rating_labels"):
        op.execute(f"DROP VIEW {view}")
    op.execute("DROP VIEW image_labels")
    for name, (table, _) in INDEXES.items():
        op.drop_index(name, table)
    for table in (
        "quarantine",
        "finding",
        "release_file",
        "release",
        "tally",
        "review",
        "picture",
        "target",
    ):
        op.drop_table(table)


def create_derived_tables() -> None:
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
        sa.ForeignKeyConstraint(["step"], ["step.id"], name="fk_target_step_step"),
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
        derived_from("picture", "img_id", "image"),
        derived_from("picture", "target_id", "target"),
    )
    op.create_table(
        "review",
        sa.Column("img_id", BIGINT, autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("id", BIGINT, autoincrement=False, nullable=False),
        sa.Column("target_id", BIGINT, nullable=False),
        sa.Column("session", BIGINT, nullable=False),
        sa.Column("rater", sa.Text(), nullable=True),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("created", INSTANT, nullable=False),
        sa.Column("verdict", sa.Integer(), nullable=True),
        sa.Column("n_clicks", sa.Integer(), nullable=True),
        sa.Column("source_data_issue", sa.Boolean(), nullable=False),
        sa.Column("decides", sa.Boolean(), nullable=False),
        sa.Column("latest", sa.Boolean(), nullable=False),
        sa.Column("notes", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("img_id", "kind", "id", name="pk_review"),
        sa.CheckConstraint("kind IN ('rating', 'coordinate')", name=op.f("ck_review_kind")),
        derived_from("review", "img_id", "image"),
        derived_from("review", "target_id", "target"),
        sa.ForeignKeyConstraint(["step"], ["step.id"], name="fk_review_step_step"),
        sa.ForeignKeyConstraint(["verdict"], ["verdict.id"], name="fk_review_verdict_verdict"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tally",
        sa.Column("img_id", BIGINT, autoincrement=False, nullable=False),
        sa.Column("target_id", BIGINT, nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in COUNTS),
        sa.PrimaryKeyConstraint("img_id", name="pk_tally"),
        derived_from("tally", "img_id", "image"),
        derived_from("tally", "target_id", "target"),
    )


def derived_from(table: str, column: str, referred: str) -> sa.ForeignKeyConstraint:
    """Return a foreign key with ON DELETE CASCADE."""
    return sa.ForeignKeyConstraint(
        [column], [f"{referred}.id"], name=f"fk_{table}_{column}_{referred}", ondelete="CASCADE"
    )


def create_records() -> None:
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


ENTITIES = 't.sub, t.ses, t.task, t.run, t.scan, t.space, t."desc", t.suffix'


def of_image(column: str, image: str) -> str:
    """Return a subquery for a column of `image`.

    With a join, SQLite would read the table with the pictures even for queries that use no column
    of it. With subqueries, it reads the table only for the columns that are used.
    """
    return f"(SELECT i.{column} FROM image AS i WHERE i.id = {image})"


def display_of(image: str) -> str:
    return (
        "(SELECT d.name FROM image AS i JOIN display AS d ON d.id = i.display "
        f"WHERE i.id = {image})"
    )


def reviewed(table: str) -> str:
    """Return the part that all views of reviews have in common, from `r.session` on."""
    return f"""
  r.session, s."user" AS rater,
  (SELECT g.name FROM step AS g WHERE g.id = s.step) AS session_step, r.img_id,
  st.name AS step, {display_of("r.img_id")} AS display,
  {of_image("slice", "r.img_id")} AS slice, t.file1, {of_image("file2", "r.img_id")} AS file2,
  {ENTITIES}, p.target_id
FROM {table} AS r
JOIN session AS s ON s.id = r.session
JOIN picture AS p ON p.img_id = r.img_id
JOIN target AS t ON t.id = p.target_id
JOIN step AS st ON st.id = t.step
"""


VERDICT = "(SELECT v.name FROM verdict AS v WHERE v.id = r.{0})"

LABELS = (
    f"""
CREATE VIEW image_labels AS
SELECT p.img_id AS id, st.name AS step, {display_of("p.img_id")} AS display,
  {of_image("slice", "p.img_id")} AS slice, t.file1, {of_image("file2", "p.img_id")} AS file2,
  {of_image("created", "p.img_id")} AS created, {ENTITIES}, p.target_id,
  p.format, p.width, p.height, p.n_bytes, p.sha256
FROM picture AS p
JOIN target AS t ON t.id = p.target_id
JOIN step AS st ON st.id = t.step
""",
    f"""
CREATE VIEW rating_labels AS
SELECT r.id, {VERDICT.format("rating")} AS rating, r.source_data_issue, r.notes, r.created,
{reviewed("rating")}
""",
    f"""
CREATE VIEW coordinate_labels AS
SELECT r.id, r.x, r.y, r.source_data_issue, r.notes, r.created,
{reviewed("coordinate")}
""",
    f"""
CREATE VIEW review_labels AS
SELECT r.kind, r.id, {VERDICT.format("verdict")} AS verdict, r.n_clicks, r.decides, r.latest,
  r.source_data_issue, r.notes, r.created,
{reviewed("review")}
""",
)

DIRTS_VIEWS = {
    "ratings_session": """SELECT r.id, r.step, {created} AS created, r."user" FROM session AS r""",
    "ratings_image": """SELECT r.id, r.img, r.slice, r.file1, r.file2, r.display, r.step,
  {created} AS created FROM image AS r""",
    "ratings_rating": """SELECT r.id, r.source_data_issue, {created} AS created, r.rating,
  r.img_id AS image_id, r.session AS session_id, {comments} AS comments
FROM rating AS r""",
    "ratings_clickedcoordinate": """SELECT r.id, r.source_data_issue, {created} AS created,
  r.x, r.y, r.img_id AS image_id, r.session AS session_id, {comments} AS comments
FROM coordinate AS r""",
}
"""Views with DIRT's own names of tables and columns."""


COMMENTS = "coalesce(r.notes, '')"


def typed(expression: str, column: str, table: str) -> str:
    """Return an expression that has the declared type of a column on SQLite.

    Many clients cannot read a column without a declared type. In SQLite, the declared type of a
    subquery is that of its last SELECT; here, this SELECT returns no row.
    """
    return f"(SELECT {expression} UNION ALL SELECT t.{column} FROM {table} AS t WHERE 0)"


def create_dirts_views_on_postgres() -> None:
    # A view of two relations cannot be written to; a view of one relation could be.
    for name, select in DIRTS_VIEWS.items():
        op.execute(
            f"CREATE VIEW {name} AS {select.format(created='r.created', comments=COMMENTS)} "
            "CROSS JOIN (SELECT 1) AS read_only"
        )


def create_dirts_views_on_sqlite() -> None:
    # Django looks up whole seconds without a fraction. The casts are for DuckDB, which runs the SQL
    # of views itself, and would not accept a time as text.
    text = "CAST(r.created AS text)"
    created = typed(
        f"CASE substr({text}, 20) WHEN '.000000' THEN substr({text}, 1, 19) ELSE {text} END",
        "created",
        "session",
    )
    comments = typed(COMMENTS, "notes", "rating")
    for name, select in DIRTS_VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {select.format(created=created, comments=comments)}")
        # Without these triggers, INSERT ... RETURNING on a view succeeds, but does nothing.
        for event in ("INSERT", "UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {name}_{event.lower()} INSTEAD OF {event} ON {name} "
                f"BEGIN SELECT raise(ABORT, '{name} is read-only'); END"
            )
