"""What the tables are made of: DIRT's enums, the types of columns, the names of constraints."""

import datetime as dt
import enum
from typing import Annotated, Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.engine.interfaces import Dialect

from dirtmodel.errors import UsageError


class Step(enum.IntEnum):
    """The processing step whose derivative is under review."""

    MASK = 0
    SPATIAL_NORMALIZATION = 1
    SURFACE_LOCALIZATION = 2
    FMAP_COREGISTRATION = 3
    DTIFIT = 4


class DisplayMode(enum.IntEnum):
    """The axis along which a picture is cut."""

    X = 0
    Y = 1
    Z = 2


class Ratings(enum.IntEnum):
    """The verdicts, from good to bad."""

    PASS = 0
    UNSURE = 1
    FAIL = 2


CLICK_STEPS: Final = frozenset(
    {Step.MASK, Step.SPATIAL_NORMALIZATION, Step.SURFACE_LOCALIZATION},
)
"""Steps that are judged by clicks (`coordinate`); the others by verdict (`rating`)."""

VERDICT_STEPS: Final = frozenset(Step) - CLICK_STEPS

_Enum = TypeVar("_Enum", bound=enum.IntEnum)


_WORDS: Final = {"Step": "step", "DisplayMode": "display", "Ratings": "verdict"}


def member_of(kind: type[_Enum], value: _Enum | str | int) -> _Enum:
    """Find a member by itself, by its number, or by its name in any case, with - or _.

    Raises
    ------
    UsageError
        When there is none; the message names them all.

    Examples
    --------
    >>> member_of(Step, "fmap-coregistration") is member_of(Step, 3) is Step.FMAP_COREGISTRATION
    True
    """
    given = int(value) if isinstance(value, kind) else value
    wanted = str(given).strip().upper().replace("-", "_")
    for member in kind:
        if wanted in {member.name, str(int(member))}:
            return member
    known = ", ".join(f"{member.name.lower()} ({int(member)})" for member in kind)
    raise UsageError(f"{value!r} is no {_WORDS[kind.__name__]}; choose one of {known}")


class IntEnumType(sa.TypeDecorator[_Enum]):
    """An IntEnum stored as its integer; `sa.Enum` would store the name."""

    impl = sa.Integer
    cache_ok = True

    def __init__(self, enum: type[_Enum]) -> None:
        super().__init__()
        self.enum = enum

    def process_bind_param(self, value: Any, dialect: Dialect) -> int | None:  # noqa: ARG002 - the signature is SQLAlchemy's
        """Refuse what the enum does not know, before the CHECK has to."""
        return None if value is None else int(self.enum(value))

    def process_result_value(self, value: Any, dialect: Dialect) -> _Enum | None:  # noqa: ARG002 - the signature is SQLAlchemy's
        """Give the member back."""
        return None if value is None else self.enum(value)


class UTCDateTime(sa.TypeDecorator[dt.datetime]):
    """An aware UTC datetime: timestamptz on Postgres, UTC text with microseconds on SQLite."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> dt.datetime | None:
        """Refuse naive datetimes: nobody can tell which instant they mean."""
        if value is None:
            return None
        if getattr(value, "tzinfo", None) is None:
            raise ValueError(f"a datetime with a time zone is needed, not {value!r}")
        utc: dt.datetime = value.astimezone(dt.UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: Any, dialect: Dialect) -> dt.datetime | None:  # noqa: ARG002 - the signature is SQLAlchemy's
        """Give back UTC, whatever time zone the server prints in."""
        if value is None:
            return None
        moment: dt.datetime = value
        if moment.tzinfo is None:
            # SQLite's text says no zone, unless another program wrote one.
            return moment.replace(tzinfo=dt.UTC)
        return moment.astimezone(dt.UTC)


BigInt: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""bigint; on SQLite plain INTEGER, the only spelling that makes a primary key the rowid."""

PrimaryKey = Annotated[int, orm.mapped_column(BigInt, primary_key=True)]


class Base(orm.DeclarativeBase):
    """Base of all models: naming convention and column types in one place."""

    metadata = sa.MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        },
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads a plain class attribute
        Step: IntEnumType(Step),
        DisplayMode: IntEnumType(DisplayMode),
        Ratings: IntEnumType(Ratings),
        dt.datetime: UTCDateTime(),
        str: sa.Text(),
        int: sa.Integer(),
        float: sa.Double(),
        bool: sa.Boolean(),
        bytes: sa.LargeBinary(),
    }


class View(Base):
    """Base of what is mapped on a view, apart from the tables: nobody is to create it as one."""

    __abstract__ = True
    metadata = sa.MetaData()


def number_of(name: Any, values: type[_Enum]) -> sa.ColumnElement[_Enum]:
    """Make of a member's name, as it stands in views, the member: sorted and compared by number."""
    numbers = {member.name: sa.literal(int(member)) for member in values}
    return sa.type_coerce(sa.case(numbers, value=name), IntEnumType(values))


def enum_check(column: str, values: type[enum.IntEnum]) -> sa.CheckConstraint:
    """CHECK that a column holds one of an enum's integers, named after the column.

    `column` is a lower-case identifier of our own.
    """
    return sa.CheckConstraint(f"{column} IN ({', '.join(str(int(v)) for v in values)})", column)


def reference(column: str) -> sa.ForeignKey:
    """Refer to a row and go with it."""
    return sa.ForeignKey(column, ondelete="CASCADE")


def name_of(value: Any) -> str:
    """Name a member of an enum; anything else (not stored yet) as it is."""
    return value.name if isinstance(value, enum.Enum) else str(value)
