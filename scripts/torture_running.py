"""Run the commands of trials: in a forked process that can be disturbed, or in this process."""

import fcntl
import functools
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import forked

from dirtmodel import cli

Limits = Mapping[int, int]

FAILED: Final = 2
INTERRUPTED: Final = 130
CODES: Final = frozenset({0, 1, FAILED, INTERRUPTED})
NEVER_ENDS: Final = 120
"""Seconds after which a command counts as one that does not end."""
PIPE: Final = 1 << 20


class Ended(NamedTuple):
    """The end of a command: its exit code (negative: the signal), its stderr, its seconds."""

    code: int
    errors: str
    seconds: float


class Failure(Exception):  # noqa: N818 - what a trial ends with; nothing is wrong with this script
    """An invariant was violated."""


def run(
    arguments: list[str],
    folder: Path,
    log: Path,
    *,
    limits: Limits | None = None,
    fault: Callable[[int], None] | None = None,
) -> Ended:
    """Run a command in a fork of this process, which has already imported everything.

    Parameters
    ----------
    folder
        The working folder of the command.
    log
        The folder for files with its output.
    fault
        A function that is called with the id of the process as soon as it runs.
    """
    start = time.monotonic()
    ready, signal_ready = os.pipe()
    # Limits of files and disks do not apply to a pipe; this one can hold all output of a command.
    errors, err = os.pipe()
    fcntl.fcntl(err, fcntl.F_SETPIPE_SZ, PIPE)
    with (log / "out").open("wb") as out:
        pid = os.fork()
        if pid == 0:
            command = functools.partial(_command, arguments, folder, limits or {}, signal_ready)
            forked.become(command, (os.open(os.devnull, os.O_RDONLY), out.fileno(), err))
    os.close(err)
    os.close(signal_ready)
    os.read(ready, 1)
    os.close(ready)
    if fault is not None:
        fault(pid)
    code = wait(pid, start + NEVER_ENDS)
    with os.fdopen(errors, encoding="utf-8", errors="replace") as pipe:
        text = pipe.read()
    (log / "err").write_text(text)
    return Ended(code, text, time.monotonic() - start)


def _command(arguments: list[str], folder: Path, limits: Limits, ready: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.chdir(folder)
    sys.argv = ["dirtmodel", *arguments]
    limit(limits)
    os.write(ready, b".")
    cli.main()


def take_over_output(log: Path) -> None:
    """Redirect the output of this process, so that `run_here` can read it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(log, os.O_RDWR | os.O_CREAT | os.O_TRUNC), 2)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - until the end
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - as above


def run_here(arguments: list[str]) -> Ended:
    """Run a command in this process, after `take_over_output`."""
    start = time.monotonic()
    os.ftruncate(2, 0)
    os.lseek(2, 0, os.SEEK_SET)
    # If the command does not end, the alarm ends the process.
    signal.alarm(NEVER_ENDS)
    code: Any = 1
    try:
        cli.main.main(arguments)
    except SystemExit as error:
        code = error.code or 0
    except BaseException:  # noqa: BLE001 - as Python itself would
        traceback.print_exc()
    signal.alarm(0)
    sys.stdout.flush()
    sys.stderr.flush()
    text = os.pread(2, PIPE, 0).decode(errors="replace")
    if (n_threads := threading.active_count()) > 1:
        raise Failure(f"{arguments[0]} left {n_threads - 1} threads running")
    return Ended(code, text, time.monotonic() - start)


def limit(limits: Limits) -> None:
    """Limit the resources of this process."""
    for which, value in limits.items():
        resource.setrlimit(which, (value, value))


def wait(pid: int, deadline: float) -> int:
    """Wait for a process; if it does not end in time, kill it and raise Failure."""
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise Failure(f"did not end within {NEVER_ENDS:.0f} s")


def apart(function: Callable[..., Any], *arguments: Any) -> str:
    """Call a function in a forked process, and return its result as text.

    Threads and memory of the function end with the process.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reading)
            with os.fdopen(writing, "w", encoding="utf-8", errors="backslashreplace") as pipe:
                try:
                    pipe.write(str(function(*arguments)))
                    code = 0
                except BaseException:  # noqa: BLE001 - passed on as text
                    pipe.write(traceback.format_exc())
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        text = pipe.read()
    if wait(pid, time.monotonic() + NEVER_ENDS):
        raise Failure(f"the check itself failed: {text}")
    return text


def check_end(ended: Ended, codes: frozenset[int] = CODES) -> None:
    """Raise Failure unless a command ended as documented."""
    for sign in ("Traceback (most recent call last)", "Exception ignored", "Fatal Python error"):
        if sign in ended.errors:
            raise Failure(f"traceback, exit code {ended.code}:\n{ended.errors[-3000:]}")
    if ended.code not in codes:
        raise Failure(f"exit code {ended.code}:\n{ended.errors[-1000:]}")
    if ended.code == FAILED and not ended.errors.strip():
        raise Failure("exit code 2 without a word")


def address_space() -> int:
    """Return the number of bytes that this process has mapped."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
