"""One family of exceptions: what the user can mend.

Every message says what is wrong, where, and what to do next.
The command line turns this family, and nothing else, into one line on stderr and exit code 2;
an exception outside it is a bug and keeps its traceback.
"""


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
