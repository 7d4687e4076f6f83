"""What a writer does, whichever engine it writes to."""

import contextlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import sqlalchemy as sa

from dirtmodel.release import Extension

if TYPE_CHECKING:
    import pyarrow as pa

SqlType = sa.types.TypeEngine[Any]


class Rows(NamedTuple):
    """Rows of one table: the types of the columns by name, and tuples in their order."""

    table: str
    columns: Mapping[str, SqlType]
    rows: Iterable[tuple[Any, ...]]


class Writer(Protocol):
    """Writes one release to one place, all of it or nothing."""

    def check_destination(self, n_bytes: int) -> None:
        """Refuse what cannot work before hours are spent on it.

        Parameters
        ----------
        n_bytes
            What the release is known to need at least.
        """

    def transaction(self, extension: Extension) -> contextlib.AbstractContextManager[sa.Connection]:
        """Open a transaction on an empty schema; leaving it puts the release in place."""

    def insert(self, rows: Rows) -> None:
        """Write rows."""

    def values(self, array: "pa.Array", type_: SqlType) -> list[Any]:
        """Convert a canonical array to the values that the engine's driver takes."""
