"""What Datasette says of each table, and the questions that it has ready."""

from typing import Any, Final

from dirtmodel import database
from dirtmodel.models import views

FACETS: Final = {
    "session": ["step", "user"],
    "image": ["step", "display"],
    "rating": ["rating", "source_data_issue"],
    "coordinate": ["source_data_issue"],
    "target": ["step", "scan"],
    "picture": ["format"],
    "review": ["kind", "step", "verdict", "rater"],
    "image_labels": ["step", "display", "scan"],
    "rating_labels": ["rating", "step", "rater", "scan"],
    "coordinate_labels": ["step", "rater", "display"],
    "finding": ["severity", "code"],
}
LABELS: Final = {"session": "user", "image": "file1", "target": "file1"}

QUERIES: Final = {
    "exclusions": {
        "title": "Functional runs to exclude",
        "description": "The published rule: any picture of the run has a rating FAIL.",
        "sql": "SELECT DISTINCT CAST(sub AS integer) AS sub, task, run FROM rating_labels\n"
        "WHERE step = 'FMAP_COREGISTRATION' AND rating = 'FAIL' ORDER BY 1, 2, 3",
    },
    "why": {
        "title": "Why is a run excluded?",
        "description": "The pictures of a participant that were rated FAIL, with their notes.",
        "sql": "SELECT i.id, r.rater, r.verdict, r.notes, t.scan, i.display, i.slice,\n"
        "  i.img AS img\n"
        "FROM review AS r JOIN target AS t ON t.id = r.target_id\n"
        "JOIN image AS i ON i.id = r.img_id\n"
        "WHERE r.verdict = 'FAIL' AND t.sub = :sub ORDER BY t.scan, i.id",
    },
    "notes": {
        "title": "Search the notes",
        "description": "Reviews whose notes contain a word.",
        "sql": "SELECT img_id, rater, step, verdict, n_clicks, notes FROM review\n"
        "WHERE notes LIKE '%' || :word || '%' ORDER BY img_id",
    },
    "coverage": {
        "title": "How much has been reviewed?",
        "description": "Not reviewed is not passed.",
        # Not from `review`, which holds what lies in the table that does not judge its step, too.
        "sql": "SELECT t.step, count(*) AS n_images, count(y.img_id) AS n_reviewed\n"
        "FROM picture AS p JOIN target AS t ON t.id = p.target_id\n"
        "LEFT JOIN tally AS y ON y.img_id = p.img_id AND NOT y.latest\n"
        "GROUP BY t.step ORDER BY t.step",
    },
}


def metadata(name: str) -> dict[str, Any]:
    """Give the metadata for a database that Datasette calls `name`."""
    relations = [*database.tables(), *views.VIEWS]
    tables: dict[str, dict[str, Any]] = {}
    for table in relations:
        described = {column.name: column.comment for column in table.columns}
        if table.name == "image":
            described["img"] = f"{described['img']}; shown as a picture, NULL to statements"
        tables[table.name] = {
            "description": table.comment,
            "columns": described,
            "facets": FACETS.get(table.name, []),
        }
        if table.name in LABELS:
            tables[table.name]["label_column"] = LABELS[table.name]
    return {
        "title": "Manual QC of A2CPS derivatives",
        "description": "Reviews made in DIRT; enums are numbers in tables and names in views.",
        "databases": {name: {"tables": tables, "queries": QUERIES}},
    }
