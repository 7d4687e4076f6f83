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
_LONGEST: Final = 40
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
        # JupyterLab gives <pre> the font of the page, in which columns do not align.
        return f'<pre style="font-family: monospace">{html.escape(self.text())}</pre>'


def table_text(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Write rows as the table that commands print."""
    file = io.BytesIO()
    write(columns, rows, "table", file)
    return file.getvalue().decode().removesuffix("\n")


def table_html(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Write rows as an HTML table for notebooks, with their number below.

    Of many rows the first are shown. Columns that are NULL in all rows, and long texts that are the
    same in all rows, stand below the table.
    """
    notes, kept = [], []
    empty = []
    for place, name in enumerate(columns):
        values = [row[place] for row in rows]
        if rows and all(value is None for value in values):
            empty.append(name)
        elif rows[1:] and _is_long(values[0]) and all(value == values[0] for value in values):
            notes.append(f"{name} in all rows: {table_cell(values[0])}")
        else:
            kept.append(place)
    if empty:
        notes.append(f"NULL in all rows: {', '.join(empty)}")
    shown = rows if len(rows) <= MOST_ROWS else rows[:FIRST_ROWS]
    head = "".join(f"<th>{html.escape(columns[place])}</th>" for place in kept)
    body = "".join(f"<tr>{''.join(_cell(row[place]) for place in kept)}</tr>\n" for row in shown)
    below = html.escape("; ".join([_number_of_rows(len(shown), len(rows)), *notes]))
    return (
        f'<table style="white-space: nowrap">\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}</tbody>\n</table>\n<p>{below}</p>"
    )


def _is_long(value: Any) -> bool:
    return isinstance(value, str) and len(value) > _LONGEST


def _cell(value: Any) -> str:
    if value is None:
        return f"<td>{_NULL}</td>"
    text = str(table_cell(value))
    style = f"text-align: {'right' if is_number(value) else 'left'}"
    if len(text) <= _LONGEST:
        return f'<td style="{style}">{html.escape(text)}</td>'
    cut = html.escape(text[: _LONGEST - 1] + "…")
    return f'<td style="{style}" title="{html.escape(text)}">{cut}</td>'


def _number_of_rows(n_shown: int, n_rows: int) -> str:
    if n_shown < n_rows:
        return f"the first {n_shown} of {n_rows:,} rows"
    return f"{n_rows:,} row{'' if n_rows == 1 else 's'}"
