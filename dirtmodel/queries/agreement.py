"""Do the raters of a step agree?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import sqlalchemy as sa
from sqlalchemy import orm

from dirtmodel import irr, opening
from dirtmodel.errors import UsageError
from dirtmodel.irr import Coefficient, Estimate, Sampling, intervals
from dirtmodel.irr.coefficients import NO_PAIRS
from dirtmodel.irr.contingency import MEASURES
from dirtmodel.irr.intervals import defined
from dirtmodel.irr.proportions import NO_RATINGS, NOT_USED, TOO_FEW
from dirtmodel.models import Review, Step, member_of
from dirtmodel.queries.agreement_result import (
    FEW_COMMON_UNITS,
    AgreementResult,
    ClickResult,
    GroupAgreement,
    LeftOutRater,
    RaterErrors,
    RaterPair,
    RaterPrevalence,
    Variable,
)
from dirtmodel.queries.click_matches import click_matches
from dirtmodel.queries.crossed import Crossed
from dirtmodel.queries.described import GROUPS, group_labels
from dirtmodel.queries.disagreements import Disagreement, disagreements
from dirtmodel.queries.results import Rows, Statement
from dirtmodel.queries.reviews import (
    MOST_RATERS,
    IntArray,
    StepReviews,
    judging,
    read,
    read_points,
    read_repeats,
    select,
)

ANY_CLICK: Final = ("NO_CLICK", "CLICK")
TOLERANCES: Final = (10.0, 20.0, 40.0)

NO_REVIEWS: Final = "no reviews by known raters"
ONE_RATER: Final = "only one rater"
NO_REPEATS: Final = "no image reviewed again by the same rater"


@dataclass(frozen=True)
class Agreement:
    """Do the raters of a step agree with each other, and does each rater agree with themselves?

    Parameters
    ----------
    step
        The step. The table `step` says if it is judged by verdict or by clicks.
    rater
        `user`: each user is a rater; reviews without a user are left out and counted. `session`:
        each session is a rater.
    tolerances
        Greatest distances of matched clicks in pixels, for steps judged by clicks; None: 10, 20
        and 40.
    cluster
        `subject`: images of the same subject are not independent; None: all images are independent.
    prevalence, confidence, bootstrap, seed
        As in `dirtmodel.irr.coefficients`.

    Notes
    -----
    Only each rater's latest review of an image counts, by (created, id). `repeats` also uses the
    earlier ones.

    """

    step: Step | str | int
    rater: str = "user"
    tolerances: float | Sequence[float] | None = None
    cluster: str | None = "subject"
    prevalence: str = "all"
    confidence: float = 0.95
    bootstrap: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "step", member_of(Step, self.step))
        for name, known in (
            ("rater", ("user", "session")),
            ("cluster", ("subject", None)),
            ("prevalence", ("all", "pairable")),
        ):
            if getattr(self, name) not in known:
                choices = " or ".join(map(str, known))
                raise UsageError(f"{getattr(self, name)!r} is not a {name}; choose {choices}")
        if not self._tolerances:
            raise UsageError("tolerances: the list is empty; pass at least one, or leave it out")
        for tolerance in self._tolerances:
            if not 0 <= tolerance < np.inf:
                raise UsageError(
                    f"tolerance: {tolerance!r} is not a distance; pass pixels, 0 or more"
                )
        self._sampling.checked()
        intervals.check_bootstrap(self.bootstrap, self.seed)

    @property
    def _step(self) -> Step:
        return member_of(Step, self.step)

    @property
    def _tolerances(self) -> tuple[float, ...]:
        chosen = TOLERANCES if self.tolerances is None else self.tolerances
        try:
            return tuple(sorted({float(tolerance) for tolerance in np.atleast_1d(chosen)}))
        except (TypeError, ValueError):
            raise UsageError(f"tolerances: {chosen!r} are not distances; pass pixels") from None

    @property
    def _sampling(self) -> Sampling:
        return Sampling("image" if self.cluster is None else "subject", self.confidence)

    def select(self) -> Statement:
        """Return the SELECT of the reviews that count."""
        return select(self._step, rater=self.rater)

    @opening.accepts_database
    def coefficients(self, session: orm.Session) -> list[Coefficient]:
        """Return only the coefficients, in a fraction of the time of `run`."""
        reviews = self._read(session, flags=False)
        return self._coefficients(reviews, reviews.ratings, reviews.judging.categories)

    @opening.accepts_database
    def run(self, session: orm.Session) -> AgreementResult:
        """Return all results."""
        reviews = self._read(session)
        how, ratings = reviews.judging, reviews.ratings
        problem = how.categories[how.problem]
        judged = self._variable(reviews, ratings, how.categories)
        flagged = irr.Ratings(ratings.unit, ratings.rater, reviews.flags)
        binary = {"source_data_issue": self._variable(reviews, flagged, ("NO_ISSUE", "ISSUE"))}
        if not how.by_clicks:
            failed = irr.Ratings(*ratings[:2], (ratings.code == how.problem).astype(np.int64))
            names = (f"NOT_{problem}", problem)
            binary = {"fail": self._variable(reviews, failed, names), **binary}
        pairs, over = self._pairs(reviews)
        repeated = read_repeats(session, self._step, reviews, self.rater)
        rated = np.unique(ratings.unit)
        (crossed,) = Crossed(step=self._step).run(session)
        return AgreementResult(
            step=self._step,
            rater=self.rater,
            cluster=self.cluster,
            prevalence_of=self.prevalence,
            confidence=self.confidence,
            bootstrap=self.bootstrap,
            seed=self.seed,
            by_clicks=how.by_clicks,
            problem=problem,
            units=len(rated),
            pairable_units=reviews.n_pairable,
            reviews=len(ratings.unit),
            raters=len(reviews.raters),
            clusters=None if self.cluster is None else len(np.unique(reviews.clusters[rated])),
            unattributed_sessions=self._unattributed(session),
            crossed_rows=sum(crossed),
            superseded=len(repeated.unit),
            judged=judged,
            binary=binary,
            raters_prevalence=list(self._by_rater(reviews)),
            pairs=pairs,
            over_pairs=over,
            leave_one_out=list(self._leave_one_out(reviews)),
            errors=list(_errors(reviews)),
            repeats=irr.repeats(
                *repeated[1:],
                categories=how.categories,
                clusters=self._labels(reviews)[repeated.unit],
                category=how.problem,
                sampling=self._sampling,
            ),
            clicks=self._clicks(session, reviews) if how.by_clicks else None,
        )

    @opening.accepts_database
    def by(self, session: orm.Session, group: str) -> Rows[GroupAgreement]:
        """Return the headline coefficients per `display`, `slice`, `scan` or `cohort`.

        Raises
        ------
        UsageError
            If `group` is none of these.

        """
        if group not in GROUPS:
            raise UsageError(f"{group!r} is not a group; choose one of {', '.join(GROUPS)}")
        reviews = self._read(session, flags=False)
        labels = group_labels(session, self._step, reviews.images, group)
        groups = sorted(set(labels), key=_natural)
        number = {label: n for n, label in enumerate(groups)}
        of_image = np.array([number[label] for label in labels], dtype=np.int64)
        ratings, of_rating = reviews.ratings, of_image[reviews.ratings.unit]
        parts = [ratings.take(of_rating == n) for n in range(len(groups))]
        rows = (self._group(*group, reviews) for group in zip(groups, parts, strict=True))
        return Rows(GroupAgreement, rows)

    @opening.accepts_database
    def disagreements(self, session: orm.Session) -> Rows[Disagreement]:
        """Return the images on which raters disagree, the greatest disagreement first."""
        return disagreements(session, self._read(session, flags=False))

    def _read(self, session: orm.Session, *, flags: bool = True) -> StepReviews:
        how = judging(session, self._step, ANY_CLICK)
        if self.tolerances is not None and not how.by_clicks:
            raise UsageError(
                f"{self._step.name.lower()} is judged by verdict, so it has no clicks to match; "
                "leave the tolerance out"
            )
        return read(session, self._step, how, rater=self.rater, flags=flags)

    def _labels(self, reviews: StepReviews) -> IntArray:
        """Return the cluster of each image."""
        return np.arange(len(reviews.images)) if self.cluster is None else reviews.clusters

    def _unattributed(self, session: orm.Session) -> int:
        sessions = sa.select(sa.func.count(Review.session_id.distinct()))
        unattributed = (Review.step == self._step, Review.decides, Review.rater.is_(None))
        return session.scalars(sessions.where(*unattributed)).one()

    def _coefficients(
        self,
        reviews: StepReviews,
        ratings: irr.Ratings,
        categories: Sequence[object],
        weights: Sequence[str] | None = None,
    ) -> list[Coefficient]:
        coefficients = irr.coefficients(
            ratings.counts(len(reviews.images), len(categories)),
            categories=categories,
            weights=weights,
            clusters=None if self.cluster is None else reviews.clusters,
            margins=ratings,
            prevalence=self.prevalence,
            confidence=self.confidence,
            bootstrap=self.bootstrap,
            seed=self.seed,
        )
        return [c._replace(reason=_worded(c.reason, reviews)) for c in coefficients]

    def _variable(
        self, reviews: StepReviews, ratings: irr.Ratings, categories: tuple[str, ...]
    ) -> Variable:
        table = ratings.counts(len(reviews.images), len(categories))
        how: dict[str, Any] = {
            "n_categories": len(categories),
            "clusters": None if self.cluster is None else reviews.clusters,
            "confidence": self.confidence,
        }
        # With two categories all weights are the same.
        weights = None if categories == reviews.judging.categories else ["identity"]

        def named(estimates: list[Estimate]) -> dict[str, Estimate]:
            worded = [e._replace(reason=_worded(e.reason, reviews)) for e in estimates]
            return dict(zip(categories, worded, strict=True))

        unanimous = irr.unanimity(table, **how)
        return Variable(
            categories,
            self._coefficients(reviews, ratings, categories, weights),
            named(irr.prevalence(table, **how)),
            named(irr.specific_agreement(table, **how)),
            unanimous._replace(reason=_worded(unanimous.reason, reviews)),
        )

    def _by_rater(self, reviews: StepReviews) -> Iterator[RaterPrevalence]:
        how, ratings = reviews.judging, reviews.ratings
        order = np.argsort(ratings.rater, kind="stable")
        starts = np.searchsorted(ratings.rater[order], np.arange(1, len(reviews.raters)))
        labels = self._labels(reviews)
        for rater, of_rater in zip(reviews.raters, np.split(order, starts), strict=False):
            estimates = irr.prevalence(
                np.eye(len(how.categories))[ratings.code[of_rater]],
                n_categories=len(how.categories),
                clusters=labels[ratings.unit[of_rater]],
                confidence=self.confidence,
            )
            worded = [e._replace(reason=_worded(e.reason, reviews)) for e in estimates]
            by_category = dict(zip(how.categories, worded, strict=True))
            yield RaterPrevalence(rater, len(of_rater), by_category)

    def _pairs(self, reviews: StepReviews) -> tuple[list[RaterPair], dict[str, irr.OverPairs]]:
        if len(reviews.raters) > MOST_RATERS:
            return [], {name: irr.over_pairs([]) for name in MEASURES}
        how = reviews.judging
        pairwise = irr.pairwise(
            reviews.ratings,
            categories=how.categories,
            clusters=self._labels(reviews),
            category=how.problem,
            sampling=self._sampling,
        )
        names = reviews.raters
        pairs = [
            RaterPair(names[a], names[b], n, estimates, n < FEW_COMMON_UNITS)
            for a, b, n, estimates in pairwise.pairs
        ]
        return pairs, pairwise.over

    def _leave_one_out(self, reviews: StepReviews) -> Iterator[LeftOutRater]:
        if len(reviews.raters) > MOST_RATERS:
            return
        for left in irr.leave_one_out(
            reviews.ratings,
            categories=reviews.judging.categories,
            clusters=self._labels(reviews),
            sampling=self._sampling,
        ):
            yield LeftOutRater(reviews.raters[left.rater], left.alpha, left.change)

    def _clicks(self, session: orm.Session, reviews: StepReviews) -> ClickResult:
        points = read_points(session, self._step, reviews, self.rater)
        matched, chance = click_matches(
            reviews,
            points,
            self._labels(reviews),
            tolerances=self._tolerances,
            sampling=self._sampling,
            seed=self.seed,
        )
        # Coefficients need at least two categories; unused ones do not change interval alpha.
        numbers = np.unique(np.append(reviews.values, [0, 1]))
        code = np.searchsorted(numbers, reviews.values)
        counted = irr.Ratings(*reviews.ratings[:2], code)
        (alpha,) = self._coefficients(reviews, counted, numbers.tolist(), ["interval"])
        n_at_infinity = int(reviews.values.sum()) - len(points.xy)
        return ClickResult(matched, chance, alpha, n_at_infinity)

    def _group(
        self, label: str | None, ratings: irr.Ratings, reviews: StepReviews
    ) -> GroupAgreement:
        how = reviews.judging
        rows = self._coefficients(reviews, ratings, how.categories, ["identity", "ordinal"])
        by_name = {(c.name, c.weights): c for c in rows}
        gwet, alpha = by_name["gwet_ac", "identity"], by_name["krippendorff_alpha", "ordinal"]
        rated, times = np.unique(ratings.unit, return_counts=True)
        share = float(np.mean(ratings.code == how.problem)) if len(rated) else None
        return GroupAgreement(
            label,
            len(rated),
            int((times > 1).sum()),
            len(np.unique(ratings.rater)),
            len(np.unique(reviews.clusters[rated])),
            share,
            by_name["percent_agreement", "identity"].value,
            *(gwet.value, gwet.ci_low, gwet.ci_high),
            *(alpha.value, alpha.ci_low, alpha.ci_high),
            alpha.reason or gwet.reason,
        )


def _worded(reason: str | None, reviews: StepReviews) -> str | None:
    """Return a reason in the words of this query: subjects and images, not clusters and units."""
    if reason in {NO_PAIRS, NOT_USED, TOO_FEW, NO_RATINGS} and not reviews.n_pairable:
        if not reviews.raters:
            return NO_REVIEWS
        if reason != NO_RATINGS:
            return ONE_RATER if len(reviews.raters) == 1 else "no image has two reviews"
    for general, here in (("cluster", "subject"), ("a unit", "an image"), ("unit", "image")):
        reason = reason and reason.replace(general, here)
    return reason


def _errors(reviews: StepReviews) -> Iterator[RaterErrors]:
    how = reviews.judging
    fit = irr.dawid_skene(
        reviews.ratings, n_units=len(reviews.images), n_categories=len(how.categories)
    )
    for rater, n, sensitivity, specificity in zip(
        reviews.raters,
        fit.n_ratings.tolist(),
        fit.sensitivity(how.problem).tolist(),
        fit.specificity(how.problem).tolist(),
        strict=True,
    ):
        yield RaterErrors(rater, n, defined(sensitivity), defined(specificity))


def _natural(label: str | None) -> tuple[bool, int, str]:
    """Sort numbers by value, other labels by text, and None last."""
    if label is None:
        return True, 0, ""
    return False, int(label) if label.isdecimal() else 0, label
