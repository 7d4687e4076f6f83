"""What is written below a picture: what it shows, and what its reviewers said."""

import collections
import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from dirtmodel.draw.rings import Click

_WORST_FIRST: Final = ("FAIL", "UNSURE", "PASS")
_LONGEST_NOTE: Final = 200


class Review(NamedTuple):
    """One session's judgement of one image: a verdict, or a set of clicks.

    Parameters
    ----------
    rater
        None is unknown.
    verdict
        DIRT's name; None where the judgement is by clicks.
    clicks
        The rows of `coordinate`, those without a position included.
    """

    rater: str | None
    verdict: str | None = None
    clicks: Sequence[Click] = ()
    source_data_issue: bool = False
    note: str | None = None

    @property
    def n_clicks(self) -> int:
        """Rows with a position, or at least a part of one."""
        return sum(click.is_click for click in self.clicks)


class Row(NamedTuple):
    """One row of `rating` or `coordinate`, with what its session says: one of the last two."""

    session: int
    rater: str | None
    created: dt.datetime
    source_data_issue: bool = False
    note: str | None = None
    verdict: str | None = None
    click: Click | None = None


def reviews_of(rows: Iterable[Row]) -> list[Review]:
    """Put the rows of one image together to reviews, the earliest first.

    Every verdict is one, and all clicks of a session are one. Their note is the last one that says
    anything.
    """
    reviews: dict[object, Review] = {}
    for row in sorted(rows, key=lambda row: row.created):
        if row.click is None:
            reviews[len(reviews), "verdict"] = Review(
                row.rater, row.verdict, (), row.source_data_issue, row.note
            )
            continue
        before = reviews.get(row.session, Review(row.rater))
        reviews[row.session] = before._replace(
            clicks=(*before.clicks, row.click),
            source_data_issue=before.source_data_issue or row.source_data_issue,
            note=row.note or before.note,
        )
    return list(reviews.values())


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a picture shows; step and display by DIRT's names."""

    img_id: int
    step: str
    file1: str
    display: str
    slice: int | None = None
    sub: str | None = None
    ses: str | None = None
    task: str | None = None
    run: int | None = None

    @property
    def entities(self) -> str:
        """BIDS entities as in file names; the file's name where it carries none.

        >>> Subject(img_id=1, step="MASK", file1="m.nii", display="X", sub="10003").entities
        'sub-10003'
        """
        named = {"sub": self.sub, "ses": self.ses, "task": self.task, "run": self.run}
        if self.sub is None:
            return self.file1
        return " ".join(f"{key}-{value}" for key, value in named.items() if value is not None)

    @property
    def cut(self) -> str:
        """Display axis and, where there is one, slice."""
        return f"display {self.display}" + ("" if self.slice is None else f", slice {self.slice}")


def caption(subject: Subject, reviews: Sequence[Review]) -> list[str]:
    """Write the lines below a single picture: what, which file, what was said, notes."""
    lines = [f"{subject.step}, {subject.entities}, {subject.cut} (image {subject.img_id})"]
    if subject.file1 != subject.entities:
        lines.append(subject.file1)
    lines.append(said(reviews))
    for review in reviews:
        if review.note:
            note = " ".join(review.note.split())
            note = note if len(note) <= _LONGEST_NOTE else f"{note[:_LONGEST_NOTE]}..."
            lines.append(f"{_name(review.rater)}: {note}")
    return lines


def label(subject: Subject, reviews: Sequence[Review]) -> list[str]:
    """Write the lines below a picture of a sheet, the most telling first."""
    return [
        subject.entities,
        f"{subject.step.lower()}, {subject.cut}",
        f"image {subject.img_id}: {said(reviews)}",
    ]


def said(reviews: Sequence[Review]) -> str:
    """Sum up what reviewers said, the worst first.

    Examples
    --------
    >>> said([Review("ann", "PASS"), Review("bob", "FAIL"), Review(None, "PASS")])
    '3 reviews: FAIL by bob, PASS by ann and unknown'
    >>> said([Review("ann", clicks=[Click(3, 4)]), Review("bob", clicks=[Click(None, None)])])
    '2 reviews: 1 click by ann, nothing wrong by bob'
    """
    if not reviews:
        return "not reviewed"
    judgements: dict[str, list[str]] = {verdict: [] for verdict in _WORST_FIRST}
    for review in sorted(reviews, key=lambda review: -review.n_clicks):
        judgements.setdefault(_judgement(review), []).append(_name(review.rater))
    parts = [
        f"{what} {'each ' if 'click' in what and by[1:] else ''}by {_names(by)}"
        for what, by in judgements.items()
        if by
    ]
    if blamed := [_name(review.rater) for review in reviews if review.source_data_issue]:
        parts.append(f"source data issue seen by {_names(blamed)}")
    return f"{_count(len(reviews), 'review')}: {', '.join(parts)}"


def _judgement(review: Review) -> str:
    if review.verdict is not None:
        return review.verdict
    return _count(review.n_clicks, "click") if review.n_clicks else "nothing wrong"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _name(rater: str | None) -> str:
    return "unknown" if rater is None else rater


def _names(raters: Iterable[str]) -> str:
    """List names; who reviewed several times is named once, with how often.

    >>> _names(["ann", "bob", "ann"])
    'ann (2 times) and bob'
    """
    counts = collections.Counter(raters)
    named = [name if n == 1 else f"{name} ({n} times)" for name, n in counts.items()]
    return " and ".join([", ".join(named[:-1]), named[-1]] if named[1:] else named)
