"""How many rows are in the table that does not judge their step?"""

from dataclasses import dataclass
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import orm

from dirtmodel.models import Coordinate, Review
from dirtmodel.opening import accepts_database
from dirtmodel.queries.results import Rows, Statement
from dirtmodel.queries.targets import Targets


class CrossedCount(NamedTuple):
    """Numbers of rows that do not decide, by table."""

    verdicts_on_click_steps: int
    clicks_on_verdict_steps: int


@dataclass(frozen=True, kw_only=True)
class Crossed(Targets):
    """How many rows are in the table that does not judge their step?

    These are verdicts (rows of `rating`) on steps judged by clicks, and rows of `coordinate` on
    steps judged by verdict.

    Parameters
    ----------
    step, sub, ses, task, run_number, scan
        As in `Targets`.
    """

    def select(self) -> Statement:
        """Return the SELECT of one row, with the fields of `CrossedCount`."""
        crossed = [~Review.decides, *self.review_conditions()]
        verdicts = sa.select(sa.func.count()).where(Review.kind == "rating", *crossed)
        same = (Coordinate.img_id == Review.img_id) & (Coordinate.session_id == Review.session_id)
        clicks = (
            sa.select(sa.func.count())
            .join_from(Review, Coordinate, same)
            .where(Review.kind == "coordinate", *crossed)
        )
        return sa.select(
            verdicts.scalar_subquery().label("verdicts_on_click_steps"),
            clicks.scalar_subquery().label("clicks_on_verdict_steps"),
        )

    @accepts_database
    def run(self, session: orm.Session) -> Rows[CrossedCount]:
        """Return one row."""
        return Rows(CrossedCount, map(CrossedCount._make, session.execute(self.select())))
