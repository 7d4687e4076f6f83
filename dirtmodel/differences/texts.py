"""Long texts, shortened where many rows are in memory or on a page."""

import hashlib
from typing import Any, Final, Self

_LONGEST: Final = 500
"""The largest number of characters of a text that is not shortened."""


class LongText(str):
    """The start of a long text and the number of its other characters.

    It is equal only to the same start of the same text.
    """

    __slots__ = ("digest",)

    digest: bytes

    @classmethod
    def of(cls, text: str) -> Self:
        """Shorten a text."""
        short = cls(f"{text[:_LONGEST]}… ({len(text) - _LONGEST:,} more characters)")
        short.digest = hashlib.sha256(text.encode()).digest()
        return short

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LongText) and self.digest == other.digest

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self.digest)


def shortened(value: Any) -> Any:
    """Return a long text as a `LongText`, and any other value unchanged.

    >>> shortened("a" * 500) == "a" * 500
    True
    >>> shortened("a" * 500 + "b" * 1_000)[495:]
    'aaaaa… (1,000 more characters)'
    """
    return LongText.of(value) if isinstance(value, str) and len(value) > _LONGEST else value
