"""The columns of the files and their types."""

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from dirtmodel.models import DisplayMode, Ratings, Step
from dirtmodel.models.types import BigInt, UTCDateTime

if TYPE_CHECKING:
    import pyarrow as pa


class Kind(enum.Enum):
    """What the values of a column are; files may store them with various physical types."""

    BIGINT = "whole numbers"
    INTEGER = "whole numbers of 32 bits"
    DOUBLE = "numbers"
    BOOLEAN = "true or false"
    TEXT = "text"
    INSTANT = "timestamps"
    DATE = "dates"
    DECIMAL = "decimal numbers"
    BINARY = "bytes"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Parameters
    ----------
    values
        The enum of the column's numbers, if they are numbers of an enum.
    digits
        For decimal numbers: the total number of digits, and the number after the point.
    extra
        True for a column that is not documented.
    """

    name: str
    kind: Kind
    nullable: bool = False
    values: type[Step | DisplayMode | Ratings] | None = None
    digits: tuple[int, int] | None = None
    extra: bool = False

    @property
    def sql_type(self) -> sa.types.TypeEngine[Any]:
        """Return the type that the column has in a database."""
        if self.kind is Kind.DECIMAL:
            return sa.Numeric(*(self.digits or ()))
        return _SQL_TYPES[self.kind]

    @property
    def arrow_type(self) -> "pa.DataType":
        """Return the canonical type of the column in Arrow; timestamps are UTC without a zone."""
        import pyarrow as pa

        if self.kind is Kind.DECIMAL:
            return pa.decimal128(*(self.digits or ()))
        return {
            Kind.BIGINT: pa.int64(),
            Kind.INTEGER: pa.int64(),
            Kind.DOUBLE: pa.float64(),
            Kind.BOOLEAN: pa.bool_(),
            Kind.TEXT: pa.large_string(),
            Kind.INSTANT: pa.timestamp("us"),
            Kind.DATE: pa.date32(),
            Kind.BINARY: pa.large_binary(),
        }[self.kind]

    @property
    def blank_is_null(self) -> bool:
        """True if empty or blank text means NULL, which is so for `user`, `file2` and `notes`.

        DIRT stores missing comments as empty text; the published pipeline converts it to NULL.
        """
        return self.kind is Kind.TEXT and self.nullable and not self.extra


_SQL_TYPES: Final[dict[Kind, sa.types.TypeEngine[Any]]] = {
    Kind.BIGINT: BigInt,
    Kind.INTEGER: sa.Integer(),
    Kind.DOUBLE: sa.Double(),
    Kind.BOOLEAN: sa.Boolean(),
    Kind.TEXT: sa.Text(),
    Kind.INSTANT: UTCDateTime(),
    Kind.DATE: sa.Date(),
    Kind.BINARY: sa.LargeBinary(),
}


_ID: Final = Column("id", Kind.BIGINT)
_STEP: Final = Column("step", Kind.INTEGER, values=Step)
_CREATED: Final = Column("created", Kind.INSTANT)
_SOURCE_DATA_ISSUE: Final = Column("source_data_issue", Kind.BOOLEAN)
_REVIEW: Final = (
    Column("img_id", Kind.BIGINT),
    Column("session", Kind.BIGINT),
    Column("notes", Kind.TEXT, nullable=True),
    _CREATED,
)

COLUMNS: Final[dict[str, tuple[Column, ...]]] = {
    "session": (_ID, _STEP, Column("user", Kind.TEXT, nullable=True), _CREATED),
    "image": (
        _ID,
        Column("img", Kind.BINARY),
        Column("slice", Kind.INTEGER, nullable=True),
        Column("file1", Kind.TEXT),
        Column("file2", Kind.TEXT, nullable=True),
        Column("display", Kind.INTEGER, values=DisplayMode),
        _STEP,
        _CREATED,
    ),
    "rating": (
        _ID,
        _SOURCE_DATA_ISSUE,
        Column("rating", Kind.INTEGER, values=Ratings),
        *_REVIEW,
    ),
    "coordinate": (
        _ID,
        _SOURCE_DATA_ISSUE,
        Column("x", Kind.DOUBLE, nullable=True),
        Column("y", Kind.DOUBLE, nullable=True),
        *_REVIEW,
    ),
}
"""The documented columns of each table, in the order of the files."""

OPTIONAL: Final = frozenset({"notes"})
"""Columns that a release may lack: early versions of DIRT did not have notes."""
