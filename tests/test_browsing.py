"""Datasette on a database, requested as a browser does."""

import datetime as dt
import http.client
import json
import re
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

import dirtmodel as dm
from dirtmodel import browse

PROGRAM = "from dirtmodel.cli import main; main()"
SCRIPT = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">"
CHROMIUM = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Site(NamedTuple):
    """A running server, and the file that it shows."""

    printed: str
    path: Path

    @property
    def address(self) -> str:
        return self.printed.partition("/?")[0]

    @property
    def token(self) -> str:
        return self.printed.partition("token=")[2]

    def named(self, page: str) -> str:
        """Return the address of a page with the token."""
        return f"{self.address}{page}{'&' if '?' in page else '?'}token={self.token}"

    def get(self, page: str) -> http.client.HTTPResponse:
        response: http.client.HTTPResponse = urllib.request.urlopen(  # noqa: S310 - our own server
            self.named(page), timeout=30
        )
        return response

    def text(self, page: str) -> str:
        with self.get(page) as response:
            return response.read().decode()


def _crossed(session: orm.Session) -> dm.Rating:
    """Make a verdict on an image that is judged by clicks and has none."""
    unreviewed = ~sa.exists().where(dm.Coordinate.img_id == dm.Image.id)
    image = session.scalars(
        sa.select(dm.Image).where(dm.Image.step == dm.Step.SURFACE_LOCALIZATION, unreviewed)
    ).first()
    session_of_step = sa.select(dm.Session).where(dm.Session.step == dm.Step.SURFACE_LOCALIZATION)
    return dm.Rating(
        image=image,
        session=session.scalars(session_of_step).first(),
        rating=dm.Ratings.FAIL,
        source_data_issue=False,
        created=dt.datetime(2025, 8, 1, tzinfo=dt.UTC),
    )


@pytest.fixture(scope="module")
def site(demo_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run `dirtmodel browse` on the demo, with markup in a note, a user and a file name."""
    path = tmp_path_factory.mktemp("browse") / "dirt.db"
    shutil.copy(demo_db, path)
    with dm.open(path, read_only=False) as session:
        for column in (dm.Rating.notes, dm.Session.user, dm.Image.file1):
            model = column.class_
            first = session.scalar(sa.select(sa.func.min(model.id)))
            setattr(session.get_one(model, first), column.key, SCRIPT)
        session.add(_crossed(session))
        session.commit()
    server = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "browse", "--db", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    assert server.stderr is not None
    try:
        yield Site(server.stdout.readline().strip(), path)
    finally:
        server.terminate()
        server.wait(30)
        server.stdout.close()
        server.stderr.close()


@pytest.fixture
def clicked(site: Site) -> int:
    """Return an image with a click that is not near the border."""
    with dm.open(site.path) as session:
        found = session.scalar(
            sa.select(sa.func.min(dm.Coordinate.img_id)).where(
                dm.Coordinate.x.between(30, 600), dm.Coordinate.y.between(30, 450)
            )
        )
    assert found is not None
    return found


def test_only_this_machine_is_served(site: Site) -> None:
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{43}", site.printed)
    port = int(site.address.rpartition(":")[2])
    others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), port)}
    for other in others - {"127.0.0.1", "127.0.1.1", "::1"}:
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((str(other), port), timeout=5)


def test_without_the_token_nothing_is_served(site: Site) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(site.address + "/dirt.json", timeout=30)  # noqa: S310 - our own server
    with caught.value as error:
        assert error.code == 403
        assert error.read().startswith(b"Open the address that `dirtmodel browse` printed")


@pytest.mark.parametrize(
    "page",
    [
        "/",
        "/-/pictures",
        "/dirt",
        "/dirt/image",
        "/dirt/review",
        "/dirt/session?_size=1",
        "/dirt/coverage",
        "/dirt/notes?word=a",
    ],
)
def test_pages_may_load_nothing_from_elsewhere(site: Site, page: str) -> None:
    with site.get(page) as response:
        assert response.status == 200
        policy = response.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert response.headers["x-content-type-options"] == "nosniff"


def test_tables_and_columns_are_described(site: Site) -> None:
    page = site.text("/dirt/review")
    assert "one row per review" in page
    assert "NULL: unknown, not one more rater" in page


class TestPictures:
    def test_are_named_in_a_page_but_not_in_it(self, site: Site, clicked: int) -> None:
        page = site.text(f"/dirt/image/{clicked}")
        assert f'src="/-/picture/{clicked}"' in page
        assert "iVBOR" not in page

    @pytest.mark.parametrize(
        "page",
        [
            "/dirt/image.json",
            "/dirt/image/1.json",
            "/dirt/image.csv",
            "/dirt/image.json?_shape=objects&_nl=on",
            "/dirt.json?sql=select+img+from+image",
            "/dirt.json?sql=select+hex(img)+from+image",
            "/dirt/image/1.blob?_blob_column=img",
        ],
    )
    def test_are_not_in_exports(self, site: Site, page: str) -> None:
        try:
            exported = site.text(page)
        except urllib.error.HTTPError as error:
            exported = error.read().decode()
        for marker in ("iVBOR", "R0lGOD", "89504E47", "\x89PNG", "base64"):
            assert marker not in exported

    def test_come_with_rings_when_asked_for(self, site: Site, clicked: int) -> None:
        with site.get(f"/-/picture/{clicked}") as response:
            assert response.headers["content-type"] == "image/png"
            shown = response.read()
        with dm.open(site.path) as session:
            original = session.scalar(sa.select(dm.Image.img).where(dm.Image.id == clicked))
        assert shown.startswith(b"\x89PNG")
        assert shown != original

    def test_without_clicks_are_the_original_bytes(self, site: Site) -> None:
        with dm.open(site.path) as session:
            image = session.scalars(
                sa.select(dm.Image)
                .where(~dm.Image.coordinates.any(), dm.Image.step == dm.Step.DTIFIT)
                .order_by(dm.Image.id)
            ).first()
            assert image is not None
            with site.get(f"/-/picture/{image.id}") as response:
                assert response.headers["content-type"] == "image/gif"
                assert response.read() == image.img

    def test_that_do_not_exist_are_not_found(self, site: Site) -> None:
        with pytest.raises(urllib.error.HTTPError) as caught:
            site.get("/-/picture/999999")
        with caught.value as error:
            assert (error.code, error.read()) == (404, b"There is no image 999999.\n")


@pytest.mark.parametrize(
    "page",
    [
        "/dirt/rating?_size=1",
        "/dirt/session?_size=1",
        "/dirt/image?_size=1",
        "/dirt/notes?word=owned",
        "/dirt/image/{rated}",
        "/dirt/target/{named}",
    ],
)
def test_markup_in_the_data_is_shown_as_text(site: Site, page: str) -> None:
    with dm.open(site.path) as session:
        rated = session.scalar(sa.select(dm.Rating.img_id).order_by(dm.Rating.id).limit(1))
        named = session.scalar(sa.select(dm.Target.id).where(dm.Target.file1 == SCRIPT))

    text = site.text(page.format(rated=rated, named=named))

    assert "&lt;script&gt;" in text
    assert SCRIPT not in text
    assert "<script>document.title" not in text


@pytest.mark.parametrize(
    "statement",
    ["delete from rating", "attach '/tmp/eve.db' as eve", "pragma query_only=off", "vacuum"],
)
def test_statements_only_read(site: Site, statement: str) -> None:
    before = site.path.read_bytes()
    query = urllib.parse.urlencode({"sql": statement})
    with pytest.raises(urllib.error.HTTPError) as caught:
        site.get(f"/dirt.json?{query}")
    caught.value.close()
    assert caught.value.code in {400, 403}
    assert site.path.read_bytes() == before


def test_the_file_cannot_be_downloaded(site: Site) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        site.get("/dirt.db")
    caught.value.close()
    assert caught.value.code in {403, 404}


def test_the_canned_exclusions_are_the_kit_s(site: Site) -> None:
    found = json.loads(site.text("/dirt/exclusions.json?_shape=array"))
    with dm.open(site.path) as session:
        expected = [tuple(map(str, row)) for row in dm.KitExclusions().run(session)]
    assert [tuple(map(str, row.values())) for row in found] == expected


def test_the_canned_coverage_is_that_of_the_command_line(site: Site) -> None:
    found = json.loads(site.text("/dirt/coverage.json?_shape=array"))
    with dm.open(site.path) as session:
        expected = [(c.step.name, c.n_images, c.n_reviewed) for c in dm.Coverage().run(session)]
    assert [tuple(row.values()) for row in found] == expected


@pytest.mark.parametrize("name", ["why", "exclusions", "notes", "coverage"])
def test_every_canned_query_has_a_page(site: Site, name: str) -> None:
    assert "Error" not in site.text(f"/dirt/{name}?sub=1&word=a")


def test_notes_are_found_with_names_for_numbers(site: Site) -> None:
    with dm.open(site.path) as session:
        review = session.scalars(sa.select(dm.Review).where(dm.Review.notes == "motion")).first()
        assert review is not None
        expected = (review.img_id, review.step.name)

    found = json.loads(site.text("/dirt/notes.json?word=motion&_shape=array"))

    assert expected in [(row["img_id"], row["step"]) for row in found]


def test_the_canned_why_shows_the_failed_pictures(site: Site) -> None:
    with dm.open(site.path) as session:
        failed = session.scalars(
            sa.select(dm.Review)
            .join(dm.Review.target)
            .where(dm.Review.verdict == dm.Ratings.FAIL, dm.Review.decides)
            .where(dm.Target.sub.is_not(None))
        ).all()
        sub = failed[0].target.sub
        expected = sorted(review.img_id for review in failed if review.target.sub == sub)

    found = json.loads(site.text(f"/dirt/why.json?sub={sub}&_shape=array"))

    assert sorted(row["img_id"] for row in found) == expected
    assert f'src="/-/picture/{expected[0]}"' in site.text(f"/dirt/why?sub={sub}")


def test_in_a_browser_pictures_show_and_scripts_do_not_run(
    site: Site, clicked: int, tmp_path: Path
) -> None:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("Chromium is not installed: pages were not opened in a browser")

    def dom(page: str) -> str:
        return subprocess.run(
            [
                program, *CHROMIUM, f"--user-data-dir={tmp_path / 'profile'}",
                "--virtual-time-budget=5000", "--dump-dom", site.named(page),
            ],
            capture_output=True, text=True, check=True, timeout=120,
        ).stdout  # fmt: skip

    poisoned = dom("/dirt/rating?_size=1")
    shown = dom(f"/dirt/image/{clicked}")
    assert "owned" not in re.findall(r"<title>(.*?)</title>", poisoned, re.DOTALL)[0]
    assert f'src="/-/picture/{clicked}"' in shown


class TestRefusals:
    def test_postgres_is_refused(self) -> None:
        with pytest.raises(
            dm.UsageError,
            match="browse shows SQLite files; make one from this database with: dirtmodel export",
        ):
            browse.check("postgresql://host/qc")

    def test_a_missing_file_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(dm.DatabaseError, match="there is no database at"):
            browse.check(tmp_path / "none.db")

    def test_a_port_in_use_is_refused(self) -> None:
        with browse.listen(0) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(dm.DatabaseError, match=rf"cannot listen on port {port}: .* --port"):
                browse.listen(port)
