"""What the views for ad hoc SQL hold, column by column; their SQL is in the migrations.

`docs/schema.md`, the COMMENTs in Postgres and `dirtmodel sql --tables` are made from this.
"""

from typing import Any, Final

import sqlalchemy as sa

from dirtmodel.models import BigInt, DisplayMode, Ratings, Step, UTCDateTime, View

metadata: Final = View.metadata


def _names(values: type[Step | DisplayMode | Ratings]) -> str:
    return ", ".join(member.name for member in values)


def _column(name: str, type_: sa.types.TypeEngine[Any] | None, comment: str) -> sa.Column[Any]:
    return sa.Column(name, type_ or sa.Text(), comment=comment)


def _target() -> list[sa.Column[Any]]:
    """What a view says of the derivative that an image shows."""
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
    """What a view says of the image that a row is about."""
    return [
        _column("step", None, f"the image's step: {_names(Step)}"),
        _column("display", None, f"axis of the cut: {_names(DisplayMode)}"),
        _column("slice", sa.Integer(), "index of the cut; NULL where a picture has none (DTIFIT)"),
        _column("file1", None, "the derivative under review"),
        _column("file2", None, "the file drawn beneath or beside it, where there is one"),
    ]


def _submission() -> list[sa.Column[Any]]:
    """What a view says of one submission."""
    return [
        _column(
            "source_data_issue",
            sa.Boolean(),
            "the reviewer blames the raw data rather than the processing",
        ),
        _column("notes", None, "free text of the reviewer, verbatim as published; NULL if empty"),
        _column("created", UTCDateTime(), "when submitted, UTC"),
        _column("session", BigInt, "the session it was submitted in"),
        _column("rater", None, "the session's user; NULL is unknown, never one more rater"),
        _column("session_step", None, "the session's step, which may differ from the image's"),
        _column("img_id", BigInt, "the image"),
    ]


IMAGE_LABELS: Final = sa.Table(
    "image_labels",
    metadata,
    _column("id", BigInt, "the image's id"),
    *_image(),
    _column("created", UTCDateTime(), "when first rendered, UTC; drawing it anew keeps it"),
    *_target(),
    _column("format", None, "PNG or GIF"),
    _column("width", sa.Integer(), "pixels"),
    _column("height", sa.Integer(), "pixels"),
    _column("n_bytes", BigInt, "size of the picture"),
    _column("sha256", None, "SHA-256 of the picture, hexadecimal"),
    comment="every image with its enums as names and what its file name says, without the picture",
)

RATING_LABELS: Final = sa.Table(
    "rating_labels",
    metadata,
    _column("id", BigInt, "the rating's id"),
    _column("rating", None, f"the verdict: {_names(Ratings)}"),
    *_submission(),
    *_image(),
    *_target(),
    comment="every rating with its enums as names, its rater, and the image it is about",
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
    comment="every click with its enums as names, its rater, and the image it is about",
)

VIEWS: Final[tuple[sa.Table, ...]] = (
    View.metadata.tables["review"],
    IMAGE_LABELS,
    RATING_LABELS,
    COORDINATE_LABELS,
)


def comments() -> list[str]:
    """Give the statements that write the descriptions into Postgres."""
    return [
        f"COMMENT ON {thing} IS {_quoted(comment)}"
        for view in VIEWS
        for thing, comment in [
            (f"VIEW {view.name}", view.comment),
            *((f'COLUMN {view.name}."{column.name}"', column.comment) for column in view.columns),
        ]
    ]


def _quoted(text: str | None) -> str:
    return "'" + (text or "").replace("'", "''") + "'"
