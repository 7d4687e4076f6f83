"""All commands on a database with numbers and columns that DIRT does not define."""

import asyncio
import csv
import datetime as dt
import hashlib
import io
import itertools
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from PIL import Image as PillowImage
from sqlalchemy import orm

import dirtmodel as dm
from dirtmodel import browse, database, sample
from dirtmodel.cli import main
from dirtmodel.models import Rating
from dirtmodel.release.extension import of_database

ENGINES = ("sqlite", "postgres")
ENGINE_PAIRS = [(one, other) for one in ENGINES for other in ENGINES]
TABLES = ("session", "image", "rating", "coordinate")
LATER = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)

Run = Callable[..., Result]

EXTRA: dict[str, tuple[Any, list[Any]]] = {
    "agreed": (pa.bool_(), [True, False, None]),
    "effort": (pa.int64(), [2**53 + 1, -1, None]),
    "confidence": (pa.float64(), [0.1, -2.5, None]),
    "select": (pa.large_string(), ['é\n"x"', "NULL", None]),
    "finished": (pa.timestamp("us", "UTC"), [LATER + dt.timedelta(microseconds=6), LATER, None]),
    "day": (pa.date32(), [dt.date(2026, 1, 2), dt.date(1999, 12, 31), None]),
    "price": (pa.decimal128(10, 2), [Decimal("12345678.90"), Decimal("-0.01"), None]),
    "token": (pa.large_binary(), [b"\x00\xff", b"\xff\x00", None]),
}
"""Columns that all four tables have, with their types and the values in them."""

FMAP_IMAGES = (9100, 9101, 9102, 9103)
"""Images of step 5: PASS and RATING_3; FAIL and RATING_3; RATING_3 alone; clicks alone."""

MASK_IMAGES = (9200, 9201, 9202)
"""Images of step 6: two clicks, nothing wrong, not reviewed."""

OBLIQUE = 9300
"""An image of step 0 in display 3, with one click."""


# -- the releases


def plain_tables() -> dict[str, pa.Table]:
    return sample.make_tables(subjects=2, slices=2, pictures="tiny", hazards=False)


def extended_tables() -> dict[str, pa.Table]:
    """Add to the plain tables what DIRT does not define."""
    tables = plain_tables()
    schemas = {name: table.schema for name, table in tables.items()}
    rows = {name: table.to_pylist() for name, table in tables.items()}
    of_step = {step: sorted_images(rows["image"], step) for step in (0, 3)}
    for id_, user, step in ((9001, "ann", 5), (9002, "bob", 5), (9003, "ann", 6)):
        rows["session"].append({"id": id_, "step": step, "user": user, "created": LATER})
    for step, ids, models in ((5, FMAP_IMAGES, of_step[3]), (6, MASK_IMAGES, of_step[0])):
        rows["image"] += [
            {**model, "id": id_, "step": step} for id_, model in zip(ids, models, strict=False)
        ]
    rows["image"].append({**of_step[0][0], "id": OBLIQUE, "display": 3})
    same = {"source_data_issue": False, "notes": None, "created": LATER}
    ratings = [(9100, 9001, 0), (9100, 9002, 3), (9101, 9001, 2), (9101, 9002, 3), (9102, 9001, 3)]
    rows["rating"] += [
        {**same, "id": 9400 + n, "rating": rating, "img_id": img_id, "session": session}
        for n, (img_id, session, rating) in enumerate(ratings, 1)
    ]
    clicks = [(9200, 20.0, 30.0), (9200, 25.0, 30.0), (9201, None, None), (OBLIQUE, 1.0, 2.0)]
    clicks.append((9103, 5.0, 5.0))
    rows["coordinate"] += [
        {**same, "id": 9500 + n, "x": x, "y": y, "img_id": img_id, "session": 9003}
        for n, (img_id, x, y) in enumerate(clicks, 1)
    ]
    for table, (name, (type_, values)) in itertools.product(rows, EXTRA.items()):
        schemas[table] = schemas[table].append(pa.field(name, type_))
        for row in rows[table]:
            row[name] = values[row["id"] % len(values)]
    return {name: pa.Table.from_pylist(rows[name], schemas[name]) for name in rows}


def sorted_images(images: list[dict[str, Any]], step: int) -> list[dict[str, Any]]:
    return sorted((i for i in images if i["step"] == step), key=lambda image: image["id"])


def edited_tables() -> dict[str, pa.Table]:
    """Change one extra value in each of the first rows of a table, another column each time."""
    tables = extended_tables()
    edited = {}
    for table, made in tables.items():
        rows = sorted(made.to_pylist(), key=lambda row: row["id"])
        for row, (name, (_, values)) in zip(rows, EXTRA.items(), strict=False):
            row[name] = values[(values.index(row[name]) + 1) % len(values)]
        edited[table] = pa.Table.from_pylist(rows, made.schema)
    return edited


class Places(NamedTuple):
    """The three releases on one engine."""

    plain: sa.URL
    extended: sa.URL
    edited: sa.URL


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("releases")
    made = {"plain": plain_tables(), "extended": extended_tables(), "edited": edited_tables()}
    return {name: sample.write_tables(made[name], folder / name) for name in made}


@pytest.fixture(scope="module")
def loaded(
    releases: dict[str, Path], postgres_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Places]]:
    """All three releases on both engines; open them read-only."""
    server = database.parse_url(postgres_server)
    folder = tmp_path_factory.mktemp("loaded")
    schemas = {name: f"extended_test_{name}" for name in Places._fields}
    places = {
        "sqlite": Places(*(database.parse_url(folder / f"{name}.db") for name in schemas)),
        "postgres": Places(
            *(
                server.update_query_dict({"options": f"-csearch_path={schema}"})
                for schema in schemas.values()
            )
        ),
    }
    for engine in ENGINES:
        for name, url in places[engine]._asdict().items():
            dm.load(releases[name], url, extend=True)
    yield places
    with database.engine(server).begin() as connection:
        for schema in schemas.values():
            connection.execute(sa.text(f"DROP SCHEMA {schema} CASCADE"))


@pytest.fixture(params=ENGINES)
def places(request: pytest.FixtureRequest, loaded: dict[str, Places]) -> Places:
    return loaded[request.param]


@pytest.fixture
def db(places: Places) -> Iterator[orm.Session]:
    with dm.open(places.extended) as session:
        yield session


def shown(url: sa.URL) -> str:
    """Write a URL as the command line takes it."""
    path = str(url.database)
    return path if database.is_sqlite(url) else url.render_as_string(hide_password=False)


@pytest.fixture
def run(places: Places) -> Run:
    """Run a command on the extended database."""

    def command(*args: object) -> Result:
        return dirtmodel(*args, "--db", shown(places.extended))

    return command


def dirtmodel(*args: object) -> Result:
    return CliRunner().invoke(main, [*map(str, args)])


def rows_of(result: Result) -> list[dict[str, str]]:
    assert result.exit_code == 0, result.stderr
    return list(csv.DictReader(io.StringIO(result.stdout)))


# -- the ORM and SQL


def test_numbers_are_members_with_placeholder_names(db: orm.Session) -> None:
    image = db.get_one(dm.Image, FMAP_IMAGES[0])
    rating = db.get_one(dm.Rating, 9402)

    assert image.step is dm.Step(5)
    assert image.step.name == "STEP_5"
    assert rating.rating is dm.Ratings(3)
    assert rating.rating.name == "RATING_3"
    assert db.get_one(dm.Image, OBLIQUE).display.name == "DISPLAY_3"
    assert repr(rating) == f"<Rating 9402 RATING_3 of image {FMAP_IMAGES[0]}>"


def test_images_are_found_by_the_new_numbers(db: orm.Session) -> None:
    by_step = db.scalars(sa.select(dm.Image.id).where(dm.Image.step == dm.Step(5)))
    by_display = dm.Images(display="display_3").run(db)

    assert sorted(by_step) == list(FMAP_IMAGES)
    assert [image.id for image in by_display] == [OBLIQUE]
    assert [image.id for image in dm.Images(step=6).run(db)] == list(MASK_IMAGES)


def test_reviews_decide_as_the_steps_are_judged(db: orm.Session) -> None:
    def decides(img_id: int) -> set[tuple[str, bool]]:
        return {(r.kind, r.decides) for r in db.get_one(dm.Image, img_id).reviews}

    assert decides(9100) == {("rating", True)}
    assert decides(9103) == {("coordinate", False)}
    assert decides(9200) == {("coordinate", True)}


def test_sql_names_the_new_numbers(run: Run) -> None:
    reviews = run(
        "sql",
        "SELECT s.name, s.judged_by, count(*) AS n FROM review AS r "
        "JOIN step AS s ON s.id = r.step "
        "WHERE r.decides AND r.step > 4 GROUP BY s.name, s.judged_by ORDER BY 1",
        *("--trust", "--format", "csv"),
    )
    labels = run(
        "sql",
        f"SELECT step, rating FROM rating_labels WHERE img_id = {FMAP_IMAGES[0]} ORDER BY id",
        *("--trust", "--format", "csv"),
    )

    assert reviews.stdout == "name,judged_by,n\nSTEP_5,verdict,5\nSTEP_6,clicks,2\n"
    assert labels.stdout == "step,rating\nSTEP_5,PASS\nSTEP_5,RATING_3\n"


def test_sql_reads_the_extra_columns(run: Run) -> None:
    (row,) = rows_of(
        run(
            "sql",
            'SELECT agreed, effort, confidence, "select", day FROM session WHERE id = 9003',
            *("--trust", "--format", "csv"),
        )
    )

    assert row.pop("agreed") in {"1", "true"}
    assert row == {
        "effort": "9007199254740993",
        "confidence": "0.1",
        "select": 'é\n"x"',
        "day": "2026-01-02",
    }


# -- exclusions


@pytest.mark.parametrize("step", ["5", "step_5", "STEP-5"])
def test_exclusions_of_the_new_step(run: Run, step: str) -> None:
    (row,) = rows_of(
        run("exclusions", "--step", step, "--level", "target", "--format", "csv", "-q")
    )

    assert (row["step"], row["status"], row["image_ids"]) == ("STEP_5", "excluded", "9101")
    assert [row[f"n_{name}"] for name in ("images", "reviewed", "raters")] == ["4", "3", "2"]
    assert [row[f"n_{name}"] for name in ("pass", "unsure", "fail", "clicks")] == list("1010")


@pytest.mark.parametrize("rule", ["any-fail", "majority", "unanimous", "min-fails 1"])
@pytest.mark.parametrize("unsure", ["pass", "fail", "ignore"])
def test_no_rule_counts_the_new_verdict(db: orm.Session, rule: str, unsure: str) -> None:
    (row,) = dm.Exclusions(step=5, rule=rule, unsure=unsure, level="target").run(db)

    assert row.image_ids == [9101]
    assert row.n_reviewed == 3


def test_exclusions_of_a_new_step_that_is_judged_by_clicks(db: orm.Session) -> None:
    (found,) = dm.Exclusions(step=6, level="target", status=None).run(db)
    (strict,) = dm.Exclusions(step=6, min_clicks=3, level="target", status=None).run(db)

    assert (found.status, found.image_ids, found.n_clicks) == ("excluded", [9200], 2)
    assert (strict.status, strict.image_ids, strict.n_reviewed) == ("partial", [], 2)


def test_exclusions_of_all_steps_include_the_new_ones(run: Run) -> None:
    rows = rows_of(
        run("exclusions", "--level", "target", "--status", "all", "--format", "csv", "-q")
    )

    assert {row["step"] for row in rows} == {*(step.name for step in dm.Step), "STEP_5", "STEP_6"}
    assert {row["rule"].split(" --rule")[0] for row in rows} == {"--step all"}


def test_reviews_of_the_other_kind_are_counted_on_the_new_steps(run: Run) -> None:
    assert run("exclusions", "--step", "5", "--format", "csv").stderr.endswith(
        "\nLeft out: 0 verdicts on click steps and 1 clicks on verdict steps.\n"
    )


def test_the_sidecar_describes_the_new_steps(run: Run, tmp_path: Path) -> None:
    run("exclusions", "--level", "target", "-o", tmp_path / "excluded.tsv")

    levels = json.loads((tmp_path / "excluded.json").read_text())["step"]["Levels"]
    assert {"MASK", "STEP_5", "STEP_6"} <= levels.keys()


def test_filters_leave_out_the_runs_that_a_new_step_excludes(run: Run, db: orm.Session) -> None:
    (row,) = dm.Exclusions(step=5).run(db)

    result = run("exclusions", "--step", "5", "--format", "bids-filter")

    assert result.exit_code == 0
    runs = json.loads(result.stdout)[row.sub]["bold"]
    assert runs["task"] == ["cuff", "rest"]
    assert f"task-{row.task} run-{row.run} excluded, but selected by the filter" in result.stderr


# -- coverage and pictures


def test_coverage_includes_the_new_steps(run: Run) -> None:
    rows = {row.pop("step"): list(row.values()) for row in rows_of(run("coverage", "--format=csv"))}

    assert rows["STEP_5"] == ["1", "4", "3", "1", "5", "2"]
    assert rows["STEP_6"] == ["1", "3", "2", "1", "2", "1"]
    (target,) = rows_of(run("coverage", "--step", "step-6", "--targets", "--format", "csv"))
    assert (target["step"], target["n_reviews"]) == ("STEP_6", "2")


@pytest.mark.parametrize(
    ("img_id", "step", "expected"),
    [
        (9100, "STEP_5", "2 reviews: PASS by ann, RATING_3 by bob"),
        (9102, "STEP_5", "1 review: RATING_3 by ann"),
        (9103, "STEP_5", "not reviewed (1 review of the other kind does not count)"),
        (9200, "STEP_6", "1 review: 2 clicks by ann"),
        (9201, "STEP_6", "1 review: nothing wrong by ann"),
        (OBLIQUE, "MASK", "1 review: 1 click by ann"),
    ],
)
def test_captions_name_the_new_numbers(
    db: orm.Session, img_id: int, step: str, expected: str
) -> None:
    image = db.get_one(dm.Image, img_id)

    caption = dm.image(db, image.id).notes.caption

    assert caption[0].startswith(f"{step}, ")
    assert caption[2] == expected
    assert ("display DISPLAY_3" in caption[0]) == (img_id == OBLIQUE)


@pytest.mark.parametrize(
    "args",
    [
        ("image", 9100),
        ("image", OBLIQUE),
        ("sheet", "--step", "5", "--status", "excluded"),
        ("sheet", "--display", "display_3"),
        ("heatmap", "--step", "step_6", "--display", "x"),
        ("heatmap", "--step", "mask", "--display", "3"),
    ],
)
def test_pictures_are_drawn(run: Run, tmp_path: Path, args: tuple[object, ...]) -> None:
    result = run(*args, "-o", tmp_path / "out.png")

    assert result.exit_code == 0, result.stderr
    with PillowImage.open(tmp_path / "out.png") as image:
        assert image.format == "PNG"


def test_a_heat_map_of_a_new_step_that_is_judged_by_verdict_is_refused(
    run: Run, tmp_path: Path
) -> None:
    result = run("heatmap", "--step", "5", "--display", "x", "-o", tmp_path / "out.png")

    assert result.exit_code == 2
    assert result.stderr == (
        "Error: step_5 is judged by verdicts, and verdicts have no place on a picture; choose a "
        "step that is judged by clicks: mask, spatial_normalization, surface_localization, step_6\n"
    )


def test_pictures_are_extracted(run: Run, tmp_path: Path) -> None:
    result = run("extract", "--step", "step_6", "-o", tmp_path / "out")

    assert result.exit_code == 0
    names = [file.name for file in (tmp_path / "out").iterdir()]
    assert len(names) == len(MASK_IMAGES)
    assert all("_step-step6_" in name for name in names)


# -- differences

ADDED = {"session": 3, "image": 8, "rating": 5, "coordinate": 5}


def test_new_numbers_and_columns_differ_in_the_schema_only(places: Places) -> None:
    with dm.diff(places.plain, places.extended) as found:
        counts, schema = found.count(), list(found.schema())

    assert {table: (c.added, c.changed, c.removed) for table, c in counts.items()} == {
        table: (n, 0, 0) for table, n in ADDED.items()
    }
    columns = [e["examples"][0] for e in schema if e["change"] == "extra-column"]
    assert columns[: len(EXTRA)] == [
        "session.parquet column agreed (true or false)",
        "session.parquet column effort (whole numbers)",
        "session.parquet column confidence (numbers)",
        "session.parquet column select (text)",
        "session.parquet column finished (timestamps)",
        "session.parquet column day (dates)",
        "session.parquet column price (decimal numbers)",
        "session.parquet column token (bytes)",
    ]
    assert len(columns) == len(EXTRA) * len(TABLES)
    assert [e["examples"][0] for e in schema if e["change"] == "extra-number"] == [
        "step 5 is STEP_5, judged by verdict",
        "step 6 is STEP_6, judged by clicks",
        "display 3 is DISPLAY_3",
        "verdict 3 is RATING_3",
    ]
    assert {entry["only_in"] for entry in schema} == {"new"}


def test_the_schema_differs_in_the_other_direction_too(places: Places) -> None:
    with dm.diff(places.extended, places.plain) as found:
        assert {entry["only_in"] for entry in found.schema()} == {"old"}
        assert {t: c.removed for t, c in found.count().items()} == ADDED


def test_a_folder_is_compared_with_all_that_it_has(
    places: Places, releases: dict[str, Path]
) -> None:
    with dm.diff(releases["extended"], places.extended) as found:
        assert not found.are_there()


@pytest.mark.parametrize(("old", "new"), ENGINE_PAIRS)
def test_extra_columns_that_both_sides_have_are_compared(
    loaded: dict[str, Places], old: str, new: str
) -> None:
    with dm.diff(loaded[old].extended, loaded[new].edited) as found:
        changed = {t: [(row.row.id, *row.columns) for row in found.rows(t)] for t in TABLES}
        schema = list(found.schema())

    for table in TABLES:
        assert [name for _, name in sorted(changed[table])] == list(EXTRA)
    assert schema == []


def test_equal_values_of_all_types_do_not_differ_across_engines(loaded: dict[str, Places]) -> None:
    with dm.diff(loaded["sqlite"].extended, loaded["postgres"].extended) as found:
        assert not found.are_there()


def test_changed_values_read_alike_in_json_and_tables(places: Places) -> None:
    paths = shown(places.extended), shown(places.edited)

    report = dirtmodel("diff", *paths, "--format", "json")
    table = dirtmodel("diff", *paths, "--table", "rating", "--format", "csv")

    assert (report.exit_code, table.exit_code) == (1, 1)
    rows = json.loads(report.stdout)["tables"]["rating"]["rows"]
    values = {name: change for row in rows for name, change in row["columns"].items()}
    assert list(values) == list(EXTRA)
    assert values["price"]["old"] in {12345678.9, -0.01, None}
    changes = {row["column"]: row for row in csv.DictReader(io.StringIO(table.stdout))}
    assert list(changes) == list(EXTRA)
    hashes = {hashlib.sha256(value).hexdigest() for value in (b"\x00\xff", b"\xff\x00")}
    for side in ("old", "new"):
        assert values["token"][side] in {None, *hashes}
        assert (changes["token"][side] or None) == values["token"][side]
        assert (changes["effort"][side] or "None") == str(values["effort"][side])


def test_verdicts_of_the_new_step_are_compared(places: Places) -> None:
    result = dirtmodel(
        *("diff", shown(places.plain), shown(places.extended)),
        *("--verdicts", "--step", "5", "--level", "target", "--format", "csv"),
    )

    assert result.exit_code == 1
    changes = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [(c["change"], c["step"], c["new_status"]) for c in changes] == [
        ("newly_excluded newly_reviewed", "STEP_5", "excluded"),
    ]
    assert "rating 9402 added (RATING_3)" in changes[0]["rows"]


def test_a_step_that_neither_side_has_is_an_error(places: Places) -> None:
    result = dirtmodel("diff", shown(places.plain), shown(places.plain), "--step", "5")

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: this database has no step step_5 (5); choose one of ")


def test_the_page_shows_the_new_steps_and_the_schema(places: Places, tmp_path: Path) -> None:
    result = dirtmodel(
        *("diff", shown(places.plain), shown(places.extended), "--step", "all"),
        *("--html", tmp_path / "page.html"),
    )

    assert result.exit_code == 1
    page = (tmp_path / "page.html").read_text()
    assert "STEP_5 · " in page
    assert "RATING_3 by bob" in page
    assert "step 5 is STEP_5, judged by verdict" in page
    assert "rating.parquet column price (decimal numbers)" in page


def test_the_summary_names_columns_and_numbers(places: Places) -> None:
    result = dirtmodel("diff", shown(places.plain), shown(places.extended))

    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert "schema, only in new: rating.parquet column select (text)" in lines
    assert "schema, only in new: verdict 3 is RATING_3" in lines


# -- out and in again


@pytest.mark.parametrize(("source", "target"), ENGINE_PAIRS)
def test_an_export_loads_without_loss(
    loaded: dict[str, Places],
    new_place: Callable[[str], sa.URL],
    tmp_path: Path,
    source: str,
    target: str,
) -> None:
    dm.export(loaded[source].extended, tmp_path / "out")
    url = new_place(target)

    dm.load(tmp_path / "out", url, extend=True)

    assert_equal(loaded[source].extended, url)


@pytest.mark.parametrize(("source", "target"), ENGINE_PAIRS)
def test_a_database_loads_from_another_one_without_loss(
    loaded: dict[str, Places], new_place: Callable[[str], sa.URL], source: str, target: str
) -> None:
    url = new_place(target)

    dm.load(loaded[source].extended, url, extend=True)

    assert_equal(loaded[source].extended, url)


def assert_equal(one: sa.URL, other: sa.URL) -> None:
    with database.connect(one) as first, database.connect(other) as second:
        assert of_database(second) == of_database(first)
    with dm.diff(one, other) as found:
        assert not found.are_there()


@pytest.fixture
def new_place(postgres_server: str, tmp_path: Path) -> Iterator[Callable[[str], sa.URL]]:
    """Return URLs of databases that do not exist yet."""
    server = database.parse_url(postgres_server)
    schema = "extended_test_new"

    def place(engine: str) -> sa.URL:
        if engine == "sqlite":
            return database.parse_url(tmp_path / "new.db")
        return server.update_query_dict({"options": f"-csearch_path={schema}"})

    yield place
    with database.engine(server).begin() as connection:
        connection.execute(sa.text(f"DROP SCHEMA IF EXISTS {schema} CASCADE"))


def test_exported_files_are_those_of_the_release(
    places: Places, releases: dict[str, Path], tmp_path: Path
) -> None:
    dm.export(places.extended, tmp_path / "out")

    for table in TABLES:
        found, published = (
            pq.read_table(next(folder.rglob(f"{table}.parquet")))
            for folder in (tmp_path / "out", releases["extended"])
        )
        assert found.schema.equals(published.schema)
        ours = published.filter(published["id"].is_valid()).sort_by("id")
        assert found.to_pylist() == ours.to_pylist()


def test_a_new_step_can_be_exported_alone(places: Places, tmp_path: Path) -> None:
    written = dm.export(places.extended, tmp_path / "out", step="step_5")

    assert written == {"session": 3, "image": 4, "rating": 5, "coordinate": 1}


def test_a_step_that_is_not_there_cannot_be_exported(places: Places, tmp_path: Path) -> None:
    result = dirtmodel("export", tmp_path / "out", "--step", "5", "--db", shown(places.plain))

    assert result.exit_code == 2
    assert result.stderr == (
        "Error: this database has no step step_5 (5); choose one of mask (0), "
        "spatial_normalization (1), surface_localization (2), fmap_coregistration (3), "
        "dtifit (4)\n"
    )
    assert not (tmp_path / "out").exists()


# -- the database itself


def test_info_counts_what_was_kept(run: Run) -> None:
    found = json.loads(run("info", "--format", "json").stdout)

    assert found["findings"]["extra-column"] == len(EXTRA) * len(TABLES)
    assert found["findings"]["kept-number"] == 3 + 8 + 3


def test_refresh_computes_the_same_reviews_again(
    places: Places, new_place: Callable[[str], sa.URL]
) -> None:
    engine = "sqlite" if database.is_sqlite(places.extended) else "postgres"
    url = new_place(engine)
    dm.load(places.extended, url, extend=True)
    before = reviews(url)

    dm.refresh(url)

    assert reviews(url) == before
    assert len(before) > 100


def reviews(url: sa.URL) -> list[Any]:
    with dm.open(url) as db:
        return sorted(map(repr, db.execute(sa.select(dm.Review.__table__))))


def test_a_writable_session_writes_the_new_numbers(
    places: Places, new_place: Callable[[str], sa.URL]
) -> None:
    engine = "sqlite" if database.is_sqlite(places.extended) else "postgres"
    url = new_place(engine)
    dm.load(places.extended, url, extend=True)

    with dm.open(url, read_only=False) as db:
        image = db.get_one(dm.Image, 9103)
        session = db.get_one(dm.Session, 9001)
        same = {"source_data_issue": False, "created": LATER}
        db.add(Rating(rating=dm.Ratings(3), image=image, session=session, **same))
        db.commit()

    with dm.open(url) as db:
        (row,) = dm.Exclusions(step=5, level="target").run(db)
    assert row.n_reviewed == 4


# -- browsing


@pytest.fixture
def get(loaded: dict[str, Places]) -> Callable[[str], Any]:
    app = browse.application(database.sqlite_path(loaded["sqlite"].extended))

    def fetch(page: str) -> Any:
        return asyncio.run(app.client.get(page))

    return fetch


@pytest.mark.parametrize(
    "page",
    [
        "/dirt",
        "/dirt/step",
        "/dirt/image?step=5",
        f"/dirt/image/{OBLIQUE}",
        "/dirt/rating?_facet=rating",
        "/dirt/review_labels?step=STEP_5",
        "/dirt/notes?word=a",
        "/dirt/why?sub=1",
    ],
)
def test_pages_are_browsed(get: Callable[[str], Any], page: str) -> None:
    response = get(page)

    assert response.status_code == 200
    assert "Error" not in response.text


def test_the_canned_coverage_includes_the_new_steps(get: Callable[[str], Any]) -> None:
    rows = get("/dirt/coverage.json?_shape=array").json()

    assert rows[-2:] == [
        {"step": "STEP_5", "n_images": 4, "n_reviewed": 3},
        {"step": "STEP_6", "n_images": 3, "n_reviewed": 2},
    ]
