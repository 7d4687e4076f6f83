"""Numbers with their nouns, as messages, captions and pages show them."""

from typing import Protocol


def count(n: int, noun: str) -> str:
    """Return a number with its noun.

    >>> count(1, "image"), count(2000, "image")
    ('1 image', '2,000 images')
    """
    return f"{n:,} {noun if n == 1 else f'{noun}s'}"


class Named(Protocol):
    """An enum member, or what stands for one."""

    @property
    def name(self) -> str:
        """The name that users see."""


def outcome(verdict: Named | None, n_clicks: int | None) -> str:
    """Return the outcome of a review: its verdict or its number of clicks.

    >>> outcome(None, 2), outcome(None, 0)
    ('2 clicks', 'nothing wrong')
    """
    if verdict is not None:
        return verdict.name
    return count(n_clicks, "click") if n_clicks else "nothing wrong"
