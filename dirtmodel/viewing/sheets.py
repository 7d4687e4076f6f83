"""Many pictures to look through, page after page."""

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import orm

from dirtmodel import outputs
from dirtmodel.database.fragments import in_batches
from dirtmodel.draw import annotate, sheets
from dirtmodel.draw.captions import label, rings_of
from dirtmodel.draw.colours import Pen, pens
from dirtmodel.draw.sheets import Cell, Layout
from dirtmodel.queries.images import FoundImage, Images, Reviews
from dirtmodel.viewing import material
from dirtmodel.viewing.material import Progress, Wanted

if TYPE_CHECKING:
    from PIL import Image as PillowImage


def sheet(
    images: Wanted,
    db: orm.Session | None = None,
    *,
    title: str | None = None,
    layout: Layout | None = None,
) -> "Sheet":
    """Lay images out on a sheet, with rings and labels.

    Parameters
    ----------
    images
        `Images(...)`; or images themselves, in the order to show them: of the ORM, rows of
        `Images`, or ids.
    db
        Where they are. Images of the ORM know it themselves.
    title
        Heading of every page; by default the conditions of the query.
    layout
        Tiles across and down, and their size.

    Raises
    ------
    UsageError
        If there is no such image.
    """
    session, found = material.find(images, db)
    if title is None:
        title = _title(images.text if isinstance(images, Images) else "", len(found))
    return Sheet(session, found, title, layout or Layout())


class Sheet:
    """Pages of pictures, drawn when asked for; iterate over it for Pillow images.

    A damaged picture is an empty cell that says so. A notebook shows the first page.
    """

    def __init__(
        self, db: orm.Session, images: Sequence[FoundImage], title: str, layout: Layout
    ) -> None:
        self.images = images
        self.title = title
        self.layout = layout
        self._db = db

    def __len__(self) -> int:
        """Return the number of images; that of pages is not known beforehand."""
        return len(self.images)

    def __iter__(self) -> "Iterator[PillowImage.Image]":
        return self.pages()

    def __repr__(self) -> str:
        return f"<Sheet of {len(self)} images: {self.title}>"

    def _repr_png_(self) -> bytes:
        return annotate.png_bytes(next(self.pages()))

    def pages(self, progress: Progress | None = None) -> "Iterator[PillowImage.Image]":
        """Draw page after page; only the one being drawn is in memory.

        Parameters
        ----------
        progress
            Called with 1 after every image.
        """
        return sheets.pages(
            self._cells(progress), title=self.title, layout=self.layout, pens=self._pens()
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
            A page cannot be written; or a page of that name exists, and `replace` is not set.
        """
        path = Path(path)
        possible = [path, *(sheets.page_path(path, n + 1) for n in range(len(self)))]
        outputs.refuse_existing(possible, replace=replace)
        create = functools.partial(outputs.destination, replace=replace)
        return sheets.save(self.pages(progress), path, create)

    def _cells(self, progress: Progress | None) -> Iterator[Cell]:
        for shown in material.gather(self._db, self.images):
            verdicts = [r.verdict for r in shown.reviews if r.decides and r.verdict]
            lines = label(shown.subject, shown.reviews)
            yield Cell(shown.image.id, shown.data, lines, shown.clicks, verdicts)
            if progress is not None:
                progress(1)

    def _pens(self) -> Mapping[str | None, Pen]:
        raters: set[str | None] = set()
        for batch in in_batches(image.id for image in self.images):
            reviews = material.reviews_of(self._db, Reviews(batch, decides=True))
            raters.update(click.rater for found in reviews.values() for click in rings_of(found))
        return pens(sorted(raters, key=str))


def _title(asked: str, n_images: int) -> str:
    images = f"{n_images:,} image{'' if n_images == 1 else 's'}"
    return f"{asked.removeprefix('--').replace(' --', ', ')}: {images}" if asked else images
