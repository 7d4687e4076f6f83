"""The views for ad hoc SQL

Revision ID: 0004
Revises: 0003
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

STEP = (
    "CASE {0}.step WHEN 0 THEN 'MASK' WHEN 1 THEN 'SPATIAL_NORMALIZATION' "
    "WHEN 2 THEN 'SURFACE_LOCALIZATION' WHEN 3 THEN 'FMAP_COREGISTRATION' "
    "WHEN 4 THEN 'DTIFIT' END"
)
DISPLAY = "CASE i.display WHEN 0 THEN 'X' WHEN 1 THEN 'Y' WHEN 2 THEN 'Z' END"
VERDICT = "CASE r.rating WHEN 0 THEN 'PASS' WHEN 1 THEN 'UNSURE' WHEN 2 THEN 'FAIL' END"

ENTITIES = 't.sub, t.ses, t.task, t.run, t.scan, t.space, t."desc", t.suffix'

# An image's columns are looked up one by one, so that a query that names none of them leaves the
# table of pictures alone: SQLite keeps an outer join in an aggregate even where nothing uses it.
# step and file1 come from the narrow target.
OF_IMAGE = "(SELECT {0} FROM image AS i WHERE i.id = r.img_id)"
REVIEWED = f"""
  {STEP.format("t")} AS step, {OF_IMAGE.format(DISPLAY)} AS display,
  {OF_IMAGE.format("i.slice")} AS slice, t.file1, {OF_IMAGE.format("i.file2")} AS file2,
  {ENTITIES}, p.target_id
FROM {{table}} AS r
JOIN session AS s ON s.id = r.session
JOIN picture AS p ON p.img_id = r.img_id
JOIN target AS t ON t.id = p.target_id
"""
RATER = f's."user" AS rater, {STEP.format("s")} AS session_step'

IMAGE_LABELS = f"""
CREATE VIEW image_labels AS
SELECT i.id, {STEP.format("i")} AS step, {DISPLAY} AS display, i.slice, i.file1, i.file2,
  i.created, {ENTITIES}, p.target_id, p.format, p.width, p.height, p.n_bytes, p.sha256
FROM image AS i
JOIN picture AS p ON p.img_id = i.id
JOIN target AS t ON t.id = p.target_id
"""
RATING_LABELS = f"""
CREATE VIEW rating_labels AS
SELECT r.id, {VERDICT} AS rating, r.source_data_issue, r.notes, r.created,
  r.session, {RATER}, r.img_id,{REVIEWED.format(table="rating")}
"""
COORDINATE_LABELS = f"""
CREATE VIEW coordinate_labels AS
SELECT r.id, r.x, r.y, r.source_data_issue, r.notes, r.created,
  r.session, {RATER}, r.img_id,{REVIEWED.format(table="coordinate")}
"""
# A set of clicks is dated by its last row; its note is the last one that says anything.
REVIEW = f"""
CREATE VIEW review AS
SELECT 'rating' AS kind, r.img_id, p.target_id, r.session, s."user" AS rater,
  {STEP.format("t")} AS step, r.created, {VERDICT} AS verdict,
  CAST(NULL AS BIGINT) AS n_clicks, r.source_data_issue, r.notes
FROM rating AS r
JOIN session AS s ON s.id = r.session
JOIN picture AS p ON p.img_id = r.img_id
JOIN target AS t ON t.id = p.target_id
UNION ALL
SELECT 'coordinate', c.img_id, p.target_id, c.session, s."user",
  {STEP.format("t")}, c.created, CAST(NULL AS TEXT),
  c.n_clicks, c.source_data_issue,
  (SELECT k.notes FROM coordinate AS k
   WHERE k.img_id = c.img_id AND k.session = c.session AND k.notes IS NOT NULL
   ORDER BY k.created DESC, k.id DESC LIMIT 1)
FROM (
  SELECT img_id, session, max(created) AS created,
    count(CASE WHEN x IS NOT NULL AND y IS NOT NULL THEN 1 END) AS n_clicks,
    {{any}}(source_data_issue) AS source_data_issue
  FROM coordinate GROUP BY img_id, session
) AS c
JOIN session AS s ON s.id = c.session
JOIN picture AS p ON p.img_id = c.img_id
JOIN target AS t ON t.id = p.target_id
"""


def upgrade() -> None:
    postgres = op.get_context().dialect.name == "postgresql"
    for view in (IMAGE_LABELS, RATING_LABELS, COORDINATE_LABELS):
        op.execute(view)
    op.execute(REVIEW.format(any="bool_or" if postgres else "max"))


def downgrade() -> None:
    for view in ("review", "coordinate_labels", "rating_labels", "image_labels"):
        op.execute(f"DROP VIEW {view}")
