"""Contact sheets: every picture in its place, in bounded memory."""

import gc
import io
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dirtmodel.draw import colours, decode, text
from dirtmodel.draw.rings import Click
from dirtmodel.draw.sheets import Cell, Layout, pages, save
from dirtmodel.draw.shrink import shrink
from dirtmodel.errors import UsageError

VERDICTS = {"FAIL": (0xD5, 0x5E, 0), "UNSURE": (0xF0, 0xE4, 0x42), "PASS": (0, 0x9E, 0x73)}
SMALL = Layout(columns=3, rows=2, tile_width=60, tile_height=45)


def png(colour: str = "navy", size: tuple[int, int] = (60, 45), mode: str = "RGBA") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def gif(*colours_: str, size: tuple[int, int] = (60, 45)) -> bytes:
    first, *rest = [Image.new("RGB", size, colour) for colour in colours_]
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=rest, duration=50)
    return buffer.getvalue()


def boxes(page: Image.Image, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Return the left, top, right and bottom edges of the pixels of one colour."""
    rows, columns = np.nonzero((np.asarray(page) == colour).all(axis=-1))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_pictures_come_in_reading_order() -> None:
    names = ["red", "lime", "blue", "yellow", "cyan", "magenta"]

    (page,) = pages([Cell(1, png(name)) for name in names], layout=SMALL)

    found = [(10, 10), (80, 10), (150, 10), (10, 69), (80, 69), (150, 69)]
    assert [page.getpixel((x + 30, y + 20)) for x, y in found] == [
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
        (255, 255, 0),
        (0, 255, 255),
        (255, 0, 255),
    ]


@pytest.mark.parametrize(("n_cells", "n_pages"), [(0, 0), (1, 1), (6, 1), (7, 2), (13, 3)])
def test_full_pages_are_followed_by_the_next(n_cells: int, n_pages: int) -> None:
    cells = (Cell(number, png(), ["label"]) for number in range(n_cells))
    assert len(list(pages(cells, layout=SMALL))) == n_pages


@pytest.mark.parametrize(
    ("size", "expected"),
    [((640, 480), (60, 45)), ((480, 640), (34, 45)), ((900, 100), (60, 7)), ((20, 10), (20, 10))],
)
def test_aspect_is_kept_and_nothing_is_enlarged(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    (page,) = pages([Cell(1, png("red", size))], layout=SMALL)

    left, top, right, bottom = boxes(page, (255, 0, 0))

    assert (right - left, bottom - top) == expected


def test_two_frames_stand_beside_each_other_in_two_tiles() -> None:
    (page,) = pages([Cell(1, gif("red", "lime")), Cell(2, png("blue"))], layout=SMALL)

    red, lime, blue = (boxes(page, c) for c in ((255, 0, 0), (0, 255, 0), (0, 0, 255)))

    assert red == (10, 10, 70, 55)
    assert lime == (73, 10, 133, 55)
    assert blue[0] == 150, "the third tile"


def test_a_strip_that_does_not_fit_starts_a_row() -> None:
    cells = [Cell(1, png("blue")), Cell(2, png("blue")), Cell(3, gif("red", "lime"))]

    (page,) = pages(cells, layout=SMALL)

    assert boxes(page, (255, 0, 0))[:2] == (10, 69)


def test_of_many_frames_three_are_shown_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(text, "write", lambda _i, _p, lines, *_: written.extend(lines) or 0)
    shades = [f"rgb({10 * number},0,0)" for number in range(1, 13)]

    (page,) = pages([Cell(1, gif(*shades), ["one"])], layout=Layout(1, 1, 300, 225))

    shown = [page.getpixel((x, 20))[0] for x in (20, 83, 146)]
    assert shown == [20, 40, 50]
    assert written == ["one", "frames 2, 4, 5 of 12"]


def test_even_one_column_holds_an_animation() -> None:
    (page,) = pages([Cell(1, gif("red", "lime", "blue"))], layout=Layout(1, 1, 60, 45))

    assert boxes(page, (0, 0, 255))[2] <= page.width - 10


def test_a_damaged_picture_becomes_an_empty_cell_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[str] = []
    monkeypatch.setattr(text, "write", lambda _i, _p, lines, *_: written.extend(lines) or 0)
    cells = [Cell(7, png()[:-9], ["seven"]), Cell(8, None, ["eight"]), Cell(9, png("lime"))]

    (page,) = pages(cells, layout=Layout(3, 1, 200, 150))

    said = " ".join(written)
    assert "image 7: the picture is truncated" in said
    assert "image 8: there is no picture in the database" in said
    assert "seven" in written
    assert "eight" in written
    assert page.getpixel((400 + 50, 20)) == (0, 255, 0)


def test_rings_are_drawn_at_the_scale_of_the_cell() -> None:
    cell = Cell(1, png("black", (600, 450)), clicks=[Click(300, 225)])

    (page,) = pages([cell], layout=Layout(1, 1, 300, 225))

    left, top, right, bottom = boxes(page, colours.GOLD)
    assert ((left + right) / 2 - 10, (top + bottom) / 2 - 10) == (150, 112.5)
    assert 12 <= right - left <= 18


@pytest.mark.parametrize(
    ("verdicts", "worst"),
    [
        (["PASS", "FAIL", "PASS"], "FAIL"),
        (["PASS", "UNSURE"], "UNSURE"),
        (["PASS"], "PASS"),
    ],
)
def test_the_worst_verdict_frames_the_picture(verdicts: list[str], worst: str) -> None:
    (page,) = pages([Cell(1, png(), verdicts=verdicts)], layout=SMALL)

    around = [page.getpixel(place) for place in ((8, 30), (71, 30), (40, 8), (40, 56))]
    assert around == [VERDICTS[worst]] * 4


def test_verdicts_are_counted_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(text, "write", lambda _i, _p, lines, *_: written.extend(lines) or 0)

    list(pages([Cell(1, png(), verdicts=["PASS", "RATING_3", "FAIL", "PASS"])], layout=SMALL))

    assert written == ["FAIL", "PASS 2"]


def test_triangles_are_explained_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(text, "write", lambda _i, _p, lines, *_: written.extend(lines) or 0)
    cells = [Cell(1, png(), clicks=[Click(-1, 5)]), Cell(2, png(), clicks=[Click(60, 5)])]

    list(pages(cells, layout=Layout.of_size(300), pens=colours.pens(["ann", None])))

    assert "2 clicks at or beyond the edge" in written


def test_a_picture_without_verdicts_has_no_frame() -> None:
    (page,) = pages([Cell(1, png())], layout=SMALL)

    assert page.getpixel((8, 8)) == text.PAPER


@pytest.mark.parametrize("size", [22, 300, 450, 640, 5000])
def test_pages_are_about_as_wide_whatever_the_size_of_tiles(size: int) -> None:
    layout = Layout.of_size(size)

    width = layout.width_of(layout.columns)
    assert (layout.tile_width, layout.columns >= 1) == (size, True)
    assert width <= 1850 or layout.columns == 1


def test_a_thin_contour_keeps_its_hue_when_shrunk() -> None:
    image = Image.new("RGBA", (600, 450), (150, 150, 150, 255))
    image.paste((76, 135, 76, 255), (300, 0, 302, 450))

    small = shrink(image, (150, 112))

    across = np.asarray(small)[50].astype(int)
    greenest = across[(across[:, 1] - across[:, 0]).argmax()]
    assert greenest[1] - greenest[0] > 150


@pytest.mark.parametrize("colour", [(120, 120, 120), (40, 60, 200)])
def test_pictures_without_lines_are_shrunk_normally(colour: tuple[int, int, int]) -> None:
    image = Image.new("RGBA", (600, 450), (*colour, 255))

    small = shrink(image, (150, 112))

    assert small.getcolors() == [(150 * 112, colour)]


def test_thin_parts_of_a_map_of_colours_keep_their_colour() -> None:
    image = Image.new("RGBA", (600, 450), (0, 0, 0, 255))
    image.paste((40, 60, 200, 255), (100, 100, 400, 400))
    image.paste((30, 60, 30, 255), (500, 0, 502, 450))

    small = shrink(image, (150, 112))

    assert np.asarray(small)[50, 120:130, 1].max() <= 60


def test_transparent_pixels_show_paper() -> None:
    (page,) = pages([Cell(1, png((9, 9, 9, 0)))], layout=SMALL)
    assert page.getpixel((30, 30)) == text.PAPER


def test_long_labels_stay_below_their_picture() -> None:
    label = ["word " * 80, "x" * 500]

    (page,) = pages([Cell(1, png(), label), Cell(2, png())], layout=SMALL, title="t" * 400)

    pixels = np.asarray(page)
    below_second = pixels[boxes(page, (0, 0, 128))[3] + 1 :, 75:]
    assert (below_second == text.PAPER).all()
    assert (pixels[:, -9:] == text.PAPER).all()
    assert (pixels[-5:] == text.PAPER).all()


def test_only_a_few_pictures_are_decoded_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    alive: set[int] = set()
    most = 0
    real = decode.open_picture

    def counting(data: bytes, img_id: int) -> Image.Image:
        nonlocal most
        image = real(data, img_id)
        alive.add(img_id)
        weakref.finalize(image, alive.discard, img_id)
        most = max(most, len(alive))
        return image

    monkeypatch.setattr(decode, "open_picture", counting)
    cells = (Cell(number, png("red", (200, 150))) for number in range(40))

    for _ in pages(cells, layout=Layout(10, 2, 60, 45)):
        gc.collect()

    assert most <= 8


def test_pages_are_made_as_they_are_asked_for() -> None:
    fetched = []

    def cells() -> Iterator[Cell]:
        for number in range(1000):
            fetched.append(number)
            yield Cell(number, png())

    next(pages(cells(), layout=SMALL))

    assert len(fetched) < 20


def test_one_page_keeps_the_name(tmp_path: Path) -> None:
    written = save(pages([Cell(1, png())], layout=SMALL), tmp_path / "failures.png")

    assert written == [tmp_path / "failures.png"]
    with Image.open(written[0]) as image:
        assert image.format == "PNG"


def test_several_pages_are_numbered(tmp_path: Path) -> None:
    cells = (Cell(1, png()) for _ in range(13))

    written = save(pages(cells, layout=SMALL), tmp_path / "failures.png")

    assert [path.name for path in written] == [f"failures-0{n}.png" for n in (1, 2, 3)]
    assert sorted(tmp_path.iterdir()) == written


def test_no_pages_write_nothing(tmp_path: Path) -> None:
    assert save(pages([]), tmp_path / "failures.png") == []
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        save(pages([Cell(1, png())], layout=SMALL), tmp_path / "missing" / "failures.png")


@pytest.mark.parametrize("layout", [(0, 1, 60, 45), (1, 0, 60, 45), (1, 1, 9, 45), (1, 1, 60, 9)])
def test_an_impossible_layout_is_refused(layout: tuple[int, int, int, int]) -> None:
    with pytest.raises(UsageError) as caught:
        Layout(*layout)
    assert str(caught.value) == (
        "a sheet needs at least one column, one row and tiles of 16 pixels"
    )
