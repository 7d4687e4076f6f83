"""SQLite and Postgres hold the same rows, and return the same results in the same order."""

import dataclasses
import datetime as dt
import enum
import importlib
import inspect
import io
import itertools
import pkgutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql

import dirtmodel as dm
from dirtmodel import database, outputs, queries
from dirtmodel.models import Base, views
from dirtmodel.queries.activity import Activity
from dirtmodel.queries.images import Clicks, Reviews
from dirtmodel.queries.inventory import inventory

TABLES = sorted(Base.metadata.tables)
VIEWS = {view.name: view for view in views.VIEWS}

ALL_IMAGES = range(1, 1_000)

INSTANCES: dict[str, list[Any]] = {
    "Activity": [Activity(), Activity(steps=(dm.Step.MASK, dm.Step.DTIFIT))],
    "Agreement": [
        *(dm.Agreement(step) for step in dm.Step),
        dm.Agreement(dm.Step.FMAP_COREGISTRATION, rater="session", bootstrap=50),
    ],
    "BidsFilters": [dm.BidsFilters(dm.Exclusions(level=level)) for level in ("scan", "session")],
    "Clicks": [Clicks(ALL_IMAGES)],
    "Consensus": [
        dm.Consensus(dm.Step.FMAP_COREGISTRATION),
        dm.Consensus(dm.Step.MASK, level="target"),
        dm.Consensus(dm.Step.FMAP_COREGISTRATION, level="scan", prior=0),
    ],
    "Coverage": [
        dm.Coverage(),
        *(dm.Coverage(step=step) for step in dm.Step),
        dm.Coverage(ses="V1", scan=["rest1", "T1w"]),
    ],
    "Crossed": [dm.Crossed(), dm.Crossed(step=dm.Step.MASK, ses="V1")],
    "Exclusions": [
        *(
            dm.Exclusions(
                rule=rule,
                min_fails=2 if rule == "min-fails" else None,
                unsure=unsure,
                status=None,
            )
            for rule, unsure in itertools.product(
                ("any-fail", "majority", "unanimous", "min-fails"), ("pass", "fail", "ignore")
            )
        ),
        *(
            dm.Exclusions(level=level, latest=latest, status=None)
            for level, latest in itertools.product(
                ("target", "scan", "session", "participant"), (False, True)
            )
        ),
        *(dm.Exclusions(step=step, source_data_issue=True) for step in dm.Step),
        dm.Exclusions(task="rest", run_number=[1, 2], level="participant", status=None),
        dm.Exclusions(step=dm.Step.MASK, min_clicks=2, min_raters=2, images=2, status="kept"),
    ],
    "Images": [
        dm.Images(),
        dm.Images(step=dm.Step.MASK, status="excluded"),
        dm.Images(task="rest", run_number=1, display=dm.DisplayMode.Z),
    ],
    "KitExclusions": [dm.KitExclusions()],
    "Reviews": [
        Reviews(ALL_IMAGES),
        Reviews(ALL_IMAGES, rater="bkowalski"),
        Reviews(ALL_IMAGES, decides=True),
        Reviews(ALL_IMAGES, latest=True),
    ],
}
"""Queries to run on both engines; the first test below fails if a class has none."""

ONE_ROW = {"Crossed"}
"""Queries that return one row."""


class Engines(NamedTuple):
    sqlite: sa.URL
    postgres: sa.URL


@pytest.fixture(scope="module")
def engines(
    release: Path, postgres_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engines]:
    """Load the release with every hazard into both engines."""
    server = database.parse_url(postgres_server)
    both = Engines(
        database.parse_url(tmp_path_factory.mktemp("agree") / "dirt.db"),
        server.update_query_dict({"options": "-csearch_path=engines_agree"}),
    )
    for url in both:
        dm.load(release, url, label="both")
    yield both
    with database.engine(server).begin() as connection:
        connection.execute(sa.text("DROP SCHEMA engines_agree CASCADE"))


def query_classes() -> dict[str, type]:
    """Return every public class of `dirtmodel.queries` that can run."""
    modules = [
        importlib.import_module(found.name)
        for found in pkgutil.walk_packages(queries.__path__, f"{queries.__name__}.")
    ]
    return {
        name: kind
        for module in modules
        for name, kind in inspect.getmembers(module, dataclasses.is_dataclass)
        if not name.startswith("_") and any(map(callable, _methods(kind, "run")))
    }


def _methods(kind: type, prefix: str) -> list[Any]:
    return [
        method
        for name, method in inspect.getmembers(kind, inspect.isfunction)
        if name == prefix or name.startswith(f"{prefix}_")
    ]


def ask(query: Any, db: orm.Session) -> dict[str, Any]:
    """Run a query in each of its forms."""
    return {method.__name__: plain(method(query, db)) for method in _methods(type(query), "run")}


def plain(value: Any) -> Any:
    """Return what a result holds with the type of each value: in Python, 1 equals True."""
    match value:
        case dict():
            return [(key, plain(item)) for key, item in value.items()]
        case str() | enum.Enum():
            return type(value), value
        case float():
            return float, repr(value)
        case _ if dataclasses.is_dataclass(value):
            return [(f.name, plain(getattr(value, f.name))) for f in dataclasses.fields(value)]
        case Sequence():
            return [plain(item) for item in value]
        case _:
            return type(value), value


def test_every_query_class_has_instances() -> None:
    assert query_classes().keys() == INSTANCES.keys()


@pytest.mark.parametrize("name", INSTANCES)
def test_a_query_returns_the_same_rows_in_the_same_order(engines: Engines, name: str) -> None:
    found = 0
    with dm.open(engines.sqlite) as first, dm.open(engines.postgres) as second:
        for query in INSTANCES[name]:
            sqlite, postgres = ask(query, first), ask(query, second)

            assert sqlite == postgres, query
            found += sum(map(len, sqlite.values()))
    assert found > 0


def test_order_depends_neither_on_the_collation_nor_on_the_place_of_null() -> None:
    """This test reads the SQL, because the test server has only one collation.

    Text must be ordered by code point and NULL must be placed explicitly; otherwise the order
    follows the settings of the Postgres database and differs from SQLite.
    """
    ordered = 0
    for query in itertools.chain.from_iterable(INSTANCES.values()):
        for run in _methods(type(query), "run"):
            method = getattr(type(query), run.__name__.replace("run", "select"), None)
            if method is None:
                # Computed in Python from queries that have tests of their own.
                continue
            clauses = method(query)._order_by_clauses
            assert clauses or type(query).__name__ in ONE_ROW, f"{query} has no order"
            for clause in clauses:
                column = getattr(clause, "element", clause)
                column = getattr(column, "element", column)
                sql = str(clause.compile(dialect=postgresql.dialect()))
                if isinstance(column.type, sa.Text):
                    assert 'COLLATE "C"' in sql, f"{query}: {sql}"
                if getattr(getattr(column, "column", column), "nullable", True):
                    assert "NULLS LAST" in sql, f"{query}: {sql}"
                ordered += 1
    assert ordered > len(INSTANCES)


# -- exports


def test_both_engines_have_the_same_tables_and_views(engines: Engines) -> None:
    for url in engines:
        with database.connect(url) as connection:
            names = sa.inspect(connection)
            assert set(names.get_table_names()) == {*TABLES, "alembic_version"}
            assert set(names.get_view_names()) == set(VIEWS)


@pytest.mark.parametrize("format_", ["csv", "tsv", "ndjson"])
@pytest.mark.parametrize("name", [*TABLES, *VIEWS])
def test_exports_are_identical(engines: Engines, name: str, format_: str) -> None:
    sqlite, postgres = (export(url, name, format_) for url in engines)

    assert sqlite == postgres
    # At least a header; a release without errors leaves the quarantine empty.
    assert len(sqlite) > (format_ != "ndjson") or name == "quarantine"


def export(url: sa.URL, name: str, format_: str) -> list[bytes]:
    """Export a table or view through SQLAlchemy, its rows sorted.

    The time of the load is left out, because it cannot be the same; so are pictures, which text
    formats refuse.
    """
    with database.connect(url) as connection:
        columns = VIEWS[name].c if name in VIEWS else Base.metadata.tables[name].c
        kept = [column for column in columns if column.name not in {"loaded_at", "img"}]
        rows = connection.execute(sa.select(*kept)).all()
    file = io.BytesIO()
    rows = sorted(rows, key=lambda row: [(value is None, str(value)) for value in row])
    outputs.write([column.name for column in kept], rows, format_, file)
    return file.getvalue().splitlines()


def test_columns_have_the_same_order(engines: Engines) -> None:
    for name in (*TABLES, *VIEWS):
        sqlite, postgres = ([column["name"] for column in _columns(url, name)] for url in engines)
        assert sqlite == postgres


def _columns(url: sa.URL, name: str) -> list[Any]:
    with database.connect(url) as connection:
        return list(sa.inspect(connection).get_columns(name))


def test_pictures_are_equal_byte_for_byte(engines: Engines) -> None:
    pictures = []
    for url in engines:
        with dm.open(url) as db:
            found = db.execute(sa.select(dm.Image.id, dm.Image.img).order_by(dm.Image.id))
            pictures.append([(number, bytes(img)) for number, img in found])

    assert pictures[0] == pictures[1]
    assert len(pictures[0]) > 100


def test_timestamps_agree_to_the_microsecond(engines: Engines) -> None:
    """Compare what is stored, read without the package's types."""
    stored = []
    for url, column in zip(
        engines,
        ("created", "to_char(created AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"),
        strict=True,
    ):
        with database.connect(url) as connection:
            stored.append(
                {
                    table: connection.execute(
                        sa.text(f"SELECT id, {column} FROM {table} ORDER BY id")
                    ).all()
                    for table in ("session", "image", "rating", "coordinate")
                }
            )

    assert stored[0] == stored[1]
    texts = {text for rows in stored[0].values() for _, text in rows}
    assert any(not text.endswith("000") for text in texts)
    assert all(dt.datetime.fromisoformat(text) for text in texts)


def test_infinite_and_missing_coordinates_agree(engines: Engines) -> None:
    stored = []
    for url in engines:
        with dm.open(url) as db:
            clicks = sa.select(dm.Coordinate.id, dm.Coordinate.x, dm.Coordinate.y)
            stored.append(db.execute(clicks.order_by(dm.Coordinate.id)).all())

    assert stored[0] == stored[1]
    values = {value for _, *point in stored[0] for value in point}
    assert {None, float("inf"), float("-inf"), -0.28} <= values


def test_the_inventory_agrees(engines: Engines) -> None:
    inventories = []
    for url in engines:
        with database.connect(url) as connection:
            described = inventory(connection)
            described["release"].pop("loaded_at")
            assert described.pop("size") > 100_000
            inventories.append(described)

    assert inventories[0] == inventories[1]
