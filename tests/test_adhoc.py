"""Ad hoc statements: they read, and nothing else."""

import hashlib
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

import dirtmodel as dm
from dirtmodel import database, sample
from dirtmodel.cli import main
from dirtmodel.errors import DirtmodelError, QueryError, UsageError
from dirtmodel.sql import ask
from dirtmodel.sql.statement import Statement, point_at

COUNTING = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})
SELECT i, i * 0.5 AS half, 'row ' || i AS name FROM n
"""
MANY = 400_000
LEAST_HELD = MANY * 150
"""Bytes of so many tuples of an integer, a number and a text in Python."""
PICTURES = "SELECT img FROM image WHERE step = 0 ORDER BY id LIMIT 1"
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
    "SELECT set_config('role', 'none', true), query_to_xml('SELECT 1', true, true, '')",
    "SELECT U&\"\\0073et_config\"('role', 'none', true)",
    "SELECT query_to_xml('SELECT set' || '_config(''role'', ''none'', true)', true, true, '')",
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
    """What must not change: the file's bytes, or the server's rows, relations, roles, settings."""
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
                "SELECT oid, relname, reltuples FROM pg_class ORDER BY oid",
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
    with ask(url, statement, dict(parameters), **options) as answer:
        return list(answer.rows)


def dirtmodel(*arguments: str, **options: Any) -> Result:
    return CliRunner().invoke(main, arguments, **options)


def shown(url: sa.URL) -> str:
    return url.render_as_string(hide_password=False)


class TestAttacks:
    def test_are_refused_and_change_nothing(self, loaded_url: sa.URL, tmp_path: Path) -> None:
        (tmp_path / "secret.txt").write_text("secret")
        database.engine(database.parse_url(tmp_path / "secret.db")).connect().close()
        files = sorted(tmp_path.iterdir())
        before = everything(loaded_url)
        passed = []
        for attack in attacks(loaded_url):
            try:
                passed.append((attack, run(loaded_url, attack.replace("{folder}", str(tmp_path)))))
            except QueryError:
                continue
        assert passed == []
        assert everything(loaded_url) == before
        assert sorted(tmp_path.iterdir()) == files

    def test_are_many(self, loaded_url: sa.URL) -> None:
        assert len(set(attacks(loaded_url))) >= 60

    def test_that_only_sound_like_one_are_answered(self, loaded_url: sa.URL) -> None:
        statement = "SELECT 'DROP TABLE rating; COPY' AS a /* ATTACH */ -- PRAGMA"
        assert run(loaded_url, statement) == [("DROP TABLE rating; COPY",)]


class TestRole:
    """On Postgres, functions may do what the role may do."""

    @pytest.fixture
    def as_role(self, postgres_server: str) -> Iterator[Callable[..., sa.URL]]:
        """Make a role with the memberships given, and give its URL on a loaded schema."""
        url = database.parse_url(postgres_server)
        with database.engine(url).begin() as connection:
            connection.execute(sa.text("CREATE ROLE reader LOGIN"))

        def make(*grants: str) -> sa.URL:
            with database.engine(url).begin() as connection:
                for grant in grants:
                    connection.execute(sa.text(f"GRANT {grant} TO reader"))
            return url.set(username="reader")

        yield make
        with database.engine(url).begin() as connection:
            connection.execute(sa.text("DROP OWNED BY reader"))
            connection.execute(sa.text("DROP ROLE reader"))

    @pytest.fixture
    def schema(self, release: Path, postgres_server: str) -> Iterator[str]:
        name = f"role_{os.getpid()}"
        url = database.parse_url(postgres_server)
        dm.load(release, url.update_query_dict({"options": f"-csearch_path={name}"}))
        yield name
        with database.engine(url).begin() as connection:
            connection.execute(sa.text(f"DROP SCHEMA {name} CASCADE"))

    def test_that_can_only_read_is_asked_as_it_is(
        self, as_role: Callable[..., sa.URL], schema: str
    ) -> None:
        url = as_role(f"USAGE ON SCHEMA {schema}", f"SELECT ON ALL TABLES IN SCHEMA {schema}")
        url = url.update_query_dict({"options": f"-csearch_path={schema}"})
        with ask(url, "SELECT current_user, count(*) FROM review") as answer:
            assert answer.warnings == []
            assert next(answer.rows)[0] == "reader"

    def test_that_may_reach_files_gives_that_up(
        self, as_role: Callable[..., sa.URL], schema: str
    ) -> None:
        url = as_role("pg_read_server_files", "pg_read_all_data")
        url = url.update_query_dict({"options": f"-csearch_path={schema}"})
        with ask(url, "SELECT current_user FROM review LIMIT 1") as answer:
            assert list(answer.rows) == [("pg_read_all_data",)]
            (warning,) = answer.warnings
        assert warning == (
            "reader is a member of pg_read_server_files; the statement runs as pg_read_all_data "
            "instead. Better connect as a role that can only read."
        )

    def test_that_cannot_give_it_up_is_refused(
        self, as_role: Callable[..., sa.URL], schema: str
    ) -> None:
        url = as_role(
            "pg_execute_server_program",
            f"USAGE ON SCHEMA {schema}",
            f"SELECT ON ALL TABLES IN SCHEMA {schema}",
        ).update_query_dict({"options": f"-csearch_path={schema}"})
        with pytest.raises(dm.DatabaseError, match="or make it a member of pg_read_all_data"):
            run(url, "SELECT 1")

    def test_of_a_superuser_is_warned_about_on_stderr(
        self, schema: str, postgres_server: str
    ) -> None:
        url = database.parse_url(postgres_server)
        url = url.update_query_dict({"options": f"-csearch_path={schema}"})
        done = dirtmodel("sql", "SELECT 1 AS a", "--db", shown(url), "--format", "csv")
        assert done.stdout == "a\n1\n"
        assert done.stderr.startswith("Warning: postgres is a superuser; the statement runs as")

    def test_change_does_not_change_the_schema_asked(
        self, schema: str, postgres_server: str
    ) -> None:
        url = database.parse_url(postgres_server)
        url = url.update_query_dict({"options": f'-csearch_path="$user",{schema}'})
        ((found,),) = run(url, "SELECT current_schema()")
        assert found == schema


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

    def test_may_stand_twice(self, loaded_url: sa.URL) -> None:
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
    def test_are_all_needed_and_used(
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
    def test_are_told_from_what_else_has_a_colon_in_postgres(
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
    def test_are_told_from_what_else_has_a_colon_in_sqlite(
        self, text: str, names: list[str]
    ) -> None:
        assert Statement.parse(text, postgres=False).names == names

    @given(st.lists(st.sampled_from(["x ", ":a ", ":long_name ", "é ", "\n", "'q' "]), max_size=40))
    def test_do_not_shift_places(self, pieces: list[str]) -> None:
        text = "".join(pieces)
        statement = Statement.parse(text, postgres=True)
        numbered = statement.numbered()
        at = text.find("x ")
        for found in [n for n in range(len(numbered)) if numbered.startswith("x ", n)]:
            assert statement.place(found) == at
            at = text.find("x ", at + 1)


class TestErrors:
    def test_show_the_place(self, loaded_url: sa.URL) -> None:
        with pytest.raises(QueryError) as caught:
            run(loaded_url, "SELECT id,\n  foo\nFROM image WHERE step = :step", ("step", "1"))
        first, *rest = str(caught.value).splitlines()
        assert first.endswith("(line 2, column 3)")
        assert "foo" in first
        assert rest[:2] == ["    foo", "    ^"]

    def test_show_the_place_behind_parameters(self, loaded_url: sa.URL) -> None:
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
    def test_of_an_empty_statement(self, loaded_url: sa.URL, statement: str) -> None:
        with pytest.raises(QueryError):
            run(loaded_url, statement)

    def test_of_time(self, loaded_url: sa.URL) -> None:
        with pytest.raises(QueryError, match=r"took longer than 0\.2 s; give it more with --time"):
            run(loaded_url, ENDLESS, timeout=0.2)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (
                ["sql", "SELECT 1", "--tables"],
                "STATEMENT, -f FILE and --tables do not go together; use one of them",
            ),
            (["sql", "-f", "missing.sql"], "cannot read missing.sql: No such file"),
            (["sql", "SELECT :a", "-p", "a", "1", "-p", "a", "2"], "-p a is given twice"),
            (["sql", "SELECT 1", "--db", "missing.db"], "there is no database at missing.db"),
        ],
    )
    def test_of_use(self, arguments: list[str], message: str) -> None:
        done = dirtmodel(*arguments)
        assert done.exit_code == 2
        assert message in done.stderr
        assert done.stdout == ""

    def test_of_no_statement_on_a_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from dirtmodel.cli import sql

        monkeypatch.setattr("sys.stdin", io.StringIO())
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
        with pytest.raises(UsageError, match=r"^there is no statement; write one, for example: "):
            sql._text(None, None)


class TestResults:
    def test_describe_pictures_in_a_table(self, loaded_url: sa.URL) -> None:
        done = dirtmodel("sql", PICTURES, "--db", shown(loaded_url))
        assert done.stdout.splitlines()[2].startswith("<PNG 96×72, ")

    def test_hold_pictures_in_parquet(self, loaded_url: sa.URL, tmp_path: Path) -> None:
        path = tmp_path / "a.parquet"
        dirtmodel("sql", PICTURES, "--db", shown(loaded_url), "-o", str(path))
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
        common = ["sql", statement, "-p", "id", str(rating.id), "--db", shown(loaded_url)]
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

    def test_of_a_time_that_is_none_are_left_as_they_are(self, tmp_path: Path) -> None:
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
            "--db", shown(loaded_url), "--format", name, "-o", str(path),
        )  # fmt: skip
        assert done.exit_code == 0
        assert path.stat().st_size > 20

    @pytest.mark.parametrize("name", ["csv", "tsv", "json", "ndjson", "table"])
    def test_print_times_alike_on_both_engines(self, loaded_url: sa.URL, name: str) -> None:
        with dm.open(loaded_url) as session:
            created = session.scalar(sa.select(sa.func.min(dm.Session.created)))
        done = dirtmodel(
            "sql", "SELECT min(created) AS created FROM session",
            "--db", shown(loaded_url), "--format", name,
        )  # fmt: skip
        assert f"{created:%Y-%m-%d %H:%M:%S.%f}" in done.stdout
        assert "+00" not in done.stdout

    def test_come_from_a_file_or_stdin(self, loaded_url: sa.URL, tmp_path: Path) -> None:
        script = tmp_path / "query.sql"
        script.write_text("\ufeffSELECT count(*) AS n\nFROM rating -- é\n;\n")
        options = ["--db", shown(loaded_url), "--format", "csv"]
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
        assert 'review_labels,,view,"every review with names for numbers, ' in done.stdout
        assert [line for line in lines if line.endswith(",")] == []


def test_rows_stream_in_little_memory(loaded_url: sa.URL, tmp_path: Path) -> None:
    # csv stands for all formats that are written line by line.
    assert growth(shown(loaded_url), tmp_path / "out.csv") < LEAST_HELD / 2


def test_rows_stream_into_parquet_which_has_to_find_its_types_out(
    demonstration: Path, tmp_path: Path
) -> None:
    assert growth(str(demonstration / "dirt.db"), tmp_path / "out.parquet") < LEAST_HELD / 2


def growth(db: str, out: Path) -> int:
    """How many bytes more many rows take than a few, resident at most."""
    return peak(db, out, MANY) - peak(db, out, 10)


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
    done = subprocess.run(
        [sys.executable, "-c", program, "sql", COUNTING.format(n_rows), "--db", db, "-o", out,
         "--replace"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert out.stat().st_size > n_rows
    return int(done.stderr.splitlines()[-1]) << 10


def test_ctrl_c_ends_a_statement_that_runs(loaded_url: sa.URL) -> None:
    program = (
        "import sys, threading, time, os, signal\n"
        "threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "from dirtmodel.cli import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "sql", ENDLESS, "--db", shown(loaded_url)],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == 128 + signal.SIGINT
    assert done.stderr.splitlines()[-1] == "Interrupted."
    assert "Traceback" not in done.stderr


def test_every_refusal_is_of_the_family() -> None:
    assert issubclass(QueryError, DirtmodelError)
