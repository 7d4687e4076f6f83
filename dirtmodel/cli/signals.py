"""Signals that end a command: each ends it as Ctrl-C does, so that it cleans up after itself."""

import contextlib
import logging
import signal
import sys
from collections.abc import Iterator
from typing import Final, NoReturn

_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, `kill`, and a terminal that closes."""

_PAUSE: Final = 0.01
"""Seconds after which an interrupt that Python ignored is repeated."""

_arrived: list[int] = []
"""The signal that arrived; at most one."""


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Turn the first signal into KeyboardInterrupt, as long as the block runs.

    Until the process has ended, a closing terminal may send more of them, which must not keep it
    from cleaning up; a second Ctrl-C ends it at once.
    """
    # What the caller ignores stays ignored: SIGHUP under nohup, SIGINT in the background.
    caught = [n for n in _ENDING if signal.getsignal(n) is not signal.SIG_IGN]
    _arrived.clear()

    def interrupt(number: int, _frame: object) -> NoReturn:
        _arrived.append(number)
        # SQLAlchemy would log that it cannot close the cursors of a connection that it has closed.
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
    # Python ignores exceptions in callbacks, which a driver or the garbage collector may be calling
    # when a signal arrives.
    sys.unraisablehook = repeat
    signal.signal(signal.SIGALRM, raise_again)
    try:
        yield
    finally:
        sqlalchemy.setLevel(level)
        signal.setitimer(signal.ITIMER_REAL, 0)
        # Nothing is left to clean up, and Python has no use for exceptions while it exits.
        for number in caught:
            if signal.getsignal(number) is interrupt:
                signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Raise KeyboardInterrupt instead of any error that follows from it.

    A driver that is interrupted may raise an error of its own.
    """
    try:
        yield
    except Exception as error:
        if _arrived:
            raise KeyboardInterrupt from error
        raise
