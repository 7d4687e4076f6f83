"""DIRT's four tables.

Tables and columns have the names of the published release (`img_id`, `session`, `notes`,
`coordinate`), not those of Django (`image_id`, `session_id`, `comments`, `clickedcoordinate`), so
that SQL written for the release runs unchanged.
"""

import datetime as dt
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.ext.associationproxy import AssociationProxy, association_proxy

from dirtmodel.models.notebook import Shown
from dirtmodel.models.types import (
    Base,
    BigInt,
    DisplayMode,
    PrimaryKey,
    Ratings,
    Step,
    instant_checks,
    name_of,
    reference,
)

if TYPE_CHECKING:
    from dirtmodel.models.derived import Picture, Review, Target


class Session(Base):
    """One sitting of one reviewer on one step."""

    __tablename__ = "session"
    __table_args__ = (
        *instant_checks("created"),
        {"comment": "one sitting of one reviewer on one step"},
    )

    id: orm.Mapped[PrimaryKey] = orm.mapped_column(comment="DIRT's id; gaps are normal")
    step: orm.Mapped[Step] = orm.mapped_column(
        sa.ForeignKey("step.id"), comment="the processing step, named in `step`"
    )
    user: orm.Mapped[str | None] = orm.mapped_column(
        comment="the rater; NULL: unknown, not one more rater",
    )
    created: orm.Mapped[dt.datetime] = orm.mapped_column(comment="when the sitting began, UTC")

    ratings: orm.Mapped[list["Rating"]] = orm.relationship(
        back_populates="session", cascade="all, delete-orphan", passive_deletes=True
    )
    coordinates: orm.Mapped[list["Coordinate"]] = orm.relationship(
        back_populates="session", cascade="all, delete-orphan", passive_deletes=True
    )
    reviews: orm.Mapped[list["Review"]] = orm.relationship(
        primaryjoin="Session.id == foreign(Review.session_id)",
        order_by="[Review.created, Review.img_id, Review.kind, Review.id]",
        back_populates="session",
        viewonly=True,
    )

    def __repr__(self) -> str:
        return f"<Session {self.id} {name_of(self.step)} by {self.user or 'unknown'}>"


class Image(Shown, Base):
    """One rendered picture shown to reviewers."""

    __tablename__ = "image"
    __table_args__ = (
        sa.UniqueConstraint("slice", "file1", "display", "step", name="image_meta"),
        # A covering index: queries of all columns but img need not read the pages of pictures.
        sa.Index("ix_image_narrow", "step", "file1", "display", "slice", "id", "file2", "created"),
        *instant_checks("created"),
        {"comment": "one rendered picture shown to reviewers"},
    )

    id: orm.Mapped[PrimaryKey] = orm.mapped_column(comment="DIRT's id; gaps are normal")
    slice: orm.Mapped[int | None] = orm.mapped_column(
        comment="index of the cut along the display axis; NULL for pictures without one (DTIFIT)",
    )
    file1: orm.Mapped[str] = orm.mapped_column(comment="the derivative under review")
    file2: orm.Mapped[str | None] = orm.mapped_column(
        comment="the file drawn beneath or beside file1, if there is one",
    )
    display: orm.Mapped[DisplayMode] = orm.mapped_column(
        sa.ForeignKey("display.id"), comment="axis of the cut, named in `display`"
    )
    step: orm.Mapped[Step] = orm.mapped_column(
        sa.ForeignKey("step.id"), comment="the processing step, named in `step`"
    )
    created: orm.Mapped[dt.datetime] = orm.mapped_column(
        comment="when first rendered, UTC; unchanged when the picture is rendered again",
    )
    # The last column, because SQLite would read through a picture to reach a column after it.
    img: orm.Mapped[bytes] = orm.mapped_column(
        deferred=True, comment="the picture itself, PNG or GIF"
    )

    ratings: orm.Mapped[list["Rating"]] = orm.relationship(
        back_populates="image", cascade="all, delete-orphan", passive_deletes=True
    )
    coordinates: orm.Mapped[list["Coordinate"]] = orm.relationship(
        back_populates="image", cascade="all, delete-orphan", passive_deletes=True
    )
    picture: orm.Mapped["Picture | None"] = orm.relationship(
        primaryjoin="Image.id == foreign(Picture.img_id)", back_populates="image", viewonly=True
    )
    target: orm.Mapped["Target | None"] = orm.relationship(
        secondary="picture", back_populates="images", viewonly=True
    )
    reviews: orm.Mapped[list["Review"]] = orm.relationship(
        order_by="[Review.created, Review.kind, Review.id]",
        back_populates="image",
        viewonly=True,
    )
    sub: AssociationProxy[str | None] = association_proxy("target", "sub")
    ses: AssociationProxy[str | None] = association_proxy("target", "ses")
    task: AssociationProxy[str | None] = association_proxy("target", "task")
    run: AssociationProxy[int | None] = association_proxy("target", "run")
    scan: AssociationProxy[str | None] = association_proxy("target", "scan")

    def __repr__(self) -> str:
        where = f"{name_of(self.display)}" + ("" if self.slice is None else f" {self.slice}")
        return f"<Image {self.id} {name_of(self.step)} {self.file1} {where}>"


class Rating(Base):
    """A verdict (PASS, UNSURE or FAIL) of one session on one image."""

    __tablename__ = "rating"
    __table_args__ = (
        sa.Index("ix_rating_image", "img_id", "session", "created", "rating", "source_data_issue"),
        sa.Index("ix_rating_rating", "rating", "img_id"),
        sa.Index("ix_rating_session", "session"),
        *instant_checks("created"),
        {"comment": "one session's verdict on one image"},
    )

    id: orm.Mapped[PrimaryKey] = orm.mapped_column(comment="DIRT's id; gaps are normal")
    source_data_issue: orm.Mapped[bool] = orm.mapped_column(
        comment="the reviewer blames the raw data rather than the processing",
    )
    rating: orm.Mapped[Ratings] = orm.mapped_column(
        sa.ForeignKey("verdict.id"), comment="the verdict, named in `verdict`"
    )
    img_id: orm.Mapped[int] = orm.mapped_column(
        BigInt, reference("image.id"), comment="the image judged"
    )
    session_id: orm.Mapped[int] = orm.mapped_column(
        "session", BigInt, reference("session.id"), comment="the session it was judged in"
    )
    created: orm.Mapped[dt.datetime] = orm.mapped_column(comment="when submitted, UTC")
    notes: orm.Mapped[str | None] = orm.mapped_column(
        comment="free text of the reviewer, verbatim as published; NULL if empty",
    )

    image: orm.Mapped[Image] = orm.relationship(back_populates="ratings")
    session: orm.Mapped[Session] = orm.relationship(back_populates="ratings")

    def __repr__(self) -> str:
        return f"<Rating {self.id} {name_of(self.rating)} of image {self.img_id}>"


class Coordinate(Base):
    """A click on a fault in one image; x and y are NULL if the reviewer saw nothing wrong."""

    __tablename__ = "coordinate"
    __table_args__ = (
        sa.Index(
            "ix_coordinate_image", "img_id", "session", "created", "x", "y", "source_data_issue"
        ),
        sa.Index("ix_coordinate_session", "session"),
        *instant_checks("created"),
        {"comment": "one click of one session on one image; x and y are NULL: nothing wrong"},
    )

    id: orm.Mapped[PrimaryKey] = orm.mapped_column(comment="DIRT's id; gaps are normal")
    source_data_issue: orm.Mapped[bool] = orm.mapped_column(
        comment="the reviewer blames the raw data rather than the processing",
    )
    x: orm.Mapped[float | None] = orm.mapped_column(
        comment="pixels from the picture's left edge; may lie outside it",
    )
    y: orm.Mapped[float | None] = orm.mapped_column(
        comment="pixels from the picture's top edge, downwards; may lie outside it",
    )
    img_id: orm.Mapped[int] = orm.mapped_column(
        BigInt, reference("image.id"), comment="the image clicked on"
    )
    session_id: orm.Mapped[int] = orm.mapped_column(
        "session", BigInt, reference("session.id"), comment="the session it was clicked in"
    )
    created: orm.Mapped[dt.datetime] = orm.mapped_column(comment="when submitted, UTC")
    notes: orm.Mapped[str | None] = orm.mapped_column(
        comment="free text of the reviewer, verbatim as published; NULL if empty",
    )

    image: orm.Mapped[Image] = orm.relationship(back_populates="coordinates")
    session: orm.Mapped[Session] = orm.relationship(back_populates="coordinates")

    def __repr__(self) -> str:
        where = "clean" if self.x is None and self.y is None else f"({self.x}, {self.y})"
        return f"<Coordinate {self.id} {where} on image {self.img_id}>"
