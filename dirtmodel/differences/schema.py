"""Compare the schemas of two releases: revisions, columns, and numbers of the enums."""

import ast
from collections.abc import Iterator
from typing import Any, Final

from dirtmodel import database
from dirtmodel.differences.sides import Side
from dirtmodel.models import lookups
from dirtmodel.release.layout import file_name

_ABOUT_COLUMNS: Final = frozenset({"no-notes", "unkept-column"})
"""Codes of findings about columns that are missing or were not kept."""


def compare_schemas(old: Side, new: Side) -> Iterator[dict[str, Any]]:
    """Yield each revision, column and number that only one side has."""
    yield from _revisions(old, new)
    before, after = (
        [f for f in side.findings() if f.code in _ABOUT_COLUMNS] for side in (old, new)
    )
    for findings, others, where in ((before, after, "old"), (after, before, "new")):
        for finding in findings:
            if finding not in others:
                yield {
                    "change": finding.code,
                    "only_in": where,
                    "file": finding.file,
                    "examples": list(finding.examples),
                }
    yield from _extensions(old, new)


def _revisions(old: Side, new: Side) -> Iterator[dict[str, Any]]:
    path = database.known_revisions()
    # A release folder is loaded into the schema of this version.
    one, other = (path.index(side.revision or path[-1]) for side in (old, new))
    for revision in path[min(one, other) + 1 : max(one, other) + 1]:
        yield {
            "change": "revision",
            "only_in": "new" if other > one else "old",
            "revision": revision,
            "message": _message(revision),
        }


def _extensions(old: Side, new: Side) -> Iterator[dict[str, Any]]:
    """Yield the columns and numbers beyond DIRT's that only one side has."""
    for one, other, where in ((old, new, "old"), (new, old, "new")):
        only = one.extension.less(other.extension)
        for table, columns in only.columns.items():
            for column in columns:
                yield {
                    "change": "extra-column",
                    "only_in": where,
                    "file": file_name(table),
                    "examples": [f"{file_name(table)} column {column.name} ({column.kind.value})"],
                }
        for table, numbers in only.numbers.items():
            known = lookups.known(one.session.connection(), table)
            for number, judged_by in numbers.items():
                how = "" if judged_by is None else f", judged by {judged_by}"
                yield {
                    "change": "extra-number",
                    "only_in": where,
                    "file": table,
                    "examples": [f"{table} {number} is {known[number]}{how}"],
                }


def _message(revision: str) -> str:
    """Return the first line of a migration, read from its file because alembic loads slowly."""
    (file,) = (database.migrations_folder() / "versions").glob(f"{revision}_*.py")
    documentation = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return documentation.partition("\n")[0]
