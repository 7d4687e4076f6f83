"""Datasette's descriptions of tables, and its canned queries."""

from typing import Any, Final

import sqlalchemy as sa

from dirtmodel import database
from dirtmodel.models import Ratings, Step, lookups, views

NAME: Final = "dirt"
"""The name of the database in addresses, whatever the name of its file."""

FACETS: Final = {
    "session": ["step", "user"],
    "image": ["step", "display"],
    "rating": ["rating", "source_data_issue"],
    "coordinate": ["source_data_issue"],
    "target": ["step", "sub", "scan"],
    "picture": ["format"],
    "review": ["step", "verdict", "rater"],
    "image_labels": ["step", "sub", "scan"],
    "rating_labels": ["rating", "sub", "rater", "scan"],
    "coordinate_labels": ["step", "sub", "rater"],
    "review_labels": ["step", "verdict", "sub", "rater"],
    "finding": ["severity", "code"],
}
SHOWN: Final = (
    *(view.name for view in views.LABELS),
    *("target", "image", "session", "rating", "coordinate", "review", "release", "finding"),
)
"""The tables to show, beginning with the views that have names for numbers; others are hidden."""

LABELS: Final = {
    "session": "user",
    "image": "file1",
    "target": "file1",
    "step": "name",
    "display": "name",
    "verdict": "name",
}

QUERIES: Final = {
    "exclusions": {
        "title": "Functional runs to exclude",
        "description": "The published rule: any picture of the run has a rating FAIL.",
        "sql": "SELECT DISTINCT CAST(sub AS integer) AS sub, task, run FROM rating_labels\n"
        f"WHERE step = '{Step.FMAP_COREGISTRATION.name}' AND rating = '{Ratings.FAIL.name}'\n"
        "ORDER BY 1, 2, 3",
    },
    "why": {
        "title": "Why is a run excluded?",
        "description": "The pictures of a participant that were rated FAIL, with their notes.",
        "sql": "SELECT i.img AS img, r.img_id, r.scan, r.display, r.slice, r.rater, r.verdict,\n"
        "  r.notes\n"
        "FROM review_labels AS r JOIN image AS i ON i.id = r.img_id\n"
        f"WHERE r.verdict = '{Ratings.FAIL.name}' AND r.decides AND r.sub = :sub\n"
        "ORDER BY r.scan, r.img_id",
    },
    "notes": {
        "title": "Search the notes",
        "description": "Reviews whose notes contain a word.",
        "sql": "SELECT img_id, rater, step, verdict, n_clicks, notes FROM review_labels\n"
        "WHERE notes LIKE '%' || :word || '%' ORDER BY img_id",
    },
    "coverage": {
        "title": "How much has been reviewed?",
        "description": "Unreviewed does not mean passed.",
        "sql": "SELECT s.name AS step, count(*) AS n_images, sum(y.n_reviews > 0) AS n_reviewed\n"
        "FROM tally AS y JOIN target AS t ON t.id = y.target_id\n"
        "JOIN step AS s ON s.id = t.step\n"
        "GROUP BY s.id ORDER BY s.id",
    },
}


def metadata() -> dict[str, Any]:
    """Return Datasette's metadata for the database."""
    tables: dict[str, dict[str, Any]] = {}
    for table in _relations():
        described = {column.name: column.comment for column in table.columns}
        if table.name == "image":
            described["img"] = f"{described['img']}; shown as a picture, NULL to statements"
        tables[table.name] = {
            "description": table.comment,
            "columns": described,
            "facets": FACETS.get(table.name, []),
            "hidden": table.name not in SHOWN,
        }
        if table.name in LABELS:
            tables[table.name]["label_column"] = LABELS[table.name]
    tables["alembic_version"] = {"hidden": True}
    return {
        "title": "Manual QC of A2CPS derivatives",
        "description": "Reviews made in DIRT; enums are numbers in tables and names in views.",
        "databases": {NAME: {"tables": tables, "queries": QUERIES}},
    }


def overview() -> list[tuple[str, str]]:
    """Return the names of the tables to show, and their descriptions."""
    comments = {table.name: str(table.comment) for table in _relations()}
    return [(name, comments[name]) for name in SHOWN]


def lookup_of(table: str, column: str) -> str | None:
    """Return the lookup table that has the names for the numbers of a column; None if none has."""
    for relation in database.tables():
        if relation.name == table and column in relation.columns:
            keys = relation.columns[column].foreign_keys
            names = {key.column.table.name for key in keys} & lookups.ENUMS.keys()
            return next(iter(names), None)
    return None


def _relations() -> list[sa.Table]:
    return [*database.tables(), *views.VIEWS]
