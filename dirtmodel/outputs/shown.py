"""Results as people see them in Python: text, and HTML in notebooks."""

import html
import io
from collections.abc import Sequence
from typing import Any, Final

from dirtmodel.outputs.formats import write
from dirtmodel.outputs.values import is_number, table_cell

FIRST_ROWS: Final = 10
"""Rows that a notebook shows of a result that has more than `MOST_ROWS`."""

MOST_ROWS: Final = 20
_LONGEST: Final = 60
_NULL: Final = '<span style="opacity: 0.5">NULL</span>'


class Report:
    """A result that is read as text; mixed into results that are not rows."""

    def text(self) -> str:
        """Return what the command prints."""
        raise NotImplementedError

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        """Show the text in a notebook."""
        return f"<pre>{html.escape(self.text())}</pre>"


def table_text(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Write rows as the table that commands print."""
    file = io.BytesIO()
    write(columns, rows, "table", file)
    return file.getvalue().decode().removesuffix("\n")


def table_html(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Write rows as an HTML table for notebooks, with their number below.

    Of many rows the first are shown. Columns that are NULL in all rows are left out and named.
    """
    kept = [
        place
        for place in range(len(columns))
        if not rows or any(row[place] is not None for row in rows)
    ]
    shown = rows if len(rows) <= MOST_ROWS else rows[:FIRST_ROWS]
    head = "".join(f"<th>{html.escape(columns[place])}</th>" for place in kept)
    body = "".join(f"<tr>{''.join(_cell(row[place]) for place in kept)}</tr>\n" for row in shown)
    empty = [name for place, name in enumerate(columns) if place not in kept]
    notes = [_number_of_rows(len(shown), len(rows))]
    if empty:
        notes.append(f"not shown, because NULL in all rows: {', '.join(empty)}")
    return (
        f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n"
        f"<p>{html.escape('; '.join(notes))}</p>"
    )


def _cell(value: Any) -> str:
    if value is None:
        return f"<td>{_NULL}</td>"
    text = str(table_cell(value))
    side = "right" if is_number(value) else "left"
    if len(text) <= _LONGEST:
        return f'<td style="text-align: {side}">{html.escape(text)}</td>'
    cut = html.escape(text[: _LONGEST - 1] + "…")
    return f'<td style="text-align: {side}" title="{html.escape(text)}">{cut}</td>'


def _number_of_rows(n_shown: int, n_rows: int) -> str:
    if n_shown < n_rows:
        return f"the first {n_shown} of {n_rows:,} rows"
    return f"{n_rows:,} row{'' if n_rows == 1 else 's'}"
