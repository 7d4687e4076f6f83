"""Writing rows as a table of text, in bounded memory.

The width of a column is determined by its heading and its cells in the first rows, so that rows can
be streamed. Without a maximum width of lines, as for a file, nothing is left out; a cell that is
longer than its column moves the rest of its row to the right. With a maximum width, as on a
terminal, lines are shortened until they fit:

1. cells of text are shortened, the widest column first, down to its heading or 12 characters;
2. columns are left out, the last one first;
3. lines that are still too long, because of a later cell for example, are cut.

Shortened text ends in an ellipsis. Numbers are not shortened.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any, Final, NamedTuple

from dirtmodel.outputs.values import escape_control, is_number, table_cell

_FIRST_ROWS: Final = 1_000
_FIRST_CHARACTERS: Final = 1 << 20
"""The maximum number of rows, and of their characters, that determine the widths of columns."""

_WIDEST: Final = 100
"""The maximum width of a column, in characters, if the width of lines is not limited."""

_NARROWEST: Final = 12
"""The number of characters to which the cells of a column can be shortened."""

_GAP: Final = "  "
_PADDING: Final = 2
"""The number of characters by which a column is wider than its heading, if there is space."""

_ELLIPSIS: Final = "…"


class _Column(NamedTuple):
    position: int
    width: int
    narrowest: int
    right: bool


def write_table(
    names: Sequence[str], rows: Iterable[Sequence[Any]], file: IO[str], width: int | None = None
) -> list[str]:
    """Write rows as a table.

    Parameters
    ----------
    width
        The maximum number of characters in a line; None for no limit.

    Returns
    -------
    list of str
        The columns that were left out because they did not fit.
    """
    iterator = iter(rows)
    head = [escape_control(name) for name in names]
    first, numeric = _first_rows(iterator, len(head))
    columns = [
        _column(
            position, head[position], [cells[position] for cells in first], right=numeric[position]
        )
        for position in range(len(head))
    ]
    if width is None:
        columns = [column._replace(width=min(column.width, _WIDEST)) for column in columns]
    else:
        columns = _fitted(columns, width)
    rule = ["-" * column.width for column in columns]
    for cells in itertools.chain([head, rule], first, map(_cells, iterator)):
        file.write(_line(cells, columns, width))
    return list(names[len(columns) :])


def _first_rows(
    rows: Iterator[Sequence[Any]], n_columns: int
) -> tuple[list[list[str]], list[bool]]:
    """Return the first rows as text, and for each column True if it has numbers only."""
    first = []
    kinds: list[set[bool]] = [set() for _ in range(n_columns)]
    n_characters = 0
    for row in itertools.islice(rows, _FIRST_ROWS):
        for kind, value in zip(kinds, row, strict=True):
            if value is not None:
                kind.add(is_number(value))
        cells = _cells(row)
        first.append(cells)
        n_characters += sum(map(len, cells))
        if n_characters > _FIRST_CHARACTERS:
            break
    return first, [kind == {True} for kind in kinds]


def _cells(row: Sequence[Any]) -> list[str]:
    return ["" if value is None else table_cell(value) for value in row]


def _column(position: int, head: str, cells: list[str], *, right: bool) -> _Column:
    needed = max(map(_width, [head, *cells]))
    narrowest = needed if right else min(needed, max(_width(head), _NARROWEST))
    return _Column(position, max(_width(head) + _PADDING, needed), narrowest, right)


def _fitted(columns: list[_Column], width: int) -> list[_Column]:
    """Leave out the last columns until the others can be shortened to fit, and shorten these."""
    while len(columns) > 1 and _total(c.narrowest for c in columns) > width:
        columns = columns[:-1]
    # Start from at most the full width, because the loop removes one character at a time.
    columns = [c._replace(width=max(c.narrowest, min(c.width, width))) for c in columns]
    excess = _total(c.width for c in columns) - width
    while excess > 0 and any(c.width > c.narrowest for c in columns):
        widest = max((c for c in columns if c.width > c.narrowest), key=lambda c: c.width)
        columns[widest.position] = widest._replace(width=widest.width - 1)
        excess -= 1
    return columns


def _total(widths: Iterable[int]) -> int:
    listed = list(widths)
    return sum(listed) + len(_GAP) * (len(listed) - 1)


def _line(cells: Sequence[str], columns: Sequence[_Column], width: int | None) -> str:
    shown = []
    for column in columns:
        cell = cells[column.position]
        if width is not None and not column.right:
            cell = _cut(cell, column.width)
        padding = " " * (column.width - _width(cell))
        shown.append(padding + cell if column.right else cell + padding)
    line = _GAP.join(shown).rstrip()
    return (line if width is None else _cut(line, width)) + "\n"


def _cut(text: str, width: int) -> str:
    if len(text) <= width and text.isascii():
        return text
    if _width(text) <= width:
        return text
    # Few characters have no width, so that a part of a very long text suffices, and is faster.
    from wcwidth import clip

    return str(clip(text[: 4 * width], 0, width - 1)).rstrip() + _ELLIPSIS


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    from wcwidth import width

    return int(width(text))
