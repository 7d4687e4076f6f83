"""How the schemas of two releases differ: by revisions, and by what their checks found."""

import ast
from collections.abc import Iterator
from typing import Any, Final

from dirtmodel import database
from dirtmodel.differences.sides import Side

_ABOUT_COLUMNS: Final = frozenset({"no-notes", "extra-column", "unknown-enum"})
"""Codes of findings that tell of another schema than DIRT's."""


def compare_schemas(old: Side, new: Side) -> Iterator[dict[str, Any]]:
    """Give each revision that only one side has, then each finding of that kind."""
    yield from _revisions(old, new)
    before, after = (
        [f for f in side.findings() if f.code in _ABOUT_COLUMNS] for side in (old, new)
    )
    for found, others, where in ((before, after, "old"), (after, before, "new")):
        for finding in found:
            if finding not in others:
                yield {
                    "change": finding.code,
                    "only_in": where,
                    "file": finding.file,
                    "examples": list(finding.examples),
                }


def _revisions(old: Side, new: Side) -> Iterator[dict[str, Any]]:
    path = database.known_revisions()
    # A release folder has no schema but this version's.
    one, other = (path.index(side.revision or path[-1]) for side in (old, new))
    for revision in path[min(one, other) + 1 : max(one, other) + 1]:
        yield {
            "change": "revision",
            "only_in": "new" if other > one else "old",
            "revision": revision,
            "message": _message(revision),
        }


def _message(revision: str) -> str:
    """Give the first line of a migration, read off its file: alembic takes long to import."""
    (file,) = (database.migrations_folder() / "versions").glob(f"{revision}_*.py")
    documentation = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return documentation.partition("\n")[0]
