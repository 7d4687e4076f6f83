"""The text of a statement: finding its parameters, and marking the position of an error."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from dirtmodel.errors import QueryError

_COMMENT: Final = re.compile(r"/\*|\*/")
_SQLITE: Final = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^]]*]|--[^\n]*|(?P<comment>/\*)"""
    r"|[:@$](?P<name>[^\W\d]\w*)"
)
# A colon directly after a name, a number or a closing bracket belongs to a cast or an array slice.
_POSTGRES: Final = re.compile(
    r"""(?<!\w)[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|(?P<comment>/\*)"""
    r"""|(?<![\w$])(?P<dollar>\$(?:[^\W\d]\w*)?\$).*?(?P=dollar)"""
    r"""|(?<![\w:\])"]):(?P<name>[^\W\d]\w*)""",
    re.DOTALL,
)
LARGEST_VALUE: Final = 64 << 20
"""The maximum number of bytes of a value or row."""

_WIDEST: Final = 96
"""The maximum number of characters of a line that are shown around an error."""


class Answer(NamedTuple):
    """The result of a statement: the names of its columns, and its rows, which are streamed."""

    columns: list[str]
    rows: Iterator[tuple[Any, ...]]


class Parameter(NamedTuple):
    """The name of a parameter, and its position in the text, including the colon."""

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Statement:
    """A statement and its parameters, in the order of the text."""

    text: str
    parameters: tuple[Parameter, ...]

    @classmethod
    def parse(cls, text: str, *, postgres: bool) -> "Statement":
        """Find the parameters; literals, quoted names and comments are skipped.

        >>> Statement.parse("SELECT ':a', :b::int -- :c", postgres=True).names
        ['b']
        """
        return cls(text, tuple(_parameters(text, postgres=postgres)))

    @property
    def names(self) -> list[str]:
        """The names of the parameters, each once, in the order of the text."""
        return list(dict.fromkeys(parameter.name for parameter in self.parameters))

    def numbered(self) -> str:
        """Return the text with $1, $2, … for the parameters, as Postgres requires."""
        return self._substituted(lambda name: f"${self.names.index(name) + 1}")

    def without_parameters(self) -> str:
        """Return the text with NULL for every parameter."""
        return self._substituted(lambda _name: "NULL")

    def _substituted(self, replacement: Callable[[str], str]) -> str:
        pieces, at = [], 0
        for parameter in self.parameters:
            pieces += [self.text[at : parameter.start], replacement(parameter.name)]
            at = parameter.end
        return "".join([*pieces, self.text[at:]])

    def place(self, in_numbered: int) -> int:
        """Convert a position in `numbered()` to the position in the original text."""
        shift = 0
        for parameter in self.parameters:
            width = len(f"${self.names.index(parameter.name) + 1}")
            if in_numbered < parameter.start - shift + width:
                return min(in_numbered + shift, parameter.start)
            shift += parameter.end - parameter.start - width
        return in_numbered + shift


def _parameters(text: str, *, postgres: bool) -> Iterator[Parameter]:
    pattern = _POSTGRES if postgres else _SQLITE
    at = 0
    while match := pattern.search(text, at):
        at = match.end()
        if match["comment"]:
            at = _end_of_comment(text, at, nested=postgres)
        elif match["name"]:
            yield Parameter(match["name"], match.start(), match.end())


def _end_of_comment(text: str, at: int, *, nested: bool) -> int:
    depth = 1
    for mark in _COMMENT.finditer(text, at):
        depth += -1 if mark[0] == "*/" else int(nested)
        if not depth:
            return mark.end()
    return len(text)


def point_at(message: str, text: str, place: int | None) -> str:
    """Add the line of an error to its message, with a mark below the position if it is known.

    >>> print(point_at("no such column: foo", "SELECT foo FROM image", 7))
    no such column: foo (line 1, column 8)
      SELECT foo FROM image
             ^
    """
    if place is None or not 0 <= place <= len(text):
        return message
    start = text.rfind("\n", 0, place) + 1
    line = text[start:].partition("\n")[0].rstrip("\r").replace("\t", " ")
    column = place - start
    left = max(0, column - _WIDEST // 2) if len(line) > _WIDEST else 0
    shown = line[left : left + _WIDEST]
    number = text.count("\n", 0, place) + 1
    mark = " " * (column - left) + "^"
    return f"{message} (line {number}, column {column + 1})\n  {shown}\n  {mark}"


def too_late(timeout: float | None) -> QueryError:
    """Return the error for a statement that was cancelled."""
    if timeout is None:
        return QueryError(
            "the statement was cancelled on the server; ask its administrator, or try again"
        )
    return QueryError(
        f"the statement took longer than {timeout:g} s; allow more time with --timeout"
    )


def too_large(reason: object = "string or blob too big") -> QueryError:
    """Return the error for a value or row that is too large."""
    return QueryError(
        f"{reason}: a value or row may have at most {LARGEST_VALUE >> 20} MB; select a part of it "
        "with substr()"
    )


def out_of_memory() -> QueryError:
    """Return the error for a statement whose result does not fit into memory."""
    return QueryError(
        "there is not enough memory for the result; select fewer columns or shorter values"
    )
