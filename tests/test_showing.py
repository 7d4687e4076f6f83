"""Images of the ORM, sheets and heat maps in Python and in notebooks."""

import base64
import datetime as dt
import html.parser
import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image as PillowImage
from sqlalchemy import orm

import dirtmodel as dm
from dirtmodel import models
from dirtmodel.draw import encode
from dirtmodel.draw.colours import pens
from dirtmodel.draw.sheets import Layout
from dirtmodel.errors import DatabaseError, OutputError, PictureError, UsageError
from dirtmodel.models.notebook import _drawing
from dirtmodel.pictures import fetch
from dirtmodel.pictures.thumbnails import thumbnails

HOSTILE = "\"><script>alert('é')</script>&"


def of_format(db: orm.Session, form: str) -> dm.Image:
    statement = sa.select(dm.Image).join(dm.Picture).where(dm.Picture.format == form)
    return db.scalars(statement.order_by(dm.Image.id).limit(1)).one()


def pixels(data: bytes) -> np.ndarray:
    with PillowImage.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGBA"))


def test_an_image_opens_with_all_its_frames(db: orm.Session) -> None:
    gif = of_format(db, "GIF")

    opened = gif.open()

    assert (opened.format, opened.n_frames) == ("GIF", 2)
    assert gif.picture is not None
    assert opened.size == (gif.picture.width, gif.picture.height)


def test_an_annotated_image_holds_the_picture_and_more(db: orm.Session) -> None:
    png = of_format(db, "PNG")

    annotated = png.annotated()

    assert annotated.width >= png.open().width
    assert annotated.height > png.open().height


def test_a_png_shows_as_png_only(db: orm.Session) -> None:
    png = of_format(db, "PNG")

    shown = png._repr_png_()

    assert shown is not None
    np.testing.assert_array_equal(pixels(shown), np.asarray(png.annotated().convert("RGBA")))
    assert png._repr_html_() is None


def test_an_animation_shows_as_html_only(db: orm.Session) -> None:
    gif = of_format(db, "GIF")

    shown = gif._repr_html_()

    assert gif._repr_png_() is None
    match = re.fullmatch(
        r'<img src="data:image/png;base64,([\w+/=]+)" alt="([^"<>]+)">', shown or ""
    )
    assert match is not None
    with PillowImage.open(io.BytesIO(base64.b64decode(match[1]))) as image:
        assert (image.format, image.n_frames) == ("PNG", 2)
    assert match[2].startswith("FMAP_COREGISTRATION, sub-")


def image_of(img: bytes) -> dm.Image:
    return dm.Image(
        id=7,
        img=img,
        file1=HOSTILE,
        step=dm.Step.DTIFIT,
        display=dm.DisplayMode.Z,
        ratings=[
            models.Rating(
                id=1,
                rating=dm.Ratings.FAIL,
                notes=HOSTILE,
                source_data_issue=False,
                session=dm.Session(id=1, user=HOSTILE),
                created=dt.datetime(2025, 7, 1, tzinfo=dt.UTC),
            )
        ],
    )


def gif_bytes(n_colours: int = 2) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    frames = [PillowImage.fromarray(noise ^ n).quantize(n_colours) for n in range(2)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=100)
    return buffer.getvalue()


class Tags(html.parser.HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, list[str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, [name for name, _ in attrs]))


@pytest.mark.parametrize("img", [gif_bytes(), gif_bytes()[:-30], b""], ids=["gif", "torn", "empty"])
def test_texts_of_the_database_are_escaped(img: bytes) -> None:
    shown = image_of(img)._repr_html_()

    assert shown is not None
    (tag,) = Tags(shown).found
    assert tag in [("img", ["src", "alt"]), ("pre", [])]
    assert "&lt;script&gt;" in shown


def test_a_notebook_shows_why_a_picture_is_damaged() -> None:
    image = image_of(b"\x89PNG\r\n\x1a\n")

    assert image._repr_png_() is None
    assert (image._repr_html_() or "").endswith(
        "\nimage 7: the picture is truncated (nothing after 8 bytes); "
        "`dirtmodel check --decode RELEASE` lists every such picture of a release</pre>"
    )
    with pytest.raises(PictureError, match=r"^image 7: the picture is truncated"):
        image.open()
    with pytest.raises(PictureError, match=r"^image 7: the picture is truncated"):
        image.annotated()


def test_an_image_without_its_session_explains_what_is_missing(loaded_url: sa.URL) -> None:
    with dm.open(loaded_url) as db:
        image = of_format(db, "PNG")
    message = (
        f"image {image.id} has lost its database, whose session is closed; look at pictures "
        "before you close it"
    )

    with pytest.raises(DatabaseError) as caught:
        image.open()

    assert str(caught.value) == message
    assert image._repr_png_() is None
    assert message in (image._repr_html_() or "")


def test_models_import_neither_pillow_nor_numpy() -> None:
    code = "import sys, dirtmodel.models; print({'PIL', 'numpy'} & set(sys.modules))"

    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )

    assert result.stdout == "set()\n"


def test_a_sheet_accepts_images_rows_ids_and_queries(db: orm.Session) -> None:
    question = dm.Images(step=dm.Step.MASK, slice=1)
    rows = question.run(db)
    ids = [row.id for row in rows]
    images = [db.get_one(dm.Image, img_id) for img_id in ids]

    sheets = [
        dm.sheet(db, images, title="mask"),
        dm.sheet(db, rows, title="mask"),
        dm.sheet(db, ids, title="mask"),
        dm.sheet(db, question, title="mask"),
    ]

    pages = [[page.tobytes() for page in sheet] for sheet in sheets]
    assert pages[0] == pages[1] == pages[2] == pages[3]
    assert [len(sheet) for sheet in sheets] == [len(ids)] * 4


def test_a_sheet_keeps_the_order_of_its_images(db: orm.Session) -> None:
    ids = [row.id for row in dm.Images(step=dm.Step.MASK, slice=1).run(db)][:3]

    forwards, backwards = dm.sheet(db, ids), dm.sheet(db, ids[::-1])

    assert [image.id for image in backwards.images] == [image.id for image in forwards.images][::-1]


def test_a_notebook_shows_the_first_page(db: orm.Session) -> None:
    sheet = dm.sheet(db, dm.Images(step=dm.Step.MASK), layout=Layout(2, 2, 60, 45))

    first, *others = sheet

    assert others
    np.testing.assert_array_equal(pixels(sheet._repr_png_()), np.asarray(first.convert("RGBA")))
    assert repr(sheet) == f"<Sheet of {len(sheet)} images: step mask: {len(sheet)} images>"


def test_pages_are_numbered_and_not_overwritten(db: orm.Session, tmp_path: Path) -> None:
    sheet = dm.sheet(db, dm.Images(step=dm.Step.MASK), layout=Layout(2, 2, 60, 45))
    done: list[int] = []

    paths = sheet.save(tmp_path / "mask.png", progress=done.append)

    assert [path.name for path in paths[:2]] == ["mask-01.png", "mask-02.png"]
    assert sum(done) == len(sheet)
    with pytest.raises(OutputError, match=r"mask-01\.png .* exists already"):
        sheet.save(tmp_path / "mask.png")


def test_a_sheet_needs_images(db: orm.Session) -> None:
    with pytest.raises(UsageError) as caught:
        dm.sheet(db, [])
    assert str(caught.value) == "there is no image to look at; the list of images is empty"


def test_a_sheet_names_what_is_not_an_image(db: orm.Session) -> None:
    excluded = dm.Exclusions(step="mask").run(db)

    with pytest.raises(UsageError) as caught:
        dm.sheet(db, excluded)  # type: ignore[arg-type]  # a mistake that is easy to make

    assert str(caught.value) == (
        "Exclusion is not an image; ask for images with dm.Images(…), or list their ids, such as "
        "the image_ids of an exclusion"
    )


def test_the_database_is_a_session_a_path_or_a_url(db: orm.Session, loaded_url: sa.URL) -> None:
    img_id = of_format(db, "PNG").id
    places = [db, loaded_url]
    if loaded_url.get_backend_name() == "sqlite":
        places += [Path(str(loaded_url.database)), str(loaded_url.database)]

    drawn = {dm.image(place, img_id).encode() for place in places}
    pages = {encode.png(next(iter(dm.sheet(place, [img_id])))) for place in places}

    assert (len(drawn), len(pages)) == (1, 1)


def test_a_rater_has_one_colour_in_all_pictures(
    db: orm.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    monkeypatch.setattr(
        "dirtmodel.draw.sheets.pages", lambda _cells, pens, **_: drawn.append(pens) or ()
    )
    sittings = db.execute(sa.select(dm.Session.user).order_by(dm.Session.id))
    expected = pens(sittings.scalars())

    for form in ("PNG", "GIF"):
        image = of_format(db, form)
        drawn += [dm.image(db, image.id).notes.pens, _drawing(image).notes.pens]
    list(dm.sheet(db, [image]))

    assert len(expected) > 2
    assert [dict(one) for one in drawn] == [expected] * 5


def test_pens_of_pseudonyms_follow_their_numbers(loaded_url: sa.URL) -> None:
    with dm.open(loaded_url) as db:
        dm.use_pseudonyms(db, b"key")
        names = list(fetch.pens_of(db))

    assert names[-1] is None
    assert names[:-1] == [f"rater-{number:02}" for number in range(1, len(names))]


def test_thumbnails_are_small_and_keep_the_order(db: orm.Session) -> None:
    ids = [of_format(db, form).id for form in ("GIF", "PNG")]

    found = list(thumbnails(db, ids, size=(40, 40)))

    assert [one.image.id for one in found] == ids
    for one in found:
        with PillowImage.open(io.BytesIO(one.webp or b"")) as image:
            assert (image.format, max(image.size)) == ("WEBP", 40)
            assert image.n_frames == (2 if one.image.format == "GIF" else 1)
        assert {review.img_id for review in one.reviews} <= {one.image.id}


def test_a_heat_map_of_one_rater_counts_their_reviews_only(
    db: orm.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    monkeypatch.setattr(
        "dirtmodel.draw.heatmaps.draw", lambda found, title: drawn.append((found, title))
    )
    clicks = db.execute(
        sa.select(models.Coordinate, dm.Image, dm.Session.user)
        .join(dm.Image, dm.Image.id == models.Coordinate.img_id)
        .join(dm.Session, dm.Session.id == models.Coordinate.session_id)
        .where(dm.Image.step == dm.Step.MASK, dm.Image.display == dm.DisplayMode.Y)
    ).all()
    rater = next(user for _, _, user in clicks if user)
    cut = {"step": dm.Step.MASK, "display": dm.DisplayMode.Y}

    dm.heatmap(db, **cut)
    dm.heatmap(db, **cut, rater=rater)

    for (found, title), who in zip(drawn, (None, rater), strict=True):
        chosen = [(c, i) for c, i, user in clicks if who in {None, user}]
        placed = [c for c, _ in chosen if c.x is not None and c.y is not None]
        assert list(found.panels) == sorted({image.slice for _, image in chosen})
        assert found.total("n_pictures") == len({image.id for _, image in chosen})
        assert found.total("n_reviews") == len({(image.id, c.session_id) for c, image in chosen})
        assert found.total("n_clicks") == sum(np.isfinite([c.x, c.y]).all() for c in placed)
        assert title == "MASK, display Y, all slices" + (f", {who}" if who else "")


def test_extract_can_be_called_from_python(db: orm.Session, tmp_path: Path) -> None:
    image = of_format(db, "GIF")

    (path,) = dm.extract(db, [image], tmp_path)

    assert path.read_bytes() == image.img
