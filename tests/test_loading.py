"""The content of a database after a load, on each engine, compared with the files."""

import datetime as dt
import hashlib
import io
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from PIL import Image as PillowImage
from sqlalchemy import orm

import dirtmodel as dm
from dirtmodel import cli, database, models, sample
from dirtmodel import release as releases
from dirtmodel.release.layout import QC_FOLDER, TABLES

VIEWS = ("image_labels", "rating_labels", "coordinate_labels", "review_labels")
LOOKUPS = ("step", "display", "verdict")
DERIVED = ("target", "picture", "review", "tally")
CONTENT = ("session", "image", "rating", "coordinate", *LOOKUPS, *DERIVED, "quarantine", *VIEWS)
"""All tables except those that describe the files."""

MODELS = {
    "session": models.Session,
    "image": models.Image,
    "rating": models.Rating,
    "coordinate": models.Coordinate,
}


def read(release: Path, table: str) -> dict[int, dict[str, Any]]:
    """Return the non-empty rows of a file by id, read by pyarrow."""
    frame = pl.read_parquet(release / QC_FOLDER / f"{table}.parquet")
    rows = frame.filter(~pl.all_horizontal(pl.all().is_null())).to_dicts()
    return {row["id"]: row for row in rows}


def dump(url: sa.URL) -> dict[str, list[str]]:
    """Return all content of a database, independent of the order of rows."""
    with database.connect(url) as connection:
        return {
            name: sorted(
                repr([plain(value) for value in row])
                for row in connection.execute(sa.text(f"SELECT * FROM {name}"))
            )
            for name in CONTENT
        }


def plain(value: Any) -> Any:
    """Return a value of plain SQL on either engine, as SQLite stores it."""
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return int(value) if isinstance(value, bool) else value


# -- the mirrored tables


@pytest.mark.parametrize("table", TABLES)
def test_every_row_and_every_value_is_there(table: str, release: Path, db: orm.Session) -> None:
    expected = read(release, table)

    mapper = sa.inspect(MODELS[table])
    columns = [column.label(column.name) for column in mapper.local_table.columns]
    found = {row.id: dict(row._mapping) for row in db.execute(sa.select(*columns))}

    assert found == expected


@pytest.mark.parametrize("table", ["session", "rating", "coordinate", "image"])
def test_times_are_aware_and_exact(table: str, release: Path, db: orm.Session) -> None:
    model = MODELS[table]

    found = db.execute(sa.select(model.id, model.created)).all()

    expected = read(release, table)
    assert len(found) == len(expected)
    for id_, created in found:
        assert created.tzinfo is dt.UTC
        assert created == expected[id_]["created"]
    assert any(created.microsecond % 1000 for _, created in found)


def test_enums_come_back_as_members(release: Path, db: orm.Session) -> None:
    rating = db.scalars(sa.select(dm.Rating).order_by(dm.Rating.id)).first()

    assert rating is not None
    assert isinstance(rating.rating, dm.Ratings)
    assert isinstance(rating.session.step, dm.Step)
    assert isinstance(rating.image.display, dm.DisplayMode)
    assert rating.rating == read(release, "rating")[rating.id]["rating"]


def test_booleans_come_back_as_booleans(db: orm.Session) -> None:
    found = set(db.scalars(sa.select(dm.Coordinate.source_data_issue)))

    assert found == {True, False}
    assert all(type(value) is bool for value in found)


def test_notes_are_verbatim(release: Path, db: orm.Session) -> None:
    notes = set(db.scalars(sa.select(dm.Rating.notes)))

    assert notes == {row["notes"] for row in read(release, "rating").values()}
    assert {None, "NULL", "NA", "nan", "tab\\there", "<script>alert('x')</script>"} <= notes
    assert "a real newline\nand a real\ttab" in notes


def test_unusual_clicks_are_unchanged(db: orm.Session) -> None:
    clicks = set(db.execute(sa.select(dm.Coordinate.x, dm.Coordinate.y)).all())

    assert (None, None) in clicks
    assert any(x == -0.28 for x, _ in clicks)
    assert any(x == math.inf for x, _ in clicks)
    assert any(y == -math.inf for _, y in clicks)
    assert any(x is None and y is not None for x, y in clicks)
    assert any(y is None and x is not None for x, y in clicks)


def test_relationships_lead_both_ways(release: Path, db: orm.Session) -> None:
    row = next(iter(read(release, "coordinate").values()))

    click = db.get_one(dm.Coordinate, row["id"])

    assert (click.image.id, click.session.id) == (row["img_id"], row["session"])
    assert click in click.image.coordinates
    assert click in click.session.coordinates


# -- the local tables


def test_pictures_are_measured_and_hashed(release: Path, db: orm.Session) -> None:
    found = {row.img_id: row for row in db.scalars(sa.select(dm.Picture))}

    images = read(release, "image")
    assert found.keys() == images.keys()
    for id_, image in images.items():
        with PillowImage.open(io.BytesIO(image["img"])) as opened:
            expected = (opened.format, *opened.size)
        picture = found[id_]
        assert (picture.format, picture.width, picture.height) == expected
        assert picture.n_bytes == len(image["img"])
        assert picture.sha256 == hashlib.sha256(image["img"]).hexdigest()
        assert (picture.target.step, picture.target.file1) == (image["step"], image["file1"])


def test_targets_are_numbered_in_their_order(release: Path, db: orm.Session) -> None:
    found = db.execute(
        sa.select(dm.Target.id, dm.Target.step, dm.Target.file1).order_by(dm.Target.id)
    ).all()

    keys = sorted({(row["step"], row["file1"]) for row in read(release, "image").values()})
    assert [tuple(row) for row in found] == [(n, *key) for n, key in enumerate(keys, 1)]


def test_targets_have_the_entities_of_their_names(db: orm.Session) -> None:
    targets = db.scalars(sa.select(dm.Target)).all()

    for target in targets:
        assert (target.sub is not None) == target.file1.startswith("sub-")
        if target.step == dm.Step.FMAP_COREGISTRATION:
            assert f"_task-{target.task}_run-{target.run:02}_" in target.file1
            assert target.scan == f"{target.task}{target.run}"
        elif target.sub:
            expected = "dwi" if target.step == dm.Step.DTIFIT else "T1w"
            assert (target.task, target.run, target.scan) == (None, None, expected)


def test_the_release_and_its_files_are_recorded(release: Path, db: orm.Session) -> None:
    recorded = db.scalars(sa.select(dm.Release)).one()
    files = {row.name: row for row in db.scalars(sa.select(models.ReleaseFile))}

    folder = release / QC_FOLDER
    assert (recorded.id, recorded.label, recorded.source) == (1, "sample", str(folder))
    assert recorded.dirtmodel_version == dm.__version__
    assert abs(dt.datetime.now(dt.UTC) - recorded.loaded_at) < dt.timedelta(hours=1)
    assert files.keys() == {f"{table}.parquet" for table in TABLES}
    for table in TABLES:
        content = (folder / f"{table}.parquet").read_bytes()
        file = files[f"{table}.parquet"]
        assert (file.n_rows, file.n_empty_rows) == (len(read(release, table)), 3)
        assert (file.n_bytes, file.sha256) == (
            len(content),
            hashlib.sha256(content).hexdigest(),
        )


def test_the_findings_are_recorded(release: Path, db: orm.Session) -> None:
    names = ("code", "severity", "file", "message", "n", "examples")
    columns = [getattr(models.Finding, name) for name in names]

    recorded = db.execute(sa.select(*columns).order_by(models.Finding.id)).all()

    expected = releases.check(release)
    assert [tuple(row) for row in recorded] == [
        (*(getattr(found, name) for name in names[:-1]), list(found.examples)) for found in expected
    ]


def test_the_views_have_every_row(release: Path, db: orm.Session) -> None:
    counts = {
        name: db.scalar(sa.text(f"SELECT count(*) FROM {name}"))
        for name in ("image_labels", "rating_labels", "coordinate_labels")
    }

    assert counts == {
        f"{table}_labels": len(read(release, table)) for table in ("image", "rating", "coordinate")
    }


# -- what a load says and takes


def test_a_load_returns_the_numbers_of_rows(release: Path, new_url: sa.URL) -> None:
    loaded = dm.load(release, new_url, label="3.0")

    assert loaded.url == new_url
    assert loaded.label == "3.0"
    assert loaded.n_rows == {table: len(read(release, table)) for table in TABLES}
    assert loaded.n_quarantined == 0
    assert loaded.findings == releases.check(release)
    with dm.open(new_url) as session:
        assert session.scalars(sa.select(dm.Release.label)).all() == ["3.0"]


def test_progress_adds_up_to_the_release(release: Path, new_url: sa.URL) -> None:
    told: list[tuple[str, int, int]] = []

    dm.load(release, new_url, progress=lambda *step: told.append(step))

    images = read(release, "image").values()
    assert sum(n_bytes for _, _, n_bytes in told) == sum(len(row["img"]) for row in images)
    for table in TABLES:
        n_rows = sum(rows for name, rows, _ in told if name == table)
        assert n_rows == len(read(release, table))


def test_a_second_load_needs_replace(release: Path, new_url: sa.URL) -> None:
    dm.load(release, new_url, label="first")

    with pytest.raises(dm.DatabaseError, match="add --replace to replace it"):
        dm.load(release, new_url, label="second")

    with dm.open(new_url) as session:
        assert session.scalars(sa.select(dm.Release.label)).all() == ["first"]


def test_replace_removes_everything_of_the_old_release(
    release: Path, new_url: sa.URL, tmp_path: Path
) -> None:
    dm.load(release, new_url)
    small = sample.write_release(tmp_path / "small", subjects=1, slices=1, pictures="tiny")

    dm.load(small, new_url, replace=True)

    with dm.open(new_url) as session:
        assert session.scalars(sa.select(dm.Release.label)).all() == ["small"]
        ids = set(session.scalars(sa.select(dm.Image.id)))
    assert ids == read(small, "image").keys()


def test_a_refused_release_leaves_the_old_database_unchanged(
    release: Path, new_url: sa.URL, copy_of_release: Callable[[], Path]
) -> None:
    dm.load(release, new_url)
    before = dump(new_url)
    broken = copy_of_release()
    path = broken / QC_FOLDER / "image.parquet"
    images = pl.read_parquet(path)
    images = images.with_columns(
        img=pl.when(pl.col("id") == images["id"].max()).then(pl.lit(b"no picture")).otherwise("img")
    )
    images.write_parquet(path)

    with pytest.raises(dm.ReleaseError, match="bad-picture"):
        dm.load(broken, new_url, replace=True)

    assert dump(new_url) == before


def test_an_exception_during_a_load_leaves_the_old_database_unchanged(
    release: Path, new_url: sa.URL
) -> None:
    dm.load(release, new_url)
    before = dump(new_url)

    def stop(table: str, _rows: int, _bytes: int) -> None:
        if table == "coordinate":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dm.load(release, new_url, replace=True, progress=stop)

    assert dump(new_url) == before


def test_new_rows_get_ids_beyond_the_loaded_ones(release: Path, new_url: sa.URL) -> None:
    dm.load(release, new_url)

    with dm.open(new_url, read_only=False) as session:
        added = dm.Session(step=dm.Step.MASK, user="new", created=dt.datetime.now(dt.UTC))
        session.add(added)
        session.flush()

        assert added.id > max(read(release, "session"))


def test_deleting_an_image_deletes_its_reviews(release: Path, new_url: sa.URL) -> None:
    dm.load(release, new_url)
    image = next(iter(read(release, "rating").values()))["img_id"]

    with dm.open(new_url, read_only=False) as session:
        session.execute(sa.delete(dm.Image).where(dm.Image.id == image))

        for model in (dm.Rating, dm.Coordinate, dm.Picture):
            assert not session.scalars(sa.select(model.img_id).filter_by(img_id=image)).all()


# -- whoever wrote the files


@pytest.fixture(scope="module")
def tables() -> dict[str, Any]:
    """The logical content, with every hazard."""
    made = sample.make_tables(slices=1, picture_size=(48, 36), frames=2)
    assert made["coordinate"]["x"].null_count
    return made


@pytest.fixture(scope="module")
def expected(
    tables: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[str]]:
    """The content loaded from canonical types, without any empty rows."""
    folder = tmp_path_factory.mktemp("canonical")
    url = database.parse_url(folder / "dirt.db")
    dm.load(sample.write_tables(tables, folder, empty_rows=0), url)
    return dump(url)


@pytest.mark.parametrize("to_stdout", [False, True])
def test_what_sql_writes_can_be_loaded(to_stdout: bool, loaded_url: sa.URL, tmp_path: Path) -> None:
    db = loaded_url.render_as_string(hide_password=False)
    for table in TABLES:
        path = tmp_path / f"{table}.parquet"
        command = ["sql", f"SELECT * FROM {table}", "--db", db, "--trust"]
        how = ["--format", "parquet"] if to_stdout else ["-o", str(path)]
        done = CliRunner().invoke(cli.main, [*command, *how], catch_exceptions=False)
        if to_stdout:
            path.write_bytes(done.stdout_bytes)

    dm.load(tmp_path, tmp_path / "again.db")

    assert dump(database.parse_url(tmp_path / "again.db")) == dump(loaded_url)


Write = Callable[[Any, Path], object]


def by_polars(table: Any, path: Path) -> None:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    frame.lazy().sink_parquet(path)


def by_polars_as_strings(table: Any, path: Path) -> None:
    """As inferred from a file whose first x and y are all NULL, with the dump's last lines."""
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    frame = frame.with_columns(
        pl.col(name).cast(pl.String) for name in {"x", "y"} & {*frame.columns}
    )
    pl.concat([frame, frame.clear(n=3)]).lazy().sink_parquet(path)


def by_polars_as_categories(table: Any, path: Path) -> None:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    texts = [name for name, type_ in frame.schema.items() if type_ == pl.String]
    frame.with_columns(pl.col(name).cast(pl.Categorical) for name in texts).write_parquet(path)


def by_duckdb(table: Any, path: Path) -> None:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'America/Chicago'")
    connection.register("given", table)
    connection.execute(f"COPY given TO '{path}' (FORMAT parquet)")


def by_duckdb_naive(table: Any, path: Path) -> None:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.register("given", table)
    narrow = {"step", "display", "slice"} & {*table.column_names}
    replaced = ", ".join(
        ["created::TIMESTAMP AS created", *(f"{name}::INTEGER AS {name}" for name in narrow)]
    )
    connection.execute(
        f"COPY (SELECT * REPLACE ({replaced}) FROM given) TO '{path}' (FORMAT parquet)"
    )


def by_pandas(table: Any, path: Path) -> None:
    frame = table.to_pandas()
    frame["created"] = frame["created"].astype("datetime64[ns, UTC]")
    frame.to_parquet(path)


def by_pandas_shuffled(table: Any, path: Path) -> None:
    """With an index column, and nullable types."""
    frame = table.to_pandas().convert_dtypes()
    frame.sample(frac=1, random_state=1).to_parquet(path, row_group_size=100)


def by_arrow_views(table: Any, path: Path) -> None:
    views = {pa.large_string(): pa.string_view(), pa.large_binary(): pa.binary_view()}
    fields = [field.with_type(views.get(field.type, field.type)) for field in table.schema]
    pq.write_table(table.cast(pa.schema(fields)), path)


@pytest.mark.parametrize(
    "write",
    [
        by_polars,
        by_polars_as_strings,
        by_polars_as_categories,
        by_duckdb,
        by_duckdb_naive,
        by_pandas,
        by_pandas_shuffled,
        by_arrow_views,
    ],
)
def test_the_same_content_gives_the_same_database_whoever_wrote_it(
    write: Write, tables: dict[str, Any], expected: dict[str, list[str]], tmp_path: Path
) -> None:
    folder = tmp_path / "release"
    folder.mkdir()
    for name, table in tables.items():
        write(table, folder / f"{name}.parquet")
    url = database.parse_url(tmp_path / "dirt.db")

    loaded = dm.load(folder, url)

    assert not [found for found in loaded.findings if found.severity == "error"]
    found = dump(url)
    for name in CONTENT:
        assert found[name] == expected[name], name


@pytest.mark.parametrize("style", ["polars", "duckdb", "pandas"])
def test_the_same_content_gives_the_same_database_in_each_style(
    style: sample.Style,
    tables: dict[str, Any],
    expected: dict[str, list[str]],
    tmp_path: Path,
    new_url: sa.URL,
) -> None:
    written = sample.write_tables(tables, tmp_path / "release", style=style)

    dm.load(written, new_url)

    found = dump(new_url)
    for name in CONTENT:
        assert found[name] == expected[name], name


def test_the_order_of_rows_does_not_matter(
    tables: dict[str, Any], expected: dict[str, list[str]], tmp_path: Path
) -> None:
    turned = {
        name: table.take(pa.array(range(len(table) - 1, -1, -1))) for name, table in tables.items()
    }
    url = database.parse_url(tmp_path / "dirt.db")

    dm.load(sample.write_tables(turned, tmp_path / "release"), url)

    found = dump(url)
    for name in CONTENT:
        assert found[name] == expected[name], name


def test_files_that_change_meanwhile_are_not_mixed(
    copy_of_release: Callable[[], Path], new_url: sa.URL
) -> None:
    release = copy_of_release()
    rating = next(release.rglob("rating.parquet"))

    def replaced(table: str, _rows: int, _bytes: int) -> None:
        if table == "image":
            shutil.copy(rating, rating.with_suffix(".new"))
            rating.with_suffix(".new").replace(rating)

    with pytest.raises(dm.ReleaseError) as refused:
        dm.load(release, new_url, progress=replaced)

    assert str(refused.value) == (
        "rating.parquet changed while the release was loaded; nothing was loaded; load the "
        "release again when it is complete"
    )
    with pytest.raises(dm.DatabaseError):
        dm.open(new_url)
