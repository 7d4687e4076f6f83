"""One family of exceptions: what the user can mend.

Every message says what is wrong, where, and what to do next.
The command line turns this family, and nothing else, into one line on stderr and exit code 2;
an exception outside it is a bug and keeps its traceback.
"""

import difflib
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


def nearest(name: str, known: Iterable[str]) -> str:
    """Return what a message adds to a misspelt name: the nearest known one, if any.

    >>> "there is no column rater_" + nearest("rater_", ["sub", "rater"])
    'there is no column rater_ (did you mean rater?)'
    """
    spellings = {spelling.lower(): spelling for spelling in known}
    found = difflib.get_close_matches(name.lower(), spellings, n=1)
    return f" (did you mean {spellings[found[0]]}?)" if found else ""
