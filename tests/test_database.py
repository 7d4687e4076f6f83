"""URLs, opening and upgrading databases, and every way in which these can fail."""

import builtins
import hashlib
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import dirtmodel as dm
from dirtmodel import database
from dirtmodel.database import revisions
from dirtmodel.queries.inventory import inventory

HEAD = database.known_revisions()[-1]
NOTHING_ELSE = r"\Z"


def exactly(message: str) -> str:
    """Return a pattern that matches exactly this message."""
    return re.escape(message) + NOTHING_ELSE


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that creates SQLite databases of a revision, without rows."""

    def make(name: str = "dirt.db", revision: str = "head") -> Path:
        path = tmp_path / name
        with database.engine(database.parse_url(path)).begin() as connection:
            database.migrate(connection, revision)
        return path

    return make


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class TestParseUrl:
    @pytest.mark.parametrize(
        ("text", "path"),
        [
            ("dirt.db", "dirt.db"),
            ("/abs/a b.db", "/abs/a b.db"),
            ("sqlite:///dirt.db", "dirt.db"),
            ("sqlite:////abs/dirt.db", "/abs/dirt.db"),
            ("sqlite+pysqlite:///dirt.db", "dirt.db"),
            ("ünï/çödé.db", "ünï/çödé.db"),
            ("a:b=c.db", "a:b=c.db"),
            ("./host=1.db", "host=1.db"),
            ("../a://b@c.db", "../a://b@c.db"),
            ("/abs/password=x.db", "/abs/password=x.db"),
            ("runs/user=ada/dirt.db", "runs/user=ada/dirt.db"),
        ],
    )
    def test_a_path_or_a_sqlite_url_names_a_file(self, text: str, path: str) -> None:
        assert database.sqlite_path(database.parse_url(text)) == Path(path)

    @pytest.mark.parametrize("name", ["a/b.db", "host=1.db", "postgresql:x@y", "a://b"])
    def test_paths_may_be_path_objects(self, name: str) -> None:
        assert database.sqlite_path(database.parse_url(Path(name))) == Path(name)

    @pytest.mark.parametrize("name", ["dirt.db", "host=1.db", "postgresql:x@y", "a:b@c", "a://b"])
    def test_a_path_that_is_shown_names_the_same_file(self, name: str) -> None:
        shown = database.display(database.parse_url(Path(name)))
        assert database.sqlite_path(database.parse_url(shown)) == Path(name)

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            (
                "host=db.example.org user=me password='s3 cret' dbname=qc",
                "postgresql://me:***@db.example.org/qc",
            ),
            ("service=qc", "postgresql://?service=qc"),
            (
                "user=me host=/run/pg port=5433 options='-c search_path=r3'",
                "postgresql://me@?host=%2Frun%2Fpg&options=-c+search_path%3Dr3&port=5433",
            ),
        ],
    )
    def test_libpq_s_parameters_are_a_url(self, text: str, shown: str) -> None:
        assert database.display(database.parse_url(text)) == shown

    @pytest.mark.parametrize(
        "text", ["host=x password='s3cret", "Server=x;Uid=me;Pwd=s3cret", "foo=1 password=s3cret"]
    )
    def test_other_parameters_are_refused_without_quoting_them(self, text: str) -> None:
        with pytest.raises(
            dm.DatabaseError,
            match=exactly(
                "the connection parameters cannot be read; write them as 'host=db.example.org "
                "dbname=qc user=me'; a path that looks like them needs ./ in front"
            ),
        ):
            database.parse_url(text)

    @pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
    def test_postgres_means_psycopg_3(self, scheme: str) -> None:
        url = database.parse_url(f"{scheme}://me@host:5433/qc?options=-csearch_path%3Dr3")
        assert url.drivername == "postgresql+psycopg"
        assert (url.host, url.port, url.database) == ("host", 5433, "qc")
        assert url.query["options"] == "-csearch_path=r3"

    @pytest.mark.parametrize("text", ["sqlite://", "sqlite:///:memory:", ":memory:", ""])
    def test_a_database_in_memory_is_refused(self, text: str) -> None:
        with pytest.raises(
            dm.DatabaseError,
            match=exactly(
                "a database in memory is gone when the command ends; name a file, for example "
                "--db dirt.db"
            ),
        ):
            database.parse_url(text)

    @pytest.mark.parametrize(
        "driver", ["mysql", "duckdb", "postgresql+psycopg2", "sqlite+aiosqlite"]
    )
    def test_other_drivers_are_refused(self, driver: str) -> None:
        with pytest.raises(
            dm.DatabaseError,
            match=exactly(
                f"{driver} is not supported; use SQLite (a path) or Postgres "
                "(postgresql://user@host/database)"
            ),
        ):
            database.parse_url(f"{driver}:///x")

    def test_options_in_a_sqlite_url_are_refused_rather_than_ignored(self) -> None:
        with pytest.raises(
            dm.DatabaseError,
            match=exactly(
                "options in a SQLite URL are not supported (mode, uri); use the path alone"
            ),
        ):
            database.parse_url("sqlite:///file:dirt.db?mode=rw&uri=true")

    def test_a_question_mark_in_a_sqlite_url_is_not_cut_off(self) -> None:
        with pytest.raises(
            dm.DatabaseError,
            match=exactly(
                "options in a SQLite URL are not supported; use the path alone, which may contain "
                "any character"
            ),
        ):
            database.parse_url("sqlite:///url?x.db")

    def test_an_at_sign_in_a_password_is_reported_without_quoting_it(self) -> None:
        with pytest.raises(
            dm.DatabaseError,
            match=exactly(
                "the database URL cannot be read: it has more than one @; in a user name or "
                "a password write %40 instead"
            ),
        ):
            database.parse_url("postgresql://me:sec@ret@host/qc")

    def test_a_path_may_begin_with_a_tilde(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", "/somebody")
        assert database.parse_url("~/dirt.db").database == "/somebody/dirt.db"

    @pytest.mark.parametrize(
        "text",
        [
            "://x",
            "postgresql://me:secret@host:port/qc",
            "postgresql:me:secret@host",
            "postgresql:/me:secret@host/qc",
            "jdbc:postgresql:qc",
            "me:secret@host/qc",
            "sqlite:dirt.db",
        ],
    )
    def test_an_invalid_url_is_refused_without_quoting_it(self, text: str) -> None:
        with pytest.raises(
            dm.DatabaseError, match=r"^the database URL cannot be read; write it as "
        ) as caught:
            database.parse_url(text)
        assert "secret" not in str(caught.value)
        assert "secret" not in str(caught.value.__cause__ or "")


class TestDisplay:
    @pytest.mark.parametrize(
        "text",
        [
            "postgresql://me:s3cret@host/qc",
            "postgresql://me:s3cret%40%2F%3A@host/qc",
            "postgresql://host/qc?user=me&password=s3cret",
            "postgresql://host/qc?PASSWORD=s3cret",
            "postgresql://me@host/qc?sslpassword=s3cret&passfile=/home/s3cret",
            "postgresql://me@host/qc?passwd=s3cret&pwd=s3cret",
            "host=x user=me password=s3cret",
        ],
    )
    def test_hides_every_password(self, text: str) -> None:
        url = database.parse_url(text)
        assert "s3cret" not in database.display(url)

    def test_keeps_the_rest(self) -> None:
        url = database.parse_url("postgres://me:x@host:5433/qc?options=-csearch_path%3Dr3")
        shown = "postgresql://me:***@host:5433/qc?options=-csearch_path%3Dr3"
        assert database.display(url) == shown

    def test_a_file_is_shown_as_its_path(self) -> None:
        assert database.display(database.parse_url("sqlite:////a/b c.db")) == "/a/b c.db"

    def test_a_url_s_own_repr_hides_its_password(self) -> None:
        assert "s3cret" not in repr(database.parse_url("postgresql://me:s3cret@host/qc"))


class TestOpeningSqlite:
    @pytest.mark.parametrize(
        "name",
        [
            *("a b.db", "ünï.db", "what?.db", "50%25.db", "#1.db", "a'b.db", "a:b.db", "a\nb.db"),
            *("%41.db", "host=1 password=x", "postgresql:me@x", "sub-1\udcff.db", "-v", "a;b&c=d"),
        ],
    )
    def test_a_file_may_have_any_name(self, made: Callable[..., Path], name: str) -> None:
        path = made(name)
        with dm.open(path) as session:
            assert session.scalar(sa.text("SELECT count(*) FROM image")) == 0
        assert [file.name for file in path.parent.iterdir()] == [name]

    def test_a_missing_file(self, tmp_path: Path) -> None:
        path = tmp_path / "no such.db"
        with (
            pytest.raises(
                dm.DatabaseError,
                match=exactly(
                    f"there is no database at {path}; make one with: "
                    f"dirtmodel load RELEASE --db '{path}'"
                ),
            ),
            dm.open(path),
        ):
            pass
        assert not path.exists()

    def test_a_file_below_a_file(self, made: Callable[..., Path]) -> None:
        with pytest.raises(dm.DatabaseError, match=r"^there is no database at "):
            dm.open(made() / "dirt.db")

    def test_a_name_that_is_too_long(self, tmp_path: Path) -> None:
        with pytest.raises(dm.DatabaseError, match=r"^cannot read .*: File name too long\Z"):
            dm.open(tmp_path / ("x" * 300))

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(
            dm.DatabaseError,
            match=exactly(
                f"{tmp_path} is a folder, not a database; if it holds a release, load it with: "
                f"dirtmodel load {tmp_path} --db dirt.db"
            ),
        ):
            dm.open(tmp_path)

    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(dm.DatabaseError, match="is not a file"):
            dm.open(tmp_path / "pipe")

    def test_an_empty_file(self, tmp_path: Path) -> None:
        path = tmp_path / "dirt.db"
        path.touch()
        with pytest.raises(
            dm.DatabaseError,
            match=exactly(
                f"{path} is empty; remove it and load a release with: "
                f"dirtmodel load RELEASE --db {path}"
            ),
        ):
            dm.open(path)

    def test_a_file_that_is_not_sqlite(self, release: Path) -> None:
        path = next(release.rglob("session.parquet"))
        with pytest.raises(
            dm.DatabaseError,
            match=exactly(f"{path} is not a SQLite database; check the path of the database"),
        ):
            dm.open(path)

    def test_the_sqlite_of_another_program(self, tmp_path: Path) -> None:
        path = tmp_path / "bookmarks.db"
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE image (id INTEGER PRIMARY KEY)")
        with pytest.raises(
            dm.DatabaseError,
            match=exactly(
                f"{path} is not a database of dirtmodel (it does not have its tables); "
                f"load a release with: dirtmodel load RELEASE --db {path}"
            ),
        ):
            dm.open(path)

    def test_another_program_that_uses_alembic(self, tmp_path: Path) -> None:
        path = tmp_path / "other.db"
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
            connection.execute(f"INSERT INTO alembic_version VALUES ('{HEAD}')")
            connection.commit()
        with pytest.raises(dm.DatabaseError, match="is not a database of dirtmodel"):
            dm.open(path)

    def test_an_older_revision(self, made: Callable[..., Path]) -> None:
        path = made(revision="0002")
        with pytest.raises(
            dm.DatabaseError,
            match=exactly(
                f"{path} is at revision 0002 and this dirtmodel needs {HEAD}; "
                f"run: dirtmodel upgrade --db {path}"
            ),
        ):
            dm.open(path)

    def test_a_newer_revision(self, made: Callable[..., Path]) -> None:
        path = made()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
            connection.commit()
        for attempt in (lambda: dm.open(path), lambda: dm.upgrade(path)):
            with pytest.raises(
                dm.DatabaseError,
                match=exactly(
                    f"{path} is at revision 9999, which this dirtmodel does not know; "
                    "install a newer version of dirtmodel"
                ),
            ):
                attempt()

    def test_a_schema_without_a_release_is_opened_and_empty(
        self, made: Callable[..., Path]
    ) -> None:
        with dm.open(made()) as session:
            assert dm.Coverage().run(session) == []
            assert dm.KitExclusions().run(session) == []
            described = inventory(session.connection())
        assert described["release"] == {}
        assert set(described["rows"].values()) == {0}

    def test_a_damaged_file(self, loaded_file: Path, tmp_path: Path) -> None:
        path = tmp_path / "dirt.db"
        with closing(sqlite3.connect(loaded_file)) as connection:
            (page,) = connection.execute(
                "SELECT rootpage FROM sqlite_master WHERE name = 'image'"
            ).fetchone()
        raw = bytearray(loaded_file.read_bytes())
        raw[(page - 1) * 4096 : page * 4096] = b"\xa5" * 4096
        path.write_bytes(raw)
        with (
            pytest.raises(
                dm.DatabaseError, match=exactly(f"{path} failed: database disk image is malformed")
            ),
            dm.open(path) as session,
        ):
            session.execute(sa.text("SELECT sum(length(img)), max(file1) FROM image")).all()

    def test_a_file_cut_short(self, loaded_file: Path, tmp_path: Path) -> None:
        path = tmp_path / "dirt.db"
        path.write_bytes(loaded_file.read_bytes()[:6000])
        with pytest.raises(dm.DatabaseError, match=r"^[^\n]*malformed\Z"):
            dm.open(path)

    def test_missing_migrations(
        self, made: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        path = made()
        package = tmp_path / "site-packages" / "dirtmodel"
        monkeypatch.setattr(revisions, "__file__", str(package / "database" / "revisions.py"))
        with pytest.raises(
            dm.DatabaseError,
            match=exactly(f"the migrations are missing beside {package}; install dirtmodel again"),
        ):
            dm.open(path)


class TestReadOnly:
    def test_writing_is_refused(self, loaded_url: sa.URL) -> None:
        insert = sa.text("INSERT INTO session (id, step, created) VALUES (99999, 0, '2025-01-01')")
        with (
            pytest.raises(
                dm.DatabaseError,
                match=exactly(
                    f"{database.display(loaded_url)} is open for reading only; to write, open it "
                    "with read_only=False"
                ),
            ),
            dm.open(loaded_url) as session,
        ):
            session.execute(insert)

    def test_a_mistake_in_a_statement_is_not_a_failure_of_the_database(
        self, loaded_url: sa.URL
    ) -> None:
        with (
            pytest.raises((sa.exc.OperationalError, sa.exc.ProgrammingError), match="nonsense"),
            dm.open(loaded_url) as session,
        ):
            session.execute(sa.text("SELECT nonsense FROM image"))

    def test_a_failure_names_the_database_that_failed(
        self, loaded_file: Path, made: Callable[..., Path]
    ) -> None:
        with (
            pytest.raises(dm.DatabaseError, match=rf"^{loaded_file} is open for reading only"),
            dm.open(loaded_file) as outer,
            dm.open(made()),
        ):
            outer.execute(sa.text("DELETE FROM rating"))

    def test_a_writer_that_locks_the_database_is_reported(self, made: Callable[..., Path]) -> None:
        path = made()
        locked = (
            f"{path} is in use by another program or by a session that is still open; close it, or "
            "try again when it has finished"
        )
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            session = dm.open(path, read_only=False)
            session.execute(sa.text("PRAGMA busy_timeout=0"))
            session.commit()
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(dm.DatabaseError, match=exactly(locked)):
                session.execute(sa.text("DELETE FROM rating"))
            session.close()

    def test_the_file_is_unchanged(self, loaded_file: Path) -> None:
        before = sha256(loaded_file)
        with dm.open(loaded_file) as session:
            dm.Coverage().run(session)
            session.commit()
        assert sha256(loaded_file) == before
        assert [file.name for file in loaded_file.parent.iterdir()] == ["dirt.db"]

    def test_a_read_only_file_in_a_read_only_folder_is_opened(
        self, loaded_file: Path, tmp_path: Path
    ) -> None:
        folder = tmp_path / "published"
        folder.mkdir()
        path = Path(shutil.copy(loaded_file, folder))
        path.chmod(0o444)
        folder.chmod(0o555)
        question = (
            "import os, sys\n"
            "import sqlalchemy.dialects.sqlite\n"
            "import dirtmodel as dm\n"
            "from dirtmodel import database\n"
            "known = database.known_revisions()\n"
            "database.revisions = lambda: known\n"
            "query = dm.Coverage()\n"
            # Root can write to read-only files, so the query runs as the user nobody, who may be
            # unable to read the package; therefore everything is imported before.
            "if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
            "assert not os.access(sys.argv[1], os.W_OK)\n"
            "with dm.open(sys.argv[1]) as session:\n"
            "    print(len(query.run(session)))\n"
        )
        for above in (folder, *folder.parents):
            if above.owner() == Path(tmp_path).owner() and not above.stat().st_mode & 0o001:
                above.chmod(above.stat().st_mode | 0o011)
        done = subprocess.run(
            [sys.executable, "-B", "-c", question, path],
            capture_output=True,
            text=True,
            cwd=Path(__file__).parent.parent,
            check=False,
        )
        folder.chmod(0o755)
        assert (done.stdout, done.stderr) == ("5\n", "")

    def test_every_transaction_is_read_only_on_postgres(self, loaded_url: sa.URL) -> None:
        if database.is_sqlite(loaded_url):
            statement, expected = "PRAGMA query_only", 1
        else:
            statement, expected = "SHOW transaction_read_only", "on"
        with dm.open(loaded_url) as session:
            found = []
            for _ in range(2):
                found.append(session.scalar(sa.text(statement)))
                session.commit()
        assert found == [expected, expected]


class TestWriting:
    def test_what_a_writable_session_commits_is_kept(self, new_url: sa.URL, release: Path) -> None:
        dm.load(release, new_url)
        with dm.open(new_url, read_only=False) as session:
            session.get_one(dm.Release, 1).label = "mine"
            session.commit()
        with dm.open(new_url) as session:
            assert session.get_one(dm.Release, 1).label == "mine"

    def test_what_it_does_not_commit_is_not(self, new_url: sa.URL, release: Path) -> None:
        dm.load(release, new_url, label="theirs")
        with dm.open(new_url, read_only=False) as session:
            session.get_one(dm.Release, 1).label = "mine"
            session.flush()
        with dm.open(new_url) as session:
            assert session.get_one(dm.Release, 1).label == "theirs"

    def test_a_mistake_in_a_statement_keeps_its_own_error(self, made: Callable[..., Path]) -> None:
        with (
            pytest.raises(sa.exc.IntegrityError, match="NOT NULL"),
            dm.open(made(), read_only=False) as session,
        ):
            session.execute(sa.text("INSERT INTO session (id) VALUES (1)"))

    def test_waits_for_and_names_another_writer(
        self, made: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = made()
        connect = sqlite3.connect
        monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **k, timeout=0.05))
        with closing(connect(path)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(
                dm.DatabaseError,
                match=exactly(
                    f"{path} is in use by another program or by a session that is still open; "
                    "close it, or try again when it has finished"
                ),
            ):
                dm.open(path)


class TestPostgres:
    def test_a_server_that_does_not_answer(self) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as server:
            port = server.getsockname()[1]
        with pytest.raises(
            dm.DatabaseError,
            match=rf"^cannot open postgresql://me:\*\*\*@127.0.0.1:{port}/qc: [^\n]*refused",
        ):
            dm.open(f"postgresql://me:s3cret@127.0.0.1:{port}/qc")

    def test_a_host_that_does_not_exist(self) -> None:
        with pytest.raises(
            dm.DatabaseError, match=r"^cannot open postgresql://no-such-host.invalid/qc: [^\n]+\Z"
        ):
            dm.open("postgresql://no-such-host.invalid/qc")

    def test_a_database_that_does_not_exist(self, postgres_server: str) -> None:
        url = database.parse_url(postgres_server).set(database="nowhere")
        with pytest.raises(
            dm.DatabaseError,
            match=r'^cannot open postgresql://[^\n]*: [^\n]*database "nowhere" does not exist\Z',
        ):
            dm.open(url)

    def test_a_user_that_does_not_exist(self, postgres_server: str) -> None:
        url = database.parse_url(postgres_server).set(username="nobody-here", password="s3cret")  # noqa: S106 - opens nothing
        with pytest.raises(
            dm.DatabaseError, match=r'role "nobody-here" does not exist\Z'
        ) as caught:
            dm.open(url)
        assert "s3cret" not in str(caught.value)

    def test_an_option_that_does_not_exist(self, postgres_server: str) -> None:
        url = database.parse_url(postgres_server).update_query_dict({"colour": "blue"})
        with pytest.raises(dm.DatabaseError, match=r"^cannot open [^\n]*colour[^\n]*\Z"):
            dm.open(url)

    @pytest.mark.parametrize("loaded_url", ["postgres"], indirect=True)
    def test_a_url_that_names_no_schema(self, loaded_url: sa.URL) -> None:
        url = loaded_url.update_query_dict({"options": "-cgeqo=on -csearch_path=nothing_here"})
        schema = str(loaded_url.query["options"]).partition("=")[2]
        with database.connect(loaded_url) as connection:
            schemas = revisions._schemas_of_releases(connection)
        assert schema in schemas
        chosen = url.update_query_dict({"options": f"-cgeqo=on -csearch_path={schemas[0]}"})
        with pytest.raises(
            dm.DatabaseError,
            match=exactly(
                f"{database.display(url)} does not name a schema that holds a release; these do: "
                f"{', '.join(schemas)}; choose one in the URL: --db '{database.display(chosen)}'"
            ),
        ):
            dm.open(url)

    def test_a_schema_without_a_release(self, postgres_server: str) -> None:
        url = database.parse_url(postgres_server).set(database="template1")
        with pytest.raises(
            dm.DatabaseError,
            match=r"is not a database of dirtmodel \(it does not have its tables\)",
        ):
            dm.open(url)

    def test_without_psycopg(self, monkeypatch: pytest.MonkeyPatch) -> None:
        original = builtins.__import__

        def without_psycopg(name: str, *args: Any, **kwargs: Any) -> Any:
            if name == "psycopg":
                raise ImportError(name)
            return original(name, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", without_psycopg)
        with pytest.raises(
            dm.DatabaseError,
            match=exactly(
                "Postgres needs psycopg, which is not installed; "
                "install dirtmodel with its extra postgres, or run: pip install 'psycopg[binary]'"
            ),
        ):
            dm.open("postgresql://host/qc")

    @pytest.mark.parametrize(
        ("timeout", "setting"), [(1.5, "1500ms"), (0.0001, "1ms"), (None, "0")]
    )
    def test_the_timeout_is_the_server_s(
        self, postgres_server: str, timeout: float | None, setting: str
    ) -> None:
        engine = database.engine(database.parse_url(postgres_server), timeout=timeout)
        with engine.connect() as connection:
            assert connection.scalar(sa.text("SHOW statement_timeout")) == setting

    def test_a_statement_that_takes_too_long(self, loaded_url: sa.URL) -> None:
        if database.is_sqlite(loaded_url):
            return
        with (
            pytest.raises(
                dm.DatabaseError, match=r"failed: canceling statement due to statement timeout\Z"
            ),
            dm.open(loaded_url, timeout=0.05) as session,
        ):
            session.execute(sa.text("SELECT pg_sleep(5)"))

    def test_the_url_s_own_connect_timeout_counts(self, postgres_server: str) -> None:
        for query, expected in (({}, "10"), ({"connect_timeout": "3"}, "3")):
            url = database.parse_url(postgres_server).update_query_dict(query)
            with database.engine(url).connect() as connection:
                driver: Any = connection.connection.driver_connection
                assert driver.info.get_parameters()["connect_timeout"] == expected


class TestUpgrade:
    @pytest.mark.parametrize("revision", database.known_revisions())
    def test_returns_the_old_and_the_new_revision(
        self, made: Callable[..., Path], revision: str
    ) -> None:
        path = made(revision=revision)
        assert dm.upgrade(path) == (revision, HEAD)
        with dm.open(path) as session:
            assert session.scalar(sa.text("SELECT count(*) FROM review")) == 0

    def test_takes_a_url_as_text(self, made: Callable[..., Path]) -> None:
        assert dm.upgrade(f"sqlite:///{made(revision='0001')}") == ("0001", HEAD)

    def test_can_downgrade(self, release: Path, new_url: sa.URL) -> None:
        dm.load(release, new_url)
        assert dm.upgrade(new_url, "0002") == (HEAD, "0002")

    def test_a_revision_that_does_not_exist(self, made: Callable[..., Path]) -> None:
        known = ", ".join(("base", *database.known_revisions()))
        with pytest.raises(
            dm.DatabaseError,
            match=exactly(f"there is no revision 0815; choose head or one of {known}"),
        ):
            dm.upgrade(made(), "0815")

    def test_a_missing_database_is_not_created(self, tmp_path: Path) -> None:
        with pytest.raises(dm.DatabaseError, match="there is no database at"):
            dm.upgrade(tmp_path / "dirt.db")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("mistake", ["op.execute('SELEC 1')", "raise RuntimeError('half-way')"])
    def test_a_failed_migration_leaves_everything_unchanged(
        self,
        new_url: sa.URL,
        release: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        mistake: str,
    ) -> None:
        dm.load(release, new_url)
        before = tables_and_rows(new_url)
        folder = Path(shutil.copytree(database.migrations_folder(), tmp_path / "migrations"))
        (folder / "versions" / "0099_fails.py").write_text(
            "import sqlalchemy as sa\nfrom alembic import op\n"
            f"revision, down_revision = '0099', '{HEAD}'\n"
            "def upgrade():\n"
            "    op.execute('DROP VIEW review_labels')\n"
            "    op.execute('DELETE FROM rating')\n"
            "    op.add_column('session', sa.Column('mood', sa.Text()))\n"
            "    op.create_table('extra', sa.Column('id', sa.Integer()))\n"
            f"    {mistake}\n"
        )
        monkeypatch.setattr(revisions, "migrations_folder", lambda: folder)
        with pytest.raises((dm.DatabaseError, RuntimeError)) as caught:
            dm.upgrade(new_url)
        monkeypatch.undo()
        assert tables_and_rows(new_url) == before
        if isinstance(caught.value, dm.DatabaseError):
            shown = re.escape(database.display(new_url))
            pattern = rf"{shown} could not be upgraded and is left unchanged: [^\n]*syntax error"
            assert re.match(pattern, str(caught.value))
            assert "\n" not in str(caught.value)

    def test_a_dangling_row_of_ours_is_reported(
        self, made: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = made()
        folder = Path(shutil.copytree(database.migrations_folder(), tmp_path / "migrations"))
        (folder / "versions" / "0099_dangles.py").write_text(
            "from alembic import op\n"
            f"revision, down_revision = '0099', '{HEAD}'\n"
            "def upgrade():\n"
            '    op.execute("INSERT INTO rating "\n'
            "      \"VALUES (7, 0, 0, 5, 6, '2025-01-01 00:00:00.000000', NULL)\")\n"
        )
        monkeypatch.setattr(revisions, "migrations_folder", lambda: folder)
        before = sha256(path)
        with pytest.raises(
            dm.DatabaseError,
            match=r"^rating\.img_id holds 5, but there is no image with that id; nothing was ",
        ):
            dm.upgrade(path)
        assert sha256(path) == before

    def test_tables_of_users_may_have_any_foreign_keys(self, made: Callable[..., Path]) -> None:
        path = made(revision="0002")
        with closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE visit (sub, ses, PRIMARY KEY (sub, ses))")
            other.execute("INSERT INTO visit VALUES ('1', 'V1')")
            other.execute(
                "CREATE TABLE mine (sub, ses, img REFERENCES image, "
                "FOREIGN KEY (sub, ses) REFERENCES visit (sub, ses))"
            )
            other.execute("INSERT INTO mine VALUES ('1', 'V1', NULL)")
            other.commit()
        assert dm.upgrade(path) == ("0002", HEAD)

    @pytest.mark.parametrize(("options", "which"), [("", "row 1"), (" WITHOUT ROWID", "a row")])
    def test_a_dangling_row_of_a_users_table_is_reported(
        self, made: Callable[..., Path], options: str, which: str
    ) -> None:
        path = made(revision="0002")
        with closing(sqlite3.connect(path)) as other:
            other.execute(
                f"CREATE TABLE mine (img INTEGER PRIMARY KEY REFERENCES image (id)){options}"
            )
            other.execute("INSERT INTO mine VALUES (1)")
            other.commit()
        with pytest.raises(
            dm.DatabaseError,
            match=exactly(
                f"{which} of table mine refers to a missing row of image; nothing was changed"
            ),
        ):
            dm.upgrade(path)

    def test_a_file_that_may_not_be_written(self, made: Callable[..., Path]) -> None:
        path = made(revision="0002")
        with closing(sqlite3.connect(path)) as other:
            other.execute("BEGIN")
            other.execute("SELECT * FROM image").fetchall()
            original = sqlite3.connect
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sqlite3, "connect", lambda *a, **k: original(*a, **k, timeout=0.05))
                with pytest.raises(
                    dm.DatabaseError,
                    match=exactly(
                        f"{path} could not be upgraded and is left unchanged: database is locked"
                    ),
                ):
                    dm.upgrade(path)
        assert dm.upgrade(path) == ("0002", HEAD)

    def test_an_upgrade_that_was_killed_is_undone_by_the_next(
        self, made: Callable[..., Path]
    ) -> None:
        path = made(revision="0002")
        kill = (
            "import os, sys; from dirtmodel import database\n"
            "url = database.parse_url(sys.argv[1])\n"
            "engine = database.engine(url)\n"
            "with engine.begin() as connection:\n"
            "    connection.exec_driver_sql('PRAGMA cache_size=1')\n"
            "    connection.exec_driver_sql('PRAGMA cache_spill=1')\n"
            "    database.migrate(connection)\n"
            "    os._exit(9)\n"
        )
        done = subprocess.run([sys.executable, "-c", kill, path], check=False)
        assert done.returncode == 9
        assert path.with_name("dirt.db-journal").stat().st_size > 0
        with pytest.raises(
            dm.DatabaseError,
            match=exactly(
                f"a change to {path} was interrupted; undo it with: dirtmodel upgrade --db {path}"
            ),
        ):
            dm.open(path)
        assert dm.upgrade(path) == ("0002", HEAD)


class TestForeignKeys:
    def test_are_enforced_on_sqlite_too(self, made: Callable[..., Path]) -> None:
        with (
            pytest.raises(sa.exc.IntegrityError, match="FOREIGN KEY"),
            database.engine(database.parse_url(made())).begin() as connection,
        ):
            connection.execute(
                sa.text(
                    "INSERT INTO rating VALUES (7, 0, 0, 5, 6, '2025-01-01 00:00:00.000000', NULL)"
                )
            )


def tables_and_rows(url: sa.URL) -> dict[str, Any]:
    """Return all definitions, the numbers of rows, and the revision."""
    with database.connect(url) as connection:
        inspector = sa.inspect(connection)
        return {
            name: (
                [column["name"] for column in inspector.get_columns(name)],
                connection.scalar(sa.text(f'SELECT count(*) FROM "{name}"')),
            )
            for name in [*inspector.get_table_names(), *inspector.get_view_names()]
        } | {"revision": database.current_revision(connection)}
