"""Reading and checking a whole release in bounded memory.

A load reads a release three times: first the keys, to find duplicates; then all columns but the
pictures, so that a release with errors is rejected before gigabytes are copied; finally everything.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dirtmodel.groups import take
from dirtmodel.models import JUDGED_BY, JudgedBy
from dirtmodel.models.lookups import ENUMS
from dirtmodel.release import checks
from dirtmodel.release.blobs import Img, Pictures, check_pictures, img_size, views
from dirtmodel.release.columns import COLUMNS, Column
from dirtmodel.release.conversion import Mask, convert, integers
from dirtmodel.release.extension import Extension
from dirtmodel.release.findings import ERRORS, N_EXAMPLES, Findings
from dirtmodel.release.keys import Ids, ImageKeys, repeats
from dirtmodel.release.layout import TABLES
from dirtmodel.release.rejected import Rejected, rejected
from dirtmodel.release.sources import Source
from dirtmodel.release.tables import check_tables, readable, schema_of

if TYPE_CHECKING:
    import pyarrow as pa

_Part = tuple[int, checks.Columns, list[checks.Problem]]
"""The number of the first row in its file, the columns, and their problems."""

Progress = Callable[[str, int, int], None]
"""Called after each batch with its table, its number of rows and its bytes of pictures."""


@dataclass(frozen=True)
class Batch:
    """Rows of one table: those without errors in canonical types, and the rejected ones.

    Parameters
    ----------
    columns
        Canonical arrays (see `conversion.convert`) of equal length by column name, without `img`.
    pictures
        The pictures of these rows, if they were read.
    """

    table: str
    columns: dict[str, "pa.Array"]
    pictures: Pictures | None
    rejected: list[Rejected]

    def __len__(self) -> int:
        return len(self.columns["id"])

    @property
    def n_bytes(self) -> int:
        """The size of the pictures, in bytes."""
        return self.pictures.n_bytes if self.pictures else 0


@dataclass
class Reader:
    """Reads a release table by table, in batches, and checks every row.

    Parameters
    ----------
    extend, n_examples
        See `check`.

    Raises
    ------
    ReleaseError
        On creation, if files or columns are missing, unreadable, or of a type that cannot hold
        their values.
    """

    release: Source
    extend: bool = False
    n_examples: int = N_EXAMPLES
    findings: Findings = field(init=False)
    n_empty_rows: dict[str, int] = field(default_factory=dict)
    n_rows: dict[str, int] = field(default_factory=dict)
    columns: dict[str, tuple[Column, ...]] = field(default_factory=dict)
    """The documented and the additional columns of each table."""
    _duplicates: dict[str, dict[str, checks.Ints]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.findings = Findings(self.n_examples)
        self.columns = check_tables(self.release, self.findings)
        self._schema_findings = self.findings.report()
        for table in TABLES:
            self._find_duplicates(table)

    def batches(self, *, pictures: bool, keep_rejected: bool = False) -> Iterator[Batch]:
        """Read and check all tables, with or without the pictures.

        Each call resets `findings`, `n_rows` (without empty rows) and `n_empty_rows`; they are
        complete when the iterator is exhausted.
        """
        self.findings = Findings(self.n_examples)
        for finding in self._schema_findings:
            self.findings.add(finding.code, finding.file, finding.n, finding.examples)
        self._numbers: dict[str, set[int]] = {table: set() for table in ENUMS}
        self._rated_steps: set[int] = set()
        self._raters: set[str] = set()
        self._sessions = checks.Known(("step",))
        self._images = checks.Known(("step", "width", "height"))
        for table in TABLES:
            self.n_rows[table] = self.n_empty_rows[table] = 0
            narrow = self._narrow(table, extra=keep_rejected)
            parts = (
                self._with_pictures(narrow)
                if pictures and table == "image"
                else ((*part, None) for part in narrow)
            )
            for first_row, columns, problems, imgs in parts:
                yield self._batch(first_row, columns, problems, imgs, keep_rejected=keep_rejected)
            if table == "session":
                similar = checks.similar_raters(self._raters)
                file = self.release.file(table)
                self.findings.add(
                    "similar-raters", file, len(similar), (f"{file}: {names}" for names in similar)
                )

    @property
    def extension(self) -> Extension:
        """The columns and numbers beyond this version's schema that the rows read so far need."""
        judged_by = self._judged_by()
        return Extension(
            {
                table: tuple(column for column in columns if column.extra)
                for table, columns in self.columns.items()
            },
            {
                table: {
                    number: judged_by[number] if table == "step" else None
                    for number in sorted(numbers)
                }
                for table, numbers in self._numbers.items()
            },
        )

    def _judged_by(self) -> dict[int, JudgedBy]:
        """Return how each step is judged: a new step by verdict if its images have ratings."""
        new = {
            number: JudgedBy.VERDICT if number in self._rated_steps else JudgedBy.CLICKS
            for number in self._numbers["step"]
        }
        return {**{int(step): how for step, how in JUDGED_BY.items()}, **new}

    def _raw(self, table: str, names: list[str]) -> "Iterator[tuple[int, pa.RecordBatch]]":
        file_row = 1
        with readable(self.release, table):
            for raw in self.release.read(table, names):
                # Arrow reads text without checking it; a database rejects text that is not UTF-8.
                raw.validate(full=True)
                yield file_row, raw
                file_row += raw.num_rows

    # -- keys

    def _find_duplicates(self, table: str) -> None:
        keys = ImageKeys() if table == "image" else Ids()
        for first_row, raw in self._raw(table, ["id", *keys.names]):
            keys.add(first_row, checks.Columns.of(table, self.columns[table], raw))
        self._duplicates[table] = keys.repeated()

    # -- rows

    def _narrow(self, table: str, *, extra: bool) -> Iterator[_Part]:
        """Read and check all columns but the pictures."""
        present = schema_of(self.release, table).names
        known = {column.name for column in self.columns[table]}
        names = [
            name
            for name in present
            # Arrow cannot return a column if several columns have its name.
            if name != "img" and (name in known or (extra and present.count(name) == 1))
        ]
        for first_row, raw in self._raw(table, names):
            columns = checks.Columns.of(table, self.columns[table], raw)
            yield first_row, columns, self._problems(columns, first_row)

    def _with_pictures(self, narrow: Iterator[_Part]) -> "Iterator[tuple[*_Part, list[Img]]]":
        """Split batches into smaller ones that have few pictures, and add the pictures."""
        (img,) = (column for column in COLUMNS["image"] if column.name == "img")
        pictures = itertools.chain.from_iterable(
            views(convert(img, raw.column(0))[0]) for _, raw in self._raw("image", ["img"])
        )
        for first_row, columns, problems in narrow:
            start = 0
            while start < len(columns):
                imgs = take(pictures, img_size, len(columns) - start)
                yield (
                    first_row + start,
                    columns.part(start, len(imgs)),
                    [problem.part(start, len(imgs)) for problem in problems],
                    imgs,
                )
                start += len(imgs)

    def _batch(
        self,
        first_row: int,
        columns: checks.Columns,
        problems: list[checks.Problem],
        imgs: list[Img] | None,
        *,
        keep_rejected: bool,
    ) -> Batch:
        import pyarrow as pa

        table = columns.table
        filled = ~columns.empty()
        if imgs is not None:
            missing = np.array([img is None for img in imgs], np.bool_)
            filled |= ~missing
            problems = [*problems, checks.null_problem("img", missing)]
        file = self.release.file(table)
        n_empty = len(columns) - int(filled.sum())
        self.n_empty_rows[table] += n_empty
        self.n_rows[table] += int(filled.sum())
        self.findings.add("empty-rows", file, n_empty)

        sound = filled.copy()
        for problem in problems:
            if problem.code in ERRORS:
                sound &= ~problem.rows
        pictures = None
        if imgs is not None:
            picture_problem, pictures = check_pictures(columns, imgs, sound)
            problems = [*problems, picture_problem]
            sound &= ~picture_problem.rows
        for problem in problems:
            self._count(problem, columns, first_row, filled)
        kept = pa.array(np.flatnonzero(sound))
        batch = Batch(
            table,
            {name: array.take(kept) for name, array in columns.arrays.items()}
            if not sound.all()
            else dict(columns.arrays),
            pictures,
            rejected(columns, imgs, problems, first_row, filled & ~sound) if keep_rejected else [],
        )
        self._remember(batch)
        return batch

    def _count(
        self, problem: checks.Problem, columns: checks.Columns, first_row: int, filled: Mask
    ) -> None:
        table, ids = columns.table, columns.arrays["id"]
        rows = np.flatnonzero(problem.rows & filled).tolist()
        examples = (
            f"{self.release.row(table, first_row + row, ids[row].as_py())}: {problem.describe(row)}"
            for row in rows
        )
        self.findings.add(problem.code, self.release.file(table), len(rows), examples)

    def _problems(self, columns: checks.Columns, first_row: int) -> list[checks.Problem]:
        problems = checks.value_problems(columns, extend=self.extend)
        for code, file_rows in self._duplicates[columns.table].items():
            start, end = np.searchsorted(file_rows, [first_row, first_row + len(columns)])
            mask = np.zeros(len(columns), np.bool_)
            mask[file_rows[start:end] - first_row] = True
            problems.append(checks.Problem(code, mask, repeats(columns, code)))
        match columns.table:
            case "session":
                problems += checks.session_problems(columns)
            case "image":
                problems += checks.entity_problems(columns)
            case "coordinate":
                problems += checks.click_problems(columns, self._images)
        if columns.table in {"rating", "coordinate"}:
            if columns.table == "rating":
                self._note_rated_steps(columns)
            problems += checks.reference_problems(
                columns, self._images, self._sessions, self._judged_by()
            )
            problems += checks.note_problems(columns)
        return [problem for problem in problems if problem.rows.any()]

    def _note_rated_steps(self, columns: checks.Columns) -> None:
        """Remember the steps whose images have ratings."""
        has_image, image = self._images.look_up(columns.numbers("img_id"))
        rated = image["step"][has_image & columns.has_value("img_id")]
        self._rated_steps |= set(np.unique(rated).tolist())

    def _remember(self, batch: Batch) -> None:
        for column in self.columns[batch.table]:
            if column.values is not None:
                lookup = "verdict" if column.name == "rating" else column.name
                used = set(np.unique(integers(batch.columns[column.name])).tolist())
                self._numbers[lookup] |= used - {int(member) for member in column.values}
        if batch.table not in {"session", "image"}:
            return
        ids = integers(batch.columns["id"])
        steps = integers(batch.columns["step"])
        if batch.table == "session":
            self._sessions.add(ids, steps)
            self._raters.update(batch.columns["user"].drop_null().unique().to_pylist())
            return
        described = batch.pictures.described if batch.pictures else []
        sizes = np.zeros((2, len(ids)), np.int64)
        if described:
            sizes = np.array([(d.width, d.height) for d in described], np.int64).T
        self._images.add(ids, steps, sizes[0], sizes[1])
