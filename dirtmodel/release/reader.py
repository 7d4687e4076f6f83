"""The files of a release in bounded memory, checked.

A release is read three times, the pictures only once: first its keys, to know what is there twice;
then, in a load, all that is narrow, so that a faulty release is refused before gigabytes are
copied; at last everything.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dirtmodel import database
from dirtmodel.errors import ReleaseError
from dirtmodel.release import checks, operations
from dirtmodel.release.columns import (
    COLUMNS,
    OPTIONAL,
    Kind,
    Mask,
    accepts,
    convert,
    integers,
)
from dirtmodel.release.findings import ERRORS, FATAL, Finding, Findings, describe
from dirtmodel.release.keys import Ids, ImageKeys
from dirtmodel.release.layout import TABLES
from dirtmodel.release.pictures import Img, Pictures, check_pictures, group_of, views
from dirtmodel.release.rejected import Rejected, rejected
from dirtmodel.release.sources import Place, Source, opened

if TYPE_CHECKING:
    import pyarrow as pa

_Part = tuple[int, checks.Columns, list[checks.Problem]]
"""The number of the first row in its file, columns, and what is wrong or odd about them."""

Progress = Callable[[str, int, int], None]
"""Called with a table, its rows done and its bytes of pictures done."""


@dataclass(frozen=True)
class Batch:
    """Sound rows of one table in canonical types, and the unsound ones beside them.

    Parameters
    ----------
    columns
        Canonical arrays (see `columns.convert`) of equal length by column name, all but `img`.
    pictures
        The pictures in the same order, where they were asked for.
    """

    table: str
    columns: dict[str, "pa.Array"]
    pictures: Pictures | None
    rejected: list[Rejected]

    def __len__(self) -> int:
        return len(self.columns["id"])


@dataclass
class Reader:
    """Reads a release, table by table, batch by batch, checking every row.

    Raises
    ------
    ReleaseError
        On creation, when files or columns are missing, unreadable or of impossible types.
    """

    release: Source
    findings: Findings = field(default_factory=Findings)
    n_empty_rows: dict[str, int] = field(default_factory=dict)
    n_rows: dict[str, int] = field(default_factory=dict)
    _duplicates: dict[str, dict[str, checks.Ints]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check_files()
        self._extra_findings = [
            finding for finding in self.findings.report() if finding.code not in FATAL
        ]
        for table in TABLES:
            self._find_duplicates(table)

    def batches(self, *, pictures: bool, keep_rejected: bool = False) -> Iterator[Batch]:
        """Read and check everything, with or without the pictures.

        `findings`, `n_rows` (without the empty ones) and `n_empty_rows` start anew with each call
        and are complete when the iterator is exhausted.
        """
        self.findings = Findings()
        for finding in self._extra_findings:
            self.findings.add(finding.code, finding.file, finding.n, finding.examples)
            for operation in finding.operations:
                self.findings.offer(finding.code, finding.file, operation, operation)
        self._unknown: dict[tuple[str, str], set[int]] = {}
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
            self._offer_enums(table)

    # -- files and their columns

    def _check_files(self) -> None:
        for table in TABLES:
            file = self.release.file(table)
            if absent := self.release.absent(table):
                self.findings.add("missing-file", file, 1, [absent])
                continue
            try:
                schema = self._schema(table)
            except InvalidReleaseError as error:
                for finding in error.findings:
                    self.findings.add(finding.code, file, finding.n, finding.examples)
                continue
            self._check_columns(table, schema)
        fatal = [finding for finding in self.findings.report() if finding.code in FATAL]
        if fatal:
            raise InvalidReleaseError(self.release, fatal)

    def _check_columns(self, table: str, schema: "pa.Schema") -> None:
        file = self.release.file(table)
        expected = {column.name: column for column in COLUMNS[table]}
        for name, column in expected.items():
            found = schema.names.count(name)
            if not found and name in OPTIONAL:
                self.findings.add("no-notes", file, 1, [f"{file} has no column {name}"])
            elif not found:
                self.findings.add("missing-column", file, 1, [f"{file} has no column {name}"])
                self.findings.offer(
                    "missing-column", file, name, operations.drop_column(table, name)
                )
            elif found > 1:
                self.findings.add("wrong-type", file, 1, [f"{file} has {found} columns {name}"])
            elif not accepts(column.kind, schema.field(name).type):
                physical = schema.field(name).type
                self.findings.add(
                    "wrong-type",
                    file,
                    1,
                    [f"{file} column {name} is {physical}; {column.kind.value} are expected"],
                )
                self.findings.offer(
                    "wrong-type", file, name, operations.retype_column(table, name, physical)
                )
        for field_ in schema:
            if field_.name not in expected:
                self.findings.add(
                    "extra-column", file, 1, [f"{file} column {field_.name} ({field_.type})"]
                )
                self.findings.offer(
                    "extra-column",
                    file,
                    field_.name,
                    operations.add_column(table, field_.name, field_.type),
                )

    def _schema(self, table: str) -> "pa.Schema":
        with self._readable(table):
            return self.release.schema(table)

    def _raw(self, table: str, names: list[str]) -> "Iterator[tuple[int, pa.RecordBatch]]":
        file_row = 1
        with self._readable(table):
            for raw in self.release.read(table, names):
                # Arrow reads text without looking; a database would trip over what is not UTF-8.
                raw.validate(full=True)
                yield file_row, raw
                file_row += raw.num_rows

    @contextlib.contextmanager
    def _readable(self, table: str) -> Iterator[None]:
        import pyarrow as pa

        try:
            yield
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            first = database.first_line(error)
            unreadable = Findings()
            file = self.release.file(table)
            unreadable.add("unreadable-file", file, 1, [f"{file}: {first}"])
            raise InvalidReleaseError(self.release, unreadable.report()) from error

    # -- keys

    def _find_duplicates(self, table: str) -> None:
        found = ImageKeys() if table == "image" else Ids()
        for first_row, raw in self._raw(table, ["id", *found.names]):
            found.add(first_row, checks.Columns.of(table, raw))
        self._duplicates[table] = found.repeated()

    # -- rows

    def _narrow(self, table: str, *, extra: bool) -> Iterator[_Part]:
        """Read and check all columns but the pictures."""
        present = self._schema(table).names
        known = {column.name for column in COLUMNS[table]}
        names = [
            name
            for name in present
            # Of several columns of one name Arrow can give none.
            if name != "img" and (name in known or (extra and present.count(name) == 1))
        ]
        for first_row, raw in self._raw(table, names):
            columns = checks.Columns.of(table, raw)
            yield first_row, columns, self._problems(columns, first_row)

    def _with_pictures(self, narrow: Iterator[_Part]) -> "Iterator[tuple[*_Part, list[Img]]]":
        """Put the pictures, of which few can be held at a time, beside the other columns."""
        pictures = itertools.chain.from_iterable(
            views(convert(Kind.BINARY, raw.column(0))[0]) for _, raw in self._raw("image", ["img"])
        )
        for first_row, columns, problems in narrow:
            start = 0
            while start < len(columns):
                imgs = list(group_of(pictures, len(columns) - start))
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
            self._count(problem, file, first_row, filled)
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

    def _count(self, problem: checks.Problem, file: str, first_row: int, filled: Mask) -> None:
        rows = np.flatnonzero(problem.rows & filled)
        self.findings.add(
            problem.code,
            file,
            len(rows),
            (f"{file} row {first_row + row}: {problem.describe(int(row))}" for row in rows),
        )

    def _problems(self, columns: checks.Columns, first_row: int) -> list[checks.Problem]:
        problems = checks.value_problems(columns)
        self._note_enums(columns)
        for code, file_rows in self._duplicates[columns.table].items():
            start, end = np.searchsorted(file_rows, [first_row, first_row + len(columns)])
            mask = np.zeros(len(columns), np.bool_)
            mask[file_rows[start:end] - first_row] = True
            problems.append(checks.Problem(code, mask, _repeats(columns, code)))
        match columns.table:
            case "session":
                problems += checks.session_problems(columns)
            case "image":
                problems += checks.entity_problems(columns)
            case "coordinate":
                problems += checks.click_problems(columns, self._images)
        if columns.table in {"rating", "coordinate"}:
            problems += checks.reference_problems(columns, self._images, self._sessions)
            problems += checks.note_problems(columns)
        return [problem for problem in problems if problem.rows.any()]

    def _note_enums(self, columns: checks.Columns) -> None:
        """Remember values that DIRT gives no meaning, as far as they may be those of an enum."""
        for column in COLUMNS[columns.table]:
            if column.values is None or column.name not in columns.arrays:
                continue
            given = columns.numbers(column.name)[columns.given(column.name)]
            unknown = self._unknown.setdefault((columns.table, column.name), set())
            if len(unknown) <= operations.MOST_VALUES:
                unknown |= set(np.unique(given).tolist()) - {int(value) for value in column.values}

    def _offer_enums(self, table: str) -> None:
        """Say how such values of a whole table could be taken in."""
        for column in COLUMNS[table]:
            unknown = self._unknown.get((table, column.name), set())
            if column.values is not None and 0 < len(unknown) <= operations.MOST_VALUES:
                allowed = unknown | {int(value) for value in column.values}
                words = operations.widen_enum(table, column.name, allowed)
                self.findings.offer("unknown-enum", self.release.file(table), column.name, words)

    def _remember(self, batch: Batch) -> None:
        if batch.table not in {"session", "image"}:
            return
        ids = integers(batch.columns["id"])
        steps = integers(batch.columns["step"])
        if batch.table == "session":
            self._sessions.add(ids, steps)
            return
        headers = batch.pictures.headers if batch.pictures else []
        sizes = np.zeros((2, len(ids)), np.int64)
        if headers:
            sizes = np.array([(h.width, h.height) for h in headers], np.int64).T
        self._images.add(ids, steps, sizes[0], sizes[1])


class InvalidReleaseError(ReleaseError):
    """A release with errors; `findings` tells all of them."""

    def __init__(self, release: Source, findings: list[Finding]) -> None:
        self.findings = findings
        n = sum(finding.n for finding in findings)
        advice = (
            "mend the release, or copy it again"
            if any(finding.code in FATAL for finding in findings)
            else "mend the release, or load what is sound with --quarantine"
        )
        super().__init__(
            f"{release.place} has {n:,} {'error' if n == 1 else 'errors'}, nothing was loaded; "
            f"{advice}:\n{describe(findings)}"
        )


def check(release: Place, progress: Progress | None = None) -> list[Finding]:
    """Check a release as a load would, pictures included, and give all that was found.

    Parameters
    ----------
    release
        As in `load`.
    progress
        Called after each batch with its table, rows and bytes of pictures.

    Raises
    ------
    ReleaseError
        When there is no release.
    """
    with opened(release) as source:
        try:
            reader = Reader(source)
            for batch in reader.batches(pictures=True):
                if progress is not None:
                    n_bytes = sum(batch.pictures.n_bytes) if batch.pictures else 0
                    progress(batch.table, len(batch), n_bytes)
        except InvalidReleaseError as error:
            return error.findings
        return reader.findings.report()


def _repeats(columns: checks.Columns, code: str) -> checks.Describe:
    if code == "duplicate-id":
        return lambda row: f"id {columns.arrays['id'][row]} stands in an earlier row too"
    return lambda row: (
        "an earlier row too has "
        + ", ".join(
            f"{name} {columns.arrays[name][row].as_py()!r}"
            for name in ("slice", "file1", "display", "step")
        )
    )
