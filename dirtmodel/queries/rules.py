"""The rules, levels and statuses of exclusions, and the row of their result."""

import enum
from typing import Any, Final, NamedTuple

from dirtmodel.errors import UsageError
from dirtmodel.models import Step


class Rule(enum.StrEnum):
    """When the verdicts on an image make it bad."""

    ANY_FAIL = "any-fail"
    MAJORITY = "majority"
    UNANIMOUS = "unanimous"
    MIN_FAILS = "min-fails"


class Unsure(enum.StrEnum):
    """How UNSURE is counted."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    IGNORE = "ignore"


class Level(enum.StrEnum):
    """The unit that is excluded as a whole."""

    TARGET = "target"
    SCAN = "scan"
    SESSION = "session"
    PARTICIPANT = "participant"


class Status(enum.StrEnum):
    """The result of a rule for a target, scan, session or participant."""

    EXCLUDED = "excluded"
    KEPT = "kept"
    UNREVIEWED = "unreviewed"
    PARTIAL = "partial"


KEYS: Final[dict[Level, tuple[str, ...]]] = {
    Level.TARGET: ("sub", "ses", "task", "run", "scan", "step", "file1"),
    Level.SCAN: ("sub", "ses", "task", "run", "scan"),
    Level.SESSION: ("sub", "ses"),
    Level.PARTICIPANT: ("sub",),
}


class Exclusion(NamedTuple):
    """The status of a target, scan, session or participant, and the evidence.

    Of the first seven fields, those that do not identify a unit of the level are None.
    """

    sub: str | None
    ses: str | None
    task: str | None
    run: int | None
    scan: str | None
    step: Step | None
    file1: str | None
    status: str
    n_images: int
    n_reviewed: int
    n_bad_images: int
    n_raters: int
    n_pass: int
    n_unsure: int
    n_fail: int
    n_clicks: int
    source_data_issue: bool
    image_ids: list[int]
    rule: str
    release: str | None


def columns_of(level: Level) -> list[str]:
    """Return the fields of `Exclusion` that are used at a level, in order."""
    unused = set(KEYS[Level.TARGET]) - set(KEYS[level])
    return [name for name in Exclusion._fields if name not in unused]


def member(kind: Any, value: Any, name: str) -> Any:
    """Return the member of an enum with this value, or raise a UsageError that lists all values."""
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(member.value for member in kind)
        raise UsageError(f"{value!r} is not a {name}; choose one of {known}") from None
