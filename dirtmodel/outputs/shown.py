"""Results as text, and as HTML in notebooks."""

import html
import io
from collections.abc import Sequence
from typing import Any, Final

from dirtmodel.outputs.formats import write
from dirtmodel.outputs.values import is_number, table_cell
from dirtmodel.wording import count

_MOST_ROWS: Final = 20
"""The maximum number of rows for which a notebook shows all rows."""

_FIRST_ROWS: Final = 10
"""The number of rows that a notebook shows of a larger result."""

_LONGEST: Final = 40
"""The maximum number of characters that a notebook shows of a cell."""

_NULL: Final = '<span style="opacity: 0.5">NULL</span>'


class Report:
    """Base class of results that are not rows, and are shown as text."""

    def text(self) -> str:
        """Return the text that the command prints."""
        raise NotImplementedError

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        """Show the text in a notebook."""
        # JupyterLab gives <pre> the font of the page, in which columns do not align.
        return f'<pre style="font-family: monospace">{html.escape(self.text())}</pre>'


def table_text(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return rows as the table that commands print."""
    file = io.BytesIO()
    write(columns, rows, "table", file)
    return file.getvalue().decode().removesuffix("\n")


def table_html(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return rows as an HTML table for notebooks, with the number of rows below it.

    If there are many rows, only the first ones are shown. Columns that are NULL in all rows, and
    long texts that are the same in all rows, are listed below the table.
    """
    notes, kept = [], []
    empty = []
    for index, name in enumerate(columns):
        values = [row[index] for row in rows]
        if rows and all(value is None for value in values):
            empty.append(name)
        elif rows[1:] and _is_long(values[0]) and all(value == values[0] for value in values):
            notes.append(f"{name} in all rows: {table_cell(values[0])}")
        else:
            kept.append(index)
    if empty:
        notes.append(f"NULL in all rows: {', '.join(empty)}")
    shown = rows if len(rows) <= _MOST_ROWS else rows[:_FIRST_ROWS]
    head = "".join(f"<th>{html.escape(columns[index])}</th>" for index in kept)
    body = "".join(f"<tr>{''.join(_cell(row[index]) for index in kept)}</tr>\n" for row in shown)
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
    return count(n_rows, "row")
