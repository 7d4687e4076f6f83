"""What is the true verdict of each image, and how often does each rater miss it?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import sqlalchemy as sa
from sqlalchemy import orm

from dirtmodel import irr
from dirtmodel.errors import UsageError
from dirtmodel.irr.intervals import defined
from dirtmodel.models import Ratings, Step, Target, member_of
from dirtmodel.opening import accepts_database
from dirtmodel.queries.consensus_result import (
    ConsensusRater,
    ConsensusResult,
    Judged,
    Level,
    NextReview,
)
from dirtmodel.queries.described import describe
from dirtmodel.queries.results import Rows, Statement
from dirtmodel.queries.reviews import (
    MOST_RATERS,
    IntArray,
    Judging,
    StepReviews,
    judging,
    read,
    select,
)

CLICKS: Final = ("CLEAN", "CLICKED")
TOO_MANY: Final = f"no intervals for more than {MOST_RATERS} raters"
_DECIMALS: Final = 6
"""Decimals of probabilities; the algorithm stops when no probability changes by more than 1e-7."""
_NEVER: Final = 1e-6
"""A category with a lower prevalence counts as never the true one."""


@dataclass(frozen=True)
class Consensus:
    """What is the true verdict of each image, and how often does each rater miss it?

    The model is that of Dawid and Skene (1979). Each image has one true verdict, which is not
    observed. Given the true verdict, reviews are independent. Each rater has a table of error
    rates.

    Parameters
    ----------
    step
        The step. Reviews in sessions without a user are left out, because their rater, and hence
        the error rates, are unknown.
    level
        `image`, `target` or `scan`: the unit that has one true verdict. For targets and scans, a
        rater's verdict is the worst that they gave to any image of it, as in the published
        exclusion rule.
    prior
        Number of reviews that each cell of a rater's table starts with; 0: maximum likelihood.

    """

    step: Step | str | int
    level: Level | str = Level.IMAGE
    prior: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "step", member_of(Step, self.step))
        try:
            object.__setattr__(self, "level", Level(self.level))
        except ValueError:
            known = ", ".join(Level)
            raise UsageError(f"{self.level!r} is not a level; choose one of {known}") from None
        if not 0 <= self.prior < np.inf:
            raise UsageError(f"prior: {self.prior!r} is not a number of reviews; pass 0 or more")

    @property
    def _step(self) -> Step:
        return member_of(Step, self.step)

    def select(self) -> Statement:
        """Return the SELECT of the reviews that count."""
        return select(self._step)

    @accepts_database
    def run(self, session: orm.Session) -> ConsensusResult:
        """Return the error rates of raters, and the likely verdict of each unit with a review."""
        return self._result(session, self._items(session))

    def _result(self, session: orm.Session, items: "_Items") -> ConsensusResult:
        return ConsensusResult(
            self._step,
            Level(self.level),
            self.prior,
            items.how.categories,
            _by_category(items.how, items.fit.prevalence),
            list(_raters(items)),
            list(self._judged(session, items)),
            items.fit.iterations,
            items.fit.converged,
            list(_warnings(items, Level(self.level))),
        )

    @accepts_database
    def next(self, session: orm.Session, n: int) -> Rows[NextReview]:
        """Return the n images for which one more review would be most informative.

        They can be images without a review. For targets and scans, only one image of each is
        returned: the one with the fewest reviews.

        Raises
        ------
        UsageError
            If `n` is below 1.

        """
        _check_next(n)
        return self._next(session, self._items(session), n)

    @accepts_database
    def next_with_run(
        self, session: orm.Session, n: int
    ) -> tuple[ConsensusResult, Rows[NextReview]]:
        """Return what `run` and `next` return, from one fit of the model."""
        _check_next(n)
        items = self._items(session)
        return self._result(session, items), self._next(session, items, n)

    def _next(self, session: orm.Session, items: "_Items", n: int) -> Rows[NextReview]:
        reviews = items.reviews
        n_raters = np.bincount(reviews.ratings.unit, minlength=len(reviews.images))
        images = np.flatnonzero(items.of_image >= 0)
        item = items.of_image[images]
        order = np.lexsort((reviews.images[images], n_raters[images], item))
        first = order[np.diff(item[order], prepend=-1) > 0]
        images, item = images[first], item[first]
        bits = items.fit.information()[item].round(9)
        best = np.lexsort((reviews.images[images], n_raters[images], -bits))[:n]
        images, item, bits = images[best], item[best], bits[best]
        found = []
        for described, unit, gain, of in zip(
            describe(session, reviews.images[images].tolist()),
            images.tolist(),
            bits.tolist(),
            items.fit.probabilities[item].round(_DECIMALS),
            strict=True,
        ):
            likely = int(of.argmax())
            verdict = items.how.categories[likely] if n_raters[unit] else None
            found.append(
                NextReview(*described, int(n_raters[unit]), verdict, float(of[likely]), gain)
            )
        return Rows(NextReview, found)

    def _items(self, session: orm.Session) -> "_Items":
        how = judging(session, self._step, CLICKS)
        reviews = read(session, self._step, how, flags=False)
        keys: Any = reviews.images
        of_image = np.arange(len(keys))
        if self.level == Level.TARGET:
            keys, of_image = np.unique(reviews.targets, return_inverse=True)
        elif self.level == Level.SCAN:
            keys, of_image = _scans(session, self._step, reviews)
        known = of_image[reviews.ratings.unit] >= 0
        ratings = reviews.ratings.take(known)
        ratings = irr.Ratings(of_image[ratings.unit], ratings.rater, ratings.code)
        if self.level != Level.IMAGE:
            ratings = _worst(ratings, how)
        fit = irr.dawid_skene(
            ratings, n_units=len(keys), n_categories=len(how.categories), prior=self.prior
        )
        clusters = np.zeros(len(keys), dtype=np.int64)
        clusters[of_image[of_image >= 0]] = reviews.clusters[of_image >= 0]
        return _Items(how, reviews, of_image, keys, clusters, ratings, fit)

    def _judged(self, session: orm.Session, items: "_Items") -> Iterator[Judged]:
        n_raters = np.bincount(items.ratings.unit, minlength=len(items.keys))
        rated = np.flatnonzero(n_raters)
        names = list(self._names(session, items, rated))
        if self.level != Level.IMAGE:
            # Order by participant, as exclusions do.
            order = sorted(range(len(rated)), key=lambda place: _sortable(names[place]))
            rated, names = rated[order], [names[place] for place in order]
        probabilities = items.fit.probabilities[rated].round(_DECIMALS)
        for name, n, of in zip(
            names, n_raters[rated].tolist(), probabilities.tolist(), strict=True
        ):
            verdict = items.how.categories[int(np.argmax(of))]
            by_category = dict(zip(items.how.categories, of, strict=True))
            yield Judged._make([*name, n, verdict, by_category])

    def _names(
        self, session: orm.Session, items: "_Items", rated: IntArray
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the first six fields of `Judged`."""
        match self.level:
            case Level.IMAGE:
                yield from ((image, *[None] * 5) for image in items.keys[rated].tolist())
            case Level.TARGET:
                columns = (Target.id, Target.file1, Target.sub, Target.ses, Target.scan)
                rows = session.execute(sa.select(*columns).where(Target.step == self._step))
                named = {row.id: tuple(row) for row in rows}
                yield from ((None, *named[key]) for key in items.keys[rated].tolist())
            case _:
                yield from ((None, None, None, *items.keys[place]) for place in rated.tolist())


class _Items(NamedTuple):
    """The images, targets or scans that have one true verdict each (the items).

    `of_image` has the index of each image's item, or -1. `keys` has the id of each item or, for
    scans, (sub, ses, scan). `clusters` has the number of the subject of each item. The units of
    `ratings` and `fit` are items.
    """

    how: Judging
    reviews: StepReviews
    of_image: IntArray
    keys: Any
    clusters: IntArray
    ratings: irr.Ratings
    fit: irr.Fit


def _scans(
    session: orm.Session, step: Step, reviews: StepReviews
) -> tuple[list[tuple[Any, ...]], IntArray]:
    """Return the scans of a step, and the index of the scan of each image (-1 if unknown)."""
    rows = session.execute(
        sa.select(Target.id, Target.sub, Target.ses, Target.scan).where(Target.step == step)
    ).all()
    of_target = {row.id: tuple(row[1:]) for row in rows if row.sub and row.scan}
    keys = sorted(set(of_target.values()), key=_sortable)
    number = {key: place for place, key in enumerate(keys)}
    targets, place = np.unique(reviews.targets, return_inverse=True)
    numbers = [number.get(of_target.get(target, ()), -1) for target in targets.tolist()]
    return keys, np.array(numbers, dtype=np.int64)[place.reshape(-1)]


def _sortable(key: Sequence[Any]) -> tuple[Any, ...]:
    return tuple((value is None, "" if value is None else str(value)) for value in key)


def _worst(ratings: irr.Ratings, how: Judging) -> irr.Ratings:
    """Keep each rater's worst verdict on an item; any of DIRT's verdicts is worse than others."""
    severities = [-1 if number not in set(Ratings) else number for number in how.numbers]
    severity = np.array(how.numbers if how.by_clicks else severities)[ratings.code]
    order = np.lexsort((severity, ratings.rater, ratings.unit))
    unit, rater, code = (part[order] for part in ratings)
    last = np.ones(len(unit), dtype=bool)
    last[:-1] = (np.diff(unit) > 0) | (np.diff(rater) != 0)
    return irr.Ratings(unit, rater, code).take(last)


def _check_next(n: int) -> None:
    if n < 1:
        raise UsageError(f"next: {n!r} images are too few; pass 1 or more")


def _raters(items: _Items) -> Iterator[ConsensusRater]:
    fit, how = items.fit, items.how
    if len(fit.n_ratings) > MOST_RATERS:
        both = zip(fit.sensitivity(how.problem), fit.specificity(how.problem), strict=True)
        rates_of_raters = [
            irr.ErrorRates(*(irr.Estimate(defined(rate), reason=TOO_MANY) for rate in rates))
            for rates in both
        ]
    else:
        rates_of_raters = irr.error_rates(
            fit,
            items.ratings,
            how.problem,
            clusters=items.clusters,
            sampling=irr.Sampling("subject"),
        )
    for place, (sensitivity, specificity) in enumerate(rates_of_raters):
        reasons = filter(None, (sensitivity.reason, specificity.reason))
        yield ConsensusRater(
            str(items.reviews.raters[place]),
            int(fit.n_ratings[place]),
            sensitivity.value,
            specificity.value,
            sensitivity.ci_low,
            sensitivity.ci_high,
            specificity.ci_low,
            specificity.ci_high,
            "; ".join(dict.fromkeys(reasons)) or None,
            {
                true: _by_category(how, row)
                for true, row in zip(how.categories, fit.confusion[place], strict=True)
            },
        )


def _by_category(how: Judging, row: Any) -> dict[str, float | None]:
    return dict(zip(how.categories, map(defined, row.tolist()), strict=True))


def _warnings(items: _Items, level: Level) -> Iterator[str]:
    fit, categories = items.fit, items.how.categories
    if not len(items.ratings.unit):
        yield "no reviews by known raters: nothing can be estimated"
        return
    if np.bincount(items.ratings.unit).max() == 1:
        yield (
            f"no {level} has two raters, so verdicts are those of the single raters and "
            "error rates are unknown"
        )
    elif fit.few_raters:
        yield (
            "fewer than three raters: where they differ, the data do not show who is wrong, and "
            "the estimates depend on the prior"
        )
    if not fit.converged:
        yield f"the algorithm did not converge in {fit.iterations} iterations"
    n_problems = int((items.ratings.code == items.how.problem).sum())
    if n_problems and fit.prevalence[items.how.problem] < _NEVER:
        yield (
            f"{n_problems} of {len(items.ratings.code)} reviews say "
            f"{categories[items.how.problem]}, but the model takes all of them for errors: "
            "not enough raters agree on any"
        )
    for true, chosen in fit.switched:
        yield (
            f"labels may be switched: where the model takes {categories[true]} to be true, raters "
            f"choose {categories[chosen]} most often"
        )
    if lost := int((items.of_image[items.reviews.ratings.unit] < 0).sum()):
        yield f"{lost} reviews are left out, because the scan of their image is not known"
