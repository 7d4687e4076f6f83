"""Datasette on one file, and the server that answers with it."""

import logging
import os
import socket
import sqlite3
from pathlib import Path
from types import FrameType
from typing import Any, Final

import datasette.handle_exception
import uvicorn
from datasette.app import Datasette
from datasette.database import Database

from dirtmodel import database
from dirtmodel.browse import describing, limits
from dirtmodel.browse.access import Guard

_MOST_CONNECTIONS: Final = 64
_PATIENCE: Final = 1
"""Seconds that answers may still take after Ctrl-C."""


class File(Database):  # type: ignore[misc]  # Datasette has no types
    """A SQLite file, whatever characters its name has."""

    def __init__(self, site: Datasette, path: Path) -> None:
        # Not immutable: `dirtmodel upgrade` may change the file meanwhile, and Datasette would
        # read all of it, gigabytes, to show its hash.
        # What pages show of the name is text, even if the name itself is not UTF-8.
        shown = os.fsencode(path).decode("utf-8", "replace")
        super().__init__(site, shown, is_mutable=True)
        self.file = path
        self._opened: list[sqlite3.Connection] = []

    def connect(self, write: bool = False) -> sqlite3.Connection:  # noqa: ARG002 - as Datasette calls it
        """Open a connection that can only read."""
        connection = database.connect_sqlite(self.file, read_only=True)
        self._opened.append(connection)
        return connection

    async def execute(self, sql: str, *arguments: Any, **options: Any) -> Any:
        """Run a statement; an error in it is shown on its page, and not printed as well."""
        return await super().execute(sql, *arguments, **{**options, "log_sql_errors": False})

    @property
    def size(self) -> int:
        """Return the size of the file in bytes."""
        return self.file.stat().st_size

    def interrupt(self) -> None:
        """End the statements that run."""
        for connection in self._opened:
            connection.interrupt()


def make_site(path: Path) -> Datasette:
    """Make a Datasette that shows a file as `describing.NAME`."""
    # Where Rich is installed, each bad statement would print all local variables to stdout.
    datasette.handle_exception.rich = None
    made = Datasette(
        metadata=describing.metadata(),
        template_dir=str(Path(__file__).parent / "templates"),
        settings={"allow_download": False, "default_page_size": 50, **limits.SETTINGS},
    )
    # It has no file so far, and would offer a database in memory instead.
    made.remove_database("_memory")
    made.add_database(File(made, path), name=describing.NAME)
    return made


def file_of(site: Datasette) -> Path:
    """Return the file that a Datasette shows."""
    return site.databases[describing.NAME].file  # type: ignore[no-any-return]  # a File


def serve(site: Datasette, taken: socket.socket, token: str) -> None:
    """Answer requests with the token until interrupted."""
    limits.limit_heap()
    guard = Guard(site.app(), token, port=taken.getsockname()[1])
    config = uvicorn.Config(
        guard,
        log_level="warning",
        access_log=False,
        lifespan="on",
        ws="none",
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=_PATIENCE,
    )
    server = _Server(config, site.databases[describing.NAME])
    try:
        server.run(sockets=[taken])
    finally:
        server.interrupt()
        site.executor.shutdown(wait=False, cancel_futures=True)


class _Server(uvicorn.Server):
    """A server whose statements end with it."""

    def __init__(self, config: uvicorn.Config, file: File) -> None:
        super().__init__(config)
        self.interrupt: Any = file.interrupt

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End on a signal."""
        # Answers that are cut off from now on are not errors.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        self.interrupt()
        super().handle_exit(sig, frame)
