"""The sections of the report about raters: agreement, error rates, activity."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from sqlalchemy import orm

from dirtmodel.irr import Coefficient, Estimate
from dirtmodel.models import Step
from dirtmodel.pages import Table
from dirtmodel.queries.activity import WeekOfReviews
from dirtmodel.queries.agreement_result import AgreementResult
from dirtmodel.queries.consensus import Consensus
from dirtmodel.queries.consensus_result import ConsensusRater, ConsensusResult, NextReview
from dirtmodel.queries.text.agreement import REPEATS_COLUMNS, headline, overlap, repeats
from dirtmodel.queries.text.numbers import UNDEFINED, bracketed, number
from dirtmodel.reporting.contents import Forest, Matrix, Point, Shade, StepAgreement, Week
from dirtmodel.wording import count

_MOST_NEXT: Final = 10
"""The number of images to suggest for one more review."""
_MOST_RATERS: Final = 16
"""The most raters in a matrix; more do not fit on paper."""
_MOST_ERRORS: Final = 60
"""The most raters whose error rates are plotted."""
_POINTS: Final = 14
"""The most points in one plot; more do not fit on a sheet of paper."""
_SHORT: Final = {"Krippendorff's alpha, ordinal": "ordinal alpha"}
_NEXT_COLUMNS: Final = ("image", "file", "display", "slice", "raters", "verdict", "bits")


def step_agreement(session: orm.Session, result: AgreementResult) -> StepAgreement:
    """Return the agreement on a step, from `Agreement` and `Consensus`."""
    fitted, following = Consensus(step=result.step).next_with_run(session, _MOST_NEXT)
    return StepAgreement(
        name=result.step.name,
        overlap=tuple(overlap(result)),
        pairs=_pairs(result),
        repeats=_repeats(result),
        warnings=tuple(f"{warning}." for warning in fitted.warnings),
        errors=tuple(_errors(fitted)) if fitted.raters else (),
        following=_following(result.step, following),
    )


def headline_forest(results: Sequence[AgreementResult]) -> tuple[Forest, ...]:
    """Return plots of the headline coefficients of all steps, on one scale."""
    coefficients = [
        (f"{result.step.name}, {_SHORT.get(label, label)}", coefficient)
        for result in results
        for label, coefficient in headline(result).items()
    ]
    if not coefficients:
        return ()
    lows = [low for _, c in coefficients for low in (c.value, c.ci_low) if low is not None]
    least = -1.0 if min(lows, default=0) < 0 else 0.0
    title = f"Agreement with {100 * results[0].confidence:g} % intervals"
    points = [_point(label, c, least) for label, c in coefficients]
    return tuple(_forests(title, points, f"{least:g}", 50.0 if least < 0 else None))


def _forests(
    title: str, points: Sequence[Point], least: str = "0", zero: float | None = None
) -> Iterator[Forest]:
    """Distribute points over plots that fit on a sheet of paper each."""
    for start in range(0, len(points), _POINTS):
        yield Forest(title, tuple(points[start : start + _POINTS]), least, zero)


def _point(label: str, one: Coefficient | Estimate, least: float = 0.0) -> Point:
    text = bracketed(one.value, one.ci_low, one.ci_high)
    if one.reason and (one.value is None or one.ci_low is None):
        text += f" ({one.reason})"
    places = (_place(value, least) for value in (one.value, one.ci_low, one.ci_high))
    return Point(label, text, *places)


def _place(value: float | None, least: float = 0.0) -> float | None:
    """Return the place of a value on the scale in percent; the ends leave room for a dot."""
    # Sums differ in their last digit with the order of the rows, which the engines choose.
    return None if value is None else round(2 + 96 * (value - least) / (1 - least), 3)


def _pairs(result: AgreementResult) -> Matrix | None:
    """Return the AC1 of each pair of raters as a matrix."""
    if not result.pairs:
        return None
    shown = sorted(result.raters_prevalence, key=lambda r: (-r.n, str(r.rater)))[:_MOST_RATERS]
    names = sorted((r.rater for r in shown), key=str)
    values = {}
    for pair in result.pairs:
        value = pair.estimates["gwet_ac"].value
        if value is not None:
            text = number(value, 2) + ("*" if pair.few else "")
            shade = Shade(text, round(45 * max(0.0, value)))
            values[pair.first, pair.second] = values[pair.second, pair.first] = shade
    left = result.raters - len(names)
    return Matrix(
        label=f"Gwet's AC1 of each pair of raters on {result.step.name}",
        corner="rater",
        names=tuple(map(str, names)),
        rows=tuple((str(a), tuple(values.get((a, b)) for b in names)) for a in names),
        more="* under 10 images in common: too few to conclude."
        + (f" The {_MOST_RATERS} raters with most reviews; {left:,} more." if left else ""),
    )


def _repeats(result: AgreementResult) -> Table | None:
    if not result.repeats["all"].n:
        return None
    columns = ("when", *REPEATS_COLUMNS[1:])
    numbers = frozenset(range(1, len(columns)))
    label = f"Repeats on {result.step.name}: the same rater and image again"
    return Table(label, columns, repeats(result), numbers)


def _errors(fitted: ConsensusResult) -> Iterator[tuple[Forest, ...]]:
    """Yield the plots of the sensitivity, then those of the specificity."""
    most_first = sorted(fitted.raters, key=lambda rater: (-rater.n_reviews, rater.rater))
    for name in ("sensitivity", "specificity"):
        points = [_error(rater, name) for rater in most_first[:_MOST_ERRORS]]
        yield tuple(_forests(name.capitalize(), points))


def _error(rater: ConsensusRater, name: str) -> Point:
    value = getattr(rater, name)
    low, high = getattr(rater, f"{name}_low"), getattr(rater, f"{name}_high")
    label = f"{rater.rater}, {count(rater.n_reviews, 'review')}"
    return _point(label, Estimate(value, None, low, high, rater.reason))


def _following(step: Step, rows: Iterable[NextReview]) -> Table | None:
    cells = [
        (
            str(row.img_id),
            row.file1,
            row.display.name,
            None if row.slice is None else str(row.slice),
            row.n_raters,
            row.verdict or UNDEFINED,
            number(row.bits),
        )
        for row in rows
    ]
    label = f"Images of {step.name} for which one more review would be most informative"
    return Table(label, _NEXT_COLUMNS, cells, frozenset({4, 6})) if cells else None


def weeks(rows: Iterable[WeekOfReviews]) -> tuple[Week, ...]:
    """Return the number of reviews of each week, as columns of a chart."""
    totals = Counter[str]()
    for row in rows:
        totals[row.week] += row.n_reviews
    most = max(totals.values(), default=1)
    width = 100 / max(len(totals), 1)
    return tuple(
        Week(week, n, place * width, width * 0.8, 100 * n / most)
        for place, (week, n) in enumerate(sorted(totals.items()))
    )


def activity(rows: Sequence[WeekOfReviews]) -> Matrix | None:
    """Return the numbers of reviews by week and rater as a matrix."""
    if not rows:
        return None
    by_rater = Counter[str | None]()
    for row in rows:
        by_rater[row.rater] += row.n_reviews
    chosen = [name for name, _ in by_rater.most_common(_MOST_RATERS)]
    raters = sorted(chosen, key=lambda name: (name is None, name or ""))
    found = {(row.week, row.rater): row.n_reviews for row in rows}
    most = max(found.values())
    left = len(by_rater) - len(raters)
    return Matrix(
        label="Reviews per week and rater",
        corner="week from",
        names=tuple(name or "unknown" for name in raters),
        rows=tuple(
            (week, tuple(_shade(found.get((week, name)), most) for name in raters))
            for week in sorted({row.week for row in rows})
        ),
        more=f"The {_MOST_RATERS} raters with most reviews; {left:,} more." if left else "",
    )


def _shade(n: int | None, most: int) -> Shade | None:
    return None if n is None else Shade(f"{n:,}", round(45 * n / most))
