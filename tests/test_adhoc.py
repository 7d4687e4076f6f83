"""Ad hoc statements can read, and cannot change anything."""

import hashlib
import io
import json
import resource
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from forking import Forked
from hypothesis import given
from hypothesis import strategies as st

import dirtmodel as dm
from dirtmodel import database, sample
from dirtmodel.cli import main
from dirtmodel.errors import DirtmodelError, QueryError, UsageError
from dirtmodel.sql import ask
from dirtmodel.sql.catalogue import describe
from dirtmodel.sql.statement import Statement, point_at

COUNTING = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})
SELECT i, i * 0.5 AS half, 'row ' || i AS name FROM n
"""
MANY = 400_000
ROW_BYTES = 150
"""The bytes that a tuple of an integer, a float and a text takes in Python."""
PICTURES = "SELECT img FROM image WHERE step = 0 ORDER BY id LIMIT 1"
LONG_CALL = "trim(hex(zeroblob(1000000)), replace(hex(zeroblob(1000000)), '0', 'b') || '0')"
"""Takes hours, and is a single step of a statement for SQLite."""

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"

ATTACKS_ON_BOTH = [
    "INSERT INTO session VALUES (999999, 0, 'eve', '2025-01-01')",
    "UPDATE session SET \"user\" = 'eve'",
    "DELETE FROM rating",
    "WITH gone AS (SELECT 1) DELETE FROM coordinate",
    "DROP TABLE rating",
    "DROP TABLE review",
    "DROP VIEW review_labels",
    "INSERT INTO ratings_session (id, step) VALUES (999999, 0) RETURNING id",
    "DELETE FROM ratings_rating",
    "DROP INDEX ix_rating_rating",
    "ALTER TABLE rating ADD COLUMN eve integer",
    "ALTER TABLE rating RENAME TO eve",
    "CREATE TABLE eve (a integer)",
    "CREATE TEMP TABLE eve (a integer)",
    "CREATE TABLE eve AS SELECT 1 AS a",
    "CREATE VIEW eve AS SELECT 1 AS a",
    "CREATE TEMP VIEW eve AS SELECT 1 AS a",
    "CREATE INDEX eve ON rating (notes)",
    "REINDEX TABLE rating",
    "ANALYZE",
    "VACUUM",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT eve",
    "SELECT 1; DELETE FROM rating",
    "SELECT 1; SELECT 2",
    "; DELETE FROM rating",
    "COMMIT; DELETE FROM rating",
    "/* SELECT */ DELETE FROM rating -- SELECT",
    "EXPLAIN ANALYZE DELETE FROM rating",
]
ATTACKS_ON_SQLITE = [
    "ATTACH '{folder}/eve.db' AS eve",
    "ATTACH ':memory:' AS eve",
    "ATTACH '{folder}/secret.db' AS eve",
    "DETACH main",
    "VACUUM INTO '{folder}/eve.db'",
    "REPLACE INTO session VALUES (1, 0, 'eve', '2025-01-01')",
    "CREATE VIRTUAL TABLE temp.eve USING fts5(a)",
    "CREATE TRIGGER eve AFTER INSERT ON rating BEGIN SELECT 1; END",
    "CREATE TEMP TRIGGER eve AFTER INSERT ON rating BEGIN SELECT 1; END",
    "PRAGMA query_only = OFF",
    "PRAGMA query_only(0)",
    "PRAGMA journal_mode = WAL",
    "PRAGMA journal_mode(WAL)",
    "PRAGMA user_version = 7",
    "PRAGMA application_id = 7",
    "PRAGMA wal_checkpoint(TRUNCATE)",
    "PRAGMA incremental_vacuum",
    "PRAGMA optimize",
    "PRAGMA temp_store_directory = '{folder}'",
    "PRAGMA data_store_directory = '{folder}'",
    "PRAGMA trusted_schema = ON",
    "PRAGMA hard_heap_limit = 1",
    "SELECT load_extension('{folder}/eve.so')",
    "SELECT readfile('{folder}/secret.txt')",
    "SELECT writefile('{folder}/eve.txt', 'eve')",
    "SELECT edit('eve', 'touch {folder}/eve.txt')",
    "SELECT fts3_tokenizer('eve', x'0000000000000000')",
    "SELECT * FROM fsdir('{folder}')",
    "UPDATE sqlite_master SET sql = 'eve'",
    "DELETE FROM sqlite_sequence",
    "INSERT INTO sqlite_dbpage VALUES (1, zeroblob(4096))",
]
ATTACKS_ON_POSTGRES = [
    "TRUNCATE rating",
    "COPY rating TO '{folder}/eve.txt'",
    "COPY rating TO STDOUT",
    "COPY (SELECT 1) TO PROGRAM 'touch {folder}/eve.txt'",
    "COPY rating FROM PROGRAM 'touch {folder}/eve.txt'",
    "COPY session FROM '{folder}/secret.txt'",
    "WITH gone AS (DELETE FROM rating RETURNING id) SELECT * FROM gone",
    "SELECT * INTO eve FROM rating",
    "SELECT * FROM rating FOR UPDATE",
    "SELECT pg_read_file('{folder}/secret.txt')",
    "SELECT pg_read_binary_file('{folder}/secret.txt')",
    "SELECT pg_read_file('postgresql.conf')",
    "SELECT * FROM pg_ls_dir('{folder}')",
    "SELECT * FROM pg_stat_file('{folder}/secret.txt')",
    "SELECT pg_ls_logdir()",
    "SELECT lo_import('{folder}/secret.txt')",
    "SELECT lo_export(1, '{folder}/eve.txt')",
    "SELECT pg_file_write('{folder}/eve.txt', 'eve', false)",
    "SELECT nextval(pg_get_serial_sequence('rating', 'id'))",
    "SELECT setval(pg_get_serial_sequence('rating', 'id'), 1)",
    "SELECT pg_reload_conf()",
    "SELECT pg_rotate_logfile()",
    "SELECT pg_switch_wal()",
    "SELECT pg_stat_reset()",
    "SELECT pg_promote()",
    "SELECT pg_create_restore_point('eve')",
    "SELECT pg_create_physical_replication_slot('eve', true)",
    "SELECT set_config('role', 'none', true), pg_read_file('{folder}/secret.txt')",
    "SELECT * FROM ts_stat('SELECT pg_read_file(''{folder}/secret.txt'')::tsvector')",
    "SELECT set_config('transaction_read_only', 'off', true)",
    "SET transaction_read_only = off",
    "SET ROLE postgres",
    "RESET ROLE",
    "RESET ALL",
    "SET SESSION AUTHORIZATION DEFAULT",
    "LOAD '{folder}/eve.so'",
    "DO $$ BEGIN EXECUTE 'DROP TABLE rating'; END $$",
    "CALL eve()",
    "PREPARE eve AS DELETE FROM rating",
    "EXECUTE eve",
    "DECLARE eve CURSOR WITH HOLD FOR SELECT 1",
    "SELECT * FROM pg_authid",
    "SELECT set_config('role', 'postgres', true), pg_read_file('{folder}/secret.txt')",
    "SELECT set_config('session_authorization', 'postgres', true)",
    "NOTIFY eve",
    "LISTEN eve",
    "LOCK TABLE rating",
    "GRANT ALL ON rating TO public",
    "CREATE ROLE eve SUPERUSER",
    "CREATE EXTENSION dblink",
    "CREATE FUNCTION eve() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "ALTER SYSTEM SET log_statement = 'all'",
    "ALTER DATABASE postgres SET work_mem = '1GB'",
    "CHECKPOINT",
    "CLUSTER",
    "REFRESH MATERIALIZED VIEW eve",
    "SECURITY LABEL ON TABLE rating IS 'eve'",
    "IMPORT FOREIGN SCHEMA eve FROM SERVER eve INTO public",
]


def attacks(url: sa.URL) -> list[str]:
    own = ATTACKS_ON_SQLITE if database.is_sqlite(url) else ATTACKS_ON_POSTGRES
    return [*ATTACKS_ON_BOTH, *own]


def everything(url: sa.URL) -> Any:
    """Return what must not change: the file's bytes, or rows, relations, roles and settings."""
    if database.is_sqlite(url):
        path = database.sqlite_path(url)
        return hashlib.sha256(path.read_bytes()).hexdigest(), sorted(path.parent.iterdir())
    with dm.open(url) as session:
        rows = {
            table.name: session.execute(
                sa.text(
                    f"SELECT count(*), md5(string_agg(md5(t::text), '' ORDER BY t::text)) "
                    f'FROM "{table.name}" AS t'
                )
            ).one()
            for table in database.tables()
        }
        server = [
            session.execute(sa.text(statement)).all()
            for statement in (
                "SELECT oid, relname FROM pg_class ORDER BY oid",
                "SELECT rolname, rolsuper FROM pg_roles ORDER BY 1",
                "SELECT proname FROM pg_proc ORDER BY oid",
                "SELECT extname FROM pg_extension ORDER BY 1",
                "SELECT slot_name FROM pg_replication_slots",
                "SELECT count(*) FROM pg_largeobject_metadata",
                "SELECT name, setting FROM pg_settings WHERE source <> 'session' ORDER BY 1",
                "SELECT * FROM pg_db_role_setting",
            )
        ]  # fmt: skip
    return rows, server


def run(url: sa.URL, statement: str, *parameters: tuple[str, str], **options: Any) -> list[Any]:
    """Run a trusted statement, because the role of the tests is a superuser."""
    with ask(url, statement, dict(parameters), **{"trust": True, **options}) as answer:
        return list(answer.rows)


def dirtmodel(*arguments: str, **options: Any) -> Result:
    return CliRunner().invoke(main, arguments, **options)


def shown(url: sa.URL) -> str:
    return url.render_as_string(hide_password=False)


@pytest.fixture
def reader(loaded_url: sa.URL) -> Iterator[sa.URL]:
    """Return the loaded release; on Postgres, for the role that the message suggests."""
    if database.is_sqlite(loaded_url):
        yield loaded_url
        return
    with pytest.raises(dm.DatabaseError) as caught:
        run(loaded_url, "SELECT 1", trust=False)
    statements = [line for line in str(caught.value).splitlines() if line.endswith(";")]
    assert len(statements) == 3
    with database.engine(loaded_url).begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    yield loaded_url.set(username="reader")
    with database.engine(loaded_url).begin() as connection:
        connection.exec_driver_sql("DROP OWNED BY reader")
        connection.exec_driver_sql("DROP ROLE reader")


class TestAttacks:
    def test_are_refused_and_change_nothing(
        self, reader: sa.URL, loaded_url: sa.URL, tmp_path: Path
    ) -> None:
        (tmp_path / "secret.txt").write_text("secret")
        database.engine(database.parse_url(tmp_path / "secret.db")).connect().close()
        files = sorted(tmp_path.iterdir())
        before = everything(loaded_url)
        passed = []
        for attack in attacks(loaded_url):
            statement = attack.replace("{folder}", str(tmp_path))
            try:
                passed.append((attack, run(reader, statement, trust=False)))
            except QueryError:
                continue
        assert passed == []
        assert everything(loaded_url) == before
        assert sorted(tmp_path.iterdir()) == files

    def test_there_are_many_of_them(self, loaded_url: sa.URL) -> None:
        assert len(set(attacks(loaded_url))) >= 60

    def test_that_only_look_like_one_are_answered(self, loaded_url: sa.URL) -> None:
        statement = "SELECT 'DROP TABLE rating; COPY' AS a /* ATTACH */ -- PRAGMA"
        assert run(loaded_url, statement) == [("DROP TABLE rating; COPY",)]


@pytest.mark.parametrize("loaded_url", ["postgres"], indirect=True)
class TestRole:
    """On Postgres, functions may do what the role may do."""

    def test_that_can_only_read_needs_no_trust(self, reader: sa.URL) -> None:
        ((user, n),) = run(reader, "SELECT current_user, count(*) FROM review", trust=False)
        assert (user, n > 0) == ("reader", True)

    @pytest.mark.parametrize(
        ("power", "why"),
        [
            ("ALTER ROLE reader SUPERUSER", "reader is a superuser"),
            ("ALTER ROLE reader CREATEROLE", "reader may create roles"),
            ("GRANT pg_read_server_files TO reader", "reader is a member of pg_read_server_files"),
            ("GRANT postgres TO reader", "reader is a member of postgres"),
            (
                "CREATE ROLE between IN ROLE pg_signal_backend; GRANT between TO reader",
                "reader is a member of pg_signal_backend",
            ),
            (
                "GRANT postgres TO reader; ALTER ROLE reader SET role = 'pg_read_all_data'",
                "reader is a member of postgres",
            ),
        ],
    )
    def test_with_powers_over_the_server_is_refused_unless_trusted(
        self, reader: sa.URL, loaded_url: sa.URL, power: str, why: str
    ) -> None:
        schema = str(loaded_url.query["options"]).partition("=")[2]
        with database.engine(loaded_url).begin() as connection:
            connection.exec_driver_sql(power)
        try:
            with pytest.raises(dm.DatabaseError) as caught:
                run(reader, "SELECT 1", trust=False)
            assert str(caught.value) == (
                f"{why}, and a statement can use every power of its role, on files, roles and "
                "sessions of the server; connect as a role that can only read, which you create "
                "with:\n"
                "  CREATE ROLE reader LOGIN PASSWORD 'choose one';\n"
                f"  GRANT USAGE ON SCHEMA {schema} TO reader;\n"
                f"  GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO reader;\n"
                "or, if you trust the statement, add --trust (in Python: trust=True)"
            )
            assert run(reader, "SELECT 1") == [(1,)]
        finally:
            with database.engine(loaded_url).begin() as connection:
                connection.exec_driver_sql("DROP ROLE IF EXISTS between")

    def test_that_is_trusted_still_cannot_write(self, loaded_url: sa.URL) -> None:
        with pytest.raises(QueryError, match="read-only transaction"):
            run(loaded_url, "SELECT nextval(pg_get_serial_sequence('rating', 'id'))")

    def test_needs_an_option_on_the_command_line(self, loaded_url: sa.URL) -> None:
        statement = ["sql", "SELECT 1 AS a", "--db", shown(loaded_url), "--format", "csv"]
        refused, trusted = dirtmodel(*statement), dirtmodel(*statement, "--trust")
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert (trusted.exit_code, trusted.stdout) == (0, "a\n1\n")


class TestParameters:
    def test_are_numbers_where_numbers_are_compared(self, loaded_url: sa.URL) -> None:
        found = run(
            loaded_url,
            "SELECT DISTINCT step FROM image WHERE step = :step OR step > :more ORDER BY 1",
            ("step", "1"),
            ("more", "3"),
        )
        assert found == [(1,), (4,)]

    def test_are_text_where_text_is_compared(self, loaded_url: sa.URL) -> None:
        ((sub,),) = run(loaded_url, "SELECT min(sub) FROM target")
        statement = "SELECT DISTINCT sub FROM target WHERE sub = :sub"
        assert run(loaded_url, statement, ("sub", sub)) == [(sub,)]

    def test_cannot_become_sql(self, loaded_url: sa.URL) -> None:
        statement = "SELECT count(*) FROM target WHERE file1 = :name"
        assert run(loaded_url, statement, ("name", "' OR '1'='1")) == [(0,)]

    def test_may_be_used_twice(self, loaded_url: sa.URL) -> None:
        statement = "SELECT count(*) FROM image WHERE step = :a AND step + 0 = :a AND :b = 'x'"
        assert run(loaded_url, statement, ("a", "9"), ("b", "x")) == [(0,)]

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ((), "the statement needs a value for :step; add: -p step VALUE"),
            (
                (("step", "1"), ("stop", "1")),
                "the statement has no parameter :stop; write :stop where its value belongs",
            ),
        ],
    )
    def test_must_all_be_given_and_used(
        self, loaded_url: sa.URL, parameters: tuple[tuple[str, str], ...], message: str
    ) -> None:
        with pytest.raises(QueryError) as caught:
            run(loaded_url, "SELECT 1 FROM image WHERE step = :step", *parameters)
        assert str(caught.value) == message

    @pytest.mark.parametrize(
        ("text", "names"),
        [
            ("SELECT x::int, '2025'::date, (a)::text", []),
            ("SELECT data->>'a:b' FROM t WHERE data @> :json::jsonb", ["json"]),
            ("SELECT a[1:2], a[:n]", ["n"]),
            ("SELECT $$ :a $$, $q$ :b $$ $q$, :c", ["c"]),
            (r"SELECT E'it\'s :a', ':b', " + '":c", :d', ["d"]),
            ("SELECT 1 /* :a /* :b */ :c */ + :d -- :e", ["d"]),
            ("SELECT 5 % :a, 'x' LIKE '%:b%'", ["a"]),
        ],
    )
    def test_are_distinguished_from_other_colons_on_postgres(
        self, text: str, names: list[str]
    ) -> None:
        assert Statement.parse(text, postgres=True).names == names

    @pytest.mark.parametrize(
        ("text", "names"),
        [
            ("SELECT ':a', \":b\", `:c`, [:d], :e, @f, $g", ["e", "f", "g"]),
            ("SELECT 1 /* :a /* */ + :b -- :c", ["b"]),
            ("SELECT 'it''s :a' || :b", ["b"]),
        ],
    )
    def test_are_distinguished_from_other_colons_on_sqlite(
        self, text: str, names: list[str]
    ) -> None:
        assert Statement.parse(text, postgres=False).names == names

    @given(st.lists(st.sampled_from(["x ", ":a ", ":long_name ", "é ", "\n", "'q' "]), max_size=40))
    def test_do_not_shift_the_position_of_an_error(self, pieces: list[str]) -> None:
        text = "".join(pieces)
        statement = Statement.parse(text, postgres=True)
        numbered = statement.numbered()
        at = text.find("x ")
        for found in [n for n in range(len(numbered)) if numbered.startswith("x ", n)]:
            assert statement.place(found) == at
            at = text.find("x ", at + 1)


class TestErrors:
    def test_show_the_position(self, loaded_url: sa.URL) -> None:
        with pytest.raises(QueryError) as caught:
            run(loaded_url, "SELECT id,\n  foo\nFROM image WHERE step = :step", ("step", "1"))
        first, *rest = str(caught.value).splitlines()
        assert first.endswith("(line 2, column 3)")
        assert "foo" in first
        assert rest[:2] == ["    foo", "    ^"]

    def test_show_the_position_after_parameters(self, loaded_url: sa.URL) -> None:
        statement = "SELECT id FROM image WHERE step = :a_long_name AND wher x wher"
        with pytest.raises(QueryError) as caught:
            run(loaded_url, statement, ("a_long_name", "1"))
        lines = str(caught.value).splitlines()
        assert lines[1].strip() == statement
        marked = len(lines[2]) - 3
        assert statement[marked:] in {"wher x wher", "x wher", "wher"}

    @pytest.mark.parametrize(
        ("statement", "near"),
        [
            ("SELECT 1 FROM reviews", "review"),
            ("SELECT verdit FROM review", "verdict"),
            ("SELECT r.verdit FROM review AS r", "verdict"),
            ("SELECT 1 FROM xyzzy", None),
        ],
    )
    def test_of_a_misspelt_name_suggest_the_nearest(
        self, loaded_url: sa.URL, statement: str, near: str | None
    ) -> None:
        with pytest.raises(QueryError) as caught:
            run(loaded_url, statement)
        suggested = f" (did you mean {near}?)" if near else ""
        assert f"{suggested}; list the names with: dirtmodel sql --tables (line 1, column " in str(
            caught.value
        )

    def test_cut_long_lines(self) -> None:
        text = "SELECT " + "1, " * 200 + "foo, " + "2, " * 200 + "3"
        message = point_at("no such column: foo", text, text.index("foo"))
        _, line, mark = message.splitlines()
        assert line[mark.index("^") :].startswith("foo")
        assert len(line) < 100

    @pytest.mark.parametrize("statement", ["", " ", "-- only a remark", ";"])
    def test_name_an_empty_statement(self, loaded_url: sa.URL, statement: str) -> None:
        with pytest.raises(QueryError):
            run(loaded_url, statement)

    def test_name_a_statement_that_takes_too_long(self, loaded_url: sa.URL) -> None:
        with pytest.raises(QueryError, match=r"took longer than 0\.2 s; allow more time with --t"):
            run(loaded_url, ENDLESS, timeout=0.2)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (
                ["sql", "SELECT 1", "--tables"],
                "STATEMENT, -f FILE and --tables cannot be used together; use one of them",
            ),
            (["sql", "-f", "missing.sql"], "cannot read missing.sql: No such file"),
            (["sql", "SELECT :a", "-p", "a", "1", "-p", "a", "2"], "-p a is given twice"),
            (["sql", "SELECT 1", "--db", "missing.db"], "there is no database at missing.db"),
        ],
    )
    def test_explain_wrong_use(self, arguments: list[str], message: str) -> None:
        done = dirtmodel(*arguments)
        assert done.exit_code == 2
        assert message in done.stderr
        assert done.stdout == ""

    def test_ask_for_a_statement_on_a_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from dirtmodel.cli import sql

        monkeypatch.setattr("sys.stdin", io.StringIO())
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
        with pytest.raises(UsageError, match=r"^there is no statement; write one, for example: "):
            sql._text(None, None)


class TestResults:
    def test_describe_pictures_in_a_table(self, loaded_url: sa.URL) -> None:
        done = dirtmodel("sql", PICTURES, "--trust", "--db", shown(loaded_url))
        assert done.stdout.splitlines()[2].startswith("<PNG 96×72, ")

    def test_contain_pictures_in_parquet(self, loaded_url: sa.URL, tmp_path: Path) -> None:
        path = tmp_path / "a.parquet"
        dirtmodel("sql", PICTURES, "--trust", "--db", shown(loaded_url), "-o", str(path))
        (picture,) = pq.read_table(path)["img"].to_pylist()
        assert picture.startswith(b"\x89PNG")

    def test_keep_booleans_times_and_json(self, loaded_url: sa.URL, tmp_path: Path) -> None:
        path = tmp_path / "a.parquet"
        statement = (
            "SELECT r.created, source_data_issue, examples FROM rating AS r, finding "
            "WHERE r.id = :id AND code = 'no-rater'"
        )
        with dm.open(loaded_url) as session:
            rating = session.scalars(sa.select(dm.Rating).limit(1)).one()
        db = ["--trust", "--db", shown(loaded_url)]
        common = ["sql", statement, "-p", "id", str(rating.id), *db]
        dirtmodel(*common, "-o", str(path))
        table = pq.read_table(path)
        (found,) = json.loads(dirtmodel(*common, "--format", "json").stdout)
        assert [str(field.type) for field in table.schema] == [
            *("timestamp[us, tz=UTC]", "bool", "list<element: string>"),
        ]
        assert table["created"].to_pylist() == [rating.created]
        assert found == {
            "created": f"{rating.created:%Y-%m-%d %H:%M:%S.%f}",
            "source_data_issue": rating.source_data_issue,
            "examples": table["examples"].to_pylist()[0],
        }

    def test_keep_text_that_is_not_a_time(self, tmp_path: Path) -> None:
        dm.load(sample.write_release(tmp_path / "release", subjects=1, slices=1, pictures="tiny"),
                tmp_path / "dirt.db")  # fmt: skip
        with sqlite3.connect(tmp_path / "dirt.db") as connection:
            connection.execute("CREATE TABLE mine (at DATETIME, flag BOOLEAN, notes JSON)")
            connection.execute("INSERT INTO mine VALUES ('soon', 'perhaps', '{')")
        connection.close()
        assert run(database.parse_url(tmp_path / "dirt.db"), "SELECT * FROM mine") == [
            ("soon", "perhaps", "{")
        ]

    @pytest.mark.parametrize("name", ["csv", "tsv", "json", "ndjson", "table", "parquet"])
    def test_leave_in_every_format(self, loaded_url: sa.URL, tmp_path: Path, name: str) -> None:
        path = tmp_path / "out"
        done = dirtmodel(
            "sql", "SELECT step, count(*) AS n FROM target GROUP BY step ORDER BY step",
            "--trust", "--db", shown(loaded_url), "--format", name, "-o", str(path),
        )  # fmt: skip
        assert done.exit_code == 0
        assert path.stat().st_size > 20

    @pytest.mark.parametrize("name", ["csv", "tsv", "json", "ndjson", "table"])
    def test_print_times_alike_on_both_engines(self, loaded_url: sa.URL, name: str) -> None:
        with dm.open(loaded_url) as session:
            created = session.scalar(sa.select(sa.func.min(dm.Session.created)))
        done = dirtmodel(
            "sql", "SELECT min(created) AS created FROM session",
            "--trust", "--db", shown(loaded_url), "--format", name,
        )  # fmt: skip
        assert f"{created:%Y-%m-%d %H:%M:%S.%f}" in done.stdout
        assert "+00" not in done.stdout

    def test_come_from_a_file_or_stdin(self, loaded_url: sa.URL, tmp_path: Path) -> None:
        script = tmp_path / "query.sql"
        script.write_text("\ufeffSELECT count(*) AS n\nFROM rating -- é\n;\n")
        options = ["--trust", "--db", shown(loaded_url), "--format", "csv"]
        from_file = dirtmodel("sql", "-f", str(script), *options)
        for from_stdin in (["-f", "-"], ["-"], []):
            done = dirtmodel("sql", *from_stdin, *options, input=script.read_text())
            assert done.stdout == from_file.stdout
        assert from_file.stdout.splitlines()[0] == "n"

    def test_of_tables_name_every_column(self) -> None:
        done = dirtmodel("sql", "--tables", "--format", "csv")
        lines = done.stdout.splitlines()
        described = "one row per review: a rating, or one session's clicks on one image"
        assert f'review,,table,"{described}"' in lines
        assert 'review_labels,,view,"every review, with names for numbers, ' in done.stdout
        assert [line for line in lines if line.endswith(",")] == []


def test_rows_stream_in_little_memory(loaded_url: sa.URL, tmp_path: Path) -> None:
    # csv represents all formats that are written line by line.
    n = MANY // 2
    assert growth(shown(loaded_url), tmp_path / "out.csv", n) < n * ROW_BYTES / 2


def test_rows_stream_into_parquet_which_has_to_find_its_types_out(
    demonstration: Path, tmp_path: Path
) -> None:
    database_file = str(demonstration / "dirt.db")
    assert growth(database_file, tmp_path / "out.parquet", MANY) < MANY * ROW_BYTES / 2


def growth(db: str, out: Path, n: int) -> int:
    """Return how many more bytes of memory many rows take than those of a few chunks."""
    return peak(db, out, n) - peak(db, out, n // 10)


def peak(db: str, out: Path, n_rows: int) -> int:
    program = textwrap.dedent(
        """
        import re, sys
        from pathlib import Path
        from dirtmodel.cli import main
        try:
            main()
        finally:
            status = Path("/proc/self/status").read_text()
            print(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1], file=sys.stderr)
        """
    )
    forked = Forked(
        program, "sql", COUNTING.format(n_rows), "--db", db, "-o", out, "--replace", "--trust"
    )
    code, _, errors = forked.finished()
    assert code == 0, errors
    assert out.stat().st_size > n_rows
    return int(errors.splitlines()[-1]) << 10


@pytest.mark.parametrize(
    ("value", "loaded_url"),
    [
        ("hex(zeroblob(400000000))", "sqlite"),
        ("length(replace(hex(zeroblob(30000000)), '0', 'abcdefgh'))", "sqlite"),
        ("repeat('x', 70000000)", "postgres"),
    ],
    indirect=["loaded_url"],
)
def test_a_huge_value_is_refused(loaded_url: sa.URL, value: str) -> None:
    with pytest.raises(QueryError) as caught:
        run(loaded_url, f"SELECT {value}")
    assert str(caught.value) == (
        "string or blob too big: a value or row may have at most 64 MB; select a part of it with "
        "substr()"
    )


@pytest.mark.parametrize("loaded_url", ["postgres"], indirect=True)
class TestWideRows:
    """300 rows of 1.2 MB each."""

    WIDE = "SELECT repeat(i::text, 200000) AS a FROM generate_series(100001, 100300) AS n(i)"

    def test_are_fetched_a_few_at_a_time(self, loaded_url: sa.URL) -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with ask(loaded_url, self.WIDE, trust=True) as answer:
            for _ in range(20):
                next(answer.rows)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000

    def test_end_quietly_at_the_time_limit(
        self, loaded_url: sa.URL, caplog: pytest.LogCaptureFixture
    ) -> None:
        with pytest.raises(QueryError, match=r"took longer than 0\.3 s"):
            run(loaded_url, self.WIDE.replace("100300", "200300"), timeout=0.3)
        assert caplog.messages == []

    def test_report_a_lost_server_in_one_line(self, loaded_url: sa.URL) -> None:
        with pytest.raises(dm.DatabaseError, match=r"^the connection to \S+ was lost: [^\n]+\Z"):
            run(loaded_url, "SELECT pg_terminate_backend(pg_backend_pid())")


def test_lack_of_memory_is_reported_in_one_line(demonstration: Path) -> None:
    limited = "import resource; resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))\n"
    columns = ", ".join(f"hex(zeroblob(30000000)) AS c{n}" for n in range(10))
    program = f"from dirtmodel.cli import main\n{limited}main()"
    done = subprocess.run(
        [
            *(sys.executable, "-c", program, "sql", f"SELECT {columns}"),
            *("--db", demonstration / "dirt.db", "--format", "csv"),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == (
        "Error: there is not enough memory for the result; select fewer columns or shorter values\n"
    )


@pytest.mark.parametrize("loaded_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("options", [[], ["--format", "csv", "-o", "out.csv"]])
def test_one_long_call_of_a_function_does_not_outlast_the_timeout(
    loaded_url: sa.URL, tmp_path: Path, options: list[str]
) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "dirtmodel", "sql", f"SELECT {LONG_CALL}", "--timeout", "0.1"),
            *("--db", shown(loaded_url), *options),
        ],
        capture_output=True, text=True, check=False, cwd=tmp_path, timeout=30,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (
        2,
        "",
        "Error: the statement took longer than 0.1 s; allow more time with --timeout\n",
    )
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_a_running_statement(loaded_url: sa.URL) -> None:
    program = (
        "import sys, threading, time, os, signal\n"
        "threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "from dirtmodel.cli import main\n"
        "main()\n"
    )
    forked = Forked(program, "sql", ENDLESS, "--trust", "--db", shown(loaded_url))
    code, _, errors = forked.finished()
    assert code == 128 + signal.SIGINT
    assert errors.splitlines()[-1] == "Interrupted."
    assert "Traceback" not in errors


def test_every_refusal_is_a_dirtmodel_error() -> None:
    assert issubclass(QueryError, DirtmodelError)


def test_what_users_added_is_listed_and_suggested(new_url: sa.URL, release: Path) -> None:
    dm.load(release, new_url)
    with database.engine(new_url).begin() as connection:
        connection.execute(sa.text("CREATE TABLE ratios (share DOUBLE PRECISION)"))
        connection.execute(sa.text("CREATE VIEW shares AS SELECT share FROM ratios"))
        connection.execute(sa.text("ALTER TABLE target ADD COLUMN cohortname TEXT"))

    with database.connect(new_url) as connection:
        listed = set(describe(connection)) - set(describe())
    with pytest.raises(QueryError, match=r"did you mean ratios\?"):
        run(new_url, "SELECT 1 FROM ratioss")
    with pytest.raises(QueryError, match=r"did you mean cohortname\?"):
        run(new_url, "SELECT cohortnam FROM target")

    assert listed == {
        ("target", "cohortname", "text", "only in this database"),
        ("ratios", None, "table or view", "only in this database"),
        ("ratios", "share", "number", ""),
        ("shares", None, "table or view", "only in this database"),
        ("shares", "share", "number", ""),
    }
