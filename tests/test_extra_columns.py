"""Additional columns of a release are kept, reported, compared and exported."""

import datetime as dt
import json
import math
import string
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from click.testing import CliRunner

import dirtmodel as dm
from dirtmodel import database, models, sample
from dirtmodel.cli import main
from dirtmodel.release.columns import COLUMNS
from dirtmodel.release.tables import InvalidReleaseError

Tables = dict[str, Any]
UTC = dt.UTC
MIRRORED = ("session", "image", "rating", "coordinate")


@pytest.fixture(scope="module")
def tables() -> Tables:
    """Four small tables in which nothing is unusual."""
    return sample.make_tables(subjects=1, slices=1, pictures="tiny", hazards=False)


def with_extra(table: Any, name: str, values: Sequence[Any], type_: Any = None) -> Any:
    """Append a column; rows for which there is no value are NULL in it."""
    filled = [*values, *[None] * (len(table) - len(values))]
    array = values if isinstance(values, pa.Array) else pa.array(filled, type_)
    if isinstance(values, pa.Array):
        array = pa.concat_arrays([values, pa.nulls(len(table) - len(values), values.type)])
    return table.append_column(name, array)


def write(tables: Tables, folder: Path, name: str = "release") -> Path:
    return sample.write_tables(tables, folder / name, empty_rows=0)


def columns_of(url: sa.URL, table: str) -> dict[str, Any]:
    """Return the extra columns of a table and their types, as the database reports them."""
    documented = {column.name for column in COLUMNS[table]}
    with database.engine(url).connect() as connection:
        found = sa.inspect(connection).get_columns(table)
    return {c["name"]: c["type"] for c in found if c["name"] not in documented}


def values_of(url: sa.URL, table: str, name: str, type_: Any = None) -> list[Any]:
    """Return the values of a column in the order of ids, read by plain SQL."""
    column = sa.column(name, type_ or sa.types.NullType())
    statement = sa.select(column).select_from(sa.table(table)).order_by(sa.column("id"))
    with database.engine(url).connect() as connection:
        return list(connection.scalars(statement))


def by_id(table: Any, values: Sequence[Any]) -> list[Any]:
    """Return values in the order of the ids of their rows."""
    return [value for _, value in sorted(zip(table["id"].to_pylist(), values, strict=True))]


def findings(release: Path, code: str) -> list[tuple[str, int, tuple[str, ...]]]:
    return [(f.file, f.n, f.examples) for f in dm.check(release) if f.code == code]


# -- types and values

NOON = dt.datetime(2025, 7, 26, 12, 0, 0, 1, tzinfo=UTC)
CENTRAL = dt.timezone(dt.timedelta(hours=-5))
KEPT: dict[str, Any] = {
    # name: (Arrow type, values, SQL type, values in the database)
    "int8": (pa.int8(), [-128, 127, None], sa.Integer, [-128, 127, None]),
    "int64": (pa.int64(), [-(2**63), 2**63 - 1, 0], sa.Integer, [-(2**63), 2**63 - 1, 0]),
    "uint64": (pa.uint64(), [2**63 - 1, 0, None], sa.Integer, [2**63 - 1, 0, None]),
    "float32": (pa.float32(), [0.5, -2.25, None], sa.Float, [0.5, -2.25, None]),
    "float64": (
        pa.float64(),
        [math.inf, -math.inf, 0.1, 5e-324, math.nan],
        sa.Float,
        [math.inf, -math.inf, 0.1, 5e-324, None],
    ),
    "bool": (pa.bool_(), [True, False, None], sa.Boolean, [True, False, None]),
    "string": (pa.string(), ["", "NULL", "a\r\n\t\\n", "🧠", None], sa.Text, None),
    "large_string": (pa.large_string(), ["'); --", '"', "%s"], sa.Text, None),
    "dictionary": (pa.dictionary(pa.int8(), pa.string()), ["a", None, "a"], sa.Text, None),
    "null": (pa.null(), [None], sa.Text, None),
    "binary": (pa.binary(), [b"", b"\0\xff", None], sa.LargeBinary, None),
    "fixed": (pa.binary(2), [b"\0\xff", None], sa.LargeBinary, None),
    "date32": (pa.date32(), [dt.date(1, 1, 1), dt.date(9999, 12, 31), None], sa.Date, None),
    "date64": (pa.date64(), [dt.date(2024, 2, 29), None], sa.Date, None),
    "naive": (pa.timestamp("us"), [NOON.replace(tzinfo=None), None], sa.DateTime, [NOON, None]),
    "utc": (pa.timestamp("ns", "UTC"), [NOON, None], sa.DateTime, [NOON, None]),
    "zoned": (
        pa.timestamp("us", "America/Chicago"),
        [NOON.astimezone(CENTRAL), None],
        sa.DateTime,
        [NOON, None],
    ),
    "decimal": (
        pa.decimal128(15, 2),
        [Decimal("9999999999999.99"), Decimal("-9999999999999.99"), Decimal("0.10"), None],
        sa.Numeric,
        None,
    ),
    "whole": (pa.decimal128(15, 0), [Decimal(10**15 - 1), Decimal(0)], sa.Numeric, None),
}


@pytest.mark.parametrize("table", ["rating", "image"])
def test_a_column_keeps_its_type_and_its_values(
    table: str, tables: Tables, new_url: sa.URL, tmp_path: Path
) -> None:
    extended = tables[table]
    for name, (type_, values, *_) in KEPT.items():
        extended = with_extra(extended, name, values, type_)
    release = write({**tables, table: extended}, tmp_path)

    dm.load(release, new_url)

    found = columns_of(new_url, table)
    assert list(found) == list(KEPT)
    for name, (type_, values, sql_type, stored) in KEPT.items():
        assert isinstance(found[name], sql_type), name
        if sql_type is sa.Numeric:
            assert (found[name].precision, found[name].scale) == (type_.precision, type_.scale)
        expected = [*(stored or values), *[None] * (len(extended) - len(values))]
        if sql_type is sa.DateTime:
            read: Any = models.UTCDateTime()
        else:
            read = found[name] if sql_type is sa.Numeric else sql_type()
        assert values_of(new_url, table, name, read) == by_id(extended, expected), name


UNKEPT: dict[str, Any] = {
    "list": (
        pa.list_(pa.int64()),
        [[1], None],
        "columns of type list<{}: int64> are not supported",
    ),
    "struct": (
        pa.struct([("a", pa.int64())]),
        [{"a": 1}, None],
        "columns of type struct<a: int64> are not supported",
    ),
    "map": (
        pa.map_(pa.string(), pa.int64()),
        [[("a", 1)], None],
        "columns of type map<string, int64 ('extra')> are not supported",
    ),
    "duration": (pa.duration("us"), [5], "columns of type duration[us] are not supported"),
    "time": (pa.time64("us"), [dt.time(1)], "columns of type time64[us] are not supported"),
    "decimal": (
        pa.decimal128(16, 2),
        [Decimal("1.00")],
        "SQLite rounds numbers of more than 15 digits (decimal128(16, 2))",
    ),
    "decimal256": (
        pa.decimal256(40, 2),
        [Decimal("1.00")],
        "SQLite rounds numbers of more than 15 digits (decimal256(40, 2))",
    ),
}


@pytest.mark.parametrize("kind", UNKEPT)
def test_a_type_without_an_sql_equivalent_is_reported(
    kind: str, tables: Tables, tmp_path: Path
) -> None:
    type_, values, reason = UNKEPT[kind]
    extended = with_extra(tables["rating"], "extra", values, type_)
    release = write({**tables, "rating": extended}, tmp_path)

    (found,) = dm.check(release)

    assert (found.code, found.severity) == ("unkept-column", "warning")
    assert found.message == "a column that DIRT does not have cannot be kept"
    assert found.file == "rating.parquet"
    (example,) = found.examples
    # Parquet names the items of a list `item` or `element`, depending on the writer.
    item = "item" if "<item:" in example else "element"
    assert example == f"rating.parquet column 'extra': {reason.format(item)}"


def test_types_without_an_sql_equivalent_are_left_out(
    tables: Tables, new_url: sa.URL, tmp_path: Path
) -> None:
    extended = tables["rating"]
    for name, (type_, values, _) in UNKEPT.items():
        extended = with_extra(extended, name, values, type_)
    release = write({**tables, "rating": extended}, tmp_path)

    loaded = dm.load(release, new_url)

    assert [(f.code, f.n) for f in loaded.findings] == [("unkept-column", len(UNKEPT))]
    assert columns_of(new_url, "rating") == {}
    assert loaded.n_rows["rating"] == len(extended)


@pytest.mark.parametrize(
    ("type_", "values", "problem"),
    [
        (pa.uint64(), [2**63], "extra 9223372036854775808 does not fit a column of whole numbers"),
        (pa.date32(), pa.array([2_932_897], pa.int32()), "extra 10000-01-01 does not fit"),
        (pa.date32(), pa.array([-719_163], pa.int32()), "extra 0000-12-31 does not fit"),
        (pa.timestamp("ns"), pa.array([1], pa.int64()), "extra 1970-01-01 00:00:00.000000001 does"),
    ],
    ids=["2^63", "year 10000", "year 0", "nanosecond"],
)
def test_a_value_that_a_database_would_change_is_an_error(
    type_: Any, values: Any, problem: str, tables: Tables, tmp_path: Path
) -> None:
    array = values.cast(type_) if isinstance(values, pa.Array) else pa.array(values, type_)
    extended = with_extra(tables["rating"], "extra", array)
    release = write({**tables, "rating": extended}, tmp_path)

    (found,) = (f for f in dm.check(release) if f.severity == "error")

    assert (found.code, found.n) == ("bad-value", 1)
    assert found.examples[0].startswith(f"rating.parquet row 1: {problem}")


def test_a_nul_character_is_an_error_as_in_notes(
    tables: Tables, new_url: sa.URL, tmp_path: Path
) -> None:
    extended = with_extra(tables["rating"], "extra", ["a\0b"], pa.string())
    release = write({**tables, "rating": extended}, tmp_path)

    with pytest.raises(InvalidReleaseError) as caught:
        dm.load(release, new_url)

    assert [(f.code, f.examples) for f in caught.value.findings] == [
        ("nul-character", ("rating.parquet row 1: extra contains a NUL character",))
    ]


def test_a_row_that_only_an_extra_column_fills_is_not_empty(tables: Tables, tmp_path: Path) -> None:
    rating = with_extra(tables["rating"], "extra", [], pa.int64())
    nothing = {**dict.fromkeys(rating.column_names), "extra": 1}
    rating = pa.concat_tables([rating, pa.Table.from_pylist([nothing], rating.schema)])
    release = write({**tables, "rating": rating}, tmp_path)

    codes = {f.code for f in dm.check(release)}

    assert codes >= {"null-id", "null-value"}
    assert "empty-rows" not in codes


# -- names

NAMES = [
    *("confidence", "Confidence of the rater", "select", "TABLE", "order", "user name"),
    *('x"y', '"', '""', "it's", "`x`", "[x]", "x;y", "--", "/*", "\\", "x\\", "a\\nb"),
    *("100%", "%s", "%(a)s", "%%", "{x}", "{}", "$1", "?", ":a", "a:b", "::int"),
    *("a.b", ".", "..", "id.x", "img_id.x", "step.", "created.at", "notes.x"),
    *("new\nline", "tab\t", "\r", "\x1b[31m", " ", " id", "\u00a0", "\u202eright"),
    *("🧠", "Ünïcödé", "id\u0130", "n" * 63, "é" * 31, "0", "1st", "NULL", "true"),
    *("rowid", "oid", "_rowid_", "rank"),
    # Names of the columns of our other tables and views, which join the mirrored ones.
    *("name", "judged_by", "sub", "ses", "task", "run", "scan", "space", "desc", "suffix"),
    *("target_id", "format", "width", "height", "n_bytes", "sha256", "kind", "rater", "verdict"),
    *("n_clicks", "decides", "latest", "n_reviews", "n_pass", "n_fail", "session_step", "label"),
    *("image_id", "session_id", "comments", "code", "row", "metadata", "registry"),
    # "x); import os; os.system('true') #" would run if it were treated as code.
    *('x"); import os; os.system("true") #', "x'); DROP TABLE rating; --", "__class__"),
]
NAMES = list(dict.fromkeys(NAMES))


@pytest.fixture(scope="module")
def oddly_named(tables: Tables, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a release in which every table has columns of all these names."""
    odd = {}
    for table in MIRRORED:
        rows = tables[table]
        for number, name in enumerate(NAMES):
            values = [1000 * number + row for row in range(len(rows))]
            rows = with_extra(rows, name, values, pa.int64())
        odd[table] = rows
    return write(odd, tmp_path_factory.mktemp("odd"))


@pytest.fixture(scope="module")
def odd_url(oddly_named: Path, shared_url: Callable[[], sa.URL]) -> sa.URL:
    """Return the URL of that release, on each engine; shared, so open it read-only."""
    url = shared_url()
    dm.load(oddly_named, url, label="label")
    return url


def expected_values(tables: Tables, table: str, name: str) -> list[int]:
    first = 1000 * NAMES.index(name)
    return by_id(tables[table], range(first, first + len(tables[table])))


def test_odd_names_are_kept_as_they_are(tables: Tables, odd_url: sa.URL) -> None:
    for table in MIRRORED:
        assert list(columns_of(odd_url, table)) == NAMES
        found = sa.select(*map(sa.column, NAMES)).select_from(sa.table(table))
        with database.engine(odd_url).connect() as connection:
            columns = zip(*connection.execute(found.order_by(sa.column("id"))), strict=True)
        for name, values in zip(NAMES, columns, strict=True):
            assert list(values) == expected_values(tables, table, name), name


def test_odd_names_leave_every_answer_unchanged(
    tables: Tables, odd_url: sa.URL, tmp_path: Path
) -> None:
    plain = database.parse_url(tmp_path / "plain.db")
    dm.load(write(tables, tmp_path, "plain"), plain, label="label")

    assert answers(odd_url) == answers(plain)


def answers(url: sa.URL) -> dict[str, Any]:
    with dm.open(url) as db:
        labels = "SELECT img_id, kind, id, verdict, n_clicks FROM review_labels ORDER BY 1, 2, 3"
        found: dict[str, Any] = {
            "exclusions": dm.Exclusions(status=None, step=None).run(db).values(),
            "coverage": dm.Coverage().run(db).values(),
            "images": [repr(image) for image in db.scalars(sa.select(dm.Image).order_by("id"))],
            "reviews": [tuple(row) for row in db.execute(sa.text(labels))],
        }
        return {name: [repr(row) for row in rows] for name, rows in found.items()}


def test_odd_names_survive_an_export(tables: Tables, odd_url: sa.URL, tmp_path: Path) -> None:
    dm.export(odd_url, tmp_path / "exported")

    for table in MIRRORED:
        (path,) = (tmp_path / "exported").rglob(f"{table}.parquet")
        file = pq.ParquetFile(path)
        assert file.schema_arrow.names == [*(c.name for c in COLUMNS[table]), *NAMES]
        read = file.read()
        for name in NAMES:
            at = read.schema.get_field_index(name)
            assert read.column(at).to_pylist() == expected_values(tables, table, name)
    with dm.diff(odd_url, tmp_path / "exported") as found:
        assert not found.are_there()


def test_an_added_column_can_be_copied_from_database_to_database(
    tables: Tables, new_url: sa.URL, tmp_path: Path
) -> None:
    rating = tables["rating"]
    for name, (type_, values, _, _) in KEPT.items():
        rating = with_extra(rating, name, values, type_)
    dm.load(write({**tables, "rating": rating}, tmp_path), new_url)
    copy = database.parse_url(tmp_path / "copy.db")

    dm.load(new_url, copy)

    with dm.diff(new_url, copy) as found:
        assert list(found.schema()) == []
        assert not found.are_there()
    assert len(columns_of(copy, "rating")) == len(KEPT)


UNUSABLE = {
    "ID": "its name differs from that of the column 'id' only in case",
    "Rating": "its name differs from that of the column 'rating' only in case",
    "NOTES": "its name differs from that of the column 'notes' only in case",
    "": "a database cannot have a column of this name",
    "a\0b": "a database cannot have a column of this name",
    "n" * 64: "its name is longer than 63 bytes",
    "é" * 32: "its name is longer than 63 bytes",
    "ctid": "Postgres reserves its name",
    "XMIN": "Postgres reserves its name",
    "tableoid": "Postgres reserves its name",
}


@pytest.mark.parametrize("name", UNUSABLE, ids=repr)
def test_a_name_that_a_database_cannot_have_is_reported(
    name: str, tables: Tables, tmp_path: Path
) -> None:
    extended = with_extra(tables["rating"], name, [1, 2], pa.int64())
    release = write({**tables, "rating": extended}, tmp_path)

    (found,) = dm.check(release)

    assert (found.code, found.n) == ("unkept-column", 1)
    assert found.examples == (f"rating.parquet column {name!r}: {UNUSABLE[name]}",)


def test_names_that_a_database_cannot_have_are_left_out(
    tables: Tables, new_url: sa.URL, tmp_path: Path
) -> None:
    extended = tables["rating"]
    for name in UNUSABLE:
        extended = with_extra(extended, name, [1, 2], pa.int64())
    release = write({**tables, "rating": extended}, tmp_path)

    loaded = dm.load(release, new_url)

    assert [(f.code, f.n) for f in loaded.findings] == [("unkept-column", len(UNUSABLE))]
    assert columns_of(new_url, "rating") == {}


def test_of_names_that_differ_only_in_case_the_first_is_kept(
    tables: Tables, new_url: sa.URL, tmp_path: Path
) -> None:
    rating = with_extra(tables["rating"], "Sure", [1], pa.int64())
    rating = with_extra(rating, "sure", [2], pa.int64())
    release = write({**tables, "rating": rating}, tmp_path)

    dm.load(release, new_url)

    assert list(columns_of(new_url, "rating")) == ["Sure"]
    assert findings(release, "extra-column") == [
        ("rating.parquet", 1, ("rating.parquet column Sure (int64)",))
    ]
    reason = "its name differs from that of the column 'Sure' only in case"
    assert findings(release, "unkept-column") == [
        ("rating.parquet", 1, (f"rating.parquet column 'sure': {reason}",))
    ]


def test_columns_of_one_name_are_left_out(tables: Tables, new_url: sa.URL, tmp_path: Path) -> None:
    image = with_extra(tables["image"], "twice", [1], pa.int64())
    image = with_extra(image, "twice", ["a"], pa.string())
    image = with_extra(image, "once", [3], pa.int64())
    release = write(tables, tmp_path)
    (path,) = release.rglob("image.parquet")
    pq.write_table(image, path)

    dm.load(release, new_url, quarantine=True)

    assert list(columns_of(new_url, "image")) == ["once"]
    example = "image.parquet column 'twice': 2 columns have this name"
    assert findings(release, "unkept-column") == [("image.parquet", 2, (example, example))]


def test_a_hundred_columns_are_kept(tables: Tables, new_url: sa.URL, tmp_path: Path) -> None:
    image = tables["image"]
    for number in range(100):
        image = with_extra(image, f"extra {number}", [number], pa.int64())
    release = write({**tables, "image": image}, tmp_path)

    dm.load(release, new_url)

    assert list(columns_of(new_url, "image")) == [f"extra {number}" for number in range(100)]
    ((file, n, examples),) = findings(release, "extra-column")
    assert (file, n, len(examples)) == ("image.parquet", 100, 5)


@pytest.mark.parametrize("prefix", ["img.", "id.", "step."])
def test_a_dotted_name_is_not_taken_for_the_column_before_the_dot(
    prefix: str, tables: Tables, new_url: sa.URL, tmp_path: Path
) -> None:
    image = tables["image"]
    array = pa.array([b"not a picture"] * len(image))
    # Before all others, so that the first column that Arrow returns is the wrong one.
    image = image.add_column(0, f"{prefix}x", array)
    release = write({**tables, "image": image}, tmp_path)

    dm.load(release, new_url)

    assert values_of(new_url, "image", "step") == by_id(image, image["step"].to_pylist())
    assert values_of(new_url, "image", "img") == by_id(image, image["img"].to_pylist())
    assert values_of(new_url, "image", f"{prefix}x") == [b"not a picture"] * len(image)


# -- where the columns are, and how they are reported


def test_on_sqlite_img_stays_the_last_column(tables: Tables, tmp_path: Path) -> None:
    image = with_extra(tables["image"], "quality", [0.5], pa.float64())
    image = with_extra(image, "Scanner", ["3T"], pa.string())
    db = tmp_path / "dirt.db"

    dm.load(write({**tables, "image": image}, tmp_path), db)

    with database.engine(database.parse_url(db)).connect() as connection:
        found = connection.exec_driver_sql("PRAGMA table_info(image)").all()
    assert [(name, type_) for _, name, type_, *_ in found[-3:]] == [
        ("quality", "DOUBLE"),
        ("Scanner", "TEXT"),
        ("img", "BLOB"),
    ]
    assert found[-1][3] == 1  # NOT NULL


def test_what_is_kept_is_reported_by_check_load_and_info(
    tables: Tables, new_url: sa.URL, tmp_path: Path
) -> None:
    rating = with_extra(tables["rating"], "confidence", [1], pa.int64())
    release = write({**tables, "rating": rating}, tmp_path)
    url = new_url.render_as_string(hide_password=False)
    expected = (
        "warning  extra-column       rating.parquet      1  a column that DIRT does not have is "
        "kept\n           rating.parquet column confidence (int64)\n"
    )

    checked = CliRunner().invoke(main, ["check", str(release)])
    loaded = CliRunner().invoke(main, ["load", str(release), "--db", url])
    described = CliRunner().invoke(main, ["info", "--db", url, "--format", "json"])

    assert (checked.exit_code, checked.stdout) == (0, f"{expected}0 errors and 1 warning.\n")
    assert loaded.exit_code == 0
    assert loaded.stderr.startswith(expected)
    assert json.loads(described.stdout)["findings"] == {"extra-column": 1}


def test_control_characters_of_a_name_reach_no_terminal(tables: Tables, tmp_path: Path) -> None:
    struct = pa.struct([("\x1b[2J", pa.int64())])
    rating = with_extra(tables["rating"], "a\nb\x1b[31m\u202e🧠", [1], pa.int64())
    rating = with_extra(rating, "s", [], struct)
    release = write({**tables, "rating": rating}, tmp_path)

    checked = CliRunner().invoke(main, ["check", str(release)])

    lines = checked.stdout.splitlines()
    assert lines[1] == "           rating.parquet column a\\nb\\x1b[31m\\u202e🧠 (int64)"
    assert lines[3] == (
        "           rating.parquet column 's': columns of type struct<\\x1b[2J: int64> are not "
        "supported"
    )
    assert not set(checked.stdout) & (set(map(chr, range(32))) - set("\n"))


# -- compared


def test_a_value_that_differs_is_a_difference(
    tables: Tables, new_url: sa.URL, tmp_path: Path
) -> None:
    rating = tables["rating"]
    before = with_extra(rating, "a.b%", [1, 2, None], pa.int64())
    after = with_extra(rating, "a.b%", [1, 3, 4], pa.int64())
    dm.load(write({**tables, "rating": before}, tmp_path, "before"), new_url)

    with dm.diff(new_url, write({**tables, "rating": after}, tmp_path, "after")) as found:
        rows = {row.old.id: row.columns for row in found.rows("rating")}

    ids = rating["id"].to_pylist()
    assert rows == {ids[1]: {"a.b%": (2, 3)}, ids[2]: {"a.b%": (None, 4)}}


@pytest.mark.parametrize("name", ["sha256", "target_id", "format", "img_id"])
def test_a_column_of_image_may_be_named_like_one_of_picture(
    name: str, tables: Tables, new_url: sa.URL, tmp_path: Path
) -> None:
    image = with_extra(tables["image"], name, ["a"], pa.string())
    release = write({**tables, "image": image}, tmp_path)
    dm.load(release, new_url)

    with dm.diff(new_url, release) as found:
        assert not found.are_there()


def test_a_column_that_one_side_has_is_a_difference_of_the_schemas(
    tables: Tables, new_url: sa.URL, tmp_path: Path
) -> None:
    rating = with_extra(tables["rating"], "sure", [1], pa.int64())
    dm.load(write(tables, tmp_path, "before"), new_url)

    with dm.diff(new_url, write({**tables, "rating": rating}, tmp_path)) as found:
        schema = list(found.schema())

    assert schema == [
        {
            "change": "extra-column",
            "only_in": "new",
            "file": "rating.parquet",
            "examples": ["rating.parquet column sure (whole numbers)"],
        }
    ]


def test_a_column_that_changed_its_type_is_a_difference_of_the_schemas(
    tables: Tables, new_url: sa.URL, tmp_path: Path
) -> None:
    before = with_extra(tables["rating"], "sure", [1], pa.int64())
    after = with_extra(tables["rating"], "sure", ["1"], pa.string())
    dm.load(write({**tables, "rating": before}, tmp_path, "before"), new_url)

    with dm.diff(new_url, write({**tables, "rating": after}, tmp_path)) as found:
        schema = [(change["only_in"], change["examples"]) for change in found.schema()]

    assert schema == [
        ("old", ["rating.parquet column sure (whole numbers)"]),
        ("new", ["rating.parquet column sure (text)"]),
    ]


# -- replaced


def test_a_later_release_drops_columns_that_it_does_not_have(
    tables: Tables, new_url: sa.URL, tmp_path: Path
) -> None:
    rating = with_extra(tables["rating"], "sure", [1], pa.int64())
    dm.load(write({**tables, "rating": rating}, tmp_path, "before"), new_url)

    dm.load(write(tables, tmp_path, "after"), new_url, replace=True)

    assert columns_of(new_url, "rating") == {}


def test_a_later_release_may_have_another_type_in_a_column(
    tables: Tables, new_url: sa.URL, tmp_path: Path
) -> None:
    rating = tables["rating"]
    before = with_extra(rating, "sure", [1], pa.int64())
    after = with_extra(rating, "sure", ["very"], pa.string())
    dm.load(write({**tables, "rating": before}, tmp_path, "before"), new_url)

    dm.load(write({**tables, "rating": after}, tmp_path, "after"), new_url, replace=True)

    assert isinstance(columns_of(new_url, "rating")["sure"], sa.Text)
    assert set(values_of(new_url, "rating", "sure")) == {"very", None}


@pytest.mark.parametrize(
    ("create", "name"),
    [
        ("CREATE VIEW sure_ratings AS SELECT id FROM rating WHERE sure = 1", "view sure_ratings"),
        ("CREATE INDEX sure_index ON rating (sure)", "index sure_index"),
    ],
)
def test_a_users_object_on_a_dropped_column_is_named_and_nothing_changes(
    create: str, name: str, tables: Tables, new_url: sa.URL, tmp_path: Path
) -> None:
    rating = with_extra(tables["rating"], "sure", [1], pa.int64())
    dm.load(write({**tables, "rating": rating}, tmp_path, "before"), new_url)
    with database.engine(new_url).begin() as connection:
        connection.exec_driver_sql(create)

    with pytest.raises(dm.DatabaseError) as caught:
        dm.load(write(tables, tmp_path, "after"), new_url, replace=True)

    assert f"the {name} that was added to the database cannot be kept: " in str(caught.value)
    assert str(caught.value).endswith(
        "; nothing was changed; drop it, and create it again after the load"
    )
    assert list(columns_of(new_url, "rating")) == ["sure"]
    assert set(values_of(new_url, "rating", "sure")) == {1, None}


def test_the_names_of_the_test_are_kept_on_every_filesystem() -> None:
    # The list must contain the characters that SQL and Python treat specially.
    assert set("".join(NAMES)) >= set(string.punctuation) - set("!&+,<=>@^|~*/") | {"\n", "\t"}
