"""Images, their pictures and their reviews, brought together a few at a time."""

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import NamedTuple

from sqlalchemy import orm

from dirtmodel.database.fragments import in_batches
from dirtmodel.draw.captions import Review, Subject, rings_of
from dirtmodel.draw.rings import Click
from dirtmodel.errors import UsageError
from dirtmodel.models import Image
from dirtmodel.queries.images import Clicks, FoundImage, Images, Reviews, blobs

Progress = Callable[[int], None]
"""Called with the number of images done since it was called last."""

Wanted = Images | Iterable[Image | FoundImage | int]
"""A query for images, or the images themselves: of the ORM, as rows, or by their ids."""


class Material(NamedTuple):
    """An image, its picture and its reviews."""

    image: FoundImage
    data: bytes
    reviews: list[Review]

    @property
    def subject(self) -> Subject:
        """What the picture shows, for captions."""
        image = self.image
        return Subject(
            img_id=image.id,
            step=image.step.name,
            file1=image.file1,
            display=image.display.name,
            slice=image.slice,
            sub=image.sub,
            ses=image.ses,
            task=image.task,
            run=image.run,
        )

    @property
    def clicks(self) -> list[Click]:
        """The clicks to draw."""
        return rings_of(self.reviews)


def find(wanted: Wanted, db: orm.Session | None = None) -> tuple[orm.Session, list[FoundImage]]:
    """Return images and the session that they are in.

    Raises
    ------
    UsageError
        If there are none, if some of those named are missing, or if no session is known.
    """
    if isinstance(wanted, Images):
        if db is None:
            raise UsageError("say in which database to look; for example sheet(images, db)")
        found = list(wanted.run(db))
        there = {image.id for image in found}
        _refuse_missing(_ids(wanted), there, alone=wanted == Images(id=wanted.id))
        if not found:
            raise UsageError(
                f"no image matches {wanted.text or 'in an empty database'}; "
                "`dirtmodel coverage --targets` lists what there is"
            )
        return db, found
    named = list(wanted)
    if not named:
        raise UsageError("there is no image to look at; the list of images is empty")
    if db is None:
        db = next(
            filter(None, (orm.object_session(i) for i in named if isinstance(i, Image))), None
        )
    if db is None:
        raise UsageError(
            "these images are in no open database; give its session, for example sheet(images, db)"
        )
    ids = [image if isinstance(image, int) else image.id for image in named]
    by_id: dict[int, FoundImage] = {}
    for batch in in_batches(ids):
        by_id.update((image.id, image) for image in Images(id=batch).run(db))
    _refuse_missing(ids, by_id)
    return db, [by_id[img_id] for img_id in ids]


def gather(db: orm.Session, images: Iterable[FoundImage]) -> Iterator[Material]:
    """Fetch pictures and reviews in order, one batch at a time."""
    for batch in in_batches(images):
        ids = [image.id for image in batch]
        reviews = reviews_of(db, Reviews(ids))
        for image, data in blobs(db, batch):
            yield Material(image, data, reviews.get(image.id, []))


def reviews_of(db: orm.Session, wanted: Reviews) -> dict[int, list[Review]]:
    """Fetch reviews with their clicks, by image, the earliest first."""
    clicks: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for click in Clicks(wanted.images).run(db):
        clicks.setdefault((click.img_id, click.session), []).append((click.x, click.y))
    reviews: dict[int, list[Review]] = {}
    for found in wanted.run(db):
        places = clicks.get((found.img_id, found.session), ()) if found.verdict is None else ()
        review = Review(
            found.rater,
            None if found.verdict is None else found.verdict.name,
            found.n_clicks,
            [Click(x, y, found.rater) for x, y in places],
            found.source_data_issue,
            found.notes,
            found.decides,
        )
        reviews.setdefault(found.img_id, []).append(review)
    return reviews


def _ids(wanted: Images) -> Collection[int]:
    return () if wanted.id is None else wanted.id  # type: ignore[return-value]  # a tuple since its __post_init__


def _refuse_missing(ids: Collection[int], there: Collection[int], *, alone: bool = True) -> None:
    missing = [str(img_id) for img_id in ids if img_id not in there]
    if missing:
        more = f" (nor {len(missing) - 1:,} more)" if missing[1:] else ""
        raise UsageError(
            f"there is no image {missing[0]}{more} in this database"
            f"{'' if alone else ' that meets the other conditions'}; "
            "`dirtmodel exclusions` names images in its column image_ids"
        )
