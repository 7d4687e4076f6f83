"""Datasette on a database, for browsing instead of typing.

Only this machine can reach it, and only to read. No statement sees a picture's bytes: a page names
an address for each picture that it shows, and the browser asks for those that come into view.

- `describing`: titles, descriptions, facets and canned queries
- `plugin`: hooks of Datasette
"""

import os
import socket
from pathlib import Path
from typing import Any

from dirtmodel import database
from dirtmodel.errors import DatabaseError, UsageError

HOST = "127.0.0.1"


def application(path: Path) -> Any:
    """Make the ASGI application that shows the database in a file."""
    try:
        from datasette.app import Datasette
        from datasette.plugins import pm
    except ImportError as error:
        raise UsageError(
            "browsing needs Datasette, which is not installed; install dirtmodel with its extra "
            "browse, or run: pip install 'datasette<1'"
        ) from error
    from dirtmodel.browse import describing, plugin

    if not pm.has_plugin(plugin.__name__):
        pm.register(plugin, plugin.__name__)
    # Not immutable: `dirtmodel upgrade` may change the file meanwhile, and Datasette would read
    # all of it, gigabytes, to show its hash.
    return Datasette(
        files=[str(path)],
        metadata=describing.metadata(path.stem),
        settings={
            "allow_download": False,
            "default_page_size": 50,
            "max_returned_rows": 5_000,
            "num_sql_threads": 2,
            "sql_time_limit_ms": 10_000,
            "facet_time_limit_ms": 1_000,
        },
    )


def check(db: str | os.PathLike[str]) -> Path:
    """Make sure that a database can be shown, and return its file.

    Raises
    ------
    UsageError
        If it is not a file.
    DatabaseError
        If it is missing, of another program, or of another revision.
    """
    url = database.parse_url(db)
    if not database.is_sqlite(url):
        raise UsageError(
            "Datasette shows SQLite files only; load the release into one with: "
            "dirtmodel load RELEASE --db dirt.db"
        )
    with database.connect(url):
        return database.sqlite_path(url).absolute()


def listen(port: int) -> socket.socket:
    """Take a port of this machine's own address; 0 takes a free one."""
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((HOST, port))
        # From now on, connections wait for an answer instead of being refused.
        taken.listen()
    except OSError as error:
        taken.close()
        raise DatabaseError(
            f"cannot listen on port {port}: {error.strerror}; choose another with --port"
        ) from error
    return taken


def serve(path: Path, taken: socket.socket) -> None:
    """Serve until interrupted."""
    import uvicorn

    config = uvicorn.Config(
        application(path).app(), log_level="warning", access_log=False, lifespan="on"
    )
    uvicorn.Server(config).run(sockets=[taken])
