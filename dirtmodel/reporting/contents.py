"""The contents of the report, in the order of its sections; the template only arranges them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dirtmodel.pages import Picture, Table
from dirtmodel.reporting.gallery import Gallery


class Part(NamedTuple):
    """One part of a bar: its name, its number, and its place in percent of the width."""

    name: str
    n: int
    start: float
    width: float


class Bar(NamedTuple):
    """A bar whose parts add up to the whole width."""

    label: str
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, label: str, counts: dict[str, int]) -> "Bar":
        """Return a bar with a part for each name and number."""
        total = sum(counts.values()) or 1
        start, parts = 0.0, []
        for name, n in counts.items():
            parts.append(Part(name, n, start, 100 * n / total))
            start += 100 * n / total
        return cls(label, tuple(parts))

    @property
    def text(self) -> str:
        """The numbers in words."""
        return ", ".join(f"{part.n:,} {part.name}" for part in self.parts)


class Point(NamedTuple):
    """A value with its interval: as text, and as places on a scale in percent of its width."""

    label: str
    text: str
    value: float | None
    low: float | None
    high: float | None


class Forest(NamedTuple):
    """Values with intervals on one scale, from `least` to 1; `zero` is the place of 0 on it."""

    title: str
    points: tuple[Point, ...]
    least: str
    zero: float | None


class Shade(NamedTuple):
    """A number in a matrix, and the strength of its background in percent."""

    text: str
    strength: int


class Matrix(NamedTuple):
    """A matrix of numbers with numbered columns; a cell that is None is empty."""

    label: str
    corner: str
    names: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Shade | None, ...]], ...]
    more: str


class Week(NamedTuple):
    """The reviews of a week: a column of a chart, in percent of its width and height."""

    week: str
    n: int
    start: float
    width: float
    height: float


class StepCovered(NamedTuple):
    """The reviewed derivatives of a step: a bar for all of them, then one per cohort."""

    name: str
    bars: tuple[Bar, ...]


class StepAgreement(NamedTuple):
    """The agreement of the raters of one step."""

    name: str
    overlap: tuple[str, ...]
    pairs: Matrix | None
    repeats: Table | None
    warnings: tuple[str, ...]
    errors: tuple[tuple[Forest, ...], ...]
    following: Table | None


class Panel(NamedTuple):
    """A slice of a heat map."""

    picture: Picture
    caption: str


class HeatMap(NamedTuple):
    """The heat map of one display of one step; `peak` is the greatest density, as text."""

    name: str
    counts: tuple[str, ...]
    panels: tuple[Panel, ...]
    peak: str

    @property
    def size(self) -> int:
        """The number of bytes that its pictures take on the page."""
        return sum(panel.picture.size for panel in self.panels)


@dataclass(frozen=True)
class Report:
    """All contents of the page."""

    title: str
    facts: tuple[tuple[str, str], ...]
    files: Table | None
    summary: tuple[str, ...]
    coverage: Table | None
    covered: tuple[StepCovered, ...]
    rule: str
    rule_words: tuple[str, ...]
    statuses: Bar
    excluded: Table | None
    gallery: Gallery
    headline: tuple[Forest, ...]
    steps: tuple[StepAgreement, ...]
    clicks: tuple[HeatMap, ...]
    weeks: tuple[Week, ...]
    activity: Matrix | None
    unknown: Table | None
    findings: Table | None
    stale: Table | None
    crossed: str
    methods: tuple[str, ...]
    sources: Sequence[str]
