"""Reviews in the shape in which they are counted, kept true by triggers

`judgement` has one row per review that decides something, and whether a later one of the same rater
stands in its place; `tally` adds them up per image, `target_rater` per target and rater. Worked out
anew for each question, a million reviews would take seconds.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# In every SQL below, {schema} stands before the name of each table: Postgres' triggers know their
# own schema, not that of who set them off.

# Reviews in the table that does not judge their step decide nothing, and are not here. A rater
# who is unknown may be anyone: each such session stands for itself.
SUPERSEDED = """
  row_number() OVER (
    PARTITION BY {0}.img_id, s."user", CASE WHEN s."user" IS NULL THEN {0}.session END
    ORDER BY {0}.created DESC, {0}.id DESC
  ) > 1 AS superseded
"""
BESIDE = """
JOIN {{schema}}session AS s ON s.id = {0}.session
JOIN {{schema}}picture AS p ON p.img_id = {0}.img_id
JOIN {{schema}}target AS t ON t.id = p.target_id
"""
JUDGEMENTS = f"""
SELECT r.img_id, r.id, r.session, s."user" AS rater, r.rating AS verdict,
  CAST(NULL AS INTEGER) AS n_clicks, r.source_data_issue,{SUPERSEDED.format("r")}
FROM {{schema}}rating AS r{BESIDE.format("r")}
WHERE t.step NOT IN (0, 1, 2) AND r.img_id {{images}}
UNION ALL
SELECT c.img_id, c.id, c.session, s."user", CAST(NULL AS INTEGER), c.n_clicks,
  c.source_data_issue,{SUPERSEDED.format("c")}
FROM (
  SELECT k.img_id, k.session, max(k.created) AS created,
    (SELECT l.id FROM {{schema}}coordinate AS l
     WHERE l.img_id = k.img_id AND l.session = k.session
     ORDER BY l.created DESC, l.id DESC LIMIT 1) AS id,
    CAST(count(CASE WHEN k.x IS NOT NULL AND k.y IS NOT NULL THEN 1 END) AS INTEGER) AS n_clicks,
    {{any}}(k.source_data_issue) AS source_data_issue
  FROM {{schema}}coordinate AS k WHERE k.img_id {{images}} GROUP BY k.img_id, k.session
) AS c{BESIDE.format("c")}
WHERE t.step IN (0, 1, 2)
"""
ADDED_UP = """
  count(*), count(CASE WHEN verdict = 0 THEN 1 END), count(CASE WHEN verdict = 1 THEN 1 END),
  count(CASE WHEN verdict = 2 THEN 1 END), coalesce(sum(n_clicks), 0),
  count(CASE WHEN source_data_issue THEN 1 END)
FROM {schema}judgement WHERE img_id {images}"""
TALLIES = f"""
SELECT img_id, false,{ADDED_UP} GROUP BY img_id
UNION ALL
SELECT img_id, true,{ADDED_UP} AND NOT superseded GROUP BY img_id
"""
RATERS = """
SELECT p.target_id, j.rater, count(*)
FROM {schema}picture AS p JOIN {schema}judgement AS j ON j.img_id = p.img_id
WHERE j.rater IS NOT NULL AND p.target_id {targets} GROUP BY p.target_id, j.rater
"""
ANEW = (
    "DELETE FROM {schema}judgement WHERE img_id {images}",
    f"INSERT INTO {{schema}}judgement {JUDGEMENTS}",
    "DELETE FROM {schema}tally WHERE img_id {images}",
    f"INSERT INTO {{schema}}tally {TALLIES}",
    "DELETE FROM {schema}target_rater WHERE target_id {targets}",
    f"INSERT INTO {{schema}}target_rater {RATERS}",
)
ALL = "IS NOT NULL"

BIGINT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TABLES: dict[str, list[sa.schema.SchemaItem]] = {
    "judgement": [
        sa.Column("img_id", BIGINT, autoincrement=False, nullable=False),
        sa.Column("id", BIGINT, autoincrement=False, nullable=False),
        sa.Column("session", BIGINT, nullable=False),
        sa.Column("rater", sa.Text(), nullable=True),
        sa.Column("verdict", sa.Integer(), nullable=True),
        sa.Column("n_clicks", sa.Integer(), nullable=True),
        sa.Column("source_data_issue", sa.Boolean(), nullable=False),
        sa.Column("superseded", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("img_id", "id", name="pk_judgement"),
    ],
    "tally": [
        sa.Column("img_id", BIGINT, autoincrement=False, nullable=False),
        sa.Column("latest", sa.Boolean(), nullable=False),
        *(
            sa.Column(name, sa.Integer(), nullable=False)
            for name in ("n_reviews", "n_pass", "n_unsure", "n_fail", "n_clicks", "n_flagged")
        ),
        sa.PrimaryKeyConstraint("img_id", "latest", name="pk_tally"),
    ],
    "target_rater": [
        sa.Column("target_id", BIGINT, autoincrement=False, nullable=False),
        sa.Column("rater", sa.Text(), nullable=False),
        sa.Column("n_reviews", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("target_id", "rater", name="pk_target_rater"),
    ],
}
COMMENTS = {
    "judgement": (
        "local: one row per review that decides something, kept by triggers; read only",
        {
            "img_id": "the image reviewed",
            "id": "of the rating, or of the last row of a set of clicks",
            "session": "the session it was made in",
            "rater": "the session's user; NULL is unknown, never one more rater",
            "verdict": "0 PASS, 1 UNSURE, 2 FAIL; NULL for clicks",
            "n_clicks": "clicks that have a position; 0: nothing wrong; NULL for a verdict",
            "source_data_issue": "the reviewer blames the raw data rather than the processing",
            "superseded": "the same rater reviewed the image again later",
        },
    ),
    "tally": (
        "local: the judgements of each image added up, kept by triggers; read only",
        {
            "img_id": "the image reviewed",
            "latest": "of each rater's latest review only, or of every review",
            "n_reviews": "reviews",
            "n_pass": "verdicts PASS",
            "n_unsure": "verdicts UNSURE",
            "n_fail": "verdicts FAIL",
            "n_clicks": "clicks that have a position",
            "n_flagged": "reviews that blame the raw data",
        },
    ),
    "target_rater": (
        "local: which known rater reviewed which target, kept by triggers; read only",
        {
            "target_id": "the derivative reviewed",
            "rater": "user of the sessions",
            "n_reviews": "reviews of its images, superseded ones included",
        },
    ),
}


def upgrade() -> None:
    postgres = op.get_context().dialect.name == "postgresql"
    for table, columns in TABLES.items():
        op.create_table(table, *columns, sqlite_with_rowid=False)
    either = "bool_or" if postgres else "max"
    for statement in ANEW:
        op.execute(statement.format(schema="", any=either, images=ALL, targets=ALL))
    if postgres:
        op.execute(FOLLOW)
        for name, event in POSTGRES_TRIGGERS.items():
            op.execute(
                f"CREATE TRIGGER {name} AFTER {event} "
                "FOR EACH STATEMENT EXECUTE FUNCTION judgement_follow()"
            )
        for table, (meaning, meanings) in COMMENTS.items():
            set_comment(f"TABLE {table}", meaning)
            for column, words in meanings.items():
                set_comment(f"COLUMN {table}.{column}", words)
        return
    for name, (event, body) in SQLITE_TRIGGERS.items():
        op.execute(f"CREATE TRIGGER {name} AFTER {event} BEGIN {body} END")


def downgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        for name, event in POSTGRES_TRIGGERS.items():
            table = event.split(" ON ")[1].split()[0]
            op.execute(f"DROP TRIGGER {name} ON {table}")
        op.execute("DROP FUNCTION judgement_follow()")
    else:
        for name in SQLITE_TRIGGERS:
            op.execute(f"DROP TRIGGER {name}")
    for table in reversed(TABLES):
        op.drop_table(table)


def set_comment(thing: str, words: str) -> None:
    quoted = words.replace("'", "''").replace(":", r"\:")
    op.execute(sa.text(f"COMMENT ON {thing} IS '{quoted}'"))


def sqlite_anew(row: str, table: str) -> str:
    """Statements that renew what the image of a row leads to."""
    image = f"= {row}.img_id"
    target = f"= {row}.target_id"
    if table != "picture":
        target = f"= (SELECT target_id FROM picture WHERE img_id {image})"
    return "".join(
        statement.format(schema="", any="max", images=image, targets=target) + ";\n"
        for statement in ANEW
    )


# What is not about one image is handed down to the rows that are.
OF_SESSION = """
UPDATE rating SET session = session WHERE session = NEW.id;
UPDATE coordinate SET session = session WHERE session = NEW.id;
"""
OF_TARGET = "UPDATE picture SET target_id = target_id WHERE target_id = NEW.id;"
SQLITE_TRIGGERS = {
    **{
        f"judgement_after_{table}_{event.lower()}": (
            f"{event} ON {table}",
            "".join(sqlite_anew(row, table) for row in rows),
        )
        for table in ("rating", "coordinate", "picture")
        for event, rows in (("INSERT", ["NEW"]), ("UPDATE", ["OLD", "NEW"]), ("DELETE", ["OLD"]))
    },
    "judgement_after_session_insert": ("INSERT ON session", OF_SESSION),
    "judgement_after_session_update": ('UPDATE OF id, "user" ON session', OF_SESSION),
    "judgement_after_target_insert": ("INSERT ON target", OF_TARGET),
    "judgement_after_target_update": ("UPDATE OF id, step ON target", OF_TARGET),
}

# Once for all rows of a statement.
SEEN = {"INSERT": "NEW TABLE AS new_rows", "DELETE": "OLD TABLE AS old_rows"}
SEEN["UPDATE"] = " ".join(SEEN.values())
POSTGRES_TRIGGERS = {
    f"judgement_after_{table}_{event.lower()}": (
        f"{event} ON {table}" + (f" REFERENCING {SEEN[event]}" if event in SEEN else "")
    )
    for table, events in {
        "rating": ["INSERT", "UPDATE", "DELETE", "TRUNCATE"],
        "coordinate": ["INSERT", "UPDATE", "DELETE", "TRUNCATE"],
        "picture": ["INSERT", "UPDATE", "DELETE", "TRUNCATE"],
        "session": ["INSERT", "UPDATE"],
        "target": ["INSERT", "UPDATE"],
    }.items()
    for event in events
}
PLACES = {"schema": "%1$I.", "any": "bool_or", "images": "= ANY ($1)", "targets": "= ANY ($2)"}
EACH_RENEWED = "\n".join(
    f"EXECUTE format($sql${sql}$sql$, TG_TABLE_SCHEMA) USING images, targets;"
    for sql in (statement.format(**PLACES) for statement in ANEW)
)
FOLLOW = f"""
CREATE FUNCTION judgement_follow() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  images bigint[] := '{{}}';
  targets bigint[] := '{{}}';
BEGIN
  -- Of two who review an image at once, the second has to see what the first has added.
  PERFORM pg_advisory_xact_lock(hashtextextended('judgement ' || TG_TABLE_SCHEMA, 0));
  IF TG_OP = 'TRUNCATE' THEN
    EXECUTE format('SELECT array_agg(DISTINCT img_id) FROM %1$I.judgement', TG_TABLE_SCHEMA)
      INTO images;
    EXECUTE format('SELECT array_agg(target_id) FROM %1$I.target_rater', TG_TABLE_SCHEMA)
      INTO targets;
  ELSIF TG_TABLE_NAME = 'session' THEN
    EXECUTE format(
      'SELECT array_agg(img_id) FROM (SELECT img_id FROM %1$I.rating WHERE session IN '
      '(SELECT id FROM new_rows) UNION SELECT img_id FROM %1$I.coordinate WHERE session IN '
      '(SELECT id FROM new_rows)) AS reviewed', TG_TABLE_SCHEMA
    ) INTO images;
  ELSIF TG_TABLE_NAME = 'target' THEN
    EXECUTE format(
      'SELECT array_agg(img_id) FROM %1$I.picture WHERE target_id IN (SELECT id FROM new_rows)',
      TG_TABLE_SCHEMA
    ) INTO images;
  ELSE
    IF TG_OP <> 'DELETE' THEN
      images := images || ARRAY(SELECT DISTINCT img_id FROM new_rows);
    END IF;
    IF TG_OP <> 'INSERT' THEN
      images := images || ARRAY(SELECT DISTINCT img_id FROM old_rows);
    END IF;
    IF TG_TABLE_NAME = 'picture' AND TG_OP <> 'INSERT' THEN
      targets := ARRAY(SELECT DISTINCT target_id FROM old_rows);
    END IF;
  END IF;
  IF images IS NULL OR cardinality(images) = 0 THEN
    RETURN NULL;
  END IF;
  EXECUTE format(
    'SELECT $2 || ARRAY(SELECT DISTINCT target_id FROM %1$I.picture WHERE img_id = ANY ($1))',
    TG_TABLE_SCHEMA
  ) INTO targets USING images, coalesce(targets, '{{}}');
  {EACH_RENEWED}
  RETURN NULL;
END $$
"""
