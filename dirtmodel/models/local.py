"""The local tables beside DIRT's: plain SQL can answer what Python would otherwise have to."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from dirtmodel.models.dirt import Image, Session
from dirtmodel.models.types import (
    Base,
    BigInt,
    PrimaryKey,
    Ratings,
    Step,
    View,
    enum_check,
    name_of,
    number_of,
    reference,
)


class Target(Base):
    """The derivative under review: one (step, file1), with what its name says."""

    __tablename__ = "target"
    __table_args__ = (
        enum_check("step", Step),
        sa.UniqueConstraint("step", "file1"),
        {"comment": "the derivative under review: one (step, file1), with its name's entities"},
    )

    id: orm.Mapped[PrimaryKey] = orm.mapped_column(
        comment="local: numbered in the order of (step, file1)"
    )
    step: orm.Mapped[Step] = orm.mapped_column(
        comment="0 MASK, 1 SPATIAL_NORMALIZATION, 2 SURFACE_LOCALIZATION, "
        "3 FMAP_COREGISTRATION, 4 DTIFIT",
    )
    file1: orm.Mapped[str] = orm.mapped_column(comment="the derivative's file name")
    sub: orm.Mapped[str | None] = orm.mapped_column(comment="participant, without `sub-`")
    ses: orm.Mapped[str | None] = orm.mapped_column(comment="scanning session, without `ses-`")
    task: orm.Mapped[str | None] = orm.mapped_column(comment="task of a functional run")
    run: orm.Mapped[int | None] = orm.mapped_column(comment="number of a functional run")
    scan: orm.Mapped[str | None] = orm.mapped_column(
        comment="the raw acquisition: T1w, dwi, cuff1, cuff2, rest1 or rest2, where known",
    )
    space: orm.Mapped[str | None] = orm.mapped_column(comment="template or native space")
    desc: orm.Mapped[str | None] = orm.mapped_column(comment="BIDS desc entity")
    suffix: orm.Mapped[str | None] = orm.mapped_column(comment="last part of the file name")

    pictures: orm.Mapped[list["Picture"]] = orm.relationship(
        back_populates="target", cascade="all, delete-orphan", passive_deletes=True
    )
    images: orm.Mapped[list["Image"]] = orm.relationship(
        secondary="picture",
        order_by="[Image.display, Image.slice, Image.id]",
        viewonly=True,
    )

    def __repr__(self) -> str:
        return f"<Target {self.id} {name_of(self.step)} {self.file1}>"


class Picture(Base):
    """What is known of an image's bytes without reading them."""

    __tablename__ = "picture"
    __table_args__ = (
        sa.CheckConstraint("format IN ('PNG', 'GIF')", "format"),
        sa.Index("ix_picture_target_id", "target_id", "img_id"),
        {"comment": "one row per image: what is known of its bytes without reading them"},
    )

    img_id: orm.Mapped[int] = orm.mapped_column(
        BigInt, reference("image.id"), primary_key=True, autoincrement=False, comment="the image"
    )
    target_id: orm.Mapped[int] = orm.mapped_column(
        BigInt, reference("target.id"), comment="the derivative it shows"
    )
    format: orm.Mapped[str] = orm.mapped_column(comment="PNG or GIF")
    width: orm.Mapped[int] = orm.mapped_column(comment="pixels")
    height: orm.Mapped[int] = orm.mapped_column(comment="pixels")
    n_bytes: orm.Mapped[int] = orm.mapped_column(BigInt, comment="size of img")
    sha256: orm.Mapped[str] = orm.mapped_column(comment="SHA-256 of img, hexadecimal")

    image: orm.Mapped[Image] = orm.relationship(back_populates="picture")
    target: orm.Mapped[Target] = orm.relationship(back_populates="pictures")

    def __repr__(self) -> str:
        size = f"{self.width}×{self.height}"
        return f"<Picture of image {self.img_id}: {self.format} {size}, {self.n_bytes} bytes>"


class Review(View):
    """One review: a rating, or one session's clicks on one image. A view: there to be read.

    Its key tells apart the ratings that one session gave one image at different times; two in the
    same microsecond would be one here.

    >>> image = db.scalars(sa.select(Image).where(Image.reviews.any()).order_by(Image.id)).first()
    >>> image.reviews[0].image is image
    True
    """

    __tablename__ = "review"
    __table_args__ = (
        {"comment": "one row per review: a rating, or one session's clicks on one image"},
    )
    __mapper_args__ = {  # noqa: RUF012 - SQLAlchemy reads a plain class attribute
        "primary_key": ["kind", "img_id", "session_id", "created"],
    }

    kind: orm.Mapped[str] = orm.mapped_column(
        comment="where it comes from: rating (a verdict) or coordinate (clicks)"
    )
    img_id: orm.Mapped[int] = orm.mapped_column(BigInt, comment="the image reviewed")
    target_id: orm.Mapped[int] = orm.mapped_column(
        BigInt, comment="the derivative it shows, in `target`"
    )
    session_id: orm.Mapped[int] = orm.mapped_column(
        "session", BigInt, comment="the session it was made in"
    )
    rater: orm.Mapped[str | None] = orm.mapped_column(
        comment="the session's user; NULL is unknown, never one more rater"
    )
    step_name: orm.Mapped[str] = orm.mapped_column(
        "step", comment=f"the image's step: {', '.join(Step.__members__)}"
    )
    step: orm.Mapped[Step] = orm.column_property(number_of(step_name, Step))
    created: orm.Mapped[dt.datetime] = orm.mapped_column(
        comment="when submitted, UTC; of clicks, the last one"
    )
    verdict_name: orm.Mapped[str | None] = orm.mapped_column(
        "verdict", comment=f"{', '.join(Ratings.__members__)}; NULL for clicks"
    )
    verdict: orm.Mapped[Ratings | None] = orm.column_property(number_of(verdict_name, Ratings))
    n_clicks: orm.Mapped[int | None] = orm.mapped_column(
        BigInt, comment="clicks that have a position; 0: nothing wrong; NULL for a rating"
    )
    source_data_issue: orm.Mapped[bool] = orm.mapped_column(
        comment="the reviewer blames the raw data rather than the processing"
    )
    notes: orm.Mapped[str | None] = orm.mapped_column(
        comment="free text of the reviewer, the last one of several; NULL if empty"
    )

    image: orm.Mapped[Image] = orm.relationship(
        primaryjoin="foreign(Review.img_id) == Image.id", back_populates="reviews", viewonly=True
    )
    session: orm.Mapped[Session] = orm.relationship(
        primaryjoin="foreign(Review.session_id) == Session.id",
        back_populates="reviews",
        viewonly=True,
    )
    target: orm.Mapped[Target] = orm.relationship(
        primaryjoin="foreign(Review.target_id) == Target.id", viewonly=True
    )

    def __repr__(self) -> str:
        if self.verdict is not None:
            found = name_of(self.verdict)
        else:
            found = "1 click" if self.n_clicks == 1 else f"{self.n_clicks} clicks"
        return f"<Review of image {self.img_id} by {self.rater or 'unknown'}: {found}>"


class Judgement(Base):
    """One review that decides something: a verdict, or one session's clicks on one image.

    Verdicts on images that are judged by clicks, and clicks on those judged by verdicts, decide
    nothing and are not here. Triggers keep the table true to `rating`, `coordinate` and `session`:
    it is there to be read.
    """

    __tablename__ = "judgement"
    __table_args__ = (
        {
            "comment": "local: one row per review that decides something, kept by triggers; "
            "read only",
            "sqlite_with_rowid": False,
        },
    )

    img_id: orm.Mapped[int] = orm.mapped_column(
        BigInt, primary_key=True, autoincrement=False, comment="the image reviewed"
    )
    id: orm.Mapped[int] = orm.mapped_column(
        BigInt,
        primary_key=True,
        autoincrement=False,
        comment="of the rating, or of the last row of a set of clicks",
    )
    session_id: orm.Mapped[int] = orm.mapped_column(
        "session", BigInt, comment="the session it was made in"
    )
    rater: orm.Mapped[str | None] = orm.mapped_column(
        comment="the session's user; NULL is unknown, never one more rater"
    )
    verdict: orm.Mapped[Ratings | None] = orm.mapped_column(
        comment="0 PASS, 1 UNSURE, 2 FAIL; NULL for clicks"
    )
    n_clicks: orm.Mapped[int | None] = orm.mapped_column(
        comment="clicks that have a position; 0: nothing wrong; NULL for a verdict"
    )
    source_data_issue: orm.Mapped[bool] = orm.mapped_column(
        comment="the reviewer blames the raw data rather than the processing"
    )
    superseded: orm.Mapped[bool] = orm.mapped_column(
        comment="the same rater reviewed the image again later"
    )

    def __repr__(self) -> str:
        found = f"{self.n_clicks} clicks" if self.verdict is None else name_of(self.verdict)
        return f"<Judgement of image {self.img_id} by {self.rater or 'unknown'}: {found}>"


class Tally(Base):
    """The judgements of one image added up, in two rows: every one, and each rater's latest."""

    __tablename__ = "tally"
    __table_args__ = (
        {
            "comment": "local: the judgements of each image added up, kept by triggers; read only",
            "sqlite_with_rowid": False,
        },
    )

    img_id: orm.Mapped[int] = orm.mapped_column(
        BigInt, primary_key=True, autoincrement=False, comment="the image reviewed"
    )
    latest: orm.Mapped[bool] = orm.mapped_column(
        primary_key=True, comment="of each rater's latest review only, or of every review"
    )
    n_reviews: orm.Mapped[int] = orm.mapped_column(comment="reviews")
    n_pass: orm.Mapped[int] = orm.mapped_column(comment="verdicts PASS")
    n_unsure: orm.Mapped[int] = orm.mapped_column(comment="verdicts UNSURE")
    n_fail: orm.Mapped[int] = orm.mapped_column(comment="verdicts FAIL")
    n_clicks: orm.Mapped[int] = orm.mapped_column(comment="clicks that have a position")
    n_flagged: orm.Mapped[int] = orm.mapped_column(comment="reviews that blame the raw data")

    def __repr__(self) -> str:
        which = "latest reviews" if self.latest else "reviews"
        return f"<Tally of image {self.img_id}: {self.n_reviews} {which}>"


class TargetRater(Base):
    """Which known rater reviewed which target."""

    __tablename__ = "target_rater"
    __table_args__ = (
        {
            "comment": "local: which known rater reviewed which target, kept by triggers; "
            "read only",
            "sqlite_with_rowid": False,
        },
    )

    target_id: orm.Mapped[int] = orm.mapped_column(
        BigInt, primary_key=True, autoincrement=False, comment="the derivative reviewed"
    )
    rater: orm.Mapped[str] = orm.mapped_column(primary_key=True, comment="user of the sessions")
    n_reviews: orm.Mapped[int] = orm.mapped_column(
        comment="reviews of its images, superseded ones included"
    )

    def __repr__(self) -> str:
        return f"<TargetRater {self.rater}: {self.n_reviews} reviews of target {self.target_id}>"


class Release(Base):
    """What was loaded; a database holds one release."""

    __tablename__ = "release"
    __table_args__ = ({"comment": "what was loaded; a database holds one release"},)

    id: orm.Mapped[PrimaryKey] = orm.mapped_column(comment="always 1")
    label: orm.Mapped[str] = orm.mapped_column(comment="the release's name")
    source: orm.Mapped[str] = orm.mapped_column(comment="where it was loaded from")
    loaded_at: orm.Mapped[dt.datetime] = orm.mapped_column(comment="when it was loaded, UTC")
    dirtmodel_version: orm.Mapped[str] = orm.mapped_column(comment="what loaded it")

    def __repr__(self) -> str:
        return f"<Release {self.label} from {self.source}>"


class ReleaseFile(Base):
    """One file of the release as it was loaded."""

    __tablename__ = "release_file"
    __table_args__ = ({"comment": "the files of the release as they were loaded"},)

    name: orm.Mapped[str] = orm.mapped_column(primary_key=True, comment="file name")
    n_rows: orm.Mapped[int] = orm.mapped_column(BigInt, comment="rows, without the empty ones")
    n_empty_rows: orm.Mapped[int] = orm.mapped_column(
        BigInt, comment="rows that were NULL throughout, and dropped"
    )
    n_bytes: orm.Mapped[int] = orm.mapped_column(BigInt, comment="size of the file")
    sha256: orm.Mapped[str] = orm.mapped_column(comment="SHA-256 of the file, hexadecimal")

    def __repr__(self) -> str:
        return f"<ReleaseFile {self.name}: {self.n_rows} rows>"


class Finding(Base):
    """What the check of the release found when it was loaded."""

    __tablename__ = "finding"
    __table_args__ = (
        sa.CheckConstraint("severity IN ('error', 'warning')", "severity"),
        {"comment": "what the check of the release found when it was loaded"},
    )

    id: orm.Mapped[PrimaryKey] = orm.mapped_column(comment="order of the report")
    code: orm.Mapped[str] = orm.mapped_column(comment="stable code")
    severity: orm.Mapped[str] = orm.mapped_column(comment="error or warning")
    file: orm.Mapped[str] = orm.mapped_column(comment="where it was found")
    message: orm.Mapped[str] = orm.mapped_column(comment="what it means")
    n: orm.Mapped[int] = orm.mapped_column(BigInt, comment="how many rows, columns or files")
    examples: orm.Mapped[Sequence[str]] = orm.mapped_column(
        sa.JSON(none_as_null=True), comment="up to five examples, JSON"
    )

    def __repr__(self) -> str:
        return f"<Finding {self.severity} {self.code} in {self.file}: {self.n}>"


class Quarantine(Base):
    """A row of the release that could not be loaded, kept whole."""

    __tablename__ = "quarantine"
    __table_args__ = ({"comment": "rows of the release that could not be loaded, kept whole"},)

    table: orm.Mapped[str] = orm.mapped_column(primary_key=True, comment="where it belonged")
    file_row: orm.Mapped[int] = orm.mapped_column(
        BigInt, primary_key=True, autoincrement=False, comment="its row in the file, from 1"
    )
    id: orm.Mapped[int | None] = orm.mapped_column(BigInt, comment="its id, where it had one")
    code: orm.Mapped[str] = orm.mapped_column(comment="stable code of the finding")
    reason: orm.Mapped[str] = orm.mapped_column(comment="what is wrong with it")
    row: orm.Mapped[dict[str, Any]] = orm.mapped_column(
        sa.JSON(none_as_null=True), comment="the row as JSON; bytes in base64"
    )

    def __repr__(self) -> str:
        return f"<Quarantine {self.table} row {self.file_row}: {self.code}>"
