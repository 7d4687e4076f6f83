"""The BIDS entities in the name of a derivative: sub, ses, task, run, scan and others.

Pure functions, without a database.
"""

import functools
import re
from typing import Final, NamedTuple

SCANS: Final = ("T1w", "dwi", "cuff1", "cuff2", "rest1", "rest2")
"""Names of the raw acquisitions of A2CPS, the only values of `scan`."""

_SCAN_OF_STEP: Final = {0: "T1w", 1: "T1w", 2: "T1w", 4: "dwi"}
_MAX_DIGITS: Final = 9
"""Digits of the largest run number that is certain to fit into an integer column."""

_ENTITY: Final = re.compile(r"(?:^|[/_])(sub|ses|task|run|space|desc)-([A-Za-z0-9]+)")
_SUFFIX: Final = re.compile(r"(?:^|_)([A-Za-z0-9]+)(?:\.[A-Za-z0-9.]+)?$")


class Entities(NamedTuple):
    """The BIDS entities of one file name; None for those that it does not have."""

    sub: str | None
    ses: str | None
    task: str | None
    run: int | None
    space: str | None
    desc: str | None
    suffix: str | None


@functools.lru_cache(maxsize=65_536)  # all images of a target have the same file name
def parse(file1: str) -> Entities:
    """Read the entities of a file name or path. If an entity occurs twice, the first one counts.

    >>> parse("sub-10003_ses-V1_task-rest_run-01_desc-coreg_boldref.nii.gz")
    Entities(sub='10003', ses='V1', task='rest', run=1, space=None, desc='coreg', suffix='boldref')
    >>> parse("sub-10003_ses-V1/mri/ribbon.mgz").suffix
    'ribbon'
    """
    values: dict[str, str] = {}
    for key, value in _ENTITY.findall(file1):
        values.setdefault(key, value)
    run = values.get("run")
    suffix = _SUFFIX.search(file1.rpartition("/")[2])
    return Entities(
        sub=values.get("sub"),
        ses=values.get("ses"),
        task=values.get("task"),
        run=int(run) if run and run.isdecimal() and len(run) <= _MAX_DIGITS else None,
        space=values.get("space"),
        desc=values.get("desc"),
        suffix=suffix[1] if suffix else None,
    )


def scan(step: int, entities: Entities) -> str | None:
    """Return the raw acquisition of a derivative, one of `SCANS`, or None if it is unknown.

    A task in the file name takes precedence over the step: a file name with a task belongs to a
    functional run, never to a T1w or dwi scan.

    >>> scan(3, parse("sub-10003_ses-V1_task-cuff_run-02_desc-coreg_boldref.nii.gz"))
    'cuff2'
    >>> scan(0, parse("sub-10003_ses-V1_desc-brain_mask.nii.gz"))
    'T1w'
    """
    if entities.sub is None:
        return None
    if entities.task is None:
        return _SCAN_OF_STEP.get(step)
    name = f"{entities.task}{entities.run or ''}"
    return name if name in SCANS else None


_COHORTS: Final = (
    (10_000, "MCC1 knee"),
    (15_000, "MCC1 thoracic"),
    (20_000, "MCC2 thoracic"),
    (25_000, "MCC2 knee"),
)
_COHORT_SIZE: Final = 5_000


def cohort(sub: str) -> str | None:
    """Return the cohort of a participant's number, or None if the number is in no cohort's range.

    A cohort is a clinical centre (of about ten sites) and a kind of surgery. The number does not
    identify the site.

    >>> cohort("10003"), cohort("26001"), cohort("44906")
    ('MCC1 knee', 'MCC2 knee', None)
    """
    if not (sub.isdecimal() and sub.isascii()):
        return None
    for first, name in _COHORTS:
        if first <= int(sub) < first + _COHORT_SIZE:
            return name
    return None
