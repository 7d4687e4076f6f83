"""The result of `Agreement`: as typed objects, and as a JSON object for other programs."""

import dataclasses
from typing import Any, Final, NamedTuple

from dirtmodel.irr import ClickAgreement, Coefficient, Estimate, OverPairs, Repeats
from dirtmodel.irr.contingency import MEASURES
from dirtmodel.irr.repeats import TIMES
from dirtmodel.models import Step
from dirtmodel.outputs import Report

FEW_COMMON_UNITS: Final = 10
"""A pair of raters with fewer common images is marked with `few`."""

MIXED: Final = "each session counts as a rater: this mixes agreement within and between raters"


@dataclasses.dataclass(frozen=True)
class Variable:
    """Agreement on one variable: the coefficients, and proportions that help to interpret them.

    `prevalence` and `specific_agreement` are by category. Of the images with two ratings or more,
    `unanimity` is the share whose ratings are all the same.
    """

    categories: tuple[str, ...]
    coefficients: list[Coefficient]
    prevalence: dict[str, Estimate]
    specific_agreement: dict[str, Estimate]
    unanimity: Estimate

    def coefficient(self, name: str, weights: str) -> Coefficient:
        """Return a coefficient: ("gwet_ac", "identity") or ("krippendorff_alpha", "ordinal"), say.

        Raises
        ------
        KeyError
            If there is no coefficient with this name and these weights.

        """
        for coefficient in self.coefficients:
            if (coefficient.name, coefficient.weights) == (name, weights):
                return coefficient
        raise KeyError((name, weights))


class RaterPrevalence(NamedTuple):
    """How often one rater used each category."""

    rater: str | int
    n: int
    prevalence: dict[str, Estimate]


class RaterPair(NamedTuple):
    """Agreement of two raters on the `n` images that both judged; `few` is true for less than ten.

    `estimates` has percent agreement, Cohen's kappa (also with linear weights), AC1, and Dice of
    the category that marks a bad image: twice the number of images that both rated FAIL (or clicked
    on), divided by the sum of the numbers of images that each did.
    """

    first: str | int
    second: str | int
    n: int
    estimates: dict[str, Estimate]
    few: bool

    @property
    def reason(self) -> str | None:
        """The reason why Cohen's kappa is undefined; None if it is defined."""
        kappa = self.estimates["cohen_kappa"]
        return kappa.reason if kappa.value is None else None


class LeftOutRater(NamedTuple):
    """Krippendorff's ordinal alpha of all other raters, and the difference to that of all."""

    rater: str | int
    alpha: Estimate
    change: Estimate


class RaterErrors(NamedTuple):
    """How often a rater recognises a bad image, and a good one (Dawid & Skene 1979)."""

    rater: str | int
    n_reviews: int
    sensitivity: float | None
    specificity: float | None


@dataclasses.dataclass(frozen=True)
class ClickResult:
    """Agreement on where and how often to click.

    `matched` and `chance` have one entry per tolerance in pixels. `counts` is Krippendorff's
    interval alpha of the numbers of clicks. `n_at_infinity` is the number of clicks at infinity,
    which matching leaves out.
    """

    matched: dict[float, ClickAgreement]
    chance: dict[float, float | None]
    counts: Coefficient
    n_at_infinity: int


@dataclasses.dataclass(frozen=True, repr=False)
class AgreementResult(Report):
    """The agreement of the raters of a step.

    A notebook shows its `text()`.

    Parameters
    ----------
    step, rater, cluster, prevalence_of, confidence, bootstrap, seed
        As in the query; `prevalence_of` is its `prevalence`.
    by_clicks, problem
        True if the step is judged by clicks; the category that marks a bad image.
    units, pairable_units
        Number of images with a review by a known rater, and with two reviews or more.
    reviews, raters
        Number of reviews that count, and of raters.
    clusters
        Number of subjects; None if images count as independent.
    unattributed_sessions
        Number of sessions without a user that judged images of this step. They are left out unless
        each session counts as a rater.
    crossed_rows
        Number of rows in the table that does not judge this step. They are left out.
    superseded
        Number of reviews that the same rater replaced by a later one. Only `repeats` uses them.
    judged
        Agreement on the verdicts or, on steps judged by clicks, on the presence of clicks.
    binary
        `source_data_issue`, and for verdicts `fail` (FAIL against the rest).
    raters_prevalence, pairs, over_pairs, leave_one_out, errors, repeats, clicks
        See their types. `pairs` and `leave_one_out` are empty with more than 200 raters. `clicks`
        is None on steps judged by verdict.

    """

    step: Step
    rater: str
    cluster: str | None
    prevalence_of: str
    confidence: float
    bootstrap: int | None
    seed: int
    by_clicks: bool
    problem: str
    units: int
    pairable_units: int
    reviews: int
    raters: int
    clusters: int | None
    unattributed_sessions: int
    crossed_rows: int
    superseded: int
    judged: Variable
    binary: dict[str, Variable]
    raters_prevalence: list[RaterPrevalence]
    pairs: list[RaterPair]
    over_pairs: dict[str, OverPairs]
    leave_one_out: list[LeftOutRater]
    errors: list[RaterErrors]
    repeats: dict[str, Repeats]
    clicks: ClickResult | None

    @property
    def coefficients(self) -> list[Coefficient]:
        """The coefficients of `judged`."""
        return self.judged.coefficients

    @property
    def note(self) -> str | None:
        """A warning about the raters; None if there is none."""
        return MIXED if self.rater == "session" else None

    def text(self) -> str:
        """Return the page that `dirtmodel agreement` prints."""
        from dirtmodel.queries.text.agreement import report

        return report(self)

    def __repr__(self) -> str:
        return f"<AgreementResult of {self.step.name}: {self.reviews:,} reviews>"

    def to_dict(self) -> dict[str, Any]:
        """Return the object that `dirtmodel agreement --format json` writes."""
        result: dict[str, Any] = {
            "step": self.step.name,
            "rater": self.rater,
            "units": self.units,
            "pairable_units": self.pairable_units,
            "reviews": self.reviews,
            "raters": self.raters,
            "unattributed_sessions": self.unattributed_sessions,
            "clusters": self.clusters,
            "note": self.note,
            "options": {
                "cluster": self.cluster,
                "prevalence": self.prevalence_of,
                "confidence": self.confidence,
                "bootstrap": self.bootstrap,
                "seed": self.seed,
            },
            "crossed_rows": self.crossed_rows,
            "superseded_reviews": self.superseded,
            **_variable(self.judged),
            "prevalence": {
                **_prevalence(self.judged.prevalence, "overall"),
                "by_rater": [
                    {"rater": r.rater, "n": r.n, **_prevalence(r.prevalence, "prevalence")}
                    for r in self.raters_prevalence
                ],
            },
            "pairs": [_pair(pair) for pair in self.pairs],
            "over_pairs": {name: over._asdict() for name, over in self.over_pairs.items()},
            "leave_one_out": [
                {
                    "rater": left.rater,
                    "alpha": left.alpha.value,
                    "change": left.change.value,
                    "reason": left.alpha.reason if left.alpha.value is None else None,
                    "estimates": _asdicts({"alpha": left.alpha, "change": left.change}),
                }
                for left in self.leave_one_out
            ],
            "error_rates": [errors._asdict() for errors in self.errors],
            "repeats": {
                **_repeats(self.repeats["all"]),
                "by_time": {name: _repeats(self.repeats[name]) for name in TIMES},
            },
            "binary": {
                name: {
                    **_variable(variable),
                    **_prevalence(variable.prevalence, "prevalence"),
                }
                for name, variable in self.binary.items()
            },
        }
        if self.clicks is not None:
            result["clicks"] = _clicks(self.clicks, self.judged)
        return result


def _variable(variable: Variable) -> dict[str, Any]:
    return {
        "categories": list(variable.categories),
        "coefficients": [c._asdict() for c in variable.coefficients],
        "specific_agreement": [
            {"category": category, **estimate._asdict()}
            for category, estimate in variable.specific_agreement.items()
        ],
        "unanimity": variable.unanimity._asdict(),
    }


def _prevalence(prevalence: dict[str, Estimate], key: str) -> dict[str, Any]:
    values = {category: estimate.value for category, estimate in prevalence.items()}
    return {key: values, "estimates": _asdicts(prevalence)}


def _asdicts(estimates: dict[str, Estimate]) -> dict[str, dict[str, Any]]:
    return {name: estimate._asdict() for name, estimate in estimates.items()}


def _pair(pair: RaterPair) -> dict[str, Any]:
    return {
        "first": pair.first,
        "second": pair.second,
        "n": pair.n,
        **{name: pair.estimates[name].value for name in MEASURES},
        "few": pair.few,
        "reason": pair.reason,
        "estimates": _asdicts(pair.estimates),
    }


def _repeats(repeats: Repeats) -> dict[str, Any]:
    values = {name: repeats.estimates[name].value for name in MEASURES}
    reasons = [e.reason for e in repeats.estimates.values() if e.value is None]
    return {
        "n": repeats.n,
        "table": repeats.table,
        **values,
        "median_gap_seconds": repeats.median_gap_seconds,
        "reason": reasons[0] if reasons else None,
        "estimates": _asdicts(repeats.estimates),
    }


def _clicks(clicks: ClickResult, judged: Variable) -> dict[str, Any]:
    measures = ("pooled_f1", "mean_f1", "mean_distance")
    return {
        "tolerances": [
            {
                "tolerance": tolerance,
                "n_pairs": matched.n_pairs,
                "n_clicked": matched.n_clicked,
                "n_matched": matched.n_matched,
                **{name: getattr(matched, name).value for name in measures},
                "chance_f1": clicks.chance[tolerance],
                "estimates": _asdicts({name: getattr(matched, name) for name in measures}),
            }
            for tolerance, matched in clicks.matched.items()
        ],
        "interval_alpha_of_counts": clicks.counts._asdict(),
        "any_click": [c._asdict() for c in judged.coefficients if c.weights == "identity"],
        "clicks_at_infinity": clicks.n_at_infinity,
    }


class GroupAgreement(NamedTuple):
    """The headline coefficients of a group of images; None if undefined, with the reason.

    `problems` is the share of ratings that mark a bad image: FAIL, or a click.
    """

    group: str | None
    n_images: int
    n_pairable: int
    n_raters: int
    n_subjects: int
    problems: float | None
    percent_agreement: float | None
    gwet_ac: float | None
    gwet_ac_low: float | None
    gwet_ac_high: float | None
    alpha: float | None
    alpha_low: float | None
    alpha_high: float | None
    reason: str | None
