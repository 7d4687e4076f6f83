"""Contact sheets: pages of many small pictures."""

import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dirtmodel import opening, outputs
from dirtmodel.draw import encode, sheets
from dirtmodel.draw.captions import label, rings_of, verdicts_of
from dirtmodel.draw.sheets import Cell, Layout
from dirtmodel.opening import Database
from dirtmodel.pictures import fetch
from dirtmodel.pictures.fetch import Progress, Wanted
from dirtmodel.queries.images import FoundImage, Images
from dirtmodel.wording import count

if TYPE_CHECKING:
    from PIL import Image as PillowImage
    from sqlalchemy import orm


def sheet(
    db: Database,
    images: Wanted,
    *,
    title: str | None = None,
    layout: Layout | None = None,
) -> "Sheet":
    """Lay out images on a contact sheet, with rings and labels.

    Parameters
    ----------
    db
        An open session, a path or a URL.
    images
        A query `Images(...)`, or a list of images in the order to show them: ORM objects, rows of
        `Images`, or ids.
    title
        Heading of every page; by default the conditions of the query and the number of images.
    layout
        The numbers of tiles across and down, and their size.

    Raises
    ------
    UsageError
        If an image does not exist, or no image matches.
    """
    with opening.session_on(db) as session:
        found = fetch.find(session, images)
    if title is None:
        title = _title(images.text if isinstance(images, Images) else "", len(found))
    return Sheet(db, found, title, layout or Layout())


class Sheet:
    """Pages of pictures, which are drawn on demand; iteration yields them as Pillow images.

    The cell of a damaged picture states the reason. A notebook displays the first page.
    """

    def __init__(
        self, db: Database, images: Sequence[FoundImage], title: str, layout: Layout
    ) -> None:
        self.images = images
        self.title = title
        self.layout = layout
        self._db = db

    def __len__(self) -> int:
        """Return the number of images; the number of pages is not known in advance."""
        return len(self.images)

    def __iter__(self) -> "Iterator[PillowImage.Image]":
        return self.pages()

    def __repr__(self) -> str:
        return f"<Sheet of {len(self)} images: {self.title}>"

    def _repr_png_(self) -> bytes:
        return encode.png(next(self.pages()))

    def pages(self, progress: Progress | None = None) -> "Iterator[PillowImage.Image]":
        """Draw and yield one page after the other; only one page is in memory.

        Parameters
        ----------
        progress
            Called with 1 after every image.
        """
        with opening.session_on(self._db) as session:
            yield from sheets.pages(
                self._cells(session, progress),
                title=self.title,
                layout=self.layout,
                pens=fetch.pens_of(session),
            )

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        replace: bool = False,
        progress: Progress | None = None,
    ) -> list[Path]:
        """Write the pages as PNG files and return their paths.

        A single page goes to `failures.png`; several to `failures-01.png`, `failures-02.png`, …

        Raises
        ------
        OutputError
            A page cannot be written, or a file of its name exists and `replace` is false.
        """
        path = Path(path)
        possible = [path, *(sheets.page_path(path, n + 1) for n in range(len(self)))]
        outputs.refuse_existing(possible, replace=replace)
        create = functools.partial(outputs.destination, replace=replace)
        return sheets.save(self.pages(progress), path, create)

    def _cells(self, session: "orm.Session", progress: Progress | None) -> Iterator[Cell]:
        for shown in fetch.fetch(session, self.images):
            yield Cell(
                shown.image.id,
                shown.data,
                label(shown.image, shown.reviews),
                rings_of(shown.reviews, shown.clicks),
                verdicts_of(shown.reviews),
            )
            if progress is not None:
                progress(1)


def _title(options: str, n_images: int) -> str:
    images = count(n_images, "image")
    return f"{options.removeprefix('--').replace(' --', ', ')}: {images}" if options else images
