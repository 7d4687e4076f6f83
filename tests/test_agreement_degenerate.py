"""Releases with too little data: every command explains what is undefined, without NaN."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner

import dirtmodel as dm
from dirtmodel import sample
from dirtmodel.cli import main

FMAP, MASK = 3, 0
# Subject → rater → (verdicts, or numbers of clicks) of the images that the rater reviewed.
Reviews = dict[int, dict[str | None, list[int | None]]]

CASES: dict[str, Reviews] = {
    "no reviews": {0: {}},
    "nobody known": {0: {None: [0, 2]}, 1: {None: [0, 0]}},
    "one rater": {0: {"ann": [0, 2]}, 1: {"ann": [0, 0]}},
    "one image": {0: {"ann": [0], "bob": [2]}},
    "one subject": {0: {"ann": [0, 2, 0], "bob": [0, 0, 0], "cyd": [2, 2, 0]}},
    "only PASS": {s: {"ann": [0, 0], "bob": [0, 0], "cyd": [0, 0]} for s in range(4)},
    "only FAIL": {s: {"ann": [2, 2], "bob": [2, 2]} for s in range(4)},
    "no common images": {s: {"ann": [0, None], "bob": [None, 2]} for s in range(4)},
    "two who never agree": {s: {"ann": [0, 2], "bob": [2, 0]} for s in range(4)},
    "names in any script": {s: {"Ω\u0301 ωμέγα": [0, 2], "評価者": [0, 0]} for s in range(3)},
}


def write(folder: Path, step: int, reviews: Reviews) -> Path:
    """Write a release whose images are those of `reviews`, two or three per subject."""
    tables = sample.make_tables(subjects=1, slices=1, pictures="tiny", hazards=False)
    (img, *_) = (
        row["img"] for row in tables["image"].to_pylist() if (row["step"] == FMAP) == (step == FMAP)
    )
    when = pa.timestamp("us", tz="UTC")
    users = sorted({user for raters in reviews.values() for user in raters}, key=str)
    images: list[tuple[int, str, int]] = []
    rows: list[tuple[int, int, int]] = []
    for subject, raters in reviews.items():
        width = max(map(len, raters.values()), default=2)
        for place in range(width):
            image = len(images)
            name = f"sub-{10000 + subject}_ses-V1_task-rest_run-01_desc-coreg_boldref.nii.gz"
            images.append((image, name, place))
            for user, values in raters.items():
                if values[place] is not None:
                    rows.append((image, users.index(user), values[place]))
    n = len(images)
    made: dict[str, Any] = {
        "session": {
            "id": pa.array(range(len(users)), pa.int64()),
            "step": pa.array([step] * len(users), pa.int64()),
            "user": pa.array(users, pa.large_string()),
            "created": pa.array([0] * len(users), when),
        },
        "image": {
            "id": pa.array(range(n), pa.int64()),
            "img": pa.array([img] * n, pa.large_binary()),
            "slice": pa.array([place for *_, place in images], pa.int64()),
            "file1": pa.array([name for _, name, _ in images], pa.large_string()),
            "file2": pa.array([None] * n, pa.large_string()),
            "display": pa.array([0] * n, pa.int64()),
            "step": pa.array([step] * n, pa.int64()),
            "created": pa.array([0] * n, when),
        },
        "rating": reviewed([] if step == MASK else rows, when, clicks=False),
        "coordinate": reviewed(rows if step == MASK else [], when, clicks=True),
    }
    return sample.write_tables({name: pa.table(columns) for name, columns in made.items()}, folder)


def reviewed(rows: list[tuple[int, int, int]], when: pa.DataType, *, clicks: bool) -> Any:
    if clicks:
        # One row per click; a review without clicks is a row without x and y.
        rows = [
            (image, user, n) for image, user, number in rows for n in (range(1, number + 1) or [0])
        ]
    values = [value for *_, value in rows]
    places = [None if value == 0 else float(10 * value) for value in values]
    return {
        "id": pa.array(range(len(rows)), pa.int64()),
        "source_data_issue": pa.array([False] * len(rows), pa.bool_()),
        **(
            {"x": pa.array(places, pa.float64()), "y": pa.array(places, pa.float64())}
            if clicks
            else {"rating": pa.array(values, pa.int64())}
        ),
        "img_id": pa.array([image for image, *_ in rows], pa.int64()),
        "session": pa.array([user for _, user, _ in rows], pa.int64()),
        "notes": pa.array([None] * len(rows), pa.large_string()),
        "created": pa.array([0] * len(rows), when),
    }


Run = Callable[..., str]


@pytest.fixture(
    scope="module", params=[(step, case) for step in (FMAP, MASK) for case in CASES], ids=str
)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    step, case = request.param
    folder = tmp_path_factory.mktemp("degenerate")
    dm.load(write(folder / "release", step, CASES[case]), folder / "dirt.db")

    def invoke(command: str, *options: str) -> str:
        place = ["--db", str(folder / "dirt.db"), "--step", str(step)]
        result = CliRunner().invoke(main, [command, *place, *options], catch_exceptions=False)
        assert result.exit_code == 0, result.stderr
        return result.stdout

    return invoke


def undefined(found: Any) -> list[Any]:
    """Collect the objects in a JSON value that have a `reason`."""
    if isinstance(found, list):
        return [entry for part in found for entry in undefined(part)]
    if not isinstance(found, dict):
        return []
    inner = [entry for part in found.values() for entry in undefined(part)]
    return [*inner, *([found] if {"value", "reason"} <= found.keys() else [])]


def test_undefined_numbers_are_null_with_a_reason(run: Run) -> None:
    found = json.loads(run("agreement", "--format", "json"), parse_constant=pytest.fail)

    for estimate in undefined(found):
        assert (estimate["value"] is None) <= bool(estimate["reason"]), estimate
        assert (estimate["ci_low"] is None) <= bool(estimate["reason"]), estimate
        assert estimate["ci_low"] is None or estimate["ci_low"] < estimate["ci_high"]


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--methods",),
        ("--disagreements",),
        ("--by", "slice"),
        ("--by", "cohort"),
        ("--cluster", "none"),
        ("--rater", "session"),
        ("--bootstrap", "20"),
        ("--prevalence", "pairable"),
    ],
    ids=" ".join,
)
def test_agreement_is_explained_in_words(options: tuple[str, ...], run: Run) -> None:
    text = run("agreement", *options)

    assert "nan" not in text.lower().split()


@pytest.mark.parametrize(
    "options",
    [(), ("--level", "target"), ("--level", "scan"), ("--prior", "0"), ("--next", "3")],
    ids=" ".join,
)
def test_consensus_is_finite(options: tuple[str, ...], run: Run) -> None:
    json.loads(run("consensus", *options, "--format", "json"), parse_constant=pytest.fail)
