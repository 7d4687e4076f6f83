"""Handle signals: each ends a command as Ctrl-C does, so that it removes temporary files."""

import contextlib
import logging
import signal
import sys
from collections.abc import Iterator
from typing import Final, NoReturn

_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals of Ctrl-C, of `kill`, and of a terminal that is closed."""

_PAUSE: Final = 0.01
"""Seconds before an interrupt that Python ignored is raised again."""

_arrived: list[int] = []
"""The signal that arrived, if any; later ones are not added."""


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Turn the first signal into KeyboardInterrupt while the block runs.

    A closing terminal may send more signals. They are ignored, so that the process can clean up; a
    second Ctrl-C ends it immediately.
    """
    # A signal that the caller ignores stays ignored: SIGHUP under nohup, SIGINT in the background.
    caught = [n for n in _ENDING if signal.getsignal(n) is not signal.SIG_IGN]
    _arrived.clear()

    def interrupt(number: int, _frame: object) -> NoReturn:
        _arrived.append(number)
        # Otherwise SQLAlchemy logs that it cannot close the cursors of a closed connection.
        sqlalchemy.setLevel(logging.CRITICAL)
        for other in caught:
            signal.signal(other, signal.SIG_DFL if other == signal.SIGINT else signal.SIG_IGN)
        raise KeyboardInterrupt

    def raise_again(_number: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt

    usual = sys.unraisablehook
    sqlalchemy = logging.getLogger("sqlalchemy")
    level = sqlalchemy.level

    def repeat(ignored: "sys.UnraisableHookArgs") -> None:
        if issubclass(ignored.exc_type, KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, _PAUSE)
        else:
            usual(ignored)

    for number in caught:
        signal.signal(number, interrupt)
    # Python ignores exceptions in callbacks of drivers and of the garbage collector. If a signal
    # arrives in one, the exception is raised again after a pause.
    sys.unraisablehook = repeat
    signal.signal(signal.SIGALRM, raise_again)
    try:
        yield
    finally:
        sqlalchemy.setLevel(level)
        signal.setitimer(signal.ITIMER_REAL, 0)
        # Everything is cleaned up; exceptions while Python exits would only print a traceback.
        for number in caught:
            if signal.getsignal(number) is interrupt:
                signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Raise KeyboardInterrupt instead of any error that follows a signal.

    An interrupted driver may raise its own error.
    """
    try:
        yield
    except Exception as error:
        if _arrived:
            raise KeyboardInterrupt from error
        raise
