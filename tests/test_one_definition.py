"""All commands and queries report the same reviews, clicks, raters and verdicts, on both engines.

One release has every known irregularity. The expected values are counted in plain Python from the
rows of its files.
"""

import collections
import datetime as dt
import io
import itertools
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
import sqlalchemy as sa
from sqlalchemy import orm

import dirtmodel as dm
from dirtmodel import database, sample
from dirtmodel.differences import page
from dirtmodel.models.notebook import _drawing
from dirtmodel.queries.images import Clicks, Reviews

JUDGED_BY_CLICKS = {0, 1, 2}
VERDICTS = ("PASS", "UNSURE", "FAIL")
NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)

Row = dict[str, Any]
Tables = dict[str, list[Row]]
Findings = collections.Counter[tuple[str, str]]
"""How often a rater (`unknown` without a user) found something on an image."""


# -- the release


def make_tables() -> dict[str, pa.Table]:
    """Make the sample release with all hazards, and add further irregularities."""
    tables = sample.make_tables(slices=2, pictures="tiny", reviewed=0.4)
    schemas = {name: table.schema for name, table in tables.items()}
    rows = {name: table.to_pylist() for name, table in tables.items()}
    ids = itertools.count(900_001)
    sessions = {
        (name, n): next(ids) for name in ("ann", "bob", None) for n in range(2 if name else 3)
    }
    rows["session"] += [
        {"id": id_, "step": 0, "user": name, "created": NOON} for (name, _), id_ in sessions.items()
    ]
    reviewed = {row["img_id"] for table in ("rating", "coordinate") for row in rows[table]}
    image = {
        step: next(
            row["id"]
            for row in rows["image"]
            if row["step"] == step and (row["id"] not in reviewed or step == 3)
        )
        for step in (0, 1, 3, 4)
    }

    def add(table: str, who: tuple[str | None, int], step: int, after: float, **cells: Any) -> None:
        moment = NOON + dt.timedelta(seconds=after)
        empty = {"source_data_issue": False, "notes": None}
        empty |= {"rating": 0} if table == "rating" else {"x": None, "y": None}
        where = {"img_id": image[step], "session": sessions[who], "created": moment}
        rows[table].append({**empty, **where, **cells, "id": next(ids)})

    # Two verdicts of one rater at the same moment, in two sessions: the later id is the latest.
    for session, verdict in ((1, 2), (0, 0)):
        add("rating", ("ann", session), 4, 0, rating=verdict)
    # A verdict sent twice, and a changed mind in the same session.
    for after, verdict in ((0, 1), (0.18, 1), (40, 2)):
        add("rating", ("bob", 0), 3, after, rating=verdict, source_data_issue=verdict == 2)
    # Sessions without a user are raters of their own.
    for session in range(3):
        add("rating", (None, session), 3, session, rating=session)
        add("coordinate", (None, session), 0, session, x=1.0, y=2.0)
    # A set with a note on its first row, and a problem of the source data on its second.
    add("coordinate", ("ann", 0), 0, 0, x=5.0, y=6.0, notes="only on the first row")
    add("coordinate", ("ann", 0), 0, 1e-6, x=7.0, y=8.0, source_data_issue=True)
    add("coordinate", ("ann", 0), 0, 2e-6, x=math.inf, y=-0.28)
    # Two sets of one rater that end at the same moment; half points only in the later one.
    add("coordinate", ("bob", 0), 1, 0, x=1.0, y=1.0)
    add("coordinate", ("bob", 1), 1, 0, x=3.0, y=None)
    add("coordinate", ("bob", 1), 1, 0, x=None, y=3.0)
    # Reviews of the kind that does not decide: beside deciding ones, and alone.
    add("rating", ("ann", 0), 0, 3, rating=2, notes="a verdict on a mask")
    add("coordinate", ("ann", 1), 3, 4, x=9.0, y=9.0)
    add("coordinate", ("ann", 1), 3, 4, x=None, y=9.0)
    return {name: pa.Table.from_pylist(rows[name], schema) for name, schema in schemas.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the release, with rows that are NULL throughout at the end of each file."""
    return sample.write_tables(make_tables(), tmp_path_factory.mktemp("irregular"), empty_rows=3)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def url(
    request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[sa.URL]:
    """Return the URL of the loaded release, on each engine."""
    if request.param == "sqlite":
        place = database.parse_url(tmp_path_factory.mktemp("one") / "dirt.db")
        dm.load(folder, place)
        yield place
        return
    server = database.parse_url(request.getfixturevalue("postgres_server"))
    place = server.update_query_dict({"options": "-csearch_path=one_definition"})
    dm.load(folder, place)
    yield place
    with database.engine(server).begin() as connection:
        connection.execute(sa.text("DROP SCHEMA one_definition CASCADE"))


@pytest.fixture
def db(url: sa.URL) -> Iterator[orm.Session]:
    with dm.open(url) as session:
        yield session


# -- what is expected, counted naively


class Naive(NamedTuple):
    """A review by its definition: a rating, or one session's clicks on one image."""

    img_id: int
    kind: str
    id: int
    session: int
    rater: str | None
    created: dt.datetime
    verdict: str | None
    n_clicks: int | None
    source_data_issue: bool
    decides: bool
    notes: str | None

    @property
    def finding(self) -> str:
        if self.verdict is not None:
            return self.verdict
        if not self.n_clicks:
            return "nothing wrong"
        return f"{self.n_clicks} click{'' if self.n_clicks == 1 else 's'}"


class Expected:
    """Return all reviews of the release."""

    def __init__(self, tables: Tables) -> None:
        self.images = tables["image"]
        self.step = {image["id"]: image["step"] for image in self.images}
        user = {session["id"]: session["user"] for session in tables["session"]}
        sets: dict[tuple[int, int], list[Row]] = {}
        for row in tables["coordinate"]:
            sets.setdefault((row["img_id"], row["session"]), []).append(row)
        groups = [("rating", [row]) for row in tables["rating"]]
        groups += [("coordinate", rows) for rows in sets.values()]
        self.reviews = [self._review(kind, rows, user) for kind, rows in groups]
        self.reviews.sort(key=lambda r: (r.img_id, r.created, r.kind, r.id))

    def _review(self, kind: str, rows: list[Row], user: dict[int, str | None]) -> Naive:
        rows = sorted(rows, key=lambda row: (row["created"], row["id"]))
        last = rows[-1]
        by_clicks = self.step[last["img_id"]] in JUDGED_BY_CLICKS
        is_rating = kind == "rating"
        return Naive(
            img_id=last["img_id"],
            kind=kind,
            id=last["id"],
            session=last["session"],
            rater=user[last["session"]],
            created=last["created"],
            verdict=VERDICTS[last["rating"]] if is_rating else None,
            n_clicks=None if is_rating else sum(None not in {r["x"], r["y"]} for r in rows),
            source_data_issue=any(row["source_data_issue"] for row in rows),
            decides=is_rating != by_clicks,
            notes=next((row["notes"] for row in reversed(rows) if row["notes"]), None),
        )

    def of(self, img_id: int, *, decides: bool = True) -> list[Naive]:
        return [r for r in self.reviews if r.img_id == img_id and r.decides == decides]

    def latest(self, img_id: int) -> list[Naive]:
        """Return each rater's last deciding review; a session without a user is one rater."""
        last: dict[Any, Naive] = {}
        for review in sorted(self.of(img_id), key=lambda r: (r.created, r.id)):
            last[(review.rater, None if review.rater else review.session)] = review
        return list(last.values())

    def findings(self, img_id: int) -> Findings:
        return collections.Counter((r.finding, r.rater or "unknown") for r in self.of(img_id))

    def targets(self) -> dict[tuple[int, str], list[int]]:
        found: dict[tuple[int, str], list[int]] = {}
        for image in self.images:
            found.setdefault((image["step"], image["file1"]), []).append(image["id"])
        return found


@pytest.fixture(scope="module")
def expected(folder: Path, read_release: Any) -> Expected:
    return Expected(read_release(folder))


def raters(reviews: list[Naive]) -> set[str]:
    return {review.rater for review in reviews if review.rater is not None}


def counts(reviews: list[Naive]) -> Row:
    """Add reviews up as `tally` and `Exclusions` do."""
    verdicts = [review.verdict for review in reviews]
    return {
        "n_pass": verdicts.count("PASS"),
        "n_unsure": verdicts.count("UNSURE"),
        "n_fail": verdicts.count("FAIL"),
        "n_clicks": sum(review.n_clicks or 0 for review in reviews),
    }


def is_bad(reviews: list[Naive]) -> bool:
    return any(review.verdict == "FAIL" or review.n_clicks for review in reviews)


def test_the_release_has_the_irregularities(expected: Expected) -> None:
    by_image = collections.Counter((r.img_id, r.rater) for r in expected.reviews if r.rater)
    clicks = [r for r in expected.reviews if r.kind == "coordinate"]

    assert max(by_image.values()) > 2
    assert any(len(expected.latest(i["id"])) < len(expected.of(i["id"])) for i in expected.images)
    assert any(not expected.of(i["id"]) for i in expected.images)
    assert {(r.kind, r.decides) for r in expected.reviews} == set(
        itertools.product(("rating", "coordinate"), (True, False))
    )
    assert {0, 1, 3} <= {r.n_clicks for r in clicks}
    assert "only on the first row" in {r.notes for r in clicks}
    assert sum(r.rater is None for r in expected.reviews) > 6


# -- SQL and the ORM


def test_the_table_review(db: orm.Session, expected: Expected) -> None:
    columns = [dm.Review.__table__.c[name] for name in Naive._fields]
    rows = db.execute(sa.select(*columns).order_by("img_id", "created", "kind", "id"))

    found = [Naive._make(row) for row in rows]

    assert found == [
        r._replace(verdict=None if r.verdict is None else dm.Ratings[r.verdict])
        for r in expected.reviews
    ]


def test_the_latest_reviews(db: orm.Session, expected: Expected) -> None:
    found = db.execute(sa.select(dm.Review.kind, dm.Review.id).where(dm.Review.latest))

    latest = [r for image in expected.images for r in expected.latest(image["id"])]
    assert sorted(map(tuple, found)) == sorted((r.kind, r.id) for r in latest)


def test_the_view_of_reviews(db: orm.Session, expected: Expected) -> None:
    rows = db.execute(
        sa.text("SELECT img_id, kind, id, session, rater, verdict, n_clicks FROM review_labels")
    )

    assert sorted(map(repr, map(tuple, rows))) == sorted(
        repr((r.img_id, r.kind, r.id, r.session, r.rater, r.verdict, r.n_clicks))
        for r in expected.reviews
    )


def test_reviews_of_the_orm(db: orm.Session, expected: Expected) -> None:
    for image in db.scalars(sa.select(dm.Image)):
        naive = [*expected.of(image.id), *expected.of(image.id, decides=False)]
        assert sorted((r.kind, r.id) for r in image.reviews) == sorted(
            (r.kind, r.id) for r in naive
        )
    for session in db.scalars(sa.select(dm.Session)):
        naive = [r for r in expected.reviews if r.session == session.id]
        assert len(session.reviews) == len(naive)


def test_the_table_tally(db: orm.Session, expected: Expected) -> None:
    found = {row.img_id: row for row in db.execute(sa.select(dm.models.Tally.__table__))}

    assert found.keys() == expected.step.keys()
    for img_id, row in found.items():
        reviews = expected.of(img_id)
        assert row.n_reviews == len(reviews)
        assert {name: getattr(row, name) for name in counts(reviews)} == counts(reviews)
        assert row.n_source_data_issues == sum(r.source_data_issue for r in reviews)


def test_the_queries_of_images(db: orm.Session, expected: Expected) -> None:
    ids = list(expected.step)

    reviews, clicks = Reviews(ids).run(db), Clicks(ids).run(db)

    assert [(r.img_id, r.kind, r.id, r.decides) for r in reviews] == [
        (r.img_id, r.kind, r.id, r.decides) for r in expected.reviews
    ]
    assert collections.Counter((c.img_id, c.session_id) for c in clicks) == {
        (r.img_id, r.session): r.n_clicks for r in expected.reviews if r.n_clicks
    }


# -- pictures


def parse(line: str) -> tuple[int, Findings, int]:
    """Parse a summary: number of reviews, findings by rater, reviews that do not decide."""
    text, others = re.fullmatch(
        r"(.*?)(?: \((\d+) reviews? of the other kind .*\))?", line
    ).groups()
    if text == "not reviewed":
        return 0, collections.Counter(), int(others or 0)
    n_reviews, rest = re.fullmatch(r"(\d+) reviews?: (.*)", text).groups()
    findings: Findings = collections.Counter()
    starts = "|".join((*VERDICTS, r"nothing wrong", r"\d+ clicks?", r"source data issue seen"))
    for part in re.split(rf", (?=(?:{starts})(?: each)? by )", rest):
        what, names = re.fullmatch(r"(.*?)(?: each)? by (.*)", part).groups()
        if what == "source data issue seen":
            continue
        for name in re.split(r", | and ", names):
            who, times = re.fullmatch(r"(.*?)(?: \((\d+) times\))?", name).groups()
            findings[what, who] += int(times or 1)
    return int(n_reviews), findings, int(others or 0)


def summary(expected: Expected, img_id: int) -> tuple[int, Findings, int]:
    n_others = len(expected.of(img_id, decides=False))
    return len(expected.of(img_id)), expected.findings(img_id), n_others


def drawn_clicks(expected: Expected, img_id: int) -> int:
    return sum(review.n_clicks or 0 for review in expected.of(img_id))


def summary_of(caption: list[str]) -> str:
    (line,) = (line for line in caption if re.match(r"not reviewed|\d+ reviews?: ", line))
    return line


def test_captions_of_the_orm(db: orm.Session, expected: Expected) -> None:
    for image in db.scalars(sa.select(dm.Image)):
        notes = _drawing(image).notes

        assert parse(summary_of(notes.caption)) == summary(expected, image.id)
        assert len(notes.clicks) == drawn_clicks(expected, image.id)


def test_captions_of_single_pictures(
    db: orm.Session, expected: Expected, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[int, Any] = {}
    monkeypatch.setattr(
        "dirtmodel.draw.annotate.annotate",
        lambda _data, notes, *, img_id, **_options: drawn.update({img_id: notes}),
    )

    for img_id in expected.step:
        dm.image(db, img_id).encode()

    for img_id, notes in drawn.items():
        assert parse(summary_of(notes.caption)) == summary(expected, img_id)
        assert len(notes.clicks) == drawn_clicks(expected, img_id)
        place = notes.caption.index(summary_of(notes.caption))
        noted = [r.rater or "unknown" for r in expected.reviews if r.img_id == img_id and r.notes]
        assert [line.partition(": ")[0] for line in notes.caption[place + 1 :]] == noted
    assert drawn.keys() == expected.step.keys()


def test_labels_of_sheets(
    db: orm.Session, expected: Expected, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells: list[Any] = []
    monkeypatch.setattr(
        "dirtmodel.draw.sheets.pages", lambda given, **_options: cells.extend(given) or ()
    )

    list(dm.sheet(db, list(expected.step)))

    for cell in cells:
        *_, said = cell.label
        assert parse(said.removeprefix(f"image {cell.img_id}: ")) == summary(expected, cell.img_id)
        assert len(cell.clicks) == drawn_clicks(expected, cell.img_id)
    assert len(cells) == len(expected.step)


@pytest.mark.parametrize("latest", [False, True])
@pytest.mark.parametrize("step", sorted(JUDGED_BY_CLICKS))
def test_heat_maps(
    db: orm.Session,
    expected: Expected,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
    latest: bool,
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr("dirtmodel.draw.heatmaps.draw", lambda found, **_: drawn.append(found))
    chosen = [i["id"] for i in expected.images if i["step"] == step and i["display"] == 1]
    reviews = [r for i in chosen for r in (expected.latest(i) if latest else expected.of(i))]

    dm.heatmap(db, step=step, display=1, latest=latest)

    (found,) = drawn
    assert found.total("n_reviews") == len(reviews)
    assert found.total("n_pictures") == len({review.img_id for review in reviews})
    sessions = {(review.img_id, review.session) for review in reviews}
    clicks = [c for c in Clicks(chosen).run(db) if (c.img_id, c.session_id) in sessions]
    assert len(clicks) == sum(review.n_clicks or 0 for review in reviews)
    # A click at infinity counts, but has no place on the map.
    assert found.total("n_clicks") == sum(math.isfinite(c.x) and math.isfinite(c.y) for c in clicks)


# -- differences


def clicks(n: int) -> str:
    return {0: "nothing wrong", 1: "1 click"}.get(n, f"{n} clicks")


def test_the_gallery_of_the_page_of_differences(
    url: sa.URL, expected: Expected, tmp_path: Path
) -> None:
    unreviewed = make_tables()
    unreviewed |= {name: unreviewed[name][:0] for name in ("rating", "coordinate")}
    dm.load(sample.write_tables(unreviewed, tmp_path / "unreviewed"), tmp_path / "old.db")
    out = io.BytesIO()

    with dm.diff(tmp_path / "old.db", url) as found:
        page.write(found, out, most_pictures=len(expected.step))

    captions = dict(
        re.findall(
            r"new, image (\d+)</span>\n(.*?)</figcaption>", out.getvalue().decode(), re.DOTALL
        )
    )
    assert set(map(int, captions)) == {review.img_id for review in expected.reviews}
    for img_id, caption in captions.items():
        reviews = expected.of(int(img_id))
        found_by = [f"{r.verdict or clicks(r.n_clicks)} by {r.rater or 'unknown'}" for r in reviews]
        chips = re.findall(r'<span class="chip [A-Z]+">(.*?)</span>', caption)
        assert chips == found_by
        assert ("not reviewed" in caption) == (not reviews)


# -- questions


@pytest.mark.parametrize("latest", [False, True])
def test_exclusions(db: orm.Session, expected: Expected, latest: bool) -> None:
    rows = dm.Exclusions(level="target", status=None, latest=latest).run(db)

    found = {(int(row.step), row.file1): row for row in rows}
    assert found.keys() == expected.targets().keys()
    for key, ids in expected.targets().items():
        of = expected.latest if latest else expected.of
        reviews = [review for img_id in ids for review in of(img_id)]
        row = found[key]
        assert row.n_reviewed == sum(bool(of(img_id)) for img_id in ids)
        assert row.n_raters == len(raters(reviews))
        assert {name: getattr(row, name) for name in counts(reviews)} == counts(reviews)
        assert row.source_data_issue == any(r.source_data_issue for r in reviews)
        assert row.image_ids == sorted(img_id for img_id in ids if is_bad(of(img_id)))


def test_the_kit_s_exclusions(db: orm.Session, expected: Expected) -> None:
    failed = {
        file1
        for (step, file1), ids in expected.targets().items()
        if step == 3 and any(r.verdict == "FAIL" for i in ids for r in expected.of(i))
    }

    assert set(db.scalars(dm.KitExclusions().select())) == failed


def test_coverage(db: orm.Session, expected: Expected) -> None:
    steps, targets = dm.Coverage().run(db), dm.Coverage().run_targets(db)

    for row in targets:
        ids = expected.targets()[int(row.step), row.file1]
        assert row.n_reviews == sum(len(expected.of(img_id)) for img_id in ids)
        assert row.n_reviewed == sum(bool(expected.of(img_id)) for img_id in ids)
    for row in steps:
        ids = [img_id for img_id, step in expected.step.items() if step == row.step]
        reviews = [review for img_id in ids for review in expected.of(img_id)]
        assert row.n_reviews == len(reviews)
        assert row.n_reviewed == len({review.img_id for review in reviews})
        assert row.n_raters == len(raters(reviews))
    assert len(steps) == 5


def test_reviews_that_do_not_decide(
    db: orm.Session, expected: Expected, folder: Path, read_release: Any
) -> None:
    ratings = [r for r in expected.reviews if r.kind == "rating" and not r.decides]
    rows = read_release(folder)["coordinate"]
    clicks = [row for row in rows if expected.step[row["img_id"]] not in JUDGED_BY_CLICKS]

    assert list(dm.Crossed().run(db)) == [(len(ratings), len(clicks))]


@pytest.mark.parametrize("step", dm.Step)
def test_agreement(db: orm.Session, expected: Expected, step: dm.Step) -> None:
    result = dm.Agreement(step).run(db)

    ids = [img_id for img_id, of_step in expected.step.items() if of_step == step]
    known = [r for img_id in ids for r in expected.of(img_id) if r.rater is not None]
    latest = [r for img_id in ids for r in expected.latest(img_id) if r.rater is not None]
    assert result.units == len({review.img_id for review in known})
    assert result.raters == len(raters(known))
    assert result.superseded == len(known) - len(latest)
    unknown = [r for img_id in ids for r in expected.of(img_id) if r.rater is None]
    assert result.unattributed_sessions == len({review.session for review in unknown})
