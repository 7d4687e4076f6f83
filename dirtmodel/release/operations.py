"""What takes another schema in: Alembic operations to paste into a new revision.

See `docs/new-release.md` for the whole way.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pyarrow as pa

MOST_VALUES: Final = 20
"""More unknown values than that are no enum."""


def add_column(table: str, column: str, physical: "pa.DataType") -> str:
    """Take in a column that DIRT did not have."""
    added = f'sa.Column("{column}", {_sql_type(physical)}, nullable=True)'
    return f'op.add_column("{table}", {added})'


def drop_column(table: str, column: str) -> str:
    """Follow a release that no longer has a column."""
    return f'op.drop_column("{table}", "{column}")'


def retype_column(table: str, column: str, physical: "pa.DataType") -> str:
    """Follow a release in which a column means something else."""
    return f'op.alter_column("{table}", "{column}", type_={_sql_type(physical)})'


def widen_enum(table: str, column: str, values: Iterable[int]) -> str:
    r"""Take in values of an enum that DIRT did not have.

    >>> print(widen_enum("rating", "rating", [3, 0, 1, 2]).replace("; ", "\n"))
    op.drop_constraint(op.f("ck_rating_rating"), "rating", type_="check")
    op.create_check_constraint(op.f("ck_rating_rating"), "rating", "rating IN (0, 1, 2, 3)")
    """
    name = f"ck_{table}_{column}"
    allowed = f"{column} IN ({', '.join(map(str, sorted(values)))})"
    return (
        f'op.drop_constraint(op.f("{name}"), "{table}", type_="check"); '
        f'op.create_check_constraint(op.f("{name}"), "{table}", "{allowed}")'
    )


def _sql_type(physical: "pa.DataType") -> str:
    import pyarrow.types as pt

    if pt.is_dictionary(physical):
        physical = physical.value_type
    for is_kind, name in (
        (pt.is_boolean, "sa.Boolean()"),
        (pt.is_integer, "sa.BigInteger()"),
        (pt.is_floating, "sa.Double()"),
        (pt.is_timestamp, "sa.DateTime(timezone=True)"),
        (pt.is_date, "sa.Date()"),
        (pt.is_decimal, "sa.Numeric()"),
        (pt.is_binary, "sa.LargeBinary()"),
        (pt.is_large_binary, "sa.LargeBinary()"),
    ):
        if is_kind(physical):
            return name
    return "sa.Text()"
