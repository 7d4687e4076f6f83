"""Reading a release from a database with DIRT's own tables, or those of any version of dirtmodel.

All tables are read in one transaction, so that they are consistent with each other.
"""

import contextlib
import decimal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from dirtmodel import database
from dirtmodel.database.fetching import fetched, n_bytes
from dirtmodel.errors import DatabaseError, ReleaseError
from dirtmodel.release.columns import COLUMNS
from dirtmodel.release.layout import TABLES
from dirtmodel.release.memory import NARROW_ROWS, WIDE_ROWS

if TYPE_CHECKING:
    import pyarrow as pa

DIRT_TABLES: Final = {
    "session": "ratings_session",
    "image": "ratings_image",
    "rating": "ratings_rating",
    "coordinate": "ratings_clickedcoordinate",
}
DIRT_COLUMNS: Final = {"image_id": "img_id", "session_id": "session", "comments": "notes"}
"""The names of columns in the release, by Django's names."""

_OWN_TABLES: Final = {table: table for table in TABLES}


@dataclass(frozen=True)
class DatabaseTables:
    """The tables of a database, with the names of the release."""

    url: sa.URL
    connection: sa.Connection
    names: Mapping[str, str]
    columns: Mapping[str, Mapping[str, Any]]
    """The columns of the database, by table and by the column's name in the release."""

    @property
    def name(self) -> str:
        """The name of the database."""
        return Path(str(self.url.database)).stem

    @property
    def place(self) -> str:
        """The URL without its password."""
        return database.display(self.url)

    @property
    def n_bytes(self) -> int:
        """The size of all pictures; the engines know it without reading them."""
        img = self.columns["image"].get("img")
        if img is None:
            return 0
        total = sa.cast(sa.func.sum(n_bytes(img)), sa.BigInteger)
        return int(self.connection.scalar(sa.select(total)) or 0)

    def paths(self, table: str) -> list[Path]:  # noqa: ARG002 - the signature is that of Source
        """Return an empty list, because there are no files."""
        return []

    def file(self, table: str) -> str:
        """Return the name of the table in the database."""
        return self.names[table]

    def row(self, table: str, number: int, id_: int | None) -> str:
        """Return the table of a row, and its id, or its number if it has no id."""
        return f"{self.names[table]} " + (f"row {number}" if id_ is None else f"id {id_}")

    def n_bytes_held(self, table: str) -> int:  # noqa: ARG002 - the signature is that of Source
        """Return 0, because drivers hold only the rows."""
        return 0

    def absent(self, table: str) -> str | None:  # noqa: ARG002 - the signature is that of Source
        """Return None, because a database without one of the tables is not opened."""
        return None

    def schema(self, table: str) -> "pa.Schema":
        """Return the columns of a table and the Arrow types for their declared types."""
        import pyarrow as pa

        return pa.schema(
            [(name, self._type(table, column)) for name, column in self.columns[table].items()]
        )

    def read(self, table: str, names: list[str]) -> "Iterator[pa.RecordBatch]":
        """Read columns in the order of the ids.

        Times are read as text. If a batch has a value that is not of the declared type, which
        SQLite allows, its column is read as text as well. The check reports invalid values.
        """
        import pyarrow as pa

        schema = self.schema(table)
        wanted = pa.schema([schema.field(name) for name in names])
        columns = [self.columns[table][name] for name in names]
        statement = sa.select(*map(self._selected, columns))
        if "id" in self.columns[table]:
            statement = statement.order_by(self.columns[table]["id"])
        at_most = WIDE_ROWS if "img" in names else NARROW_ROWS
        try:
            for rows in fetched(self.connection, statement, at_most, columns):
                values = zip(wanted, zip(*rows, strict=True), strict=True)
                arrays = [_array(field.type, column) for field, column in values]
                yield pa.RecordBatch.from_arrays(arrays, names=names)
        except (sa.exc.DBAPIError, DatabaseError) as error:
            # Converted here, so that it is not reported as a failure of the destination.
            raise ReleaseError(
                f"cannot read {self.names[table]} of {self.place}: {database.first_line(error)}; "
                "nothing was loaded"
            ) from error

    def _selected(self, column: Any) -> Any:
        """Select a column as it is, or as text if the driver cannot represent all its values."""
        as_it_is = isinstance(column.type, _KNOWN) or _is_decimal(column.type)
        if isinstance(column.type, _TIMES):
            # psycopg cannot represent infinity or years before 1. SQLite stores times as text.
            as_it_is = database.is_sqlite(self.url)
        return sa.type_coerce(column, sa.types.NullType()) if as_it_is else sa.cast(column, sa.Text)

    def _type(self, table: str, column: Any) -> "pa.DataType":
        import pyarrow as pa

        is_checked = column.name in {documented.name for documented in COLUMNS[table]}
        kinds = {
            # SQLite stores DIRT's booleans as 0 and 1. The check reports other numbers.
            sa.Boolean: pa.int64() if is_checked and database.is_sqlite(self.url) else pa.bool_(),
            sa.Integer: pa.int64(),
            sa.Float: pa.float64(),
            sa.LargeBinary: pa.large_binary(),
            sa.DateTime: pa.timestamp("us", tz="UTC"),
            sa.Date: pa.date32(),
        }
        if _is_decimal(column.type):
            return pa.decimal128(column.type.precision, column.type.scale)
        for kind, arrow in kinds.items():
            if isinstance(column.type, kind):
                return arrow
        return pa.large_string()


_KNOWN: Final = (
    sa.Boolean,
    sa.Integer,
    sa.Float,
    sa.LargeBinary,
    sa.String,
)
"""Types whose values all drivers can represent."""

_TIMES: Final = (sa.DateTime, sa.Date)


def _is_decimal(type_: sa.types.TypeEngine[Any]) -> bool:
    """Return True for a type of decimal numbers with a known number of digits."""
    return (
        isinstance(type_, sa.Numeric)
        and not isinstance(type_, sa.Float)
        and type_.precision is not None
        and type_.scale is not None
    )


def _array(declared: "pa.DataType", values: tuple[Any, ...]) -> "pa.Array":
    """Return values with the declared type, or as text if a value does not have this type."""
    import pyarrow as pa
    import pyarrow.types as pt

    if pt.is_timestamp(declared) or pt.is_date(declared):
        return pa.array([_text(value) for value in values], pa.large_string())
    try:
        return pa.array([_converted(declared, value) for value in values], declared)
    except (pa.ArrowException, ValueError, TypeError, ArithmeticError):
        if pt.is_large_string(declared) or pt.is_large_binary(declared):
            return pa.array([_bytes(value) for value in values], pa.large_binary())
        return pa.array([_text(value) for value in values], pa.large_string())


def _converted(declared: "pa.DataType", value: Any) -> Any:
    """Convert a value of SQLite, which has few types, to the declared type."""
    import pyarrow.types as pt

    if pt.is_boolean(declared) and value in (0, 1):
        return bool(value)
    if pt.is_decimal(declared) and value is not None:
        return decimal.Decimal(str(value))
    if pt.is_integer(declared) and isinstance(value, float):
        raise TypeError("Arrow would drop its fraction")
    return value


def _bytes(value: Any) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    return str(value).encode(errors="surrogateescape")


def _text(value: Any) -> str | None:
    return None if value is None else str(value).encode(errors="backslashreplace").decode()


def _any_text(data: bytes) -> str:
    """Decode text of SQLite, which may not be UTF-8; the check reports text that is not."""
    return data.decode(errors="surrogateescape")


@contextlib.contextmanager
def opened(url: sa.URL) -> Iterator[DatabaseTables]:
    """Open a database with DIRT's tables, or those of any version of dirtmodel.

    Raises
    ------
    DatabaseError
        If the database cannot be reached or does not have these tables.
    """
    with database.reach(url) as connection:
        if database.is_sqlite(url):
            driver: Any = connection.connection.driver_connection
            driver.text_factory = _any_text
            # Rows are read in their order, once; more would only add to the memory of a load.
            driver.execute("PRAGMA cache_size=-8192")
        database.take_snapshot(connection)
        inspector = sa.inspect(connection)
        tables = set(inspector.get_table_names())
        names = next((n for n in (DIRT_TABLES, _OWN_TABLES) if tables >= set(n.values())), None)
        if names is None:
            raise DatabaseError(
                f"{database.display(url)} has neither DIRT's tables "
                f"({', '.join(DIRT_TABLES.values())}) nor those of dirtmodel; check the path or "
                "URL, and on Postgres the schema: ?options=-csearch_path%3Dname"
            )
        yield DatabaseTables(
            url, connection, names, {t: _columns(inspector, name) for t, name in names.items()}
        )


def _columns(inspector: sa.Inspector, name: str) -> dict[str, Any]:
    columns = inspector.get_columns(name)
    table = sa.table(name, *(sa.column(c["name"], c["type"]) for c in columns))
    renamed = DIRT_COLUMNS if name in DIRT_TABLES.values() else {}
    return {renamed.get(column.name, column.name): column for column in table.c}
