"""`diff` against a naive implementation, on small random releases in real databases."""

import collections
import datetime as dt
import io
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pytest
import sqlalchemy as sa
from hypothesis import strategies as st
from PIL import Image as PillowImage

import dirtmodel as dm
from dirtmodel import database, models
from dirtmodel.differences.rows import TABLES

Release = dict[str, dict[int, dict[str, Any]]]

# Collations and UTF-16 order these names differently than code points do.
NAMES = ("a", "B", "b", "Z_", "sub-1", "sub-01", "é", "\uffee", "\U0001f9e0")
MOMENTS = tuple(dt.datetime(2025, 7, day, 12, 0, 0, day, dt.UTC) for day in (1, 2))
PAIRED = ("changed", "rekeyed", "unchanged")


def png(shade: int, level: int) -> bytes:
    out = io.BytesIO()
    PillowImage.new("L", (2, 2), shade).save(out, "PNG", compress_level=level)
    return out.getvalue()


PICTURES = (png(0, 0), png(0, 9), png(255, 0))

ids = st.integers(1, 6)
moments = st.sampled_from(MOMENTS)
images = st.fixed_dictionaries(
    {
        "slice": st.sampled_from((None, 0, 1)),
        "file1": st.sampled_from(NAMES),
        "file2": st.sampled_from((None, "T1w")),
        "display": st.sampled_from((0, 2)),
        "step": st.sampled_from((3, 4)),
        "created": moments,
        "img": st.sampled_from(PICTURES),
    }
)
sessions = st.fixed_dictionaries(
    {"step": st.just(3), "user": st.sampled_from((None, "", "ann")), "created": moments}
)
ratings = st.fixed_dictionaries(
    {
        "source_data_issue": st.booleans(),
        "rating": st.sampled_from((0, 1, 2)),
        "img_id": ids,
        "session": ids,
        "notes": st.sampled_from((None, "NULL", "a\nb")),
        "created": moments,
    }
)
coordinates = st.fixed_dictionaries(
    {
        "source_data_issue": st.booleans(),
        "x": st.sampled_from((None, -0.28, float("inf"))),
        "y": st.sampled_from((None, 480.2)),
        "img_id": ids,
        "session": ids,
        "notes": st.none(),
        "created": moments,
    }
)


@st.composite
def releases(draw: st.DrawFn) -> Release:
    """Draw a release without dangling rows; only images without a slice share a key."""
    made: Release = {
        "session": draw(st.dictionaries(ids, sessions, max_size=3)),
        "image": {},
        "rating": {},
        "coordinate": {},
    }
    keys = set()
    for img_id, image in draw(st.dictionaries(ids, images, max_size=6)).items():
        if image["slice"] is None or key(image) not in keys:
            keys.add(key(image))
            made["image"][img_id] = image
    for table, rows in (("rating", ratings), ("coordinate", coordinates)):
        for row_id, row in draw(st.dictionaries(ids, rows, max_size=5)).items():
            if row["img_id"] in made["image"] and row["session"] in made["session"]:
                made[table][row_id] = row
    return made


def key(image: dict[str, Any]) -> tuple[Any, ...]:
    return image["step"], image["file1"], image["display"], image["slice"]


# -- the oracle: dictionaries without any order


def expected(old: Release, new: Release) -> dict[str, collections.Counter[str]]:
    pairs = paired_images(old["image"], new["image"])
    counts = {table: collections.Counter[str]() for table in TABLES}
    counts["image"]["removed"] = len(old["image"]) - len(pairs)
    counts["image"]["added"] = len(new["image"]) - len(pairs)
    for one, other in pairs.items():
        same = old["image"][one] == new["image"][other]
        counts["image"]["rekeyed" if one != other else "unchanged" if same else "changed"] += 1
    for table in ("session", "rating", "coordinate"):
        before = {(row_id, row["created"]): row for row_id, row in old[table].items()}
        after = {(row_id, row["created"]): row for row_id, row in new[table].items()}
        counts[table]["removed"] = len(before.keys() - after.keys())
        counts[table]["added"] = len(after.keys() - before.keys())
        for which in before.keys() & after.keys():
            one, other = dict(before[which]), dict(after[which])
            if "img_id" in one and pairs.get(one["img_id"]) == other["img_id"] != one["img_id"]:
                del one["img_id"], other["img_id"]
            counts[table]["unchanged" if one == other else "changed"] += 1
    return counts


def paired_images(old: dict[int, Any], new: dict[int, Any]) -> dict[int, int]:
    pairs = {i: i for i in old.keys() & new.keys() if key(old[i]) == key(new[i])}
    for one in sorted(old.keys() - pairs.keys()):
        taken = set(pairs.values())
        free = [i for i in sorted(new) if i not in taken and key(new[i]) == key(old[one])]
        if free:
            pairs[one] = free[0]
    return pairs


# -- the same releases in databases


def fill(url: sa.URL, release: Release) -> None:
    """Put the rows into an empty database, as another program would, and refresh it."""
    with database.engine(url).begin() as connection:
        for name in reversed(TABLES):
            connection.execute(sa.delete(models.Base.metadata.tables[name]))
        for name in TABLES:
            table = models.Base.metadata.tables[name]
            rows = [{"id": row_id, **row} for row_id, row in release[name].items()]
            if rows:
                connection.execute(sa.insert(table), rows)
    dm.refresh(url)


@pytest.fixture(scope="module")
def places(
    postgres_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[sa.URL, sa.URL]]:
    """Create an empty database on each engine."""
    server = database.parse_url(postgres_server)
    schema = server.update_query_dict({"options": "-csearch_path=oracle"})
    urls = database.parse_url(tmp_path_factory.mktemp("oracle") / "old.db"), schema
    with database.engine(server).begin() as connection:
        connection.execute(sa.text("CREATE SCHEMA oracle"))
    for url in urls:
        with database.engine(url).begin() as connection:
            database.migrate(connection)
    yield urls
    with database.engine(server).begin() as connection:
        connection.execute(sa.text("DROP SCHEMA oracle CASCADE"))


@hypothesis.settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
@hypothesis.given(old=releases(), new=releases(), data=st.data())
def test_counts_are_those_of_the_oracle(
    places: tuple[sa.URL, sa.URL], old: Release, new: Release, data: st.DataObject
) -> None:
    if data.draw(st.booleans(), label="most of it stays"):
        new = {table: {**old[table]} for table in TABLES} | {"session": {**old["session"]}}
        for table in ("rating", "coordinate"):
            for row_id in data.draw(st.sets(ids), label=f"gone from {table}"):
                new[table].pop(row_id, None)
    fill(places[0], old)
    fill(places[1], new)

    with dm.diff(*places) as found:
        counts = found.count()

    for table, oracle in expected(old, new).items():
        counted = {name: getattr(counts[table], name) for name in ("added", "removed", *PAIRED)}
        assert counted == {name: oracle[name] for name in counted}, table


@hypothesis.settings(max_examples=8, deadline=None)
@hypothesis.given(release=releases())
def test_a_release_does_not_differ_from_itself_on_another_engine(
    places: tuple[sa.URL, sa.URL], release: Release
) -> None:
    for place in places:
        fill(place, release)

    with dm.diff(*places) as found:
        assert not found.are_there()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (PICTURES[0], PICTURES[1], True),
        (PICTURES[0], PICTURES[2], False),
        (PICTURES[0], b"no picture", False),
    ],
)
def test_pixels_decide_what_is_re_encoded(one: bytes, other: bytes, *, same: bool) -> None:
    from dirtmodel.differences.pixels import show_the_same

    assert show_the_same(one, other, 1, 2) is same


def gif(shades: list[int], duration: int) -> bytes:
    frames = [PillowImage.new("L", (4, 4), shade) for shade in shades]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=duration)
    return out.getvalue()


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda: gif([0, 255], 500), True),
        (lambda: gif([0, 255], 400), False),
        (lambda: gif([0, 255, 90], 500), False),
        (lambda: gif([0, 254], 500), False),
    ],
    ids=["equal", "duration", "frames", "pixels"],
)
def test_every_frame_of_an_animation_counts(change: Callable[[], bytes], *, same: bool) -> None:
    from dirtmodel.differences.pixels import show_the_same

    assert show_the_same(gif([0, 255], 500), change(), 1, 1) is same
