"""Filters for BIDS apps that select the functional runs that are not excluded."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy import orm

from dirtmodel.models import Target
from dirtmodel.opening import accepts_database
from dirtmodel.queries.exclusions import Exclusions
from dirtmodel.queries.ordering import ascending
from dirtmodel.queries.rules import KEYS, Exclusion, Level, Status

_BOLD: Final = {"datatype": "func", "suffix": "bold"}
_ENTITIES: Final = {"session": "ses", "task": "task", "run": "run"}
"""Entities: the names of PyBIDS, and of the columns of `target`."""


class Run(NamedTuple):
    """A functional run."""

    sub: str
    ses: str | None
    task: str
    run: int | None

    def __str__(self) -> str:
        parts = {"ses": self.ses, "task": self.task, "run": self.run}
        return " ".join(f"{name}-{value}" for name, value in parts.items() if value is not None)


class BidsFilter(NamedTuple):
    """The filter of one participant, and the exclusions that it cannot express.

    `filter` is None if no run remains. `let_through` are excluded runs that the filter selects
    nevertheless. `not_runs` are excluded scans that are not functional runs.
    """

    sub: str
    filter: dict[str, Any] | None
    let_through: list[Run]
    not_runs: list[str]


@dataclass(frozen=True)
class BidsFilters:
    """Which functional runs remain for each participant, as fMRIPrep's `--bids-filter-file`?

    Such a filter lists sessions, tasks and runs, and selects every combination of them. Each filter
    is the narrowest one that selects all remaining runs. Excluded runs that it selects nevertheless
    are listed in `let_through`. Unreviewed runs remain. Runs are written as strings, because
    fMRIPrep 24.0.0 to 25.2.5 fails with numbers.

    Parameters
    ----------
    exclusions
        The query for the exclusions; its `status` does not matter.
    """

    exclusions: Exclusions

    @accepts_database
    def run(self, session: orm.Session) -> list[BidsFilter]:
        """Return one filter per participant with a functional run or an exclusion, in order."""
        query = replace(self.exclusions, status=Status.EXCLUDED)
        keys = [key for key in KEYS[Level(query.level)] if key in Run._fields]
        excluded: set[tuple[Any, ...]] = set()
        not_runs: dict[str, list[str]] = {}
        for row in query.run(session):
            if row.sub is None:
                continue
            excluded.add(tuple(getattr(row, key) for key in keys))
            if "task" in keys and row.task is None:
                not_runs.setdefault(row.sub, []).append(_scan_name(row))
        runs: dict[str, list[Run]] = {sub: [] for sub in not_runs}
        for run in (Run(*row) for row in session.execute(self._runs())):
            runs.setdefault(run.sub, []).append(run)
        return [
            _filter(
                sub,
                runs[sub],
                {run for run in runs[sub] if tuple(getattr(run, key) for key in keys) in excluded},
                list(dict.fromkeys(not_runs.get(sub, []))),
            )
            for sub in sorted(runs)
        ]

    def _runs(self) -> sa.Select[Any]:
        names = [getattr(Target, name) for name in Run._fields]
        return (
            sa.select(*names)
            .where(Target.sub.is_not(None), Target.task.is_not(None))
            # A filter is about runs, whatever the steps of the exclusions.
            .where(*self.exclusions.conditions(steps=False))
            .group_by(*names)
            .order_by(*map(ascending, names))
        )


def _filter(sub: str, runs: list[Run], excluded: set[Run], not_runs: list[str]) -> BidsFilter:
    remaining = [run for run in runs if run not in excluded]
    if not remaining:
        return BidsFilter(sub, None, runs, not_runs)
    # Leave out an entity that some runs lack: its values could not select those runs.
    chosen = {
        entity: [str(value) for value in sorted({getattr(run, name) for run in remaining})]
        for entity, name in _ENTITIES.items()
        if all(getattr(run, name) is not None for run in runs)
    }
    let_through = [
        run
        for run in runs
        if run in excluded
        and all(str(getattr(run, _ENTITIES[entity])) in values for entity, values in chosen.items())
    ]
    return BidsFilter(sub, {"bold": {**_BOLD, **chosen}}, let_through, not_runs)


def _scan_name(row: Exclusion) -> str:
    parts: Iterable[str | None] = (row.ses and f"ses-{row.ses}", row.scan or "scan")
    return " ".join(part for part in parts if part)


def limits(filters: Iterable[BidsFilter]) -> list[str]:
    """Return one line of text for each exclusion that the filters cannot express."""
    lines = []
    for sub, chosen, let_through, not_runs in filters:
        if chosen is None and let_through:
            lines.append(
                f"sub-{sub}: no functional run remains, which a filter cannot express; "
                "leave the participant out (--participant-label)"
            )
        elif let_through:
            runs = ", ".join(map(str, let_through))
            lines.append(
                f"sub-{sub}: {runs} excluded, but selected by the filter, which takes every "
                "combination of the sessions, tasks and runs that remain; remove by hand"
            )
        if not_runs:
            lines.append(
                f"sub-{sub}: {', '.join(not_runs)} excluded, which a filter of functional runs "
                "cannot express; remove by hand"
            )
    return lines
