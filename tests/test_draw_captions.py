"""The text below pictures."""

import pytest

from dirtmodel.draw.captions import Review, Subject, caption, label, rings_of, said
from dirtmodel.draw.rings import Click

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


def test_a_caption_describes_the_picture_and_its_reviews() -> None:
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


def test_a_file_without_entities_is_named_once() -> None:
    assert caption(NAMELESS, []) == [
        "DTIFIT, ../odd/dwi_FA.nii.gz, display Z (image 7)",
        "not reviewed",
    ]


def test_a_label_begins_with_the_entities() -> None:
    assert label(COREG, [Review(None, "UNSURE")]) == [
        "sub-10003 ses-V1 task-rest run-1",
        "fmap_coregistration, display X, slice 3",
        "image 90142: 1 review: UNSURE by unknown",
    ]


@pytest.mark.parametrize(
    ("reviews", "expected"),
    [
        ([], "not reviewed"),
        ([Review("ann", n_clicks=0)], "1 review: nothing wrong by ann"),
        ([Review("ann", n_clicks=1)], "1 review: 1 click by ann"),
        (
            [Review(rater, n_clicks=2) for rater in ("ann", "bob")],
            "2 reviews: 2 clicks each by ann and bob",
        ),
        ([Review("ann", "PASS")] * 3, "3 reviews: PASS by ann (3 times)"),
        (
            [Review("ann", n_clicks=0), Review("bob", n_clicks=1)],
            "2 reviews: 1 click by bob, nothing wrong by ann",
        ),
        (
            [Review("ann", "RATING_3"), Review("bob", "UNSURE")],
            "2 reviews: UNSURE by bob, RATING_3 by ann",
        ),
        (
            [Review("ann", "FAIL", decides=False)],
            "not reviewed (1 review of the other kind does not count)",
        ),
        (
            [
                Review("ann", "PASS"),
                Review("bob", n_clicks=2, source_data_issue=True, decides=False),
                Review("ann", n_clicks=0, decides=False),
            ],
            "1 review: PASS by ann (2 reviews of the other kind do not count)",
        ),
    ],
)
def test_reviews_are_summarised_the_worst_first(reviews: list[Review], expected: str) -> None:
    assert said(reviews) == expected


def test_a_long_note_is_shortened() -> None:
    lines = caption(COREG, [Review("ann", "FAIL", note="x" * 500)])

    assert lines[-1] == f"ann: {'x' * 200}..."


def test_only_clicks_that_decide_are_drawn() -> None:
    first, second, other = Click(1, 2, "ann"), Click(3, 4, "bob"), Click(5, 6, "ann")
    reviews = [
        Review("ann", n_clicks=1, clicks=[first]),
        Review("ann", n_clicks=1, clicks=[other], decides=False),
        Review("bob", n_clicks=1, clicks=[second]),
    ]

    assert rings_of(reviews) == [first, second]
