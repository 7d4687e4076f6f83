"""Python programs in processes of their own that need not import anything first.

They are forked off one that has imported what a load takes, which takes longer than most loads.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import textwrap
from multiprocessing.connection import Connection
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "alembic.command",
        "pyarrow.compute",
        "pyarrow.parquet",
        "pandas",  # which pyarrow imports where it is installed
        "dirtmodel.cli",
        "dirtmodel.loading.sqlite",
        "dirtmodel.release.reader",
    ]
)


class Forked:
    """A running program; `out` is what it prints, line by line."""

    def __init__(self, program: str) -> None:
        out, its_out = _CONTEXT.Pipe(duplex=False)
        err, its_err = _CONTEXT.Pipe(duplex=False)
        self._process = _CONTEXT.Process(
            target=_run, args=(textwrap.dedent(program), its_out, its_err)
        )
        self._process.start()
        its_out.close()
        its_err.close()
        self.out, self._err = _text(out), _text(err)

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process.pid
        os.kill(self._process.pid, number)

    def finished(self) -> tuple[int, str, str]:
        """Wait for its end; exit code (negative: the signal), what it printed, its errors."""
        with contextlib.closing(self._process), self.out, self._err:
            # Errors are few enough to wait for.
            printed, errors = self.out.read(), self._err.read()
            self._process.join(60)
            assert self._process.exitcode is not None
            return self._process.exitcode, printed, errors


def _text(pipe: Connection) -> Any:
    with pipe:
        return os.fdopen(os.dup(pipe.fileno()), encoding="utf-8")


def _run(program: str, out: Connection, err: Connection) -> None:
    for pipe, stream in ((out, sys.stdout), (err, sys.stderr)):
        os.dup2(pipe.fileno(), stream.fileno())
        pipe.close()
    exec(program, {"__name__": "__main__"})  # noqa: S102 - a test's own program
