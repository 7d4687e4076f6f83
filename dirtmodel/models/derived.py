"""Derived tables, which `dirtmodel.loading.refresh` computes from DIRT's tables."""

import datetime as dt
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from dirtmodel import wording
from dirtmodel.models.dirt import Image, Session
from dirtmodel.models.types import Base, BigInt, PrimaryKey, Ratings, Step, name_of, reference


class Target(Base):
    """A derivative under review: one (step, file1), with the entities of its file name."""

    __tablename__ = "target"
    __table_args__ = (
        sa.UniqueConstraint("step", "file1"),
        {"comment": "one row per derivative (step, file1), with the entities of its file name"},
    )

    id: orm.Mapped[PrimaryKey] = orm.mapped_column(
        comment="assigned by the load in the order of (step, file1); differs between databases"
    )
    step: orm.Mapped[Step] = orm.mapped_column(
        sa.ForeignKey("step.id"), comment="the processing step, named in `step`"
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

    pictures: orm.Mapped[list["Picture"]] = orm.relationship(back_populates="target", viewonly=True)
    images: orm.Mapped[list["Image"]] = orm.relationship(
        secondary="picture",
        order_by="[Image.display, Image.slice, Image.id]",
        back_populates="target",
        viewonly=True,
    )

    def __repr__(self) -> str:
        return f"<Target {self.id} {name_of(self.step)} {self.file1}>"


class Picture(Base):
    """Format, size and hash of an image's picture, known without reading the picture itself."""

    __tablename__ = "picture"
    __table_args__ = (
        sa.CheckConstraint("format IN ('PNG', 'GIF')", "format"),
        sa.Index("ix_picture_target_id", "target_id", "img_id"),
        {"comment": "one row per image: format, size and hash of its bytes"},
    )

    img_id: orm.Mapped[int] = orm.mapped_column(
        BigInt, reference("image.id"), primary_key=True, autoincrement=False, comment="the image"
    )
    target_id: orm.Mapped[int] = orm.mapped_column(
        BigInt, reference("target.id"), comment="the derivative that it shows"
    )
    format: orm.Mapped[str] = orm.mapped_column(comment="PNG or GIF")
    width: orm.Mapped[int] = orm.mapped_column(comment="pixels")
    height: orm.Mapped[int] = orm.mapped_column(comment="pixels")
    n_bytes: orm.Mapped[int] = orm.mapped_column(BigInt, comment="size of img")
    sha256: orm.Mapped[str] = orm.mapped_column(comment="SHA-256 of img, hexadecimal")

    image: orm.Mapped[Image] = orm.relationship(back_populates="picture", viewonly=True)
    target: orm.Mapped[Target] = orm.relationship(back_populates="pictures", viewonly=True)

    def __repr__(self) -> str:
        size = f"{self.width}×{self.height}"
        return f"<Picture of image {self.img_id}: {self.format} {size}, {self.n_bytes} bytes>"


class Review(Base):
    """One review: a rating, or all rows of `coordinate` of one session on one image.

    This table is the only definition of a review. A click is a row of `coordinate` with x and y.
    A review without a click means that the reviewer saw nothing wrong.

    >>> image = db.scalars(sa.select(Image).where(Image.reviews.any()).order_by(Image.id)).first()
    >>> image.reviews[0].image is image
    True
    """

    __tablename__ = "review"
    __table_args__ = (
        sa.CheckConstraint("kind IN ('rating', 'coordinate')", "kind"),
        # A covering index for counting the raters of a target.
        sa.Index("ix_review_target_id", "target_id", "rater", "decides"),
        {
            "comment": "one row per review: a rating, or one session's clicks on one image",
            "sqlite_with_rowid": False,
        },
    )

    img_id: orm.Mapped[int] = orm.mapped_column(
        BigInt,
        reference("image.id"),
        primary_key=True,
        autoincrement=False,
        comment="the image reviewed",
    )
    kind: orm.Mapped[str] = orm.mapped_column(
        primary_key=True,
        comment="the table it comes from: rating (a verdict) or coordinate (clicks)",
    )
    id: orm.Mapped[int] = orm.mapped_column(
        BigInt,
        primary_key=True,
        autoincrement=False,
        comment="id of the rating, or of the review's last row in coordinate",
    )
    target_id: orm.Mapped[int] = orm.mapped_column(
        BigInt, reference("target.id"), comment="the derivative that the image shows"
    )
    session_id: orm.Mapped[int] = orm.mapped_column(
        "session", BigInt, comment="the session it was made in"
    )
    rater: orm.Mapped[str | None] = orm.mapped_column(
        comment="the session's user; NULL: unknown, not one more rater"
    )
    step: orm.Mapped[Step] = orm.mapped_column(
        sa.ForeignKey("step.id"), comment="the image's step, named in `step`"
    )
    created: orm.Mapped[dt.datetime] = orm.mapped_column(
        comment="when it was submitted, UTC; for clicks, the time of the last one"
    )
    verdict: orm.Mapped[Ratings | None] = orm.mapped_column(
        sa.ForeignKey("verdict.id"), comment="the verdict, named in `verdict`; NULL for clicks"
    )
    n_clicks: orm.Mapped[int | None] = orm.mapped_column(
        comment="rows with x and y; 0: the reviewer saw nothing wrong; NULL for a rating"
    )
    source_data_issue: orm.Mapped[bool] = orm.mapped_column(
        comment="the reviewer blames the raw data rather than the processing"
    )
    decides: orm.Mapped[bool] = orm.mapped_column(
        comment="true if images of this step are judged by this kind (see `step.judged_by`)"
    )
    latest: orm.Mapped[bool] = orm.mapped_column(
        comment="true if it decides and the same rater made no later review of the image that "
        "decides; each session without a user counts as a rater of its own"
    )
    notes: orm.Mapped[str | None] = orm.mapped_column(
        comment="free text of the reviewer; for clicks, the last note that is not empty"
    )

    image: orm.Mapped[Image] = orm.relationship(back_populates="reviews", viewonly=True)
    session: orm.Mapped[Session] = orm.relationship(
        primaryjoin="foreign(Review.session_id) == Session.id",
        back_populates="reviews",
        viewonly=True,
    )
    target: orm.Mapped[Target] = orm.relationship(viewonly=True)

    def __repr__(self) -> str:
        if self.verdict is not None:
            outcome = name_of(self.verdict)
        else:
            outcome = wording.outcome(None, self.n_clicks)
        return f"<Review of image {self.img_id} by {self.rater or 'unknown'}: {outcome}>"


class Tally(Base):
    """Counts of the reviews that decide about one image; every image has a row."""

    __tablename__ = "tally"
    __table_args__ = (
        sa.Index("ix_tally_target_id", "target_id", "img_id"),
        {"comment": "one row per image: counts of the reviews that decide about it"},
    )

    img_id: orm.Mapped[int] = orm.mapped_column(
        BigInt, reference("image.id"), primary_key=True, autoincrement=False, comment="the image"
    )
    target_id: orm.Mapped[int] = orm.mapped_column(
        BigInt, reference("target.id"), comment="the derivative that it shows"
    )
    n_reviews: orm.Mapped[int] = orm.mapped_column(comment="reviews that decide")
    n_pass: orm.Mapped[int] = orm.mapped_column(comment="verdicts PASS")
    n_unsure: orm.Mapped[int] = orm.mapped_column(comment="verdicts UNSURE")
    n_fail: orm.Mapped[int] = orm.mapped_column(comment="verdicts FAIL")
    n_clicks: orm.Mapped[int] = orm.mapped_column(comment="clicks")
    n_source_data_issues: orm.Mapped[int] = orm.mapped_column(
        comment="reviews that blame the raw data"
    )

    def __repr__(self) -> str:
        return f"<Tally of image {self.img_id}: {self.n_reviews} reviews>"


def tally(*, latest: bool = False) -> sa.Select[*tuple[Any, ...]]:
    """Select the rows of `tally`, counted from `review`.

    Parameters
    ----------
    latest
        Count only the latest deciding review of each rater, instead of all deciding reviews.
    """
    counted = (Review.img_id == Picture.img_id) & Review.decides
    if latest:
        counted &= Review.latest
    verdicts = {"n_pass": Ratings.PASS, "n_unsure": Ratings.UNSURE, "n_fail": Ratings.FAIL}
    return (
        sa.select(
            Picture.img_id,
            Picture.target_id,
            sa.func.count(Review.id).label("n_reviews"),
            *(
                sa.func.count(sa.case((Review.verdict == verdict, 1))).label(name)
                for name, verdict in verdicts.items()
            ),
            sa.func.coalesce(sa.func.sum(Review.n_clicks), 0).label("n_clicks"),
            sa.func.count(sa.case((Review.source_data_issue, 1))).label("n_source_data_issues"),
        )
        .join_from(Picture, Review, counted, isouter=True)
        .group_by(Picture.img_id, Picture.target_id)
    )
