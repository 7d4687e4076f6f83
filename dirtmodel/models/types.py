"""DIRT's enums, the types of columns, and the base class of the models."""

import datetime as dt
import enum
from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.engine.interfaces import Dialect

from dirtmodel.errors import UsageError

LARGEST_NUMBER: Final = 99
"""The largest number that a release may add to an enum; a larger one indicates damage."""


class JudgedBy(enum.StrEnum):
    """The kind of review that decides about the images of a step."""

    CLICKS = "clicks"
    VERDICT = "verdict"


class _Extensible(enum.IntEnum):
    """An enum that accepts numbers which DIRT does not define yet.

    Such a number is a member with a placeholder name, `STEP_5` for example. It is not listed when
    the enum is iterated over.
    """

    @classmethod
    def placeholder(cls, number: int) -> str:
        """Return the name of a number that DIRT does not define."""
        raise NotImplementedError

    @classmethod
    def _missing_(cls, value: object) -> "_Extensible | None":
        if not isinstance(value, int) or not 0 <= value <= LARGEST_NUMBER:
            return None
        member = int.__new__(cls, value)
        member._name_ = cls.placeholder(value)
        member._value_ = value
        # The same number must always be the same object, as for any other member.
        known: dict[object, Any] = cls._value2member_map_
        return known.setdefault(value, member)  # type: ignore[no-any-return]  # a member of this class


class Step(_Extensible):
    """The processing step whose derivative is under review."""

    MASK = 0
    SPATIAL_NORMALIZATION = 1
    SURFACE_LOCALIZATION = 2
    FMAP_COREGISTRATION = 3
    DTIFIT = 4

    @classmethod
    def placeholder(cls, number: int) -> str:
        """Return the name of a step that DIRT does not define."""
        return f"STEP_{number}"


class DisplayMode(_Extensible):
    """The axis along which a picture is cut."""

    X = 0
    Y = 1
    Z = 2

    @classmethod
    def placeholder(cls, number: int) -> str:
        """Return the name of a display that DIRT does not define."""
        return f"DISPLAY_{number}"


class Ratings(_Extensible):
    """The verdicts, from good to bad."""

    PASS = 0
    UNSURE = 1
    FAIL = 2

    @classmethod
    def placeholder(cls, number: int) -> str:
        """Return the name of a verdict that DIRT does not define."""
        return f"RATING_{number}"


JUDGED_BY: Final = {
    Step.MASK: JudgedBy.CLICKS,
    Step.SPATIAL_NORMALIZATION: JudgedBy.CLICKS,
    Step.SURFACE_LOCALIZATION: JudgedBy.CLICKS,
    Step.FMAP_COREGISTRATION: JudgedBy.VERDICT,
    Step.DTIFIT: JudgedBy.VERDICT,
}
"""How DIRT's steps are judged. For the steps of a database, see its table `step`."""

_Enum = TypeVar("_Enum", bound=_Extensible)

_WORDS: Final = {"Step": "step", "DisplayMode": "display", "Ratings": "verdict"}


def member_of(kind: type[_Enum], value: _Enum | str | int) -> _Enum:
    """Return the member of an enum for a member, a number, or a name in any case, with - or _.

    Raises
    ------
    UsageError
        If there is no such member; the message lists DIRT's members.

    Examples
    --------
    >>> member_of(Step, "fmap-coregistration") is member_of(Step, 3) is Step.FMAP_COREGISTRATION
    True
    >>> member_of(Step, "step_5")
    <Step.STEP_5: 5>
    """
    text = str(int(value) if isinstance(value, kind) else value)
    wanted = text.strip().upper().replace("-", "_")
    for member in kind:
        if wanted in {member.name, str(int(member))}:
            return member
    number = wanted.removeprefix(kind.placeholder(0)[:-1])
    if number.isdecimal() and number.isascii() and int(number) <= LARGEST_NUMBER:
        return kind(int(number))
    known = ", ".join(f"{member.name.lower()} ({int(member)})" for member in kind)
    raise UsageError(f"{value!r} is not a {_WORDS[kind.__name__]}; choose one of {known}")


class IntEnumType(sa.TypeDecorator[_Enum]):
    """An IntEnum stored as its integer; `sa.Enum` would store the name."""

    impl = sa.Integer
    cache_ok = True

    def __init__(self, enum: type[_Enum]) -> None:
        super().__init__()
        self.enum = enum

    def process_bind_param(self, value: Any, dialect: Dialect) -> int | None:  # noqa: ARG002 - the signature is SQLAlchemy's
        """Convert a member, or its number, to the number."""
        return None if value is None else int(self.enum(value))

    def process_result_value(self, value: Any, dialect: Dialect) -> _Enum | None:  # noqa: ARG002 - the signature is SQLAlchemy's
        """Convert a number to the member."""
        return None if value is None else self.enum(value)


_INSTANT: Final = {
    # SQLite checks that a day or an hour exists only when it has to calculate with it.
    "sqlite": (
        "{0} GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9] "
        "[0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]' "
        "AND datetime(substr({0}, 1, 19), '+0 days') IS substr({0}, 1, 19) "
        "AND substr({0}, 1, 4) > '0000'"
    ),
    "postgresql": (
        "{0} >= '0001-01-01 00:00:00+00'::timestamptz "
        "AND {0} < '10000-01-01 00:00:00+00'::timestamptz"
    ),
}


def instant(column: str, dialect: str) -> str:
    """Return the SQL condition that a column holds a time which Python can represent.

    Python's times end with the year 9999. On SQLite, the condition also requires our text format.
    """
    return _INSTANT[dialect].format(column)


def instant_checks(column: str) -> tuple[sa.CheckConstraint, ...]:
    """Return the check constraints that a column satisfies `instant`, one for each engine."""
    return tuple(
        sa.CheckConstraint(instant(column, dialect), column).ddl_if(dialect=dialect)
        for dialect in _INSTANT
    )


class UTCDateTime(sa.TypeDecorator[dt.datetime]):
    """An aware UTC datetime: timestamptz on Postgres, UTC text with microseconds on SQLite."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        """Convert to UTC; for an invalid time, raise the error that the dialect describes."""
        convert = super().result_processor(dialect, coltype)
        describe = getattr(dialect, "describe_invalid_time", None)
        if convert is None or describe is None:
            return convert

        def convert_or_describe(value: Any) -> Any:
            try:
                return convert(value)
            except (TypeError, ValueError) as error:
                raise describe() or error from error

        return convert_or_describe

    def process_bind_param(self, value: Any, dialect: Dialect) -> dt.datetime | None:
        """Convert to UTC; reject a naive datetime, whose time zone is unknown."""
        if value is None:
            return None
        if getattr(value, "tzinfo", None) is None:
            raise ValueError(f"a datetime with a time zone is needed, not {value!r}")
        utc: dt.datetime = value.astimezone(dt.UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: Any, dialect: Dialect) -> dt.datetime | None:  # noqa: ARG002 - the signature is SQLAlchemy's
        """Convert to UTC from the time zone in which the server returns times."""
        if value is None:
            return None
        moment: dt.datetime = value
        if moment.tzinfo is None:
            # On SQLite, times have a zone only if another program wrote it.
            return moment.replace(tzinfo=dt.UTC)
        return moment.astimezone(dt.UTC)


BigInt: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""bigint; on SQLite INTEGER, the only type with which a primary key is the rowid."""

PrimaryKey = Annotated[int, orm.mapped_column(BigInt, primary_key=True)]


class Base(orm.DeclarativeBase):
    """Base class of all models: names of constraints, and column types of annotations."""

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


def reference(column: str) -> sa.ForeignKey:
    """Return a foreign key with ON DELETE CASCADE."""
    return sa.ForeignKey(column, ondelete="CASCADE")


def name_of(value: Any) -> str:
    """Return the name of an enum member, or the text of any other value."""
    return value.name if isinstance(value, enum.Enum) else str(value)
