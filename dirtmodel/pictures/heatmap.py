"""Heat maps: the density of clicks over the mean of the reviewed pictures."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import orm

from dirtmodel import opening
from dirtmodel.database.fragments import in_batches
from dirtmodel.draw import heatmaps
from dirtmodel.draw.captions import rings_of
from dirtmodel.draw.heatmaps import DEFAULT_SIGMA, HeatMap, Sample
from dirtmodel.errors import UsageError
from dirtmodel.models import DisplayMode, JudgedBy, Step, lookups, member_of
from dirtmodel.opening import Database
from dirtmodel.pictures import fetch
from dirtmodel.pictures.fetch import Progress
from dirtmodel.queries.images import FoundImage, Images, Reviews, blobs

if TYPE_CHECKING:
    from PIL import Image as PillowImage


def heatmap(
    db: Database,
    *,
    step: Step | str | int,
    display: DisplayMode | str | int,
    slice: int | None = None,  # noqa: A002 - the column's name
    rater: str | None = None,
    latest: bool = False,
    sigma: float = DEFAULT_SIGMA,
    progress: Progress | None = None,
) -> "PillowImage.Image":
    """Draw the density of clicks over the mean of the reviewed pictures.

    Parameters
    ----------
    db
        An open session, a path or a URL.
    step
        A step that is judged by clicks.
    display, slice
        The cut; without `slice`, there is one panel for each slice of the display.
    rater
        Use only this rater's reviews; by default those of all raters, known or unknown.
    latest
        Use only each rater's latest review of an image; by default every review counts.
    sigma
        Width of the smoothing in pixels.
    progress
        Called with the number of pictures done since the last call.

    Returns
    -------
    PIL.Image.Image
        The heat map with its counts and a colour bar, in clicks per ring area.

    Raises
    ------
    UsageError
        The step is judged by verdicts, no picture matches, or no matching picture was reviewed.
    """
    step, display = member_of(Step, step), member_of(DisplayMode, display)
    wanted = Images(step=step, display=display, slice=slice)
    with opening.session_on(db) as session:
        _require_clicks(session, step)
        reviews = Reviews((), rater, decides=True, latest=latest)
        added = densities(session, wanted, reviews, sigma=sigma, progress=progress)
    if added is None:
        by = "" if rater is None else f" by {rater!r}; raters are named as in session.user"
        raise UsageError(f"none of the images that match {wanted.text} has been reviewed{by}")
    cut = f"display {display.name}" + (", all slices" if slice is None else f", slice {slice}")
    title = f"{step.name}, {cut}" + ("" if rater is None else f", {rater}")
    return heatmaps.draw(added, title=title)


def densities(
    session: orm.Session,
    wanted: Images,
    reviews: Reviews,
    *,
    sigma: float = DEFAULT_SIGMA,
    most_averaged: int | None = None,
    progress: Progress | None = None,
) -> HeatMap | None:
    """Return the densities of the clicks of reviews, slice by slice; None without a review.

    Parameters
    ----------
    most_averaged
        The most pictures of a slice to average; clicks on all pictures count.

    Raises
    ------
    UsageError
        No picture matches, or none can be decoded.
    """
    found = fetch.find(session, wanted)
    samples = _samples(session, found, reviews, most_averaged, progress)
    first = next(samples, None)
    if first is None:
        return None
    return heatmaps.add_up(itertools.chain([first], samples), sigma=sigma)


def _require_clicks(session: orm.Session, step: Step) -> None:
    if lookups.judged_by(session.connection(), step) is JudgedBy.VERDICT:
        steps = ", ".join(name.lower() for name in lookups.steps_by_clicks(session.connection()))
        raise UsageError(
            f"{step.name.lower()} is judged by verdicts, and verdicts have no place on a picture; "
            f"choose a step that is judged by clicks: {steps}"
        )


def _samples(
    session: orm.Session,
    images: Iterable[FoundImage],
    wanted: Reviews,
    most: int | None,
    progress: Progress | None,
) -> Iterator[Sample]:
    """Yield the reviewed pictures with their clicks; for each slice, at most `most` with bytes."""
    n_of_slice: Counter[int | None] = Counter()
    for batch in in_batches(images):
        by_image = fetch.histories(session, replace(wanted, images=[image.id for image in batch]))
        read: list[FoundImage] = []
        unread: list[FoundImage] = []
        for image in batch:
            if image.id in by_image:
                n_of_slice[image.slice] += 1
                is_read = most is None or n_of_slice[image.slice] <= most
                (read if is_read else unread).append(image)
        n_done = len(batch)
        with_bytes: Iterator[tuple[FoundImage, bytes | None]] = itertools.chain(
            blobs(session, read), ((image, None) for image in unread)
        )
        for image, data in with_bytes:
            reviews, clicks = by_image[image.id]
            yield Sample(
                image.id,
                data,
                rings_of(reviews, clicks),
                n_reviews=len(reviews),
                slice=image.slice,
                size=(image.width, image.height),
            )
            n_done -= 1
            if progress is not None:
                progress(1)
        if progress is not None:
            progress(n_done)
