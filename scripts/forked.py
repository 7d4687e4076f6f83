"""Programs that run in forks of a process which has already imported what they need.

Importing takes longer than most programs run. `become` turns a forked process into a program.
`serve` forks a program for each request that arrives at a socket, until stdin is closed.
"""

import atexit
import functools
import gc
import importlib
import marshal
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

_BUG: Final = 70


def become(program: Callable[[], object], streams: Sequence[int]) -> NoReturn:
    """Turn this forked process into a program, and end with it.

    Parameters
    ----------
    program
        Exceptions that it raises end the process as they would end Python.
    streams
        The file descriptors of its stdin, stdout and stderr.
    """
    code: Any = _BUG
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        # These functions are for the end of the process that was forked.
        atexit._clear()  # noqa: SLF001 - as multiprocessing does
        for standard, stream in enumerate(streams):
            os.dup2(stream, standard)
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - until the end
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - as above
        sys.stderr = open(  # noqa: SIM115 - as above
            2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
        )
        try:
            program()
            code = 0
        except SystemExit as error:
            code = error.code or 0
            if not isinstance(code, int):
                print(code, file=sys.stderr)
                code = 1
        except BaseException:  # noqa: BLE001 - as Python itself would
            traceback.print_exc()
            code = 1
        threading._shutdown()  # type: ignore[attr-defined] # noqa: SLF001 - as Python does in the end
        atexit._run_exitfuncs()  # noqa: SLF001 - as multiprocessing does
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def serve(path: str, modules: Sequence[str]) -> None:
    """Fork a program for each request; reply with its process id and, at its end, its exit code.

    A request consists of three file descriptors (stdin, stdout and stderr) and the arguments of
    `_run`.
    """
    for name in modules:
        importlib.import_module(name)
    gc.freeze()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    running: dict[int, socket.socket] = {}
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        print("ready", flush=True)
        while True:
            ready, _, _ = select.select([0, woken, listening.fileno()], [], [])
            if 0 in ready:
                return
            if woken in ready:
                os.read(woken, 1024)
                _report_ended(running)
            if listening.fileno() in ready:
                client, _ = listening.accept()
                request, streams = _received(client)
                pid = os.fork()
                if pid == 0:
                    signal.set_wakeup_fd(-1)
                    for ours in (client, listening, *running.values()):
                        ours.close()
                    become(functools.partial(_run, *request), streams)
                for stream in streams:
                    os.close(stream)
                client.sendall(b"%d\n" % pid)
                running[pid] = client


def _report_ended(running: dict[int, socket.socket]) -> None:
    for pid in list(running):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            with running.pop(pid) as client:
                client.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))


def _received(client: socket.socket) -> tuple[Any, list[int]]:
    request, streams, _, _ = socket.recv_fds(client, 1 << 16, 3)
    while more := client.recv(1 << 16):
        request += more
    return marshal.loads(request), streams  # noqa: S302 - from a test


def _run(program: str, arguments: list[str], folder: str, environment: dict[bytes, bytes]) -> None:
    """Run Python code as `python -c` would in this folder and environment."""
    os.chdir(folder)
    os.environb.clear()
    os.environb.update(environment)
    time.tzset()
    sys.argv = arguments
    sys.dont_write_bytecode = "PYTHONDONTWRITEBYTECODE" in os.environ
    sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    exec(program, {"__name__": "__main__"})  # noqa: S102 - a test's own program


if __name__ == "__main__":
    # Not the folder of the scripts.
    del sys.path[0]
    serve(sys.argv[1], sys.argv[2:])
