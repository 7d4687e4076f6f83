"""The text below a picture: what the picture shows, and the results of its reviews."""

import collections
from collections.abc import Iterable, Sequence
from typing import Final

from dirtmodel.draw.info import ClickInfo, ImageInfo, ReviewInfo
from dirtmodel.draw.rings import Click
from dirtmodel.wording import count, outcome

_WORST_FIRST: Final = ("FAIL", "UNSURE", "PASS")
_MAX_NOTE_LENGTH: Final = 200
"""Number of characters after which a note is cut."""


def rings_of(reviews: Iterable[ReviewInfo], clicks: Iterable[ClickInfo]) -> list[Click]:
    """Return the clicks to draw: those of the reviews that decide, in the order of the reviews.

    A row without x or without y is not a click.
    """
    clicks_of_session: dict[int, list[ClickInfo]] = {}
    for click in clicks:
        if click.x is None or click.y is None:
            continue
        clicks_of_session.setdefault(click.session_id, []).append(click)
    return [
        Click(click.x, click.y, review.rater)
        for review in reviews
        if review.decides and review.verdict is None
        for click in clicks_of_session.get(review.session_id, ())
    ]


def verdicts_of(reviews: Iterable[ReviewInfo]) -> list[str]:
    """Return the names of the verdicts that decide, in the order of the reviews."""
    deciding = (review.verdict for review in reviews if review.decides)
    return [verdict.name for verdict in deciding if verdict is not None]


def entities(image: ImageInfo) -> str:
    """Return the BIDS entities as in `sub-10003 ses-V1`, or the file name if it has none."""
    if image.sub is None:
        return image.file1
    named = {"sub": image.sub, "ses": image.ses, "task": image.task, "run": image.run}
    return " ".join(f"{key}-{value}" for key, value in named.items() if value is not None)


def cut(image: ImageInfo) -> str:
    """Return the name of the display axis and, if there is one, the number of the slice."""
    display = f"display {image.display.name}"
    return display if image.slice is None else f"{display}, slice {image.slice}"


def caption(image: ImageInfo, reviews: Sequence[ReviewInfo]) -> list[str]:
    """Return the lines below a single picture: the image, the file, the reviews, the notes."""
    lines = [f"{image.step.name}, {entities(image)}, {cut(image)} (image {image.id})"]
    if image.file1 != entities(image):
        lines.append(image.file1)
    lines.append(summary(reviews))
    for review in reviews:
        if review.notes:
            note = " ".join(review.notes.split())
            note = note if len(note) <= _MAX_NOTE_LENGTH else f"{note[:_MAX_NOTE_LENGTH]}..."
            lines.append(f"{_name(review.rater)}: {note}")
    return lines


def label(image: ImageInfo, reviews: Sequence[ReviewInfo]) -> list[str]:
    """Return the lines below a picture of a contact sheet, the most important first."""
    return [
        entities(image),
        f"{image.step.name.lower()}, {cut(image)}",
        f"image {image.id}: {summary(reviews)}",
    ]


def summary(reviews: Sequence[ReviewInfo]) -> str:
    """Summarise the reviews of a picture, the worst result first.

    Reviews that do not decide are only counted.
    """
    deciding = [review for review in reviews if review.decides]
    text = _results(deciding) if deciding else "not reviewed"
    if n_others := len(reviews) - len(deciding):
        verb = "does" if n_others == 1 else "do"
        text += f" ({count(n_others, 'review')} of the other kind {verb} not count)"
    return text


def _results(reviews: Sequence[ReviewInfo]) -> str:
    raters_of: dict[str, list[str]] = {verdict: [] for verdict in _WORST_FIRST}
    for review in sorted(reviews, key=lambda review: -(review.n_clicks or 0)):
        raters_of.setdefault(outcome(review.verdict, review.n_clicks), []).append(
            _name(review.rater)
        )
    parts = [
        f"{result} {'each ' if 'click' in result and raters[1:] else ''}by {_names(raters)}"
        for result, raters in raters_of.items()
        if raters
    ]
    if reporters := [_name(review.rater) for review in reviews if review.source_data_issue]:
        parts.append(f"source data issue seen by {_names(reporters)}")
    return f"{count(len(reviews), 'review')}: {', '.join(parts)}"


def _name(rater: str | None) -> str:
    return "unknown" if rater is None else rater


def _names(raters: Iterable[str]) -> str:
    """List each name once, with the number of times if there are several.

    >>> _names(["ann", "bob", "ann"])
    'ann (2 times) and bob'
    """
    counts = collections.Counter(raters)
    named = [name if n == 1 else f"{name} ({n} times)" for name, n in counts.items()]
    return " and ".join([", ".join(named[:-1]), named[-1]] if named[1:] else named)
