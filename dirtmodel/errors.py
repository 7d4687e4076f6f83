"""One family of exceptions: what the user can mend.

Every message says what is wrong, where, and what to do next.
The command line turns this family, and nothing else, into one line on stderr and exit code 2;
an exception outside it is a bug and keeps its traceback.
"""

import difflib
import errno
import os
from collections.abc import Iterable


class DirtmodelError(Exception):
    """Root of everything that dirtmodel raises on purpose."""


class UsageError(DirtmodelError):
    """Options or arguments that do not go together."""


class ReleaseError(DirtmodelError):
    """A release that cannot be found, cannot be read, or holds rows that cannot be loaded."""


class DatabaseError(DirtmodelError):
    """A database that cannot be reached, opened, written or trusted."""


class PictureError(DirtmodelError):
    """A picture that is not a whole PNG or GIF."""


class OutputError(DirtmodelError):
    """A result that cannot be written where or how it was asked for."""


class QueryError(DirtmodelError):
    """A statement typed in that the database refuses, or cannot finish in time."""


_SHORTAGES = {
    errno.ENOMEM: "there is too little memory; close other programs, or use a larger machine",
    errno.EMFILE: "too many files are open; allow more with: ulimit -n 1024",
    errno.ENFILE: "too many files are open on this machine; close other programs, and try again",
    errno.EAGAIN: "no more threads can be started; close other programs, or raise ulimit -u",
}


def shortage(error: BaseException) -> str | None:
    """Return what the system has too little of, if an exception means that; otherwise None.

    >>> shortage(MemoryError())
    'there is too little memory; close other programs, or use a larger machine'
    """
    if isinstance(error, MemoryError):
        return _SHORTAGES[errno.ENOMEM]
    if isinstance(error, OSError) and error.errno in _SHORTAGES:
        return _SHORTAGES[error.errno]
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return _SHORTAGES[errno.EAGAIN]
    # Other modules pass on only the system's words.
    numbers = (number for number in _SHORTAGES if os.strerror(number) in str(error))
    return next((_SHORTAGES[number] for number in numbers if number != errno.EAGAIN), None)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return what a message adds to a misspelt name: the nearest known one, if any.

    >>> "there is no column rater_" + nearest("rater_", ["sub", "rater"])
    'there is no column rater_ (did you mean rater?)'
    """
    spellings = {spelling.lower(): spelling for spelling in known}
    found = difflib.get_close_matches(name.lower(), spellings, n=1)
    return f" (did you mean {spellings[found[0]]}?)" if found else ""
