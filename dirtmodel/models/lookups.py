"""The lookup tables: what each number for a step, a display and a verdict means.

Migrations fill them. Loading a release that uses further numbers adds rows with placeholder names.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import sqlalchemy as sa

from dirtmodel.errors import UsageError
from dirtmodel.models.types import Base, DisplayMode, IntEnumType, JudgedBy, Ratings, Step

ENUMS: Final[dict[str, type[Step | DisplayMode | Ratings]]] = {
    "step": Step,
    "display": DisplayMode,
    "verdict": Ratings,
}
"""The enum of each lookup table."""


def _lookup(name: str, comment: str, *more: sa.Column[Any]) -> sa.Table:
    return sa.Table(
        name,
        Base.metadata,
        sa.Column(
            "id",
            IntEnumType(ENUMS[name]),
            primary_key=True,
            autoincrement=False,
            comment="the number that other tables hold",
        ),
        sa.Column(
            "name",
            sa.Text(),
            nullable=False,
            unique=True,
            comment="DIRT's name, or a placeholder such as STEP_5 if DIRT does not define it",
        ),
        *more,
        comment=comment,
    )


STEP: Final = _lookup(
    "step",
    "the processing steps whose derivatives are reviewed",
    sa.Column(
        "judged_by",
        sa.Text(),
        sa.CheckConstraint("judged_by IN ('clicks', 'verdict')", "judged_by"),
        nullable=False,
        comment="what decides about its images: clicks (`coordinate`) or verdict (`rating`)",
    ),
)
DISPLAY: Final = _lookup("display", "the axes along which pictures are cut")
VERDICT: Final = _lookup("verdict", "the verdicts of `rating`, from good to bad")


def placeholders(table: str, numbers: Mapping[int, JudgedBy | None]) -> list[dict[str, Any]]:
    """Return rows with placeholder names for numbers that DIRT does not define.

    Parameters
    ----------
    table
        `step`, `display` or `verdict`.
    numbers
        The numbers; for steps, how each one is judged.
    """
    return [
        {"id": number, "name": ENUMS[table].placeholder(number)}
        | ({"judged_by": str(judged_by)} if table == "step" else {})
        for number, judged_by in sorted(numbers.items())
    ]


def known(connection: sa.Connection, table: str) -> dict[int, str]:
    """Return the names in a lookup table of a database, keyed by number."""
    lookup = Base.metadata.tables[table]
    rows = connection.execute(sa.select(lookup.c.id, lookup.c.name).order_by(lookup.c.id))
    return {int(number): name for number, name in rows}


def require_steps(steps: Iterable[Step], *connections: sa.Connection) -> None:
    """Make sure that each step exists in at least one of the databases.

    A query for a step that does not exist would silently return no rows.

    Raises
    ------
    UsageError
        If no database has the step; the message lists the steps that exist.
    """
    names = {number: name for c in connections for number, name in known(c, "step").items()}
    for step in steps:
        if step not in names:
            choices = ", ".join(f"{name.lower()} ({number})" for number, name in names.items())
            raise UsageError(
                f"this database has no step {step.name.lower()} ({step:d}); choose one of {choices}"
            )


def steps_by_clicks(connection: sa.Connection) -> list[str]:
    """Return the names of a database's steps that are judged by clicks."""
    by_clicks = STEP.c.judged_by == str(JudgedBy.CLICKS)
    return list(connection.scalars(sa.select(STEP.c.name).where(by_clicks).order_by(STEP.c.id)))


def judged_by(connection: sa.Connection, step: Step) -> JudgedBy | None:
    """Return how a step of a database is judged, or None if the database has no such step."""
    kind = connection.scalar(sa.select(STEP.c.judged_by).where(STEP.c.id == step))
    return None if kind is None else JudgedBy(kind)
