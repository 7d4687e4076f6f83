"""The words in which exclusions are asked for and told."""

import enum
from typing import Any, Final, NamedTuple

from dirtmodel.errors import UsageError
from dirtmodel.models import Step


class Rule(enum.StrEnum):
    """How the verdicts on an image make it bad (fieldmap coregistration, diffusion)."""

    ANY_FAIL = "any-fail"
    MAJORITY = "majority"
    UNANIMOUS = "unanimous"
    MIN_FAILS = "min-fails"


class Unsure(enum.StrEnum):
    """What an UNSURE counts as."""

    PASS = "pass"  # noqa: S105 - a verdict, no password
    FAIL = "fail"
    IGNORE = "ignore"


class Level(enum.StrEnum):
    """What is excluded as a whole."""

    TARGET = "target"
    SCAN = "scan"
    SESSION = "session"
    PARTICIPANT = "participant"


class Status(enum.StrEnum):
    """What becomes of it."""

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


class ExcludedTarget(NamedTuple):
    """What becomes of a derivative, and why."""

    sub: str | None
    ses: str | None
    task: str | None
    run: int | None
    scan: str | None
    step: Step
    file1: str
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


class ExcludedScan(NamedTuple):
    """What becomes of a scan, and why."""

    sub: str | None
    ses: str | None
    task: str | None
    run: int | None
    scan: str | None
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


class ExcludedSession(NamedTuple):
    """What becomes of a participant's visit, and why."""

    sub: str | None
    ses: str | None
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


class ExcludedParticipant(NamedTuple):
    """What becomes of a participant, and why."""

    sub: str | None
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


Excluded = ExcludedTarget | ExcludedScan | ExcludedSession | ExcludedParticipant

ROW_TYPES: Final[dict[Level, type[Excluded]]] = {
    Level.TARGET: ExcludedTarget,
    Level.SCAN: ExcludedScan,
    Level.SESSION: ExcludedSession,
    Level.PARTICIPANT: ExcludedParticipant,
}


def member(kind: Any, value: Any, name: str) -> Any:
    """Find the member of one of these enums, or say which there are."""
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(member.value for member in kind)
        raise UsageError(f"{value!r} is no {name}; choose one of {known}") from None
