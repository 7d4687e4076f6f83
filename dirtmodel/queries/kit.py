"""Which functional runs does the starter kit exclude?"""

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy import orm

from dirtmodel.models import Step, Tally, Target
from dirtmodel.opening import accepts_database
from dirtmodel.queries.ordering import ascending, nulls_last
from dirtmodel.queries.results import Rows, Statement

_KIT_SUB: Final = re.compile(r"(?<=sub-)[0-9]{5}")
_KIT_TASK: Final = re.compile(r"cuff|rest")
_KIT_RUN: Final = re.compile(r"(?<=run-0)[1|2]")


class KitExclusion(NamedTuple):
    """A functional run that the starter kit excludes."""

    sub: int | None
    task: str | None
    run: str | None


@dataclass(frozen=True)
class KitExclusions:
    """Which functional runs does the starter kit exclude?

    It excludes every run with a fieldmap coregistration that has at least one FAIL. This query
    reproduces the published rule exactly: it takes `sub`, `task` and `run` from file1 with the
    kit's own regular expressions, not from the columns of `target`.
    """

    def select(self) -> Statement:
        """Return the SELECT of the file names with a FAIL, one row each."""
        # EXISTS stops at the first FAIL of a target; joining all FAILs takes far longer.
        failed = (
            sa.select(Tally.img_id).where(Tally.target_id == Target.id, Tally.n_fail > 0).exists()
        )
        return (
            sa.select(Target.file1)
            .where(Target.step == Step.FMAP_COREGISTRATION, failed)
            .order_by(ascending(Target.file1))
        )

    @accepts_database
    def run(self, session: orm.Session) -> Rows[KitExclusion]:
        """Return the distinct (sub, task, run), sorted; parts that the kit cannot read are last."""
        runs = {_run_of(file1) for file1 in session.scalars(self.select())}
        return Rows(KitExclusion, sorted(runs, key=nulls_last))


def _run_of(file1: str) -> KitExclusion:
    sub, task, run = (
        match[0] if (match := pattern.search(file1)) else None
        for pattern in (_KIT_SUB, _KIT_TASK, _KIT_RUN)
    )
    return KitExclusion(None if sub is None else int(sub), task, run)
