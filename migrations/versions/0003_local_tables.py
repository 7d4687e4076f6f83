"""The local tables: targets, pictures, what was loaded and what was found in it

Rows that are there already get their targets and pictures. What is read off file names and bytes
is spelt out here as it was at this revision, because the package goes on and this does not.

Revision ID: 0003
Revises: 0002
"""

import hashlib
import itertools
import re

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
    describe_images(op.get_bind())
    for name, (table, columns) in INDEXES.items():
        op.create_index(name, table, columns)
    if op.get_context().dialect.name == "postgresql":
        # PNG and GIF do not compress; trying would only cost time.
        op.execute("ALTER TABLE image ALTER COLUMN img SET STORAGE EXTERNAL")


ENTITY = re.compile(r"(?:^|[/_])(sub|ses|task|run|space|desc)-([A-Za-z0-9]+)")
SUFFIX = re.compile(r"(?:^|_)([A-Za-z0-9]+)(?:\.[A-Za-z0-9.]+)?$")
MAX_DIGITS = 9
SCANS = {"T1w", "dwi", "cuff1", "cuff2", "rest1", "rest2"}
SCAN_OF_STEP = {0: "T1w", 1: "T1w", 2: "T1w", 4: "dwi"}
CHUNK = 64
"""Images at a time: a few hundred megabytes where each is a few megabytes."""


def describe_images(connection: sa.Connection) -> None:
    """Fill target and picture from the images that are there, holding few of them in memory."""
    if op.get_context().as_sql:
        op.get_context().impl.static_output(
            "-- here dirtmodel fills target and picture from the images that are there"
        )
        return
    image = sa.table("image", *map(sa.column, ("id", "step", "file1", "img")))
    found = connection.execute(sa.select(image.c.id, image.c.step, image.c.file1)).all()
    if not found:
        return
    keys = sorted({(step, file1) for _, step, file1 in found})
    numbers = {key: number for number, key in enumerate(keys, 1)}
    columns = ("id", "step", "file1", *ENTITIES, "scan", "suffix")
    target = sa.table("target", *map(sa.column, columns))
    connection.execute(
        sa.insert(target),
        [{"id": number, **describe_target(*key)} for key, number in numbers.items()],
    )
    picture = sa.table("picture", *map(sa.column, ("img_id", "target_id", *PICTURE)))
    target_ids = {img_id: numbers[step, file1] for img_id, step, file1 in found}
    remaining = iter(sorted(target_ids))
    while ids := list(itertools.islice(remaining, CHUNK)):
        pictures = connection.execute(sa.select(image.c.id, image.c.img).where(image.c.id.in_(ids)))
        rows = [
            {"img_id": img_id, "target_id": target_ids[img_id], **describe_picture(bytes(img))}
            for img_id, img in pictures
        ]
        connection.execute(sa.insert(picture), rows)


ENTITIES = ("sub", "ses", "task", "run", "space", "desc")
PICTURE = ("format", "width", "height", "n_bytes", "sha256")


def describe_target(step: int, file1: str) -> dict[str, str | int | None]:
    """What a file name says: its entities, and the scan behind it."""
    entities: dict[str, str] = {}
    for key, value in ENTITY.findall(file1):
        entities.setdefault(key, value)
    digits = entities.get("run", "")
    run = int(digits) if digits.isdecimal() and len(digits) <= MAX_DIGITS else None
    suffix = SUFFIX.search(file1.rpartition("/")[2])
    task = entities.get("task")
    scan = f"{task}{run or ''}" if task else SCAN_OF_STEP.get(step)
    return {
        "step": step,
        "file1": file1,
        **{key: entities.get(key) for key in ENTITIES},
        "run": run,
        "scan": scan if scan in SCANS and "sub" in entities else None,
        "suffix": suffix[1] if suffix else None,
    }


def describe_picture(img: bytes) -> dict[str, str | int]:
    """Format and size of a picture; what is neither PNG nor GIF is left to the CHECK to refuse."""
    if img[:8] == b"\x89PNG\r\n\x1a\n":
        kind, width, height = "PNG", *(int.from_bytes(img[at : at + 4]) for at in (16, 20))
    elif img[:6] in {b"GIF87a", b"GIF89a"}:
        kind, width, height = "GIF", *gif_size(img)
    else:
        kind, width, height = "neither PNG nor GIF", 0, 0
    sha256 = hashlib.sha256(img).hexdigest()
    return dict(zip(PICTURE, (kind, width, height, len(img), sha256), strict=True))


def gif_size(img: bytes) -> tuple[int, int]:
    """Size of the screen, enlarged by a first frame that reaches beyond it."""

    def two_bytes(at: int) -> int:
        return int.from_bytes(img[at : at + 2], "little")

    width, height, at = two_bytes(6), two_bytes(8), 13
    if img[10] & 0x80:
        at += 3 << ((img[10] & 7) + 1)
    while img[at : at + 1] == b"!":
        at += 2
        while img[at : at + 1] > b"\0":
            at += img[at] + 1
        at += 1
    left, top, frame_width, frame_height = (two_bytes(at + n) for n in (1, 3, 5, 7))
    return max(width, left + frame_width), max(height, top + frame_height)


def downgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.execute("ALTER TABLE image ALTER COLUMN img SET STORAGE EXTENDED")
    for name, (table, _) in reversed(INDEXES.items()):
        op.drop_index(name, table_name=table)
    for table in ("quarantine", "finding", "release_file", "release", "picture", "target"):
        op.drop_table(table)
