"""The exceptions for problems that a user can solve.

Every message says what is wrong, where, and what to do next. The command line prints these
exceptions as one line on stderr and exits with code 2. Any other exception is a bug and keeps its
traceback.
"""

import difflib
import errno
import os
from collections.abc import Iterable


class DirtmodelError(Exception):
    """Base class of all exceptions that dirtmodel raises on purpose."""


class UsageError(DirtmodelError):
    """Options or arguments that are invalid or cannot be combined."""


class ReleaseError(DirtmodelError):
    """A release that cannot be found or read, or that has rows which cannot be loaded."""


class DatabaseError(DirtmodelError):
    """A database that cannot be reached, opened or written, or that holds invalid data."""


class PictureError(DirtmodelError):
    """A picture that is not a complete PNG or GIF."""


class OutputError(DirtmodelError):
    """A result that cannot be written to the chosen place or in the chosen format."""


class QueryError(DirtmodelError):
    """A user's SQL statement that the database rejects, or does not finish in time."""


_SHORTAGES = {
    errno.ENOMEM: "there is too little memory; close other programs, or use a larger machine",
    errno.EMFILE: "too many files are open; allow more with: ulimit -n 1024",
    errno.ENFILE: "too many files are open on this machine; close other programs, and try again",
    errno.EAGAIN: "no more threads can be started; close other programs, or raise ulimit -u",
}


def shortage(error: BaseException) -> str | None:
    """Describe the lack of memory, open files or threads that an exception reports.

    Return None if the exception reports something else.

    >>> shortage(MemoryError())
    'there is too little memory; close other programs, or use a larger machine'
    """
    if isinstance(error, MemoryError):
        return _SHORTAGES[errno.ENOMEM]
    if isinstance(error, OSError) and error.errno in _SHORTAGES:
        return _SHORTAGES[error.errno]
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return _SHORTAGES[errno.EAGAIN]
    # Some libraries keep only the text of the system's error. That of EAGAIN has other uses.
    numbers = (number for number in _SHORTAGES if os.strerror(number) in str(error))
    return next((_SHORTAGES[number] for number in numbers if number != errno.EAGAIN), None)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a suggestion to append to a message about an unknown name, or an empty string.

    >>> "there is no column rater_" + nearest("rater_", ["sub", "rater"])
    'there is no column rater_ (did you mean rater?)'
    """
    spellings = {spelling.lower(): spelling for spelling in known}
    matches = difflib.get_close_matches(name.lower(), spellings, n=1)
    return f" (did you mean {spellings[matches[0]]}?)" if matches else ""
