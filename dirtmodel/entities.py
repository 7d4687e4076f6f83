"""What a derivative's file name says: file1 → sub, ses, task, run, scan and the rest.

Pure functions; nothing here knows of a database.
"""

import functools
import re
from typing import Final, NamedTuple

SCANS: Final = ("T1w", "dwi", "cuff1", "cuff2", "rest1", "rest2")
"""The raw acquisitions that A2CPS names; anything else has no `scan`."""

_SCAN_OF_STEP: Final = {0: "T1w", 1: "T1w", 2: "T1w", 4: "dwi"}
_MAX_DIGITS: Final = 9
"""Of a run: what an integer column holds."""

_ENTITY: Final = re.compile(r"(?:^|[/_])(sub|ses|task|run|space|desc)-([A-Za-z0-9]+)")
_SUFFIX: Final = re.compile(r"(?:^|_)([A-Za-z0-9]+)(?:\.[A-Za-z0-9.]+)?$")


class Entities(NamedTuple):
    """BIDS entities of one file name; None where the name does not carry one."""

    sub: str | None
    ses: str | None
    task: str | None
    run: int | None
    space: str | None
    desc: str | None
    suffix: str | None


@functools.lru_cache(maxsize=65_536)  # a target's name comes once for each of its many images
def parse(file1: str) -> Entities:
    """Read the entities of a file name or path, the first occurrence of each.

    >>> parse("sub-10003_ses-V1_task-rest_run-01_desc-coreg_boldref.nii.gz")
    Entities(sub='10003', ses='V1', task='rest', run=1, space=None, desc='coreg', suffix='boldref')
    >>> parse("sub-10003_ses-V1/mri/ribbon.mgz").suffix
    'ribbon'
    """
    found: dict[str, str] = {}
    for key, value in _ENTITY.findall(file1):
        found.setdefault(key, value)
    run = found.get("run")
    suffix = _SUFFIX.search(file1.rpartition("/")[2])
    return Entities(
        sub=found.get("sub"),
        ses=found.get("ses"),
        task=found.get("task"),
        run=int(run) if run and run.isdecimal() and len(run) <= _MAX_DIGITS else None,
        space=found.get("space"),
        desc=found.get("desc"),
        suffix=suffix[1] if suffix else None,
    )


def scan(step: int, entities: Entities) -> str | None:
    """Name the raw acquisition behind a derivative, one of `SCANS`, or None where unknown.

    A task in the name wins over the step: a derivative of a functional run is never a T1w's.

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
    """Return the cohort that a participant's number belongs to, or None if it is outside all.

    A cohort is a clinical centre of about ten sites and a kind of surgery; the number does not
    contain the site.

    >>> cohort("10003"), cohort("26001"), cohort("44906")
    ('MCC1 knee', 'MCC2 knee', None)
    """
    if not (sub.isdecimal() and sub.isascii()):
        return None
    for first, name in _COHORTS:
        if first <= int(sub) < first + _COHORT_SIZE:
            return name
    return None
