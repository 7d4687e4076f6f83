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


class _Sub(NamedTuple):
    sub: str | None


class _Ses(NamedTuple):
    ses: str | None


class _Scan(NamedTuple):
    task: str | None
    run: int | None
    scan: str | None


class _Target(NamedTuple):
    step: Step
    file1: str


class _Evidence(NamedTuple):
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


def _row_type(name: str, *parts: Any) -> Any:
    fields = [field for part in parts for field in part.__annotations__.items()]
    made = NamedTuple(name, fields)  # type: ignore[misc]  # the fields are those of the parts
    made.__module__ = __name__
    return made


ROW_TYPES: Final[dict[Level, Any]] = {
    Level.TARGET: _row_type("ExcludedTarget", _Sub, _Ses, _Scan, _Target, _Evidence),
    Level.SCAN: _row_type("ExcludedScan", _Sub, _Ses, _Scan, _Evidence),
    Level.SESSION: _row_type("ExcludedSession", _Sub, _Ses, _Evidence),
    Level.PARTICIPANT: _row_type("ExcludedParticipant", _Sub, _Evidence),
}


def member(kind: Any, value: Any, name: str) -> Any:
    """Find the member of one of these enums, or say which there are."""
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(member.value for member in kind)
        raise UsageError(f"{value!r} is no {name}; choose one of {known}") from None
