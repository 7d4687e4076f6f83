"""The page of differences is one self-contained file in which all texts are escaped."""

import base64
import html.parser
import io
import re
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image as PillowImage

import dirtmodel as dm
from dirtmodel import sample
from dirtmodel.differences import page

NASTY = "<script>alert('x')</script>\"&"
VOID = {"meta", "img", "br"}


class Parsed(html.parser.HTMLParser):
    """Collects elements and texts; checks that every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def edited(tables: dict[str, pa.Table]) -> dict[str, pa.Table]:
    """Change every mask, fail every coregistration, and put markup into the raters' names."""
    rows = {name: table.to_pylist() for name, table in tables.items()}
    for image in rows["image"]:
        if image["step"] == 0:
            picture = PillowImage.open(io.BytesIO(image["img"])).rotate(90)
            out = io.BytesIO()
            picture.save(out, "PNG")
            image["img"] = out.getvalue()
    for session in rows["session"]:
        session["user"] = NASTY
    for rating in rows["rating"]:
        rating["rating"] = 2
        rating["notes"] = NASTY
    return {name: pa.Table.from_pylist(rows[name], table.schema) for name, table in tables.items()}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("page")
    tables = sample.make_tables(subjects=2, slices=1, picture_size=(64, 48), frames=4, reviewed=1.0)
    for name, made in (("old", tables), ("new", edited(tables))):
        release = sample.write_tables(made, folder / name)
        dm.load(release, folder / f"{name}.db", label=f"{name} {NASTY}")
    return folder / "old.db", folder / "new.db"


def written(places: tuple[Path, Path], **options: Any) -> str:
    out = io.BytesIO()
    with dm.diff(*places) as found:
        page.write(found, out, **options)
    return out.getvalue().decode()


@pytest.fixture(scope="module")
def text(places: tuple[Path, Path]) -> str:
    return written(places)


def test_the_page_refers_to_nothing_outside(text: str) -> None:
    elements = Parsed(text).elements

    links = [
        value
        for _, attributes in elements
        for name, value in attributes.items()
        if name in {"src", "href", "srcset", "action", "data"} and value is not None
    ]
    assert links
    assert all(link.startswith("data:image/webp;base64,") for link in links)
    assert "http" not in re.sub(r'(src="data:[^"]*"|http-equiv)', "", text)
    assert "url(" not in text
    assert "@import" not in text
    assert {"script", "link", "iframe"}.isdisjoint(tag for tag, _ in elements)


def test_everything_is_escaped_and_closed(text: str) -> None:
    parsed = Parsed(text)

    assert parsed.open == []
    assert "<script" not in text
    assert any(NASTY in said for said in parsed.text)
    assert all(
        not name.startswith("on") for _, attributes in parsed.elements for name in attributes
    )


def test_pictures_are_small_and_complete(text: str) -> None:
    found = re.findall(r'src="data:image/webp;base64,([^"]*)"', text)

    pictures = [PillowImage.open(io.BytesIO(base64.b64decode(data))) for data in found]
    assert len(pictures) > 10
    assert {picture.format for picture in pictures} == {"WEBP"}
    assert max(picture.width for picture in pictures) <= 420
    assert {getattr(picture, "n_frames", 1) for picture in pictures} >= {1, 2}


def test_old_and_new_pictures_are_side_by_side(text: str) -> None:
    old, new = (re.findall(rf'alt="image (\d+), {name}"', text) for name in ("old", "new"))

    assert old == new
    assert "picture changed" in text
    assert "newly excluded" in text


def test_pictures_that_are_left_out_are_counted(places: tuple[Path, Path], text: str) -> None:
    n_all = text.count("<article>")

    few = written(places, most_pictures=3)

    assert few.count("<article>") == 3
    assert f"Left out: {n_all - 3:,} pictures with differences." in few


def test_long_notes_are_shortened(places: tuple[Path, Path], tmp_path: Path) -> None:
    old, new = (tmp_path / path.name for path in places)
    for path, end in ((old, "old"), (new, "new")):
        shutil.copy(places[1], path)
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE rating SET notes = ? || ?", ("x" * 3_000, end))

    text = written((old, new))

    assert f">{'x' * 500}… (2,503 more characters)</td>" in text
    assert "x" * 501 not in text


def test_no_differences_make_a_page_too(places: tuple[Path, Path]) -> None:
    text = written((places[0], places[0]))

    assert Parsed(text).open == []
    assert "No verdict changed under this rule." in text
    assert "<article>" not in text
