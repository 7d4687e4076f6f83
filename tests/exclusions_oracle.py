"""A second implementation of exclusions, row by row over the release's tables, without a database.

It follows the rules as documented. The tests compare it with the SQL of the package.
"""

import collections
import re
from collections.abc import Collection, Sequence
from typing import Any

JUDGED_BY_CLICKS = {0, 1, 2}
KEYS = {
    "target": ("sub", "ses", "task", "run", "scan", "step", "file1"),
    "scan": ("sub", "ses", "task", "run", "scan"),
    "session": ("sub", "ses"),
    "participant": ("sub",),
}
PASS, UNSURE, FAIL = range(3)

Row = dict[str, Any]
Users = dict[int, str | None]


def exclusions(
    tables: dict[str, list[Row]],
    *,
    step: Collection[int] | None = None,
    rule: str = "any-fail",
    min_fails: int = 0,
    unsure: str = "ignore",
    min_clicks: int = 1,
    min_raters: int = 1,
    latest: bool = False,
    source_data_issue: bool = False,
    level: str = "scan",
    images: int = 1,
    status: Collection[str] = ("excluded",),
    **conditions: Collection[Any],
) -> list[Row]:
    """Return the expected rows as dictionaries, in order; `tables` has the rows of each table."""
    user_of = {session["id"]: session["user"] for session in tables["session"]}
    rows_on = {table: collections.defaultdict(list) for table in ("rating", "coordinate")}
    for table, of_image in rows_on.items():
        for row in tables[table]:
            of_image[row["img_id"]].append(row)
    targets = collections.defaultdict(list)
    for image in tables["image"]:
        if meets(image, step=step, **conditions):
            targets[image["step"], image["file1"]].append(image["id"])

    groups = collections.defaultdict(list)
    for (of_step, file1), ids in targets.items():
        judged = []
        for img_id in ids:
            if of_step in JUDGED_BY_CLICKS:
                rows = rows_on["coordinate"][img_id]
                judged.append(_by_clicks(img_id, rows, user_of, min_clicks, min_raters, latest))
            else:
                rows = rows_on["rating"][img_id]
                judged.append(_by_verdicts(img_id, rows, user_of, rule, min_fails, unsure, latest))
        n_bad = sum(image["bad"] for image in judged)
        flagged = any(image["flagged"] for image in judged)
        excluded = n_bad >= images or (source_data_issue and flagged)
        names = _names(of_step, file1)
        groups[tuple(names[key] for key in KEYS[level])].append((excluded, judged))

    rows = []
    for key, members in groups.items():
        judged = [image for _, of_target in members for image in of_target]
        row = dict(zip(KEYS[level], key, strict=True))
        row |= _evidence(judged, excluded=any(excluded for excluded, _ in members))
        if row["status"] in status:
            rows.append(row)
    first = ("step", "file1") if level == "target" else KEYS[level]
    return sorted(rows, key=lambda row: [(row[k] is None, row[k] or 0) for k in first])


def meets(image: Row, **conditions: Collection[Any] | None) -> bool:
    """Return whether an image's target meets the conditions; None stands for no condition."""
    names = _names(image["step"], image["file1"])
    names["run_number"] = names["run"]
    return all(wanted is None or names[name] in wanted for name, wanted in conditions.items())


def _evidence(judged: list[Row], *, excluded: bool) -> Row:
    n_reviewed = sum(image["reviewed"] for image in judged)
    if excluded:
        status = "excluded"
    elif n_reviewed == 0:
        status = "unreviewed"
    elif n_reviewed < len(judged):
        status = "partial"
    else:
        status = "kept"
    return {
        "status": status,
        "n_images": len(judged),
        "n_reviewed": n_reviewed,
        "n_bad_images": sum(image["bad"] for image in judged),
        "n_raters": len({rater for image in judged for rater in image["raters"]}),
        "n_pass": sum(image["verdicts"].count(PASS) for image in judged),
        "n_unsure": sum(image["verdicts"].count(UNSURE) for image in judged),
        "n_fail": sum(image["verdicts"].count(FAIL) for image in judged),
        "n_clicks": sum(image["n_clicks"] for image in judged),
        "source_data_issue": any(image["flagged"] for image in judged),
        "image_ids": sorted(image["id"] for image in judged if image["bad"]),
    }


def _by_verdicts(
    img_id: int,
    rows: list[Row],
    user_of: Users,
    rule: str,
    min_fails: int,
    unsure: str,
    latest: bool,
) -> Row:
    if latest:
        last = {}
        for row in sorted(rows, key=lambda row: (row["created"], row["id"])):
            last[_rater(row, user_of)] = row
        rows = list(last.values())
    verdicts = [row["rating"] for row in rows]
    meant = {"pass": PASS, "fail": FAIL}
    decisive = []
    for verdict in verdicts:
        if verdict in {PASS, FAIL}:
            decisive.append(verdict)
        elif verdict == UNSURE and unsure in meant:
            decisive.append(meant[unsure])
    n_fail = decisive.count(FAIL)
    if rule == "any-fail":
        bad = n_fail > 0
    elif rule == "majority":
        bad = n_fail > 0 and n_fail >= decisive.count(PASS)
    elif rule == "unanimous":
        bad = n_fail > 0 and n_fail == len(decisive)
    elif rule == "min-fails":
        bad = n_fail >= min_fails
    return _image(img_id, rows, user_of, bad=bad, verdicts=verdicts)


def _by_clicks(
    img_id: int,
    rows: list[Row],
    user_of: Users,
    min_clicks: int,
    min_raters: int,
    latest: bool,
) -> Row:
    if latest:
        last = {}
        for row in sorted(rows, key=lambda row: (row["created"], row["id"])):
            last[_rater(row, user_of)] = row["session"]
        rows = [row for row in rows if last[_rater(row, user_of)] == row["session"]]
    n_clicks = collections.Counter()
    for row in rows:
        n_clicks[row["session"]] += row["x"] is not None and row["y"] is not None
    accusing = [session for session, n in n_clicks.items() if n >= min_clicks]
    if min_raters == 1:
        bad = len(accusing) > 0
    else:
        bad = len({user_of[session] for session in accusing} - {None}) >= min_raters
    return _image(img_id, rows, user_of, bad=bad, n_clicks=n_clicks.total())


def _image(
    img_id: int,
    rows: list[Row],
    user_of: Users,
    *,
    bad: bool,
    verdicts: Sequence[int] = (),
    n_clicks: int = 0,
) -> Row:
    return {
        "id": img_id,
        "bad": bad,
        "reviewed": len(rows) > 0,
        "flagged": any(row["source_data_issue"] for row in rows),
        "raters": {user_of[row["session"]] for row in rows} - {None},
        "verdicts": list(verdicts),
        "n_clicks": n_clicks,
    }


def _rater(row: Row, user_of: Users) -> tuple[str, int | str]:
    """Return the rater; a session without a user is a rater of its own."""
    user = user_of[row["session"]]
    return ("session", row["session"]) if user is None else ("user", user)


def _names(step: int, file1: str) -> Row:
    entities = {}
    for part in re.split("[/_]", file1):
        name, dash, label = part.partition("-")
        if dash and name not in entities:
            entities[name] = re.match("[A-Za-z0-9]*", label)[0]
    sub, task, run = (entities.get(name) for name in ("sub", "task", "run"))
    run = None if run is None else int(run)
    scan = f"{task}{run or ''}" if task else {0: "T1w", 1: "T1w", 2: "T1w", 4: "dwi"}.get(step)
    known = {"T1w", "dwi", "cuff1", "cuff2", "rest1", "rest2"}
    return {
        "step": step,
        "file1": file1,
        "sub": sub,
        "ses": entities.get("ses"),
        "task": task,
        "run": run,
        "scan": scan if sub is not None and scan in known else None,
    }
