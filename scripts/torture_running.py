"""Commands run under torture: in a forked process that can be disturbed, or in this one."""

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
"""Seconds after which a command counts as one that never ends."""
PIPE: Final = 1 << 20


class Ended(NamedTuple):
    """How a command ended: its exit code (negative: the signal), and what it printed to stderr."""

    code: int
    errors: str
    seconds: float


class Failure(Exception):  # noqa: N818 - what a trial ends with; nothing is wrong with this script
    """An invariant that does not hold."""


def run(
    arguments: list[str],
    folder: Path,
    log: Path,
    *,
    limits: Limits | None = None,
    fault: Callable[[int], None] | None = None,
) -> Ended:
    """Run a command in a process forked off this one, which has imported everything.

    Parameters
    ----------
    folder
        Its working folder.
    log
        Folder of the files that receive what it prints.
    fault
        Called with the process's id as soon as it runs.
    """
    start = time.monotonic()
    ready, signal_ready = os.pipe()
    # No limit of files or disks applies to a pipe, and this one holds all that a command prints.
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
    """Redirect what this process prints, so that `run_here` can read it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(log, os.O_RDWR | os.O_CREAT | os.O_TRUNC), 2)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - until the end
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - as above


def run_here(arguments: list[str]) -> Ended:
    """Run a command in this process, whose output was taken over."""
    start = time.monotonic()
    os.ftruncate(2, 0)
    os.lseek(2, 0, os.SEEK_SET)
    # A command that never ends ends the process.
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
    """Limit this process's resources."""
    for which, value in limits.items():
        resource.setrlimit(which, (value, value))


def wait(pid: int, deadline: float) -> int:
    """Wait for a process; one that never ends is killed, and the trial fails."""
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise Failure(f"did not end within {NEVER_ENDS:.0f} s")


def apart(function: Callable[..., Any], *arguments: Any) -> str:
    """Call a function in a forked process, whose threads and memory end with it.

    Returns what it returns, as text.
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
    """Make sure that a command ended as documented."""
    for sign in ("Traceback (most recent call last)", "Exception ignored", "Fatal Python error"):
        if sign in ended.errors:
            raise Failure(f"traceback, exit code {ended.code}:\n{ended.errors[-3000:]}")
    if ended.code not in codes:
        raise Failure(f"exit code {ended.code}:\n{ended.errors[-1000:]}")
    if ended.code == FAILED and not ended.errors.strip():
        raise Failure("exit code 2 without a word")


def address_space() -> int:
    """Return the bytes of memory that this process has mapped."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
