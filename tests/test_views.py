"""The views for ad hoc SQL and the table `review`, compared with plain Python."""

import datetime as dt
import hashlib
import re
from collections import defaultdict
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

STEPS = ["MASK", "SPATIAL_NORMALIZATION", "SURFACE_LOCALIZATION", "FMAP_COREGISTRATION", "DTIFIT"]
DISPLAYS = ["X", "Y", "Z"]
VERDICTS = ["PASS", "UNSURE", "FAIL"]
ENTITIES = ["sub", "ses", "task", "run", "scan", "space", "desc", "suffix"]

COLUMNS = {
    "image_labels": [
        *("id", "step", "display", "slice", "file1", "file2", "created"),
        *ENTITIES,
        *("target_id", "format", "width", "height", "n_bytes", "sha256"),
    ],
    "rating_labels": [
        *("id", "rating", "source_data_issue", "notes", "created", "session", "rater"),
        *("session_step", "img_id", "step", "display", "slice", "file1", "file2"),
        *ENTITIES,
        "target_id",
    ],
    "coordinate_labels": [
        *("id", "x", "y", "source_data_issue", "notes", "created", "session", "rater"),
        *("session_step", "img_id", "step", "display", "slice", "file1", "file2"),
        *ENTITIES,
        "target_id",
    ],
    "review_labels": [
        *("kind", "id", "verdict", "n_clicks", "decides", "latest", "source_data_issue"),
        *("notes", "created", "session", "rater", "session_step", "img_id", "step", "display"),
        *("slice", "file1", "file2"),
        *ENTITIES,
        "target_id",
    ],
    "review": [
        *("img_id", "kind", "id", "target_id", "session", "rater", "step", "created"),
        *("verdict", "n_clicks", "source_data_issue", "decides", "latest", "notes"),
    ],
}

Tables = dict[str, list[dict[str, Any]]]


def entities(step: int, file1: str) -> dict[str, Any]:
    """Return the entities of a name by the rules of BIDS."""
    words = re.split(r"[/_]", file1)
    pairs: dict[str, str] = {}
    for word in words:
        key, dash, value = word.partition("-")
        if dash:
            pairs.setdefault(key, re.match(r"[A-Za-z0-9]*", value)[0])
    last = file1.rsplit("/", maxsplit=1)[-1].rsplit("_", maxsplit=1)[-1].split(".", maxsplit=1)[0]
    run = int(pairs["run"]) if "run" in pairs else None
    scan = {0: "T1w", 1: "T1w", 2: "T1w", 4: "dwi"}.get(step)
    if "task" in pairs:
        scan = f"{pairs['task']}{run}"
    return {
        "sub": pairs.get("sub"),
        "ses": pairs.get("ses"),
        "task": pairs.get("task"),
        "run": run,
        "scan": scan if "sub" in pairs else None,
        "space": pairs.get("space"),
        "desc": pairs.get("desc"),
        "suffix": last,
    }


def target_ids(tables: Tables) -> dict[tuple[int, str], int]:
    keys = sorted({(image["step"], image["file1"]) for image in tables["image"]})
    return {key: number for number, key in enumerate(keys, 1)}


def of_image(image: dict[str, Any], targets: dict[tuple[int, str], int]) -> dict[str, Any]:
    return {
        "step": STEPS[image["step"]],
        "display": DISPLAYS[image["display"]],
        "slice": image["slice"],
        "file1": image["file1"],
        "file2": image["file2"],
        **entities(image["step"], image["file1"]),
        "target_id": targets[image["step"], image["file1"]],
    }


def expected_images(tables: Tables) -> list[dict[str, Any]]:
    targets = target_ids(tables)
    return [
        {
            "id": image["id"],
            **of_image(image, targets),
            "created": image["created"],
            "format": "GIF" if image["img"].startswith(b"GIF") else "PNG",
            "width": size(image["img"])[0],
            "height": size(image["img"])[1],
            "n_bytes": len(image["img"]),
            "sha256": hashlib.sha256(image["img"]).hexdigest(),
        }
        for image in tables["image"]
    ]


def size(img: bytes) -> tuple[int, int]:
    import io

    from PIL import Image

    with Image.open(io.BytesIO(img)) as opened:
        return opened.size


def expected_reviewed(tables: Tables, kind: str) -> list[dict[str, Any]]:
    """Join verdicts or clicks with their image and session."""
    targets = target_ids(tables)
    images = {image["id"]: image for image in tables["image"]}
    sessions = {session["id"]: session for session in tables["session"]}
    rows = []
    for row in tables[kind]:
        session = sessions[row["session"]]
        found = row | of_image(images[row["img_id"]], targets)
        found |= {"rater": session["user"], "session_step": STEPS[session["step"]]}
        if kind == "rating":
            found["rating"] = VERDICTS[row["rating"]]
        rows.append(found)
    return rows


def expected_labelled_reviews(tables: Tables) -> list[dict[str, Any]]:
    names = COLUMNS["review_labels"]
    reviews = [
        {
            "kind": "rating",
            "verdict": row["rating"],
            "n_clicks": None,
            **{name: row[name] for name in names if name in row},
        }
        for row in expected_reviewed(tables, "rating")
    ]
    submitted = defaultdict(list)
    for row in expected_reviewed(tables, "coordinate"):
        submitted[row["img_id"], row["session"]].append(row)
    for rows in submitted.values():
        rows.sort(key=lambda row: (row["created"], row["id"]))
        said = [row["notes"] for row in rows if row["notes"] is not None]
        reviews.append(
            {
                **{name: rows[-1][name] for name in names if name in rows[-1]},
                "kind": "coordinate",
                "verdict": None,
                "n_clicks": sum(row["x"] is not None and row["y"] is not None for row in rows),
                "source_data_issue": any(row["source_data_issue"] for row in rows),
                "notes": said[-1] if said else None,
            }
        )
    return mark_latest(reviews)


def mark_latest(reviews: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add whether a review decides, and whether it is the rater's last one."""
    last: dict[Any, dict[str, Any]] = {}
    for review in sorted(reviews, key=lambda review: (review["created"], review["id"])):
        by_clicks = STEPS.index(review["step"]) < 3
        review["decides"] = (review["kind"] == "coordinate") == by_clicks
        review["latest"] = False
        if review["decides"]:
            rater = review["rater"] or ("unknown", review["session"])
            last[review["img_id"], rater] = review
    for review in last.values():
        review["latest"] = True
    return reviews


def expected_reviews(tables: Tables) -> list[dict[str, Any]]:
    return [
        review
        | {
            "step": STEPS.index(review["step"]),
            "verdict": VERDICTS.index(review["verdict"]) if review["verdict"] else None,
        }
        for review in expected_labelled_reviews(tables)
    ]


EXPECTED = {
    "image_labels": expected_images,
    "rating_labels": lambda tables: expected_reviewed(tables, "rating"),
    "coordinate_labels": lambda tables: expected_reviewed(tables, "coordinate"),
    "review_labels": expected_labelled_reviews,
    "review": expected_reviews,
}


def comparable(row: dict[str, Any], columns: list[str]) -> tuple[Any, ...]:
    """Make rows comparable: SQLite has integers for booleans, and text for times."""
    values = []
    for name in columns:
        value = row[name]
        if name == "created" and isinstance(value, str):
            value = dt.datetime.fromisoformat(value).replace(tzinfo=dt.UTC)
        if name in {"source_data_issue", "decides", "latest"}:
            value = bool(value)
        values.append(value)
    return tuple(values)


@pytest.mark.parametrize("view", COLUMNS)
def test_rows_follow_from_the_files(db: orm.Session, published: Tables, view: str) -> None:
    columns = COLUMNS[view]
    found = [
        comparable(dict(row), columns)
        for row in db.execute(sa.text(f"SELECT * FROM {view}")).mappings()
    ]
    expected = [comparable(row, columns) for row in EXPECTED[view](published)]
    assert len(expected) > 100
    assert sorted(found, key=repr) == sorted(expected, key=repr)


@pytest.mark.parametrize("view", COLUMNS)
def test_columns_are_the_documented_ones_without_the_picture(db: orm.Session, view: str) -> None:
    found = list(db.execute(sa.text(f"SELECT * FROM {view} WHERE 1 = 0")).keys())
    assert found == COLUMNS[view]
    assert "img" not in found


@pytest.mark.parametrize("kind", ["rating", "coordinate"])
def test_a_review_is_one_verdict_or_one_set_of_clicks(
    db: orm.Session, published: Tables, kind: str
) -> None:
    n = db.scalar(sa.text("SELECT count(*) FROM review WHERE kind = :kind"), {"kind": kind})
    rows = published[kind]
    sets = {(row["img_id"], row["session"]) for row in rows}
    assert n == (len(rows) if kind == "rating" else len(sets))


def test_a_set_without_a_click_counts_zero_clicks(db: orm.Session) -> None:
    found = db.execute(
        sa.text(
            "SELECT min(n_clicks), max(n_clicks), count(*) FROM review WHERE kind = 'coordinate'"
        )
    ).one()
    assert found[0] == 0
    assert 1 < found[1] < found[2]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT step, count(*) FROM rating_labels GROUP BY 1",
        "SELECT rater, rating, count(*) FROM rating_labels GROUP BY 1, 2",
        "SELECT sub, task, run FROM rating_labels WHERE rating = 'FAIL'",
        "SELECT step, avg(x), avg(y) FROM coordinate_labels GROUP BY 1",
        "SELECT * FROM review",
        "SELECT kind, verdict, count(*) FROM review GROUP BY 1, 2",
        "SELECT step, verdict, count(*) FROM review_labels WHERE decides GROUP BY 1, 2",
        "SELECT count(*) FROM image_labels",
        "SELECT step, sub, count(*), sum(n_bytes) FROM image_labels GROUP BY 1, 2",
        "SELECT id, file1 FROM image_labels WHERE scan = 'rest1'",
    ],
)
def test_queries_without_columns_of_image_do_not_read_its_table(
    db: orm.Session, query: str
) -> None:
    if db.connection().dialect.name == "sqlite":
        plan = "\n".join(row.detail for row in db.execute(sa.text(f"EXPLAIN QUERY PLAN {query}")))
        touched = re.findall(r"^(?:SCAN|SEARCH) (\S+)", plan, re.MULTILINE)
        assert "i" not in touched
    else:
        plan = "\n".join(db.scalars(sa.text(f"EXPLAIN {query}")))
    assert re.search(r"\b(image|pk_image|ix_image_narrow)\b", plan) is None
