"""Datasette on a database, for browsing instead of typing.

Only a browser on this machine that has the token can read it. No statement sees a picture's bytes:
a page names an address for each picture that it shows, and the browser asks for those that come
into view.

- `access`: the token, and requests that are refused
- `limits`: what one statement may take
- `describing`: titles, descriptions, facets and canned queries
- `showing`: what our own pages show
- `templates`: these pages, and changes to Datasette's
- `server`: Datasette on a file, and how it is served
- `plugin`: hooks of Datasette
"""

import os
import secrets
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from dirtmodel import database
from dirtmodel.errors import DatabaseError, UsageError

if TYPE_CHECKING:
    from datasette.app import Datasette

HOST = "127.0.0.1"


def application(path: Path) -> "Datasette":
    """Make the Datasette that shows the database in a file.

    Raises
    ------
    UsageError
        If Datasette is not installed.
    """
    try:
        from datasette.plugins import pm
    except ImportError as error:
        raise UsageError(
            "browsing needs Datasette, which is not installed; install dirtmodel with its extra "
            "browse, or run: pip install 'datasette<1'"
        ) from error
    from dirtmodel.browse import plugin, server

    if not pm.has_plugin(plugin.__name__):
        pm.register(plugin, plugin.__name__)
    return server.make_site(path)


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
            "browse shows SQLite files; make one from this database with: "
            "dirtmodel export RELEASE --db URL && dirtmodel load RELEASE --db dirt.db"
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


def new_token() -> str:
    """Return a token that cannot be guessed, to be part of an address."""
    return secrets.token_urlsafe(32)


def serve(site: "Datasette", taken: socket.socket, token: str) -> None:
    """Answer requests that have the token until interrupted."""
    from dirtmodel.browse import server

    server.serve(site, taken, token)
