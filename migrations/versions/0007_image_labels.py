"""Ask image_labels without touching the pictures

Revision ID: 0007
Revises: 0006

The view read a page of every picture even for a count: it began at `image`, which holds them. It
begins at the narrow `picture` now, and looks up what only `image` knows for those who ask for it.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

STEP = (
    "CASE {0}.step WHEN 0 THEN 'MASK' WHEN 1 THEN 'SPATIAL_NORMALIZATION' "
    "WHEN 2 THEN 'SURFACE_LOCALIZATION' WHEN 3 THEN 'FMAP_COREGISTRATION' "
    "WHEN 4 THEN 'DTIFIT' END"
)
DISPLAY = "CASE i.display WHEN 0 THEN 'X' WHEN 1 THEN 'Y' WHEN 2 THEN 'Z' END"
OF_IMAGE = "(SELECT {0} FROM image AS i WHERE i.id = p.img_id)"
ENTITIES = 't.sub, t.ses, t.task, t.run, t.scan, t.space, t."desc", t.suffix'

IMAGE_LABELS = f"""
CREATE VIEW image_labels AS
SELECT p.img_id AS id, {STEP.format("t")} AS step, {OF_IMAGE.format(DISPLAY)} AS display,
  {OF_IMAGE.format("i.slice")} AS slice, t.file1, {OF_IMAGE.format("i.file2")} AS file2,
  {OF_IMAGE.format("i.created")} AS created, {ENTITIES}, p.target_id, p.format, p.width, p.height,
  p.n_bytes, p.sha256
FROM picture AS p
JOIN target AS t ON t.id = p.target_id
"""
BEFORE = f"""
CREATE VIEW image_labels AS
SELECT i.id, {STEP.format("i")} AS step, {DISPLAY} AS display, i.slice, i.file1, i.file2,
  i.created, {ENTITIES}, p.target_id, p.format, p.width, p.height, p.n_bytes, p.sha256
FROM image AS i
JOIN picture AS p ON p.img_id = i.id
JOIN target AS t ON t.id = p.target_id
"""


def upgrade() -> None:
    replace(IMAGE_LABELS)


def downgrade() -> None:
    replace(BEFORE)


def replace(view: str) -> None:
    if op.get_context().dialect.name == "postgresql":
        # Keeps the comments, and the rights that others have been given.
        op.execute(view.replace("CREATE VIEW", "CREATE OR REPLACE VIEW"))
    else:
        op.execute("DROP VIEW image_labels")
        op.execute(view)
