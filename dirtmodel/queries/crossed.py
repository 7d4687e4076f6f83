"""Rows that lie in the table that does not judge their step."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import orm

from dirtmodel.models import (
    CLICK_STEPS,
    VERDICT_STEPS,
    Coordinate,
    Picture,
    Rating,
    Step,
    Target,
    member_of,
)
from dirtmodel.queries.results import Rows, Statement


class CrossedCount(NamedTuple):
    """Rows in the table that does not judge their step."""

    verdicts_on_click_steps: int
    clicks_on_verdict_steps: int


@dataclass(frozen=True)
class Crossed:
    """How many rows lie in the table that does not judge their step, and so decide nothing?

    Parameters
    ----------
    steps
        Only of images of these steps.
    """

    steps: Collection[Step | str | int] = tuple(Step)

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(member_of(Step, step) for step in self.steps))

    def select(self) -> Statement:
        """One row, as `CrossedCount`."""
        counts = [
            sa.select(sa.func.count())
            .join_from(Target, Picture, Picture.target_id == Target.id)
            .join(review, review.img_id == Picture.img_id)
            .where(Target.step.in_([step for step in self.steps if step in steps]))
            .scalar_subquery()
            .label(name)
            for review, steps, name in (
                (Rating, CLICK_STEPS, "verdicts_on_click_steps"),
                (Coordinate, VERDICT_STEPS, "clicks_on_verdict_steps"),
            )
        ]
        return sa.select(*counts)

    def run(self, session: orm.Session) -> Rows[CrossedCount]:
        """Give the one row."""
        return Rows(CrossedCount, map(CrossedCount._make, session.execute(self.select())))
