"""The inputs of trials: releases, databases in several states, and a small disk."""

import contextlib
import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from torture_servers import PREFIX, Server

import dirtmodel as dm
from dirtmodel import database, sample

TMPFS: Final = 16 << 20
"""Size in bytes of the disk that trials fill."""
MUTANTS: Final = f"{PREFIX}mutants"
"""Name of the database that has a schema for each loaded release."""


@dataclass
class Bench:
    """The resources that the trials of one worker share.

    Parameters
    ----------
    folder
        A folder for this worker only.
    inputs
        Releases and databases to start from. All workers share them and do not change them.
    server
        A Postgres server, which has been prepared.
    small_disk
        A folder on a small file system; None if none could be mounted.
    """

    folder: Path
    inputs: Path
    server: Server
    seed: int
    small_disk: Path | None


_numbers = itertools.count()


def new_place(bench: Bench, start: str, engine: str, folder: Path) -> sa.URL:
    """Make a database in a state to start from."""
    if engine == "sqlite":
        if start != "none":
            shutil.copy(bench.inputs / f"{start}.db", folder / "dirt.db")
        return database.parse_url("dirt.db").set(database=str(folder / "dirt.db"))
    name = f"{PREFIX}{os.getpid()}_{next(_numbers)}"
    template = "template0" if start == "none" else f"{PREFIX}{start}"
    bench.server.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
    return bench.server.url.set(database=name)


def discard(bench: Bench, url: sa.URL) -> None:
    """Drop a database on the server."""
    if not database.is_sqlite(url):
        bench.server.sql(f"DROP DATABASE {url.database} WITH (FORCE)")


def prepare(inputs: Path, servers: list[Server]) -> None:
    """Make the releases and databases that trials start from."""
    for style in ("polars", "duckdb", "pandas"):
        for hazards in (True, False):
            made = sample.write_release(
                inputs / f"{style}-{hazards}",
                style=style,
                subjects=1,
                slices=1,
                pictures="tiny",
                hazards=hazards,
            )
            qc = made / "pre-surgery/mris/derivatives/qc"
            shutil.copytree(qc, inputs / "releases" / made.name)
    options: dict[str, Any] = {"pictures": "noise", "picture_size": (64, 48), "slices": 1}
    release = sample.write_release(inputs / "first", subjects=3, **options)
    sample.write_release(inputs / "other", subjects=4, seed=1, **options)
    for start in ("loaded", "old", "stale"):
        load(release, database.parse_url(inputs / f"{start}.db"), start)
    for server in servers:
        server.sql(f"CREATE DATABASE {MUTANTS}")
        for start in ("loaded", "old", "stale"):
            template = f"{PREFIX}{start}"
            server.sql(f"CREATE DATABASE {template}")
            load(release, server.url.set(database=template), start)


def load(release: Path, url: sa.URL, start: str) -> None:
    """Make a database in a state to start from."""
    dm.load(release, url)
    bring_to(url, start)


def bring_to(url: sa.URL, start: str) -> None:
    """Bring a loaded database into the initial state, with objects that users added."""
    engine = database.engine(url)
    with engine.begin() as connection:
        for statement in (
            "CREATE TABLE mine (id integer PRIMARY KEY, remark text)",
            "INSERT INTO mine VALUES (1, 'checked'), (2, 'to do')",
            "CREATE VIEW my_view AS SELECT id, step FROM image",
            "CREATE INDEX my_index ON rating (notes)",
        ):
            connection.exec_driver_sql(statement)
        if start == "stale":
            for table in ("tally", "review"):
                connection.exec_driver_sql(f"DELETE FROM {table}")
            connection.exec_driver_sql("UPDATE rating SET rating = 2")
    engine.dispose()
    if start == "old":
        dm.upgrade(url, "0002")


@contextlib.contextmanager
def mounted_disk(folder: Path) -> Iterator[Path | None]:
    """Mount a small file system; only root may."""
    folder.mkdir()
    mounted = subprocess.run(  # noqa: S603 - a fixed command
        ["mount", "-t", "tmpfs", "-o", f"size={TMPFS}", "tmpfs", str(folder)],  # noqa: S607
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)  # noqa: S603, S607 - as above
