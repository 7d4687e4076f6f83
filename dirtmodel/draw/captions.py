"""The text below a picture: what it shows, and what its reviewers said."""

import collections
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from dirtmodel.draw.rings import Click

_WORST_FIRST: Final = ("FAIL", "UNSURE", "PASS")
_LONGEST_NOTE: Final = 200


class Review(NamedTuple):
    """One review of an image: a verdict, or a set of clicks.

    Parameters
    ----------
    rater
        None is unknown.
    verdict
        DIRT's name; None where the review is by clicks.
    n_clicks
        Number of clicks; None where the review is a verdict.
    clicks
        The clicks, to be drawn as rings.
    decides
        False for a review of the kind that does not decide about the image's step.
    """

    rater: str | None
    verdict: str | None = None
    n_clicks: int | None = None
    clicks: Sequence[Click] = ()
    source_data_issue: bool = False
    note: str | None = None
    decides: bool = True


def rings_of(reviews: Iterable[Review]) -> list[Click]:
    """Return the clicks to draw: those that decide, the earliest review's first."""
    return [click for review in reviews if review.decides for click in review.clicks]


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
    """Summarise what reviewers said, the worst first.

    Reviews that decide nothing are counted separately.

    Examples
    --------
    >>> said([Review("ann", "PASS"), Review("bob", "FAIL"), Review(None, "PASS")])
    '3 reviews: FAIL by bob, PASS by ann and unknown'
    >>> said([Review("ann", n_clicks=1), Review("bob", n_clicks=0)])
    '2 reviews: 1 click by ann, nothing wrong by bob'
    >>> said([Review("ann", "FAIL", decides=False)])
    'not reviewed (1 review of the other kind does not count)'
    """
    deciding = [review for review in reviews if review.decides]
    text = _summary(deciding) if deciding else "not reviewed"
    if n_others := len(reviews) - len(deciding):
        verb = "does" if n_others == 1 else "do"
        text += f" ({_count(n_others, 'review')} of the other kind {verb} not count)"
    return text


def _summary(reviews: Sequence[Review]) -> str:
    findings: dict[str, list[str]] = {verdict: [] for verdict in _WORST_FIRST}
    for review in sorted(reviews, key=lambda review: -(review.n_clicks or 0)):
        findings.setdefault(_finding(review), []).append(_name(review.rater))
    parts = [
        f"{what} {'each ' if 'click' in what and by[1:] else ''}by {_names(by)}"
        for what, by in findings.items()
        if by
    ]
    if blamed := [_name(review.rater) for review in reviews if review.source_data_issue]:
        parts.append(f"source data issue seen by {_names(blamed)}")
    return f"{_count(len(reviews), 'review')}: {', '.join(parts)}"


def _finding(review: Review) -> str:
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
