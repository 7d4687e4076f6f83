"""Differences as JSON, as lines of text, and as flat rows."""

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, Any, Final

from dirtmodel.differences.comparison import Differences
from dirtmodel.differences.rows import TABLES, RowDifference, readable
from dirtmodel.differences.verdicts import KINDS, VerdictChange, unit_columns
from dirtmodel.outputs import dumps, text_cell
from dirtmodel.queries.exclusions import Exclusions
from dirtmodel.wording import count

_COUNTED: Final = ("added", "removed", "changed", "rekeyed", "unchanged")
_IN_MEMORY: Final = 16 << 20
"""Bytes of JSON from which rows wait in a temporary file."""
_MAX_CAUSES: Final = 5
"""The most rows to name as the cause of a change."""

COUNT_COLUMNS: Final = ("table", *_COUNTED)
ROW_COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "session": ("step", "user", "created"),
    "image": ("step", "display", "slice", "file1", "created"),
    "rating": ("img_id", "session", "rating", "created"),
    "coordinate": ("img_id", "session", "x", "y", "created"),
}
"""The columns that are shown of every row, whether they differ or not."""


def count_rows(found: Differences) -> Iterator[tuple[Any, ...]]:
    """Yield one row per table: the numbers of added rows, removed rows and so on."""
    for table, counts in found.count().items():
        yield table, *(getattr(counts, name) for name in _COUNTED)


def row_columns(table: str) -> tuple[str, ...]:
    """Return the columns of `flat_rows`."""
    known = ROW_COLUMNS[table]
    return ("change", "old_id", "new_id", *known, "column", "old", "new", "re_encoded")


def flat_rows(table: str, rows: Iterable[RowDifference]) -> Iterator[tuple[Any, ...]]:
    """Yield one row per changed column; added, removed and re-keyed rows may have no column."""
    for row in rows:
        start = (
            row.change.value,
            None if row.old is None else row.old.id,
            None if row.new is None else row.new.id,
            *(readable(name, getattr(row.row, name)) for name in ROW_COLUMNS[table]),
        )
        if not row.columns:
            yield *start, None, None, None, None
        for name, values in row.shown_columns():
            yield *start, name, *map(text_of, values), row.re_encoded if name == "img" else None


def text_of(value: Any) -> str | None:
    """Return a value of any type as text.

    >>> text_of("FAIL"), text_of(True), text_of(None)
    ('FAIL', 'true', None)
    """
    return None if value is None else str(text_cell(value, ""))


def verdict_columns(rule: Exclusions) -> tuple[str, ...]:
    """Return the columns of `verdict_rows`."""
    return ("change", *unit_columns(rule), "old_status", "new_status", "n_rows", "rows")


def verdict_rows(changes: list[VerdictChange]) -> Iterator[tuple[Any, ...]]:
    """Yield one row per unit with all its kinds of change, sorted by the first of them."""
    for change in sorted(changes, key=lambda change: KINDS.index(change.kinds[0])):
        statuses = (side and side["status"] for side in (change.old, change.new))
        kinds = list(change.kinds)
        yield kinds, *change.unit.values(), *statuses, len(change.rows), causes(change)


def causes(change: VerdictChange) -> str:
    """Describe the first few rows that changed a verdict."""
    described = [cause(row) for row in change.rows[:_MAX_CAUSES]]
    left = len(change.rows) - len(described)
    return "; ".join([*described, *([f"and {left:,} more"] if left else [])])


def cause(row: RowDifference) -> str:
    """Describe the change of a row."""
    if row.columns:
        shown = ", ".join(
            "img re-encoded"
            if name == "img" and row.re_encoded
            else "img"
            if name == "img"
            else f"{name} {_worded(values.old)} → {_worded(values.new)}"
            for name, values in row.shown_columns()
        )
        return f"{row.table} {row.row.id} {row.change}: {shown}"
    verdict = f" ({readable('rating', row.row.rating)})" if row.table == "rating" else ""
    return f"{row.table} {row.row.id} {row.change}{verdict}"


def _worded(value: Any) -> str:
    text = text_of(value)
    return "nothing" if text is None else text


def lines(found: Differences) -> Iterator[str]:
    """Yield lines of text about all differences that are not in the counts."""
    for entry in found.schema():
        if entry["change"] == "revision":
            text = f"revision {entry['revision']}: {entry['message']}"
        elif entry["change"] in {"extra-column", "extra-number"}:
            text = "; ".join(entry["examples"])
        else:
            text = f"{entry['change']} in {entry['file']}: {'; '.join(entry['examples'])}"
        yield f"schema, only in {entry['only_in']}: {text}"
    if n_encoded := found.count()["image"].re_encoded:
        yield f"{count(n_encoded, 're-encoded picture')}: different bytes, equal pixels"
    kinds = dict.fromkeys(KINDS, 0)
    for change in found.verdicts():
        for kind in change.kinds:
            kinds[kind] += 1
    for kind, n in kinds.items():
        if n:
            what = f"{count(n, str(found.rule.level))} {kind.replace('_', ' ')}"
            yield f"{what}; see --verdicts"
    n_stale = sum(1 for _ in found.stale_reviews())
    if n_stale:
        yield f"{count(n_stale, 'stale review')}: judged an earlier picture"


def write_json(found: Differences, file: IO[bytes]) -> None:
    """Write all differences as one JSON object, with one row per line and little memory."""

    def put(text: str) -> None:
        file.write(text.encode())

    put("{\n")
    put(f'"old": {dumps(found.old.as_json())},\n')
    put(f'"new": {dumps(found.new.as_json())},\n')
    put(f'"schema": {dumps(list(found.schema()))},\n')
    put('"tables": {')
    for table in TABLES:
        put(f'{"," if table != TABLES[0] else ""}\n"{table}": ')
        _write_table(found, table, file)
    put('\n},\n"verdicts": {')
    changes = list(found.verdicts())
    for kind in KINDS:
        put(f'{"," if kind != KINDS[0] else ""}\n"{kind}": ')
        _write_list((change.as_json() for change in changes if kind in change.kinds), file)
    put('\n},\n"stale_reviews": ')
    _write_list((review._asdict() for review in found.stale_reviews()), file)
    put("\n}\n")


def _write_table(found: Differences, table: str, file: IO[bytes]) -> None:
    """Write the counts and then the rows, which wait in a file until the counts are known."""
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as waiting:
        _write_list((row.as_json() for row in found.rows(table)), waiting)
        counts = found.counts[table]
        text = dumps({name: getattr(counts, name) for name in _COUNTED})
        file.write(f'{text[:-1]}, "rows": '.encode())
        waiting.seek(0)
        shutil.copyfileobj(waiting, file)
    file.write(b"}")


def _write_list(values: Iterable[Any], file: Any) -> None:
    file.write(b"[")
    for n, value in enumerate(values):
        file.write(b"\n" if n == 0 else b",\n")
        file.write(dumps(value).encode())
    file.write(b"]")
