"""Reviews of the kind that does not decide about their step."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import orm

from dirtmodel.models import Coordinate, Review, Step, member_of
from dirtmodel.opening import accepts_database
from dirtmodel.queries.results import Rows, Statement


class CrossedCount(NamedTuple):
    """Rows that decide nothing."""

    verdicts_on_click_steps: int
    clicks_on_verdict_steps: int


@dataclass(frozen=True)
class Crossed:
    """How many rows are of the kind that does not decide about their step?

    These are verdicts on images that are judged by clicks, and clicks (rows of `coordinate`) on
    images that are judged by verdict.

    Parameters
    ----------
    steps
        Only of images of these steps; None for all.
    """

    steps: Collection[Step | str | int] | None = None

    def __post_init__(self) -> None:
        if self.steps is not None:
            object.__setattr__(self, "steps", tuple(member_of(Step, step) for step in self.steps))

    def select(self) -> Statement:
        """One row, as `CrossedCount`."""
        crossed = [~Review.decides]
        if self.steps is not None:
            crossed.append(Review.step.in_(self.steps))
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
        """Return the one row."""
        return Rows(CrossedCount, map(CrossedCount._make, session.execute(self.select())))
