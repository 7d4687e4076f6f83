"""Contact sheets: pages with many small pictures.

Pictures are decoded and shrunk a few at a time. Only the small pictures of the current page stay in
memory.
"""

import collections
import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, NamedTuple

from PIL import Image, ImageDraw

from dirtmodel.draw import decode, legend, rings, text
from dirtmodel.draw.annotate import Notes, ringed
from dirtmodel.draw.colours import BLACK, OKABE_ITO, Colour, Pen
from dirtmodel.draw.legend import Entry
from dirtmodel.draw.rings import Click
from dirtmodel.draw.shrink import shrink
from dirtmodel.errors import PictureError, UsageError

# Lengths are in pixels.
_GAP: Final = 10
_FRAME_GAP: Final = 3
"""The distance between the frames of an animation."""
_LABEL_SIZE: Final = 13
_TITLE_SIZE: Final = 20
_MAX_LABEL_LINES: Final = 8
_MAX_FRAMES: Final = 3
"""The most frames that are shown of an animation."""
_EMPTY: Final = (0xEE, 0xEE, 0xEE)
_WARNING: Final = (0x9C, 0x1C, 0x1C)
_BORDER: Final = 3
"""The width of the border that shows the worst verdict."""
_LABEL_GAP: Final = 4
_TAG_HEIGHT: Final = 24
_VERDICTS: Final[Mapping[str, Colour]] = {
    "FAIL": OKABE_ITO[5],
    "UNSURE": OKABE_ITO[3],
    "PASS": OKABE_ITO[4],
}
"""The worst first: vermilion, yellow and bluish green, on which black letters are easy to read."""
_COMPRESS_LEVEL: Final = 3
_N_DECODERS: Final = 2


def _create(path: Path) -> IO[bytes]:
    return path.open("wb")


@dataclass(frozen=True)
class Cell:
    """One picture of a sheet and the text below it.

    Parameters
    ----------
    img_id
        The id that the cell of a damaged picture names.
    data
        The encoded picture; None for a cell without a picture.
    label
        Lines below the picture, the first one dark, the others faint. Long lines wrap.
    clicks
        Clicks to draw as rings.
    verdicts
        Names of the verdicts of the picture. Coloured tags count FAIL, UNSURE and PASS; the worst
        of them is also the colour of a border around the picture.
    """

    img_id: int
    data: bytes | memoryview | None
    label: Sequence[str] = ()
    clicks: Sequence[Click] = ()
    verdicts: Sequence[str] = ()


@dataclass(frozen=True)
class Layout:
    """How a page is divided: the numbers of tiles across and down, and their size in pixels.

    A picture keeps its aspect and is never enlarged. The frames of an animation (at most three of
    them) are side by side and take as many tiles as they need.
    """

    columns: int = 6
    rows: int = 6
    tile_width: int = 300
    tile_height: int = 225

    def __post_init__(self) -> None:
        if min(self.columns, self.rows) < 1 or min(self.tile_width, self.tile_height) < 16:  # noqa: PLR2004 - pixels
            raise UsageError("a sheet needs at least one column, one row and tiles of 16 pixels")

    @classmethod
    def of_size(cls, size: int) -> "Layout":
        """Return a layout with tiles of `size` pixels, as many as fit into the default width.

        Examples
        --------
        >>> Layout.of_size(600)
        Layout(columns=3, rows=3, tile_width=600, tile_height=450)
        """
        default = cls()
        n_tiles = max(1, (default.width_of(default.columns) + _GAP) // (max(size, 1) + _GAP))
        return cls(n_tiles, n_tiles, size, size * 3 // 4)

    def span(self, width: int) -> int:
        """Return the number of tiles that a strip of this width takes, at most a whole row."""
        tiles = math.ceil((width + _GAP) / (self.tile_width + _GAP))
        return min(max(tiles, 1), self.columns)

    def width_of(self, span: int) -> int:
        """Return the width in pixels of `span` tiles beside each other."""
        return span * self.tile_width + (span - 1) * _GAP


class _Tile(NamedTuple):
    picture: Image.Image
    label: list[str]
    n_dark_lines: int
    span: int
    tags: list[tuple[str, Colour]]
    raters: frozenset[str | None]
    n_outside: int


def pages(
    cells: Iterable[Cell],
    *,
    title: str = "",
    layout: Layout | None = None,
    pens: Mapping[str | None, Pen] | None = None,
) -> Iterator[Image.Image]:
    """Lay out pictures in reading order and yield one page after the other.

    If `pens` has several raters, every page has a legend of the raters whose rings are on it. If a
    page has triangles, which mark clicks outside a picture, its legend explains them.

    A damaged picture becomes a labelled empty cell that states the reason. Without cells there
    are no pages.
    """
    layout = layout or Layout()
    rows: list[list[_Tile]] = []
    n_pages = n_free = 0
    for tile in _tiles(cells, layout, pens):
        if tile.span > n_free:
            if len(rows) == layout.rows:
                n_pages += 1
                yield _page(rows, layout, title, n_pages, pens)
                rows = []
            rows.append([])
            n_free = layout.columns
        rows[-1].append(tile)
        n_free -= tile.span
    if rows:
        yield _page(rows, layout, title, n_pages + 1, pens)


def save(
    drawn: Iterable[Image.Image],
    path: Path,
    create: Callable[[Path], contextlib.AbstractContextManager[IO[bytes]]] = _create,
) -> list[Path]:
    """Write pages as PNG files and return their paths.

    A single page goes to `failures.png`; several to `failures-01.png`, `failures-02.png`, …

    Parameters
    ----------
    create
        Opens the file for a page. It may use a temporary name until the page is complete.
    """
    written: list[Path] = []
    encoding: futures.Future[None] | None = None
    waiting: Image.Image | None = None

    def encode(page: Image.Image, page_file: Path) -> None:
        with create(page_file) as file:
            page.save(file, "PNG", compress_level=_COMPRESS_LEVEL)

    def write(page: Image.Image, number: int | None) -> None:
        nonlocal encoding
        if encoding is not None:
            encoding.result()
        page_file = path if number is None else page_path(path, number)
        written.append(page_file)
        encoding = encoder.submit(encode, page, page_file)

    # Encode one page while the next is filled: Pillow releases the GIL while it encodes.
    with futures.ThreadPoolExecutor(max_workers=1) as encoder:
        for page in drawn:
            if waiting is not None:
                write(waiting, len(written) + 1)
            waiting = page
        if waiting is not None:
            write(waiting, len(written) + 1 if written else None)
        if encoding is not None:
            encoding.result()
    return written


def page_path(path: Path, number: int) -> Path:
    """Return the path of one page of several.

    >>> page_path(Path("failures.png"), 3).name
    'failures-03.png'
    """
    return path.with_stem(f"{path.stem}-{number:02}")


def _tiles(
    cells: Iterable[Cell],
    layout: Layout,
    pens: Mapping[str | None, Pen] | None,
) -> Iterator[_Tile]:
    """Yield tiles in order, prepared a few ahead: Pillow releases the GIL while it decodes."""
    waiting: collections.deque[futures.Future[_Tile]] = collections.deque()
    with futures.ThreadPoolExecutor(max_workers=_N_DECODERS) as decoders:
        for cell in cells:
            waiting.append(decoders.submit(_tile, cell, layout, pens))
            if len(waiting) > 2 * _N_DECODERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _tile(cell: Cell, layout: Layout, pens: Mapping[str | None, Pen] | None) -> _Tile:
    points = Notes(cell.clicks).points()
    try:
        picture, extra, size = _strip(cell, layout, pens)
    except PictureError as error:
        picture, extra, points = _empty(str(error), layout), [], []
    n_outside = sum(not rings.is_inside(point, size) for point in points)
    span = layout.span(picture.width)
    width = layout.width_of(span)
    dark = text.wrap_all(cell.label[:1], _LABEL_SIZE, width)
    faint = text.wrap_all([*cell.label[1:], *extra], _LABEL_SIZE, width)
    label = [*dark, *faint]
    if len(label) > _MAX_LABEL_LINES:
        last = f"{label[_MAX_LABEL_LINES - 1]} and more"
        label[_MAX_LABEL_LINES - 1 :] = [text.clip(last, _LABEL_SIZE, width)]
    raters = frozenset(point.rater for point in points)
    return _Tile(picture, label, len(dark), span, _tags(cell.verdicts), raters, n_outside)


def _strip(
    cell: Cell,
    layout: Layout,
    pens: Mapping[str | None, Pen] | None,
) -> tuple[Image.Image, list[str], tuple[int, int]]:
    """Return the frames side by side, a line about frames left out, and the size of the picture."""
    if cell.data is None:
        raise PictureError(f"image {cell.img_id}: there is no picture in the database")
    image = decode.open_picture(cell.data, cell.img_id)
    n_frames = decode.count_frames(image, cell.img_id)
    notes = Notes(cell.clicks, pens=pens)
    if n_frames == 1:
        n_stored = decode.stored_frames(image, cell.img_id)
        left_out = [f"frame 1 of {n_stored}"] if n_stored > 1 else []
        return (
            _shrunk(decode.as_rgba(image), notes, layout.tile_width, layout),
            left_out,
            image.size,
        )
    numbers = decode.representative_frames(n_frames, _MAX_FRAMES)
    widest = (layout.width_of(layout.columns) - (len(numbers) - 1) * _FRAME_GAP) // len(numbers)
    shown = [
        _shrunk(frame, notes, min(layout.tile_width, widest), layout)
        for frame in decode.frames_at(cell.data, cell.img_id, numbers)
    ]
    step = shown[0].width + _FRAME_GAP
    strip = Image.new("RGB", (step * len(shown) - _FRAME_GAP, shown[0].height), text.PAPER)
    for place, frame in enumerate(shown):
        strip.paste(frame, (place * step, 0))
    if len(numbers) == n_frames:
        return strip, [], image.size
    listed = ", ".join(str(number + 1) for number in numbers)
    return strip, [f"frames {listed} of {n_frames}"], image.size


def _shrunk(image: Image.Image, notes: Notes, width: int, layout: Layout) -> Image.Image:
    scale = min(width / image.width, layout.tile_height / image.height, 1)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = shrink(image, size)
    if not notes.clicks:
        return small
    return ringed(small.convert("RGBA"), notes.scaled(scale)).convert("RGB")


def _tags(verdicts: Sequence[str]) -> list[tuple[str, Colour]]:
    """Count the verdicts, the worst first."""
    return [
        (f"{verdict} {n}" if n > 1 else verdict, colour)
        for verdict, colour in _VERDICTS.items()
        if (n := sum(one == verdict for one in verdicts))
    ]


def _draw_border(page: Image.Image, place: tuple[int, int], tile: _Tile) -> None:
    """Draw a border around a picture in the colour of its worst verdict."""
    left, top = place
    right, bottom = left + tile.picture.width, top + tile.picture.height
    corner = (left - _BORDER, top - _BORDER)
    box = (*corner, right + _BORDER - 1, bottom + _BORDER - 1)
    ImageDraw.Draw(page).rectangle(box, fill=tile.tags[0][1])


def _write_tags(page: Image.Image, place: tuple[int, int], tags: list[tuple[str, Colour]]) -> None:
    left, top = place
    for words, colour in tags:
        right = left + round(text.length(words, _LABEL_SIZE)) + 12
        box = (left, top + 2, right, top + _TAG_HEIGHT - 3)
        ImageDraw.Draw(page).rounded_rectangle(box, radius=3, fill=colour)
        text.write(page, (left + 6, top + 2), [words], _LABEL_SIZE, BLACK)
        left = right + 6


def _empty(reason: str, layout: Layout) -> Image.Image:
    box = Image.new("RGB", (layout.tile_width, layout.tile_height), _EMPTY)
    lines = text.wrap(reason, _LABEL_SIZE, layout.tile_width - 2 * _GAP)
    n_lines = (layout.tile_height - 2 * _GAP) // text.line_height(_LABEL_SIZE)
    text.write(box, (_GAP, _GAP), lines[:n_lines], _LABEL_SIZE, _WARNING)
    return box


def _page(
    rows: list[list[_Tile]],
    layout: Layout,
    title: str,
    number: int,
    pens: Mapping[str | None, Pen] | None,
) -> Image.Image:
    step = text.line_height(_LABEL_SIZE)
    tag_heights = [_TAG_HEIGHT * any(tile.tags for tile in row) for row in rows]
    heights = [
        max(tile.picture.height for tile in row)
        + _LABEL_GAP
        + tag_height
        + max(len(tile.label) for tile in row) * step
        + _GAP
        for row, tag_height in zip(rows, tag_heights, strict=True)
    ]
    width = layout.width_of(layout.columns) + 2 * _GAP
    heading = _heading(title, number, width - 2 * _GAP)
    top = _GAP + len(heading) * text.line_height(_TITLE_SIZE) + (_GAP if heading else 0)
    names = _legend(rows, pens, width)
    names_top = top
    top += names.height if names else 0
    page = Image.new("RGB", (width, top + sum(heights)), text.PAPER)
    text.write(page, (_GAP, _GAP), heading, _TITLE_SIZE)
    if names:
        page.paste(names.crop((0, 0, width, names.height)), (0, names_top))
    for row, tag_height, height in zip(rows, tag_heights, heights, strict=True):
        left = _GAP
        picture_height = max(tile.picture.height for tile in row)
        for tile in row:
            if tile.tags:
                _draw_border(page, (left, top), tile)
            page.paste(tile.picture, (left, top))
            below = top + picture_height + _LABEL_GAP
            _write_tags(page, (left, below), tile.tags)
            dark, faint = tile.label[: tile.n_dark_lines], tile.label[tile.n_dark_lines :]
            below = text.write(page, (left, below + tag_height), dark, _LABEL_SIZE)
            text.write(page, (left, below), faint, _LABEL_SIZE, text.FAINT)
            left += layout.width_of(tile.span) + _GAP
        top += height
    return page


def _legend(
    rows: list[list[_Tile]], pens: Mapping[str | None, Pen] | None, width: int
) -> Image.Image | None:
    """Draw the legend of a page: its raters if there are pens for several, and triangles."""
    tiles = [tile for row in rows for tile in row]
    shown = {rater for tile in tiles for rater in tile.raters}
    entries = [
        Entry(legend.name(rater), pen)
        for rater, pen in (pens or {}).items()
        if rater in shown and len(pens or {}) > 1
    ]
    if n_outside := sum(tile.n_outside for tile in tiles):
        entries.append(legend.outside(n_outside))
    return legend.draw([], entries, width)


def _heading(title: str, number: int, width: int) -> list[str]:
    if not title:
        return []
    return text.wrap(title if number == 1 else f"{title} - page {number}", _TITLE_SIZE, width)
