"""Do the raters of a step agree? The question put to a database."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import sqlalchemy as sa
from sqlalchemy import orm

from dirtmodel.errors import UsageError
from dirtmodel.models import (
    Coordinate,
    Image,
    Picture,
    Rating,
    Ratings,
    Step,
    Target,
    member_of,
)
from dirtmodel.queries.agreement import scan
from dirtmodel.queries.agreement.coefficients import (
    NO_PAIRS,
    ONE_CLUSTER,
    ONE_PAIRABLE_CLUSTER,
    ONE_PAIRABLE_UNIT,
    ONE_UNIT,
    Coefficient,
    check_options,
    coefficients,
)
from dirtmodel.queries.agreement.inputs import (
    ClickInputs,
    Counted,
    Inputs,
    by_rater,
    count,
    gather,
    pairs_within,
)
from dirtmodel.queries.agreement.results import (
    FEW_COMMON_UNITS,
    AgreementResult,
    ClickResult,
    Disagreement,
    Figure,
    LeftOut,
    Pair,
    RaterPrevalence,
    Repeats,
    Variable,
)
from dirtmodel.queries.agreement.scan import CLICK_STEPS
from dirtmodel.queries.agreement.summaries import (
    leave_one_out,
    prevalence,
    specific_agreement,
    unanimity,
)
from dirtmodel.queries.agreement.tables import NO_COMMON_UNITS, over_pairs, two_way
from dirtmodel.queries.agreement.tallies import IntArray
from dirtmodel.queries.crossed import Crossed
from dirtmodel.queries.results import Rows

VERDICTS: Final = tuple(verdict.name for verdict in Ratings)
ANY_CLICK: Final = ("NO_CLICK", "CLICK")
TOLERANCES: Final = (10.0, 20.0, 40.0)

NO_RATINGS: Final = "no ratings by known raters"
ONE_RATER: Final = "only one rater"
NOT_USED: Final = "not used on an image with two ratings"
NO_REPEATS: Final = "no image reviewed again by the same rater"

_OF_UNITS: Final = {ONE_CLUSTER: ONE_UNIT, ONE_PAIRABLE_CLUSTER: ONE_PAIRABLE_UNIT}
"""Each unit is a cluster where there are no others."""

_IDS_AT_ONCE: Final = 5000
_OVER_PAIRS: Final = (
    "percent_agreement",
    "cohen_kappa",
    "cohen_kappa_linear",
    "gwet_ac",
    "dice",
)


@dataclass(frozen=True)
class Agreement:
    """Do the raters of a step agree, who is the outlier, and does each agree with themselves?

    Parameters
    ----------
    step
        The step. Fieldmap coregistration and diffusion are judged by verdict, the others by
        whether there are clicks.
    rater
        `user`: each user is a rater, and what has no user is left out and counted; `session`: each
        session is one.
    tolerances
        Greatest distances of matched clicks in pixels, for click steps; None: 10, 20 and 40.
    cluster
        `subject`: images of one subject are not independent; None: they are.
    prevalence, confidence, bootstrap, seed
        As in `coefficients`.

    Notes
    -----
    Only each rater's latest review of an image counts, (created, id) deciding; `repeats` looks at
    the others.
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
                raise UsageError(f"{getattr(self, name)!r} is no {name}; choose {choices}")
        if self.tolerances is not None and self.step not in CLICK_STEPS:
            raise UsageError(
                f"a tolerance is for clicks, and {self._step.name.lower()} is judged by verdicts; "
                "leave it out"
            )
        if self.step in CLICK_STEPS and not self._tolerances:
            raise UsageError("tolerances: none given; give one at least, or leave them out")
        for tolerance in self._tolerances:
            if not 0 <= tolerance < np.inf:
                raise UsageError(f"tolerance: {tolerance!r} is no distance; give pixels, 0 or more")
        check_options(self.confidence, self.bootstrap, self.seed)

    @property
    def _step(self) -> Step:
        return member_of(Step, self.step)

    @property
    def _tolerances(self) -> tuple[float, ...]:
        if self.step not in CLICK_STEPS:
            return ()
        given = TOLERANCES if self.tolerances is None else self.tolerances
        try:
            return tuple(sorted({float(tolerance) for tolerance in np.atleast_1d(given)}))
        except (TypeError, ValueError):
            raise UsageError(f"tolerances: {given!r} are no distances; give pixels") from None

    @property
    def categories(self) -> tuple[str, ...]:
        """What a rater could say, used or not."""
        return ANY_CLICK if self.step in CLICK_STEPS else VERDICTS

    def coefficients(self, session: orm.Session) -> list[Coefficient]:
        """Give the coefficients alone, in a fraction of the time."""
        return self._coefficients(self._judged(session))

    def run(self, session: orm.Session) -> AgreementResult:
        """Give everything."""
        reviewers = scan.reviewers(session, self._step, rater=self.rater)
        inputs = self._inputs(session, reviewers)
        judged, names = inputs.judged, reviewers.names
        binary = {"source_data_issue": self._variable(inputs.flagged)}
        if self.step not in CLICK_STEPS:
            failed = judged.against_rest(Ratings.FAIL, ("NOT_FAIL", "FAIL"))
            binary = {"fail": self._variable(failed), **binary}
        units = judged.multiplicity
        pairs = self._pairs(inputs, names)
        main = self._variable(judged)
        (crossed,) = Crossed([self.step]).run(session)
        return AgreementResult(
            step=self._step,
            rater=self.rater,
            cluster=self.cluster,
            prevalence_of=self.prevalence,
            confidence=self.confidence,
            bootstrap=self.bootstrap,
            seed=self.seed,
            units=int(units.sum()),
            pairable_units=int(units[judged.counts.sum(axis=1) > 1].sum()),
            raters=len(judged.by_rater()),
            clusters=None if self.cluster is None else len(np.unique(judged.clusters)),
            unattributed_sessions=inputs.n_unknown_sessions,
            crossed_rows=sum(crossed),
            superseded=inputs.n_superseded,
            judged=main,
            binary=binary,
            raters_prevalence=[
                RaterPrevalence(names[rater], int(used.sum()), _shares(judged, used[None], None))
                for rater, used in judged.by_rater().items()
            ],
            pairs=pairs,
            over_pairs={
                name: over_pairs(getattr(pair, name) for pair in pairs) for name in _OVER_PAIRS
            },
            leave_one_out=self._leave_one_out(
                inputs, names, main.coefficient("krippendorff_alpha", "ordinal").value
            ),
            repeats=self._repeats(inputs, session),
            clicks=None if inputs.clicks is None else self._clicks(inputs.clicks, judged),
        )

    def disagreements(self, session: orm.Session) -> Rows[Disagreement]:
        """Give the images on which raters disagree, worst first."""
        reviewers = scan.reviewers(session, self._step, rater=self.rater)
        span = (len(self.categories) - 1) ** 2
        found: list[tuple[float, int, list[str]]] = []
        for whole in scan.scan(session, self._step, reviewers.sessions):
            batch, rater, _ = by_rater(whole, reviewers)
            apart = np.zeros(int(whole.unit[-1]) + 1)
            for first, second in pairs_within(batch.unit):
                distance = (batch.code[first] - batch.code[second]) ** 2 / span
                np.add.at(apart, batch.unit[first], distance)
            said = batch.code if batch.clicks is None else batch.clicks.n
            starts = np.flatnonzero(np.diff(batch.unit, prepend=-1))
            for start, stop in itertools.pairwise([*starts.tolist(), len(said)]):
                if total := float(apart[batch.unit[start]]):
                    n = stop - start
                    verdicts = [
                        f"{reviewers.names[r]}={VERDICTS[v] if batch.clicks is None else v}"
                        for r, v in zip(
                            rater[start:stop].tolist(), said[start:stop].tolist(), strict=True
                        )
                    ]
                    score = total / (n * (n - 1) / 2)
                    found.append((score, int(batch.image[start]), verdicts))
        found.sort(key=lambda row: (-row[0], -len(row[2]), row[1]))
        return Rows(Disagreement, _described(session, found))

    def _judged(self, session: orm.Session) -> Counted:
        reviewers = scan.reviewers(session, self._step, rater=self.rater)
        if self.rater == "session":
            return self._inputs(session, reviewers).judged
        latest = scan.standing(session, self._step, reviewers)
        return count(latest, reviewers, self._clusters(session), categories=self.categories)

    def _inputs(self, session: orm.Session, reviewers: scan.Reviewers) -> Inputs:
        return gather(
            scan.scan(session, self._step, reviewers.sessions),
            reviewers,
            self._clusters(session),
            categories=self.categories,
            tolerances=self._tolerances,
        )

    def _clusters(self, session: orm.Session) -> scan.Clusters | None:
        return None if self.cluster is None else scan.clusters(session, self._step)

    def _coefficients(
        self, counted: Counted, weights: Sequence[str] | None = None
    ) -> list[Coefficient]:
        counts, clusters, multiplicity = counted.counts_for(self.prevalence)
        found = coefficients(
            counts,
            categories=counted.categories,
            weights=weights,
            clusters=clusters,
            multiplicity=multiplicity,
            margins=counted.margins_for(self.prevalence),
            prevalence=self.prevalence,
            confidence=self.confidence,
            bootstrap=self.bootstrap,
            seed=self.seed,
        )
        return [c._replace(reason=self._reason(c.reason, counted)) for c in found]

    def _reason(self, reason: str | None, counted: Counted) -> str | None:
        if self.cluster is None and reason in _OF_UNITS:
            return _OF_UNITS[reason]
        return _no_pairs(counted) if reason == NO_PAIRS else reason

    def _variable(self, counted: Counted) -> Variable:
        q, table, repeats = len(counted.categories), counted.counts, counted.multiplicity
        binary = counted.categories not in {VERDICTS, ANY_CLICK}
        specific = specific_agreement(table, n_categories=q, multiplicity=repeats)
        unanimous = unanimity(table, n_categories=q, multiplicity=repeats)
        lacking = _no_pairs(counted)
        return Variable(
            counted.categories,
            # With two categories all weights are the same.
            self._coefficients(counted, ["identity"] if binary else None),
            _shares(counted, table, repeats),
            {
                category: Figure(value, None if value is not None else lacking or NOT_USED)
                for category, value in zip(counted.categories, specific, strict=True)
            },
            Figure(unanimous, None if unanimous is not None else lacking),
        )

    def _pairs(self, inputs: Inputs, names: Sequence[str | int]) -> list[Pair]:
        pairs = []
        for (first, second), table in sorted((inputs.pairs or {}).items()):
            found = two_way(table, categories=self.categories)
            pairs.append(
                Pair(
                    names[first],
                    names[second],
                    found.n,
                    found.percent_agreement,
                    found.cohen_kappa,
                    found.cohen_kappa_linear,
                    found.gwet_ac,
                    found.dice[-1],
                    found.n < FEW_COMMON_UNITS,
                    found.reason,
                )
            )
        return pairs

    def _leave_one_out(
        self, inputs: Inputs, names: Sequence[str | int], everyone: float | None
    ) -> list[LeftOut]:
        each = inputs.each_rating
        if each is None:
            return []
        alphas = leave_one_out(
            each.raters.tolist(),
            each.codes,
            each.counts,
            categories=self.categories,
            multiplicity=each.multiplicity,
        )
        return [
            LeftOut(
                names[rater],
                alpha,
                None if alpha is None or everyone is None else alpha - everyone,
                None if alpha is not None else "the others do not overlap, or do not vary",
            )
            for rater, alpha in zip(np.unique(each.raters).tolist(), alphas.values(), strict=True)
        ]

    def _repeats(self, inputs: Inputs, session: orm.Session) -> Repeats:
        found = two_way(inputs.repeats, categories=self.categories)
        gaps = _gaps(session, inputs.repeated, Coordinate if inputs.clicks else Rating)
        return Repeats(
            found.n,
            inputs.repeats.tolist(),
            found.percent_agreement,
            found.cohen_kappa_linear,
            found.gwet_ac,
            float(np.median(gaps)) if len(gaps) else None,
            NO_REPEATS if found.reason == NO_COMMON_UNITS else found.reason,
        )

    def _clicks(self, clicks: ClickInputs, judged: Counted) -> ClickResult:
        # A number that nobody ever clicked changes nothing, but two categories there must be.
        values = [*clicks.values, *(v for v in (0, 1) if v not in clicks.values)]
        missing = len(values) - len(clicks.values)
        (alpha,) = coefficients(
            np.pad(clicks.counts, [(0, 0), (0, missing)]),
            categories=values,
            weights="interval",
            clusters=clicks.clusters,
            multiplicity=clicks.multiplicity,
            prevalence=self.prevalence,
            confidence=self.confidence,
            bootstrap=self.bootstrap,
            seed=self.seed,
        )
        alpha = alpha._replace(reason=self._reason(alpha.reason, judged))
        return ClickResult(clicks.matched, alpha, clicks.n_nowhere)


def _no_pairs(counted: Counted) -> str | None:
    """Why no two raters can be compared; None when they can."""
    if (counted.counts.sum(axis=1) > 1).any():
        return None
    return {0: NO_RATINGS, 1: ONE_RATER}.get(len(counted.by_rater()), NO_PAIRS)


def _shares(counted: Counted, table: Any, multiplicity: Any) -> dict[str, float | None]:
    q = len(counted.categories)
    shares = prevalence(table, n_categories=q, multiplicity=multiplicity)
    return dict(zip(counted.categories, shares, strict=True))


def _gaps(
    session: orm.Session, rows: IntArray, review: type[Rating] | type[Coordinate]
) -> list[float]:
    """Give the seconds between the two rows of each pair of ids."""
    gaps = []
    for start in range(0, len(rows), _IDS_AT_ONCE // 2):
        pairs = rows[start : start + _IDS_AT_ONCE // 2].tolist()
        ids = {row for pair in pairs for row in pair}
        created = dict(
            session.execute(sa.select(review.id, review.created).where(review.id.in_(ids))).all()
        )
        gaps += [(created[after] - created[before]).total_seconds() for before, after in pairs]
    return gaps


def _described(
    session: orm.Session, found: list[tuple[float, int, list[str]]]
) -> Iterator[Disagreement]:
    for start in range(0, len(found), _IDS_AT_ONCE):
        part = found[start : start + _IDS_AT_ONCE]
        rows = session.execute(
            sa.select(
                Image.id,
                Image.file1,
                Image.file2,
                Image.display,
                Image.slice,
                Target.sub,
                Target.ses,
                Target.scan,
            )
            .join_from(Image, Picture, Picture.img_id == Image.id)
            .join(Target, Target.id == Picture.target_id)
            .where(Image.id.in_([image for _, image, _ in part]))
        )
        described = {row.id: row for row in rows}
        for score, image, verdicts in part:
            yield Disagreement(*described[image], len(verdicts), score, verdicts)
