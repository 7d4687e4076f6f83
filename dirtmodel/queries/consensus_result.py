"""The result of `Consensus`: as typed objects, and as a JSON object for other programs."""

import enum
import html
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from dirtmodel.models import DisplayMode, Step
from dirtmodel.outputs import Report, table_html, table_text
from dirtmodel.queries.results import Rows

if TYPE_CHECKING:
    import pyarrow as pa


class Level(enum.StrEnum):
    """The unit that has one true verdict."""

    IMAGE = "image"
    TARGET = "target"
    SCAN = "scan"


KEYS: Final[dict[Level, tuple[str, ...]]] = {
    Level.IMAGE: ("img_id",),
    Level.TARGET: ("target_id", "file1", "sub", "ses", "scan"),
    Level.SCAN: ("sub", "ses", "scan"),
}
"""The columns that name an image, a target or a scan."""


class ConsensusRater(NamedTuple):
    """How often a rater chooses each verdict, given the true one.

    `confusion` is by true verdict, then by choice. Sensitivity is how often the rater chooses FAIL
    (or clicks) if that is true; specificity is how often the rater does not if another verdict is
    true. Their 95 % intervals are clustered by subject. `reason` explains values that are None.
    """

    rater: str
    n_reviews: int
    sensitivity: float | None
    specificity: float | None
    sensitivity_low: float | None
    sensitivity_high: float | None
    specificity_low: float | None
    specificity_high: float | None
    reason: str | None
    confusion: dict[str, dict[str, float | None]]


class RaterRates(NamedTuple):
    """The columns of `ConsensusRater` without `confusion`."""

    rater: str
    n_reviews: int
    sensitivity: float | None
    specificity: float | None
    sensitivity_low: float | None
    sensitivity_high: float | None
    specificity_low: float | None
    specificity_high: float | None
    reason: str | None


class Judged(NamedTuple):
    """The most likely verdict of an image, target or scan, and the probability of each.

    The fields that do not identify a unit of this level are None.
    """

    img_id: int | None
    target_id: int | None
    file1: str | None
    sub: str | None
    ses: str | None
    scan: str | None
    n_raters: int
    verdict: str
    probabilities: dict[str, float]


class NextReview(NamedTuple):
    """An image that is worth one more review.

    `bits` is the expected information of the review about the true verdict. `verdict` is the most
    likely one so far; it is None if the image has no review.
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
    verdict: str | None
    probability: float
    bits: float


@dataclass(frozen=True, repr=False)
class ConsensusResult(Report):
    """The fitted model of Dawid and Skene (1979).

    A notebook shows the warnings, the raters and the first rows.

    Parameters
    ----------
    step, level, prior
        As in the query.
    categories
        The verdicts that a rater can choose.
    prevalence
        How often each category is the true one.
    raters, judged
        See their types; `judged` has each unit with a review.
    iterations, converged
        Number of iterations of the algorithm; true if it converged.
    warnings
        Reasons not to trust these numbers.

    """

    step: Step
    level: Level
    prior: float
    categories: tuple[str, ...]
    prevalence: dict[str, float | None]
    raters: list[ConsensusRater]
    judged: list[Judged]
    iterations: int
    converged: bool
    warnings: list[str]

    def text(self) -> str:
        """Return the table that `dirtmodel consensus` prints."""
        return table_text(self.columns, list(self.rows()))

    def __repr__(self) -> str:
        return f"<ConsensusResult of {self.step.name}: {len(self.judged):,} {self.level}s>"

    def _repr_html_(self) -> str:
        """Show warnings, raters and the first rows in a notebook."""
        warned = "".join(f"<p>Warning: {html.escape(text)}.</p>\n" for text in self.warnings)
        rows = table_html(self.columns, list(self.rows()))
        return f"{warned}{self.rates()._repr_html_()}\n{rows}"

    def to_dict(self) -> dict[str, Any]:
        """Return the object that `dirtmodel consensus --format json` writes."""
        keys = KEYS[self.level]
        return {
            "step": self.step.name,
            "level": str(self.level),
            "prior": self.prior,
            "categories": list(self.categories),
            "prevalence": self.prevalence,
            "iterations": self.iterations,
            "converged": self.converged,
            "warnings": self.warnings,
            "raters": [rater._asdict() for rater in self.raters],
            f"{self.level}s": [
                {
                    **{key: getattr(row, key) for key in keys},
                    "n_raters": row.n_raters,
                    "verdict": row.verdict,
                    "probabilities": row.probabilities,
                }
                for row in self.judged
            ],
        }

    def rates(self) -> Rows[RaterRates]:
        """Return the error rates that `dirtmodel consensus --raters` prints."""
        return Rows(RaterRates, [RaterRates._make(rater[:-1]) for rater in self.raters])

    @property
    def columns(self) -> list[str]:
        """The columns of `rows`."""
        probabilities = [f"p_{category.lower()}" for category in self.categories]
        return [*KEYS[self.level], "n_raters", "verdict", *probabilities]

    @property
    def schema(self) -> "pa.Schema":
        """The Arrow types of `columns`."""
        import pyarrow as pa

        types = {"img_id": pa.int64(), "target_id": pa.int64(), "n_raters": pa.int64()}
        return pa.schema(
            [
                (name, types.get(name, pa.float64() if name.startswith("p_") else pa.string()))
                for name in self.columns
            ]
        )

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield one row per image, target or scan, with a column for each probability."""
        for row in self.judged:
            keys = [getattr(row, key) for key in KEYS[self.level]]
            yield (*keys, row.n_raters, row.verdict, *row.probabilities.values())
