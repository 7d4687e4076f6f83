"""Failures of a database while a command uses it, and settings of a server."""

import re
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from forking import Forked
from sqlalchemy import orm

import dirtmodel as dm
from dirtmodel import database
from dirtmodel.queries.reviews import integers

HOSTILE = {
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "IntervalStyle": "sql_standard",
    "DateStyle": "German, DMY",
    "TimeZone": "Asia/Kolkata",
    "client_encoding": "LATIN1",
    "quote_all_identifiers": "on",
    "standard_conforming_strings": "off",
    "transform_null_equals": "on",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
}


@pytest.fixture(scope="module")
def server(postgres_server: str) -> sa.Engine:
    return database.engine(database.parse_url(postgres_server))


@pytest.fixture
def role(server: sa.Engine) -> Iterator[str]:
    """Return the URL of a role that may read everything."""
    with server.begin() as connection:
        connection.execute(sa.text("CREATE ROLE guest LOGIN IN ROLE pg_read_all_data"))
    yield "guest"
    with server.begin() as connection:
        connection.execute(sa.text("DROP ROLE guest"))


def lost(url: sa.URL) -> str:
    """Return a pattern of the message; the server's own last message may be lost."""
    words = "terminating connection due to [^\\n]+|[^\\n]*server closed the connection unexpectedly"
    shown = re.escape(database.display(url))
    return rf"^the connection to {shown} was lost: ({words}); try again\Z"


on_postgres = pytest.mark.parametrize("loaded_url", ["postgres"], indirect=True)


@on_postgres
class TestSettingsOfAServer:
    @pytest.fixture
    def hostile(self, server: sa.Engine, role: str, loaded_url: sa.URL) -> sa.URL:
        with server.begin() as connection:
            for name, value in HOSTILE.items():
                connection.execute(sa.text(f"ALTER ROLE {role} SET {name} = '{value}'"))
        return loaded_url.set(username=role)

    def test_change_no_value(
        self, hostile: sa.URL, published: dict[str, list[dict[str, Any]]]
    ) -> None:
        with dm.open(hostile) as session:
            clicks = session.execute(
                sa.select(dm.Coordinate.id, dm.Coordinate.x, dm.Coordinate.created)
            ).all()
            pictures = session.execute(sa.select(dm.Image.id, dm.Image.img)).all()
        assert sorted(clicks) == sorted(
            (row["id"], row["x"], row["created"]) for row in published["coordinate"]
        )
        assert sorted(pictures) == sorted((row["id"], row["img"]) for row in published["image"])

    def test_cause_no_difference(self, hostile: sa.URL, loaded_url: sa.URL) -> None:
        with dm.diff(hostile, loaded_url) as differences:
            assert list(differences.rows("coordinate")) == []

    def test_are_overridden_by_each_connection(self, hostile: sa.URL) -> None:
        with database.connect(hostile) as connection:
            found = {name: connection.scalar(sa.text(f"SHOW {name}")) for name in HOSTILE}
        assert found == {
            "extra_float_digits": "3",
            "bytea_output": "hex",
            "IntervalStyle": "postgres",
            "DateStyle": "ISO, YMD",
            "TimeZone": "UTC",
            "client_encoding": "UTF8",
            "quote_all_identifiers": "off",
            "standard_conforming_strings": "on",
            "transform_null_equals": "off",
            "default_transaction_isolation": "read committed",
            "default_transaction_deferrable": "off",
        }


@on_postgres
class TestLostConnection:
    @pytest.fixture
    def kill(self, server: sa.Engine) -> Callable[[orm.Session], None]:
        """End a session's connection from another one, as an administrator does."""

        def kill(session: orm.Session) -> None:
            pid = session.scalar(sa.text("SELECT pg_backend_pid()"))
            with server.begin() as connection:
                connection.execute(sa.text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})

        return kill

    @pytest.mark.parametrize(
        "use",
        [
            lambda session: session.scalar(sa.text("SELECT 1")),
            lambda session: session.commit(),
            lambda session: integers(session, sa.select(dm.Review.id)),
            lambda session: session.get(dm.Image, 1),
        ],
        ids=["statement", "commit", "cursor of the driver", "object"],
    )
    def test_is_one_line_that_names_the_database(
        self,
        loaded_url: sa.URL,
        kill: Callable[[orm.Session], None],
        use: Callable[[orm.Session], object],
    ) -> None:
        def lose() -> None:
            with dm.open(loaded_url) as session:
                kill(session)
                use(session)

        with pytest.raises(dm.DatabaseError, match=lost(loaded_url)):
            lose()

    def test_does_not_matter_after_all_rows_are_read(
        self,
        loaded_url: sa.URL,
        kill: Callable[[orm.Session], None],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        with dm.open(loaded_url) as session:
            kill(session)
        assert caplog.messages == []

    def test_does_not_matter_when_no_more_rows_are_wanted(
        self,
        loaded_url: sa.URL,
        kill: Callable[[orm.Session], None],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        statement = sa.text("SELECT generate_series(1, 9)")
        with dm.open(loaded_url) as session:
            rows = session.execute(statement, execution_options={"yield_per": 2})
            rows.fetchone()
            kill(session)
            rows.close()
        assert caplog.messages == []

    def test_after_an_idle_transaction_is_explained(self, loaded_url: sa.URL) -> None:
        def idle() -> None:
            with dm.open(loaded_url) as session:
                session.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = '1ms'"))
                time.sleep(0.1)
                session.scalar(sa.text("SELECT 1"))

        with pytest.raises(dm.DatabaseError, match=lost(loaded_url)):
            idle()

    def test_names_the_database_that_lost_it(
        self, loaded_url: sa.URL, kill: Callable[[orm.Session], None]
    ) -> None:
        other = loaded_url.update_query_dict({"application_name": "other"})

        def lose_one() -> None:
            with dm.open(other) as victim, dm.open(loaded_url) as inner:
                inner.scalar(sa.text("SELECT 1"))
                kill(victim)
                victim.scalar(sa.text("SELECT 1"))

        with pytest.raises(dm.DatabaseError, match=lost(other)):
            lose_one()


class TestServer:
    @pytest.mark.parametrize("new_url", ["postgres"], indirect=True)
    def test_that_turned_read_only(self, new_url: sa.URL, release: Path) -> None:
        dm.load(release, new_url)
        url = new_url.update_query_dict(
            {"options": f"{new_url.query['options']} -cdefault_transaction_read_only=on"}
        )
        with pytest.raises(dm.DatabaseError) as caught:
            dm.refresh(url)
        assert str(caught.value) == (
            f"{database.display(url)} cannot be written: cannot execute DELETE in a read-only "
            "transaction; connect to the primary server, as a role that may write"
        )

    @on_postgres
    def test_with_too_many_connections(
        self, server: sa.Engine, role: str, loaded_url: sa.URL
    ) -> None:
        with server.begin() as connection:
            connection.execute(sa.text(f"ALTER ROLE {role} CONNECTION LIMIT 0"))
        with pytest.raises(
            dm.DatabaseError,
            match=rf'^cannot open [^\n]+ too many connections for role "{role}"\Z',
        ):
            dm.open(loaded_url.set(username=role)).__enter__()

    @on_postgres
    @pytest.mark.parametrize(
        ("write", "message"),
        [
            (
                dm.refresh,
                (
                    "{shown} denied access: permission denied for table tally; ask its owner for "
                    "the right to read and write all its tables"
                ),
            ),
            (
                lambda url: dm.upgrade(url, "0002"),
                (
                    "{shown} could not be upgraded and is left unchanged: must be owner of view "
                    "ratings_session; upgrade it as the owner of its tables"
                ),
            ),
        ],
        ids=["refresh", "upgrade"],
    )
    def test_that_the_role_may_only_read(
        self, role: str, loaded_url: sa.URL, write: Callable[[sa.URL], object], message: str
    ) -> None:
        url = loaded_url.set(username=role)
        with pytest.raises(dm.DatabaseError) as caught:
            write(url)
        assert str(caught.value) == message.format(shown=database.display(url))

    @on_postgres
    def test_whose_schema_the_role_may_not_use(self, server: sa.Engine, loaded_url: sa.URL) -> None:
        url = loaded_url.set(username="stranger")
        schema = str(url.query["options"]).partition("=")[2]
        with server.begin() as connection:
            connection.execute(sa.text("CREATE ROLE stranger LOGIN"))
        try:
            with pytest.raises(dm.DatabaseError) as caught:
                dm.open(url)
            problem, _, remedy = str(caught.value).partition("; ask its owner to: ")
            assert problem == (
                f"{database.display(url)} denied access: stranger may not use schema {schema}"
            )
            with server.begin() as connection:
                connection.exec_driver_sql(remedy)
            with dm.open(url) as session:
                assert session.get(dm.Release, 1)
        finally:
            with server.begin() as connection:
                connection.exec_driver_sql("DROP OWNED BY stranger; DROP ROLE stranger")

    @on_postgres
    def test_that_ends_a_statement_within_a_cursor_of_the_driver(self, loaded_url: sa.URL) -> None:
        with (
            pytest.raises(
                dm.DatabaseError, match=r"failed: canceling statement due to statement timeout\Z"
            ),
            dm.open(loaded_url, timeout=0.05) as session,
        ):
            integers(session, sa.select(sa.func.length(sa.func.pg_sleep(5).cast(sa.Text))))


class TestReadOnlyFolder:
    """Files in a folder, both of which the user may only read."""

    @pytest.fixture
    def public(self) -> Iterator[Path]:
        """Create a folder that every user can enter, unlike those of pytest."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o755)
            yield Path(folder)
            for below in Path(folder).iterdir():
                below.chmod(0o755)

    @pytest.fixture
    def published_file(self, loaded_file: Path, public: Path) -> Path:
        folder = public / "published"
        folder.mkdir()
        return Path(shutil.copy(loaded_file, folder / "dirt.db"))

    @staticmethod
    def message(path: Path) -> str:
        """Return the error that the user `nobody` sees, because root can write to any folder."""
        path.parent.chmod(0o555)
        program = Forked(
            f"""
            import os
            import sqlalchemy.dialects.sqlite
            import dirtmodel as dm
            from dirtmodel import opening
            if os.getuid() == 0:
                os.setgroups([]); os.setgid(65534); os.setuid(65534)
            try:
                with dm.open({str(path)!r}): pass
            except dm.DatabaseError as error:
                print(error)
            """
        )
        code, printed, errors = program.finished()
        assert (code, errors) == (0, "")
        return printed

    def test_a_file_in_wal_mode(self, published_file: Path, tmp_path: Path) -> None:
        with closing(sqlite3.connect(published_file)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        assert self.message(published_file) == (
            f"{published_file} is in WAL mode, in which readers write to its folder, too, and "
            f"{published_file.parent} is read-only; copy it to a folder that you can write to: "
            f"cp {published_file} FOLDER\n"
        )
        with dm.open(shutil.copy(published_file, tmp_path)) as session:
            assert session.get(dm.Release, 1)

    def test_a_file_with_a_write_ahead_log(
        self, published_file: Path, public: Path, tmp_path: Path
    ) -> None:
        log = published_file.with_name("dirt.db-wal")
        with closing(sqlite3.connect(published_file)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("UPDATE release SET label = 'in the log'")
            connection.commit()
            copy = public / "unfinished"
            shutil.copytree(
                published_file.parent, copy, ignore=lambda _folder, _names: ["dirt.db-shm"]
            )
        path, log = copy / "dirt.db", copy / "dirt.db-wal"
        assert self.message(path).endswith(f"that you can write to: cp {path} {log} FOLDER\n")
        shutil.copy(path, tmp_path)
        shutil.copy(log, tmp_path)
        with dm.open(tmp_path / "dirt.db") as session:
            assert session.get_one(dm.Release, 1).label == "in the log"

    def test_a_file_with_an_unfinished_change(
        self, published_file: Path, public: Path, tmp_path: Path
    ) -> None:
        copy = public / "unfinished"
        with closing(sqlite3.connect(published_file, isolation_level=None)) as connection:
            for pragma in ("cache_size=1", "cache_spill=1"):
                connection.execute(f"PRAGMA {pragma}")
            connection.execute("BEGIN")
            connection.execute("UPDATE image SET img = zeroblob(100)")
            shutil.copytree(published_file.parent, copy)
            connection.execute("ROLLBACK")
        path, journal = copy / "dirt.db", copy / "dirt.db-journal"
        assert self.message(path) == (
            f"a change to {path} was interrupted, and cannot be undone because the file or its "
            f"folder is read-only; copy it with its journal: cp {path} {journal} FOLDER; then "
            "undo the change in the copy: dirtmodel upgrade --db FOLDER/dirt.db\n"
        )
        folder = tmp_path / "mine"
        folder.mkdir()
        shutil.copy(path, folder)
        shutil.copy(journal, folder)
        dm.upgrade(folder / "dirt.db")
        with dm.open(folder / "dirt.db") as session:
            assert session.get_one(dm.Image, 1).img[:4] != bytes(4)
