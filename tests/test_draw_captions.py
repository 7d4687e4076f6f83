"""The text below pictures."""

from types import SimpleNamespace
from typing import Any

import pytest

from dirtmodel.draw.captions import caption, label, rings_of, summary, verdicts_of
from dirtmodel.draw.rings import Click


def image(**known: Any) -> Any:
    unknown = dict.fromkeys(("slice", "sub", "ses", "task", "run"))
    named = {name: SimpleNamespace(name=known.pop(name)) for name in ("step", "display")}
    return SimpleNamespace(**{**unknown, **known, **named})


def review(rater: str | None, verdict: str | None = None, **more: Any) -> Any:
    usual = {"n_clicks": None, "source_data_issue": False, "notes": None, "decides": True}
    named = None if verdict is None else SimpleNamespace(name=verdict)
    return SimpleNamespace(**{**usual, "rater": rater, "verdict": named, **more})


COREG = image(
    id=90142,
    step="FMAP_COREGISTRATION",
    file1="sub-10003_ses-V1_task-rest_run-01_desc-coreg_boldref.nii.gz",
    display="X",
    slice=3,
    sub="10003",
    ses="V1",
    task="rest",
    run=1,
)
NAMELESS = image(id=7, step="DTIFIT", file1="../odd/dwi_FA.nii.gz", display="Z")


def test_a_caption_describes_the_picture_and_its_reviews() -> None:
    reviews = [
        review("ann", "PASS"),
        review("bob", "FAIL", source_data_issue=True, notes="ghost\n <b>"),
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
    assert label(COREG, [review(None, "UNSURE")]) == [
        "sub-10003 ses-V1 task-rest run-1",
        "fmap_coregistration, display X, slice 3",
        "image 90142: 1 review: UNSURE by unknown",
    ]


@pytest.mark.parametrize(
    ("reviews", "expected"),
    [
        ([], "not reviewed"),
        ([review("ann", n_clicks=0)], "1 review: nothing wrong by ann"),
        ([review("ann", n_clicks=1)], "1 review: 1 click by ann"),
        (
            [review(rater, n_clicks=2) for rater in ("ann", "bob")],
            "2 reviews: 2 clicks each by ann and bob",
        ),
        ([review("ann", "PASS")] * 3, "3 reviews: PASS by ann (3 times)"),
        (
            [review("ann", n_clicks=0), review("bob", n_clicks=1)],
            "2 reviews: 1 click by bob, nothing wrong by ann",
        ),
        (
            [review("ann", "RATING_3"), review("bob", "UNSURE")],
            "2 reviews: UNSURE by bob, RATING_3 by ann",
        ),
        (
            [review("ann", "FAIL", decides=False)],
            "not reviewed (1 review of the other kind does not count)",
        ),
        (
            [
                review("ann", "PASS"),
                review("bob", n_clicks=2, source_data_issue=True, decides=False),
                review("ann", n_clicks=0, decides=False),
            ],
            "1 review: PASS by ann (2 reviews of the other kind do not count)",
        ),
    ],
)
def test_reviews_are_summarised_the_worst_first(reviews: list[Any], expected: str) -> None:
    assert summary(reviews) == expected


def test_a_long_note_is_shortened() -> None:
    lines = caption(COREG, [review("ann", "FAIL", notes="x" * 500)])

    assert lines[-1] == f"ann: {'x' * 200}..."


def test_only_reviews_that_decide_are_drawn() -> None:
    reviews = [
        review("ann", session_id=1, n_clicks=1),
        review("ann", session_id=2, n_clicks=1, decides=False),
        review("bob", session_id=3, n_clicks=2),
        review("bob", "FAIL", session_id=3),
        review("bob", "UNSURE", session_id=2, decides=False),
        review("ann", "PASS", session_id=4),
    ]
    places = [(3, 5, 6), (1, 1, 2), (2, 3, 4), (3, 7, 8), (1, None, 3)]
    clicks: Any = [SimpleNamespace(session_id=n, x=x, y=y) for n, x, y in places]

    rings = rings_of(reviews, clicks)

    assert rings == [Click(1, 2, "ann"), Click(5, 6, "bob"), Click(7, 8, "bob")]
    assert verdicts_of(reviews) == ["FAIL", "PASS"]
