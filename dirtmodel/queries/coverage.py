"""How many images have been reviewed?"""

from dataclasses import dataclass
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import orm

from dirtmodel.models import Review, Step, Tally, Target
from dirtmodel.opening import accepts_database
from dirtmodel.queries.ordering import ascending
from dirtmodel.queries.results import Rows, Statement
from dirtmodel.queries.targets import Targets


class StepCoverage(NamedTuple):
    """The numbers of reviewed and unreviewed images of a step."""

    step: Step
    n_targets: int
    n_images: int
    n_reviewed: int
    n_unreviewed: int
    n_reviews: int
    n_raters: int


class TargetCoverage(NamedTuple):
    """The numbers of reviewed and unreviewed images of a target."""

    step: Step
    file1: str
    sub: str | None
    ses: str | None
    scan: str | None
    n_images: int
    n_reviewed: int
    n_unreviewed: int
    n_reviews: int


@dataclass(frozen=True, kw_only=True)
class Coverage(Targets):
    """How many images of each step have been reviewed, and how many have not?

    An image is reviewed if it has a review that decides: clicks for masks, normalisation and
    surfaces, a verdict for fieldmap coregistration and diffusion. Unreviewed does not mean passed.

    Parameters
    ----------
    step, sub, ses, task, run_number, scan
        As in `Targets`.
    """

    def select(self) -> Statement:
        """Return the SELECT of one row per step, with the fields of `StepCoverage`."""
        raters = (
            sa.select(Review.step, sa.func.count(Review.rater.distinct()).label("n_raters"))
            .where(Review.decides, *self.review_conditions())
            .group_by(Review.step)
            .subquery("raters")
        )
        images = self._images().subquery()
        return (
            sa.select(
                images.c.step,
                sa.func.count(images.c.target_id.distinct()).label("n_targets"),
                *_counts(images),
                sa.func.coalesce(sa.func.max(raters.c.n_raters), 0).label("n_raters"),
            )
            .outerjoin(raters, raters.c.step == images.c.step)
            .group_by(images.c.step)
            .order_by(images.c.step)
        )

    def select_targets(self) -> Statement:
        """Return the SELECT of one row per target, with the fields of `TargetCoverage`."""
        images = self._images().subquery()
        target = Target.__table__.c
        described = (target.step, target.file1, target.sub, target.ses, target.scan)
        return (
            sa.select(*described, *_counts(images))
            .join_from(Target, images, images.c.target_id == target.id)
            .group_by(target.id, *described)
            .order_by(target.step, ascending(target.file1))
        )

    @accepts_database
    def run(self, session: orm.Session) -> Rows[StepCoverage]:
        """Return one row per step, in DIRT's order."""
        return Rows(StepCoverage, map(StepCoverage._make, session.execute(self.select())))

    @accepts_database
    def run_targets(self, session: orm.Session) -> Rows[TargetCoverage]:
        """Return one row per target, in the order of (step, file1)."""
        rows = session.execute(self.select_targets())
        return Rows(TargetCoverage, map(TargetCoverage._make, rows))

    def _images(self) -> Statement:
        """Return the SELECT of one row per image: its target and the number of its reviews."""
        images: Statement = sa.select(Target.step, Tally.target_id, Tally.n_reviews).join_from(
            Tally, Target, Target.id == Tally.target_id
        )
        return images.where(*self.conditions())


def _counts(images: sa.Subquery) -> list[sa.ColumnElement[int]]:
    reviewed = sa.func.count(sa.case((images.c.n_reviews > 0, 1)))
    return [
        sa.func.count().label("n_images"),
        reviewed.label("n_reviewed"),
        (sa.func.count() - reviewed).label("n_unreviewed"),
        sa.cast(sa.func.sum(images.c.n_reviews), sa.BigInteger).label("n_reviews"),
    ]
