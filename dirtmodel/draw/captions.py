"""The text below a picture: what it shows, and what its reviewers said."""

import collections
from collections.abc import Iterable, Sequence
from typing import Final

from dirtmodel.draw.info import ClickInfo, ImageInfo, ReviewInfo
from dirtmodel.draw.rings import Click

_WORST_FIRST: Final = ("FAIL", "UNSURE", "PASS")
_LONGEST_NOTE: Final = 200


def rings_of(reviews: Iterable[ReviewInfo], clicks: Iterable[ClickInfo]) -> list[Click]:
    """Return the clicks to draw: those that decide, the earliest review's first.

    Half a point is not a click.
    """
    of_session: dict[int, list[ClickInfo]] = {}
    for click in clicks:
        if click.x is None or click.y is None:
            continue
        of_session.setdefault(click.session_id, []).append(click)
    return [
        Click(click.x, click.y, review.rater)
        for review in reviews
        if review.decides and review.verdict is None
        for click in of_session.get(review.session_id, ())
    ]


def verdicts_of(reviews: Iterable[ReviewInfo]) -> list[str]:
    """Return the names of the verdicts that decide, the earliest first."""
    deciding = (review.verdict for review in reviews if review.decides)
    return [verdict.name for verdict in deciding if verdict is not None]


def entities(image: ImageInfo) -> str:
    """Write BIDS entities as in file names; the file's name where it has none."""
    if image.sub is None:
        return image.file1
    named = {"sub": image.sub, "ses": image.ses, "task": image.task, "run": image.run}
    return " ".join(f"{key}-{value}" for key, value in named.items() if value is not None)


def cut(image: ImageInfo) -> str:
    """Name the display axis and, where there is one, the slice."""
    display = f"display {image.display.name}"
    return display if image.slice is None else f"{display}, slice {image.slice}"


def caption(image: ImageInfo, reviews: Sequence[ReviewInfo]) -> list[str]:
    """Write the lines below a single picture: what, which file, what was said, notes."""
    lines = [f"{image.step.name}, {entities(image)}, {cut(image)} (image {image.id})"]
    if image.file1 != entities(image):
        lines.append(image.file1)
    lines.append(said(reviews))
    for review in reviews:
        if review.notes:
            note = " ".join(review.notes.split())
            note = note if len(note) <= _LONGEST_NOTE else f"{note[:_LONGEST_NOTE]}..."
            lines.append(f"{_name(review.rater)}: {note}")
    return lines


def label(image: ImageInfo, reviews: Sequence[ReviewInfo]) -> list[str]:
    """Write the lines below a picture of a sheet, the most telling first."""
    return [
        entities(image),
        f"{image.step.name.lower()}, {cut(image)}",
        f"image {image.id}: {said(reviews)}",
    ]


def said(reviews: Sequence[ReviewInfo]) -> str:
    """Summarise what reviewers said, the worst first.

    Reviews that decide nothing are counted separately.
    """
    deciding = [review for review in reviews if review.decides]
    text = _summary(deciding) if deciding else "not reviewed"
    if n_others := len(reviews) - len(deciding):
        verb = "does" if n_others == 1 else "do"
        text += f" ({_count(n_others, 'review')} of the other kind {verb} not count)"
    return text


def _summary(reviews: Sequence[ReviewInfo]) -> str:
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


def _finding(review: ReviewInfo) -> str:
    if review.verdict is not None:
        return review.verdict.name
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
