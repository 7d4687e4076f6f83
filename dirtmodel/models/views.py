"""The columns of the views, with their comments; the SQL of the views is in the migrations.

The views are not part of `Base.metadata`, which would create them as tables.
"""

from typing import Any, Final

import sqlalchemy as sa

from dirtmodel.models.types import BigInt, UTCDateTime

metadata: Final = sa.MetaData()


def _column(name: str, type_: sa.types.TypeEngine[Any] | None, comment: str) -> sa.Column[Any]:
    return sa.Column(name, type_ or sa.Text(), comment=comment)


def _target() -> list[sa.Column[Any]]:
    """Return the columns that describe the derivative which an image shows."""
    return [
        _column("sub", None, "participant, without `sub-`"),
        _column("ses", None, "scanning session, without `ses-`"),
        _column("task", None, "task of a functional run"),
        _column("run", sa.Integer(), "number of a functional run"),
        _column("scan", None, "the raw acquisition: T1w, dwi, cuff1, cuff2, rest1 or rest2"),
        _column("space", None, "template or native space"),
        _column("desc", None, "BIDS desc entity"),
        _column("suffix", None, "last part of the file name"),
        _column("target_id", BigInt, "the derivative in `target`"),
    ]


def _image() -> list[sa.Column[Any]]:
    """Return the columns that describe an image."""
    return [
        _column("step", None, "name of the image's step"),
        _column("display", None, "name of the axis of the cut"),
        _column("slice", sa.Integer(), "index of the cut; NULL for pictures without one (DTIFIT)"),
        _column("file1", None, "the derivative under review"),
        _column("file2", None, "the file drawn beneath or beside file1, if there is one"),
    ]


def _submission() -> list[sa.Column[Any]]:
    """Return the columns that describe a submission: what a reviewer sent for one image."""
    return [
        _column(
            "source_data_issue",
            sa.Boolean(),
            "the reviewer blames the raw data rather than the processing",
        ),
        _column("notes", None, "free text of the reviewer, verbatim as published; NULL if empty"),
        _column("created", UTCDateTime(), "when submitted, UTC"),
        _column("session", BigInt, "the session it was submitted in"),
        _column("rater", None, "the session's user; NULL: unknown, not one more rater"),
        _column("session_step", None, "name of the session's step, which may differ"),
        _column("img_id", BigInt, "the image"),
    ]


IMAGE_LABELS: Final = sa.Table(
    "image_labels",
    metadata,
    _column("id", BigInt, "the image's id"),
    *_image(),
    _column("created", UTCDateTime(), "when first rendered, UTC"),
    *_target(),
    _column("format", None, "PNG or GIF"),
    _column("width", sa.Integer(), "pixels"),
    _column("height", sa.Integer(), "pixels"),
    _column("n_bytes", BigInt, "size of the picture"),
    _column("sha256", None, "SHA-256 of the picture, hexadecimal"),
    comment="every image, with names for numbers and the entities of file1, without the picture",
)

RATING_LABELS: Final = sa.Table(
    "rating_labels",
    metadata,
    _column("id", BigInt, "the rating's id"),
    _column("rating", None, "name of the verdict"),
    *_submission(),
    *_image(),
    *_target(),
    comment="every rating, with names for numbers, its rater, and the image it is about",
)

COORDINATE_LABELS: Final = sa.Table(
    "coordinate_labels",
    metadata,
    _column("id", BigInt, "the click's id"),
    _column("x", sa.Double(), "pixels from the picture's left edge; NULL: nothing wrong"),
    _column("y", sa.Double(), "pixels from the picture's top edge, downwards"),
    *_submission(),
    *_image(),
    *_target(),
    comment="every click, with names for numbers, its rater, and the image it is about",
)

REVIEW_LABELS: Final = sa.Table(
    "review_labels",
    metadata,
    _column("kind", None, "the table it comes from: rating (a verdict) or coordinate (clicks)"),
    _column("id", BigInt, "id of the rating, or of the review's last row in coordinate"),
    _column("verdict", None, "name of the verdict; NULL for clicks"),
    _column("n_clicks", sa.Integer(), "clicks; 0: nothing wrong; NULL for a rating"),
    _column("decides", sa.Boolean(), "true if images of this step are judged by this kind"),
    _column("latest", sa.Boolean(), "true if it is the rater's last deciding review of the image"),
    *_submission(),
    *_image(),
    *_target(),
    comment="every review, with names for numbers, its rater, and the image it is about",
)


def _dirts(name: str, *columns: tuple[str, sa.types.TypeEngine[Any]]) -> sa.Table:
    return sa.Table(
        f"ratings_{name}",
        metadata,
        *(_column(column, type_, "as in DIRT") for column, type_ in columns),
        comment="read-only, with DIRT's own names of the table and its columns",
    )


_ID: Final = ("id", BigInt)
_STEP: Final = ("step", sa.Integer())
_CREATED: Final = ("created", UTCDateTime())
_FLAG: Final = ("source_data_issue", sa.Boolean())
_REVIEW: Final = (("image_id", BigInt), ("session_id", BigInt), ("comments", sa.Text()))

DIRT_VIEWS: Final = (
    _dirts("session", _ID, _STEP, _CREATED, ("user", sa.Text())),
    _dirts(
        "image",
        _ID,
        ("img", sa.LargeBinary()),
        ("slice", sa.Integer()),
        ("file1", sa.Text()),
        ("file2", sa.Text()),
        ("display", sa.Integer()),
        _STEP,
        _CREATED,
    ),
    _dirts("rating", _ID, _FLAG, _CREATED, ("rating", sa.Integer()), *_REVIEW),
    _dirts(
        "clickedcoordinate", _ID, _FLAG, _CREATED, ("x", sa.Double()), ("y", sa.Double()), *_REVIEW
    ),
)
"""The views that DIRT's own code can read."""

LABELS: Final = (IMAGE_LABELS, RATING_LABELS, COORDINATE_LABELS, REVIEW_LABELS)
"""The views for ad hoc SQL, with names for numbers."""

VIEWS: Final[tuple[sa.Table, ...]] = (*LABELS, *DIRT_VIEWS)
