"""What each table and column means, for the clients of Postgres; SQLite has no comments

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

COMMENTS: dict[str, tuple[str, dict[str, str]]] = {
    "finding": (
        "what the check of the release found when it was loaded",
        {
            "id": "order of the report",
            "code": "stable code",
            "severity": "error or warning",
            "file": "where it was found",
            "message": "what it means",
            "n": "how many rows, columns or files",
            "examples": "up to five examples, JSON",
        },
    ),
    "image": (
        "one rendered picture shown to reviewers",
        {
            "id": "DIRT's id; gaps are normal",
            "slice": "index of the cut along the display axis; NULL where a picture has "
            "none (DTIFIT)",
            "file1": "the derivative under review",
            "file2": "the file drawn beneath or beside it, where there is one",
            "display": "axis of the cut: 0 X, 1 Y, 2 Z",
            "step": "0 MASK, 1 SPATIAL_NORMALIZATION, 2 SURFACE_LOCALIZATION, 3 "
            "FMAP_COREGISTRATION, 4 DTIFIT",
            "created": "when first rendered, UTC; a picture drawn anew in place keeps it",
            "img": "the picture itself, PNG or GIF",
        },
    ),
    "quarantine": (
        "rows of the release that could not be loaded, kept whole",
        {
            "table": "where it belonged",
            "file_row": "its row in the file, from 1",
            "id": "its id, where it had one",
            "code": "stable code of the finding",
            "reason": "what is wrong with it",
            "row": "the row as JSON; bytes in base64",
        },
    ),
    "release": (
        "what was loaded; a database holds one release",
        {
            "id": "always 1",
            "label": "the release's name",
            "source": "where it was loaded from",
            "loaded_at": "when it was loaded, UTC",
            "dirtmodel_version": "what loaded it",
        },
    ),
    "release_file": (
        "the files of the release as they were loaded",
        {
            "name": "file name",
            "n_rows": "rows, without the empty ones",
            "n_empty_rows": "rows that were NULL throughout, and dropped",
            "n_bytes": "size of the file",
            "sha256": "SHA-256 of the file, hexadecimal",
        },
    ),
    "session": (
        "one sitting of one reviewer on one step",
        {
            "id": "DIRT's id; gaps are normal",
            "step": "0 MASK, 1 SPATIAL_NORMALIZATION, 2 SURFACE_LOCALIZATION, 3 "
            "FMAP_COREGISTRATION, 4 DTIFIT",
            "user": "the rater; NULL is unknown, never one more rater",
            "created": "when the sitting began, UTC",
        },
    ),
    "target": (
        "the derivative under review: one (step, file1), with its name's entities",
        {
            "id": "local: numbered in the order of (step, file1)",
            "step": "0 MASK, 1 SPATIAL_NORMALIZATION, 2 SURFACE_LOCALIZATION, 3 "
            "FMAP_COREGISTRATION, 4 DTIFIT",
            "file1": "the derivative's file name",
            "sub": "participant, without `sub-`",
            "ses": "scanning session, without `ses-`",
            "task": "task of a functional run",
            "run": "number of a functional run",
            "scan": "the raw acquisition: T1w, dwi, cuff1, cuff2, rest1 or rest2, where known",
            "space": "template or native space",
            "desc": "BIDS desc entity",
            "suffix": "last part of the file name",
        },
    ),
    "coordinate": (
        "one click of one session on one image; x and y NULL: nothing wrong",
        {
            "id": "DIRT's id; gaps are normal",
            "source_data_issue": "the reviewer blames the raw data rather than the processing",
            "x": "pixels from the picture's left edge; may lie outside it",
            "y": "pixels from the picture's top edge, downwards; may lie outside it",
            "img_id": "the image clicked on",
            "session": "the session it was clicked in",
            "created": "when submitted, UTC",
            "notes": "free text of the reviewer, verbatim as published; NULL where empty",
        },
    ),
    "picture": (
        "one row per image: what is known of its bytes without reading them",
        {
            "img_id": "the image",
            "target_id": "the derivative it shows",
            "format": "PNG or GIF",
            "width": "pixels",
            "height": "pixels",
            "n_bytes": "size of img",
            "sha256": "SHA-256 of img, hexadecimal",
        },
    ),
    "rating": (
        "one session's verdict on one image",
        {
            "id": "DIRT's id; gaps are normal",
            "source_data_issue": "the reviewer blames the raw data rather than the processing",
            "rating": "0 PASS, 1 UNSURE, 2 FAIL",
            "img_id": "the image judged",
            "session": "the session it was judged in",
            "created": "when submitted, UTC",
            "notes": "free text of the reviewer, verbatim as published; NULL where empty",
        },
    ),
}


def upgrade() -> None:
    comment(said=True)


def downgrade() -> None:
    comment(said=False)


def comment(*, said: bool) -> None:
    if op.get_context().dialect.name != "postgresql":
        return
    for table, (meaning, columns) in COMMENTS.items():
        set_comment(f'TABLE "{table}"', meaning if said else None)
        for column, words in columns.items():
            set_comment(f'COLUMN "{table}"."{column}"', words if said else None)


def set_comment(thing: str, words: str | None) -> None:
    """COMMENT takes no parameters; plain SQL also leaves types and defaults out of it."""
    quoted = "NULL" if words is None else "'" + words.replace("'", "''") + "'"
    op.execute(sa.text(f"COMMENT ON {thing} IS {quoted}".replace(":", r"\:")))
