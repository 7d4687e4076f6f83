"""The entities in the file names of derivatives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirtmodel.entities import SCANS, Entities, parse, scan

NOTHING = Entities(None, None, None, None, None, None, None)

# One name of each step as DIRT's renderers make them, and what is in it.
NAMES = [
    (
        0,
        "sub-10003_ses-V1_desc-brain_mask.nii.gz",
        NOTHING._replace(sub="10003", ses="V1", desc="brain", suffix="mask"),
        "T1w",
    ),
    (
        1,
        "sub-10003_ses-V1_space-MNI152NLin2009cAsym_desc-preproc_T1w.nii.gz",
        NOTHING._replace(
            sub="10003", ses="V1", space="MNI152NLin2009cAsym", desc="preproc", suffix="T1w"
        ),
        "T1w",
    ),
    (
        2,
        "sub-10003_ses-V1/mri/ribbon.mgz",
        NOTHING._replace(sub="10003", ses="V1", suffix="ribbon"),
        "T1w",
    ),
    (
        3,
        "sub-10003_ses-V1_task-rest_run-01_desc-coreg_boldref.nii.gz",
        NOTHING._replace(sub="10003", ses="V1", task="rest", run=1, desc="coreg", suffix="boldref"),
        "rest1",
    ),
    (
        3,
        "/data/sub-10003/ses-V3/func/sub-10003_ses-V3_task-cuff_run-2_boldref.nii.gz",
        NOTHING._replace(sub="10003", ses="V3", task="cuff", run=2, suffix="boldref"),
        "cuff2",
    ),
    (
        4,
        "sub-10003_ses-V1_space-T1w_desc-preproc_dwi_FA.nii.gz",
        NOTHING._replace(sub="10003", ses="V1", space="T1w", desc="preproc", suffix="FA"),
        "dwi",
    ),
]


@pytest.mark.parametrize(("step", "file1", "entities", "name"), NAMES)
def test_names_of_dirt_are_parsed(step: int, file1: str, entities: Entities, name: str) -> None:
    assert parse(file1) == entities
    assert scan(step, entities) == name


@pytest.mark.parametrize(
    ("file1", "expected"),
    [
        ("brainmask_final.nii.gz", NOTHING._replace(suffix="final")),
        ("", NOTHING),
        ("sub-", NOTHING),
        ("mysub-10003_T1w.nii", NOTHING._replace(suffix="T1w")),
        ("sub-00042_T1w.nii", NOTHING._replace(sub="00042", suffix="T1w")),
        ("sub-a_run-one_bold.nii", NOTHING._replace(sub="a", suffix="bold")),
        ("sub-a_run-007_bold.nii", NOTHING._replace(sub="a", run=7, suffix="bold")),
        ("sub-a_sub-b_bold", NOTHING._replace(sub="a", suffix="bold")),
        ("sub-a_acq-x_dir-ap_bold.json", NOTHING._replace(sub="a", suffix="bold")),
        ("sub-a_run-12345678901_bold.nii", NOTHING._replace(sub="a", suffix="bold")),
    ],
)
def test_odd_names_are_parsed_as_far_as_possible(file1: str, expected: Entities) -> None:
    assert parse(file1) == expected


@pytest.mark.parametrize(
    ("step", "entities", "expected"),
    [
        (0, NOTHING, None),
        (3, NOTHING._replace(sub="1"), None),
        (3, NOTHING._replace(sub="1", task="rest"), None),
        (3, NOTHING._replace(sub="1", task="rest", run=3), None),
        (3, NOTHING._replace(sub="1", task="rest", run=0), None),
        (3, NOTHING._replace(sub="1", task="nback", run=1), None),
        (0, NOTHING._replace(sub="1", task="rest", run=2), "rest2"),
    ],
)
def test_scans_that_a2cps_does_not_name_have_none(
    step: int, entities: Entities, expected: str | None
) -> None:
    assert scan(step, entities) == expected


@given(st.text(), st.integers(0, 4))
def test_any_text_is_accepted(file1: str, step: int) -> None:
    found = parse(file1)
    assert found.run is None or 0 <= found.run < 2**31
    assert scan(step, found) in {None, *SCANS}
