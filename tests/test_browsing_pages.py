"""The pages that `dirtmodel browse` shows."""

import asyncio
import re
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

import dirtmodel as dm
from dirtmodel import browse
from dirtmodel.browse import describing

Get = Callable[[str], str]


@pytest.fixture(scope="module")
def get(demo_db: Path) -> Get:
    """Return the text of a page of the demo."""
    site = browse.application(demo_db)

    def text(page: str) -> str:
        response = asyncio.run(site.client.get(page))
        assert response.status_code == 200
        return str(response.text)

    return text


@pytest.fixture(scope="module")
def demo(demo_db: Path) -> Iterator[orm.Session]:
    with dm.open(demo_db) as session:
        yield session


def shown(page: str) -> list[int]:
    """Return the images whose pictures a page shows."""
    return [int(img_id) for img_id in re.findall(r'src="/-/picture/(\d+)"', page)]


def cuts(session: orm.Session, *conditions: Any) -> list[int]:
    """Return the ids of images in the order in which pages show them."""
    image, target = dm.Image, dm.Target
    statement = (
        sa.select(image.id)
        .join(image.target)
        .where(*conditions)
        .order_by(target.step, target.file1, image.display, image.slice, image.id)
    )
    return list(session.scalars(statement))


class TestTheStartPage:
    def test_begins_with_the_release_and_ends_with_the_tables(self, get: Get) -> None:
        page = get("/")

        places = [
            page.index(text)
            for text in (
                "<dt>Release</dt><dd>demo</dd>",
                describing.QUERIES["exclusions"]["title"],
                "Pictures with most FAILs and clicks",
                'href="/dirt/review_labels"',
                'href="/dirt/coordinate"',
            )
        ]
        assert places == sorted(places)

    def test_shows_pictures(self, get: Get) -> None:
        assert len(shown(get("/"))) == 6

    def test_counts_the_images_of_each_step(self, get: Get, demo: orm.Session) -> None:
        n_masks = demo.scalar(
            sa.select(sa.func.count()).select_from(dm.Image).where(dm.Image.step == dm.Step.MASK)
        )

        assert f'?step=MASK">MASK</a></td><td data-label="Images" class="n">{n_masks}<' in get("/")


class TestThePageOfAnImage:
    @pytest.fixture
    def review(self, demo: orm.Session) -> dm.Review:
        statement = sa.select(dm.Review).where(dm.Review.notes == "motion")
        return demo.scalars(statement.order_by(dm.Review.img_id)).first()  # type: ignore[return-value]

    def test_shows_it_in_full_size(self, get: Get, review: dm.Review) -> None:
        page = get(f"/dirt/image/{review.img_id}")

        picture = review.image.picture
        assert (
            f'<img src="/-/picture/{review.img_id}" alt="image {review.img_id} with its clicks" '
            f'width="{picture.width}" height="{picture.height}">'
        ) in page

    def test_shows_its_reviews_and_raters(self, get: Get, review: dm.Review) -> None:
        page = get(f"/dirt/image/{review.img_id}")

        assert f"</span>{review.rater or 'unknown'}</td>" in page
        assert "motion" in page
        assert f">{review.verdict.name if review.verdict is not None else ''}" in page

    def test_leads_to_the_pictures_of_its_derivative_participant_and_scan(
        self, get: Get, review: dm.Review
    ) -> None:
        page = get(f"/dirt/image/{review.img_id}")

        target = review.target
        assert f'href="/dirt/target/{target.id}"' in page
        assert f'href="/-/pictures?sub={target.sub}"' in page
        query = f"sub={target.sub}&amp;scan={target.scan}&amp;ses={target.ses}"
        assert f'href="/-/pictures?{query}"' in page

    def test_leads_through_all_images(self, get: Get, demo: orm.Session) -> None:
        in_order = cuts(demo, dm.Target.id <= 2)

        visited = in_order[:1]
        for _ in in_order[1:]:
            page = get(f"/dirt/image/{visited[-1]}")
            (after,) = re.findall(r'href="/dirt/image/(\d+)" rel="next"', page)
            visited.append(int(after))
        assert visited == in_order
        assert f'href="/dirt/image/{in_order[-2]}" rel="prev"' in get(f"/dirt/image/{in_order[-1]}")
        assert 'rel="prev"' not in get(f"/dirt/image/{in_order[0]}")


class TestPicturesTogether:
    def test_show_all_images_of_a_target(self, get: Get, demo: orm.Session) -> None:
        assert shown(get("/dirt/target/2")) == cuts(demo, dm.Target.id == 2)

    def test_show_all_images_of_a_scan(self, get: Get, demo: orm.Session) -> None:
        target = demo.scalars(sa.select(dm.Target).where(dm.Target.scan == "rest1")).first()
        assert target is not None
        query = {"sub": target.sub, "ses": target.ses, "scan": target.scan}

        page = get(f"/-/pictures?{urllib.parse.urlencode(query)}")

        same = (dm.Target.sub == target.sub, dm.Target.ses == target.ses)
        assert shown(page) == cuts(demo, *same, dm.Target.scan == "rest1")

    def test_come_page_by_page(self, get: Get, demo: orm.Session) -> None:
        expected = cuts(demo)

        first = get("/-/pictures")
        assert shown(first) == expected[:63]
        assert 'href="/-/pictures?from=63"' in first
        assert shown(get("/-/pictures?from=63")) == expected[63:126]

    def test_may_be_none(self, get: Get) -> None:
        assert "There are no such pictures." in get("/-/pictures?sub=99999")

    @pytest.mark.parametrize(
        ("query", "message"),
        [
            ("step=odd", "'odd' is not a step"),
            ("status=odd", "'odd' is not a status; choose one of excluded, kept, unreviewed"),
            ("from=x", "'x' is not a number of pictures"),
        ],
    )
    def test_refuse_conditions_that_cannot_be_read(
        self, demo_db: Path, query: str, message: str
    ) -> None:
        answer = asyncio.run(browse.application(demo_db).client.get(f"/-/pictures?{query}"))

        assert answer.status_code == 400
        assert answer.text.startswith(message)


class TestTables:
    def test_that_are_technical_are_hidden(self, get: Get) -> None:
        page = get("/dirt")

        assert 'href="/dirt/review"' in page
        for name in ("picture", "tally", "quarantine", "alembic_version"):
            assert f'href="/dirt/{name}"' not in page

    def test_show_names_beside_numbers(self, get: Get, demo: orm.Session) -> None:
        rating = demo.scalars(sa.select(dm.Rating).where(dm.Rating.rating == 2)).first()
        assert rating is not None

        assert "FAIL <em>2</em>" in get(f"/dirt/rating/{rating.id}")
        assert re.search(r">FAIL</a>\S*<em>2</em>", get("/dirt/rating?rating=2"))

    @pytest.mark.parametrize(
        ("page", "links"),
        [
            ("/dirt/review_labels", ["image", "target", "session"]),
            ("/dirt/image_labels", ["image", "target"]),
            ("/dirt?sql=select+img_id,+target_id+from+tally", ["image", "target"]),
        ],
    )
    def test_link_ids(self, get: Get, page: str, links: list[str]) -> None:
        text = get(page)

        for name in links:
            assert re.search(rf'<a href="/dirt/{name}/(\d+)">\1</a>', text)

    @pytest.mark.parametrize(
        ("page", "facet"),
        [
            ("/dirt/image", r'[?;]step=0"[^>]*>MASK</a> \d+'),
            ("/dirt/review", r'[?;]verdict=2"[^>]*>FAIL</a> \d+'),
            ("/dirt/target", r'[?;]sub=\d{5}"[^>]*>\d{5}</a> \d+'),
            ("/dirt/review_labels", r'[?;]sub=\d{5}"[^>]*>\d{5}</a> \d+'),
        ],
    )
    def test_have_facets_with_names_and_for_participants(
        self, get: Get, page: str, facet: str
    ) -> None:
        assert re.search(facet, get(page))

    def test_explain_why_a_picture_is_missing(self, get: Get) -> None:
        page = get("/dirt?sql=select+img+from+image")

        assert "<code>select id, img from image</code>" in page
