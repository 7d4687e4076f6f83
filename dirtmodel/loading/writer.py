"""What a writer does, whichever engine it writes to."""

import contextlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import sqlalchemy as sa

if TYPE_CHECKING:
    import pyarrow as pa


class Writer(Protocol):
    """Writes one release to one place, all of it or nothing."""

    def check_destination(self, n_bytes: int) -> None:
        """Refuse what cannot work before hours are spent on it.

        Parameters
        ----------
        n_bytes
            What the release is known to need at least.
        """

    def transaction(self) -> contextlib.AbstractContextManager[sa.Connection]:
        """Give a connection to an empty schema; leaving it puts the release into its place."""

    def insert(self, table: sa.FromClause, names: Sequence[str], rows: Iterable[Any]) -> None:
        """Write rows, each a tuple in the order of the column names."""

    def instants(self, array: "pa.Array") -> list[Any]:
        """Bring timestamps (timestamp[us], UTC) to what the engine's driver takes."""
