"""The state before and after a command: the rows of its database, and its files."""

import hashlib
import time
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa
from torture_places import Bench
from torture_running import NEVER_ENDS, Failure

from dirtmodel import database


class State(NamedTuple):
    """A digest of the database, and of each file and folder beside it."""

    database: str | None
    files: dict[str, str]


def state(bench: Bench, folder: Path, url: sa.URL) -> State:
    """Return the state of the folder and the database of a trial."""
    files = {
        str(path.relative_to(folder)): "folder"
        if path.is_dir()
        else hashlib.sha256(anonymous(path.read_bytes(), folder, url)).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path != folder / "dirt.db"
    }
    if database.is_sqlite(url):
        there = (folder / "dirt.db").exists()
    else:
        there = bool(
            bench.server.sql(f"SELECT 1 FROM pg_database WHERE datname = '{url.database}'")
        )
        settle(bench, url)
    found = digest(url) if there else None
    # The digest has opened the database, which removes the journal of an interrupted change.
    files = {name: what for name, what in files.items() if (folder / name).exists()}
    return State(found, files)


def anonymous(content: bytes, folder: Path, url: sa.URL) -> bytes:
    """Remove the place of the database of a trial, which a page contains."""
    for name in (str(folder), str(url.database)):
        content = content.replace(name.encode(), b"")
    return content


def settle(bench: Bench, url: sa.URL) -> None:
    """Wait until the server has closed the connections of a client that has ended."""
    give_up = time.monotonic() + NEVER_ENDS
    while bench.server.sql(f"SELECT 1 FROM pg_stat_activity WHERE datname = '{url.database}'"):
        if time.monotonic() > give_up:
            raise Failure("the server still works for a client that has ended")
        time.sleep(0.005)


def digest(url: sa.URL) -> str | None:
    """Return a digest of all rows and names in a database; None without a release in it."""
    engine = database.engine(url)
    lines = []
    with engine.begin() as connection:
        if database.is_sqlite(url):
            for pragma in ("integrity_check", "foreign_key_check"):
                found = connection.exec_driver_sql(f"PRAGMA {pragma}").all()
                if found and found != [("ok",)]:
                    raise Failure(f"{pragma}: {found[:3]}")
        inspector = sa.inspect(connection)
        names = inspector.get_table_names()
        if "alembic_version" not in names:
            return None
        lines += sorted(inspector.get_view_names())
        for name in sorted(names):
            lines += sorted(str(index["name"]) for index in inspector.get_indexes(name))
            columns = [c["name"] for c in inspector.get_columns(name) if c["name"] != "loaded_at"]
            chosen = sa.table(name, *map(sa.column, columns)).select()
            rows = sorted(map(repr, connection.execute(chosen)))
            lines.append(
                f"{name} {len(rows)} {hashlib.sha256(chr(10).join(rows).encode()).hexdigest()}"
            )
    engine.dispose()
    return "\n".join(lines)
