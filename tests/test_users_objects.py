"""Objects that users added to a database survive a replacement and an upgrade, or stop them."""

import itertools
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

import dirtmodel as dm
from dirtmodel import database, sample
from dirtmodel.loading import postgres

HEAD = database.known_revisions()[-1]
LATER = "; nothing was changed; drop it, and create it again after the "

_numbers = itertools.count()


@pytest.fixture(scope="module")
def tables() -> dict[str, Any]:
    return sample.make_tables(subjects=2, slices=1, pictures="tiny", hazards=False)


@pytest.fixture(scope="module")
def small(tables: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a release that loads quickly."""
    return sample.write_tables(tables, tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def extended(tables: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the same release with a column `confidence` of ratings and a step 5."""
    rating = tables["rating"].append_column("confidence", pa.array([1] * len(tables["rating"])))
    session = tables["session"].to_pylist()
    session.append(session[-1] | {"id": 9999, "step": 5})
    changed = {"session": pa.Table.from_pylist(session, tables["session"].schema)}
    return sample.write_tables(
        tables | {"rating": rating} | changed, tmp_path_factory.mktemp("extended")
    )


@pytest.fixture(scope="module")
def loaded(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a SQLite database that holds the release; shared, so change only copies."""
    made = tmp_path_factory.mktemp("loaded") / "dirt.db"
    dm.load(small, made)
    return made


@pytest.fixture(scope="module")
def earlier(loaded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the same database at the first revision; shared, so change only copies."""
    made = Path(shutil.copy(loaded, tmp_path_factory.mktemp("earlier")))
    dm.upgrade(made, "0001")
    return made


@pytest.fixture
def path(loaded: Path, tmp_path: Path) -> Path:
    """Return a copy of the database that holds the release."""
    return Path(shutil.copy(loaded, tmp_path))


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as plain:
        for statement in statements:
            plain.execute(statement)
        plain.commit()


def rows(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as plain:
        return plain.execute(query).fetchall()


def first_id(path: Path, table: str) -> int:
    ((found,),) = rows(path, f"SELECT min(id) FROM {table}")
    assert isinstance(found, int)
    return found


def replace(path: Path, release: Path) -> None:
    dm.load(release, path, replace=True, label="new")


def upgrade(path: Path, _release: Path) -> None:
    """Upgrade the database from its revision."""
    before, after = dm.upgrade(path)
    assert (before, after) == ("0001", HEAD)


@pytest.fixture(params=["replace", "upgrade", "replace an earlier revision"])
def renew(
    request: pytest.FixtureRequest, path: Path, small: Path, earlier: Path
) -> Callable[[], None]:
    """Return a function that replaces the release, or upgrades the database, or both."""
    if request.param != "replace":
        shutil.copy(earlier, path)
    step = upgrade if request.param == "upgrade" else replace
    return lambda: step(path, small)


# -- SQLite: what survives


TABLES = {
    # kind: (definition, rows); the braces stand for the name
    "constraints and BLOBs": (
        (
            "CREATE TABLE {} (a TEXT COLLATE NOCASE DEFAULT 'x' CHECK (a <> ''), b BLOB, "
            "c REAL UNIQUE, d)"
        ),
        "INSERT INTO {} VALUES ('é', x'00ff', 0.1, 9007199254740993), ('B', NULL, -0.0, 'text')",
    ),
    "generated columns": (
        ("CREATE TABLE {} (a INTEGER, b INTEGER AS (a * 2) STORED, c AS (a * 3) VIRTUAL, d TEXT)"),
        "INSERT INTO {} (a, d) VALUES (1, 'one'), (2, 'two')",
    ),
    "WITHOUT ROWID": (
        "CREATE TABLE {} (a TEXT PRIMARY KEY, b INTEGER) WITHOUT ROWID",
        "INSERT INTO {} VALUES ('z', 1), ('a', 2)",
    ),
    "STRICT": (
        "CREATE TABLE {} (a INTEGER PRIMARY KEY, b ANY, c TEXT) STRICT",
        "INSERT INTO {} VALUES (1, '1', 'text'), (2, 2, NULL), (3, x'02', 'x')",
    ),
    "a column named rowid": (
        "CREATE TABLE {} (rowid TEXT, _rowid_ TEXT, a)",
        "INSERT INTO {} VALUES ('x', 'y', 1)",
    ),
    "every name of the rowid taken": (
        "CREATE TABLE {} (rowid, _rowid_, oid)",
        "INSERT INTO {} VALUES (1, 2, 3)",
    ),
}


def test_a_table_keeps_its_definition_and_rows(path: Path, renew: Callable[[], None]) -> None:
    names = [f"mine_{number}" for number in range(len(TABLES))]
    for name, statements in zip(names, TABLES.values(), strict=True):
        change(path, *(statement.format(name) for statement in statements))
    queries = [f"SELECT sql FROM sqlite_master WHERE name = '{name}'" for name in names]
    queries += [f"SELECT * FROM {name}" for name in names]
    before = [rows(path, query) for query in queries]

    renew()

    assert [rows(path, query) for query in queries] == before


NAMES = ("select", "Table of mine", 'say "hi"', "it's", "[x]", "naïve", "a.b", "100%", "index")


def test_a_table_may_have_any_name(path: Path, renew: Callable[[], None]) -> None:
    quoted = ['"' + name.replace('"', '""') + '"' for name in NAMES]
    for name, mine in zip(NAMES, quoted, strict=True):
        change(
            path,
            f"CREATE TABLE {mine} ({mine} INTEGER)",
            f"INSERT INTO {mine} VALUES (7)",
            f'CREATE INDEX "i {name.replace(chr(34), chr(39))}" ON {mine} ({mine})',
            f'CREATE VIEW "v {name.replace(chr(34), chr(39))}" AS SELECT {mine} FROM {mine}',
        )
    listed = "SELECT * FROM sqlite_master WHERE name LIKE 'i %' OR name LIKE 'v %' ORDER BY name"
    before = [(kind, name, sql) for kind, name, _, _, sql in rows(path, listed)]

    renew()

    assert [rows(path, f"SELECT * FROM {mine}") for mine in quoted] == [[(7,)]] * len(NAMES)
    after = [(kind, name, sql) for kind, name, _, _, sql in rows(path, listed)]
    assert len(after) == 2 * len(NAMES)
    assert after == before


def test_rowids_and_the_next_number_are_kept(path: Path, renew: Callable[[], None]) -> None:
    change(
        path,
        "CREATE TABLE numbered (id INTEGER PRIMARY KEY AUTOINCREMENT, a)",
        "INSERT INTO numbered VALUES (5, 'five'), (900, 'gone')",
        "DELETE FROM numbered WHERE id = 900",
        "CREATE TABLE plain (a)",
        "INSERT INTO plain (rowid, a) VALUES (7, 'seven'), (3, 'three')",
        "CREATE TABLE emptied (id INTEGER PRIMARY KEY AUTOINCREMENT)",
        "INSERT INTO emptied VALUES (41)",
        "DELETE FROM emptied",
    )

    renew()

    change(path, "INSERT INTO numbered (a) VALUES ('new')", "INSERT INTO emptied DEFAULT VALUES")
    assert rows(path, "SELECT id, a FROM numbered") == [(5, "five"), (901, "new")]
    assert rows(path, "SELECT id FROM emptied") == [(42,)]
    assert rows(path, "SELECT rowid, a FROM plain") == [(3, "three"), (7, "seven")]


def test_a_table_may_refer_to_a_table_of_the_release_and_to_one_created_later(
    path: Path, renew: Callable[[], None]
) -> None:
    image = first_id(path, "image")
    change(
        path,
        (
            "CREATE TABLE child (img INTEGER REFERENCES image ON DELETE CASCADE, "
            "parent INTEGER REFERENCES parent (id), step INTEGER REFERENCES step)"
        ),
        "CREATE TABLE parent (id INTEGER PRIMARY KEY)",
        f"INSERT INTO child VALUES ({image}, 1, 3), (NULL, NULL, NULL)",
        "INSERT INTO parent VALUES (1)",
    )

    renew()

    assert rows(path, "SELECT * FROM child") == [(image, 1, 3), (None, None, None)]
    with closing(sqlite3.connect(path)) as plain:
        plain.execute("PRAGMA foreign_keys=ON")
        plain.execute("DELETE FROM image WHERE id = ?", [image])
        assert plain.execute("SELECT count(*) FROM child").fetchone() == (1,)


def test_indexes_are_kept_and_used(path: Path, renew: Callable[[], None]) -> None:
    change(
        path,
        "CREATE TABLE mine (a, b)",
        "CREATE UNIQUE INDEX mine_ab ON mine (a, b DESC)",
        "CREATE INDEX failed ON rating (session) WHERE rating = 2",
        "CREATE INDEX by_length ON image (length(file1), lower(file2))",
    )
    query = "SELECT name, tbl_name, sql FROM sqlite_master WHERE name IN ('mine_ab', 'failed', "
    query += "'by_length') ORDER BY name"
    before = rows(path, query)

    renew()

    assert len(before) == 3
    assert rows(path, query) == before
    plan = rows(path, "EXPLAIN QUERY PLAN SELECT id FROM image WHERE length(file1) = 7")
    assert "by_length" in str(plan)


def test_views_are_kept_whatever_their_order(path: Path, renew: Callable[[], None]) -> None:
    change(
        path,
        "CREATE VIEW third AS SELECT n + 1 AS n FROM second",
        "CREATE VIEW second AS SELECT n + 1 AS n FROM first",
        "CREATE TABLE mine (weight)",
        "INSERT INTO mine VALUES (0.5)",
        "CREATE VIEW first AS SELECT count(*) AS n FROM rating, mine",
        "CREATE VIEW 'in order' (a, b) AS WITH x AS (SELECT step, id FROM session) SELECT * FROM x",
    )
    query = "SELECT n, (SELECT count(*) FROM 'in order') FROM third"
    before = rows(path, query)

    renew()

    assert before[0][0] > 2
    assert rows(path, query) == before


def test_triggers_are_kept_and_do_not_fire_meanwhile(path: Path, renew: Callable[[], None]) -> None:
    change(
        path,
        "CREATE TABLE log (what TEXT)",
        "CREATE TABLE mine (a)",
        "INSERT INTO mine VALUES (1)",
        *(
            f"CREATE TRIGGER {event}_{table} AFTER {event} ON {table} "
            f"BEGIN INSERT INTO log VALUES ('{event} {table}'); END"
            for event in ("INSERT", "UPDATE", "DELETE")
            for table in ("mine", "rating", "image")
        ),
        (
            "CREATE TRIGGER guard BEFORE INSERT ON session WHEN new.id < 0 "
            "BEGIN SELECT raise(ABORT, 'negative'); END"
        ),
        "CREATE VIEW writable AS SELECT a FROM mine",
        (
            "CREATE TRIGGER through INSTEAD OF INSERT ON writable "
            "BEGIN INSERT INTO mine VALUES (new.a); END"
        ),
    )

    renew()

    assert rows(path, "SELECT * FROM log") == []
    assert rows(path, "SELECT * FROM mine") == [(1,)]
    change(path, "INSERT INTO writable VALUES (2)", "UPDATE rating SET id = id WHERE id = 1")
    assert rows(path, "SELECT DISTINCT what FROM log ORDER BY 1") == [
        ("INSERT mine",),
        ("UPDATE rating",),
    ]
    with pytest.raises(sqlite3.IntegrityError, match="negative"):
        change(
            path,
            "INSERT INTO session (id, step, created) VALUES (-1, 0, '2025-01-01 00:00:00.000000')",
        )


HAS_FTS5 = (
    sqlite3.connect(":memory:")
    .execute("SELECT sqlite_compileoption_used('ENABLE_FTS5')")
    .fetchone()
)
needs_fts5 = pytest.mark.skipif(HAS_FTS5 == (0,), reason="this SQLite was built without fts5")


@needs_fts5
def test_a_full_text_index_keeps_its_rows(path: Path, renew: Callable[[], None]) -> None:
    change(
        path,
        "CREATE VIRTUAL TABLE notes_index USING fts5(note, tokenize = 'porter ascii')",
        "INSERT INTO notes_index (rowid, note) VALUES (12, 'badly aligned'), (3, 'fine')",
        # Not one of the tables in which the index stores its rows.
        "CREATE TABLE notes_index_sources (a)",
        "INSERT INTO notes_index_sources VALUES ('rating')",
    )

    renew()

    query = "SELECT rowid, note FROM notes_index WHERE notes_index MATCH 'aligning'"
    assert rows(path, query) == [(12, "badly aligned")]
    assert rows(path, "SELECT * FROM notes_index_sources") == [("rating",)]
    change(path, "INSERT INTO notes_index (notes_index) VALUES ('integrity-check')")


@needs_fts5
def test_a_full_text_index_of_our_notes_finds_those_of_the_new_release(
    path: Path, tables: dict[str, Any], tmp_path: Path
) -> None:
    change(
        path,
        "CREATE VIRTUAL TABLE found USING fts5(notes, content = 'rating', content_rowid = 'id')",
        "INSERT INTO found (found) VALUES ('rebuild')",
    )
    rating = tables["rating"].to_pylist()
    rating[0]["notes"] = "zebra"
    changed = tables | {"rating": pa.Table.from_pylist(rating, tables["rating"].schema)}

    dm.load(sample.write_tables(changed, tmp_path / "changed"), path, replace=True)

    query = "SELECT rowid, notes FROM found WHERE found MATCH 'zebra'"
    assert rows(path, query) == [(rating[0]["id"], "zebra")]


def test_an_object_that_was_already_broken_is_kept(path: Path, renew: Callable[[], None]) -> None:
    change(
        path,
        "CREATE TABLE gone (a)",
        "CREATE VIEW broken AS SELECT a FROM gone",
        "CREATE VIEW elsewhere AS SELECT a_function_of_another_program(id) AS a FROM rating",
        "DROP TABLE gone",
    )
    query = "SELECT name, sql FROM sqlite_master WHERE name IN ('broken', 'elsewhere')"
    before = rows(path, query)

    renew()

    assert len(before) == 2
    assert rows(path, query) == before


def test_many_rows_and_large_ones_are_copied(path: Path, small: Path) -> None:
    change(path, "CREATE TABLE mine (a INTEGER PRIMARY KEY, b BLOB)")
    with closing(sqlite3.connect(path)) as plain:
        plain.executemany("INSERT INTO mine (b) VALUES (?)", [[b"x" * n] for n in range(5000)])
        plain.execute("INSERT INTO mine (b) VALUES (zeroblob(5000000))")
        plain.commit()

    replace(path, small)

    assert rows(path, "SELECT count(*), sum(length(b)), max(length(b)) FROM mine") == [
        (5001, 5000 * 4999 // 2 + 5_000_000, 5_000_000)
    ]


def test_objects_survive_a_second_replacement(path: Path, small: Path) -> None:
    change(path, "CREATE TABLE mine (a)", "CREATE VIEW v AS SELECT * FROM mine, review LIMIT 1")

    for _ in range(2):
        replace(path, small)

    assert rows(path, "SELECT name FROM sqlite_master WHERE name IN ('mine', 'v') ORDER BY 1") == [
        ("mine",),
        ("v",),
    ]


# -- SQLite: what cannot be kept


def refused(path: Path, action: Callable[[], object]) -> str:
    """Return the message of an action that must not change the database."""
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}

    with pytest.raises(dm.DatabaseError) as caught:
        action()

    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before
    return str(caught.value)


def test_a_reference_that_would_dangle_is_named(
    path: Path, tables: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    last = max(tables["rating"]["id"].to_pylist())
    change(
        path,
        "CREATE TABLE mine (rating INTEGER REFERENCES rating (id))",
        f"INSERT INTO mine (rowid, rating) VALUES (4, {last})",
    )
    fewer = [row for row in tables["rating"].to_pylist() if row["id"] != last]
    changed = tables | {"rating": pa.Table.from_pylist(fewer, tables["rating"].schema)}
    release = sample.write_tables(changed, tmp_path_factory.mktemp("fewer"))

    message = refused(path, lambda: replace(path, release))

    assert message == (
        "the table mine that was added to the database cannot be kept: row 4 refers to a row of "
        f"rating that is missing{LATER}load"
    )


def test_a_reference_to_a_step_that_is_gone_is_named(
    path: Path, small: Path, extended: Path
) -> None:
    dm.load(extended, path, replace=True, extend=True)
    change(
        path,
        "CREATE TABLE mine (step INTEGER PRIMARY KEY REFERENCES step) WITHOUT ROWID",
        "INSERT INTO mine VALUES (5)",
    )

    message = refused(path, lambda: replace(path, small))

    assert message == (
        "the table mine that was added to the database cannot be kept: a row refers to a row of "
        f"step that is missing{LATER}load"
    )


@pytest.mark.parametrize(
    ("statement", "what", "reason"),
    [
        (
            "CREATE VIEW sure AS SELECT id FROM rating WHERE confidence = 1",
            "view sure",
            "no such column: confidence",
        ),
        (
            "CREATE INDEX sure ON rating (confidence)",
            "index sure",
            "no such column: confidence",
        ),
        (
            (
                "CREATE TRIGGER sure AFTER UPDATE ON rating "
                "BEGIN DELETE FROM rating WHERE confidence = 0; END"
            ),
            "trigger sure",
            "no such column: confidence",
        ),
    ],
)
def test_an_object_on_a_column_that_is_gone_is_named(
    path: Path, small: Path, extended: Path, statement: str, what: str, reason: str
) -> None:
    dm.load(extended, path, replace=True, extend=True)
    change(path, "CREATE TABLE mine (a)", statement)

    message = refused(path, lambda: replace(path, small))

    assert message == (
        f"the {what} that was added to the database cannot be kept: {reason}{LATER}load"
    )


def test_an_object_that_cannot_be_kept_is_named_before_any_row_is_loaded(
    path: Path, small: Path, extended: Path
) -> None:
    dm.load(extended, path, replace=True, extend=True)
    change(path, "CREATE VIEW sure AS SELECT id FROM rating WHERE confidence = 1")
    loaded: list[str] = []

    refused(
        path, lambda: dm.load(small, path, replace=True, progress=lambda *of: loaded.append(of[0]))
    )

    assert loaded == []


def test_of_two_triggers_the_broken_one_is_named(path: Path, small: Path, extended: Path) -> None:
    dm.load(extended, path, replace=True, extend=True)
    change(
        path,
        "CREATE TABLE log (a)",
        "CREATE TRIGGER sound AFTER INSERT ON rating BEGIN INSERT INTO log VALUES (1); END",
        (
            "CREATE TRIGGER broken AFTER INSERT ON rating "
            "BEGIN INSERT INTO log VALUES (new.confidence); END"
        ),
    )

    message = refused(path, lambda: replace(path, small))

    assert message == (
        "the trigger broken that was added to the database cannot be kept: no such column: "
        f"new.confidence{LATER}load"
    )


CLASHES = {
    "table": "CREATE TABLE review (mine)",
    "view": "CREATE VIEW review AS SELECT 1",
    "index": "CREATE INDEX review ON rating (id)",
}


@pytest.mark.parametrize("kind", CLASHES)
def test_an_object_with_the_name_of_a_new_table_is_named_by_a_replacement(
    kind: str, path: Path, small: Path
) -> None:
    dm.upgrade(path, "0002")
    change(path, CLASHES[kind])

    message = refused(path, lambda: replace(path, small))

    assert message == (
        f"the {kind} review that was added to the database cannot be kept: the new schema has an "
        f"object of this name{LATER}load"
    )


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("table", "table review already exists"),
        ("view", "view review already exists"),
        ("index", "there is already an index named review"),
    ],
)
def test_an_object_with_the_name_of_a_new_table_is_named_by_an_upgrade(
    kind: str, reason: str, path: Path
) -> None:
    dm.upgrade(path, "0002")
    change(path, CLASHES[kind])

    message = refused(path, lambda: dm.upgrade(path))

    assert message == f"{path} could not be upgraded and is left unchanged: {reason}"


def test_a_view_that_an_upgrade_would_break_is_named(path: Path) -> None:
    dm.upgrade(path, "0001")
    change(
        path,
        "CREATE TABLE mine (rating, notes)",
        "CREATE VIEW noted AS SELECT notes FROM rating JOIN mine ON mine.rating = rating.id",
    )

    message = refused(path, lambda: dm.upgrade(path))

    assert message == (
        "the view noted that was added to the database cannot be kept: ambiguous column name: "
        f"notes{LATER}upgrade"
    )


@pytest.mark.parametrize(
    ("statement", "what", "reason"),
    [
        ("CREATE INDEX mine ON review (notes)", "index mine", "it belongs to review"),
        (
            "CREATE TRIGGER mine AFTER DELETE ON review BEGIN DELETE FROM finding; END",
            "trigger mine",
            "it belongs to review",
        ),
    ],
)
def test_an_object_on_a_table_that_a_downgrade_would_drop_is_named(
    path: Path, statement: str, what: str, reason: str
) -> None:
    change(path, statement)

    message = refused(path, lambda: dm.upgrade(path, "0002"))

    assert message == (
        f"the {what} that was added to the database cannot be kept: {reason}, which would be "
        f"dropped{LATER}upgrade"
    )


def test_a_trigger_that_a_downgrade_would_break_is_named(path: Path) -> None:
    change(
        path,
        "CREATE TABLE log (note)",
        (
            "CREATE TRIGGER noted AFTER INSERT ON rating "
            "BEGIN INSERT INTO log SELECT count(*) FROM review; END"
        ),
    )

    message = refused(path, lambda: dm.upgrade(path, "0002"))

    assert message == (
        "the trigger noted that was added to the database cannot be kept: no such table: "
        f"main.review{LATER}upgrade"
    )


def test_a_table_of_a_missing_module_is_named(path: Path, small: Path) -> None:
    change(path, "CREATE VIRTUAL TABLE shapes USING fts5(a)")
    # As if a program with a module of this name had created it.
    path.write_bytes(path.read_bytes().replace(b"shapes USING fts5", b"shapes USING file"))

    message = refused(path, lambda: replace(path, small))

    assert message == (
        "the table shapes that was added to the database cannot be kept: no such module: "
        f"file{LATER}load"
    )


# -- Postgres


@pytest.fixture
def place(postgres_server: str, small: Path) -> Iterator[sa.URL]:
    """Return the URL of a schema that holds the release."""
    name = f"users_{os.getpid()}_{next(_numbers)}"
    server = database.parse_url(postgres_server)
    url = server.update_query_dict({"options": f"-csearch_path={name}"})
    dm.load(small, url)
    yield url
    run(server, f"DROP SCHEMA {name} CASCADE")


@pytest.fixture
def role(postgres_server: str) -> Iterator[str]:
    name = f"user_{os.getpid()}_{next(_numbers)}"
    server = database.parse_url(postgres_server)
    run(server, f"CREATE ROLE {name} LOGIN")
    yield name
    run(server, f"REASSIGN OWNED BY {name} TO postgres", f"DROP OWNED BY {name}")
    run(server, f"DROP ROLE {name}")


def run(url: sa.URL, *statements: str) -> list[Any]:
    """Run SQL as another client, and return the rows of the last statement."""
    with database.engine(url).connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        for statement in statements:
            result = connection.exec_driver_sql(
                statement, execution_options={"no_parameters": True}
            )
        return [tuple(row) for row in result] if result.returns_rows else []


def again(url: sa.URL, release: Path) -> None:
    dm.load(release, url, replace=True, label="new")


def content(url: sa.URL) -> list[Any]:
    """Return everything that a load changes in a schema and its tables."""
    relations = run(
        url,
        "SELECT oid, relname, relkind, relfilenode, relchecks, reltriggers FROM (SELECT c.*, "
        "(SELECT count(*) FROM pg_trigger AS t WHERE t.tgrelid = c.oid) AS reltriggers "
        "FROM pg_class AS c WHERE relnamespace = current_schema()::regnamespace) AS c ORDER BY 1",
    )
    tables = [name for _, name, kind, *_ in relations if kind == "r"]
    return [
        relations,
        *(run(url, f'SELECT md5(string_agg(t::text, \' \' ORDER BY t::text)) FROM "{name}" AS t')
          for name in tables),
    ]  # fmt: skip


def refused_by(url: sa.URL, action: Callable[[], object]) -> str:
    before = content(url)

    with pytest.raises(dm.DatabaseError) as caught:
        action()

    assert content(url) == before
    return str(caught.value)


def test_tables_views_and_indexes_survive_on_postgres(place: sa.URL, small: Path) -> None:
    run(
        place,
        "CREATE TABLE mine (id serial PRIMARY KEY, note text, step int REFERENCES step)",
        "INSERT INTO mine (note, step) VALUES ('kept', 3)",
        "CREATE VIEW on_table AS SELECT id, notes FROM rating",
        "CREATE VIEW on_view AS SELECT sub, count(*) AS n FROM rating_labels GROUP BY sub",
        # Valid only while `id` is the primary key.
        "CREATE VIEW by_key AS SELECT i.id, i.file1, count(r.id) FROM image AS i "
        "LEFT JOIN rating AS r ON r.img_id = i.id GROUP BY i.id",
        "CREATE MATERIALIZED VIEW stored AS SELECT count(*) AS n FROM review",
        "CREATE INDEX mine_index ON rating (lower(notes)) WHERE rating = 2",
        "COMMENT ON INDEX mine_index IS 'mine'",
    )
    listed = (
        "SELECT oid, relname, relkind, obj_description(oid) FROM pg_class WHERE relname IN ('mine',"
        " 'on_table', 'on_view', 'by_key', 'stored', 'mine_index') ORDER BY relname"
    )
    before = run(place, listed)

    again(place, small)

    assert len(before) == 6
    assert run(place, listed) == before
    assert run(place, "SELECT * FROM mine") == [(1, "kept", 3)]
    for view, table in (("by_key", "image"), ("on_table", "rating")):
        assert run(place, f"SELECT (SELECT count(*) FROM {view}) = (SELECT count(*) FROM {table})")
    assert run(place, "SELECT sum(n) > 0 FROM on_view") == [(True,)]


def test_rights_owners_comments_policies_and_publications_survive(
    place: sa.URL, small: Path, role: str
) -> None:
    publication = f"published_{role}"
    run(
        place,
        f"GRANT SELECT ON rating, review TO {role}",
        f"GRANT UPDATE (notes) ON rating TO {role}",
        f"ALTER VIEW rating_labels OWNER TO {role}",
        "COMMENT ON TABLE image IS 'my pictures'",
        "COMMENT ON COLUMN rating.notes IS 'my notes'",
        "ALTER TABLE session ENABLE ROW LEVEL SECURITY",
        f"CREATE POLICY own ON session TO {role} USING (step = 3)",
        f"CREATE PUBLICATION {publication} FOR TABLE rating",
        "ALTER TABLE rating ADD CONSTRAINT old_enough CHECK (created > '2000-01-01')",
    )
    asked = (
        (
            "SELECT relname, relowner::regrole::text, relacl::text, relrowsecurity, "
            "obj_description(oid), (SELECT array_agg(a.attacl::text ORDER BY attnum) "
            "FROM pg_attribute AS a WHERE a.attrelid = c.oid) FROM pg_class AS c "
            "WHERE relnamespace = current_schema()::regnamespace ORDER BY 1"
        ),
        "SELECT policyname, roles::text, qual FROM pg_policies WHERE tablename = 'session'",
        f"SELECT tablename FROM pg_publication_tables WHERE pubname = '{publication}'",
        (
            "SELECT col_description('rating'::regclass, attnum) FROM pg_attribute "
            "WHERE attrelid = 'rating'::regclass AND attname = 'notes'"
        ),
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'old_enough'",
    )
    before = [run(place, question) for question in asked]

    again(place, small)

    assert [run(place, question) for question in asked] == before
    assert before[2:4] == [[("rating",)], [("my notes",)]]
    run(place, f"DROP PUBLICATION {publication}")


def test_columns_and_triggers_on_our_tables_survive_and_triggers_do_not_fire(
    place: sa.URL, small: Path
) -> None:
    run(
        place,
        "ALTER TABLE rating ADD COLUMN colour text DEFAULT 'red'",
        "CREATE TABLE log (what text)",
        "CREATE FUNCTION log_it() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN INSERT INTO log VALUES (TG_OP); RETURN new; END $$",
        "CREATE TRIGGER each_row BEFORE INSERT ON rating FOR EACH ROW EXECUTE FUNCTION log_it()",
        "CREATE TRIGGER emptied AFTER TRUNCATE ON rating EXECUTE FUNCTION log_it()",
        "CREATE TRIGGER always AFTER INSERT ON review EXECUTE FUNCTION log_it()",
        "ALTER TABLE review ENABLE ALWAYS TRIGGER always",
        "CREATE TRIGGER never AFTER INSERT ON image EXECUTE FUNCTION log_it()",
        "ALTER TABLE image DISABLE TRIGGER never",
    )
    triggers = (
        "SELECT tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal AND tgrelid IN "
        "(SELECT oid FROM pg_class WHERE relnamespace = current_schema()::regnamespace) ORDER BY 1"
    )
    before = run(place, triggers)

    again(place, small)

    assert run(place, "SELECT * FROM log") == []
    assert before == [("always", "A"), ("each_row", "O"), ("emptied", "O"), ("never", "D")]
    assert run(place, triggers) == before
    assert run(place, "SELECT DISTINCT colour FROM rating") == [("red",)]


def test_a_table_that_inherits_from_ours_keeps_its_rows(place: sa.URL, small: Path) -> None:
    run(
        place,
        "CREATE TABLE mine () INHERITS (finding)",
        "INSERT INTO mine VALUES (900, 'mine', 'warning', 'here', 'kept', 1, '[]')",
    )

    again(place, small)

    assert run(place, "SELECT id FROM mine") == [(900,)]


def test_forced_row_security_of_an_owner_does_not_hide_rows_from_a_load(
    place: sa.URL, small: Path, role: str
) -> None:
    schema = str(place.query["options"]).partition("=")[2]
    names = [name for (name,) in run(place, "SELECT tablename::text FROM pg_tables "
                                     "WHERE schemaname = current_schema()")]  # fmt: skip
    views = [name for (name,) in run(place, "SELECT viewname::text FROM pg_views "
                                     "WHERE schemaname = current_schema()")]  # fmt: skip
    run(
        place,
        f"ALTER SCHEMA {schema} OWNER TO {role}",
        *(f"ALTER TABLE {name} OWNER TO {role}" for name in names),
        *(f"ALTER VIEW {name} OWNER TO {role}" for name in views),
        "ALTER TABLE rating ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    )
    before = run(place, "SELECT count(*) FROM review")

    again(place.set(username=role), small)

    assert run(place, "SELECT count(*) FROM review") == before
    forced = "SELECT relforcerowsecurity FROM pg_class WHERE oid = 'rating'::regclass"
    assert run(place, forced) == [(True,)]


def test_a_foreign_key_to_rows_that_are_replaced_is_named(place: sa.URL, small: Path) -> None:
    run(place, 'CREATE TABLE mine (a bigint CONSTRAINT "to them" REFERENCES session (id))')

    message = refused_by(place, lambda: again(place, small))

    assert message == (
        'the foreign key "to them" of mine refers to the release that is to be replaced; nothing '
        "was changed; drop the key, and add it again after the load"
    )


def test_a_foreign_key_to_a_step_that_is_gone_is_named(
    place: sa.URL, small: Path, extended: Path
) -> None:
    dm.load(extended, place, replace=True, extend=True)
    run(
        place,
        "CREATE TABLE mine (step int CONSTRAINT to_step REFERENCES step)",
        "INSERT INTO mine VALUES (5)",
    )

    message = refused_by(place, lambda: again(place, small))

    assert message == (
        f"the load into {database.display(place)} failed: update or delete on table "
        '"step" violates foreign key constraint "to_step" on table "mine"; nothing was changed'
    )


def test_columns_and_numbers_of_an_earlier_release_are_dropped(
    place: sa.URL, small: Path, extended: Path
) -> None:
    dm.load(extended, place, replace=True, extend=True)
    columns = (
        "SELECT attname::text FROM pg_attribute WHERE attrelid = 'rating'::regclass "
        "AND attname = 'confidence' AND NOT attisdropped"
    )
    assert run(place, columns) == [("confidence",)]
    assert run(place, "SELECT name FROM step WHERE id = 5") == [("STEP_5",)]

    again(place, small)

    assert run(place, columns) == []
    assert run(place, "SELECT name FROM step WHERE id = 5") == []


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("CREATE VIEW sure AS SELECT id FROM rating WHERE confidence = 1", "view sure"),
        ("CREATE INDEX sure ON rating (confidence)", "index sure"),
    ],
)
def test_an_object_on_a_column_that_is_gone_is_named_on_postgres(
    place: sa.URL, small: Path, extended: Path, statement: str, what: str
) -> None:
    dm.load(extended, place, replace=True, extend=True)
    run(place, statement)

    message = refused_by(place, lambda: again(place, small))

    assert message == (
        f"the {what} that was added to the database cannot be kept: the release has no column "
        f"confidence of this type in rating{LATER}load"
    )


def test_a_name_clash_with_a_new_table_is_named_on_postgres(place: sa.URL, small: Path) -> None:
    dm.upgrade(place, "0002")
    run(place, "CREATE TABLE review (mine int)")

    messages = [
        refused_by(place, lambda: dm.upgrade(place)),
        refused_by(place, lambda: again(place, small)),
    ]

    shown = database.display(place)
    assert messages == [
        f'{shown} could not be upgraded and is left unchanged: relation "review" already exists',
        (f'the load into {shown} failed: relation "review" already exists; nothing was changed'),
    ]


def test_a_view_that_a_downgrade_would_break_is_named_on_postgres(place: sa.URL) -> None:
    run(place, "CREATE VIEW mine AS SELECT count(*) FROM tally")

    message = refused_by(place, lambda: dm.upgrade(place, "0002"))

    assert message == (
        f"{database.display(place)} could not be upgraded and is left unchanged: cannot drop table "
        "tally because other objects depend on it (view mine depends on table tally)"
    )


@pytest.mark.parametrize(
    ("statements", "what"),
    [
        (["CREATE INDEX mine ON review (notes)"], "index mine"),
        (
            [
                "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
                "CREATE TRIGGER mine AFTER DELETE ON review EXECUTE FUNCTION noted()",
            ],
            "trigger mine",
        ),
    ],
)
def test_an_object_on_a_table_that_a_downgrade_would_drop_is_named_on_postgres(
    place: sa.URL, statements: list[str], what: str
) -> None:
    run(place, *statements)

    message = refused_by(place, lambda: dm.upgrade(place, "0002"))

    assert message == (
        f"the {what} that was added to the database cannot be kept: it belongs to review, which "
        f"would be dropped{LATER}upgrade"
    )


def test_users_objects_survive_an_upgrade_on_postgres(place: sa.URL) -> None:
    dm.upgrade(place, "0001")
    run(
        place,
        "CREATE TABLE mine (img bigint REFERENCES image, weight float8)",
        "INSERT INTO mine SELECT id, 0.5 FROM image",
        "CREATE VIEW weighted AS SELECT sum(weight) FROM mine JOIN image ON image.id = mine.img",
        "CREATE INDEX by_rating ON rating (created)",
    )
    query = "SELECT * FROM weighted"
    before = run(place, query)

    dm.upgrade(place)

    assert run(place, query) == before
    assert run(place, "SELECT count(*) FROM pg_indexes WHERE indexname = 'by_rating' "
               "AND schemaname = current_schema()") == [(1,)]  # fmt: skip


def test_a_reader_that_does_not_finish_stops_the_load(
    place: sa.URL, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "PATIENCE", 0)
    with database.engine(place).connect() as reader:
        reader.execute(sa.text("SELECT count(*) FROM image")).all()
        pid = reader.scalar(sa.text("SELECT pg_backend_pid()"))

        with pytest.raises(dm.DatabaseError) as caught:
            again(place, small)

        # Other transactions do not wait for the load.
        assert run(place, "SELECT count(*) > 0 FROM rating") == [(True,)]
    schema = str(place.query["options"]).partition("=")[2]
    assert str(caught.value) == (
        f"the release in schema {schema} of {database.display(place)} is in use "
        f"(postgres, process {pid}); nothing was changed; load again when they have finished, or "
        "load into another schema with ?options=-csearch_path%3Dname"
    )
