"""The conditions on targets that several queries and the export share."""

import enum
import shlex
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from dirtmodel.entities import SCANS
from dirtmodel.errors import UsageError, nearest
from dirtmodel.models import DisplayMode, Review, Step, Target, lookups, member_of
from dirtmodel.queries.rules import Status

_KINDS: Final[dict[str, Any]] = {
    "step": Step,
    "sub": str,
    "ses": str,
    "task": str,
    "run_number": int,
    "scan": str,
}
"""The type of the values of each condition."""

_NAMES: Final = {"run_number": "run"}
"""The conditions that have another name in the tables and on the command line, and that name."""

_SCANS: Final = {scan.lower(): scan for scan in SCANS}
_BIGINT: Final = range(-(2**63), 2**63)


@dataclass(frozen=True, kw_only=True)
class Targets:
    """The targets of some steps, participants, scanning sessions, runs and scans.

    Every condition is a value, a collection of values of which one must match, or None for all.

    Parameters
    ----------
    step
        Members of `Step`, their names or numbers.
    sub, ses, task, run_number, scan
        As in `target`; `"sub-10003"` means `"10003"`. `run_number` is the column `run`; it has
        another name because `run` is the method that runs a query.

    Raises
    ------
    UsageError
        If a condition has a wrong value.
    """

    step: Step | str | int | Collection[Step | str | int] | None = None
    sub: str | int | Collection[str | int] | None = None
    ses: str | Collection[str] | None = None
    task: str | Collection[str] | None = None
    run_number: int | str | Collection[int | str] | None = None
    scan: str | Collection[str] | None = None

    def __post_init__(self) -> None:
        self._read(_KINDS)

    def _read(self, kinds: Mapping[str, Any]) -> None:
        """Replace the values of the conditions by sorted tuples of checked values."""
        for name, kind in kinds.items():
            given = getattr(self, name)
            if given is None:
                continue
            values = [given] if isinstance(given, str | int) else given
            checked = sorted({_value(name, kind, value) for value in values})
            if not checked:
                raise UsageError(f"{name} needs at least one value; name one, or leave it out")
            object.__setattr__(self, name, tuple(checked))

    @property
    def steps(self) -> tuple[Step, ...] | None:
        """The steps of the targets; None for all steps of the database."""
        return self.step  # type: ignore[return-value]  # a tuple or None since __post_init__

    def targets(self) -> dict[str, Any]:
        """Return the conditions by name, as arguments of another query about the same targets."""
        return {name: getattr(self, name) for name in _KINDS}

    def conditions(self, *, steps: bool = True) -> list[sa.ColumnElement[bool]]:
        """Return the conditions on columns of `target`; without `steps`, not that on the step."""
        target = Target.__table__.c
        return [
            target[_NAMES.get(name, name)].in_(values)
            for name, values in self.targets().items()
            if values is not None and (steps or name != "step")
        ]

    def review_conditions(self) -> list[sa.ColumnElement[bool]]:
        """Return the same conditions on columns of `review`."""
        conditions: list[sa.ColumnElement[bool]] = []
        if self.steps is not None:
            conditions.append(Review.step.in_(self.steps))
        if self.conditions(steps=False):
            targets = sa.select(Target.id).where(*self.conditions())
            conditions.append(Review.target_id.in_(targets))
        return conditions

    def require(self, *connections: sa.Connection) -> None:
        """Check that every value of the conditions occurs in one of the databases.

        A query itself returns no rows for a value that does not occur.

        Raises
        ------
        UsageError
            If no database has one of the steps, participants, sessions, tasks, runs or scans.
        """
        lookups.require_steps(self.steps or (), *connections)
        for name, wanted in self.targets().items():
            if name == "step" or wanted is None:
                continue
            column = Target.__table__.c[_NAMES.get(name, name)]
            existing = {
                value for c in connections for value in c.scalars(sa.select(column).distinct())
            }
            for value in wanted:
                if value not in existing:
                    near = nearest(str(value), (str(one) for one in existing if one is not None))
                    raise UsageError(
                        f"there is no target with {column.name} {value}{near}; list what there is "
                        f"with: dirtmodel sql 'SELECT DISTINCT {column.name} FROM target'"
                    )

    def options(self, names: Iterable[str] = tuple(_KINDS)) -> list[str]:
        """Return conditions as options of the command line."""
        return [
            f"--{_NAMES.get(name, name)} {_as_option(value)}"
            for name in names
            for value in getattr(self, name) or ()
        ]


def _value(name: str, kind: Any, value: Any) -> Any:
    name = _NAMES.get(name, name)
    if name in {"sub", "ses", "task", "run"}:
        value = str(value).removeprefix(f"{name}-")
    if kind in {Step, DisplayMode}:
        return member_of(kind, value)
    try:
        checked = _SCANS[str(value).lower()] if name == "scan" else kind(value)
    except (ValueError, KeyError):
        choices: Iterable[str] | None = {"scan": SCANS, "status": tuple(Status)}.get(name)
        choose = "" if choices is None else f"; choose one of {', '.join(choices)}"
        raise UsageError(f"{value!r} is not a {name}{choose}") from None
    if kind is int and checked not in _BIGINT:
        raise UsageError(f"{value} is larger than any {name}")
    return checked


def _as_option(value: Any) -> str:
    return value.name.lower() if isinstance(value, enum.IntEnum) else shlex.quote(str(value))
