"""Contents of the pages that we add: the start page, pages of pictures, targets and images."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy import orm

from dirtmodel.browse import describing
from dirtmodel.draw.captions import cut, entities, summary
from dirtmodel.errors import UsageError
from dirtmodel.models import Picture, Release, Target, lookups
from dirtmodel.models.derived import Tally
from dirtmodel.pages import Chip
from dirtmodel.pictures import fetch
from dirtmodel.queries.images import FoundImage, ImageReview, Images, Reviews
from dirtmodel.queries.rules import Status
from dirtmodel.wording import count, outcome

CONDITIONS: Final = ("step", "sub", "ses", "scan", "status")
"""Conditions of a page of pictures, as in `Images`."""

_PER_PAGE: Final = 63
"""Pictures on a page; all pictures of a target fit."""

_EXAMPLES: Final = 6


class Card(NamedTuple):
    """A picture of a page, and the lines below it."""

    id: int
    title: str
    text: str
    summary: str


def start(session: orm.Session) -> dict[str, Any]:
    """Return the contents of the start page."""
    worst = sa.select(Tally.img_id).order_by(Tally.n_fail.desc(), Tally.n_clicks.desc())
    examples = session.scalars(worst.where(Tally.n_fail + Tally.n_clicks > 0).limit(_EXAMPLES))
    participants = sa.func.count(Target.sub.distinct())
    return {
        "release": session.scalars(sa.select(Release)).first(),
        "n_participants": session.scalar(sa.select(participants)),
        "n_targets": session.scalar(sa.select(sa.func.count()).select_from(Target)),
        "steps": session.execute(sa.text(describing.QUERIES["coverage"]["sql"])).all(),
        "questions": describing.QUERIES,
        "examples": _cards(session, list(examples)),
        "tables": describing.overview(),
        **_choices(session),
    }


def pictures(session: orm.Session, wanted: Mapping[str, str]) -> dict[str, Any]:
    """Return the contents of a page of pictures.

    Parameters
    ----------
    wanted
        Values of `CONDITIONS`, and `from`: the number of pictures on the pages before this one.

    Raises
    ------
    UsageError
        If a condition has a wrong value.
    """
    given = {name: wanted[name].strip() for name in CONDITIONS if wanted.get(name, "").strip()}
    first = _number(wanted.get("from", "0"))
    images = Images(**given)  # type: ignore[arg-type]  # it reads text, too
    rows = session.execute(images.select().offset(first).limit(_PER_PAGE + 1)).all()
    found = [FoundImage._make(row) for row in rows]
    return {
        "given": given,
        "cards": _cards(session, [image.id for image in found[:_PER_PAGE]]),
        "first": first,
        "before": max(first - _PER_PAGE, 0) if first else None,
        "after": first + _PER_PAGE if len(found) > _PER_PAGE else None,
        **_choices(session),
    }


def target(session: orm.Session, target_id: int) -> dict[str, Any]:
    """Return the contents of the page of a target, apart from its row: all its pictures."""
    cards = _cards(session, _images_of(session, target_id))
    return {"cards": cards, "n_pictures": count(len(cards), "picture")}


def image(session: orm.Session, img_id: int) -> dict[str, Any]:
    """Return the contents of the page of an image, apart from its row."""
    (found,) = fetch.find(session, [img_id])
    reviews = list(Reviews([img_id]).run(session))
    pens = fetch.pens_of(session)
    target_id = session.scalar(sa.select(Picture.target_id).where(Picture.img_id == img_id))
    before, after = _neighbours(session, target_id or 0, img_id)
    return {
        "image": found,
        "target_id": target_id,
        "title": f"{found.step.name}, {entities(found)}, {cut(found)}",
        "reviews": [
            (review, _finding(review), "#{:02x}{:02x}{:02x}".format(*pens[review.rater].colour))
            for review in reviews
        ],
        "before": before,
        "after": after,
    }


def _neighbours(session: orm.Session, target_id: int, img_id: int) -> tuple[int | None, int | None]:
    """Return the ids of the previous and the next image, which may belong to other targets."""
    images = _images_of(session, target_id)
    place = images.index(img_id)
    before = images[place - 1] if place else None
    after = images[place + 1] if place + 1 < len(images) else None
    if before is None:
        other = sa.select(sa.func.max(Target.id)).where(Target.id < target_id)
        before = next(reversed(_images_of(session, session.scalar(other))), None)
    if after is None:
        other = sa.select(sa.func.min(Target.id)).where(Target.id > target_id)
        after = next(iter(_images_of(session, session.scalar(other))), None)
    return before, after


def _images_of(session: orm.Session, target_id: int | None) -> list[int]:
    """Return the ids of the images of a target, in the order in which they are shown."""
    ids = session.scalars(sa.select(Picture.img_id).where(Picture.target_id == target_id)).all()
    return [image.id for image in Images(id=ids).run(session)] if ids else []


def _cards(session: orm.Session, ids: list[int]) -> list[Card]:
    if not ids:
        return []
    reviews = fetch.histories(session, Reviews(ids))
    return [
        Card(
            one.id,
            entities(one),
            f"{one.step.name}, {cut(one)}",
            summary(reviews[one.id].reviews if one.id in reviews else []),
        )
        for one in fetch.find(session, ids)
    ]


def _finding(review: ImageReview) -> Chip:
    verdict = review.verdict.name if review.verdict is not None else ""
    return Chip(verdict, outcome(review.verdict, review.n_clicks))


def _choices(session: orm.Session) -> dict[str, Any]:
    """Return the choices of the form that selects pictures."""
    names = session.scalars(sa.select(lookups.STEP.c.name).order_by(lookups.STEP.c.id))
    return {"step_names": list(names), "statuses": [str(status) for status in Status]}


def _number(text: str) -> int:
    try:
        return max(int(text), 0)
    except ValueError:
        raise UsageError(f"{text!r} is not a number of pictures") from None
