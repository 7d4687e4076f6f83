"""Show a database in the web browser, with Datasette.

Only a browser on this machine that has the token can read the pages. SQL statements cannot read the
bytes of pictures. A page has a link to each picture instead, and the browser requests the pictures
that come into view.

- `access`: the token, and the requests that are refused
- `limits`: limits of time, sizes and memory for one statement
- `describing`: titles, descriptions, facets and canned queries
- `showing`: the contents of the pages that we add
- `templates`: these pages, and changes to Datasette's own
- `server`: makes and serves a Datasette for a file
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
    """Return a Datasette application for the database in a file.

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
    """Check that a database can be shown, and return the path of its file.

    Raises
    ------
    UsageError
        If the database is not a SQLite file.
    DatabaseError
        If the database is missing, not one of dirtmodel, or of another revision.
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
    """Listen on a port of 127.0.0.1; 0 chooses a free port."""
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((HOST, port))
        # Connections now wait until the server starts, instead of being refused.
        taken.listen()
    except OSError as error:
        taken.close()
        raise DatabaseError(
            f"cannot listen on port {port}: {error.strerror}; choose another with --port"
        ) from error
    return taken


def new_token() -> str:
    """Return a random token for the address."""
    return secrets.token_urlsafe(32)


def serve(site: "Datasette", taken: socket.socket, token: str) -> None:
    """Answer requests that have the token, until Ctrl-C."""
    from dirtmodel.browse import server

    server.serve(site, taken, token)
