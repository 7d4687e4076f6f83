"""The interface of the writers of the two engines."""

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
    """Writes a release to a database, completely or not at all."""

    def check_destination(self, n_bytes: int) -> None:
        """Raise an error before the load starts if it cannot succeed.

        Parameters
        ----------
        n_bytes
            The bytes of disk space that the release needs at least.
        """

    def transaction(self, extension: Extension) -> contextlib.AbstractContextManager[sa.Connection]:
        """Begin a transaction on an empty schema, and commit the release at its end."""

    def insert(self, rows: Rows) -> None:
        """Insert rows."""

    def values(self, array: "pa.Array", type_: SqlType) -> list[Any]:
        """Convert a canonical array to values for the driver of the engine."""
