"""Checks of the rows of a release: errors ("unsound" rows) and warnings.

A check works on a whole batch of canonical columns. It returns masks of rows, and describes single
rows only when they are needed as examples.
"""

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dirtmodel.entities import parse
from dirtmodel.models import JudgedBy, Step
from dirtmodel.models.types import LARGEST_NUMBER
from dirtmodel.release.columns import Column, Kind
from dirtmodel.release.conversion import Mask, convert, integers, text_of, valid

if TYPE_CHECKING:
    import pyarrow as pa

Ints = NDArray[np.int64]
Describe = Callable[[int], str]


@dataclass(frozen=True)
class Problem:
    """The rows of a batch that have one kind of error or warning.

    Parameters
    ----------
    code
        A code of `findings.ERRORS` or `findings.WARNINGS`.
    rows
        The mask of these rows.
    describe
        A function that describes the problem of one row, given its index in the batch.
    """

    code: str
    rows: Mask
    describe: Describe

    def part(self, start: int, length: int) -> "Problem":
        """Return the problem for a slice of the batch."""
        rows = self.rows[start : start + length]
        return Problem(self.code, rows, lambda row: self.describe(start + row))


@dataclass(frozen=True)
class Columns:
    """A batch of a table, converted to canonical types.

    Parameters
    ----------
    layout
        The columns to be loaded; the release may lack some of them.
    arrays, bad
        The results of `convert` by column name: the values, and the mask of invalid ones.
    raw
        All columns as they were read, including those that are not loaded.
    """

    table: str
    n_rows: int
    layout: Sequence[Column]
    arrays: dict[str, "pa.Array"]
    bad: dict[str, Mask]
    raw: dict[str, "pa.Array"]

    @classmethod
    def of(cls, table: str, layout: Sequence[Column], batch: "pa.RecordBatch") -> "Columns":
        """Convert those columns of a layout that the batch has."""
        raw = dict(zip(batch.schema.names, batch.columns, strict=True))
        arrays, bad = {}, {}
        for column in layout:
            if column.name in raw:
                arrays[column.name], bad[column.name] = convert(column, raw[column.name])
        return cls(table, batch.num_rows, layout, arrays, bad, raw)

    def part(self, start: int, length: int) -> "Columns":
        """Return a slice of the batch, without copying it."""
        return Columns(
            self.table,
            length,
            self.layout,
            {name: array.slice(start, length) for name, array in self.arrays.items()},
            {name: mask[start : start + length] for name, mask in self.bad.items()},
            {name: array.slice(start, length) for name, array in self.raw.items()},
        )

    def __len__(self) -> int:
        return self.n_rows

    def has_value(self, name: str) -> Mask:
        """Return the mask of rows in which a column has a valid value."""
        if name not in self.arrays:
            return np.zeros(len(self), dtype=np.bool_)
        return valid(self.arrays[name])

    def numbers(self, name: str) -> Ints:
        """Return a column as int64, with 0 for NULL."""
        return integers(self.arrays[name])

    def empty(self) -> Mask:
        """Return the mask of rows that are NULL or NaN in every column of the layout."""
        filled = np.zeros(len(self), dtype=np.bool_)
        for name in self.arrays:
            filled |= self.has_value(name) | self.bad[name]
        return ~filled


@dataclass
class Known:
    """The ids of the sound rows of one table, with the columns that later checks need (`extras`).

    Batches are appended, and sorted when the ids are first looked up.
    """

    extras: tuple[str, ...]
    _parts: list[tuple[Ints, ...]] = field(default_factory=list)
    _sorted: tuple[Ints, ...] | None = None

    def add(self, ids: Ints, *extras: Ints) -> None:
        """Add a batch of sound rows."""
        self._parts.append((ids, *extras))
        self._sorted = None

    def _freeze(self) -> tuple[Ints, ...]:
        if self._sorted is None:
            empty: tuple[Ints, ...] = (np.zeros(0, np.int64),) * (1 + len(self.extras))
            parts = self._parts or [empty]
            columns = tuple(np.concatenate(column) for column in zip(*parts, strict=True))
            order = np.argsort(columns[0], kind="stable")
            self._sorted = tuple(column[order] for column in columns)
            self._parts = [self._sorted]
        return self._sorted

    def look_up(self, ids: Ints) -> tuple[Mask, dict[str, Ints]]:
        """Return the mask of known ids, and their extras (arbitrary values for unknown ids)."""
        own, *extras = self._freeze()
        if not len(own):
            return np.zeros(len(ids), np.bool_), {n: np.zeros_like(ids) for n in self.extras}
        at = np.minimum(np.searchsorted(own, ids), len(own) - 1)
        is_known: Mask = own[at] == ids
        return is_known, {n: e[at] for n, e in zip(self.extras, extras, strict=True)}


def value_problems(columns: Columns, *, extend: bool) -> list[Problem]:
    """Find invalid values: unreadable ones, NULL, unknown numbers, and NUL characters in text.

    Parameters
    ----------
    extend
        Accept numbers that DIRT does not define, up to `LARGEST_NUMBER`.
    """
    import pyarrow.compute as pc

    problems = []
    for column in columns.layout:
        name = column.name
        if name not in columns.arrays:
            continue
        array, bad = columns.arrays[name], columns.bad[name]
        if bad.any():
            problems.append(Problem("bad-value", bad, _bad_value(columns, name, column.kind)))
        if not column.nullable:
            problems.append(null_problem(name, ~(columns.has_value(name) | bad)))
        if column.values is not None:
            problems += _number_problems(columns, column, extend=extend)
        if column.kind is Kind.TEXT:
            nul = pc.fill_null(pc.match_substring(array, "\0"), fill_value=False)
            nul_mask = nul.to_numpy(zero_copy_only=False)
            describe = _always(f"{name} contains a NUL character")
            problems.append(Problem("nul-character", nul_mask, describe))
    return problems


def unknown_numbers(columns: Columns, column: Column) -> Mask:
    """Return the mask of rows with a number that DIRT does not define."""
    known = [int(member) for member in column.values or ()]
    return columns.has_value(column.name) & ~np.isin(columns.numbers(column.name), known)


def _number_problems(columns: Columns, column: Column, *, extend: bool) -> list[Problem]:
    unknown = unknown_numbers(columns, column)
    numbers = columns.numbers(column.name)
    kept = unknown & (numbers >= 0) & (numbers <= LARGEST_NUMBER) & extend

    def kept_as(row: int) -> str:
        assert column.values is not None  # noqa: S101 - called only for columns with an enum
        return f"{column.name} {numbers[row]} is kept as {column.values(int(numbers[row])).name}"

    return [
        Problem("unknown-enum", unknown & ~kept, _unknown(columns, column)),
        Problem("kept-number", kept, kept_as),
    ]


def null_problem(name: str, rows: Mask) -> Problem:
    """Return the problem of rows in which a required column is NULL."""
    return Problem("null-id" if name == "id" else "null-value", rows, _always(f"{name} is NULL"))


def reference_problems(
    columns: Columns, images: Known, sessions: Known, judged_by: dict[int, JudgedBy]
) -> list[Problem]:
    """Find problems with the image and the session that a review refers to.

    Parameters
    ----------
    judged_by
        The kind of review that decides about the images of each step.
    """
    has_image, image = images.look_up(columns.numbers("img_id"))
    has_session, session = sessions.look_up(columns.numbers("session"))
    whole = columns.has_value("img_id") & columns.has_value("session")
    both = whole & has_image & has_session
    clicks = columns.table == "coordinate"
    click_steps = [step for step, how in judged_by.items() if how is JudgedBy.CLICKS]
    on_click_step = np.isin(image["step"], click_steps)
    crossed = both & (on_click_step != clicks)
    return [
        Problem(
            "missing-image",
            columns.has_value("img_id") & ~has_image,
            _with_value(columns, "img_id", "image {} does not exist or could not be loaded"),
        ),
        Problem(
            "missing-session",
            columns.has_value("session") & ~has_session,
            _with_value(columns, "session", "session {} does not exist or could not be loaded"),
        ),
        Problem(
            "session-step",
            both & (image["step"] != session["step"]),
            lambda row: (
                f"image {columns.arrays['img_id'][row]} is of {_step(image['step'][row])}, "
                f"session {columns.arrays['session'][row]} of {_step(session['step'][row])}"
            ),
        ),
        Problem(
            "crossed-table",
            crossed,
            lambda row: (
                f"{'clicks' if clicks else 'a verdict'} on image "
                f"{columns.arrays['img_id'][row]} of {_step(image['step'][row])}"
            ),
        ),
    ]


def click_problems(columns: Columns, images: Known) -> list[Problem]:
    """Find clicks that are incomplete, infinite, or outside a picture of known size."""
    has_x, has_y = (columns.has_value(name) | columns.bad[name] for name in "xy")
    x, y = (columns.arrays[name].fill_null(0).to_numpy(zero_copy_only=False) for name in "xy")
    finite = np.isfinite(x) & np.isfinite(y)
    has_image, image = images.look_up(columns.numbers("img_id"))
    measured = has_image & (image["width"] > 0)
    inside = (x >= 0) & (y >= 0) & (x <= image["width"]) & (y <= image["height"])

    def where(row: int) -> str:
        return f"({columns.arrays['x'][row]}, {columns.arrays['y'][row]})"

    return [
        Problem("half-click", has_x != has_y, where),
        Problem("non-finite-click", ~finite, where),
        Problem(
            "off-picture-click",
            columns.has_value("x") & columns.has_value("y") & finite & measured & ~inside,
            lambda row: f"{where(row)} on {image['width'][row]}×{image['height'][row]} pixels",
        ),
    ]


def note_problems(columns: Columns) -> list[Problem]:
    r"""Find notes that contain escapes of the dump (\n, \r, \t, \\) as literal text."""
    import pyarrow.compute as pc

    if "notes" not in columns.arrays:
        return []
    escaped = pc.match_substring_regex(columns.arrays["notes"], r"\\[nrtbfv\\]")
    mask = pc.fill_null(escaped, fill_value=False).to_numpy(zero_copy_only=False)
    return [Problem("copy-escapes", mask, lambda row: f"{columns.arrays['notes'][row].as_py()!r}")]


def session_problems(columns: Columns) -> list[Problem]:
    """Find sessions of an unknown rater."""
    no_user = ~columns.has_value("user")
    return [Problem("no-rater", no_user, _with_value(columns, "id", "session {} has no user"))]


def similar_raters(raters: Iterable[str]) -> list[str]:
    """Describe each group of raters whose names differ only in case or surrounding blanks."""
    alike: dict[str, list[str]] = {}
    for rater in sorted(raters):
        folded = unicodedata.normalize("NFC", rater).strip().casefold()
        alike.setdefault(folded, []).append(rater)
    return [", ".join(map(repr, names)) for names in alike.values() if len(names) > 1]


def entity_problems(columns: Columns) -> list[Problem]:
    """Find file names without a subject."""
    names = columns.arrays["file1"].to_pylist()
    is_odd = {name: name is not None and parse(name).sub is None for name in set(names)}
    odd = np.array([is_odd[name] for name in names], np.bool_)
    return [Problem("no-entities", odd, lambda row: f"file1 {names[row]!r}")]


def _step(number: Any) -> str:
    return Step(int(number)).name


def _always(words: str) -> Describe:
    return lambda _row: words


def _with_value(columns: Columns, name: str, words: str) -> Describe:
    return lambda row: words.format(columns.arrays[name][row])


def _bad_value(columns: Columns, name: str, kind: Kind) -> Describe:
    raw = columns.raw[name]
    return lambda row: f"{name} {_raw_text(raw, row)} does not fit a column of {kind.value}"


def _raw_text(raw: "pa.Array", row: int) -> str:
    return text_of(raw[row]) or repr(raw[row].as_py())


def _unknown(columns: Columns, column: Column) -> Describe:
    *most, last = [f"{member.name} ({int(member)})" for member in column.values or ()]
    known = f"{', '.join(most)} or {last}"
    numbers = columns.numbers(column.name)
    return lambda row: f"{column.name} {numbers[row]} is not {known}"
