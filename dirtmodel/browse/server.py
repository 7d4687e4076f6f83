"""Make a Datasette for one file, and serve it."""

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
    """A SQLite file; its name may contain any characters."""

    def __init__(self, site: Datasette, path: Path) -> None:
        # Not immutable: `dirtmodel upgrade` may change the file in the meantime, and Datasette
        # would read the whole file to show its hash.
        # Pages show the name as text, even if it is not UTF-8.
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
        """Interrupt all running statements."""
        for connection in self._opened:
            connection.interrupt()


def make_site(path: Path) -> Datasette:
    """Return a Datasette that shows a file as `describing.NAME`."""
    # If Rich is installed, each wrong statement would print all local variables to stdout.
    datasette.handle_exception.rich = None
    made = Datasette(
        metadata=describing.metadata(),
        template_dir=str(Path(__file__).parent / "templates"),
        settings={"allow_download": False, "default_page_size": 50, **limits.SETTINGS},
    )
    # Datasette starts with a database in memory, because it has no file yet.
    made.remove_database("_memory")
    made.add_database(File(made, path), name=describing.NAME)
    return made


def file_of(site: Datasette) -> Path:
    """Return the file that a Datasette shows."""
    return site.databases[describing.NAME].file  # type: ignore[no-any-return]  # a File


def serve(site: Datasette, taken: socket.socket, token: str) -> None:
    """Answer requests with the token, until Ctrl-C."""
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
    """A server that interrupts running statements when it ends."""

    def __init__(self, config: uvicorn.Config, file: File) -> None:
        super().__init__(config)
        self.interrupt: Any = file.interrupt

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End on a signal."""
        # Do not log the answers that are now cut off as errors.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        self.interrupt()
        super().handle_exit(sig, frame)
