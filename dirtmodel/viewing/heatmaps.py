"""Where reviewers click, over the mean of the pictures that they saw."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import orm

from dirtmodel.draw import heatmaps
from dirtmodel.draw.captions import Row, reviews_of
from dirtmodel.draw.heatmaps import DEFAULT_SIGMA, Sample
from dirtmodel.errors import UsageError
from dirtmodel.models import CLICK_STEPS, DisplayMode, Step, member_of
from dirtmodel.queries.images import Clicks, FoundImage, Images, blobs
from dirtmodel.viewing import material
from dirtmodel.viewing.material import Progress

if TYPE_CHECKING:
    from PIL import Image as PillowImage


def heatmap(
    db: orm.Session,
    *,
    step: Step | str | int,
    display: DisplayMode | str | int,
    slice: int | None = None,  # noqa: A002 - the column's name
    rater: str | None = None,
    latest: bool = False,
    sigma: float = DEFAULT_SIGMA,
    progress: Progress | None = None,
) -> "PillowImage.Image":
    """Draw the density of clicks over the mean picture of what was reviewed.

    Parameters
    ----------
    step
        One that is judged by clicks.
    display, slice
        The cut; without a slice there is one panel for each slice of that display.
    rater
        Only this rater's reviews; by default everybody's, unknown raters' included.
    latest
        Only each rater's latest review of an image; by default every review counts.
    sigma
        Width of the smoothing in pixels.
    progress
        Called with the number of pictures done.

    Returns
    -------
    PIL.Image.Image
        The map with its numbers and a colour scale, in clicks per ring area.

    Raises
    ------
    UsageError
        The step is judged by verdicts; no picture matches, or none was reviewed.
    """
    step, display = member_of(Step, step), member_of(DisplayMode, display)
    if step not in CLICK_STEPS:
        steps = ", ".join(known.name.lower() for known in sorted(CLICK_STEPS))
        raise UsageError(
            f"{step.name.lower()} is judged by verdicts, and verdicts have no place on a picture; "
            f"choose a step that is judged by clicks: {steps}"
        )
    wanted = Images(step=step, display=display, slice=slice)
    _, found = material.find(wanted, db)
    samples = _samples(db, found, Clicks((), rater, latest), progress)
    first = next(samples, None)
    if first is None:
        by = "" if rater is None else f" by {rater!r}; raters are named as in session.user"
        raise UsageError(
            f"none of the {len(found):,} images that match {wanted.text} has been reviewed{by}"
        )
    found_clicks = heatmaps.add_up(itertools.chain([first], samples), sigma=sigma)
    cut = f"display {display.name}" + (", all slices" if slice is None else f", slice {slice}")
    title = f"{step.name}, {cut}" + ("" if rater is None else f", {rater}")
    return heatmaps.draw(found_clicks, title=title)


def _samples(
    db: orm.Session, images: Iterable[FoundImage], clicks: Clicks, progress: Progress | None
) -> Iterator[Sample]:
    """Give the reviewed pictures with their clicks."""
    for batch in material.batches(images):
        rows: dict[int, list[Row]] = {}
        for click in replace(clicks, images=[image.id for image in batch]).run(db):
            rows.setdefault(click.img_id, []).append(material.row_of_click(click))
        n_done = len(batch)
        for image, data in blobs(db, (image for image in batch if image.id in rows)):
            reviews = reviews_of(rows[image.id])
            placed = [click for review in reviews for click in review.clicks]
            yield Sample(image.id, data, placed, n_reviews=len(reviews), slice=image.slice)
            n_done -= 1
            if progress is not None:
                progress(1)
        if progress is not None:
            progress(n_done)
