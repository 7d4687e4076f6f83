"""The agreement of a step as a page to read from the top down."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from dirtmodel.queries.agreement.coefficients import Coefficient
from dirtmodel.queries.agreement.results import AgreementResult, Pair, Variable
from dirtmodel.queries.agreement.scan import CLICK_STEPS

UNDEFINED: Final = "–"
_MOST_PAIRS: Final = 15
_MOST_RATERS: Final = 30
_FEW_CLUSTERS: Final = 20

_NAMES: Final = {
    "percent_agreement": "Percent agreement",
    "gwet_ac": "Gwet's AC1 / AC2",
    "fleiss_kappa": "Fleiss' kappa",
    "conger_kappa": "Conger's kappa",
    "brennan_prediger": "Brennan-Prediger",
}
_BINARY: Final = {"fail": "FAIL against the rest", "source_data_issue": "Source data issue"}
_UNITS_OF_TIME: Final = ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes"))


def report(result: AgreementResult) -> str:
    """Write the page: who and how much overlap, prevalence, headline, all the rest.

    What is undefined is `–`, with the reason beside or below it.
    """
    parts = [
        _overlap(result),
        _prevalence(result),
        _headline(result),
        _coefficients(result),
        _categories(result),
        *(_binary(_BINARY[name], variable) for name, variable in result.binary.items()),
        _clicks(result),
        _pairs(result),
        _leave_one_out(result),
        _repeats(result),
    ]
    return "\n\n".join("\n".join(lines) for part in parts if (lines := list(part)))


def _overlap(result: AgreementResult) -> Iterator[str]:
    what = "clicks" if result.step in CLICK_STEPS else "verdicts"
    yield f"Agreement on {result.step.name} ({what}; rater: {result.rater})"
    yield ""
    who = "session" if result.rater == "session" else "rater"
    yield (
        f"{_n(result.units, 'image')} judged by {_n(result.raters, who)}, "
        f"{result.pairable_units:,} of them by two or more"
    )
    if result.clusters is None:
        yield "errors take images as independent, those of one subject too"
    else:
        few = ", so few that intervals are rough" if result.clusters < _FEW_CLUSTERS else ""
        yield f"errors are clustered by subject: {_n(result.clusters, 'subject')}{few}"
    if result.bootstrap is not None:
        yield f"errors and intervals from {result.bootstrap:,} bootstrap replicates"
    if result.prevalence_of == "pairable":
        yield "chance agreement from the images with two ratings or more"
    if result.note:
        yield f"note: {result.note}"
    elif result.unattributed_sessions:
        yield f"left out: {_n(result.unattributed_sessions, 'session')} without a user"
    if result.crossed_rows:
        rows = _n(result.crossed_rows, "row")
        yield f"left out: {rows} in the table that does not judge this step"
    if result.superseded:
        reviews = _n(result.superseded, "review")
        yield f"left out: {reviews} that the same rater replaced by a later one"


def _prevalence(result: AgreementResult) -> Iterator[str]:
    judged = result.judged
    yield "Prevalence"
    n = sum(rater.n for rater in result.raters_prevalence)
    rows = [["all", f"{n:,}", *map(_percent, judged.prevalence.values())]]
    shown = result.raters_prevalence[:_MOST_RATERS] if result.rater == "user" else []
    rows += [[str(r.rater), f"{r.n:,}", *map(_percent, r.prevalence.values())] for r in shown]
    yield from _table(["", "ratings", *judged.categories], rows)
    if more := len(result.raters_prevalence) - len(shown):
        yield f"  and {_n(more, 'rater')} more: --format json"


def _headline(result: AgreementResult) -> Iterator[str]:
    yield f"Headline, with {100 * result.confidence:g} % intervals"
    ac1 = result.judged.coefficient("gwet_ac", "identity")
    alpha = result.judged.coefficient("krippendorff_alpha", "ordinal")
    rows = [["Gwet's AC1", *_estimate(ac1)], ["Krippendorff's alpha, ordinal", *_estimate(alpha)]]
    yield from _table(["", "value", "interval", "se", ""], rows)


def _coefficients(result: AgreementResult) -> Iterator[str]:
    found = {(c.name, c.weights): c for c in result.coefficients}
    weights = ["identity", "linear", "quadratic"]
    metrics = ["nominal", "ordinal", "interval"]
    if _is_binary(result):
        yield "Coefficients and intervals; between two categories all weights are the same"
        weights, metrics = weights[:1], metrics[:1]
    else:
        yield "Coefficients and intervals, by weights"
    rows = [
        [label, *(_with_interval(found[name, w]) for w in weights)]
        for name, label in _NAMES.items()
    ]
    yield from _table(["", *weights], rows)
    alphas = [found["krippendorff_alpha", metric] for metric in metrics]
    yield from _table(["", *metrics], [["Krippendorff's alpha", *map(_with_interval, alphas)]])
    yield from _reasons(result.coefficients)


def _is_binary(result: AgreementResult) -> bool:
    return len(result.judged.categories) == 2  # noqa: PLR2004 - clicks or none


def _categories(result: AgreementResult) -> Iterator[str]:
    judged = result.judged
    yield "Specific agreement: given one rater's, how likely another's is the same"
    rows = [
        [category, _number(figure.value), figure.reason or ""]
        for category, figure in judged.specific_agreement.items()
    ]
    rows.append(
        ["all raters alike", _percent(judged.unanimity.value), judged.unanimity.reason or ""]
    )
    yield from _table(["", "", ""], rows, align=("left", "right", "left"))


def _binary(title: str, variable: Variable) -> Iterator[str]:
    positive = variable.categories[-1]
    yield f"{title} ({_percent(variable.prevalence[positive])} of ratings)"
    wanted = [
        ("Percent agreement", variable.coefficient("percent_agreement", "identity")),
        ("Gwet's AC1", variable.coefficient("gwet_ac", "identity")),
        ("Conger's kappa", variable.coefficient("conger_kappa", "identity")),
        ("Krippendorff's alpha", variable.coefficient("krippendorff_alpha", "nominal")),
    ]
    specific = variable.specific_agreement[positive]
    rows = [[label, *_estimate(c)] for label, c in wanted]
    rows.append(
        [
            f"Specific agreement on {positive}",
            _number(specific.value),
            "",
            "",
            specific.reason or "",
        ]
    )
    yield from _table(["", "value", "interval", "se", ""], rows)


def _clicks(result: AgreementResult) -> Iterator[str]:
    clicks = result.clicks
    if clicks is None:
        return
    yield "Where they click: matched clicks of every two raters on an image"
    yield from _table(
        ["within", "pairs", "clicked", "matched", "pooled F1", "mean F1", "mean distance"],
        [
            [
                f"{tolerance:g} px",
                f"{m.n_pairs:,}",
                f"{m.n_clicked:,}",
                f"{m.n_matched:,}",
                _number(m.pooled_f1),
                _number(m.mean_f1),
                UNDEFINED if m.mean_distance is None else f"{m.mean_distance:.1f} px",
            ]
            for tolerance, m in clicks.matched.items()
        ],
    )
    if not any(m.n_clicked for m in clicks.matched.values()):
        yield f"  {UNDEFINED}: no image with clicks and two raters"
    alpha = clicks.counts
    yield from _table(
        ["", "value", "interval", "se", ""],
        [["Alpha of the number of clicks, interval", *_estimate(alpha)]],
    )
    if clicks.n_nowhere:
        yield f"  {_n(clicks.n_nowhere, 'click')} at infinity, which match none"


def _pairs(result: AgreementResult) -> Iterator[str]:
    pairs = result.pairs
    positive = result.judged.categories[-1]
    if not pairs:
        yield f"Pairs of raters: {UNDEFINED} ({_no_pairs(result)})"
        return
    over = result.over_pairs
    titles = {
        "percent_agreement": "agree",
        "cohen_kappa": "kappa",
        "cohen_kappa_linear": "linear kappa",
        "gwet_ac": "AC1",
        "dice": f"Dice {positive}",
    }
    if _is_binary(result):
        del titles["cohen_kappa_linear"]
    columns = list(titles)
    rows = [
        ["mean", "", *(_number(over[name].mean) for name in columns)],
        ["least", "", *(_number(over[name].least) for name in columns)],
        ["greatest", "", *(_number(over[name].greatest) for name in columns)],
    ]
    worst = sorted(pairs, key=_ac1_of_pair)[:_MOST_PAIRS]
    for pair in worst:
        values = [_number(getattr(pair, name)) for name in columns]
        star = "*" if pair.few else ""
        rows.append([f"{pair.first} – {pair.second}", f"{pair.n:,}{star}", *values])
    shown = "" if len(worst) == len(pairs) else f", the {len(worst)} with the lowest AC1"
    yield f"Pairs of raters ({len(pairs):,}{shown})"
    yield from _table(["", "images", *titles.values()], rows)
    if any(pair.few for pair in pairs):
        n_few = sum(pair.few for pair in pairs)
        yield f"  * under 10 images in common ({_n(n_few, 'pair')}): too few to tell"
    if any(None in {getattr(pair, name) for name in columns} for pair in worst):
        yield f"  {UNDEFINED}: kappa, no variation; Dice, neither said {positive}"


def _no_pairs(result: AgreementResult) -> str:
    if result.pairable_units:
        return "too many raters to tell apart"
    return result.judged.unanimity.reason or "no unit has two ratings"


def _ac1_of_pair(pair: Pair) -> tuple[bool, bool, float]:
    return pair.few, pair.gwet_ac is None, pair.gwet_ac or 0.0


def _leave_one_out(result: AgreementResult) -> Iterator[str]:
    left = [row for row in result.leave_one_out if row.alpha is not None]
    if not left:
        return
    yield "Ordinal alpha without one rater: a rise points at whoever rates differently"
    left.sort(key=lambda row: -(row.change or 0.0))
    rows = [[str(r.rater), _number(r.alpha), _signed(r.change)] for r in left[:_MOST_PAIRS]]
    yield from _table(["without", "alpha", "change"], rows)
    if len(left) > _MOST_PAIRS:
        more = _n(len(left) - _MOST_PAIRS, "rater")
        yield f"  and {more} more with smaller changes: --format json"


def _repeats(result: AgreementResult) -> Iterator[str]:
    repeats = result.repeats
    if not repeats.n:
        yield f"Repeats: {UNDEFINED} ({repeats.reason})"
        return
    yield f"Repeats: the same rater and image again, {_n(repeats.n, 'time')}"
    gap = repeats.median_gap_seconds
    kappa = _number(repeats.cohen_kappa_linear)
    kappa += f" ({repeats.reason})" if repeats.reason else ""
    yield f"  agree {_number(repeats.percent_agreement)}, AC1 {_number(repeats.gwet_ac)}"
    yield f"  linear kappa {kappa}"
    yield f"  median gap {_duration(gap)}"
    categories = result.judged.categories
    rows = [
        [category, *(f"{n:,}" for n in counts)]
        for category, counts in zip(categories, repeats.table, strict=True)
    ]
    yield from _table(["earlier, then", *categories], rows)


def _estimate(c: Coefficient) -> list[str]:
    reason = c.reason or ""
    if c.ci_low is None or c.ci_high is None:
        return [_number(c.value), UNDEFINED, UNDEFINED, reason]
    return [_number(c.value), f"{c.ci_low:.3f} to {c.ci_high:.3f}", _number(c.se), reason]


def _with_interval(c: Coefficient) -> str:
    if c.ci_low is None or c.ci_high is None:
        return _number(c.value)
    return f"{c.value:.3f} [{c.ci_low:.3f}, {c.ci_high:.3f}]"


def _reasons(found: Iterable[Coefficient]) -> Iterator[str]:
    values = {c.reason: None for c in found if c.value is None and c.reason}
    errors = {c.reason: None for c in found if c.value is not None and c.se is None and c.reason}
    for reason in values:
        yield f"  {UNDEFINED}: {reason}"
    for reason in errors:
        yield f"  no interval: {reason}"


def _table(
    head: Sequence[str], rows: Sequence[Sequence[str]], align: Sequence[str] | None = None
) -> list[str]:
    from tabulate import tabulate

    if align is None:
        align = ["left", *["right"] * (len(head) - 1)]
        if head[-1] == "":
            align[-1] = "left"
    headers = () if not any(head) else head
    text = tabulate(rows, headers=headers, tablefmt="plain", disable_numparse=True, colalign=align)
    return [f"  {line}".rstrip() for line in text.splitlines()]


def _n(n: int, what: str) -> str:
    return f"{n:,} {what}" + ("" if n == 1 else "s")


def _number(value: float | None) -> str:
    return UNDEFINED if value is None else f"{value:.3f}"


def _signed(value: float | None) -> str:
    return UNDEFINED if value is None else f"{value:+.3f}"


def _percent(value: float | None) -> str:
    return UNDEFINED if value is None else f"{100 * value:.1f} %"


def _duration(seconds: float | None) -> str:
    if seconds is None or math.isnan(seconds):
        return UNDEFINED
    for size, name in _UNITS_OF_TIME:
        if seconds >= size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.1f} seconds"
