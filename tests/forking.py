"""Python programs in processes of their own, forked off a server that has imported everything.

Importing takes longer than most of the programs run.
"""

import atexit
import functools
import marshal
import os
import pkgutil
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Mapping
from pathlib import Path

import dirtmodel

ROOT = Path(__file__).parent.parent

_OTHERS = (
    *("alembic.command", "alembic.autogenerate", "jinja2", "matplotlib.backends.backend_agg"),
    *("matplotlib.figure", "psycopg", "pyarrow.compute", "pyarrow.csv", "pyarrow.parquet"),
    *("PIL.GifImagePlugin", "PIL.PngImagePlugin", "scipy.optimize", "scipy.stats", "tabulate"),
    *("sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.dialects.sqlite", "wcwidth"),
)
"""What the package imports only when it is needed."""

_CLIENT = """#!{python} -IS
import _socket, marshal, posix, sys
server = _socket.socket(_socket.AF_UNIX)
server.connect({path!r})
streams = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
request = marshal.dumps(({program!r}, sys.argv, posix.getcwd(), posix.environ))
server.sendmsg([request[:1]], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
server.sendall(request[1:])
server.shutdown(_socket.SHUT_WR)
answer = b""
while answer.count(b"\\n") < 2:
    answer += server.recv(99) or sys.exit("the server that forks programs has ended")
code = int(answer.split()[1])
sys.exit(code if code >= 0 else 128 - code)
"""


def write_program(path: Path, program: str, *, package: Path = ROOT) -> None:
    """Write a program for the shell that runs Python code with the package of a source tree.

    It passes its streams, arguments, folder and environment on, but not the signals it receives.
    """
    text = _CLIENT.format(
        python=sys.executable, path=_server(ours=package == ROOT), program=program
    )
    path.write_text(text, "utf-8")
    path.chmod(0o755)


class Forked:
    """A running program; `out` is what it prints, line by line."""

    def __init__(
        self,
        program: str,
        *arguments: object,
        folder: Path = ROOT,
        environment: Mapping[str, str] | None = None,
        package: Path = ROOT,
    ) -> None:
        out, its_out = os.pipe()
        err, its_err = os.pipe()
        self.out, self._err = (os.fdopen(pipe, encoding="utf-8") for pipe in (out, err))
        variables = {
            **(os.environ if environment is None else environment),
            "PYTHONPATH": str(package),
        }
        request = marshal.dumps(
            (
                textwrap.dedent(program),
                ["-c", *map(str, arguments)],
                str(folder),
                {os.fsencode(name): os.fsencode(value) for name, value in variables.items()},
            )
        )
        server = socket.socket(socket.AF_UNIX)
        server.connect(_server(ours=package == ROOT))
        with Path(os.devnull).open() as its_in:
            socket.send_fds(server, [request[:1]], [its_in.fileno(), its_out, its_err])
        os.close(its_out)
        os.close(its_err)
        server.sendall(request[1:])
        server.shutdown(socket.SHUT_WR)
        with server:
            self._answer = server.makefile()
        self.pid = int(self._answer.readline())

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def finished(self) -> tuple[int, str, str]:
        """Wait for its end; exit code (negative: the signal), what it printed, its errors."""
        with self._answer, self.out, self._err:
            # Errors are few enough to wait for.
            printed, errors = self.out.read(), self._err.read()
            return int(self._answer.readline()), printed, errors


@functools.cache
def _server(*, ours: bool) -> str:
    """Start a server that ends with this process, and return its socket."""
    folder = Path(tempfile.mkdtemp())
    modules = [*_OTHERS, *(_package() if ours else ())]
    process = subprocess.Popen(
        [sys.executable, ROOT / "scripts" / "forked.py", folder / "socket", *modules],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"

    def end() -> None:
        process.communicate()
        shutil.rmtree(folder)

    atexit.register(end)
    return str(folder / "socket")


def _package() -> list[str]:
    found = pkgutil.walk_packages(dirtmodel.__path__, "dirtmodel.")
    return [module.name for module in found if module.name != "dirtmodel.__main__"]
