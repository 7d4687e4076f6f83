"""What stands below pictures."""

import datetime as dt

import pytest

from dirtmodel.draw.captions import Review, Row, Subject, caption, label, reviews_of, said
from dirtmodel.draw.rings import Click

NOON = dt.datetime(2025, 7, 1, 12, tzinfo=dt.UTC)
COREG = Subject(
    img_id=90142,
    step="FMAP_COREGISTRATION",
    file1="sub-10003_ses-V1_task-rest_run-01_desc-coreg_boldref.nii.gz",
    display="X",
    slice=3,
    sub="10003",
    ses="V1",
    task="rest",
    run=1,
)
NAMELESS = Subject(img_id=7, step="DTIFIT", file1="../odd/dwi_FA.nii.gz", display="Z")


def later(seconds: float) -> dt.datetime:
    return NOON + dt.timedelta(seconds=seconds)


def test_a_caption_says_what_it_is_and_what_was_said() -> None:
    reviews = [
        Review("ann", "PASS"),
        Review("bob", "FAIL", source_data_issue=True, note="ghost\n <b>"),
    ]

    assert caption(COREG, reviews) == [
        "FMAP_COREGISTRATION, sub-10003 ses-V1 task-rest run-1, display X, slice 3 (image 90142)",
        "sub-10003_ses-V1_task-rest_run-01_desc-coreg_boldref.nii.gz",
        "2 reviews: FAIL by bob, PASS by ann, source data issue seen by bob",
        "bob: ghost <b>",
    ]


def test_without_entities_the_file_is_named_once() -> None:
    assert caption(NAMELESS, []) == [
        "DTIFIT, ../odd/dwi_FA.nii.gz, display Z (image 7)",
        "not reviewed",
    ]


def test_a_label_begins_with_what_tells_most() -> None:
    assert label(COREG, [Review(None, "UNSURE")]) == [
        "sub-10003 ses-V1 task-rest run-1",
        "fmap_coregistration, display X, slice 3",
        "image 90142: 1 review: UNSURE by unknown",
    ]


@pytest.mark.parametrize(
    ("reviews", "expected"),
    [
        ([], "not reviewed"),
        ([Review("ann", clicks=[Click(None, None)])], "1 review: nothing wrong by ann"),
        ([Review("ann", clicks=[Click(1.0, None)])], "1 review: 1 click by ann"),
        (
            [Review(r, clicks=[Click(1, 2), Click(3, 4)]) for r in ("ann", "bob")],
            "2 reviews: 2 clicks each by ann and bob",
        ),
        ([Review("ann", "PASS")] * 3, "3 reviews: PASS by ann (3 times)"),
        (
            [Review("ann", clicks=[Click(None, None)]), Review("bob", clicks=[Click(1, 2)])],
            "2 reviews: 1 click by bob, nothing wrong by ann",
        ),
    ],
)
def test_what_was_said_is_summed_up_the_worst_first(reviews: list[Review], expected: str) -> None:
    assert said(reviews) == expected


def test_a_long_note_is_cut() -> None:
    lines = caption(COREG, [Review("ann", "FAIL", note="x" * 500)])

    assert lines[-1] == f"ann: {'x' * 200}..."


def test_clicks_of_a_session_are_one_review_and_every_verdict_is_one() -> None:
    rows = [
        Row(1, "ann", later(3), note="first", click=Click(1, 2, "ann")),
        Row(1, "ann", later(4), click=Click(3, 4, "ann"), source_data_issue=True),
        Row(2, "ann", later(1), verdict="PASS"),
        Row(2, "ann", later(2), verdict="FAIL", note="on second thoughts"),
        Row(3, None, later(5), click=Click(None, None)),
    ]

    assert reviews_of(rows) == [
        Review("ann", "PASS"),
        Review("ann", "FAIL", note="on second thoughts"),
        Review("ann", None, (Click(1, 2, "ann"), Click(3, 4, "ann")), True, "first"),
        Review(None, None, (Click(None, None),)),
    ]
