"""What `Agreement` gives: typed, and as the JSON object that other programs read."""

import dataclasses
from typing import Any, NamedTuple

from dirtmodel.models import DisplayMode, Step
from dirtmodel.queries.agreement.clicks import ClickAgreement
from dirtmodel.queries.agreement.coefficients import Coefficient
from dirtmodel.queries.agreement.tables import OverPairs

FEW_COMMON_UNITS = 10
"""A pair of raters with fewer images in common says little."""

MIXED = "each session counts as a rater: this mixes agreement within and between raters"


class Figure(NamedTuple):
    """One number; None where undefined, and `reason` says why."""

    value: float | None
    reason: str | None = None


@dataclasses.dataclass(frozen=True)
class Variable:
    """Agreement on one variable: the coefficients and what stands beside them.

    `prevalence` and `specific_agreement` are by category. Unanimity is the share of images with
    two ratings or more whose ratings are all the same.
    """

    categories: tuple[str, ...]
    coefficients: list[Coefficient]
    prevalence: dict[str, float | None]
    specific_agreement: dict[str, Figure]
    unanimity: Figure

    def coefficient(self, name: str, weights: str) -> Coefficient:
        """Find a coefficient, such as ("gwet_ac", "identity") or ("krippendorff_alpha", "ordinal").

        Raises
        ------
        KeyError
            Where there is none of that name under these weights.

        """
        for found in self.coefficients:
            if (found.name, found.weights) == (name, weights):
                return found
        raise KeyError((name, weights))


class RaterPrevalence(NamedTuple):
    """How often one rater used each category."""

    rater: str | int
    n: int
    prevalence: dict[str, float | None]


class Pair(NamedTuple):
    """Two raters on the images that both judged; `few` says that these are under ten.

    `dice` is of the last category: twice the images where both said FAIL (or clicked), over the
    sum of those where each did.
    """

    first: str | int
    second: str | int
    n: int
    percent_agreement: float | None
    cohen_kappa: float | None
    cohen_kappa_linear: float | None
    gwet_ac: float | None
    dice: float | None
    few: bool
    reason: str | None


class LeftOut(NamedTuple):
    """Krippendorff's ordinal alpha of all other raters, and by how much it is above that of all."""

    rater: str | int
    alpha: float | None
    change: float | None
    reason: str | None


class Repeats(NamedTuple):
    """A rater's earlier and next judgement of the same image.

    `table` is categories × categories, the earlier down, the later across.
    """

    n: int
    table: list[list[int]]
    percent_agreement: float | None
    cohen_kappa_linear: float | None
    gwet_ac: float | None
    median_gap_seconds: float | None
    reason: str | None


@dataclasses.dataclass(frozen=True)
class ClickResult:
    """Agreement on where and how often to click.

    `matched` has one entry per tolerance in pixels; `counts` is Krippendorff's interval alpha of
    the numbers of clicks; `n_nowhere` counts clicks at infinity, which are clicks but match none.
    """

    matched: dict[float, ClickAgreement]
    counts: Coefficient
    n_nowhere: int


@dataclasses.dataclass(frozen=True)
class AgreementResult:
    """Do the raters of a step agree?

    Parameters
    ----------
    step, rater, cluster, prevalence_of, confidence, bootstrap, seed
        As asked for.
    units, pairable_units
        Images with a rating of a known rater, and those with two or more.
    raters
        Number of raters.
    clusters
        Number of subjects, or None when units count as independent.
    unattributed_sessions
        Sessions without a user that judged images of this step; left out, unless each session
        counts as a rater.
    crossed_rows
        Rows in the table that does not judge this step; left out.
    superseded
        Reviews that the same rater replaced by a later one; left out but for `repeats`.
    judged
        The verdicts, or on click steps whether there are clicks.
    binary
        `source_data_issue`, and for verdicts `fail` (FAIL against the rest).
    raters_prevalence, pairs, over_pairs, leave_one_out, repeats, clicks
        See their types. Pairs and leave_one_out are empty with more than 200 raters; clicks is
        None for verdicts.
    """

    step: Step
    rater: str
    cluster: str | None
    prevalence_of: str
    confidence: float
    bootstrap: int | None
    seed: int
    units: int
    pairable_units: int
    raters: int
    clusters: int | None
    unattributed_sessions: int
    crossed_rows: int
    superseded: int
    judged: Variable
    binary: dict[str, Variable]
    raters_prevalence: list[RaterPrevalence]
    pairs: list[Pair]
    over_pairs: dict[str, OverPairs]
    leave_one_out: list[LeftOut]
    repeats: Repeats
    clicks: ClickResult | None

    @property
    def coefficients(self) -> list[Coefficient]:
        """Those of `judged`."""
        return self.judged.coefficients

    @property
    def note(self) -> str | None:
        """What a reader of the numbers must know about the raters."""
        return MIXED if self.rater == "session" else None

    def to_dict(self) -> dict[str, Any]:
        """Give the object that `dirtmodel agreement --format json` writes."""
        judged = self.judged
        found: dict[str, Any] = {
            "step": self.step.name,
            "rater": self.rater,
            "units": self.units,
            "pairable_units": self.pairable_units,
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
            "categories": list(judged.categories),
            "coefficients": [c._asdict() for c in judged.coefficients],
            "prevalence": {
                "overall": judged.prevalence,
                "by_rater": [r._asdict() for r in self.raters_prevalence],
            },
            "specific_agreement": _specific(judged),
            "unanimity": judged.unanimity._asdict(),
            "pairs": [pair._asdict() for pair in self.pairs],
            "over_pairs": {name: over._asdict() for name, over in self.over_pairs.items()},
            "leave_one_out": [left._asdict() for left in self.leave_one_out],
            "repeats": self.repeats._asdict(),
            "binary": {
                name: {
                    "categories": list(variable.categories),
                    "coefficients": [c._asdict() for c in variable.coefficients],
                    "prevalence": variable.prevalence,
                    "specific_agreement": _specific(variable),
                    "unanimity": variable.unanimity._asdict(),
                }
                for name, variable in self.binary.items()
            },
        }
        if self.clicks is not None:
            found["clicks"] = {
                "tolerances": [
                    {"tolerance": tolerance, **matched._asdict()}
                    for tolerance, matched in self.clicks.matched.items()
                ],
                "interval_alpha_of_counts": self.clicks.counts._asdict(),
                "any_click": [c._asdict() for c in judged.coefficients if c.weights == "identity"],
                "clicks_at_infinity": self.clicks.n_nowhere,
            }
        return found


def _specific(variable: Variable) -> list[dict[str, Any]]:
    return [
        {"category": category, **figure._asdict()}
        for category, figure in variable.specific_agreement.items()
    ]


class Disagreement(NamedTuple):
    """An image on which raters disagree.

    `disagreement` is the mean over pairs of its raters of the squared distance of their verdicts,
    1 for PASS against FAIL (on click steps, for clicks against none). `verdicts` has each rater's,
    as rater=FAIL; on click steps rater=number of clicks.
    """

    img_id: int
    file1: str
    file2: str | None
    display: DisplayMode
    slice: int | None
    sub: str | None
    ses: str | None
    scan: str | None
    n_raters: int
    disagreement: float
    verdicts: list[str]
