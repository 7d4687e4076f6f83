"""The agreement of a step as a page to read from the top down."""

from collections.abc import Iterable, Iterator
from typing import Final

from dirtmodel.irr import Coefficient, Estimate
from dirtmodel.irr.intervals import MIN_EFFECTIVE
from dirtmodel.irr.repeats import DOUBLE_SECONDS
from dirtmodel.queries.agreement_result import (
    FEW_COMMON_UNITS,
    AgreementResult,
    GroupAgreement,
    RaterErrors,
    RaterPair,
    Variable,
)
from dirtmodel.queries.text.numbers import (
    UNDEFINED,
    bracketed,
    duration,
    error,
    interval,
    number,
    signed,
)
from dirtmodel.queries.text.tables import aligned
from dirtmodel.wording import count

_MOST_PAIRS: Final = 15
_MOST_RATERS: Final = 30
_FEW_SUBJECTS: Final = 20

_NAMES: Final = {
    "percent_agreement": "Percent agreement",
    "gwet_ac": "Gwet's AC1 / AC2",
    "fleiss_kappa": "Fleiss' kappa",
    "conger_kappa": "Conger's kappa",
    "brennan_prediger": "Brennan-Prediger",
}
REPEATS_COLUMNS: Final = ("", "repeats", "agree", "AC1", "linear kappa", "median gap")
_BINARY: Final = {"fail": "FAIL against the rest", "source_data_issue": "Source data issue"}


def report(result: AgreementResult) -> str:
    """Return the page: overlap of raters, prevalence, headline coefficients, and the details.

    Undefined values are `–`, with the reason beside or below.
    """
    title = f"Agreement on {result.step.name} ({_what(result)}; rater: {result.rater})"
    parts = [
        [title, "", *overlap(result)],
        _prevalence(result),
        _headline(result),
        _coefficients(result),
        _categories(result),
        *(_binary(_BINARY[name], variable) for name, variable in result.binary.items()),
        _clicks(result),
        _pairs(result),
        _raters(result),
        _repeats(result),
    ]
    return "\n\n".join("\n".join(lines) for part in parts if (lines := list(part)))


def _what(result: AgreementResult) -> str:
    return "clicks" if result.by_clicks else "verdicts"


def overlap(result: AgreementResult) -> Iterator[str]:
    """Return lines with the numbers of images, reviews and raters, and what is left out."""
    who = "session" if result.rater == "session" else "rater"
    yield (
        f"{count(result.units, 'image')} reviewed by {count(result.raters, who)}, "
        f"{result.pairable_units:,} of them by two or more"
    )
    if result.clusters is None:
        yield "errors treat images as independent, including those of one subject"
    else:
        yield f"errors are clustered by subject: {count(result.clusters, 'subject')}"
    yield from _effective(result)
    if result.bootstrap is not None:
        yield f"errors and intervals from {result.bootstrap:,} bootstrap replicates"
    if result.prevalence_of == "pairable":
        yield "chance agreement from the images with two ratings or more"
    if result.note:
        yield f"note: {result.note}"
    elif result.unattributed_sessions:
        yield f"left out: {count(result.unattributed_sessions, 'session')} without a user"
    if result.crossed_rows:
        yield (
            f"left out: {count(result.crossed_rows, 'row')} in the table that does not judge this "
            "step"
        )
    if result.superseded:
        yield (
            f"left out: {count(result.superseded, 'review')} that the same rater replaced by a "
            "later one"
        )


def _effective(result: AgreementResult) -> Iterator[str]:
    """Return a line about the number of subjects behind the intervals."""
    dfs = [c.df for c in headline(result).values() if c.df is not None]
    if not dfs:
        return
    noun = "image" if result.clusters is None else "subject"
    effective = min(dfs) + 1
    if effective <= MIN_EFFECTIVE:
        yield f"effectively two {noun}s or fewer determine a headline coefficient"
    else:
        rough = "; intervals are rough" if effective < _FEW_SUBJECTS else ""
        yield f"effectively {effective:.1f} {noun}s contribute to the headline coefficients{rough}"


def _prevalence(result: AgreementResult) -> Iterator[str]:
    judged = result.judged
    yield "Prevalence"
    rows = [["all", f"{result.reviews:,}", *map(_percent, judged.prevalence.values())]]
    shown = result.raters_prevalence[:_MOST_RATERS] if result.rater == "user" else []
    rows += [[str(r.rater), f"{r.n:,}", *map(_percent, r.prevalence.values())] for r in shown]
    yield from aligned(["", "ratings", *judged.categories], rows)
    if more := len(result.raters_prevalence) - len(shown):
        yield f"  and {count(more, 'rater')} more: --format json"


def headline(result: AgreementResult) -> dict[str, Coefficient]:
    """Return the headline coefficients, by their names."""
    judged = result.judged
    return {
        "Gwet's AC1": judged.coefficient("gwet_ac", "identity"),
        "Krippendorff's alpha, ordinal": judged.coefficient("krippendorff_alpha", "ordinal"),
    }


def _headline(result: AgreementResult) -> Iterator[str]:
    yield f"Headline, with {100 * result.confidence:g} % intervals"
    rows = [[label, *_estimate(c)] for label, c in headline(result).items()]
    yield from aligned(["", "value", "interval", "se", ""], rows)


def _coefficients(result: AgreementResult) -> Iterator[str]:
    by_name = {(c.name, c.weights): c for c in result.coefficients}
    weights = ["identity", "linear", "quadratic"]
    metrics = ["nominal", "ordinal", "interval"]
    if _is_binary(result):
        yield "Coefficients and intervals; between two categories all weights are the same"
        weights, metrics = weights[:1], metrics[:1]
    else:
        yield "Coefficients and intervals, by weights"
    rows = [
        [label, *(_with_interval(by_name[name, w]) for w in weights)]
        for name, label in _NAMES.items()
    ]
    yield from aligned(["", *weights], rows)
    alphas = [by_name["krippendorff_alpha", metric] for metric in metrics]
    yield from aligned(["", *metrics], [["Krippendorff's alpha", *map(_with_interval, alphas)]])
    yield from _reasons(result.coefficients)


def _is_binary(result: AgreementResult) -> bool:
    return len(result.judged.categories) == 2  # noqa: PLR2004 - clicks or none


def _categories(result: AgreementResult) -> Iterator[str]:
    judged = result.judged
    yield "Specific agreement: given one rater's choice, how likely another's is the same"
    rows = [
        [category, *_estimate(estimate)] for category, estimate in judged.specific_agreement.items()
    ]
    rows.append(["all raters alike", *_estimate(judged.unanimity)])
    yield from aligned(["", "value", "interval", "se", ""], rows)


def _binary(title: str, variable: Variable) -> Iterator[str]:
    positive = variable.categories[-1]
    yield f"{title} ({_percent(variable.prevalence[positive])} of ratings)"
    wanted: list[tuple[str, Coefficient | Estimate]] = [
        ("Percent agreement", variable.coefficient("percent_agreement", "identity")),
        ("Gwet's AC1", variable.coefficient("gwet_ac", "identity")),
        ("Conger's kappa", variable.coefficient("conger_kappa", "identity")),
        ("Krippendorff's alpha", variable.coefficient("krippendorff_alpha", "nominal")),
        (f"Specific agreement on {positive}", variable.specific_agreement[positive]),
    ]
    rows = [[label, *_estimate(estimate)] for label, estimate in wanted]
    yield from aligned(["", "value", "interval", "se", ""], rows)


def _clicks(result: AgreementResult) -> Iterator[str]:
    clicks = result.clicks
    if clicks is None:
        return
    yield "Places of clicks: matched clicks of each pair of raters on an image"
    yield from aligned(
        ["within", "pairs", "clicked", "matched", "pooled F1", "by chance", "mean F1", "distance"],
        [
            [
                f"{tolerance:g} px",
                f"{m.n_pairs:,}",
                f"{m.n_clicked:,}",
                f"{m.n_matched:,}",
                _with_interval(m.pooled_f1),
                number(clicks.chance[tolerance]),
                number(m.mean_f1.value),
                UNDEFINED if m.mean_distance.value is None else f"{m.mean_distance.value:.1f} px",
            ]
            for tolerance, m in clicks.matched.items()
        ],
    )
    if not any(m.n_clicked for m in clicks.matched.values()):
        yield f"  {UNDEFINED}: no image with clicks and two raters"
    else:
        yield from _reasons([m.pooled_f1 for m in clicks.matched.values()])
        yield "  by chance: as many clicks, placed at random within the area of all clicks"
    yield from aligned(
        ["", "value", "interval", "se", ""],
        [["Alpha of the number of clicks, interval", *_estimate(clicks.counts)]],
    )
    if clicks.n_at_infinity:
        yield f"  {count(clicks.n_at_infinity, 'click')} at infinity, which matching leaves out"


def _pairs(result: AgreementResult) -> Iterator[str]:
    pairs = result.pairs
    if not pairs:
        yield f"Pairs of raters: {UNDEFINED} ({_no_pairs(result)})"
        return
    titles = {
        "percent_agreement": "agree",
        "cohen_kappa": "kappa",
        "cohen_kappa_linear": "linear kappa",
        "gwet_ac": "AC1",
        "dice": f"Dice {result.problem}",
    }
    if _is_binary(result):
        del titles["cohen_kappa_linear"]
    over = [result.over_pairs[name] for name in titles]
    rows = [
        ["mean", "", *(number(o.mean) for o in over)],
        ["  its interval", "", *(interval(o.ci_low, o.ci_high) for o in over)],
        ["least", "", *(number(o.least) for o in over)],
        ["greatest", "", *(number(o.greatest) for o in over)],
    ]
    worst = sorted(pairs, key=_ac1_of_pair)[:_MOST_PAIRS]
    for pair in worst:
        values = [number(pair.estimates[name].value) for name in titles]
        star = "*" if pair.few else ""
        rows.append([f"{pair.first} – {pair.second}", f"{pair.n:,}{star}", *values])
    shown = "" if len(worst) == len(pairs) else f", the {len(worst)} with the lowest AC1"
    yield f"Pairs of raters ({len(pairs):,}{shown}; intervals of each: --format json)"
    yield from aligned(["", "images", *titles.values()], rows)
    if any(pair.few for pair in pairs):
        n_few = sum(pair.few for pair in pairs)
        yield f"  * under 10 images in common ({count(n_few, 'pair')}): too few to conclude"
    if any(pair.estimates[name].value is None for pair in worst for name in titles):
        yield f"  {UNDEFINED}: kappa, no variation; Dice, neither chose {result.problem}"


def _no_pairs(result: AgreementResult) -> str:
    if result.pairable_units:
        return "too many raters to list"
    return result.judged.unanimity.reason or "no image has two reviews"


def _ac1_of_pair(pair: RaterPair) -> tuple[bool, bool, float]:
    gwet = pair.estimates["gwet_ac"].value
    return pair.few, gwet is None, gwet or 0.0


def _raters(result: AgreementResult) -> Iterator[str]:
    if result.rater == "session" or not result.errors or not result.pairable_units:
        return
    left = {row.rater: row for row in result.leave_one_out}
    problem = result.problem
    yield f"Each rater: ordinal alpha without the rater, and error rates for {problem}"
    rows = []
    for errors in sorted(result.errors, key=_least_sensitive):
        out = left.get(errors.rater)
        change = Estimate(None) if out is None else out.change
        star = "*" if errors.n_reviews < FEW_COMMON_UNITS else ""
        rows.append(
            [
                str(errors.rater),
                f"{errors.n_reviews:,}{star}",
                number(out.alpha.value if out else None),
                signed(change.value),
                interval(change.ci_low, change.ci_high, signed=True),
                number(errors.sensitivity, 2),
                number(errors.specificity, 2),
            ]
        )
    head = ["", "reviews", "alpha", "change", "interval", "sensitivity", "specificity"]
    yield from aligned(head, rows[:_MOST_RATERS])
    if (more := len(rows) - _MOST_RATERS) > 0:
        yield f"  and {count(more, 'rater')} more: --format json"
    if any(errors.n_reviews < FEW_COMMON_UNITS for errors in result.errors):
        yield "  * under 10 reviews: sensitivity and specificity are mostly the prior"
    yield "  change: the rise of alpha when the rater is left out"
    yield f"  sensitivity: how often they choose {problem} where it is likely true; low if lenient"
    yield "  specificity: how often they do not choose it where it is likely false; low if severe"
    yield "  (model of Dawid and Skene 1979; see dirtmodel consensus)"


def _least_sensitive(errors: RaterErrors) -> tuple[bool, float, str]:
    few = errors.n_reviews < FEW_COMMON_UNITS
    return few, errors.sensitivity or 0.0, str(errors.rater)


def _repeats(result: AgreementResult) -> Iterator[str]:
    whole = result.repeats["all"]
    if not whole.n:
        yield f"Repeats: {UNDEFINED} (no image reviewed again by the same rater)"
        return
    yield f"Repeats: the same rater and image again, {count(whole.n, 'time')}"
    yield from aligned(REPEATS_COLUMNS, repeats(result))
    categories = result.judged.categories
    table = [
        [category, *(f"{n:,}" for n in counts)]
        for category, counts in zip(categories, whole.table, strict=True)
    ]
    yield from aligned(["earlier, then", *categories], table)


def repeats(result: AgreementResult) -> list[list[str]]:
    """Return the agreement of raters with themselves, as cells of `REPEATS_COLUMNS`."""
    names = {
        "all": "all",
        "double_submission": f"under {DOUBLE_SECONDS:g} s",
        "same_session": "same session",
        "later": "later session",
    }
    rows = []
    for name, label in names.items():
        kind = result.repeats[name]
        rows.append(
            [
                label,
                f"{kind.n:,}",
                _with_interval(kind.estimates["percent_agreement"]),
                number(kind.estimates["gwet_ac"].value),
                number(kind.estimates["cohen_kappa_linear"].value),
                duration(kind.median_gap_seconds),
            ]
        )
    return rows


def group_table(rows: Iterable[GroupAgreement], group: str) -> Iterator[str]:
    """Return lines with the headline coefficients per group (see `Agreement.by`)."""
    yield from aligned(
        [group, "images", "by two", "raters", "subjects", "bad", "agree", "AC1", "ordinal alpha"],
        [
            [
                UNDEFINED if row.group is None else row.group,
                *(f"{n:,}" for n in row[1:5]),
                "" if row.problems is None else f"{100 * row.problems:.1f} %",
                number(row.percent_agreement),
                bracketed(row.gwet_ac, row.gwet_ac_low, row.gwet_ac_high),
                bracketed(row.alpha, row.alpha_low, row.alpha_high),
            ]
            for row in rows
        ],
    )


def _estimate(c: Coefficient | Estimate) -> list[str]:
    reason = c.reason or ""
    if c.ci_low is None:
        return [number(c.value), UNDEFINED, error(c.se), reason]
    return [number(c.value), interval(c.ci_low, c.ci_high), error(c.se), reason]


def _with_interval(c: Coefficient | Estimate) -> str:
    return bracketed(c.value, c.ci_low, c.ci_high)


def _reasons(found: Iterable[Coefficient | Estimate]) -> Iterator[str]:
    every = list(found)
    for reason in {str(c.reason): None for c in every if c.value is None and c.reason}:
        yield f"  {UNDEFINED}: {reason}"
    missing = [c for c in every if c.value is not None and c.reason]
    for reason in {str(c.reason): None for c in missing if c.ci_low is None}:
        yield f"  no interval: {reason}"
    for reason in {str(c.reason): None for c in missing if c.ci_low is not None}:
        yield f"  intervals: {reason}"


def _percent(estimate: Estimate) -> str:
    return UNDEFINED if estimate.value is None else f"{100 * estimate.value:.1f} %"
