"""Columns, and numbers of the enums, that a release has beyond the documented layout."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from dirtmodel.database.fragments import LONGEST_NAME, fold
from dirtmodel.models import MIRRORED, JudgedBy, Step, lookups
from dirtmodel.release.columns import COLUMNS, Column, Kind

if TYPE_CHECKING:
    import pyarrow as pa

_RESERVED: Final = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})
"""Names of the system columns that every table of Postgres has."""

_EXACT_DIGITS: Final = 15
"""Decimal digits that SQLite stores exactly; it stores decimal numbers as doubles."""

_PANDAS_INDEX: Final = re.compile(r"__index_level_\d+__")
"""Pattern of the column in which pandas writes its index, which is not part of the content."""


@dataclass(frozen=True)
class Extension:
    """The columns and numbers that a release needs beyond the schema of this version.

    Parameters
    ----------
    columns
        Additional columns by table.
    numbers
        Additional numbers by lookup table; for steps, how each one is judged.
    """

    columns: Mapping[str, tuple[Column, ...]] = field(default_factory=dict)
    numbers: Mapping[str, Mapping[int, JudgedBy | None]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return any(self.columns.values()) or any(self.numbers.values())

    def less(self, other: "Extension") -> "Extension":
        """Return the columns and numbers that another extension lacks or has with another type."""
        return Extension(
            {
                table: tuple(
                    column
                    for column in self.columns.get(table, ())
                    if column not in other.columns.get(table, ())
                )
                for table in MIRRORED
            },
            {
                table: {
                    number: judged_by
                    for number, judged_by in numbers.items()
                    if number not in other.numbers.get(table, {})
                }
                for table, numbers in self.numbers.items()
            },
        )


def extra_columns(table: str, schema: "pa.Schema") -> Iterator[tuple[str, Column | str]]:
    """Yield the name of each undocumented column, with the column or the reason to ignore it."""
    documented = {column.name for column in COLUMNS[table]}
    times = Counter(schema.names)
    taken = {fold(name): name for name in documented}
    for name, physical in zip(schema.names, schema.types, strict=True):
        if name in documented or _PANDAS_INDEX.fullmatch(name):
            continue
        column = _column(name, physical)
        if reason := _unusable_name(name, times[name], taken.get(fold(name))):
            yield name, reason
        elif column is None:
            yield name, _unusable_type(physical)
        else:
            taken[fold(name)] = name
            yield name, column


def _unusable_name(name: str, times: int, taken_by: str | None) -> str | None:
    """Return the reason why a database cannot have a column of this name, or None."""
    if times > 1:
        return f"{times} columns have this name"
    if taken_by is not None:
        return f"its name differs from that of the column {taken_by!r} only in case"
    if not name or "\0" in name:
        return "a database cannot have a column of this name"
    if len(name.encode()) > LONGEST_NAME:
        return f"its name is longer than {LONGEST_NAME} bytes"
    if fold(name) in _RESERVED:
        return "Postgres reserves its name"
    return None


def _unusable_type(physical: "pa.DataType") -> str:
    """Return the reason why a database cannot have a column of this type."""
    import pyarrow.types as pt

    if pt.is_decimal(physical):
        return f"SQLite rounds numbers of more than {_EXACT_DIGITS} digits ({physical})"
    return f"columns of type {physical} are not supported"


def _column(name: str, physical: "pa.DataType") -> Column | None:
    """Return the column for a physical type; None if SQL has no such type."""
    import pyarrow.types as pt

    if pt.is_dictionary(physical):
        physical = physical.value_type
    if pt.is_decimal(physical):
        digits = physical.precision, physical.scale
        exact = digits[0] <= _EXACT_DIGITS and 0 <= digits[1] <= digits[0]
        return Column(name, Kind.DECIMAL, True, digits=digits, extra=True) if exact else None
    for is_kind, kind in (
        (pt.is_boolean, Kind.BOOLEAN),
        (pt.is_integer, Kind.BIGINT),
        (pt.is_floating, Kind.DOUBLE),
        (pt.is_timestamp, Kind.INSTANT),
        (pt.is_date, Kind.DATE),
        (pt.is_string, Kind.TEXT),
        (pt.is_large_string, Kind.TEXT),
        (pt.is_string_view, Kind.TEXT),
        # The type of a column that is NULL in all rows.
        (pt.is_null, Kind.TEXT),
        (pt.is_binary, Kind.BINARY),
        (pt.is_large_binary, Kind.BINARY),
        (pt.is_binary_view, Kind.BINARY),
        (pt.is_fixed_size_binary, Kind.BINARY),
    ):
        if is_kind(physical):
            return Column(name, kind, nullable=True, extra=True)
    return None


def of_database(connection: sa.Connection) -> Extension:
    """Return the columns and numbers that a database has beyond the schema of this version."""
    inspector = sa.inspect(connection)
    columns = {}
    for table in MIRRORED:
        documented = {column.name for column in COLUMNS[table]}
        existing = inspector.get_columns(table)
        extra = (reflected(c["name"], c["type"]) for c in existing if c["name"] not in documented)
        columns[table] = tuple(column for column in extra if column is not None)
    numbers: dict[str, dict[int, JudgedBy | None]] = {}
    for table, kind in lookups.ENUMS.items():
        own = {int(member) for member in kind}
        beyond = [n for n in lookups.known(connection, table) if n not in own]
        numbers[table] = {
            n: lookups.judged_by(connection, Step(n)) if table == "step" else None for n in beyond
        }
    return Extension(columns, numbers)


def reflected(name: str, type_: sa.types.TypeEngine[Any]) -> Column | None:
    """Return the column for a type in a database; None if no release can have such a column."""
    if isinstance(type_, sa.Numeric) and not isinstance(type_, sa.Float):
        if type_.precision is None or type_.scale is None:
            return None
        digits = (type_.precision, type_.scale)
        return Column(name, Kind.DECIMAL, nullable=True, digits=digits, extra=True)
    for sql_type, kind in (
        (sa.Boolean, Kind.BOOLEAN),
        (sa.Integer, Kind.BIGINT),
        (sa.Float, Kind.DOUBLE),
        (sa.DateTime, Kind.INSTANT),
        (sa.Date, Kind.DATE),
        (sa.String, Kind.TEXT),
        (sa.LargeBinary, Kind.BINARY),
    ):
        if isinstance(type_, sql_type):
            return Column(name, kind, nullable=True, extra=True)
    return None
